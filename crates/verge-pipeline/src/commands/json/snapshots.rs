//! Requests of pictures, and their answers. Pure.
//!
//! `{"id":"…","command":"snapshot","source":"cameras","device":"north"}` with `judge`, `annotate` and `max_bytes` beside it if
//! needed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use verge_domain::frame::SnapshotOrder;
use verge_domain::id::{DeviceId, JudgeId, SourceId};

use super::{only, text};
use crate::commands::{CommandError, RemoteCommand};
use crate::frames::TakenSnapshot;

/// Bytes of a picture where none are asked for: with base64 it fits what uplinks send by default.
const USUAL: usize = 40 * 1024;
const RANGE: std::ops::RangeInclusive<u64> = 4096..=1_048_576;

/// Reads a request.
pub(super) fn snapshot(keys: &Map<String, Value>) -> Result<RemoteCommand, CommandError> {
    const KNOWN: &[&str] = &["id", "command", "source", "device", "judge", "annotate", "max_bytes"];
    only(keys, KNOWN, "id, command, source, device, judge, annotate and max_bytes")?;
    let bad = |key, expected| CommandError::Bad { key, expected };
    let source = text(keys, "source").and_then(|name| SourceId::new(name).ok());
    let device = text(keys, "device").and_then(|name| DeviceId::new(name).ok());
    let judge = match keys.get("judge") {
        None => None,
        Some(name) => {
            let judge = name.as_str().and_then(|name| JudgeId::new(name).ok());
            Some(judge.ok_or(bad("judge", "a name"))?)
        }
    };
    let annotate = keys.get("annotate").map_or(Some(true), Value::as_bool);
    let max_bytes = match keys.get("max_bytes") {
        None => Some(USUAL),
        Some(bytes) => {
            let bytes = bytes.as_u64().filter(|bytes| RANGE.contains(bytes));
            bytes.and_then(|bytes| usize::try_from(bytes).ok())
        }
    };
    Ok(RemoteCommand::Snapshot(SnapshotOrder {
        source: source.ok_or(bad("source", "the name of a source of frames"))?,
        device: device.ok_or(bad("device", "the name of a camera"))?,
        judge,
        annotate: annotate.ok_or(bad("annotate", "true or false"))?,
        max_bytes: max_bytes.ok_or(bad("max_bytes", "a whole number from 4096 to 1048576"))?,
    }))
}

/// The picture.
pub(super) fn taken(id: Option<&str>, taken: &TakenSnapshot) -> Value {
    let TakenSnapshot { order, snapshot, captured, received } = taken;
    json!({
        "id": id,
        "ok": true,
        "source": order.source.as_str(),
        "device": order.device.as_str(),
        "captured": captured.at.map(|at| at.0),
        "received": received.wall.0,
        "width": snapshot.width,
        "height": snapshot.height,
        "bytes": snapshot.jpeg.len(),
        "jpeg": STANDARD.encode(&snapshot.jpeg),
    })
}

#[cfg(test)]
mod tests {
    use verge_domain::frame::FrameSnapshot;
    use verge_domain::observation::Captured;
    use verge_domain::time::{Moment, UtcMillis};

    use super::*;

    fn read(command: &Value) -> Result<SnapshotOrder, String> {
        let Value::Object(keys) = command else { panic!("an object") };
        match snapshot(keys) {
            Ok(RemoteCommand::Snapshot(order)) => Ok(order),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn requests_name_a_camera_and_may_say_how() {
        let least = read(&json!({ "command": "snapshot", "source": "s", "device": "d" })).unwrap();
        assert_eq!((least.judge, least.annotate, least.max_bytes), (None, true, 40_960));
        let all = json!({
            "id": "a", "command": "snapshot", "source": "s", "device": "d", "judge": "j", "annotate": false,
            "max_bytes": 8192,
        });
        let all = read(&all).unwrap();
        assert_eq!((all.judge.unwrap().as_str(), all.annotate, all.max_bytes), ("j", false, 8192));
        let refused = |key: &str, value: Value, expected: &str| {
            let mut command = json!({ "command": "snapshot", "source": "s", "device": "d" });
            command[key] = value;
            assert_eq!(read(&command).unwrap_err(), expected);
        };
        refused("source", json!(7), "source: missing, or not the name of a source of frames");
        refused("device", json!(""), "device: missing, or not the name of a camera");
        refused("judge", json!(null), "judge: missing, or not a name");
        refused("annotate", json!("yes"), "annotate: missing, or not true or false");
        let bytes = "max_bytes: missing, or not a whole number from 4096 to 1048576";
        for value in [json!(4095), json!(1_048_577), json!(-1), json!("8192")] {
            refused("max_bytes", value, bytes);
        }
        let keys = "unknown key beside id, command, source, device, judge, annotate and max_bytes";
        refused("quality", json!(9), keys);
    }

    #[test]
    fn the_answer_holds_the_picture_in_base64() {
        let snapshot = FrameSnapshot { jpeg: vec![0xff, 0xd8, 0xff], width: 4, height: 2 };
        let order = read(&json!({ "source": "s", "device": "d" })).unwrap();
        let received = Moment::from_wall(UtcMillis(7));
        let answer =
            taken(Some("a"), &TakenSnapshot { order, snapshot, captured: Captured::UNKNOWN, received });
        let expected = json!({
            "id": "a", "ok": true, "source": "s", "device": "d", "captured": null, "received": 7, "width": 4,
            "height": 2, "bytes": 3, "jpeg": "/9j/",
        });
        assert_eq!(answer, expected);
    }
}
