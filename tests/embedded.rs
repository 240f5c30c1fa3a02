//! A site without a broker: the gateway brings one along, in a process of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpSocket;

use crate::program::{command, verge};
use crate::site::{Running, Site};

const PUMP: &str = r#"
[source.pump]
topic = "plant/+/vibration"
codec = "number"
device = "topic:1"
signal = "vibration"

[judge.high]
inputs = ["pump"]
detector = "threshold"
above = 7.1
clear_below = 6.5
"#;

/// Above what anything here takes, for machines that are busy with something else.
const DEADLINE: Duration = Duration::from_secs(30);

/// A site whose gateway has these keys in `[local]`.
fn site(local: &str) -> Site {
    let site = Site::start(PUMP);
    let file = site.path().join("gateway.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("[local]\n").unwrap();
    let (_, after) = rest.split_once("[uplink.centre]").unwrap();
    fs::write(&file, format!("{before}[local]\nmode = \"embedded\"\n{local}\n[uplink.centre]{after}"))
        .unwrap();
    site
}

/// A port that the system gives to nobody else while the tests run: it stays bound, and nobody listens there.
fn free_port() -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    std::mem::forget(socket);
    port
}

fn run(site: &Site) -> Running {
    site.spawn(&["run", "-c", "gateway.toml"], "connected upstream")
}

#[track_caller]
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// The parent of a process that runs.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    fields.next().filter(|_| state != "Z")?.parse().ok()
}

/// The broker that belongs to a gateway.
fn broker_of(gateway: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").unwrap();
    let mut children = processes
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|&process| parent(process) == Some(gateway));
    let is_broker = |process: &u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.ends_with(b"\0broker\0")
    };
    children.find(is_broker)
}

fn gone(broker: u32) {
    eventually("the broker has ended", || parent(broker).is_none().then_some(()));
}

/// Publishes a value as a device again and again, until this many verdicts have arrived upstream; the status in
/// between is given first.
fn verdicts_of(site: &Site, device: &[&str], value: &str, count: &str) -> (Value, Vec<Value>) {
    let watch = ["watch", "-c", "gateway.toml", "--json", "--count", count];
    let receiver = site.spawn(&watch, "connected to");
    let send = [&["send", "-t", "plant/pump-1/vibration", "--message", value], device].concat();
    let text = std::thread::scope(|scope| {
        let received = scope.spawn(|| receiver.output());
        while !received.is_finished() {
            // While the broker is away, nobody is there to send to.
            command(site.path(), &send).output().unwrap();
        }
        received.join().unwrap()
    });
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let (mut status, verdicts): (Vec<Value>, Vec<Value>) =
        lines.partition(|line: &Value| !line["status"].is_null());
    (status.swap_remove(0)["status"].take(), verdicts)
}

fn states(verdicts: &[Value]) -> Vec<(&str, u64)> {
    verdicts
        .iter()
        .map(|verdict| (verdict["event"]["state"].as_str().unwrap(), verdict["seq"].as_u64().unwrap()))
        .collect()
}

#[test]
fn readings_become_verdicts_over_the_death_of_the_broker_and_of_the_gateway() {
    let port = free_port();
    let site = site(&format!("listen = \"127.0.0.1:{port}\""));
    let checked = verge(site.path(), &["check", "-c", "gateway.toml"]).expect(0).stdout;
    for words in [
        format!("local: listener 127.0.0.1:{port}: plain text, for this machine alone"),
        "local: MQTT connection as \"@verge-trial-check\"".to_owned(),
        "local: subscription to \"plant/+/vibration\"".to_owned(),
    ] {
        assert!(checked.contains(&format!("ok       {words}")), "{words} in\n{checked}");
    }

    let gateway = run(&site);
    let device = ["-c", "gateway.toml"];
    let (status, reported) = verdicts_of(&site, &device, "8.5", "1");
    assert_eq!(states(&reported), [("raised", 1)]);
    assert_eq!((&status["broker"]["serving"], &status["broker"]["restarts"]), (&true.into(), &0.into()));

    let checked = verge(site.path(), &["check", "-c", "gateway.toml"]).expect(0).stdout;
    assert!(checked.contains("in use, as the state folder is"), "{checked}");

    let first = broker_of(gateway.id()).unwrap();
    assert!(Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap().success());
    let second = eventually("another broker", || broker_of(gateway.id()).filter(|&broker| broker != first));
    let (_, reported) = verdicts_of(&site, &device, "5.0", "1");
    assert_eq!(states(&reported), [("cleared", 2)]);

    // Killed, not stopped.
    drop(gateway);
    gone(second);
    let gateway = run(&site);
    let third = broker_of(gateway.id()).unwrap();
    let (_, reported) = verdicts_of(&site, &device, "9.0", "1");
    assert_eq!(states(&reported), [("raised", 3)]);
    assert_eq!(gateway.stop(), 0);
    gone(third);
}

#[test]
fn devices_from_outside_show_a_certificate() {
    let port = free_port();
    let site = site(&format!(
        "listen = \"0.0.0.0:{port}\"\ncert = \"certs/localhost.pem\"\nkey = \"certs/localhost.key\"\nca = \"certs/ca.pem\""
    ));
    verge(site.path(), &["certs", "issue", "pump-1", "--usage", "client"]).expect(0);
    let checked = verge(site.path(), &["check", "-c", "gateway.toml"]).expect(0).stdout;
    assert!(checked.contains("local: certificate certs/localhost.pem: "), "{checked}");
    assert!(checked.contains(&format!("listener 0.0.0.0:{port}: mutual TLS")), "{checked}");

    let gateway = run(&site);
    let url = format!("mqtts://localhost:{port}");
    let anyone = ["--url", &url, "--ca", "certs/ca.pem"];
    let device = [&anyone[..], &["--cert", "certs/pump-1.pem", "--key", "certs/pump-1.key"]].concat();
    let (_, reported) = verdicts_of(&site, &device, "8.5", "1");
    assert_eq!(states(&reported), [("raised", 1)]);

    let send = |from: &[&str]| {
        verge(site.path(), &[&["send", "-t", "plant/pump-1/vibration", "--message", "1"], from].concat())
    };
    let refused = send(&anyone).expect(69).stderr;
    assert!(refused.contains("requires a certificate"), "{refused}");
    let thief = send(&[&device[..], &["--client-id", "@verge-trial"]].concat()).expect(69).stderr;
    assert!(thief.contains("refuses this client_id"), "{thief}");
    let unclear = send(&["-c", "gateway.toml"]).expect(64).stderr;
    assert!(unclear.contains("connect as one of them"), "{unclear}");
    assert_eq!(gateway.stop(), 0);
}

#[test]
fn a_listener_that_cannot_be_had_ends_the_gateway_in_words() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let site = site(&format!("listen = \"{address}\""));
    let ended = verge(site.path(), &["run", "-c", "gateway.toml"]).expect(75).stderr;
    assert!(ended.contains(&format!("local.listen: cannot listen on {address}")), "{ended}");
    let checked = verge(site.path(), &["check", "-c", "gateway.toml"]).expect(75).stdout;
    assert!(checked.contains(&format!("FAILED   local: listener {address}")), "{checked}");
}

#[test]
fn the_broker_alone_does_nothing_without_settings() {
    let ended = verge(Path::new("/"), &["broker"]).expect(64).stderr;
    assert!(ended.contains("`verge run` starts this program"), "{ended}");
    let help = verge(Path::new("/"), &["broker", "--help"]).expect(0).stdout;
    assert!(help.contains("verge-broker 1 PORT BYTES USER PASSWORD"), "{help}");
}
