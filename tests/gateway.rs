//! The whole way: device, gateway, receiver, each a process of its own, over real sockets.

use serde_json::Value;

use crate::program::verge;
use crate::site::Site;

const PUMP: &str = r#"
[source.pump]
topic = "plant/+/vibration"
codec = "number"
device = "topic:1"
signal = "vibration"
unit = "mm/s"

[judge.high]
inputs = ["pump"]
detector = "threshold"
above = 7.1
clear_below = 6.5
severity = "critical"
"#;

fn states(verdicts: &[Value]) -> Vec<(&str, u64, f64)> {
    verdicts
        .iter()
        .filter(|verdict| verdict["status"].is_null())
        .map(|verdict| {
            let state = verdict["event"]["state"].as_str().unwrap();
            (state, verdict["seq"].as_u64().unwrap(), verdict["anomaly"]["observed"].as_f64().unwrap())
        })
        .collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn readings_become_verdicts_upstream_over_restarts() {
    let site = Site::start(PUMP);
    let send = |values: &[&str]| {
        for value in values {
            let arguments =
                ["send", "-c", "gateway.toml", "-t", "plant/pump-1/vibration", "--message", value];
            verge(site.path(), &arguments).expect(0);
        }
    };
    verge(site.path(), &["check", "-c", "gateway.toml", "--listen", "0"]).expect(0);
    let watch = ["watch", "-c", "gateway.toml", "--json", "--count", "2"];

    let gateway = site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    let receiver = site.spawn(&watch, "connected to");
    let second = verge(site.path(), &["run", "-c", "gateway.toml"]).expect(75);
    assert!(second.stderr.contains("another gateway"), "{}", second.stderr);
    send(&["7.0", "8.5", "7.0", "6.0"]);
    let reported = lines(&receiver.output());
    assert_eq!(states(&reported), [("raised", 1, 8.5), ("cleared", 2, 6.0)]);
    send(&["9.5"]);
    assert_eq!(gateway.stop(), 0);

    let summary = &verge(site.path(), &["outbox", "ls", "-c", "gateway.toml", "--json"]).expect(0).json()[0];
    assert_eq!(summary["lanes"][0]["last"], 3);
    assert_eq!(summary["routes"][0]["delivered"]["alarm"], 3);

    // The event that was open goes on under its identity.
    let gateway = site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    let receiver = site.spawn(&["watch", "-c", "gateway.toml", "--json", "--count", "1"], "connected to");
    send(&["5.0"]);
    let last = lines(&receiver.output());
    assert_eq!(states(&last), [("cleared", 4, 5.0)]);
    assert_eq!(gateway.stop(), 0);

    let exported = verge(site.path(), &["outbox", "export", "-c", "gateway.toml"]).expect(0).json();
    assert_eq!(exported.len(), 4);
    assert_eq!(exported[2]["event"]["id"], exported[3]["event"]["id"]);
    let numbers: Vec<_> = exported.iter().map(|verdict| verdict["event"]["number"].as_u64()).collect();
    assert_eq!(numbers, [Some(1), Some(1), Some(2), Some(2)], "short numbers count on over a restart");
    assert_eq!(
        exported[0],
        reported.iter().find(|line| line["seq"] == 1).cloned().unwrap(),
        "stored is what was sent"
    );
    let shown =
        verge(site.path(), &["outbox", "show", "-c", "gateway.toml", "alarm", "--from", "3"]).expect(0);
    assert!(shown.stdout.contains("critical  high: pump-1 vibration: high, 9.5 mm/s"), "{}", shown.stdout);
    assert_eq!(shown.stdout.lines().count(), 2);
}

#[test]
fn a_person_upstream_labels_an_alarm() {
    let site = Site::start(PUMP);
    let ask = |arguments: &[&str]| verge(site.path(), &[arguments, &["-c", "gateway.toml"]].concat());
    let gateway = site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    let watch = ["watch", "-c", "gateway.toml", "--json", "--count", "1"];
    let receiver = site.spawn(&watch, "connected to");
    let send = ["send", "-c", "gateway.toml", "-t", "plant/pump-1/vibration", "--message", "8.5"];
    verge(site.path(), &send).expect(0);
    assert_eq!(states(&lines(&receiver.output())), [("raised", 1, 8.5)]);
    // The store is read beside the running gateway.
    let shown = ask(&["alarms"]).expect(0).stdout;
    assert!(shown.starts_with("trial: 1 alarm in ") && shown.contains("; 1 open\n"), "{shown}");
    assert!(shown.contains("#1  ") && shown.contains("high: pump-1 vibration"), "{shown}");
    let document = ask(&["alarms", "--json"]).expect(0).json();
    assert_eq!(
        (&document[0]["open"][0]["number"], &document[0]["tags"][0]["alarms"]),
        (&1.into(), &1.into())
    );
    // 8.5 above a limit of 7.1.
    assert_eq!(document[0]["open"][0]["distance"], 1.2);
    let mistyped = ask(&["alarms", "--judge", "hihg"]).expect(64).stderr;
    assert!(
        mistyped.contains("there is no judge \"hihg\"") && mistyped.contains("high is probably meant"),
        "{mistyped}"
    );
    let labelled = ask(&["label", "--device", "pump-1", "real"]).expect(0);
    let again = "threshold does not learn from labels: the same will alarm again";
    assert_eq!(labelled.stdout, format!("noted for 1 signal; {again}\n"));
    let by_number = ask(&["label", "1", "false"]).expect(0).stdout;
    let about = "noted for 1 signal: event 1, pump-1 vibration (high)";
    let instead = "threshold does not learn from labels: to have fewer such alarms, move `above` or `below`, or set \
                   `raise_after`, in [judge.high]";
    let before = "it was labelled real before: the last label counts\n";
    assert_eq!(by_number, format!("{about}; {instead}; {before}"));
    let shown = ask(&["alarms"]).expect(0).stdout;
    assert!(shown.contains("  high: pump-1 vibration: labelled by uplink centre (false); "), "{shown}");
    assert!(!shown.contains("; labelled false\n"), "said once: {shown}");
    let unknown = ask(&["label", "7", "false"]).expect(65);
    assert!(
        unknown.stderr.contains("event 7 is not known; the newest 1024 at most are, here 1 to 1"),
        "{}",
        unknown.stderr
    );
    let refused = ask(&["label", "--device", "pump-2", "real"]).expect(65);
    assert!(refused.stderr.contains("devices that are watched: pump-1"), "{}", refused.stderr);
    let begun = ask(&["maintenance", "--device", "pump-1", "--signal", "vibration", "60"]).expect(0);
    assert!(begun.stdout.starts_with("no alarms until 2"), "{}", begun.stdout);
    let ended = ask(&["maintenance", "--device", "pump-1", "0", "--json"]).expect(0);
    assert_eq!(ended.json()[0]["ended"], 1);
    assert_eq!(gateway.stop(), 0);
}

#[test]
fn the_demo_proves_itself() {
    let folder = tempfile::tempdir().unwrap();
    let ended = verge(folder.path(), &["demo", "--seconds", "15"]).expect(0);
    for words in [
        "raised   critical pump-1 vibration: high",
        "counted           loop-north",
        "raised   warning  south: frozen",
        "cleared  warning  south: frozen",
        "forward  truth       backward  truth",
        "south stood still from 6 to 12 s: frozen was raised at ",
        "everything the scenario",
    ] {
        assert!(ended.stdout.contains(words), "{words:?} in {}", ended.stdout);
    }
    assert!(!ended.stderr.contains("ERROR"), "{}", ended.stderr);
    // Its certificates are its own: nobody is to replace them.
    assert!(!ended.stderr.contains(" ends on "), "{}", ended.stderr);
}
