//! The wire, to the byte: `golden.txt` holds what the encoder of version 0.1 wrote of the verdicts, summaries and messages
//! below, and at its end what later versions added. Receivers and stores hold such bytes, so they are written so, and read, in every version.

mod later;

use std::fmt::Write as _;
use std::time::Duration;

use verge_domain::finding::{Contribution, Expected, Feedback, Member};
use verge_domain::frame::{Classification, Detection, Detections, PixelBox, Score, Scored};
use verge_domain::id::{
    DeviceId, EventId, EventNumber, JudgeId, Label, Lane, ModelName, SignalId, SourceId, Unit,
};
use verge_domain::stage::{Envelope, StoredRow, Withdrawn};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    AlarmHandling, Anomaly, Body, Counts, Detector, Event, EventChange, EventState, Health, Model, Severity,
    Subject, Times, Verdict,
};
use verge_domain::withdrawn::Withdrawal;
use verge_wire::{WireFormat, WireLimits, read_message, read_tombstone, read_verdict, verdict_json};

use later::later_verdicts;

use crate::samples::{NAME, envelope, identity, message, rows, sample, stored, withdrawn, written};

const RECEIVED: i64 = 1_700_000_000_000;
const FIRST_TIME: UtcMillis = UtcMillis(-377_705_023_201_000);
const LAST_TIME: UtcMillis = UtcMillis(253_402_207_200_999);

fn open() -> Expected {
    Expected::default()
}

fn between(low: f64, high: f64) -> Expected {
    Expected { low: Some(low), high: Some(high) }
}

fn signal(name: &str) -> SignalId {
    SignalId::new(name).expect(NAME)
}

fn label(name: &str) -> Label {
    Label::new(name).expect(NAME)
}

fn score(thousandths: u16) -> Score {
    Score::from_thousandths(thousandths).expect("at most 1000")
}

fn plain_anomaly(member: Member, observed: f64) -> Anomaly {
    let (contributions, feedback) = (Vec::new(), Feedback::default());
    Anomaly {
        member,
        observed,
        expected: open(),
        p_value: None,
        unit: None,
        contributions,
        feedback,
        distance: None,
        value: None,
        usual: open(),
        value_unit: None,
        regions: verge_domain::verdict::Regions::default(),
    }
}

fn full_anomaly() -> Anomaly {
    let contribution = |name: &str, share, observed, expected| Contribution {
        signal: signal(name),
        share,
        observed,
        expected,
    };
    Anomaly {
        member: Member::Machine,
        observed: 12.7,
        expected: between(-0.1, 7.0),
        p_value: Some(1.3e-7),
        unit: Some(Unit::new("°C").expect(NAME)),
        contributions: vec![
            contribution("bearing temperature", 0.75, 81.25, between(40.0, 60.1)),
            contribution("Strom", 0.125, -1e300, open()),
            contribution("flow", 0.0625, 3.0, Expected { low: Some(5.5), high: None }),
            contribution("level", 0.0625, 65_505.0, Expected { low: None, high: Some(2.0) }),
        ],
        feedback: Feedback { maintenance: 3, real: u32::MAX },
        ..plain_anomaly(Member::Machine, 12.7)
    }
}

fn counts() -> Counts {
    Counts {
        from: UtcMillis(RECEIVED - 60_000),
        length_ms: 60_000,
        observed_ms: 45_250,
        partial: true,
        readings: 45,
        vehicles: Some(12),
        flow_per_hour: Some(954.7),
        occupancy: Some(0.254),
        mean_speed: Some(49.5),
        forecasts: Vec::new(),
    }
}

fn detection(name: &str, thousandths: u16, [x, y, width, height]: [u32; 4], track: Option<u64>) -> Detection {
    Detection { label: label(name), score: score(thousandths), area: PixelBox { x, y, width, height }, track }
}

fn with(body: Body) -> Verdict {
    Verdict { body, ..sample() }
}

/// The verdict with the least in it.
fn bare(body: Body) -> Verdict {
    let at = UtcMillis(RECEIVED);
    Verdict {
        judge: JudgeId::new("j").expect(NAME),
        subject: Subject {
            source: SourceId::new("s").expect(NAME),
            device: DeviceId::new("d").expect(NAME),
            signal: None,
        },
        times: Times {
            captured: None,
            clock: DeviceClock::Absent,
            received: at,
            decided: at,
            estimated: false,
        },
        detector: Detector::Loop,
        tag: None,
        model: None,
        severity: Severity::Info,
        lane: Lane::Telemetry,
        event: None,
        group: None,
        action: None,
        body,
    }
}

/// Every body, every member and code, what is optional present and absent, and the extremes of numbers and times.
fn verdicts() -> Vec<(String, Verdict)> {
    let mut all = vec![
        ("alarm".to_owned(), sample()),
        ("anomaly, all members".to_owned(), with(Body::Anomaly(full_anomaly()))),
        ("anomaly, least".to_owned(), bare(Body::Anomaly(plain_anomaly(Member::High, 0.0)))),
        ("counts, all members".to_owned(), bare(Body::Counts(counts()))),
        (
            "counts, least".to_owned(),
            bare(Body::Counts(Counts {
                partial: false,
                vehicles: None,
                flow_per_hour: None,
                occupancy: None,
                mean_speed: None,
                ..counts()
            })),
        ),
        (
            "counts, extreme".to_owned(),
            bare(Body::Counts(Counts {
                from: FIRST_TIME,
                length_ms: u64::MAX,
                observed_ms: 0,
                readings: u64::MAX,
                vehicles: Some(u64::MAX),
                flow_per_hour: Some(f64::MAX),
                occupancy: Some(f64::MIN_POSITIVE),
                mean_speed: Some(-0.0),
                ..counts()
            })),
        ),
        (
            "health, closed".to_owned(),
            with(Body::Health(Health::of(Member::Silent, 31.5, between(-60.0, 30.0)))),
        ),
        ("health, open".to_owned(), with(Body::Health(Health::of(Member::Stuck, 40.0, open())))),
        (
            "classification".to_owned(),
            bare(Body::Classification(Classification {
                labels: vec![
                    Scored { label: label("lorry"), score: score(1000) },
                    Scored { label: label("Straßenbahn"), score: score(0) },
                ],
            })),
        ),
        ("classification, empty".to_owned(), bare(Body::Classification(Classification { labels: vec![] }))),
        (
            "detections".to_owned(),
            bare(Body::Detections(Detections {
                width: 1920,
                height: u32::MAX,
                objects: vec![
                    detection("car", 876, [0, 1, 300, 70_000], None),
                    detection("person", 23, [u32::MAX; 4], Some(0)),
                    detection("bus", 24, [1, 2, 3, 4], Some(u64::MAX)),
                ],
            })),
        ),
        (
            "detections, empty".to_owned(),
            bare(Body::Detections(Detections { width: 0, height: 0, objects: vec![] })),
        ),
        (
            "model, long names".to_owned(),
            Verdict {
                judge: JudgeId::new(&"j".repeat(128)).expect(NAME),
                model: Some(Model {
                    name: ModelName::new("yolo").expect(NAME),
                    version: ModelName::new("8.1").expect(NAME),
                }),
                ..sample()
            },
        ),
        (
            "estimated, clock skewed".to_owned(),
            Verdict {
                times: Times {
                    captured: Some(UtcMillis(0)),
                    clock: DeviceClock::Skewed,
                    received: UtcMillis(RECEIVED),
                    decided: UtcMillis(RECEIVED - 500),
                    estimated: true,
                },
                ..sample()
            },
        ),
        (
            "first and last time".to_owned(),
            Verdict {
                times: Times {
                    captured: Some(LAST_TIME),
                    clock: DeviceClock::Trusted,
                    received: FIRST_TIME,
                    decided: LAST_TIME,
                    estimated: true,
                },
                event: Some(Event {
                    id: EventId([0xff; 16]),
                    state: EventState::Raised,
                    since: LAST_TIME,
                    lasted_ms: u64::MAX,
                    number: None,
                    change: None,
                    suspended: false,
                    learning: false,
                    group: None,
                    handling: AlarmHandling::default(),
                }),
                ..sample()
            },
        ),
    ];
    for observed in [1.5, 7.1, -3.25e-5, 65_504.0, 100_000.5, f64::MAX, f64::MIN_POSITIVE / 2.0] {
        all.push((
            format!("number {observed:e}"),
            bare(Body::Anomaly(plain_anomaly(Member::Level, observed))),
        ));
    }
    for member in Member::ALL.into_iter().filter(|member| *member <= Member::Reconstruction) {
        let anomaly = Anomaly { expected: between(1.0, 2.0), ..plain_anomaly(member, 1.5) };
        all.push((format!("member {}", member.as_str()), bare(Body::Anomaly(anomaly))));
    }
    for detector in [
        Detector::Threshold,
        Detector::Rate,
        Detector::Silence,
        Detector::Loop,
        Detector::Classify,
        Detector::Detect,
        Detector::Health,
        Detector::Auto,
        Detector::Multi,
        Detector::Pattern,
        Detector::Vibration,
        Detector::Cusum,
        Detector::Autoencoder,
    ] {
        all.push((format!("detector {}", detector.as_str()), Verdict { detector, ..sample() }));
    }
    for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
        all.push((format!("severity {}", severity.as_str()), Verdict { severity, ..sample() }));
    }
    for state in [EventState::Raised, EventState::Updated, EventState::Cleared] {
        let event = Event { state, ..sample().event.expect("the sample is of an event") };
        all.push((format!("event {}", state.as_str()), Verdict { event: Some(event), ..sample() }));
    }
    all
}

fn messages() -> Vec<(String, Envelope, Vec<StoredRow>)> {
    let verdicts: Vec<Verdict> = verdicts().into_iter().map(|(_, verdict)| verdict).collect();
    let batch = rows(&verdicts);
    let of_verdicts = envelope(Lane::Verdict);
    let mut all = vec![
        ("nothing".to_owned(), envelope(Lane::Alarm), vec![]),
        ("alarm".to_owned(), envelope(Lane::Alarm), rows(&[sample()])),
        ("few".to_owned(), of_verdicts.clone(), batch[..3].to_vec()),
        ("batch".to_owned(), of_verdicts.clone(), batch.clone()),
        (
            "volatile".to_owned(),
            Envelope { volatile: true, ..envelope(Lane::Alarm) },
            vec![stored(0, &sample()), stored(0, &bare(Body::Counts(counts())))],
        ),
        (
            "extreme envelope".to_owned(),
            Envelope { age: Duration::MAX, sent: LAST_TIME, ..envelope(Lane::Telemetry) },
            vec![stored(u64::MAX, &sample())],
        ),
        (
            "summaries".to_owned(),
            of_verdicts.clone(),
            vec![withdrawn(Lane::Verdict, &batch, Withdrawal::Expired)],
        ),
        (
            "verdicts and tombstones".to_owned(),
            of_verdicts.clone(),
            vec![
                batch[0].clone(),
                withdrawn(Lane::Verdict, &batch[1..20], Withdrawal::Expired),
                batch[20].clone(),
            ],
        ),
    ];
    for reason in Withdrawal::ALL {
        let withdrawn = Some(Withdrawn { through: batch[9].seq, reason });
        let row = StoredRow { bytes: bytes::Bytes::new(), withdrawn, ..batch[4].clone() };
        all.push((format!("tombstone {}", reason.as_str()), of_verdicts.clone(), vec![row]));
    }
    all
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}

/// What is written of all of them: name, then hexadecimal digits or JSON.
fn lines() -> Vec<String> {
    let of_verdict = |(name, verdict): (String, Verdict)| {
        let json = verdict_json(&identity(u64::MAX, verdict.lane), &verdict);
        let cbor = hex(&stored(7, &verdict).bytes);
        [format!("verdict {name}: {cbor}"), format!("verdict {name}, JSON: {json}")]
    };
    let mut lines: Vec<String> = verdicts().into_iter().flat_map(of_verdict).collect();
    for (name, envelope, rows) in messages() {
        for row in rows.iter().filter(|row| row.withdrawn.is_some()) {
            lines.push(format!("stored summary of {name}: {}", hex(&row.bytes)));
        }
        lines.push(format!("message {name}: {}", hex(&written(WireFormat::Cbor, &envelope, &rows))));
        let json = String::from_utf8(written(WireFormat::Json, &envelope, &rows)).expect("JSON is text");
        lines.push(format!("message {name}, JSON: {json}"));
    }
    lines.extend(later_verdicts().into_iter().flat_map(of_verdict));
    lines
}

#[test]
fn the_wire_is_what_it_was() {
    let found = lines();
    let golden: Vec<&str> = include_str!("golden.txt").lines().collect();
    for (found, golden) in found.iter().zip(&golden) {
        assert_eq!(found, golden);
    }
    // What is new is shown, to be added at the end of the file.
    assert_eq!(found.get(golden.len()..).unwrap_or_default().join("\n"), "");
    assert_eq!(found.len(), golden.len());
}

#[test]
fn what_was_written_is_read() {
    for (name, verdict) in verdicts().into_iter().chain(later_verdicts()) {
        let row = stored(7, &verdict);
        assert_eq!(read_verdict(&row.bytes, verdict.lane).expect(&name), (row.seq, verdict), "{name}");
    }
    for (name, envelope, rows) in messages() {
        let tombstones: Vec<_> =
            rows.iter().filter_map(|row| read_tombstone(row).expect("a good row")).collect();
        for format in [WireFormat::Cbor, WireFormat::Json] {
            let bytes = written(format, &envelope, &rows);
            let read = read_message(&bytes, WireLimits::default()).expect(&name);
            assert_eq!(read.tombstones, tombstones, "{name}, {format:?}");
            assert_eq!(read.verdicts.len(), rows.len() - tombstones.len(), "{name}, {format:?}");
        }
    }
    assert_eq!(message(WireFormat::Cbor, Lane::Alarm, &[sample()])[0], 0);
}
