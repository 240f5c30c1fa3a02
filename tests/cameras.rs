//! Cameras that fall silent: judges over readings watch when frames arrive, without a model.

use std::fs;

use serde_json::{Value, json};
use verge_vision::Picture;
use verge_vision::annotate::encode;

use crate::program::verge;
use crate::site::Site;

const CAMERAS: &str = r#"
[source.cameras]
topic = "gate/+/frame"
codec = "jpeg"
device = "topic:1"

[source.parts]
topic = "line/+/part"
codec = "jpeg"
device = "topic:1"
frames = "every"

[judge.alive]
inputs = ["cameras", "parts"]
detector = "silence"
after = "1s"
update_every = "1s"
severity = "critical"
"#;

fn picture() -> Vec<u8> {
    encode(&Picture::from_rgb(16, 16, vec![90; 16 * 16 * 3])).unwrap()
}

#[test]
fn a_camera_that_falls_silent_is_reported_until_it_is_back_also_over_a_restart() {
    let site = Site::start(CAMERAS);
    fs::write(site.path().join("frame.jpg"), picture()).unwrap();
    let send = |topic: &str| {
        verge(site.path(), &["send", "-c", "gateway.toml", "-t", topic, "frame.jpg"]).expect(0);
    };
    let checked = verge(site.path(), &["check", "-c", "gateway.toml", "--listen", "0"]).expect(0);
    let step = checked.stdout.lines().find(|line| line.contains("judge.alive")).unwrap();
    assert!(step.contains("arrival of frames, camera by camera"), "{step}");

    let run = || site.spawn(&["run", "-c", "gateway.toml"], "connected upstream");
    let gateway = run();
    let mut watch = site.spawn(&["watch", "-c", "gateway.toml", "--json"], "connected to");
    let reported = watch.lines();
    let next = |device: &str, state: &str| {
        reported.find(&format!("{device} {state}"), |line| {
            line["device"] == device && line["event"]["state"] == state
        })
    };
    // The identity of its second silence.
    let silent_again = |source: &str, device: &str, topic: &str| {
        send(topic);
        let raised = next(device, "raised");
        assert_eq!((&raised["judge"], &raised["source"]), (&"alive".into(), &source.into()), "{raised:#}");
        assert!(raised["signal"].is_null(), "{raised:#}");
        assert_eq!(raised["health"]["cause"], "silent");
        assert!(raised["health"]["observed"].as_f64() > Some(1.0), "{raised:#}");
        send(topic);
        assert_eq!(next(device, "cleared")["event"]["id"], raised["event"]["id"]);
        next(device, "raised")["event"]["id"].clone()
    };
    silent_again("parts", "press", "line/press/part");
    let id = silent_again("cameras", "north", "gate/north/frame");

    assert_eq!(gateway.stop(), 0);
    let stopped = reported.find("the last status", |line| line["status"]["state"] == "stopped");
    let cameras = stopped["status"]["sources"].as_array().unwrap();
    for (source, device) in [("cameras", "north"), ("parts", "press")] {
        let source = cameras.iter().find(|one| one["name"] == source).unwrap();
        assert_eq!((&source["cameras"], &source["camera_ages"][0]["device"]), (&1.into(), &device.into()));
        assert!(source["camera_ages"][0]["age_ms"].as_u64() > Some(1000), "{source:#}");
    }

    // Dead since before the restart: still reported, under the same identity, until it is back.
    let gateway = run();
    let updated = next("north", "updated");
    assert_eq!((&updated["event"]["id"], &updated["source"]), (&id, &"cameras".into()));
    send("gate/north/frame");
    assert_eq!(next("north", "cleared")["event"]["id"], id);
    assert_eq!(gateway.stop(), 0);
}

/// What a judge over cameras would have said to a recording; `health` learns how often each sends.
#[test]
fn a_recording_shows_when_cameras_were_silent() {
    let folder = tempfile::tempdir().unwrap();
    let health = "[judge.usual]\ninputs = [\"cameras\"]\ndetector = \"health\"\ncauses = [\"silent\"]\n\
                  [judge.sees]\ninputs = [\"cameras\"]\ndetector = \"health\"\n";
    let rest = "[gateway]\nid = \"g\"\n[local]\nurl = \"mqtt://localhost:1883\"\n[uplink.centre]\n\
                url = \"mqtt://localhost:8883\"\ninsecure_plaintext = true\n";
    fs::write(folder.path().join("gateway.toml"), format!("{CAMERAS}{health}{rest}")).unwrap();
    let picture = base64(&picture());
    let line = |second: u64, camera: &str| {
        let time = jiff::Timestamp::from_second(1_767_323_000 + i64::try_from(second).unwrap()).unwrap();
        json!({ "tst": time.to_string(), "topic": format!("gate/{camera}/frame"), "payload_base64": picture })
    };
    // Two cameras in their rhythms; one pauses for ten minutes.
    let mut lines = Vec::new();
    for second in (0..1600).filter(|second| second % 5 == 0) {
        lines.push(line(second, "south").to_string());
        if !(800..1400).contains(&second) {
            lines.push(line(second, "north").to_string());
        }
    }
    fs::write(folder.path().join("day.jsonl"), lines.join("\n")).unwrap();
    let judge = |name| verge(folder.path(), &["judge", "-c", "gateway.toml", name, "day.jsonl"]).expect(0);
    let ended = judge("usual");
    let reported: Vec<(Value, Value, Value)> = ended
        .json()
        .into_iter()
        .filter(|line| line["event"]["state"] != "updated")
        .map(|line| (line["device"].clone(), line["health"]["cause"].clone(), line["event"]["state"].clone()))
        .collect();
    let expected = |state: &str| (json!("north"), json!("silent"), json!(state));
    assert_eq!(reported, [expected("raised"), expected("cleared")]);
    assert!(ended.stderr.contains("520 messages, 520 frames"), "{}", ended.stderr);
    // It is always the same picture.
    let mut frozen: Vec<_> =
        judge("sees").json().into_iter().filter(|line| line["health"]["cause"] == "frozen").collect();
    frozen.retain(|line| line["event"]["state"] == "raised");
    let devices: Vec<&str> = frozen.iter().filter_map(|line| line["device"].as_str()).collect();
    assert_eq!(devices, ["south", "north"]);
    assert!(judge("alive").json().iter().any(|line| line["device"] == "south"), "5 s are more than 1 s");

    let refused = verge(folder.path(), &["judge", "-c", "gateway.toml", "alive", "."]).expect(64);
    assert!(refused.stderr.contains("watches when frames arrive"), "{}", refused.stderr);
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
