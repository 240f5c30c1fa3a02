use super::*;
use crate::board::LastWord;
use crate::finding::{Expected, Member};
use crate::id::EventId;
use crate::sample::verdict_of;
use crate::verdict::{AlarmHandling, Body, Event, Health};

const DAY_MS: i64 = 86_400_000;

fn verdict(device: &str, second: i64, state: EventState) -> Verdict {
    let stuck = Body::Health(Health::of(Member::Stuck, 1.0, Expected::default()));
    verdict_of("j", (device, None), UtcMillis(second * 1000), Some(state), stuck)
}

#[test]
fn a_flood_begins_above_ten_in_ten_minutes_and_ends_below_five() {
    let mut load = AlarmLoad::default();
    let mut floods = Vec::new();
    // One a minute, then eleven at once, then again one a minute, then eleven more.
    let times = (0..10).map(|n| n * 60).chain((0..11).map(|_| 600)).chain((11..40).map(|n| n * 120));
    for second in times.chain((0..11).map(|_| 6_000)) {
        load.note(&verdict("d", second, EventState::Raised));
        floods.push(load.floods);
    }
    assert_eq!((floods[10], floods[11], floods.iter().max()), (0, 1, Some(&2)));
    let figures = AlarmFigures::of(std::iter::empty(), &load, UtcMillis(6_000_000));
    assert_eq!((figures.floods, figures.peak_of_day), (2, 20));
    let later = AlarmFigures::of(std::iter::empty(), &load, UtcMillis(6_000_000 + DAY_MS));
    assert_eq!((later.last_ten_minutes, later.peak_of_day, later.floods), (0, 0, 2));
}

#[test]
fn what_requires_no_response_is_no_alarm() {
    let mut load = AlarmLoad::default();
    let raised = || verdict("d", 0, EventState::Raised);
    let event = raised().event.unwrap();
    load.note(&Verdict { severity: Severity::Info, ..raised() });
    load.note(&Verdict { event: Some(Event { learning: true, ..event }), ..raised() });
    load.note(&Verdict { event: Some(Event { group: Some(EventId([2; 16])), ..event }), ..raised() });
    load.note(&verdict("d", 0, EventState::Updated));
    assert!(load.minutes.is_empty());
    load.note(&raised());
    assert_eq!(load.since(-1), 1);
}

#[test]
fn the_bad_actors_are_named() {
    let mut words = Vec::new();
    for (device, seconds) in
        [("chatters", &[0, 20, 40][..]), ("comes", &[0, 100, 200, 300]), ("stands", &[0])]
    {
        let mut course = PointCourse::default();
        for &second in seconds {
            course = course.after(&verdict(device, second, EventState::Raised));
            course = course.after(&verdict(device, second + 1, EventState::Cleared));
        }
        let state = if device == "stands" { EventState::Updated } else { EventState::Cleared };
        words.push(LastWord { course, ..LastWord::new(verdict(device, seconds[0], state), None) });
    }
    let acknowledged = AlarmHandling { acknowledged: Some(UtcMillis(1)), shelved: None };
    let event = words[2].verdict.event.map(|event| Event { handling: acknowledged, ..event });
    words
        .push(LastWord::new(Verdict { event, ..verdict("taken care of", 90_000, EventState::Raised) }, None));
    let now = UtcMillis(DAY_MS + 1_000);
    let figures = AlarmFigures::of(words.iter(), &AlarmLoad::default(), now);
    assert_eq!((figures.standing, figures.unacknowledged, figures.shelved, figures.stale), (2, 1, 0, 2));
    let names = |points: &[AlarmPoint]| -> Vec<(String, u32)> {
        points.iter().map(|point| (point.device.to_string(), point.raised)).collect()
    };
    let of = |name: &str, raised| (name.to_owned(), raised);
    assert_eq!(names(&figures.most_frequent), [of("comes", 4), of("chatters", 3), of("stands", 1)]);
    assert_eq!(names(&figures.chattering), [of("chatters", 3)]);
}
