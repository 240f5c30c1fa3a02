use verge_domain::frame::PixelBox;
use verge_domain::id::{EventId, SignalId};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{AlarmHandling, Anomaly, Body, Health, RegionBox, Regions, Times};

use super::*;

mod health;
mod places;

/// The verdict of a sample message.
fn sample() -> Verdict {
    let message = include_bytes!("../../tests/wire/alarm.json");
    let message = crate::read_message(message, crate::WireLimits::default()).unwrap();
    message.verdicts.into_iter().next().unwrap().1
}

/// An event that was observed at five to two in Berlin.
fn words(body: Body, state: Option<EventState>) -> String {
    let detector = if matches!(body, Body::Health(_)) { Detector::Health } else { sample().detector };
    words_of(detector, body, state)
}

/// The same, of a judge with this detector.
fn words_of(detector: Detector, body: Body, state: Option<EventState>) -> String {
    let since = UtcMillis(0);
    let event = state.map(|state| Event {
        id: EventId([0; 16]),
        state,
        since,
        lasted_ms: 612_000,
        number: None,
        change: None,
        suspended: false,
        learning: false,
        group: None,
        handling: AlarmHandling::default(),
    });
    let verdict = Verdict { event, body, detector, ..sample() };
    let received = UtcMillis(1_795_481_700_000);
    let verdict = Verdict { times: Times { received, ..verdict.times }, ..verdict };
    verdict_words(&verdict, &SiteZone::named("Europe/Berlin").expect("a zone of the database"))
}

fn check(body: Body, state: Option<EventState>, expected: &str) {
    assert_eq!(words(body, state), format!("pump-1 vibration: {expected}"));
}

fn range(low: Option<f64>, high: Option<f64>) -> Expected {
    Expected { low, high }
}

#[test]
fn an_event_names_what_it_stands_for() {
    let member = |device: &str, signal: Option<&str>| GroupMember {
        device: DeviceId::new(device).unwrap(),
        signal: signal.map(|signal| SignalId::new(signal).unwrap()),
        judge: verge_domain::id::JudgeId::new("j").unwrap(),
        event: EventId([1; 16]),
    };
    let members = vec![member("pump-1", Some("flow")), member("pump-2", Some("flow")), member("tank", None)];
    // The same signal may be there by several judges.
    let members = [members.clone(), members].concat();
    let said = |kind, others| {
        let group = Some(AlarmGroup { kind, others, members: members.clone() });
        let words = verdict_words(&Verdict { group, ..sample() }, &SiteZone::utc());
        words.rsplit_once(" (").map(|(_, group)| group.to_owned())
    };
    assert_eq!(said(GroupKind::Machine, 3).as_deref(), Some("and 3 more: flow, pump-2 flow, tank)"));
    assert_eq!(
        said(GroupKind::Flood, 14).as_deref(),
        Some("alarm flood: 14 more: flow, pump-2 flow, tank, …)")
    );
}

#[test]
fn a_limit_that_was_set_is_named() {
    let Body::Anomaly(high) = sample().body else { panic!("the sample is an anomaly") };
    let body = || Body::Anomaly(high.clone());
    check(body(), Some(EventState::Raised), "high, 8.41 mm/s (expected at most 7.1 mm/s)");
    check(body(), Some(EventState::Updated), "high, 8.41 mm/s (expected at most 7.1 mm/s), for 10 min");
    let cleared = Anomaly { observed: 6.5, ..high.clone() };
    check(
        Body::Anomaly(cleared),
        Some(EventState::Cleared),
        "cleared after 10 min: 6.5 mm/s (normal at most 7.1)",
    );
    let rise = Anomaly { member: Member::Rise, observed: 2.0, ..high };
    check(Body::Anomaly(rise), None, "rises fast, 2 mm/s/s (expected at most 7.1 mm/s/s)");
}

#[test]
fn an_event_of_the_time_of_learning_says_once_that_it_is_no_alarm() {
    let learning = |state| {
        let (id, since) = (EventId([0; 16]), UtcMillis(0));
        let (number, change, group) = (None, None, None);
        let event = Event {
            id,
            state,
            since,
            lasted_ms: 0,
            number,
            change,
            suspended: false,
            learning: true,
            group,
            handling: AlarmHandling::default(),
        };
        verdict_words(&Verdict { event: Some(event), ..sample() }, &SiteZone::utc())
    };
    let said = "pump-1 vibration: high, 8.41 mm/s (expected at most 7.1 mm/s); no alarm: it is still being learnt what is \
                usual";
    assert_eq!(learning(EventState::Raised), said);
    assert!(!learning(EventState::Cleared).contains("learnt"));
}

/// An anomaly that `auto` found.
fn unusual(member: Member, observed: f64, expected: Expected) -> Anomaly {
    let Body::Anomaly(high) = sample().body else { panic!("the sample is an anomaly") };
    let unit = high.unit.filter(|_| member.own_unit().is_none());
    Anomaly { member, observed, expected, p_value: Some(1.0), unit, distance: Some(16.4), ..high }
}

#[test]
fn what_is_unusual_is_said_in_the_unit_of_the_signal() {
    let shown = |member, value, usual| {
        let own = unusual(member, 7.99, range(None, Some(6.34)));
        Body::Anomaly(Anomaly { value: Some(value), usual, value_unit: Unit::new("°C").ok(), ..own })
    };
    let seen = |member, observed, expected| Body::Anomaly(unusual(member, observed, expected));
    let at_most = |high| range(None, Some(high));
    let within = |low, high| range(Some(low), Some(high));
    let all = [
        (
            seen(Member::Level, 3.9, within(2.75, 3.47)),
            "3.9 mm/s is unusual (normally 2.75 to 3.47)",
            "3.9 mm/s (normal 2.75 to 3.47)",
        ),
        (
            seen(Member::Mean, 3.9, within(2.75, 3.47)),
            "3.9 mm/s is unusual as the mean of 20 readings (normally 2.75 to 3.47)",
            "3.9 mm/s (normal 2.75 to 3.47)",
        ),
        (
            seen(Member::Profile, 0.389, at_most(0.296)),
            "0.389 mm/s off its usual course for 01:00 (normally at most 0.296)",
            "0.389 mm/s off its usual course for 01:00 (normal at most 0.296)",
        ),
        (
            seen(Member::Volatility, 0.0331, at_most(0.0324)),
            "fluctuates more than usual: steps of 0.033 mm/s (normally at most 0.032)",
            "steps of 0.033 mm/s (normal at most 0.032)",
        ),
        (
            shown(Member::TimeOfDay, 89.1, within(86.0, 88.0)),
            "89.1 °C is rare at 01:00 (normally 86 to 88)",
            "89.1 °C (normal 86 to 88)",
        ),
        (
            shown(Member::TimeOfDay, 87.0, within(86.0, 88.0)),
            "87 °C at 01:00 after an unusual sequence of values",
            "87 °C (normal 86 to 88)",
        ),
        (
            shown(Member::Context, 87.0, within(86.0, 88.0)),
            "87 °C after an unusual sequence of values (normally 86 to 88)",
            "87 °C (normal 86 to 88)",
        ),
        (
            shown(Member::Shift, 89.1, within(86.0, 88.0)),
            "the last 100 readings lie otherwise than usual, lately around 89.1 °C (normally 86 to 88)",
            "89.1 °C (normal 86 to 88)",
        ),
        (
            Body::Anomaly(Anomaly {
                value: Some(133.0),
                usual: within(91.0, 96.0),
                value_unit: Unit::new("°C").ok(),
                ..unusual(Member::Volatility, 7.1, at_most(1.2))
            }),
            "fluctuates more than usual: steps of 7.1 mm/s (normally at most 1.2), now 133 °C (normally 91 to 96)",
            "steps of 7.1 mm/s (normal at most 1.2)",
        ),
        (
            seen(Member::Pattern, 9.0, at_most(4.0)),
            "a shape that it has not shown before",
            "its shapes are known again",
        ),
    ];
    for (body, raised, cleared) in all {
        check(body.clone(), Some(EventState::Raised), &format!("{raised}, distance 16.4"));
        check(body.clone(), Some(EventState::Updated), &format!("{raised}, for 10 min, distance 16.4"));
        // No probability and no distance of what is over.
        check(body, Some(EventState::Cleared), &format!("cleared after 10 min: {cleared}"));
    }
}

#[test]
fn what_is_usual_again_before_it_is_cleared_says_so() {
    let body = unusual(Member::Level, 3.0, range(Some(2.75), Some(3.47)));
    check(
        Body::Anomaly(body),
        Some(EventState::Updated),
        "3 mm/s is usual again (normally 2.75 to 3.47), 10 min after it began",
    );
    let at_most = |high| range(None, Some(high));
    let of_value = |member| {
        let own = unusual(member, 2.1, at_most(6.34));
        let usual = range(Some(86.0), Some(88.0));
        Anomaly { value: Some(87.0), usual, value_unit: Unit::new("°C").ok(), ..own }
    };
    let all = [
        (
            unusual(Member::Profile, 0.253, at_most(0.37)),
            "0.253 mm/s off its usual course for 01:00 is usual again (normally at most 0.37)",
        ),
        (
            unusual(Member::Volatility, 0.008, at_most(0.133)),
            "steps of 0.008 mm/s are usual again (normally at most 0.133)",
        ),
        (of_value(Member::Context), "87 °C is usual again (normally 86 to 88)"),
        (of_value(Member::TimeOfDay), "87 °C is usual again (normally 86 to 88)"),
        (of_value(Member::Shift), "87 °C is usual again (normally 86 to 88)"),
        (
            Anomaly { p_value: None, ..unusual(Member::High, 6.9, at_most(7.1)) },
            "6.9 mm/s is within the limit again (expected at most 7.1)",
        ),
    ];
    for (body, now) in all {
        check(Body::Anomaly(body), Some(EventState::Updated), &format!("{now}, 10 min after it began"));
    }
    // What the signal shows is off still, whatever the member makes of it.
    let off = Anomaly { value: Some(89.1), ..of_value(Member::TimeOfDay) };
    check(
        Body::Anomaly(off),
        Some(EventState::Updated),
        "89.1 °C is rare at 01:00 (normally 86 to 88), for 10 min, distance 16.4",
    );
    let machine = unusual(Member::Machine, 0.7, range(None, Some(1.1)));
    let fits = "its signals fit together again, 10 min after it began";
    check(Body::Anomaly(machine), Some(EventState::Updated), fits);
    let sends = Health {
        cause: Member::Silent,
        observed: 0.0,
        expected: range(None, Some(240.0)),
        distance: None,
        value: None,
        usual: range(None, None),
        value_unit: None,
    };
    check(Body::Health(sends), Some(EventState::Updated), "silent: it sends again, 10 min after it began");
}

#[test]
fn what_people_said_before_is_added_where_they_did() {
    let labelled = |maintenance, real| {
        let feedback = verge_domain::finding::Feedback { maintenance, real };
        let body = Anomaly { feedback, ..unusual(Member::Pattern, 3.0, range(None, None)) };
        words(Body::Anomaly(body), None).rsplit_once(" [").map(|(_, said)| said.to_owned())
    };
    assert_eq!(labelled(0, 0), None);
    assert_eq!(labelled(1, 0).as_deref(), Some("labelled maintenance before]"));
    assert_eq!(labelled(1, 2).as_deref(), Some("labelled maintenance, real 2 times before]"));
}

#[test]
fn no_words_hold_bits_or_a_statistic() {
    for member in Member::ALL.into_iter().filter(|member| !member.is_health()) {
        for state in [EventState::Raised, EventState::Updated, EventState::Cleared] {
            let said = words(Body::Anomaly(unusual(member, 7.99, range(None, Some(6.34)))), Some(state));
            let ruled_out = ["bits", "deviations", "p 1", "p 0", "chi"];
            assert!(ruled_out.iter().all(|word| !said.contains(word)), "{said}");
            let own = member.own_unit().is_some();
            assert!(!own || !said.contains("7.99"), "{said}");
        }
    }
}

#[test]
fn signals_that_do_not_fit_are_named_with_what_would() {
    let contribution = |signal: &str, observed, expected| verge_domain::finding::Contribution {
        signal: SignalId::new(signal).unwrap(),
        share: 0.5,
        observed,
        expected,
    };
    let contributions = vec![
        contribution("flow", 12.1, range(Some(14.0), Some(16.0))),
        contribution("current", 40.0, range(None, None)),
    ];
    let machine = Anomaly { contributions, ..unusual(Member::Machine, 3.2, range(None, Some(1.1))) };
    check(
        Body::Anomaly(machine.clone()),
        None,
        "its signals do not fit together: flow 12.1 (fits 14 to 16), current 40, distance 16.4",
    );
    check(
        Body::Anomaly(machine.clone()),
        Some(EventState::Cleared),
        "cleared after 10 min: its signals fit together again",
    );
    let vibration = Anomaly { member: Member::Vibration, ..machine };
    check(Body::Anomaly(vibration), None, "vibrates otherwise than usual: flow, current, distance 16.4");
}

#[test]
fn a_frame_that_looks_unusual_says_where() {
    let region = |x, y| RegionBox { area: PixelBox { x, y, width: 40, height: 30 }, peak: 0.9 };
    let of = |boxes: Vec<RegionBox>| {
        let regions = Regions { width: 640, height: 480, boxes };
        Body::Anomaly(Anomaly { regions, ..unusual(Member::Appearance, 0.9, range(None, Some(0.5))) })
    };
    check(of(Vec::new()), None, "looks unlike what its model knows, distance 16.4");
    check(
        of(vec![region(12, 7)]),
        None,
        "looks unlike what its model knows: 40 x 30 px at 12, 7, distance 16.4",
    );
    check(
        of(vec![region(12, 7), region(90, 7), region(0, 0)]),
        None,
        "looks unlike what its model knows: 40 x 30 px at 12, 7 and 2 other places, distance 16.4",
    );
    let cleared = "cleared after 10 min: looks as its model knows it again";
    check(of(Vec::new()), Some(EventState::Cleared), cleared);
}

#[test]
fn a_list_of_tags_says_what_the_signal_is() {
    let description = verge_domain::id::TagText::new("outlet, hot side").ok();
    let tag = Some(verge_domain::tag::SignalTag { description, machine: None, group: None });
    let said = verdict_words(&Verdict { tag, ..sample() }, &SiteZone::utc());
    assert_eq!(said, "pump-1 vibration (outlet, hot side): high, 8.41 mm/s (expected at most 7.1 mm/s)");
}

#[test]
fn durations_stay_readable() {
    let check = |millis: u64, text: &str| assert_eq!(span(millis), text);
    check(87, "87 ms");
    check(1_250, "1.2 s");
    check(59_999, "59.9 s");
    check(90_000, "1 min");
    check(7_199_000, "119 min");
    check(7_200_000, "2 h");
    check(7_380_000, "2 h 3 min");
    check(180_000_000, "2 d 2 h");
    check(u64::MAX, "213503982334 d 14 h");
}

#[test]
fn what_was_observed_is_distinct_from_what_was_expected() {
    let check = |value: f64, low: Option<f64>, high: Option<f64>, text: &str| {
        let seen = Quantity { value, range: Expected { low, high }, unit: " m".to_owned() };
        assert_eq!(seen.expected(), text);
    };
    check(4.1234, Some(3.8), Some(4.1229), "4.1234 m (expected 3.8 to 4.1229 m)");
    check(12_345.6, None, Some(12_345.5), "12345.6 m (expected at most 12345.5 m)");
    check(7.1, Some(7.1), None, "7.1 m (expected at least 7.1 m)");
    check(3.0, None, None, "3 m");
}

#[test]
fn numbers_stay_readable() {
    let check = |value: f64, text: &str| assert_eq!(number(value), text);
    check(0.0, "0");
    check(0.0123, "0.012");
    check(12_345.678, "12346");
    check(123.456, "123.5");
    check(-7.0, "-7");
    check(1.5e9, "1.500e9");
    check(2e-5, "2.000e-5");
}
