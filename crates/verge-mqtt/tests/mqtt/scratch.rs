use std::process::{Child, Command};
use std::time::{Duration, Instant};
use verge_domain::stage::*;
use verge_mqtt::*;
use crate::source::start;
use crate::support::*;

fn mosquitto(port: u16, extra: &str) -> Child {
    let conf = format!("/tmp/w/mosq-{port}.conf");
    std::fs::write(&conf, format!("listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n{extra}\n")).unwrap();
    Command::new("mosquitto").arg("-c").arg(&conf).stderr(std::process::Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate() {
    let mut child = mosquitto(21883, "max_queued_messages 100000");
    let at = "127.0.0.1:21883".parse().unwrap();
    let (source, mut rx) = start(settings(at, "gw"), &["s/+"], 200_000);
    eventually("c", || source.state().connected).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let s2 = source.clone();
    const N: usize = 50_000;
    let taker = tokio::spawn(async move {
        let mut batch = Vec::new();
        let mut n = 0;
        let mut buf = Vec::new();
        while n < N {
            let k = rx.recv_many(&mut buf, 512).await;
            n += k;
            batch.clear();
            batch.extend(buf.drain(..).map(|m| m.receipt.unwrap()));
            s2.settle(&batch);
        }
    });
    let p = Publisher::connect(settings(at, "dev")).await.unwrap();
    let t = Instant::now();
    for i in 0..N { p.submit(&format!("s/{}", i % 100), vec![b'x'; 100].into(), QoS::AtLeastOnce, false).await.unwrap(); }
    p.flush().await.unwrap();
    println!("published {N} in {:?}", t.elapsed());
    taker.await.unwrap();
    eventually("acked", || source.state().outstanding == 0).await;
    println!("received, acked in {:?}: {:?}", t.elapsed(), source.state());
    // kill -9 and restart
    child.kill().unwrap(); child.wait().unwrap();
    eventually("down", || !source.state().connected).await;
    println!("{:?}", source.state().last_error);
    let mut child = mosquitto(21883, "");
    eventually("up", || source.state().connected).await;
    // Same client id elsewhere
    let (other, _rx) = start(settings(at, "gw"), &["s/+"], 10);
    eventually("taken over", || source.state().connections >= 3).await;
    println!("{:?} / {:?}", source.state().last_error, other.state().last_error);
    other.stop().await;
    let t = Instant::now();
    source.stop().await;
    println!("stop took {:?}", t.elapsed());
    let t = Instant::now();
    p.close().await;
    println!("close took {:?}", t.elapsed());
    child.kill().unwrap(); child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sink_rate() {
    let mut child = mosquitto(21884, "");
    let at = "127.0.0.1:21884".parse().unwrap();
    let mut sink = UplinkSink::spawn(UplinkSettings { connection: settings(at, "up"), topic_prefix: "v/g".into(), window: 64, last_will: "x".into() });
    while sink.event().await != Some(SinkEvent::Connected) {}
    let t = Instant::now();
    let (mut offered, mut done) = (0u64, 0u64);
    while done < 50_000 {
        while offered < 50_000 && sink.offer(Channel::Verdict, vec![b'x'; 200].into(), Token(offered)).is_ok() { offered += 1; }
        match sink.event().await { Some(SinkEvent::Delivered(_)) => done += 1, o => panic!("{o:?}") }
    }
    println!("delivered 50000 in {:?}", t.elapsed());
    let t = Instant::now();
    sink.close("bye".into(), Duration::from_secs(5)).await;
    println!("close took {:?}", t.elapsed());
    child.kill().unwrap(); child.wait().unwrap();
}

#[tokio::test]
async fn acl() {
    std::fs::write("/tmp/w/acl", "topic readwrite open/#\n").unwrap();
    let mut child = mosquitto(21885, "acl_file /tmp/w/acl");
    let at = "127.0.0.1:21885".parse().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let report = probe(&settings(at, "g"), &["open/1".into(), "secret/1".into()]).await;
    for s in report.steps { println!("{s}"); }
    let t = settings(at, "g");
    let report = probe(&ConnectionSettings { address: BrokerAddress::parse("mqtts://127.0.0.1:21885").unwrap(), tls: Some(crate::front::Certificates::new().client()), ..t }, &[]).await;
    for s in report.steps { println!("{s}"); }
    child.kill().unwrap(); child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload() {
    let mut child = mosquitto(21886, "max_queued_messages 100000\nmax_inflight_messages 0");
    let at = "127.0.0.1:21886".parse().unwrap();
    overload_at(settings(at, "gw"), settings(at, "dev")).await;
    child.kill().unwrap(); child.wait().unwrap();
    let b = embedded().await;
    overload_at(b.connection("gw"), b.connection("dev")).await;
}

async fn overload_at(gw: ConnectionSettings, dev: ConnectionSettings) {
    let (source, mut rx) = start(gw, &["s/+"], 50);
    eventually("c", || source.state().connected).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let s2 = source.clone();
    const N: usize = 5_000;
    let t = Instant::now();
    let taker = tokio::spawn(async move {
        let mut seen = std::collections::BTreeSet::new();
        let mut total = 0;
        let mut pending = Vec::new();
        while seen.len() < N {
            let m = rx.recv().await.unwrap();
            total += 1;
            seen.insert(String::from_utf8(m.payload.to_vec()).unwrap());
            pending.push(m.receipt.unwrap());
            if pending.len() == 7 || rx.is_empty() { s2.settle(&pending); pending.clear(); }
            if total % 100 == 0 { tokio::time::sleep(Duration::from_millis(5)).await; }
        }
        total
    });
    let p = Publisher::connect(dev).await.unwrap();
    for i in 0..N { p.submit(&format!("s/{}", i % 100), i.to_string().into(), QoS::AtLeastOnce, false).await.unwrap(); }
    p.flush().await.unwrap();
    println!("published in {:?}", t.elapsed());
    loop {
        if taker.is_finished() { break; }
        tokio::time::sleep(Duration::from_millis(500)).await;
        println!("{:?} {:?}", t.elapsed(), source.state());
        if t.elapsed() > Duration::from_secs(60) { panic!() }
    }
    println!("taken {} in {:?}: {:?}", taker.await.unwrap(), t.elapsed(), source.state());
    source.stop().await;
}
