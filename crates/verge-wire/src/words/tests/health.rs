//! Words about sensors and devices.

use super::*;

#[test]
fn a_sensor_that_is_unwell_says_how() {
    let health = |cause, observed, expected| Body::Health(Health::of(cause, observed, expected));
    let at_most = |high| range(None, Some(high));
    let all = [
        (
            health(Member::Stuck, 33.0, at_most(32.0)),
            "stuck: the same value 33 times (normally at most 32)",
            "its value changes again",
        ),
        (
            health(Member::Stuck, 1.0, at_most(32.0)),
            "stuck: the same value once (normally at most 32)",
            "its value changes again",
        ),
        (
            health(Member::Flat, 0.02, range(Some(0.125), None)),
            "flat: varies by 0.02 of the least that is usual (normally at least 0.125)",
            "its value varies again",
        ),
        (
            health(Member::Noisy, 40.0, at_most(4.0)),
            "noisy: fluctuates 40 times as much as is usual at most (normally at most 4)",
            "its noise is as usual again",
        ),
        (
            health(Member::Saturated, 0.4, at_most(0.125)),
            "saturated: 40 % of readings are its greatest or its least value (normally at most 12.5)",
            "its values are within its range again",
        ),
        (
            health(Member::ClockSkewed, -40.0, range(Some(-1.0), Some(5.0))),
            "clock skewed: its clock is 40 s behind (normally -1 to 5)",
            "its clock is right again",
        ),
        (
            health(Member::Duplicate, 0.3, at_most(0.1)),
            "duplicate: 30 % of readings jump between two publishers of one name (normally at most 10)",
            "one publisher sends under the name again",
        ),
    ];
    for (body, raised, again) in all {
        let name = raised.split(':').next().unwrap();
        check(body.clone(), Some(EventState::Raised), raised);
        // What is as usual again waits for some calm before it is cleared.
        let goes_on = match raised.contains("once") {
            true => format!("{name}: {again}, 10 min after it began"),
            false => format!("{raised}, for 10 min"),
        };
        check(body.clone(), Some(EventState::Updated), &goes_on);
        check(body, Some(EventState::Cleared), &format!("{name}: cleared after 10 min: {again}"));
    }
    // In the unit of the signal, where the judge knows it.
    let in_bar = |value, usual, (cause, observed, most), expected: &str| {
        let value_unit = Some(Unit::new("bar").unwrap());
        let health = Health::of(cause, observed, at_most(most));
        let health = Health { value: Some(value), usual, value_unit, ..health };
        check(Body::Health(health), Some(EventState::Raised), expected);
    };
    let (open, least) = (range(None, None), range(Some(0.02), None));
    let stuck = "stuck: 6.42 bar, the same value 33 times (normally at most 32)";
    in_bar(6.42, open, (Member::Stuck, 33.0, 32.0), stuck);
    let flat = "flat: hardly fluctuates, steps of 0.002 bar (normally at least 0.02)";
    in_bar(0.002, least, (Member::Flat, 0.1, 0.125), flat);
    let noisy = "noisy: fluctuates too much, steps of 0.33 bar (normally at most 0.05)";
    in_bar(0.33, at_most(0.05), (Member::Noisy, 6.6, 4.0), noisy);
    let saturated = "saturated: 40 % of readings are cut off at 10 bar (normally at most 12.5)";
    in_bar(10.0, open, (Member::Saturated, 0.4, 0.125), saturated);
    let silent = health(Member::Silent, 612.0, at_most(30.0));
    check(silent, Some(EventState::Updated), "silent: nothing received for 10 min (normally at most 30 s)");
}

#[test]
fn a_machine_whose_state_does_not_come_says_which_judge_waits() {
    let said = |detector, state| {
        let silent = Body::Health(Health::of(Member::Silent, 612.0, range(None, Some(600.0))));
        words_of(detector, silent, Some(state))
    };
    let silence = "pump-1 vibration: silent: nothing received for 612 s (normally at most 600 s)";
    let waits = format!("{silence}; judge j waits for it and does not judge meanwhile");
    assert_eq!(said(Detector::Auto, EventState::Raised), waits);
    assert_eq!(said(Detector::Health, EventState::Raised), silence);
    let over = "pump-1 vibration: silent: cleared after 10 min: it sends again";
    assert_eq!(said(Detector::Auto, EventState::Cleared), over);
}
