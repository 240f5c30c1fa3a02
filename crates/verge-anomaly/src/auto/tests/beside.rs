//! Steps, and where a signal stays: what is seen beside the members where the budget is the judge's.

use super::super::places::KnownPlaces;
use super::super::steps::Steps;
use super::*;
use crate::pool::{SavedBeside, SavedMember};
use crate::state::{self, StateKind};
use crate::tail::HALF_LIFE;

const MINUTE: i64 = 60_000;
const DAY: usize = 1_440;

fn of_judge() -> AutoDetector {
    let budget = AlarmBudget::new(1.0, Duration::from_secs(7 * 86_400)).unwrap();
    let alarms = AlarmSettings::new(Some(budget), 100).unwrap();
    AutoDetector::new(&AutoSettings::new(alarms.with(BudgetOf::Judge, WhileLearning::Info), None).unwrap())
}

/// Alarms that are not raised while learning, with their readings.
pub(super) fn alarms(
    detector: &mut AutoDetector,
    every_ms: i64,
    readings: std::ops::Range<usize>,
    mut value: impl FnMut(usize) -> f64,
) -> Vec<(usize, Assessment)> {
    readings
        .map(|reading| (reading, detector.observe(UtcMillis(reading as i64 * every_ms), value(reading))))
        .filter(|(_, assessment)| assessment.alarm && !assessment.learning)
        .collect()
}

/// The current of a pump that stops for half an hour each second day.
fn current(reading: usize, noise: &mut Noise) -> f64 {
    let stops = (reading / DAY) % 2 == 1 && (600..630).contains(&(reading % DAY));
    if stops { 0.0 } else { 30.0 + (TAU * reading as f64 / 300.0).sin() + 0.15 * noise.normal() }
}

#[test]
fn a_step_of_a_machine_that_stops_now_and_then_is_found_and_a_stop_is_none() {
    let (mut detector, mut noise) = (of_judge(), Noise::new(3));
    alarms(&mut detector, MINUTE, 0..8 * DAY, |reading| current(reading, &mut noise));
    let quiet = alarms(&mut detector, MINUTE, 8 * DAY..12 * DAY, |reading| current(reading, &mut noise));
    assert!(quiet.iter().all(|(_, alarm)| alarm.member != Member::Volatility), "{quiet:?}");
    let begin = 12 * DAY + 300;
    alarms(&mut detector, MINUTE, 12 * DAY..begin, |reading| current(reading, &mut noise));
    let found = alarms(&mut detector, MINUTE, begin..begin + 2, |reading| current(reading, &mut noise) - 9.0);
    let (_, step) = found.first().expect("the step is found");
    assert_eq!(step.member, Member::Volatility);
    assert!((8.0..10.0).contains(&step.observed), "{step:?}");
    assert!(step.expected.high.is_some_and(|most| most < step.observed), "{step:?}");
    assert!(step.shown.is_some_and(|(distance, _)| distance > 2.0), "{step:?}");
    // Where nothing else is strange, the event reports single steps to its end, of which its limit is one.
    let (mut last, mut reported) = (detector.last, 0);
    for reading in begin + 2..begin + 120 {
        let value = current(reading, &mut noise) - 9.0;
        let later = detector.observe(UtcMillis(reading as i64 * MINUTE), value);
        if !later.abnormal && later.standing != Standing::Normal {
            assert_eq!(
                (later.member, later.observed),
                (Member::Volatility, (value - last).abs()),
                "{reading}"
            );
            reported += 1;
        }
        last = value;
    }
    assert!(reported > 0, "the event is open for a while");
}

#[test]
fn steps_far_beyond_all_others_are_learnt_after_ten_whatever_number_was_seen_before() {
    let (mut steps, mut noise) = (Steps::new(), Noise::new(9));
    while steps.seen() < HALF_LIFE {
        steps.learn(noise.normal().abs(), 1e-4);
    }
    let mut seen_after = |times: usize| {
        (0..times).for_each(|_| steps.learn(1e3, 1e-4));
        steps.seen()
    };
    assert_eq!(seen_after(10), HALF_LIFE);
    assert_eq!(seen_after(10), HALF_LIFE + 10);
}

#[test]
fn the_same_step_is_as_strange_again_unless_somebody_says_that_it_is_none() {
    for harmless in [false, true] {
        let (mut detector, mut noise) = (of_judge(), Noise::new(3));
        let mut spikes = Vec::new();
        for day in 0..14 {
            let spike = day * DAY + 200;
            let found = alarms(&mut detector, MINUTE, day * DAY..(day + 1) * DAY, |reading| {
                let off = if day >= 10 && (spike..spike + 3).contains(&reading) { 12.0 } else { 0.0 };
                current(reading, &mut noise) + off
            });
            spikes.push(found.iter().filter(|(_, alarm)| alarm.member == Member::Volatility).count());
            if harmless && day == 10 {
                assert!(detector.was_false(None));
            }
        }
        let found = spikes[10..].iter().filter(|&&spikes| spikes > 0).count();
        // One signal must not spend more than half of the budget.
        let expected = if harmless { 1..=1 } else { 2..=4 };
        assert!(expected.contains(&found), "{spikes:?}");
    }
}

#[test]
fn what_stays_between_two_places_is_found_and_neither_of_them_is() {
    // It runs for eleven hours and stands for six: its range holds all that lies between.
    let flow = |reading: usize, noise: &mut Noise| {
        if reading % 1_020 < 360 { 0.0 } else { 100.0 + noise.normal() }
    };
    const DEVIATION: f64 = 40.0;
    let (mut places, mut noise) = (KnownPlaces::new(), Noise::new(4));
    let begin = 12 * 1_020 * 24 / 17 + 360;
    for reading in 0..begin {
        if places.note(|| (reading / 180) as i64, flow(reading, &mut noise), DEVIATION) {
            assert!(places.surprise(DEVIATION) < 1.0, "{reading}");
            places.learn();
        }
    }
    let found = (begin..begin + 660).find(|&reading| {
        let drift = 0.1 * (reading - begin) as f64;
        let moved = places.note(|| (reading / 180) as i64, flow(reading, &mut noise) - drift, DEVIATION);
        moved && places.surprise(DEVIATION) > 16.0
    });
    assert!(found.is_some(), "it stays at {}", places.middle());
    let (low, high) = places.expected(16.0, DEVIATION).unwrap();
    assert!(places.middle() < low && low < 100.0 && high > 100.0, "the nearest place: {low} to {high}");
    // What people accept, or what has lasted, is a place from then on.
    places.accept();
    for reading in 0..200 {
        let now = places.middle();
        places.note(|| begin as i64 / 180 + 4, now, DEVIATION);
        assert!(places.surprise(DEVIATION) < 1.0, "{reading}");
    }
}

#[test]
fn an_excursion_that_is_forgotten_leaves_places_as_fine_as_they_were() {
    // A reading is as good as a mean here; forty of them are a block.
    const BLOCK: usize = 40;
    let found_at = |excursion: f64| {
        let (mut places, mut noise) = (KnownPlaces::new(), Noise::new(10));
        let mut watch = |blocks: std::ops::Range<usize>, value: &dyn Fn(usize) -> f64| {
            (blocks.start * BLOCK..blocks.end * BLOCK).find_map(|reading| {
                let mean = value(reading - blocks.start * BLOCK) + 0.5 * noise.normal();
                let moved = places.note(|| (reading / BLOCK) as i64, mean, 1.0);
                if moved && places.surprise(1.0) > 16.0 {
                    return Some(places.middle());
                }
                if moved {
                    places.learn();
                }
                None
            })
        };
        assert_eq!(watch(0..50, &|_| 100.0), None);
        assert_eq!(watch(50..52, &|_| 100.0 + excursion), None, "nothing is known yet");
        // What was coarse is forgotten before it becomes finer: five halvings in the time that is remembered.
        assert_eq!(watch(52..1_000, &|_| 100.0), None);
        watch(1_000..1_050, &|reading| 100.0 + 0.01 * reading as f64).expect("a drift is found")
    };
    let without = found_at(0.0);
    for excursion in [30.0, -300.0, 3_000.0] {
        let found = found_at(excursion);
        assert!((found - without).abs() < 0.5, "after {excursion}: at {found}, not {without}");
    }
}

/// What a signal of one reading a second raises on its first day, by what becomes of it after eight hours.
fn on_first_day(
    noise: f64,
    readings: usize,
    becomes: impl Fn(usize, f64) -> f64,
) -> Vec<(usize, Assessment)> {
    let (mut detector, mut normal) = (of_judge(), Noise::new(5));
    let begin = 8 * 3_600;
    let mut usual =
        |reading: usize| 40.0 + 3.0 * (TAU * reading as f64 / 7_000.0).sin() + noise * normal.normal();
    let before = alarms(&mut detector, 1_000, 0..begin, &mut usual);
    assert!(before.is_empty(), "{before:?}");
    let found = alarms(&mut detector, 1_000, begin..begin + readings, |reading| {
        becomes(reading - begin, usual(reading))
    });
    found.into_iter().map(|(reading, found)| (reading - begin, found)).collect()
}

#[test]
fn a_jump_beyond_doubt_is_an_alarm_on_the_first_day_once_it_is_known_where_it_led() {
    let check = |jump: f64, lasts: usize, at: Option<usize>| {
        let found = on_first_day(0.1, 60, |reading, usual| {
            (usual + if reading < lasts { jump } else { 0.0 }).max(0.0)
        });
        assert_eq!(found.first().map(|(reading, _)| *reading), at, "{jump} for {lasts}: {found:?}");
        for (_, found) in &found {
            let (distance, shown) = found.shown.unwrap();
            assert!(distance > 1.5 && (shown.value - 40.0 - jump).abs() < 4.0, "{found:?}");
        }
    };
    // What stays is known by then; what comes back, when it does.
    check(-7.0, 60, Some(10));
    check(9.0, 60, Some(10));
    check(9.0, 4, Some(4));
    check(-28.0, 4, Some(4));
    check(0.5, 60, None);
    // A machine stops, or nearly so.
    check(f64::NEG_INFINITY, 60, None);
    check(-28.0, 60, None);
}

#[test]
fn a_jump_that_was_seen_before_is_how_the_machine_works() {
    // A valve that opens for five minutes, each hour.
    let mut found = on_first_day(0.1, 4 * 3_600, |reading, usual| {
        usual + if (300..600).contains(&(reading % 3_600)) { 6.0 } else { 0.0 }
    });
    found.retain(|(_, found)| found.standing != Standing::Renewed);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_machine_that_starts_slowly_raises_nothing_on_the_first_day() {
    for seconds in [30.0, 90.0, 240.0] {
        let (mut detector, mut noise) = (of_judge(), Noise::new(8));
        let begin = 7 * 3_600;
        let found = alarms(&mut detector, 1_000, 0..begin + 1_000, |reading| {
            let part = ((reading as f64 - begin as f64) / seconds).clamp(0.0, 1.0);
            let value = if part > 0.0 { 18.0 * part + 0.3 * part * noise.normal() } else { 0.0 };
            (value.max(0.0) * 50.0).round() / 50.0
        });
        assert!(found.is_empty(), "{seconds} s: {found:?}");
    }
}

#[test]
fn noise_of_the_first_readings_is_no_jump() {
    let mut noted = 0;
    for seed in 0..100 {
        let (mut detector, mut noise) = (of_judge(), Noise::new(seed));
        let strange = (0..60)
            .map(|reading| detector.observe(UtcMillis(reading * MINUTE), 50.0 + 0.3 * noise.normal()))
            .any(|assessment| assessment.abnormal);
        noted += usize::from(strange);
    }
    assert_eq!(noted, 0, "of 100 signals");
}

#[test]
fn a_machine_that_runs_down_within_some_readings_raises_nothing_on_the_first_day() {
    for seconds in [3.0, 6.0, 15.0] {
        let rest = 8.0;
        let found = on_first_day(0.1, 600, |reading, usual| {
            rest + (usual - rest) * (-(reading as f64 + 1.0) / seconds).exp()
        });
        assert!(found.is_empty(), "within {seconds} s: {found:?}");
    }
}

#[test]
fn a_step_that_noise_hides_is_found_by_means_on_the_first_day() {
    // No reading is off by more than noise is now and then.
    let found = on_first_day(1.0, 200, |_, usual| usual + 5.5);
    let (reading, first) = found.first().expect("it is found");
    assert!((55..=100).contains(reading) && first.member == Member::Mean, "{found:?}");
    assert!(first.expected.high.is_some_and(|high| high < first.observed), "{first:?}");
}

#[test]
fn a_machine_that_starts_and_stops_at_random_is_not_restless() {
    // At rest its sensor is about zero, of either sign; some stops are so short that both steps are among forty.
    let (mut detector, mut noise) = (of_judge(), Noise::new(8));
    let (mut runs, mut left) = (true, 900);
    let found = alarms(&mut detector, MINUTE, 0..21 * DAY, |_| {
        left -= 1;
        if left == 0 {
            runs = !runs;
            let (least, most) = if runs { (500.0, 2_500.0) } else { (12.0, 120.0) };
            left = (least + (most - least) * (noise.normal() / 2.0).abs().min(1.0)) as i32;
        }
        0.01 + 0.02 * noise.normal() + if runs { 6.0 + 0.02 * noise.normal() } else { 0.0 }
    });
    let restless: Vec<_> = found.iter().filter(|(_, found)| found.member == Member::Volatility).collect();
    assert!(restless.is_empty(), "{restless:?}");
}

/// As versions with a former range wrote it: what stands behind it ends where that version did.
fn saved_before(detector: &AutoDetector, known: &SavedMember, with_running: bool) -> Vec<u8> {
    let behind = (&detector.excursions, known);
    if with_running {
        state::seal_with(StateKind::Auto, detector, &behind, &detector.pool.running(&detector.alarms))
    } else {
        state::seal_with(StateKind::Auto, detector, &behind, &())
    }
}

#[test]
fn a_state_of_an_earlier_version_is_taken_up_with_the_range_that_it_knew() {
    let (mut detector, mut noise) = (of_judge(), Noise::new(6));
    alarms(&mut detector, MINUTE, 0..10 * DAY, |_| noise.normal());
    let block = detector.pool.block_of(UtcMillis(10 * DAY as i64 * MINUTE));
    let known = SavedMember::with_former_range((-4.0, 4.0), 80, block);
    for with_running in [false, true] {
        let mut restored = of_judge();
        restored.restore(&saved_before(&detector, &known, with_running)).unwrap();
        // What is saved of it holds no more than what any other does.
        let mut again = of_judge();
        again.restore(&restored.save()).unwrap();
        assert_eq!(again, restored);
        let strange = (10 * DAY..10 * DAY + 300)
            .map(|reading| restored.observe(UtcMillis(reading as i64 * MINUTE), 9.0 + noise.normal()))
            .filter(|assessment| assessment.member == Member::Mean && assessment.p_value < 1e-9)
            .count();
        assert!(strange > 0, "it stays outside of the range; a running event behind it: {with_running}");
    }
    // And one of this version, exactly.
    let mut again = of_judge();
    again.restore(&detector.save()).unwrap();
    assert_eq!(again, detector);
    assert_eq!(again.pool.saved_beside(), detector.pool.saved_beside());
    assert_ne!(again.pool.saved_beside(), SavedBeside::default(), "it has seen some");
}

#[test]
fn a_state_of_an_earlier_version_without_a_shared_budget_is_taken_up_in_the_middle_of_an_event() {
    let (mut before, mut next) = (detector(), process("white"));
    for reading in 0..4_000 {
        before.observe(at(reading), next(reading));
    }
    let quiet = (4_000..5_000).find(|&reading| {
        before.observe(at(reading), 30.0 + next(reading));
        before.alarms.quiet() > 3
    });
    assert!(quiet.is_some(), "its event is open, and readings of it were quiet");
    for with_running in [false, true] {
        let known = before.pool.saved();
        let mut after = detector();
        after.restore(&saved_before(&before, known, with_running)).unwrap();
        assert_eq!(after.feedback(), before.feedback());
        assert_eq!(after.pool.running(&after.alarms) == before.pool.running(&before.alarms), with_running);
        assert_eq!(after.save().len(), before.save().len());
    }
}
