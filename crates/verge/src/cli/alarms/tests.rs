//! Rates and advice, from events that are made up.

use verge_domain::finding::{Expected, Feedback, Member};
use verge_domain::id::{DeviceId, EventId, EventNumber, JudgeId, Lane, SignalId, SourceId};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Anomaly, Body, Detector, Severity, Subject, Times, Verdict};

use super::advice::advice;
use super::rates::{by_tag, worst_ten_minutes};
use super::record::{EventRecord, Tag};
use super::span;

const HOUR: i64 = 3_600_000;

fn event(device: &str, detector: Detector, at: i64, lasted_ms: u64, observed: f64) -> EventRecord {
    let member = if detector == Detector::Threshold { Member::High } else { Member::Level };
    let judge = JudgeId::new(detector.as_str()).unwrap();
    let subject = Subject {
        source: SourceId::new("plc").unwrap(),
        device: DeviceId::new(device).unwrap(),
        signal: SignalId::new("temp").ok(),
    };
    let time = UtcMillis(at);
    let times =
        Times { captured: None, clock: DeviceClock::Absent, received: time, decided: time, estimated: false };
    let body = Body::Anomaly(Anomaly {
        member,
        observed,
        expected: Expected { low: None, high: Some(7.0) },
        p_value: None,
        unit: None,
        contributions: Vec::new(),
        feedback: Feedback::default(),
        distance: None,
        value: None,
        usual: Expected::default(),
        value_unit: None,
        regions: verge_domain::verdict::Regions::default(),
    });
    let verdict = Verdict {
        judge: judge.clone(),
        subject,
        times,
        detector,
        tag: None,
        model: None,
        severity: Severity::Warning,
        lane: Lane::Alarm,
        event: None,
        group: None,
        action: None,
        body,
    };
    let tag = Tag { judge, source: "plc".to_owned(), device: device.to_owned(), signal: "temp".to_owned() };
    EventRecord {
        id: EventId([0; 16]),
        number: Some(EventNumber(u64::try_from(at / 1000).unwrap())),
        tag,
        detector,
        severity: Severity::Warning,
        raised: time,
        begin_known: true,
        lasted_ms: Some(lasted_ms),
        is_open: false,
        member: Some(member),
        label: None,
        farthest: None,
        first: verdict.clone(),
        last: verdict,
    }
}

/// What is advised about these alarms.
#[track_caller]
fn check(mut events: Vec<EventRecord>, expected: &[&str]) {
    events.sort_by_key(|event| event.raised);
    let events: Vec<&EventRecord> = events.iter().collect();
    // Two hours ahead of UTC.
    let zone = verge_wire::SiteZone::named("Africa/Maputo").unwrap();
    let words: Vec<String> = advice(&by_tag(&events), &events, &zone).iter().map(|one| one.words()).collect();
    assert_eq!(words, expected);
}

#[test]
fn tags_that_alarm_most_come_first_with_what_speaks_for_a_remedy() {
    let auto = |device: &str, at: i64| event(device, Detector::Auto, at, 30_000, 9.0);
    // At odd hours, alone: nothing but the remark of a person helps.
    let odd = [3, 10, 29, 52, 66, 81, 100].map(|hour| auto("pump-1", hour * HOUR + 7 * hour));
    let mut events: Vec<EventRecord> = odd.to_vec();
    events.push(auto("pump-2", 1));
    check(
        events,
        &[
            "pump-1 temp raised 7 of 8 alarms of auto (7 by its level): if they are no faults, label the newest \
           (`verge label 360000 false`)",
        ],
    );
    // Every morning, with the same other tag.
    let days = (0..5).map(|day| day * 24 * HOUR + 6 * HOUR);
    let mornings = days.clone().map(|at| auto("pump-1", at));
    let beside = days.map(|at| event("valve", Detector::Threshold, at + 30_000, 7_200_000, 7.5));
    check(
        mornings.chain(beside).collect(),
        &[
            "pump-1 temp raised 5 of 5 alarms of auto (5 of them within two minutes of one of valve temp; 5 of them from \
             07:00 to 10:00; 5 by its level): judge it only while its machine runs (`while` in [judge.auto]), or if \
             they are no faults, label the newest (`verge label 367200 false`)",
            "valve temp raised 5 of 5 alarms of threshold (5 of them within two minutes of one of pump-1 temp; 5 of them \
             from 07:00 to 10:00; half of them over within 2.0 h): move above from 7 to beyond 7.5, which half of them \
             did not reach, if that is harmless",
        ],
    );
}

#[test]
fn limits_that_flicker_are_to_wait_and_few_alarms_need_no_advice() {
    let flicker =
        |index: i64, lasted_ms| event("pump-1", Detector::Threshold, index * 17 * HOUR, lasted_ms, 7.2);
    let mut events: Vec<EventRecord> = (0..6).map(|index| flicker(index, 4_000)).collect();
    events.push(flicker(7, 3_600_000));
    check(
        events,
        &[
            "pump-1 temp raised 7 of 7 alarms of threshold (half of them over within 4 s): set raise_after = \"8s\" in \
           [judge.threshold] (1 of 7 would be left), or move above from 7 to beyond 7.2, which half of them did not reach, \
           if that is harmless",
        ],
    );
    check((0..2).map(|index| flicker(index, 4_000)).collect(), &[]);
    // Three alarms about one of another tag are one coincidence, and speak for nothing.
    let thrice = [0, 40_000, 80_000].map(|at| event("pump-1", Detector::Auto, HOUR + at, 1, 9.0));
    let once = event("valve", Detector::Threshold, HOUR + 60_000, 1, 7.5);
    check(
        thrice.into_iter().chain([once]).collect(),
        &[
            "pump-1 temp raised 3 of 3 alarms of auto (3 by its level): if they are no faults, label the newest (`verge \
           label 3680 false`)",
        ],
    );
    // Many tags with a few each: none is the cause.
    let spread = (0..12_i64).flat_map(|tag| {
        (0..3).map(move |index| event(&format!("p{tag}"), Detector::Auto, (tag + 13 * index) * HOUR, 1, 9.0))
    });
    check(spread.collect(), &[]);
}

#[test]
fn the_worst_ten_minutes_are_found_and_spans_read_well() {
    let events: Vec<EventRecord> =
        [0, 500_000, 599_999, 600_000, 2_000_000].map(|at| event("p", Detector::Auto, at, 1, 1.0)).to_vec();
    let events: Vec<&EventRecord> = events.iter().collect();
    assert_eq!(worst_ten_minutes(&events), Some((3, UtcMillis(0))));
    assert_eq!(worst_ten_minutes(&[]), None);
    let spans = [12, 12_900, 60_000, 7_199_999, 7_200_000, 200_000_000].map(span);
    assert_eq!(spans, ["12 ms", "12 s", "1 min", "119 min", "2.0 h", "2.3 days"]);
}
