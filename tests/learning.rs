//! `verge learn`: what history teaches a judge is what the gateway would have learnt, and the gateway goes on from it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use verge_domain::stage::{StateStore, is_learnt};
use verge_outbox::{Outbox, OutboxSettings};
use verge_pipeline::clock::Clock;

use crate::program::verge;
use crate::site::Site;

pub(crate) const PLANT: &str = r#"
[source.plant]
topic = "plant/+"
codec = "json"
device = "topic:1"
time = { pointer = "/t", format = "auto" }
[[source.plant.reading]]
pointer = "/temp"
unit = "°C"
[[source.plant.reading]]
pointer = "/flow"

[judge.unusual]
inputs = ["plant"]

[judge.high]
inputs = ["plant"]
detector = "threshold"
above = 1e9
"#;

/// Readings of one device, ten seconds apart: their messages as a recording, the first some 65 minutes ago.
pub(crate) fn recording(readings: std::ops::Range<u32>, value: impl Fn(u32) -> f64) -> String {
    let begin = Clock::start().now().wall.0 / 1000 * 1000 - 3_900_000;
    let line = |reading: u32| {
        let at = begin + i64::from(reading) * 10_000;
        // Noise that does not repeat.
        let noise = |by: f64| (f64::from(reading) * by).sin() + (f64::from(reading) * by * 1.7).cos();
        let payload = json!({ "t": at, "temp": value(reading) + noise(7.1), "flow": 3.0 + noise(11.3) });
        let payload = payload.to_string();
        json!({ "tst": at.to_string(), "topic": "plant/pump-1", "payload": payload }).to_string() + "\n"
    };
    readings.map(line).collect()
}

/// Learnt states in the store of the site in this folder, by key.
pub(crate) fn states(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let settings = OutboxSettings {
        dir: folder.join("state/store"),
        cap_bytes: 1 << 24,
        replay_age: std::time::Duration::from_secs(3600),
        replay_bytes: 1 << 20,
        states_bytes: 1 << 20,
        ballast_bytes: 0,
        drop_oldest: false,
        lives: [None; 3],
        key: None,
    };
    let mut store = Outbox::open(&settings).unwrap().outbox;
    let saved = store.checkpoints().unwrap().into_iter().filter(|one| is_learnt(&one.key));
    let mut states: Vec<_> = saved.map(|one| (one.key, one.state.unwrap())).collect();
    states.sort();
    states
}

/// Lets the gateway of a site judge a recording, from its start to its stop.
pub(crate) fn run(site: &Site, recording: &str) {
    let gateway = site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    judge_all(site, recording);
    assert_eq!(gateway.stop(), 0);
}

/// Lets a running gateway judge a recording to its end; its judge `high` raises an alarm behind it.
pub(crate) fn judge_all(site: &Site, recording: &str) {
    let mut receiver = site.spawn(&["watch", "-c", "gateway.toml", "--json"], "connected to");
    fs::write(site.path().join("sent.jsonl"), recording).unwrap();
    verge(site.path(), &["send", "-c", "gateway.toml", "--recorded", "sent.jsonl"]).expect(0);
    // Messages are judged in order: once this alarm has come, all are. Of a device of its own: that of an earlier run is
    // still open.
    let now = Clock::start().now().wall.0;
    let (device, last) = (format!("end-{now}"), json!({ "t": now, "temp": 2e9, "flow": 1.0 }).to_string());
    let topic = format!("plant/{device}");
    verge(site.path(), &["send", "-c", "gateway.toml", "-t", &topic, "--message", &last]).expect(0);
    receiver.lines().find("the alarm at the end", |verdict| verdict["device"] == device.as_str());
}

/// What stored verdicts say about their events, without identities and times of receipt.
fn events(site: &Site) -> Vec<Value> {
    let exported = verge(site.path(), &["outbox", "export", "-c", "gateway.toml"]).expect(0).json();
    let said = |verdict: &Value| {
        let event = &verdict["event"];
        json!([verdict["signal"], event["number"], event["state"], event["since"], verdict["anomaly"]])
    };
    exported.iter().filter(|verdict| verdict["judge"] == "unusual").map(said).collect()
}

#[test]
fn a_judge_that_learnt_from_history_is_one_that_saw_it() {
    let history = recording(0..340, |_| 90.0);
    let fault = recording(340..360, |_| 130.0);

    let saw = Site::start(PLANT);
    run(&saw, &history);
    let seen = states(saw.path());
    assert_eq!(seen.len(), 2, "one of each signal");

    let learnt = Site::start(PLANT);
    fs::write(learnt.path().join("history.jsonl"), &history).unwrap();
    let learn = ["learn", "-c", "gateway.toml", "unusual", "history.jsonl"];
    let said = verge(learnt.path(), &learn).expect(0).stdout;
    assert!(said.starts_with("unusual: 2 signals learnt from 680 readings, 20"), "{said}");
    assert!(said.contains("the gateway goes on from it at its next start"), "{said}");
    assert!(states(learnt.path()) == seen, "the same states, byte by byte");

    // What it has learnt is kept, unless it is to be replaced.
    let again = verge(learnt.path(), &learn).expect(0).stdout;
    assert!(again.contains("0 signals learnt") && again.contains("--replace replaces them"), "{again}");
    let replaced: Vec<&str> = learn.iter().copied().chain(["--replace"]).collect();
    assert!(verge(learnt.path(), &replaced).expect(0).stdout.contains("2 signals learnt"));

    let before = events(&saw).len();
    run(&saw, &fault);
    run(&learnt, &fault);
    let (found, expected) = (events(&learnt), events(&saw).split_off(before));
    assert!(found.iter().any(|event| event[2] == "raised" && event[0] == "temp"), "{found:?}");
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        // Numbers count on from what each gateway has raised so far.
        assert_eq!(
            (&found[0], &found[2], &found[3], &found[4]),
            (&expected[0], &expected[2], &expected[3], &expected[4])
        );
    }
}

#[test]
fn history_that_cannot_be_learnt_from_is_named_and_a_running_gateway_is_left_alone() {
    let site = Site::start(PLANT);
    let learn =
        |arguments: &[&str]| verge(site.path(), &[&["learn", "-c", "gateway.toml"], arguments].concat());
    let write = |name: &str, text: &str| fs::write(site.path().join(name), text).unwrap();
    let history = recording(0..100, |_| 90.0);
    write("history.jsonl", &history);
    write("empty.jsonl", "");
    let refused = learn(&["unusual", "empty.jsonl"]).expect(65).stderr;
    assert!(refused.contains("no reading of the history is judged"), "{refused}");
    let refused = learn(&["unusual", "history.jsonl", "./history.jsonl"]).expect(64).stderr;
    assert!(refused.contains("is given twice"), "{refused}");
    let refused = learn(&["high", "history.jsonl"]).expect(64).stderr;
    assert!(refused.contains("follows rules and does not learn"), "{refused}");
    write("short.jsonl", &recording(0..5, |_| 90.0));
    let refused = learn(&["unusual", "short.jsonl"]).expect(65).stderr;
    assert!(refused.contains("no signal of the history has eight readings"), "{refused}");

    // Two halves in the wrong order are put in order; within one file what lies before is left out.
    let (first, second) = history.split_at(history.len() / 2);
    let second_begins = second.find('\n').unwrap() + 1;
    let (cut, second) = second.split_at(second_begins);
    let first = format!("{first}{cut}");
    write("first.jsonl", &first);
    write("second.jsonl", second);
    let whole = learn(&["unusual", "history.jsonl", "--json"]).expect(0).json();
    let states_of_whole = states(site.path());
    let halves = learn(&["unusual", "second.jsonl", "first.jsonl", "--replace", "--json"]).expect(0).json();
    assert_eq!(halves[0]["readings"], whole[0]["readings"]);
    assert!(states(site.path()) == states_of_whole);
    write("swapped.jsonl", &format!("{second}{first}"));
    let swapped = learn(&["unusual", "swapped.jsonl", "--replace"]).expect(0).stderr;
    assert!(swapped.contains("before the one in front of it (sort the file by time"), "{swapped}");
    // A pause within it is no fault of a history.
    write("gap.jsonl", &format!("{}{}", recording(0..60, |_| 90.0), recording(300..340, |_| 90.0)));
    let gap = learn(&["unusual", "gap.jsonl", "--replace"]).expect(0).stdout;
    assert!(
        gap.starts_with("unusual: 2 signals learnt from 200 readings, 20") && gap.contains("no alarm"),
        "{gap}"
    );
    // What a clock sets in the future would hold the judge up.
    write("future.jsonl", &format!("{history}{}", recording(1_000..1_001, |_| 90.0)));
    let future = learn(&["unusual", "future.jsonl", "--replace"]).expect(0).stderr;
    assert!(future.contains("1 message lies in the future"), "{future}");

    let gateway = site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    let refused = learn(&["unusual", "history.jsonl"]).expect(75).stderr;
    assert!(refused.contains("the gateway runs and holds its store: stop it"), "{refused}");
    assert_eq!(gateway.stop(), 0);
}
