//! Each fault is found soon, by its own cause, and is over when it is over.

use verge_anomaly::HealthSettings;
use verge_domain::finding::{Member, Standing};
use verge_domain::time::DeviceClock;

use super::signals::{Arrival, Line, Random, Shape};
use super::{SentReading, Trial};

/// A fault after 5,000 good readings: `fault` says what becomes of the `n`-th reading of it. It must be found
/// within `soon` readings, by `member` and no cause but those `also` named, and be over within 400 good readings.
fn check(
    member: Member,
    also: &[Member],
    (shape, arrival): (Shape, Arrival),
    soon: u64,
    mut fault: impl FnMut(u64, SentReading) -> SentReading,
) -> Trial {
    let mut trial = Trial::new();
    let mut line = Line::new(shape, arrival, 11);
    for _ in 0..5000 {
        trial.observe(line.next());
    }
    assert!(trial.first.is_empty(), "{member:?}, before: {:?}", trial.first);
    for n in 0..600 {
        trial.observe(fault(n, line.next()));
    }
    let found = trial.first.remove(&member).unwrap_or_else(|| panic!("{member:?} was not found"));
    assert!(found - 5000 <= soon, "{member:?} after {} readings", found - 5000);
    assert_eq!(trial.standing(member), Some(Standing::Abnormal), "{member:?} holds");
    trial.first.retain(|other, _| !also.contains(other));
    assert!(trial.first.is_empty(), "{member:?}: {:?} as well", trial.first);
    for _ in 0..400 {
        trial.observe(line.next());
    }
    assert_eq!(trial.standing(member), Some(Standing::Normal), "{member:?} is over");
    trial
}

#[test]
fn a_frozen_value_is_stuck() {
    for shape in [Shape::White, Shape::Wander(0.99), Shape::DailySine, Shape::HeavyTails] {
        let mut frozen = None;
        check(Member::Stuck, &[], (shape, Arrival::Regular), 34, |_, sent| SentReading {
            value: *frozen.get_or_insert(sent.value),
            ..sent
        });
    }
    // Whole numbers repeat by nature: the fault takes longer to find.
    let trial = check(Member::Stuck, &[], (Shape::Integers, Arrival::Jittered), 60, |_, sent| SentReading {
        value: 20.0,
        ..sent
    });
    assert_eq!(trial.standing(Member::Flat), Some(Standing::Normal));
}

#[test]
fn what_is_stuck_is_reported_in_readings_with_an_honest_probability() {
    let mut trial = Trial::new();
    let mut line = Line::new(Shape::White, Arrival::Regular, 1);
    (0..2000).for_each(|_| drop(trial.observe(line.next())));
    (0..33).for_each(|_| drop(trial.observe(SentReading { value: 20.0, ..line.next() })));
    let reported = &trial.last[&Member::Stuck];
    assert_eq!(reported.shown.map(|shown| shown.value), Some(20.0));
    assert_eq!((reported.observed, reported.expected.low, reported.expected.high), (33.0, None, Some(32.0)));
    // 1,999 runs were known: the first one's beginning was not seen.
    assert_eq!(reported.p_value, Some(1.0 / 2000.0));
}

/// The transmitter died; what is left is the noise of the converter around its last value.
#[test]
fn a_collapsed_variation_is_flat() {
    for shape in [Shape::White, Shape::Wander(0.9), Shape::HeavyTails] {
        let mut random = Random(5);
        check(Member::Flat, &[], (shape, Arrival::Regular), 240, |_, sent| SentReading {
            value: 20.0 + 0.02 * random.normal(),
            ..sent
        });
    }
}

/// A loose contact.
#[test]
fn a_grown_noise_that_stays_is_noisy() {
    for shape in [Shape::White, Shape::DailySine, Shape::Integers, Shape::DailySineRounded] {
        let mut random = Random(6);
        check(Member::Noisy, &[], (shape, Arrival::Jittered), 240, |_, sent| SentReading {
            value: sent.value + (150.0 * random.normal()).round() / 10.0,
            ..sent
        });
    }
}

#[test]
fn spikes_and_steps_are_not_noise() {
    let mut trial = Trial::new();
    let mut line = Line::new(Shape::White, Arrival::Regular, 3);
    for n in 0..20_000 {
        let sent = line.next();
        let spike = if n > 5000 && n % 20 == 0 { 500.0 } else { 0.0 };
        let step = if n > 10_000 { 100.0 } else { 0.0 };
        trial.observe(SentReading { value: sent.value + spike + step, ..sent });
    }
    assert!(trial.first.is_empty(), "{:?}", trial.first);
}

/// The range of the transmitter ends within the signal.
#[test]
fn a_clipped_signal_is_saturated() {
    for limit in [20.5, 19.0] {
        check(Member::Saturated, &[], (Shape::White, Arrival::Regular), 480, |_, sent| SentReading {
            // The rail lies beyond all values so far: gain and offset have risen as well.
            value: (20.0 + (sent.value - limit) * 3.0 + 20.0).min(40.0),
            ..sent
        });
    }
    // A broken wire: 4 to 20 mA reads as the lower end, and stays. Nothing is cut off: it stands still.
    check(Member::Stuck, &[], (Shape::DailySine, Arrival::Regular), 34, |_, sent| SentReading {
        value: -5.0,
        ..sent
    });
}

#[test]
fn what_falls_silent_is_found_by_time_alone() {
    let check = |arrival: Arrival, at_most_s: f64| {
        let mut trial = Trial::new();
        let mut line = Line::new(Shape::White, arrival, 4);
        let mut last_ms = 0;
        for _ in 0..2000 {
            let sent = line.next();
            last_ms = sent.at_ms;
            trial.observe(sent);
        }
        let found = (0..10_000).find(|half| {
            trial.tick(last_ms + half * 500);
            trial.standing(Member::Silent) == Some(Standing::Abnormal)
        });
        let reported = &trial.last[&Member::Silent];
        assert!(reported.observed <= at_most_s, "{arrival:?}: {reported:?}");
        assert!(reported.observed > reported.expected.high.unwrap() && found.is_some());
        assert!(reported.p_value.unwrap() <= 1.0 / 200.0);
        let back = SentReading { value: 1.0, at_ms: last_ms + 10_000_000, captured_ms: None };
        trial.observe(back);
        assert_eq!(trial.standing(Member::Silent), Some(Standing::Normal));
    };
    check(Arrival::Regular, 4.5);
    check(Arrival::Jittered, 16.0);
    check(Arrival::Random, 90.0);
    check(Arrival::Batched, 40.5);
}

/// Readings that come every 20 ms to every ten minutes: a silence is one within a few times what is usual of that signal,
/// and never sooner than after the second in which time is checked twice.
#[test]
fn how_long_is_silent_follows_the_usual_gap_down_to_a_second() {
    for (gap_ms, silent_after_s) in
        [(20, 1.0), (100, 1.0), (250, 1.0), (500, 2.0), (2_000, 8.0), (15_000, 60.0), (600_000, 2_400.0)]
    {
        let mut trial = Trial::new();
        let mut random = Random(7);
        let mut at_ms = 0;
        for _ in 0..600 {
            trial.observe(SentReading { value: random.normal(), at_ms, captured_ms: None });
            (1..gap_ms / 500).for_each(|half| drop(trial.tick(at_ms + half * 500)));
            assert_ne!(
                trial.standing(Member::Silent),
                Some(Standing::Abnormal),
                "every {gap_ms} ms, none is missing"
            );
            at_ms += gap_ms;
        }
        let last_ms = at_ms - gap_ms;
        let found = (1..).find(|half| {
            trial.tick(last_ms + half * 500);
            trial.standing(Member::Silent) == Some(Standing::Abnormal)
        });
        let reported = &trial.last[&Member::Silent];
        assert_eq!(reported.expected.high, Some(silent_after_s), "every {gap_ms} ms: {reported:?}");
        let found_s = found.unwrap() as f64 / 2.0;
        assert!(
            (silent_after_s..silent_after_s + 1.0).contains(&found_s),
            "every {gap_ms} ms: after {found_s} s"
        );
    }
}

#[test]
fn a_silence_between_two_ticks_is_reported_all_the_same() {
    let mut trial = Trial::new();
    let mut line = Line::new(Shape::White, Arrival::Regular, 4);
    let last = (0..100).map(|_| line.next()).inspect(|sent| drop(trial.observe(*sent))).last().unwrap();
    trial.observe(SentReading { at_ms: last.at_ms + 60_000, ..line.next() });
    assert_eq!(trial.first.get(&Member::Silent), Some(&101));
    assert_eq!(trial.standing(Member::Silent), Some(Standing::Normal));
}

#[test]
fn a_clock_that_steps_or_is_not_believed_is_skewed() {
    let on_time = (Shape::White, Arrival::Jittered);
    let stepped = |by_ms: i64| {
        move |_, sent: SentReading| SentReading { captured_ms: sent.captured_ms.map(|ms| ms + by_ms), ..sent }
    };
    // An hour back: the wrong zone; ten seconds and a minute ahead.
    for by_ms in [-3_600_000, 10_000, 60_000] {
        check(Member::ClockSkewed, &[], on_time, 200, stepped(by_ms));
    }
    // Its battery is empty: 1970.
    let trial = check(Member::ClockSkewed, &[], on_time, 8, stepped(-1_600_000_000_000));
    assert_eq!(trial.standing(Member::ClockSkewed), Some(Standing::Normal));
}

/// The codec has found the offset of another zone.
#[test]
fn a_clock_of_another_zone_is_skewed_by_its_offset() {
    let mut trial = Trial::new();
    let mut line = Line::new(Shape::White, Arrival::Regular, 4);
    for _ in 0..8 {
        let sent = line.next();
        let captured_ms = Some(sent.at_ms - 18_000_000);
        trial.observe_as(SentReading { captured_ms, ..sent }, DeviceClock::Skewed);
    }
    let reported = trial.last[&Member::ClockSkewed].clone();
    assert_eq!((reported.standing, reported.observed), (Standing::Abnormal, -18_000.0));
    assert_eq!((reported.expected.low, reported.expected.high), (Some(-1_800.0), Some(300.0)));
}

#[test]
fn a_clock_that_drifts_is_skewed() {
    let mut trial = Trial::new();
    let mut line = Line::new(Shape::White, Arrival::Jittered, 4);
    let mut found = None;
    for n in 0..60_000i64 {
        let sent = line.next();
        // 200 ppm.
        trial.observe(SentReading { captured_ms: sent.captured_ms.map(|ms| ms + n / 5), ..sent });
        if found.is_none() && !trial.first.is_empty() {
            found = Some(trial.last[&Member::ClockSkewed].clone());
        }
    }
    let reported = found.unwrap();
    assert_eq!(reported.member, Member::ClockSkewed);
    assert!((5.0..7.0).contains(&reported.observed), "{reported:?}");
}

/// A second device was given the name of the first; its clock is three seconds behind.
#[test]
fn two_clocks_under_one_name_are_a_duplicate() {
    let mut trial = Trial::new();
    let mut first = Line::new(Shape::White, Arrival::Jittered, 4);
    let mut second = Line::new(Shape::White, Arrival::Jittered, 5);
    for _ in 0..1000 {
        trial.observe(first.next());
        second.next();
    }
    assert!(trial.first.is_empty());
    for _ in 0..300 {
        trial.observe(first.next());
        let other = second.next();
        let captured_ms = other.captured_ms.map(|ms| ms - 3000);
        trial.observe(SentReading { at_ms: other.at_ms + 500, captured_ms, ..other });
    }
    assert_eq!(trial.standing(Member::Duplicate), Some(Standing::Abnormal));
    assert!(trial.first[&Member::Duplicate] <= 1200, "{:?}", trial.first);
    assert_eq!(trial.first.len(), 1, "{:?}", trial.first);
    let reported = &trial.last[&Member::Duplicate];
    assert!((0.45..=0.5).contains(&reported.observed), "{reported:?}");
    for _ in 0..400 {
        trial.observe(first.next());
    }
    assert_eq!(trial.standing(Member::Duplicate), Some(Standing::Normal));
}

/// Neither gives a time, and they were two from the beginning.
#[test]
fn two_levels_under_one_name_are_a_duplicate() {
    for resolution in [1e-9, 0.1] {
        let mut trial = Trial::new();
        let mut line = Line::new(Shape::White, Arrival::Regular, 4);
        for n in 0..1000 {
            let sent = line.next();
            let value = 0.3 * sent.value + if n % 2 == 0 { 0.0 } else { 8.0 };
            trial.observe(SentReading { value: (value / resolution).round() * resolution, ..sent });
        }
        assert_eq!(trial.standing(Member::Duplicate), Some(Standing::Abnormal), "{resolution}");
        assert_eq!(trial.first.len(), 1, "{:?}", trial.first);
    }
}

/// What comes and goes is the sensor's nature from the third time on; from the second where it was for the record.
#[test]
fn a_spell_that_came_twice_is_learnt() {
    let check = |member: Member, days: i64, spell: fn(SentReading, &mut Random) -> SentReading| {
        let mut trial = Trial::new();
        let mut line = Line::new(Shape::White, Arrival::Regular, 9);
        let mut random = Random(3);
        // So far apart that these are the days before the first spell.
        let apart = days * 86_400 / 4000;
        let mut next = || {
            let sent = line.next();
            SentReading { at_ms: sent.at_ms * apart, ..sent }
        };
        let mut reported = [None; 4];
        for reported in &mut reported {
            (0..4000).for_each(|_| drop(trial.observe(next())));
            trial.forget();
            (0..1000).for_each(|_| drop(trial.observe(spell(next(), &mut random))));
            *reported = trial.raised.get(&member).copied();
        }
        reported
    };
    let (alarm, record) = (Some(false), Some(true));
    for days in [1, 9] {
        let stands = check(Member::Stuck, days, |sent, _| SentReading { value: 20.0, ..sent });
        assert_eq!(stands, [alarm, alarm, None, None], "{days} days");
    }
    let flat =
        |sent: SentReading, random: &mut Random| SentReading { value: 20.0 + 0.01 * random.normal(), ..sent };
    assert_eq!(check(Member::Flat, 9, flat), [alarm, alarm, None, None]);
    assert_eq!(check(Member::Flat, 1, flat), [record, None, None, None]);
    let noisy =
        |sent: SentReading, random: &mut Random| SentReading { value: 30.0 * random.normal(), ..sent };
    assert_eq!(check(Member::Noisy, 9, noisy), [alarm, alarm, None, None]);
    assert_eq!(check(Member::Noisy, 1, noisy), [record, None, None, None]);
}

#[test]
fn patience_waits_that_much_longer_and_what_is_not_watched_is_not_reported() {
    let settings = HealthSettings::new(&[Member::Stuck, Member::Noisy], 10.0).unwrap();
    let mut trial = Trial::with(settings);
    let mut line = Line::new(Shape::White, Arrival::Regular, 9);
    (0..4000).for_each(|_| drop(trial.observe(line.next())));
    (0..500).for_each(|_| drop(trial.observe(SentReading { value: 20.0, ..line.next() })));
    assert_eq!(trial.first.get(&Member::Stuck), Some(&4321));
    (0..400).for_each(|_| drop(trial.observe(line.next())));
    let mut random = Random(3);
    (0..3000).for_each(|_| drop(trial.observe(SentReading { value: 50.0 * random.normal(), ..line.next() })));
    let noisy = trial.first[&Member::Noisy] - 4900;
    assert!((1500..1700).contains(&noisy), "{noisy}");
    assert_eq!(trial.last.len(), 2, "{:?}", trial.last);
}
