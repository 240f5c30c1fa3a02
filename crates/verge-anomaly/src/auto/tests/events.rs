//! How long events last, and what they say.

use super::*;

#[test]
fn an_event_ends_when_what_raised_it_does_whatever_it_has_taught() {
    // It drifts off for two hundred minutes and comes back at once, to what its hour does not know any more.
    let (mut detector, mut noise) = (detector(), Noise::new(3));
    let minute = |reading: usize| UtcMillis(reading as i64 * 60_000);
    let mut open = 0;
    for reading in 0..9_000_usize {
        let drift = (reading as f64 - 7_200.0) / 200.0;
        let off = if (0.0..1.0).contains(&drift) { 2.5 * drift } else { 0.0 };
        let value = 5.0 + (TAU * reading as f64 / 240.0).sin() + off + 0.2 * noise.normal();
        let assessment = detector.observe(minute(reading), value);
        if reading >= 7_200 {
            open += usize::from(assessment.standing != Standing::Normal);
        }
    }
    assert!((10..500).contains(&open), "an event of 200 readings was open for {open}");
}

#[test]
fn an_event_goes_on_while_the_signal_stays_off_though_its_hour_has_learnt_it() {
    const DAY: usize = 1_440;
    for off in [3.0, 4.0, 6.0, -6.0] {
        let (mut detector, mut noise) = (detector(), Noise::new(5));
        let fault = 6 * DAY + 600..6 * DAY + 780;
        let (mut raised, mut ended) = (None, None);
        for minute in 0..fault.end + DAY {
            let off = if fault.contains(&minute) { off } else { 0.0 };
            let value = 5.0 * (TAU * minute as f64 / DAY as f64).sin() + off + 0.5 * noise.normal();
            let assessment = detector.observe(UtcMillis(minute as i64 * 60_000), value);
            if minute >= fault.start && assessment.alarm && raised.is_none() {
                raised = Some((minute, assessment.member));
            }
            if raised.is_some() && ended.is_none() && assessment.standing == Standing::Normal {
                ended = Some(minute);
            }
        }
        assert!(raised.is_some_and(|(minute, member)| minute < fault.start + 5 && member == Member::Profile));
        assert!(ended.is_some_and(|ended| (fault.end..fault.end + 60).contains(&ended)), "{off}: {ended:?}");
    }
}

#[test]
fn what_raises_an_alarm_lies_beyond_what_was_expected() {
    let mut alarms = 0;
    for seed in 0..40 {
        let (mut detector, mut noise) = (detector(), Noise::new(seed));
        for reading in 0..2_000_usize {
            let assessment = detector.observe(at(reading), noise.normal().exp());
            let Expected { low, high } = assessment.expected;
            if !(assessment.alarm && assessment.abnormal) || (low, high) == (None, None) {
                continue;
            }
            alarms += 1;
            let seen = assessment.observed;
            let inside = low.is_none_or(|low| seen >= low) && high.is_none_or(|high| seen <= high);
            assert!(!inside, "seed {seed}, reading {reading}: {assessment:?}");
        }
    }
    assert!(alarms > 20, "{alarms} alarms");
}

#[test]
fn the_second_day_begins_without_an_alarm() {
    for seed in 0..6 {
        let (mut detector, mut noise) = (detector(), Noise::new(40 + seed));
        for minute in 0..1_500_usize {
            let value = (TAU * minute as f64 / 240.0).sin() + 0.2 * noise.normal();
            let assessment = detector.observe(UtcMillis(minute as i64 * 60_000), value);
            let by_hour = assessment.alarm && assessment.member == Member::Profile;
            assert!(!by_hour, "at {minute} minutes: {assessment:?}");
        }
    }
}

#[test]
fn an_event_lasts_as_long_as_its_cause() {
    let (mut detector, mut next) = (detector(), process("white"));
    let judged: Vec<Assessment> = (0..6_000)
        .map(|reading| {
            let off = if (2_000..2_600).contains(&reading) { 12.0 } else { 0.0 };
            detector.observe(at(reading), next(reading) + off)
        })
        .collect();
    // A false alarm shortly before holds it back; it is raised once the hold-off is over, since it still lasts.
    let begin = (2_000..6_000).find(|&reading| judged[reading].standing == Standing::Abnormal).unwrap();
    assert!((2_000..2_101).contains(&begin), "raised at {begin}");
    let end = (begin..6_000).find(|&reading| judged[reading].standing == Standing::Normal).unwrap();
    assert!((2_600..2_800).contains(&end), "over at {end}");
    let Assessment { observed, expected: Expected { low, high }, .. } = judged[end];
    let back = low.is_some_and(|low| low <= observed) && high.is_some_and(|high| observed <= high);
    assert!(back, "it ends where what it was about is as expected: {:?}", judged[end]);
}

#[test]
fn an_event_ends_when_the_signal_is_calm_again() {
    let (mut detector, mut next) = (detector(), process("white"));
    let mut standings = Vec::new();
    for reading in 0..5_200 {
        let off = if (5_000..5_005).contains(&reading) { 50.0 } else { 0.0 };
        standings.push(detector.observe(at(reading), next(reading) + off).standing);
    }
    assert_eq!(standings[5_000], Standing::Abnormal);
    let end = standings[5_005..].iter().position(|&standing| standing == Standing::Normal).unwrap();
    assert!((10..150).contains(&end), "after {end} readings");
}

#[test]
fn a_fault_behind_an_open_event_is_reported_and_what_stays_is_adapted_to_over_a_restart_too() {
    let run = |restart: bool| {
        let (mut judged, mut next) = (detector(), process("white"));
        let mut standings = Vec::new();
        for reading in 0..9_000_usize {
            if restart && reading % 500 == 99 {
                let saved = judged.save();
                judged = detector();
                judged.restore(&saved).unwrap();
            }
            // A pump stops for good, and after a while its value jumps the other way for a moment.
            let stopped = if reading >= 5_000 { -8.0 } else { 0.0 };
            let fault = if (5_600..5_603).contains(&reading) { 60.0 } else { 0.0 };
            standings.push(judged.observe(at(reading), next(reading) + stopped + fault).standing);
        }
        standings
    };
    let standings = run(false);
    assert!(run(true) == standings, "a restart in the middle of an event changes nothing");
    let first = |wanted: Standing| (5_000..9_000).find(|&reading| standings[reading] == wanted);
    assert!(
        first(Standing::Abnormal).is_some_and(|raised| raised < 5_110),
        "{:?}",
        first(Standing::Abnormal)
    );
    assert_eq!(first(Standing::Renewed), Some(5_600));
    assert!(standings[5_110..5_600].iter().all(|standing| !standing.is_normal()), "it stays open");
}

#[test]
fn the_peak_of_an_event_that_goes_on_outlives_a_restart() {
    let budget = AlarmBudget::new(1.0, Duration::from_secs(86_400)).unwrap();
    let alarms = AlarmSettings::new(Some(budget), 100).unwrap().with(BudgetOf::Judge, WhileLearning::Info);
    let settings = AutoSettings::new(alarms, None).unwrap();
    let (mut before, mut next) = (AutoDetector::new(&settings), process("white"));
    for reading in 0..5_000 {
        before.observe(at(reading), next(reading) + if reading >= 4_990 { 50.0 } else { 0.0 });
    }
    let running = |detector: &AutoDetector| detector.pool.running(&detector.alarms);
    let mut after = AutoDetector::new(&settings);
    assert_ne!(running(&before), running(&after));
    after.restore(&before.save()).unwrap();
    assert_eq!(running(&after), running(&before));
}

#[test]
fn what_has_become_how_things_are_ends_as_adapted() {
    let (mut detector, mut next) = (detector(), process("white"));
    let standings: Vec<Standing> = (0..9_000_usize)
        .map(|reading| {
            let stopped = if reading >= 5_000 { -8.0 } else { 0.0 };
            detector.observe(at(reading), next(reading) + stopped).standing
        })
        .collect();
    let adapted = standings.iter().position(|standing| *standing == Standing::Adapted);
    assert!(adapted.is_some_and(|at| (6_000..7_100).contains(&at)), "adapted at {adapted:?}");
    assert!(standings[5_110..adapted.unwrap()].iter().all(|standing| !standing.is_normal()));
}

#[test]
fn what_stood_still_does_not_look_restless_afterwards() {
    let (mut detector, mut noise) = (detector(), Noise::new(11));
    for reading in 0..7_500 {
        let value = if reading < 6_000 { noise.normal() } else { 0.25 };
        detector.observe(at(reading), 10.0 + value);
    }
    let restless = (7_500..8_000).filter(|&reading| {
        let assessment = detector.observe(at(reading), 10.0 + noise.normal());
        assessment.abnormal && assessment.member == Member::Volatility
    });
    assert_eq!(restless.count(), 0);
}
