//! Judges that depend on the state of a machine: `verge judge` on a recording and on a table of the same history.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::verge;

const CONFIGURATION: &str = r#"
[gateway]
id = "trial"
state_dir = "state"
[local]
url = "mqtt://localhost:1883"
[uplink.centre]
url = "mqtts://localhost:8883"
ca = "certs/ca.pem"
[source.plc]
topic = "plc/+/+"
codec = "number"
device = "topic:1"
signal = "topic:2"
words = { run = 1, stop = 0 }
[source.pump]
topic = "pump/+/+"
codec = "number"
device = "topic:1"
signal = "topic:2"
unit = "bar"
[judge.always]
inputs = ["pump:pressure"]
detector = "threshold"
below = 2
[judge.running]
inputs = ["pump:pressure"]
detector = "threshold"
below = 2
while = { signal = "plc:XS701", equals = 1, settle = "90s" }
[judge.apart]
inputs = ["pump:pressure"]
detector = "auto"
alarm_budget = "1/1d"
by = "plc:XS701"
"#;

/// A pump that runs for 40 minutes of each hour and rests for 20, at a reading a minute: time in minutes, whether it
/// runs, pressure. In the last hour it loses pressure while it runs, and stops then.
fn history() -> impl Iterator<Item = (u32, bool, f64)> {
    let mut noise = fastrand_like(7);
    (0..60 * 30).map(move |minute| {
        let runs = minute % 60 < 40;
        let fault = (60 * 29 + 30..60 * 29 + 50).contains(&minute);
        let level = match (runs, fault) {
            (true, true) => 1.5,
            (true, false) => 4.0,
            (false, _) => 0.2,
        };
        (minute, runs, level + 0.1 * noise())
    })
}

/// Noise in -1..1, the same each time.
fn fastrand_like(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1_u64 << 23) as f64 - 1.0
    }
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (mut recording, mut table) = (String::new(), "time;pressure;XS701\n".to_owned());
    for (minute, runs, pressure) in history() {
        let time = format!("2026-03-{:02}T{:02}:{:02}:00Z", 2 + minute / 1440, minute / 60 % 24, minute % 60);
        let word = if runs { "run" } else { "stop" };
        recording += &format!("{time} plc/p1/XS701 {word}\n{time} pump/p1/pressure {pressure:.4}\n");
        table += &format!("{time};{pressure:.4};{}\n", u8::from(runs));
    }
    for (name, text) in [("gateway.toml", CONFIGURATION), ("p1.log", &recording), ("p1.csv", &table)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// `minute state suspended` of each verdict about the pressure.
fn lives(folder: &Path, judge: &str, file: &str) -> Vec<String> {
    let ended = verge(folder, &["judge", "-c", "gateway.toml", judge, file]).expect(0);
    let verdicts: Vec<Value> = ended.json();
    let line = |verdict: &Value| {
        assert_eq!((verdict["device"].as_str(), verdict["signal"].as_str()), (Some("p1"), Some("pressure")));
        let suspended = if verdict["event"]["suspended"] == true { " suspended" } else { "" };
        let (at, state) =
            (verdict["received"].as_str().unwrap(), verdict["event"]["state"].as_str().unwrap());
        format!("{} {state}{suspended}", &at[8..16])
    };
    verdicts.iter().map(line).collect()
}

#[test]
fn a_judge_with_while_judges_the_running_machine_alone() {
    let folder = folder();
    let always = lives(folder.path(), "always", "p1.csv");
    assert_eq!(always.iter().filter(|line| line.ends_with("raised")).count(), 30, "each rest");
    let running = lives(folder.path(), "running", "p1.csv");
    let states: Vec<&str> = running.iter().map(|line| &line[9..]).collect();
    assert_eq!(states[0], "raised", "{running:?}");
    assert_eq!(running[0], "03T05:30 raised");
    assert_eq!(
        states.last(),
        Some(&"updated suspended"),
        "the event is not cleared by the stop: {running:?}"
    );
    assert_eq!(states.iter().filter(|state| **state == "raised").count(), 1);
    assert_eq!(running, lives(folder.path(), "running", "p1.log"), "a recording is judged alike");
}

#[test]
fn what_explains_most_events_is_suggested_also_where_the_judge_does_not_look_at_it() {
    let folder = folder();
    for (file, contact) in [("p1.csv", "pump:XS701"), ("p1.log", "plc:XS701")] {
        // By rules no budget is kept, and events follow the machine all the same.
        let ended = verge(folder.path(), &["judge", "-c", "gateway.toml", "always", file]).expect(0);
        let words = format!(
            "19 of the last 20 events came within 30 s after {contact} became 0: consider while = {{ signal = \"{contact}\", \
             equals = 1, settle = \"30s\" }}"
        );
        assert!(ended.stderr.contains(&words), "{file}: {}", ended.stderr);
        let judged = verge(folder.path(), &["judge", "-c", "gateway.toml", "running", file]).expect(0);
        assert!(!judged.stderr.contains("consider"), "it depends on the contact already: {}", judged.stderr);
    }
    let table = verge(folder.path(), &["judge", "-c", "gateway.toml", "always", "p1.csv"]).expect(0).stderr;
    assert!(table.contains("p1.csv: alarms: pressure 30\n"), "{table}");
    assert!(table.contains("p1.csv: the judge does not look at XS701\n"), "{table}");
}

#[test]
fn a_judge_with_by_learns_rest_and_run_apart() {
    let folder = folder();
    let apart = lives(folder.path(), "apart", "p1.csv");
    let raised: Vec<&String> = apart.iter().filter(|line| line.ends_with(" raised")).collect();
    assert_eq!(raised.last().map(|line| &line[..5]), Some("03T05"), "the loss of pressure: {apart:?}");
    assert!(raised.len() <= 4, "{apart:?}");
    assert_eq!(apart, lives(folder.path(), "apart", "p1.log"), "a recording is judged alike");
}

#[test]
fn a_table_without_the_state_says_which_column_is_missing() {
    let folder = folder();
    fs::write(folder.path().join("bare.csv"), "time;pressure\n2026-03-02T00:00:00Z;4\n").unwrap();
    let ended = verge(folder.path(), &["judge", "-c", "gateway.toml", "running", "bare.csv"]).expect(65);
    assert!(ended.stderr.contains("the state that the signal XS701 says"), "{}", ended.stderr);
}
