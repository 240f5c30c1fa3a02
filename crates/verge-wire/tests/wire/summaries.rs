//! What withdrawn verdicts say in short.

use bytes::Bytes;
use verge_domain::frame::{Classification, Detections};
use verge_domain::id::{DeviceId, JudgeId, Lane, SignalId};
use verge_domain::stage::{Encoder, StoredRow};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, Counts, Verdict};
use verge_domain::withdrawn::{Summary, Withdrawal};
use verge_wire::{WireEncoder, WireFormat, read_tombstone};

use crate::samples::{NAME, rows, sample, stored, withdrawn};

fn verdict(judge: &str, device: &str, signal: Option<&str>, decided: i64, body: Body) -> Verdict {
    let mut verdict = Verdict { judge: JudgeId::new(judge).expect(NAME), body, ..sample() };
    verdict.subject.device = DeviceId::new(device).expect(NAME);
    verdict.subject.signal = signal.map(|signal| SignalId::new(signal).expect(NAME));
    verdict.times.decided = UtcMillis(decided);
    verdict
}

fn observed(value: f64) -> Body {
    let Body::Anomaly(anomaly) = sample().body else { panic!("the sample is an anomaly") };
    Body::Anomaly(verge_domain::verdict::Anomaly { observed: value, ..anomaly })
}

fn counted(vehicles: Option<u64>) -> Body {
    Body::Counts(Counts {
        from: UtcMillis(0),
        length_ms: 60_000,
        observed_ms: 60_000,
        partial: false,
        readings: 1,
        vehicles,
        flow_per_hour: None,
        occupancy: None,
        mean_speed: None,
        forecasts: Vec::new(),
    })
}

fn summary(
    (judge, device, signal): (&str, Option<&str>, Option<&str>),
    count: u64,
    (first, last): (i64, i64),
    range: Option<(f64, f64)>,
) -> Summary {
    Summary {
        judge: JudgeId::new(judge).expect(NAME),
        device: device.map(|device| DeviceId::new(device).expect(NAME)),
        signal: signal.map(|signal| SignalId::new(signal).expect(NAME)),
        count,
        first: UtcMillis(first),
        last: UtcMillis(last),
        range,
    }
}

fn read(row: &StoredRow) -> Vec<Summary> {
    read_tombstone(row).expect("what was written can be read").expect("a tombstone").summary
}

fn summarised(rows: &[StoredRow]) -> Vec<Summary> {
    read(&withdrawn(Lane::Alarm, rows, Withdrawal::Expired))
}

#[test]
fn verdicts_are_added_up_by_subject() {
    let classes = Body::Classification(Classification { labels: vec![] });
    let nothing = Body::Detections(Detections { width: 640, height: 480, objects: vec![] });
    let rows = rows(&[
        verdict("j", "a", Some("s"), 50, observed(7.5)),
        verdict("j", "a", None, 51, observed(-1.0)),
        verdict("k", "a", Some("s"), 52, counted(Some(12))),
        // The clock was set back between.
        verdict("j", "a", Some("s"), 40, observed(9.25)),
        verdict("j", "b", Some("s"), 53, observed(0.0)),
        verdict("k", "a", Some("s"), 54, counted(None)),
        verdict("c", "cam", None, 55, classes),
        verdict("d", "cam", None, 56, nothing),
        verdict("j", "a", Some("s"), 57, observed(8.0)),
    ]);
    assert_eq!(
        summarised(&rows),
        [
            summary(("j", Some("a"), Some("s")), 3, (40, 57), Some((7.5, 9.25))),
            summary(("j", Some("a"), None), 1, (51, 51), Some((-1.0, -1.0))),
            summary(("k", Some("a"), Some("s")), 2, (52, 54), Some((12.0, 12.0))),
            summary(("j", Some("b"), Some("s")), 1, (53, 53), Some((0.0, 0.0))),
            summary(("c", Some("cam"), None), 1, (55, 55), None),
            summary(("d", Some("cam"), None), 1, (56, 56), Some((0.0, 0.0))),
        ]
    );
}

#[test]
fn past_64_subjects_judges_are_distinguished_and_devices_are_not() {
    let of = |at: i64| {
        let judge = if at % 2 == 0 { "even" } else { "odd" };
        verdict(judge, &format!("device-{at}"), Some("s"), at, observed(1.0))
    };
    let mut verdicts: Vec<Verdict> = (0..70).map(of).collect();
    // A subject that is distinguished stays so, even if it comes again late.
    verdicts.push(of(0));
    let found = summarised(&rows(&verdicts));
    assert_eq!(found.len(), 66);
    assert_eq!(found[0], summary(("even", Some("device-0"), Some("s")), 2, (0, 0), Some((1.0, 1.0))));
    assert_eq!(found[63], summary(("odd", Some("device-63"), Some("s")), 1, (63, 63), Some((1.0, 1.0))));
    assert_eq!(found[64], summary(("even", None, None), 3, (64, 68), None));
    assert_eq!(found[65], summary(("odd", None, None), 3, (65, 69), None));
    assert_eq!(found.iter().map(|summary| summary.count).sum::<u64>(), 71);
}

#[test]
fn summaries_of_absorbed_tombstones_are_carried_on() {
    let many: Vec<Verdict> =
        (0..65).map(|at| verdict("j", &format!("device-{at}"), None, at, observed(1.0))).collect();
    let earlier = withdrawn(Lane::Alarm, &rows(&many), Withdrawal::Expired);
    let later = stored(66, &verdict("j", "device-3", None, 99, observed(2.0)));
    let found = summarised(&[earlier, later]);
    assert_eq!(found.len(), 65);
    assert_eq!(found[3], summary(("j", Some("device-3"), None), 2, (3, 99), Some((1.0, 2.0))));
    assert_eq!(found[64], summary(("j", None, None), 1, (64, 64), None));
}

#[test]
fn what_cannot_be_read_is_passed_over() {
    let good = stored(1, &verdict("j", "a", None, 5, observed(1.0)));
    let bad = StoredRow { bytes: Bytes::from_static(b"\xa1\x00"), ..good.clone() };
    let bare = StoredRow {
        bytes: Bytes::new(),
        ..withdrawn(Lane::Alarm, std::slice::from_ref(&good), Withdrawal::Full)
    };
    let broken = StoredRow { bytes: Bytes::from_static(b"\x81"), ..bare.clone() };
    let rows = [bad.clone(), bare, good, broken];
    assert_eq!(summarised(&rows), [summary(("j", Some("a"), None), 1, (5, 5), Some((1.0, 1.0)))]);

    let mut out = b"what was there before".to_vec();
    WireEncoder::new(WireFormat::Json).summary(Lane::Alarm, &[bad], &mut out).unwrap();
    assert!(out.is_empty(), "no summary rather than an empty one");
}
