//! What stands in place of verdicts, and alarms without a number.

use bytes::Bytes;
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Envelope, StoredRow, Withdrawn};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::{Tombstone, Withdrawal};
use verge_wire::{WireEncoder, WireFormat, WireLimits, read_message, read_tombstone, tombstone_json};

use crate::samples::{envelope, rows, sample, stored, withdrawn, written};

const FORMATS: [WireFormat; 2] = [WireFormat::Cbor, WireFormat::Json];

fn bare(from: u64, through: u64, reason: Withdrawal) -> StoredRow {
    let withdrawn = Some(Withdrawn { through: Seq(through), reason });
    StoredRow { seq: Seq(from), decided: UtcMillis(1_700_000_000_500), bytes: Bytes::new(), withdrawn }
}

fn volatile() -> Envelope {
    Envelope { volatile: true, ..envelope(Lane::Alarm) }
}

#[test]
fn tombstones_stand_beside_verdicts_in_order() {
    let rows = [
        bare(1, 40, Withdrawal::EarlierEpoch),
        stored(41, &sample()),
        bare(42, 42, Withdrawal::Damaged),
        stored(43, &sample()),
    ];
    for format in FORMATS {
        let read =
            read_message(&written(format, &envelope(Lane::Alarm), &rows), WireLimits::default()).unwrap();
        assert_eq!(read.verdicts, [(Seq(41), sample()), (Seq(43), sample())]);
        let expected = [&rows[0], &rows[2]].map(|row| read_tombstone(row).unwrap().unwrap());
        assert_eq!(read.tombstones, expected);
        assert!(!read.volatile);
    }
    assert_eq!(read_tombstone(&rows[1]).unwrap(), None, "a verdict is no tombstone");
}

#[test]
fn tombstones_alone_are_a_message_without_verdicts() {
    for reason in Withdrawal::ALL {
        let rows = [bare(7, 9, reason)];
        for format in FORMATS {
            let bytes = written(format, &envelope(Lane::Telemetry), &rows);
            let read = read_message(&bytes, WireLimits::default()).unwrap();
            assert!(read.verdicts.is_empty());
            assert_eq!(read.tombstones, [read_tombstone(&rows[0]).unwrap().unwrap()]);
        }
        let json = String::from_utf8(written(WireFormat::Json, &envelope(Lane::Telemetry), &rows)).unwrap();
        assert!(!json.contains("verdicts") && !json.contains("summary"), "{json}");
        assert!(json.contains(&format!(r#""reason":"{}""#, reason.as_str())), "{json}");
    }
    let cbor = written(WireFormat::Cbor, &envelope(Lane::Telemetry), &[bare(7, 9, Withdrawal::TooLarge)]);
    assert_eq!(cbor[1], 0xa7, "seven entries: no verdicts, not volatile");
    assert!(
        cbor.ends_with(&[8, 0x81, 0xa4, 0, 7, 1, 9, 2, 4, 3, 0x1b, 0, 0, 1, 0x8b, 0xcf, 0xe5, 0x69, 0xf4])
    );
}

#[test]
fn a_tombstone_is_shown_with_its_whole_identity() {
    let Envelope { gateway, epoch, .. } = envelope(Lane::Alarm);
    let later = Verdict {
        times: verge_domain::verdict::Times { decided: UtcMillis(1_700_000_000_202), ..sample().times },
        ..sample()
    };
    let row = withdrawn(Lane::Verdict, &rows(&[sample(), later]), Withdrawal::Expired);
    let tombstone = read_tombstone(&row).unwrap().unwrap();
    assert_eq!(
        tombstone_json(&gateway, epoch, Lane::Verdict, &tombstone).to_string(),
        concat!(
            r#"{"at":"2023-11-14T22:13:20.900Z","epoch":"abababababababababababababababab","from":1,"#,
            r#""gateway":"pump-room-1","lane":"verdict","reason":"expired","summary":[{"count":2,"#,
            r#""device":"pump-1","first":"2023-11-14T22:13:20.002Z","high":7.9,"judge":"vibration-high","#,
            r#""last":"2023-11-14T22:13:20.202Z","low":7.9,"signal":"vibration"}],"through":2}"#,
        )
    );
    let bare = Tombstone { summary: vec![], ..tombstone };
    assert!(tombstone_json(&gateway, epoch, Lane::Verdict, &bare).get("summary").is_none());
}

#[test]
fn volatile_alarms_have_no_number() {
    for format in FORMATS {
        let bytes = written(format, &volatile(), &[stored(0, &sample())]);
        let read = read_message(&bytes, WireLimits::default()).unwrap();
        assert!(read.volatile);
        assert_eq!(read.verdicts, [(Seq::ZERO, sample())]);
    }
}

#[test]
fn messages_that_mix_up_numbers_are_not_written() {
    let check = |envelope: Envelope, rows: &[StoredRow], expected: &str| {
        for format in FORMATS {
            let mut out = Vec::new();
            let error = WireEncoder::new(format).message(&envelope, rows, &mut out).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
            assert!(out.is_empty());
        }
    };
    let unnumbered = stored(0, &sample());
    let gone = bare(1, 1, Withdrawal::Full);
    check(envelope(Lane::Alarm), std::slice::from_ref(&unnumbered), "outside a volatile message");
    check(volatile(), &[stored(1, &sample())], "alarms without numbers");
    check(volatile(), &[unnumbered.clone(), gone.clone()], "alarms without numbers");
    check(volatile(), &[gone], "alarms without numbers");
    check(Envelope { lane: Lane::Verdict, ..volatile() }, &[unnumbered], "alarms without numbers");
    check(volatile(), &[], "neither a verdict nor a tombstone");
    check(envelope(Lane::Alarm), &[bare(0, 3, Withdrawal::Full)], "from 0 to 3");
    check(envelope(Lane::Alarm), &[bare(4, 3, Withdrawal::Full)], "from 4 to 3");
}

#[test]
fn messages_that_mix_up_numbers_are_refused_in_json() {
    let text = |envelope: &Envelope, row: StoredRow| {
        String::from_utf8(written(WireFormat::Json, envelope, &[row])).unwrap()
    };
    let check = |text: &str, from: &str, to: &str, expected: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        let error = read_message(text.replacen(from, to, 1).as_bytes(), WireLimits::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
    };
    let alarm = text(&volatile(), stored(0, &sample()));
    check(&alarm, r#""seq":0"#, r#""seq":1"#, "alarms without numbers");
    check(&alarm, r#""lane":"alarm""#, r#""lane":"verdict""#, "alarms without numbers");
    check(&alarm, r#""volatile":true"#, r#""volatile":false"#, "outside a volatile message");
    let expired = withdrawn(Lane::Alarm, &rows(&[sample(), sample()]), Withdrawal::Expired);
    let gone = text(&envelope(Lane::Alarm), expired);
    check(&gone, r#""tombstones""#, r#""volatile":true,"tombstones""#, "alarms without numbers");
    check(&gone, r#""tombstones""#, r#""later""#, "neither a verdict nor a tombstone");
    check(&gone, r#""from":1"#, r#""from":0"#, "from 0 to 2");
    check(&gone, r#""from":1"#, r#""from":3"#, "from 3 to 2");
    check(&gone, r#""expired""#, r#""forgotten""#, "`forgotten` is none of the values");
    check(&gone, r#""at":"2023"#, r#""at":"x"#, "it is not a time (line 1");
    check(&gone, r#""low":7.9,"#, "", "summary low is missing");
    check(&gone, r#","high":7.9"#, "", "summary high is missing");
    check(&gone, r#""device":"pump-1","#, "", "summary device is missing");
}

#[test]
fn messages_that_mix_up_numbers_are_refused_in_cbor() {
    // Message: version 1, gateway "g", epoch, lane alarm, sent 0; then the rest.
    let head = [&[0, 1, 1, 0x61, b'g', 2, 0x50][..], &[7; 16], &[3, 0, 4, 0]].concat();
    let check = |entries: u8, rest: &[u8], expected: Result<(), &str>| {
        let bytes = [&[0, 0xa0 | entries][..], &head, rest].concat();
        match (read_message(&bytes, WireLimits::default()), expected) {
            (Ok(message), Ok(())) => assert_eq!(message.age, std::time::Duration::ZERO, "of older gateways"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{error} does not contain {expected:?}");
            }
            (found, _) => panic!("{found:?} for {rest:02x?}"),
        }
    };
    let good = [8, 0x81, 0xa4, 0, 7, 1, 9, 2, 4, 3, 0];
    let with = |at: usize, byte: u8| {
        let mut bytes = good;
        bytes[at] = byte;
        bytes
    };
    check(6, &good, Ok(()));
    check(5, &[], Err("neither a verdict nor a tombstone"));
    check(6, &[8, 0x80], Err("neither a verdict nor a tombstone"));
    check(6, &with(4, 0), Err("from 0 to 9"));
    check(6, &with(4, 10), Err("from 10 to 9"));
    check(6, &with(8, 5), Ok(()));
    check(6, &with(8, 6), Ok(()));
    check(6, &with(8, 7), Err("reason has no code 7"));
    check(6, &with(9, 4), Err("CBOR"));
    check(6, &with(9, 2), Err("reason stands there twice"));
    check(6, &with(1, 0x9f), Err("tombstones is of indefinite length"));
    check(6, &[8, 0x81, 0xa3, 0, 7, 1, 9, 2, 4], Err("tombstone at is missing"));
    check(6, &[8, 0x81, 0xa3, 0, 7, 2, 4, 3, 0], Err("tombstone through is missing"));
    check(7, &[&[7, 0xf5][..], &good].concat(), Err("alarms without numbers"));
    check(
        6,
        &[&[8, 0x81, 0xa5], &good[3..], &[4, 0x9f, 0xff]].concat(),
        Err("summary is of indefinite length"),
    );
    let summary = |entries: &[u8]| [&[8, 0x81, 0xa5], &good[3..], &[4, 0x81], entries].concat();
    check(6, &summary(&[0xa4, 0, 0x61, b'j', 3, 2, 4, 0, 5, 9]), Ok(()));
    check(6, &summary(&[0xa3, 0, 0x61, b'j', 3, 2, 4, 0]), Err("summary last is missing"));
    check(
        6,
        &summary(&[0xa5, 0, 0x61, b'j', 2, 0x61, b's', 3, 2, 4, 0, 5, 9]),
        Err("summary device is missing"),
    );
    check(
        6,
        &summary(&[0xa5, 0, 0x61, b'j', 3, 2, 4, 0, 5, 9, 6, 0xf9, 0, 0]),
        Err("summary high is missing"),
    );
    check(
        6,
        &summary(&[0xa6, 0, 0x61, b'j', 3, 2, 4, 0, 5, 9, 6, 0xf9, 0, 0, 7, 0xf9, 0x7c, 0]),
        Err("summary high is not finite"),
    );
}
