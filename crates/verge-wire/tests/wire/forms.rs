//! What messages look like, to the byte.

use std::time::Duration;

use verge_domain::id::{Lane, OperatorText};
use verge_domain::stage::{Envelope, StoredRow};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{ActionKind, Body, OperatorAction, Severity, Verdict};
use verge_domain::withdrawn::Withdrawal;
use verge_wire::{Message, WireEncoder, WireFormat, WireLimits, read_message, read_verdict, verdict_json};

use crate::samples::{envelope, identity, message, rows, sample, stored, withdrawn, written};

#[test]
fn a_verdict_costs_few_bytes() {
    let row = stored(1, &sample());
    assert_eq!(row.bytes.len(), 125);
    let plain = message(WireFormat::Cbor, Lane::Alarm, &[sample()]);
    assert_eq!((plain[0], plain.len()), (0, 178));
    assert!(
        plain.windows(row.bytes.len()).any(|bytes| bytes == row.bytes),
        "stored bytes are sent as they are"
    );
    let batch = message(WireFormat::Cbor, Lane::Verdict, &vec![sample(); 20]);
    assert_eq!(batch[0], 1);
    assert!(batch.len() < 500, "20 verdicts in {} bytes", batch.len());
}

#[test]
fn the_json_twin_reads_as_documented() {
    let text = String::from_utf8(message(WireFormat::Json, Lane::Alarm, &[sample()])).unwrap();
    let expected = concat!(
        r#"{"v":1,"gateway":"pump-room-1","epoch":"abababababababababababababababab","lane":"alarm","#,
        r#""sent":"2023-11-14T22:13:21.000Z","verdicts":[{"seq":1,"judge":"vibration-high","source":"pump","#,
        r#""device":"pump-1","signal":"vibration","captured":"2023-11-14T22:13:19.960Z","clock":"trusted","#,
        r#""received":"2023-11-14T22:13:20.000Z","decided":"2023-11-14T22:13:20.002Z","age_ms":42,"#,
        r#""detector":"threshold","severity":"critical","#,
        r#""event":{"id":"11111111111111111111111111111111","state":"raised","#,
        r#""since":"2023-11-14T22:13:15.000Z","lasted_s":5.0},"#,
        r#""kind":"anomaly","anomaly":{"member":"high","observed":7.9,"expected":{"high":7.1},"unit":"mm/s"}}],"#,
        r#""age_ms":998}"#,
    );
    assert_eq!(text, expected);

    let alone = verdict_json(&identity(7, Lane::Alarm), &sample());
    for (key, value) in [
        ("gateway", "pump-room-1"),
        ("epoch", "abababababababababababababababab"),
        ("lane", "alarm"),
        ("judge", "vibration-high"),
        ("kind", "anomaly"),
    ] {
        assert_eq!(alone[key], value);
    }
    assert_eq!(alone["seq"], 7);
}

#[test]
fn the_json_twin_tells_the_age_of_the_input() {
    let check = |captured: Option<i64>, clock, decided: i64, age: u64| {
        let mut verdict = sample();
        let received = verdict.times.received.0;
        verdict.times.captured = captured.map(|offset| UtcMillis(received + offset));
        verdict.times.clock = clock;
        verdict.times.decided = UtcMillis(received + decided);
        assert_eq!(verdict_json(&identity(1, Lane::Alarm), &verdict)["age_ms"], age);
    };
    check(Some(-40), DeviceClock::Trusted, 2, 42);
    check(Some(-40), DeviceClock::Skewed, 2, 2);
    check(None, DeviceClock::Absent, 2, 2);
    // The gateway's clock was set back between.
    check(None, DeviceClock::Absent, -500, 0);
}

/// The indented blocks after a heading of docs/verdict.md.
fn blocks_of_the_manual(heading: &str) -> Vec<String> {
    let manual = include_str!("../../../../docs/verdict.md");
    let (_, section) = manual.split_once(heading).expect("the manual has this heading");
    let (section, _) = section.split_once("\n## ").expect("another heading follows");
    let paragraphs = section.split("\n\n").filter(|paragraph| paragraph.starts_with("    "));
    paragraphs.map(|block| block.lines().map(str::trim).collect()).collect()
}

/// Both examples of the manual: an alarm, which is built from what stands there, and what takes the place of
/// verdicts whose useful life was over.
#[test]
fn the_examples_of_the_manual_are_real_messages() {
    let blocks = blocks_of_the_manual("## The JSON twin");
    let [alarm, alarm_hex, gone, gone_hex] = &blocks[..] else { panic!("two examples in both forms") };
    let read = read_message(alarm.as_bytes(), WireLimits::default()).unwrap();
    let Message { gateway, epoch, lane, sent, age, volatile, verdicts, tombstones: _ } = read;
    let alarms: Vec<StoredRow> = verdicts.iter().map(|(seq, verdict)| stored(seq.0, verdict)).collect();
    let envelope = Envelope { gateway, epoch, lane, sent, age, volatile };
    check_example(&envelope, &alarms, alarm, alarm_hex);

    let at = |offset| UtcMillis(sent.0 + offset);
    let verdict = |seq: u64, observed, decided: i64| {
        let mut verdict = Verdict { severity: Severity::Info, lane: Lane::Verdict, ..sample() };
        let Body::Anomaly(anomaly) = &mut verdict.body else { panic!("the sample is an anomaly") };
        anomaly.observed = observed;
        verdict.times.decided = at(decided);
        stored(seq, &verdict)
    };
    let hour = 3_600_000;
    let old =
        [verdict(101, 7.25, -9 * hour), verdict(102, 9.5, -9 * hour + 41_000), verdict(103, 8.0, -8 * hour)];
    let rows = [StoredRow { decided: at(-hour), ..withdrawn(Lane::Verdict, &old, Withdrawal::Expired) }];
    let envelope = Envelope { lane: Lane::Verdict, age: Duration::from_hours(1), ..envelope };
    check_example(&envelope, &rows, gone, gone_hex);
}

fn check_example(envelope: &Envelope, rows: &[StoredRow], json: &str, hex: &str) {
    assert_eq!(String::from_utf8(written(WireFormat::Json, envelope, rows)).expect("JSON is text"), json);
    let cbor = written(WireFormat::Cbor, envelope, rows);
    assert_eq!(cbor.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex);
    let read = |bytes: &[u8]| read_message(bytes, WireLimits::default()).expect("a good message");
    assert_eq!(read(json.as_bytes()), read(&cbor));
}

/// Sent to see whether it arrives.
#[test]
fn a_message_of_nothing_is_one_in_both_forms() {
    for format in [WireFormat::Cbor, WireFormat::Json] {
        let mut message = Vec::new();
        WireEncoder::new(format).message(&envelope(Lane::Alarm), &[], &mut message).unwrap();
        let read = read_message(&message, WireLimits::default()).unwrap();
        assert!(read.verdicts.is_empty() && read.tombstones.is_empty() && read.lane == Lane::Alarm);
        let volatile = Envelope { volatile: true, ..envelope(Lane::Alarm) };
        assert!(WireEncoder::new(format).message(&volatile, &[], &mut message).is_err(), "it has an alarm");
    }
}

/// CloudEvents 1.0, section 3: the required attributes, an id that is the identity, the twin as data.
#[test]
fn a_batch_of_cloud_events_holds_one_for_each_verdict_and_tombstone() {
    let envelope = envelope(Lane::Alarm);
    let mut rows = rows(&[sample(), sample()]);
    rows.push(withdrawn(Lane::Alarm, &[stored(3, &sample())], Withdrawal::Refused));
    let text = written(WireFormat::CloudEvents, &envelope, &rows);
    let events: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let events = events.as_array().expect("a batch is a list");
    assert_eq!(events.len(), 3);
    let (gateway, epoch) = (&envelope.gateway, envelope.epoch);
    for (seq, event) in (1..).zip(events) {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], format!("{epoch}/alarm/{seq}"));
        assert_eq!(event["source"], format!("urn:verge:{gateway}"));
        assert_eq!(event["datacontenttype"], "application/json");
        assert_eq!(event["data"]["gateway"], gateway.as_str());
    }
    assert_eq!(events[0]["type"], "verge.anomaly.raised");
    assert_eq!(events[0]["data"], verdict_json(&identity(1, Lane::Alarm), &sample()));
    assert_eq!(events[0]["time"], events[0]["data"]["decided"]);
    assert_eq!(events[2]["type"], "verge.withdrawn");
    assert_eq!(events[2]["data"]["reason"], "refused");
    // Alarms without a number are distinguished by their event.
    let volatile = Envelope { volatile: true, ..envelope };
    let text = written(WireFormat::CloudEvents, &volatile, &[stored(0, &sample())]);
    let event: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let id = event[0]["id"].as_str().unwrap();
    assert!(id.starts_with(&format!("{epoch}/alarm/0/")) && id.ends_with("/raised"), "{id}");
}

#[test]
fn an_action_of_a_later_kind_is_left_out_and_the_rest_is_read() {
    let by = OperatorText::new("dashboard: anna").unwrap();
    let note = OperatorText::new("why").ok();
    let action = |kind| Some(Box::new(OperatorAction { kind, by: by.clone(), note: note.clone() }));
    let (plain, set) = (sample(), Verdict { action: action(ActionKind::Set), ..sample() });
    let mut bytes = stored(7, &set).bytes.to_vec();
    // Key 16, a map of three, key 0, code 3.
    let place = bytes.windows(4).position(|four| four == [0x10, 0xa3, 0x00, 0x03]).unwrap();
    assert_eq!(read_verdict(&bytes, set.lane).unwrap().1, set);
    bytes[place + 3] = 0x17;
    assert_eq!(read_verdict(&bytes, set.lane).unwrap().1, plain);
    let text = String::from_utf8(message(WireFormat::Json, set.lane, std::slice::from_ref(&set))).unwrap();
    let read =
        |text: &str| read_message(text.as_bytes(), WireLimits::default()).unwrap().verdicts.remove(0).1;
    assert_eq!((read(&text).action, read(&text.replace("\"set\"", "\"moved\""))), (set.action, plain));
}
