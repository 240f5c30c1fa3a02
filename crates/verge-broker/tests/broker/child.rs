//! The embedded broker in a process of its own: killed, stopped, abandoned.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use verge_broker::{
    BrokerState, ChildBroker, ChildBrokerError, ChildBrokerSettings, ChildFault, Front, FrontLimits,
    FrontSettings, Policy, Retained, SourceInputs, own_client_id,
};
use verge_domain::backoff::Backoff;
use verge_mqtt::{ConnectionSettings, Publisher, QoS, Subscriber, SubscriberEvent};

use crate::support::{clock, eventually, settings as through, unique, within};

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_verge-broker-child"))
}

/// Quick to notice, so that the tests are.
fn settings() -> ChildBrokerSettings {
    ChildBrokerSettings {
        canary_every: Duration::from_millis(100),
        canary_within: Duration::from_secs(2),
        backoff: Backoff { min: Duration::from_millis(10), max: Duration::from_millis(100) },
        ready_within: Duration::from_secs(30),
        ..ChildBrokerSettings::new(program(), Vec::new(), 65_536)
    }
}

async fn start() -> ChildBroker {
    within("a broker", ChildBroker::start(settings(), clock)).await.unwrap()
}

async fn state(broker: &ChildBroker, what: &str, holds: impl FnMut(&BrokerState) -> bool) -> BrokerState {
    let mut watch = broker.watch();
    within(what, watch.wait_for(holds)).await.unwrap().clone()
}

async fn serving(broker: &ChildBroker) -> u32 {
    state(broker, "it serves", |state| state.process.is_some()).await.process.unwrap()
}

async fn signal(signal: &str, process: u32) {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status().await.unwrap();
    assert!(sent.success());
}

/// Whether there is such a process; one that has ended and was not waited for is none.
fn lives(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
    status.is_ok_and(|status| !status.contains(") Z "))
}

async fn ended(process: u32) {
    within("the process has ended", async {
        while lives(process) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A reader through a front that is subscribed.
async fn reader(front: &Front, topic: &str) -> Subscriber {
    let mut reader = Subscriber::spawn(through(front.address(), &unique("reader")), vec![topic.to_owned()]);
    assert_eq!(within("subscribed", reader.next()).await, Some(SubscriberEvent::Subscribed));
    reader
}

async fn publish(front: &Front, topic: &str, payload: &'static str) {
    let publisher = within("connected", async {
        loop {
            match Publisher::connect(through(front.address(), &unique("writer"))).await {
                Ok(publisher) => break publisher,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await;
    publisher.publish(topic, Bytes::from_static(payload.as_bytes()), QoS::AtLeastOnce, false).await.unwrap();
    publisher.close().await;
}

async fn expect_message(reader: &mut Subscriber, payload: &str) {
    match within("a message", reader.next()).await {
        Some(SubscriberEvent::Message(message)) => assert_eq!(message.payload, payload),
        other => panic!("a message expected, not {other:?}"),
    }
}

async fn front(broker: &ChildBroker) -> Front {
    Front::start(FrontSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        broker: broker.address(),
        login: Some(broker.credentials().clone()),
        policy: Policy::open(),
        limits: FrontLimits::default(),
    })
    .await
    .unwrap()
}

/// Harms the broker, and expects that clients are served again as if nothing had been.
async fn survives(harm: impl AsyncFnOnce(&ChildBroker, u32), words: &str) {
    let broker = start().await;
    let front = front(&broker).await;
    let topic = unique("topic");
    let mut reader = reader(&front, &topic).await;
    publish(&front, &topic, "before").await;
    expect_message(&mut reader, "before").await;
    let (client_id, login) = (own_client_id("gateway"), broker.credentials().clone());
    let own = ConnectionSettings::loopback(broker.address(), &client_id, login, 65_536);
    let mut own = Subscriber::spawn(own, vec![topic.clone()]);
    assert_eq!(within("subscribed", own.next()).await, Some(SubscriberEvent::Subscribed));

    let (first, address) = (serving(&broker).await, broker.address());
    harm(&broker, first).await;
    let after =
        state(&broker, "it is started again", |state| state.restarts_total == 1 && state.process.is_some())
            .await;
    let fault = after.last_fault.clone().unwrap();
    assert!(fault.reason.contains(words), "{fault:?}");
    assert_ne!(after.process, Some(first));
    assert!(after.serving_since.is_some());
    assert_eq!(broker.address(), address);
    ended(first).await;

    for reader in [&mut reader, &mut own] {
        let event = within("the loss is noticed", reader.next()).await;
        assert!(matches!(event, Some(SubscriberEvent::Disconnected { .. })), "{event:?}");
        within("subscribed again", async {
            while reader.next().await != Some(SubscriberEvent::Subscribed) {}
        })
        .await;
    }
    publish(&front, &topic, "after").await;
    expect_message(&mut reader, "after").await;
    expect_message(&mut own, "after").await;

    let second = serving(&broker).await;
    within("stopped", broker.stop()).await;
    assert!(!lives(second));
}

#[tokio::test]
async fn a_killed_broker_is_started_again_and_clients_just_reconnect() {
    survives(async |_: &ChildBroker, process| signal("-KILL", process).await, "SIGKILL").await;
}

#[tokio::test]
async fn a_broker_that_hangs_is_found_out_and_started_again() {
    let harm = async |_: &ChildBroker, process| {
        let began = Instant::now();
        signal("-STOP", process).await;
        ended(process).await;
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    };
    survives(harm, "did not answer within 2s").await;
}

#[tokio::test]
async fn a_broker_whose_router_has_panicked_ends_at_once() {
    // The router cuts a topic behind its first byte, which here lies within a character. No front lets that pass.
    let harm = async |broker: &ChildBroker, process| {
        let login = broker.credentials().clone();
        let past_the_front = ConnectionSettings::loopback(broker.address(), &unique("writer"), login, 65_536);
        let publisher = Publisher::connect(past_the_front).await.unwrap();
        let payload = Bytes::from_static(b"1");
        publisher.publish("Öl/1", payload, QoS::AtLeastOnce, false).await.unwrap_err();
        ended(process).await;
    };
    survives(harm, "exit status: 101").await;
}

#[tokio::test]
async fn a_broker_ends_with_its_keeper() {
    let broker = start().await;
    let process = serving(&broker).await;
    drop(broker);
    ended(process).await;

    let broker = start().await;
    let process = serving(&broker).await;
    signal("-STOP", process).await;
    // Grace and a kill.
    within("stopped", broker.stop()).await;
    assert!(!lives(process));
}

/// What a gateway that is killed leaves to the child: the end of its standard input.
#[tokio::test]
async fn a_broker_ends_when_its_standard_input_does() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = Command::new(program())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let line = format!("verge-broker 2 {port} 65536 65536 somebody something\n");
    input.write_all(line.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = within("ready", lines.next_line()).await.unwrap();
    assert_eq!(said.as_deref(), Some("ready"));
    assert_eq!(child.try_wait().unwrap(), None);
    drop(input);
    assert!(within("ended", child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn nobody_else_on_the_machine_can_read_the_password() {
    let secret = (OsString::from("PASSED_ON"), OsString::from("yes"));
    let settings = ChildBrokerSettings { environment: vec![secret], ..settings() };
    let broker = within("a broker", ChildBroker::start(settings, clock)).await.unwrap();
    let process = serving(&broker).await;
    let read = |file: &str| std::fs::read(Path::new("/proc").join(process.to_string()).join(file)).unwrap();
    assert_eq!(read("environ"), b"PASSED_ON=yes\0", "nothing of the gateway's own environment");
    let password = broker.credentials().password.reveal().as_bytes();
    assert!(!read("cmdline").windows(password.len()).any(|window| window == password));
    broker.stop().await;
}

#[tokio::test]
async fn a_first_start_that_fails_is_reported_with_its_cause() {
    let check = async |program: &str, arguments: &[&str], expected: fn(&ChildFault) -> bool| {
        let settings = ChildBrokerSettings {
            program: program.into(),
            arguments: arguments.iter().map(OsString::from).collect(),
            ready_within: Duration::from_millis(500),
            ..settings()
        };
        match within("an end", ChildBroker::start(settings, clock)).await {
            Err(ChildBrokerError::Start(fault)) => assert!(expected(&fault), "{program}: {fault}"),
            other => panic!("{program}: {other:?}"),
        }
    };
    check("/no/such/program", &[], |fault| matches!(fault, ChildFault::Spawn { .. })).await;
    check("/bin/sh", &["-c", "exit 3"], |fault| {
        fault.to_string() == "its process has ended (exit status: 3)"
    })
    .await;
    check("/bin/sleep", &["600"], |fault| matches!(fault, ChildFault::NotReady(_))).await;
    check("/bin/cat", &[], |fault| matches!(fault, ChildFault::Unexpected)).await;
}

#[tokio::test]
async fn a_broker_that_cannot_be_started_again_is_tried_for_ever_and_said_to_be_down() {
    let folder = std::env::temp_dir().join(unique(&format!("verge-broker-{}", std::process::id())));
    std::fs::create_dir(&folder).unwrap();
    let program = folder.join("broker");
    std::os::unix::fs::symlink(self::program(), &program).unwrap();
    let settings = ChildBrokerSettings { program: program.clone(), ..settings() };
    let broker = within("a broker", ChildBroker::start(settings, clock)).await.unwrap();
    let process = serving(&broker).await;
    std::fs::remove_file(&program).unwrap();
    signal("-KILL", process).await;
    let down = state(&broker, "no program", |state| {
        state.last_fault.as_ref().is_some_and(|fault| fault.reason.contains("cannot start"))
    })
    .await;
    assert_eq!((down.serving_since, down.process, down.restarts_total), (None, None, 0));
    std::os::unix::fs::symlink(self::program(), &program).unwrap();
    state(&broker, "it is started again", |state| state.restarts_total == 1 && state.process.is_some()).await;
    broker.stop().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_broker_that_takes_too_much_memory_is_started_again_with_smaller_logs() {
    const MIB: u64 = 1024 * 1024;
    let most_memory_bytes = 24 * MIB;
    let child = ChildBrokerSettings { most_memory_bytes, ..settings() };
    let broker = within("a broker", ChildBroker::start(child, clock)).await.unwrap();
    let front = FrontSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        broker: broker.address(),
        login: Some(broker.credentials().clone()),
        policy: Policy::open(),
        limits: FrontLimits::default(),
    };
    let front = Front::start_with(front, (None, None), broker.filters().clone()).await.unwrap();
    let first = serving(&broker).await;
    // Each of these keeps each message, and rumqttd counts 30 bytes of some 300.
    let filters =
        || (0..16).map(|number| format!("{}#", ["+/", "many/"][number % 2].repeat(number / 2))).collect();
    let flood = async |until_restarted: bool| {
        let mut reader = Subscriber::spawn(through(front.address(), &unique("reader")), filters());
        // Both are refused while one process has ended and the next is not there yet.
        let Some(SubscriberEvent::Subscribed) = within("an answer", reader.next()).await else { return };
        let Ok(writer) = Publisher::connect(through(front.address(), &unique("writer"))).await else {
            return;
        };
        let topic = "many/".repeat(7) + "1";
        for number in 0..400 {
            for _ in 0..50 {
                // It ends with the broker.
                if writer.publish(&topic, Bytes::from_static(b"1"), QoS::AtMostOnce, false).await.is_err() {
                    return;
                }
            }
            if until_restarted && broker.watch().borrow().restarts_total > 0 {
                return;
            }
            if number % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    within("restarted", async {
        while broker.watch().borrow().last_fault.is_none() {
            flood(true).await;
        }
    })
    .await;
    let fault = broker.watch().borrow().last_fault.clone().unwrap().reason;
    assert!(fault.contains("more than 24 MiB") && fault.contains("topic filters"), "{fault}");
    let second =
        state(&broker, "it serves again", |state| state.process.is_some_and(|now| now != first)).await;
    let topic = unique("topic");
    let mut reader = reader(&front, &topic).await;
    publish(&front, &topic, "after").await;
    expect_message(&mut reader, "after").await;
    drop(second);
    broker.stop().await;
}

#[tokio::test]
async fn retained_messages_of_devices_are_there_again_when_the_broker_is() {
    let retained = Retained::default();
    let child = ChildBrokerSettings { retained: retained.clone(), ..settings() };
    let broker = within("a broker", ChildBroker::start(child, clock)).await.unwrap();
    let inputs = SourceInputs::new(false, clock).keeping(Some(retained.clone()));
    inputs.open();
    let front = FrontSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        broker: broker.address(),
        login: Some(broker.credentials().clone()),
        policy: Policy::open(),
        limits: FrontLimits::default(),
    };
    let front = Front::start_with(front, (Some(inputs), None), broker.filters().clone()).await.unwrap();
    let topic = unique("topic");
    let keep = async |topic: &str, payload: &'static [u8], retain| {
        let writer = Publisher::connect(through(front.address(), &unique("writer"))).await.unwrap();
        writer.publish(topic, Bytes::from_static(payload), QoS::AtLeastOnce, retain).await.unwrap();
        writer.close().await;
    };
    keep(&topic, b"before", true).await;
    keep(&topic, b"kept", true).await;
    keep(&topic, b"passed by", false).await;
    let emptied = unique("topic");
    keep(&emptied, b"1", true).await;
    keep(&emptied, b"", true).await;
    eventually("one is kept", || retained.totals().messages == 1).await;
    let process = serving(&broker).await;
    signal("-KILL", process).await;
    ended(process).await;
    // Whoever comes at once waits until they are back: they go out at the first subscription only.
    let mut again =
        Subscriber::spawn(through(front.address(), &unique("reader")), vec![topic.clone(), emptied]);
    within("subscribed", async { while again.next().await != Some(SubscriberEvent::Subscribed) {} }).await;
    expect_message(&mut again, "kept").await;
    broker.stop().await;
}
