//! Verdicts and messages: what is written is read back exactly, in both forms, and bytes that are no message
//! are refused.

use bytes::Bytes;
use proptest::prelude::*;
use verge_codec::wire::{
    Message, WireEncoder, WireError, WireFormat, WireLimits, read_message, read_verdict, verdict_json,
};
use verge_domain::finding::{Expected, Member};
use verge_domain::frame::{Classification, Detection, Detections, PixelBox, Score, Scored};
use verge_domain::id::{
    DeviceId, Epoch, EventId, GatewayId, Identity, JudgeId, Label, Lane, ModelName, Seq, SignalId, SourceId,
    Unit,
};
use verge_domain::stage::{Encoder, Envelope, StoredRow};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    Anomaly, Body, Counts, Detector, Event, EventState, Health, Model, Severity, Subject, Times, Verdict,
};

const NAME: &str = "a name from a strategy of names";

fn envelope(lane: Lane) -> Envelope {
    Envelope {
        gateway: GatewayId::new("pump-room-1").expect(NAME),
        epoch: Epoch([0xab; 16]),
        lane,
        sent: UtcMillis(1_700_000_001_000),
    }
}

fn sample() -> Verdict {
    let received = UtcMillis(1_700_000_000_000);
    Verdict {
        judge: JudgeId::new("vibration-high").expect(NAME),
        subject: Subject {
            source: SourceId::new("pump").expect(NAME),
            device: DeviceId::new("pump-1").expect(NAME),
            signal: Some(SignalId::new("vibration").expect(NAME)),
        },
        times: Times {
            captured: Some(UtcMillis(received.0 - 40)),
            clock: DeviceClock::Trusted,
            received,
            decided: UtcMillis(received.0 + 2),
        },
        detector: Detector::Threshold,
        model: None,
        severity: Severity::Critical,
        lane: Lane::Alarm,
        event: Some(Event {
            id: EventId([0x11; 16]),
            state: EventState::Raised,
            since: UtcMillis(received.0 - 5000),
            lasted_ms: 5000,
        }),
        body: Body::Anomaly(Anomaly {
            member: Member::High,
            observed: 7.9,
            expected: Expected { low: None, high: Some(7.1) },
            p_value: None,
            unit: Some(Unit::new("mm/s").expect(NAME)),
        }),
    }
}

fn identity(seq: u64, lane: Lane) -> Identity {
    let Envelope { gateway, epoch, .. } = envelope(lane);
    Identity { gateway, epoch, lane, seq: Seq(seq) }
}

fn stored(seq: u64, verdict: &Verdict) -> StoredRow {
    let mut bytes = Vec::new();
    WireEncoder::new(WireFormat::Cbor)
        .verdict(&identity(seq, verdict.lane), verdict, &mut bytes)
        .expect("verdicts of these tests are finite");
    StoredRow { seq: Seq(seq), decided: verdict.times.decided, bytes: Bytes::from(bytes) }
}

fn message(format: WireFormat, lane: Lane, verdicts: &[Verdict]) -> Vec<u8> {
    let rows: Vec<StoredRow> = (1..).zip(verdicts).map(|(seq, verdict)| stored(seq, verdict)).collect();
    let mut out = b"what was there before".to_vec();
    WireEncoder::new(format).message(&envelope(lane), &rows, &mut out).expect("stored verdicts can be read");
    out
}

#[test]
fn a_verdict_costs_few_bytes() {
    let row = stored(1, &sample());
    assert_eq!(row.bytes.len(), 125);
    let plain = message(WireFormat::Cbor, Lane::Alarm, &[sample()]);
    assert_eq!((plain[0], plain.len()), (0, 174));
    assert!(plain.ends_with(&row.bytes), "stored bytes are sent as they are");
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
        r#""received":"2023-11-14T22:13:20.000Z","decided":"2023-11-14T22:13:20.002Z","#,
        r#""detector":"threshold","severity":"critical","#,
        r#""event":{"id":"11111111111111111111111111111111","state":"raised","#,
        r#""since":"2023-11-14T22:13:15.000Z","lasted_s":5.0},"#,
        r#""kind":"anomaly","anomaly":{"member":"high","observed":7.9,"expected":{"high":7.1},"unit":"mm/s"}}]}"#,
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

/// The indented blocks after a heading of docs/verdict.md.
fn blocks_of_the_manual(heading: &str) -> Vec<String> {
    let manual = include_str!("../../../docs/verdict.md");
    let (_, section) = manual.split_once(heading).expect("the manual has this heading");
    let (section, _) = section.split_once("\n## ").expect("another heading follows");
    let paragraphs = section.split("\n\n").filter(|paragraph| paragraph.starts_with("    "));
    paragraphs.map(|block| block.lines().map(str::trim).collect()).collect()
}

#[test]
fn the_examples_of_the_manual_are_one_real_message() {
    let [json, hex] = &blocks_of_the_manual("## The JSON twin")[..] else { panic!("two examples") };
    let read = read_message(json.as_bytes(), WireLimits::default()).unwrap();
    let Message { gateway, epoch, lane, sent, verdicts } = read;
    let rows: Vec<StoredRow> = verdicts.iter().map(|(seq, verdict)| stored(seq.0, verdict)).collect();
    let written = |format| {
        let mut out = Vec::new();
        let envelope = Envelope { gateway: gateway.clone(), epoch, lane, sent };
        WireEncoder::new(format).message(&envelope, &rows, &mut out).unwrap();
        out
    };
    assert_eq!(String::from_utf8(written(WireFormat::Json)).unwrap(), *json);
    let bytes: String = written(WireFormat::Cbor).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(bytes, *hex);
}

#[test]
fn verdicts_that_break_an_invariant_are_not_written() {
    let check = |spoil: fn(&mut Verdict), expected: &str| {
        let mut verdict = sample();
        spoil(&mut verdict);
        let mut out = Vec::new();
        let error = WireEncoder::new(WireFormat::Cbor)
            .verdict(&identity(1, Lane::Alarm), &verdict, &mut out)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
        assert!(out.is_empty());
    };
    check(
        |verdict| {
            let expected = Expected::default();
            verdict.body = Body::Health(Health { cause: Member::Silent, observed: f64::NAN, expected });
        },
        "observed is not finite",
    );
    check(|verdict| verdict.times.received = UtcMillis(i64::MAX), "received is not a time");
    check(|verdict| verdict.times.captured = Some(UtcMillis(i64::MIN)), "captured is not a time");
    check(|verdict| verdict.times.clock = DeviceClock::Absent, "come together");
    let mut out = Vec::new();
    let empty = WireEncoder::new(WireFormat::Cbor).message(&envelope(Lane::Alarm), &[], &mut out);
    assert!(empty.unwrap_err().to_string().contains("no verdict"));
}

#[test]
fn bytes_that_are_no_message_are_refused() {
    let check = |bytes: &[u8], expected: &str| {
        let error = read_message(bytes, WireLimits { max_message_bytes: 200 }).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
    };
    let good = message(WireFormat::Cbor, Lane::Alarm, &[sample()]);
    check(b"", "empty");
    check(b"\x02", "0x02");
    check(b"hello", "0x68");
    check(&[0; 201], "exceeds the limit of 200");
    check(&[&good[..], &[0]].concat(), "1 bytes follow the end");
    check(&good[..good.len() - 1], "CBOR");
    check(&[0, 0xa0], "version is missing");
    check(&[0, 0xbf, 0xff], "indefinite length");
    check(&[0, 0xa1, 0, 2], "version 2");
    check(&[0, 0xa2, 0, 1, 0, 1], "version stands there twice");
    check(&[0, 0xa1, 3, 3], "lane has no code 3");
    check(&[0, 0xa1, 5, 0x80], "lane is missing");
    check(&[0, 0xa1, 1, 0x60], "gateway: a name must not be empty");
    check(&[0, 0xa1, 2, 0x41, 0], "epoch is not 16 bytes long");
    check(&[1, 0xff, 0xff, 0xff, 0x7f, 0], "claims to unpack");
    check(&[1, 200, 0, 0, 0], "cannot hold");
    check(b"{", "JSON");
    check(br#"{"v":1}"#, "missing field");
}

#[test]
fn versions_are_told_apart_in_both_forms() {
    let mut cbor = message(WireFormat::Cbor, Lane::Alarm, &[sample()]);
    assert_eq!(cbor[1..4], [0xa6, 0, 1]);
    cbor[3] = 2;
    let json = String::from_utf8(message(WireFormat::Json, Lane::Alarm, &[sample()])).unwrap();
    let json = json.replacen(r#""v":1"#, r#""v":2"#, 1);
    for later in [cbor, json.into_bytes()] {
        let error = read_message(&later, WireLimits::default()).unwrap_err();
        assert!(matches!(error, WireError::Version { found: 2 }), "{error}");
    }
}

#[test]
fn keys_of_later_versions_are_passed_over() {
    let row = stored(1, &sample());
    assert_eq!(row.bytes[0], 0xa0 | 13);
    // One more entry: key 99, an array of two.
    let longer = [&[0xa0 | 14], &row.bytes[1..], &[0x18, 99, 0x82, 0, 0x61, b'x']].concat();
    assert_eq!(read_verdict(&longer, Lane::Alarm).unwrap(), (Seq(1), sample()));

    let json = String::from_utf8(message(WireFormat::Json, Lane::Alarm, &[sample()])).unwrap();
    let json = json.replacen(r#""seq":1"#, r#""seq":1,"later":{"x":[1]}"#, 1);
    assert_eq!(read_message(json.as_bytes(), WireLimits::default()).unwrap().verdicts, [(Seq(1), sample())]);
}

fn name() -> impl Strategy<Value = String> {
    "[a-zäß/:.-]{1,20}|[ -~]{1,40}"
}

/// A time within a century or at the edge of what a date can say.
fn time() -> impl Strategy<Value = UtcMillis> {
    prop_oneof![
        8 => 0i64..4_000_000_000_000,
        1 => Just(253_402_207_200_999i64),
        1 => Just(-377_705_023_201_000i64),
    ]
    .prop_map(UtcMillis)
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("verdicts are finite", |value| value.is_finite()),
        any::<f32>().prop_filter("verdicts are finite", |value| value.is_finite()).prop_map(f64::from),
        (-1000i32..1000).prop_map(|eighths| f64::from(eighths) / 8.0),
    ]
}

fn expected() -> impl Strategy<Value = Expected> {
    (prop::option::of(float()), prop::option::of(float())).prop_map(|(low, high)| Expected { low, high })
}

fn member() -> impl Strategy<Value = Member> {
    prop::sample::select(vec![Member::High, Member::Low, Member::Rise, Member::Fall, Member::Silent])
}

/// Spans that are exact in seconds, as the JSON twin writes them.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..100_000, 0u64..(1 << 43)]
}

fn body() -> impl Strategy<Value = Body> {
    let anomaly = (member(), float(), expected(), prop::option::of(float()), prop::option::of(name()));
    let counts = (
        (time(), span(), span(), any::<bool>(), any::<u64>()),
        (prop::option::of(any::<u64>()), prop::option::of(float())),
        (prop::option::of(float()), prop::option::of(float())),
    );
    prop_oneof![
        anomaly.prop_map(|(member, observed, expected, p_value, unit)| {
            let unit = unit.map(|unit| Unit::new(&unit).expect(NAME));
            Body::Anomaly(Anomaly { member, observed, expected, p_value, unit })
        }),
        counts.prop_map(
            |(
                (from, length_ms, observed_ms, partial, readings),
                (vehicles, flow_per_hour),
                (occupancy, mean_speed),
            )| {
                Body::Counts(Counts {
                    from,
                    length_ms,
                    observed_ms,
                    partial,
                    readings,
                    vehicles,
                    flow_per_hour,
                    occupancy,
                    mean_speed,
                })
            }
        ),
        (member(), float(), expected()).prop_map(|(cause, observed, expected)| Body::Health(Health {
            cause,
            observed,
            expected
        })),
        prop::collection::vec((name(), 0u16..=1000), 0..4).prop_map(|labels| {
            let scored = |(label, score)| Scored { label: label_of(label), score: score_of(score) };
            Body::Classification(Classification { labels: labels.into_iter().map(scored).collect() })
        }),
        (any::<u32>(), any::<u32>(), prop::collection::vec(object(), 0..4))
            .prop_map(|(width, height, objects)| Body::Detections(Detections { width, height, objects })),
    ]
}

fn label_of(label: String) -> Label {
    Label::new(&label).expect(NAME)
}

fn score_of(thousandths: u16) -> Score {
    Score::from_thousandths(thousandths).expect("at most 1000")
}

fn object() -> impl Strategy<Value = Detection> {
    (name(), 0u16..=1000, any::<[u32; 4]>(), prop::option::of(any::<u64>())).prop_map(
        |(label, score, [x, y, width, height], track)| Detection {
            label: label_of(label),
            score: score_of(score),
            area: PixelBox { x, y, width, height },
            track,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let states = vec![EventState::Raised, EventState::Updated, EventState::Cleared];
    (any::<[u8; 16]>(), prop::sample::select(states), time(), span())
        .prop_map(|(id, state, since, lasted_ms)| Event { id: EventId(id), state, since, lasted_ms })
}

fn times() -> impl Strategy<Value = Times> {
    (prop::option::of((time(), any::<bool>())), time(), time()).prop_map(|(captured, received, decided)| {
        let clock = match captured {
            None => DeviceClock::Absent,
            Some((_, true)) => DeviceClock::Trusted,
            Some((_, false)) => DeviceClock::Skewed,
        };
        Times { captured: captured.map(|(at, _)| at), clock, received, decided }
    })
}

fn verdict(lane: Lane) -> impl Strategy<Value = Verdict> {
    let detectors = vec![Detector::Threshold, Detector::Loop, Detector::Classify, Detector::Detect];
    let severities = vec![Severity::Info, Severity::Warning, Severity::Critical];
    let names = (name(), name(), name(), prop::option::of(name()));
    let choices = (prop::sample::select(detectors), prop::sample::select(severities));
    let model = prop::option::of((name(), name()));
    (names, times(), choices, model, prop::option::of(event()), body()).prop_map(
        move |((judge, source, device, signal), times, (detector, severity), model, event, body)| Verdict {
            judge: JudgeId::new(&judge).expect(NAME),
            subject: Subject {
                source: SourceId::new(&source).expect(NAME),
                device: DeviceId::new(&device).expect(NAME),
                signal: signal.map(|signal| SignalId::new(&signal).expect(NAME)),
            },
            times,
            detector,
            model: model.map(|(name, version)| Model {
                name: ModelName::new(&name).expect(NAME),
                version: ModelName::new(&version).expect(NAME),
            }),
            severity,
            lane,
            event,
            body,
        },
    )
}

fn lane_and_verdicts() -> impl Strategy<Value = (Lane, Vec<Verdict>)> {
    prop::sample::select(Lane::ALL.to_vec())
        .prop_flat_map(|lane| (Just(lane), prop::collection::vec(verdict(lane), 1..12)))
}

proptest! {
    #[test]
    fn what_is_written_is_read_back((lane, verdicts) in lane_and_verdicts()) {
        let Envelope { gateway, epoch, lane, sent } = envelope(lane);
        let numbered: Vec<(Seq, Verdict)> = (1..).map(Seq).zip(verdicts.iter().cloned()).collect();
        for (seq, verdict) in &numbered {
            let row = stored(seq.0, verdict);
            prop_assert_eq!(&read_verdict(&row.bytes, lane).unwrap(), &(*seq, verdict.clone()));
        }
        let sent = Message { gateway, epoch, lane, sent, verdicts: numbered };
        for format in [WireFormat::Cbor, WireFormat::Json] {
            let bytes = message(format, lane, &verdicts);
            prop_assert_eq!(&read_message(&bytes, WireLimits::default()).unwrap(), &sent, "{:?}", format);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), form in 0u8..4) {
        let mut bytes = bytes;
        if let (Some(first), Some(tag)) = (bytes.first_mut(), [0, 1, b'{'].get(usize::from(form))) {
            *first = *tag;
        }
        if read_message(&bytes, WireLimits { max_message_bytes: 4096 }).is_ok() {
            prop_assert!(bytes.len() > 16);
        }
        if read_verdict(&bytes, Lane::Verdict).is_ok() {
            prop_assert!(bytes.len() > 16);
        }
    }

    #[test]
    fn damaged_messages_never_panic(
        (lane, verdicts) in lane_and_verdicts(),
        at in any::<prop::sample::Index>(),
        mask in 1u8..,
        cut in any::<prop::sample::Index>(),
    ) {
        for format in [WireFormat::Cbor, WireFormat::Json] {
            let bytes = message(format, lane, &verdicts);
            prop_assert!(read_message(&bytes[..cut.index(bytes.len())], WireLimits::default()).is_err());
            let mut damaged = bytes;
            let at = at.index(damaged.len());
            damaged[at] ^= mask;
            if let Ok(message) = read_message(&damaged, WireLimits::default()) {
                for (seq, verdict) in &message.verdicts {
                    let identity = Identity { seq: *seq, ..identity(0, message.lane) };
                    prop_assert!(verdict_json(&identity, verdict).is_object());
                    prop_assert!(!stored(seq.0, verdict).bytes.is_empty());
                }
            }
        }
    }
}
