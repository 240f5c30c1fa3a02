mod beside;
mod departures;
mod events;
mod lessons;
mod usual;

use std::f64::consts::TAU;
use std::time::Duration;

use proptest::prelude::*;
use verge_domain::finding::{Member, Standing};

use super::*;
use crate::alarm::{AlarmSettings, BudgetOf, WhileLearning};
use crate::budget::AlarmBudget;
use crate::noise::Noise;

const FIVE_MINUTES: i64 = 300_000;

fn detector() -> AutoDetector {
    AutoDetector::new(&AutoSettings::default())
}

fn at(reading: usize) -> UtcMillis {
    UtcMillis(reading as i64 * FIVE_MINUTES)
}

/// The processes of which false alarms are counted, one value each time.
fn process(name: &str) -> Box<dyn FnMut(usize) -> f64> {
    let mut noise = Noise::new(7);
    let mut state = 0.0;
    let day = |reading: usize| 5.0 * (TAU * reading as f64 / 288.0).sin();
    match name {
        "white" => Box::new(move |_| noise.normal()),
        "autocorrelated" => Box::new(move |_| {
            state = 0.9 * state + noise.normal();
            state
        }),
        "strongly autocorrelated" => Box::new(move |_| {
            state = 0.99 * state + noise.normal();
            state
        }),
        "heavy-tailed" => Box::new(move |_| {
            let square: f64 = (0..3).map(|_| noise.normal().powi(2)).sum();
            noise.normal() / (square / 3.0).sqrt()
        }),
        "skewed" => Box::new(move |_| noise.normal().exp()),
        "seasonal" => Box::new(move |reading| day(reading) + noise.normal()),
        "seasonal and autocorrelated" => Box::new(move |reading| {
            state = 0.9 * state + noise.normal();
            day(reading) + state
        }),
        "quantised" => Box::new(move |_| (noise.normal() * 2.0).round() / 2.0),
        "constant with jitter" => Box::new(move |_| 20.0 + 1e-3 * noise.normal()),
        other => panic!("no process {other}"),
    }
}

#[test]
fn false_alarms_come_as_often_as_the_probability_says() {
    const READINGS: usize = 600_000;
    // What happens before the members have settled is another matter: a young signal alarms more often.
    const YOUNG: usize = 3_000;
    for name in [
        "white",
        "autocorrelated",
        "strongly autocorrelated",
        "heavy-tailed",
        "skewed",
        "seasonal",
        "seasonal and autocorrelated",
        "quantised",
        "constant with jitter",
    ] {
        let (mut detector, mut next) = (detector(), process(name));
        let levels = [1e-3, 1e-4];
        let (mut below, mut alarms, mut since) = ([0_u32; 2], [0_u32; 2], [1_000_u32; 2]);
        for reading in 0..READINGS {
            let p = detector.observe(at(reading), next(reading)).p_value;
            for (place, level) in levels.into_iter().enumerate() {
                since[place] += 1;
                if reading >= YOUNG && p <= level {
                    below[place] += 1;
                    if since[place] > 100 {
                        alarms[place] += 1;
                        since[place] = 0;
                    }
                }
            }
        }
        for (place, level) in levels.into_iter().enumerate() {
            let counted = (READINGS - YOUNG) as f64;
            let ratio = f64::from(below[place]) / (counted * level);
            assert!((0.5..2.0).contains(&ratio), "{name}: {ratio:.2} times as many readings at p = {level}");
            let promised = AlarmLevel::alarms_per_second(level, 1.0);
            let held = f64::from(alarms[place]) / (counted * promised);
            assert!((0.5..2.0).contains(&held), "{name}: {held:.2} times as many alarms at p = {level}");
        }
    }
}

#[test]
fn a_budget_is_kept_and_a_young_signal_says_what_it_can_promise() {
    // Three alarms a day at a reading a second: about one in 29,000 readings.
    let budget = AlarmBudget::new(3.0, Duration::from_secs(86_400)).unwrap();
    let settings = AutoSettings::new(AlarmSettings::new(Some(budget), 100).unwrap(), None).unwrap();
    let mut detector = AutoDetector::new(&settings);
    let mut next = process("autocorrelated");
    let second = |reading: usize| UtcMillis(reading as i64 * 1_000);
    for reading in 0..5_000 {
        detector.observe(second(reading), next(reading));
    }
    let young = detector.alarm_rate();
    let now = detector.rate().per_second;
    assert!(now > 1.5 * budget.per_second(), "{now}");
    assert!(
        (budget.per_second()..now).contains(&young.expected_per_second),
        "over the week ahead: {young:?}"
    );
    assert!(young.supported_in.is_some_and(|left| left > Duration::from_secs(3_600)), "{young:?}");
    let before = young.alarms;
    const DAYS: usize = 8;
    for reading in 5_000..5_000 + DAYS * 86_400 {
        detector.observe(second(reading), next(reading));
    }
    let rate = detector.alarm_rate();
    assert_eq!(rate.supported_in, None);
    assert!((rate.expected_per_second / budget.per_second() - 1.0).abs() < 0.01, "{rate:?}");
    let observed = (rate.alarms - before) as f64;
    assert!((12.0..48.0).contains(&observed), "{observed} alarms where {} were accepted", 3 * DAYS);
}

/// What a detector says of values, bit for bit.
fn judged(detector: &mut AutoDetector, from: usize, values: &[f64]) -> Vec<(u64, bool, Member)> {
    values
        .iter()
        .enumerate()
        .map(|(offset, &value)| {
            let assessment = detector.observe(at(from + offset), value);
            (assessment.p_value.to_bits(), assessment.alarm, assessment.member)
        })
        .collect()
}

#[test]
fn nothing_depends_on_what_is_yet_to_come_and_a_restart_changes_nothing() {
    let mut next = process("seasonal and autocorrelated");
    let values: Vec<f64> =
        (0..6_000).map(|reading| if reading % 1_711 == 1_710 { 60.0 } else { next(reading) }).collect();
    let whole = judged(&mut detector(), 0, &values);
    assert!(whole.iter().any(|&(_, alarm, _)| alarm), "the spikes alarm");
    for cut in [1, 63, 64, 149, 1_711, 1_760, 5_000] {
        let mut before = detector();
        assert_eq!(judged(&mut before, 0, &values[..cut]), whole[..cut], "cut after {cut}");
        let mut after = detector();
        after.restore(&before.save()).unwrap();
        assert_eq!(after, before);
        assert_eq!(judged(&mut after, cut, &values[cut..]), whole[cut..], "restarted after {cut}");
    }
}

#[test]
fn one_signal_costs_at_most_sixteen_kibibytes() {
    let budget = AlarmBudget::new(1.0, Duration::from_secs(86_400)).unwrap();
    let alarms = AlarmSettings::new(Some(budget), 100).unwrap();
    let alarms = alarms.with(BudgetOf::Judge, WhileLearning::Info);
    let mut next = process("seasonal");
    let mut detector = AutoDetector::new(&AutoSettings::new(alarms, None).unwrap());
    for reading in 0..20_000 {
        detector.observe(at(reading), next(reading));
    }
    let bytes = size_of::<AutoDetector>() + detector.heap_bytes();
    assert!(bytes <= 16 * 1024, "{bytes} bytes");
    let saved = detector.save().len();
    assert!(saved <= 15 * 1024, "{saved} bytes saved");
}

/// Values that people and machines send, by name.
fn awkward(name: &str, reading: usize, noise: &mut Noise) -> f64 {
    match name {
        "constant" => 5.0,
        "two-valued" => f64::from(u8::from(noise.normal() > 0.5)),
        "integers" => (3.0 * noise.normal()).round(),
        "exploding" => {
            if reading % 997 == 996 {
                1e308 * (reading as f64).sin().signum()
            } else {
                noise.normal()
            }
        }
        "tiny" => 5e-324 * (reading % 7) as f64,
        "resetting counter" => (reading % 1_000) as f64 * 17.0,
        "growing" => 1.01_f64.powi(reading as i32 % 60_000).min(f64::MAX),
        "huge offset" => 1e15 + noise.normal(),
        other => panic!("no signal {other}"),
    }
}

#[test]
fn awkward_signals_get_sane_answers_and_leave_a_finite_state() {
    for name in [
        "constant",
        "two-valued",
        "integers",
        "exploding",
        "tiny",
        "resetting counter",
        "growing",
        "huge offset",
    ] {
        let (mut detector, mut noise) = (detector(), Noise::new(3));
        let mut alarms = 0;
        for reading in 0..20_000 {
            let value = awkward(name, reading, &mut noise);
            let assessment = detector.observe(at(reading), value);
            assert!(
                assessment.p_value > 0.0 && assessment.p_value <= 1.0,
                "{name} {reading}: {assessment:?}"
            );
            assert!(assessment.observed.is_finite(), "{name} {reading}: {assessment:?}");
            let ends = [assessment.expected.low, assessment.expected.high];
            assert!(ends.into_iter().flatten().all(f64::is_finite), "{name} {reading}: {assessment:?}");
            alarms += u32::from(assessment.alarm);
        }
        let most = if matches!(name, "exploding" | "growing") { 200 } else { 40 };
        assert!(alarms <= most, "{name}: {alarms} alarms in 20,000 readings");
        assert_eq!(judged(&mut detector, 20_000, &[1.0])[0].0 >> 63, 0, "{name}");
    }
}

#[test]
fn gaps_disorder_and_repetition_in_time_are_no_anomalies() {
    type Time = fn(i64) -> i64;
    let times: [(&str, Time); 4] = [
        ("gappy", |reading| reading * FIVE_MINUTES + reading / 500 * 86_400_000),
        ("out of order", |reading| (reading ^ 3) * FIVE_MINUTES),
        ("without a clock", |_| 0),
        ("a clock that steps back", |reading| (reading - reading / 2_000 * 1_500) * FIVE_MINUTES),
    ];
    for (name, time) in times {
        let (mut detector, mut next) = (detector(), process("autocorrelated"));
        let alarms = (0..20_000)
            .filter(|&reading| detector.observe(UtcMillis(time(reading)), next(reading as usize)).alarm)
            .count();
        assert!(alarms <= 40, "{name}: {alarms} alarms in 20,000 readings");
        let rate = detector.alarm_rate();
        assert!(rate.seconds >= 0.0 && rate.expected_per_second.is_finite(), "{name}: {rate:?}");
    }
    // Each reading twice, as a broker that repeats itself sends them.
    let (mut detector, mut next) = (detector(), process("autocorrelated"));
    let mut alarms = 0;
    for reading in 0..10_000 {
        let value = next(reading);
        alarms += u32::from(detector.observe(at(reading), value).alarm);
        alarms += u32::from(detector.observe(at(reading), value).alarm);
    }
    assert!(alarms <= 40, "duplicated: {alarms} alarms in 20,000 readings");
}

#[test]
fn a_step_after_a_long_constant_alarms_at_once() {
    let mut detector = detector();
    for reading in 0..4_000 {
        assert!(!detector.observe(at(reading), 5.0).alarm);
    }
    let step = detector.observe(at(4_000), 6.0);
    assert!(step.alarm, "{step:?}");
}

#[test]
fn the_resolution_of_the_sensor_hides_what_is_below_it() {
    let alarms = |resolution| {
        let settings = AutoSettings::new(AlarmSettings::default(), resolution).unwrap();
        let mut detector = AutoDetector::new(&settings);
        let mut noise = Noise::new(5);
        // Constant except for a flicker in the last bit.
        (0..20_000)
            .filter(|&reading| {
                let flicker = if noise.normal() > 3.5 { 1e-9 } else { 0.0 };
                detector.observe(at(reading), 5.0 + flicker).alarm
            })
            .count()
    };
    assert!(alarms(None) > 0, "the flicker is strange without");
    assert_eq!(alarms(Some(0.01)), 0);
}

#[test]
fn each_kind_of_trouble_is_found_and_named() {
    let check = |name: &str, trouble: &dyn Fn(usize, f64) -> f64, members: &[Member]| {
        let (mut detector, mut next) = (detector(), process("seasonal and autocorrelated"));
        const BEGIN: usize = 8_000;
        for reading in 0..BEGIN {
            detector.observe(at(reading), next(reading));
        }
        let found = (0..250).find_map(|offset| {
            let value = trouble(offset, next(BEGIN + offset));
            let assessment = detector.observe(at(BEGIN + offset), value);
            assessment.alarm.then_some((offset, assessment))
        });
        let (delay, assessment) = found.unwrap_or_else(|| panic!("{name} is not found"));
        assert!(members.contains(&assessment.member), "{name} after {delay}: {assessment:?}");
        let inside = assessment.expected.low.is_none_or(|low| assessment.observed >= low)
            && assessment.expected.high.is_none_or(|high| assessment.observed <= high);
        assert!(!inside, "{name}: what is abnormal lies beyond what was expected: {assessment:?}");
    };
    let level = [Member::Level, Member::Mean, Member::Median, Member::Profile];
    check("a spike", &|offset, value| if offset == 0 { value + 40.0 } else { value }, &level);
    check("a shift", &|_, value| value + 25.0, &level);
    check(
        "restlessness",
        &|offset, value| value + if offset % 2 == 0 { 8.0 } else { -8.0 },
        &[Member::Volatility, Member::Context, Member::Level, Member::Profile],
    );
    check(
        "a dead signal",
        &|_, _| 3.0,
        &[Member::Shift, Member::Context, Member::Profile, Member::TimeOfDay],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_finite_input_breaks_it(
        values in prop::collection::vec(any::<f64>().prop_filter("finite", |value| value.is_finite()), 200..600),
        times in prop::collection::vec(any::<i64>(), 200..600),
    ) {
        let mut detector = detector();
        for (&value, &time) in values.iter().zip(&times) {
            let assessment = detector.observe(UtcMillis(time), value);
            prop_assert!(assessment.p_value > 0.0 && assessment.p_value <= 1.0);
            prop_assert!(assessment.observed.is_finite());
        }
        let mut restored = self::detector();
        restored.restore(&detector.save()).unwrap();
        // Readings in a row without anything strange are counted anew after a restart.
        prop_assert_eq!(restored.save(), detector.save());
    }
}
