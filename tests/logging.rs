//! A log that cannot be written neither keeps a gateway from starting, nor ends it, nor holds it up.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::command;
use crate::site::Running;

/// Neither broker can be reached: each attempt to connect is a line in the log.
const CONFIGURATION: &str = r#"
[gateway]
id = "trial"
state_dir = "state"

[local]
url = "mqtt://127.0.0.1:1"

[uplink.centre]
url = "mqtt://127.0.0.1:1"
insecure_plaintext = true

[source.pump]
topic = "plant/+/vibration"
codec = "number"
device = "topic:1"
signal = "vibration"

[judge.high]
inputs = ["pump"]
detector = "threshold"
above = 7.1
"#;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gateway.toml"), CONFIGURATION).unwrap();
    folder
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "not within 30 s: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Starts a gateway with this as standard error.
fn start(folder: &Path, stderr: Stdio) -> std::process::Child {
    let mut command = command(folder, &["run", "-c", "gateway.toml"]);
    command.env("VERGE_LOG", "trace").stdout(Stdio::null()).stderr(stderr).spawn().unwrap()
}

/// It has opened its store and gone on for some lines.
fn runs(folder: &Path, gateway: &mut Running) {
    until("the store is open", || {
        assert!(gateway.is_running(), "it has ended");
        folder.join("state/store/outbox.db").exists()
    });
    let begin = Instant::now();
    until("it goes on", || {
        assert!(gateway.is_running(), "it has ended");
        begin.elapsed() > Duration::from_secs(2)
    });
}

#[test]
fn a_gateway_runs_while_standard_error_is_a_full_disk() {
    let folder = folder();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut gateway = Running::from(start(folder.path(), full.into()));
    runs(folder.path(), &mut gateway);
    assert_eq!(gateway.stop(), 0);
}

#[test]
fn a_gateway_runs_while_standard_error_is_a_closed_pipe() {
    let folder = folder();
    let mut child = start(folder.path(), Stdio::piped());
    drop(child.stderr.take());
    let mut gateway = Running::from(child);
    runs(folder.path(), &mut gateway);
    assert_eq!(gateway.stop(), 0);
}

#[test]
fn a_gateway_stops_while_the_reader_of_standard_error_stands_still() {
    let folder = folder();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let stderr = writer.try_clone().unwrap();
    // Fills the pipe; ends once the reader is closed.
    let filler = std::thread::spawn(move || while writer.write_all(&[b'\n'; 4096]).is_ok() {});
    let mut gateway = Running::from(start(folder.path(), stderr.into()));
    runs(folder.path(), &mut gateway);
    assert_eq!(gateway.stop(), 0);
    drop(reader);
    filler.join().unwrap();
}
