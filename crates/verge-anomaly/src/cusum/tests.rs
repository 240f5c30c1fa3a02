use proptest::prelude::*;
use verge_domain::finding::Standing;
use verge_domain::id::{DeviceId, SignalId};

use super::*;
use crate::noise::Noise;

fn reading(value: f64) -> Reading {
    Reading::of(DeviceId::new("pump-1").unwrap(), SignalId::new("level").unwrap(), value)
}

fn settings(target: Option<f64>, sigma: Option<f64>, reset: bool) -> CusumSettings {
    CusumSettings::new(target, sigma, 50, 0.5, 5.0, 0.5, reset).unwrap()
}

fn conditions(judge: &mut CusumJudge, reading: &mut Reading, value: f64) -> Vec<Condition> {
    let mut findings = Vec::new();
    reading.value = value;
    judge.observe(reading, &mut findings);
    let condition = |finding| match finding {
        Finding::Condition(condition) => condition,
        other => panic!("only conditions, not {other:?}"),
    };
    findings.into_iter().map(condition).collect()
}

/// Readings until the first alarm, on average over `runs`.
fn run_length(runs: u64, shift: f64) -> f64 {
    let mut noise = Noise::new(11);
    let mut reading = reading(0.0);
    let mut total = 0.0;
    for _ in 0..runs {
        let mut judge = CusumJudge::new(settings(Some(0.0), Some(1.0), false));
        loop {
            total += 1.0;
            let found = conditions(&mut judge, &mut reading, noise.normal() + shift);
            if found.iter().any(|condition| condition.standing == Standing::Abnormal) {
                break;
            }
        }
    }
    total / runs as f64
}

#[test]
fn run_lengths_are_those_of_the_books() {
    let in_control = run_length(600, 0.0);
    assert!((400.0..540.0).contains(&in_control), "{in_control}");
    let shifted = run_length(2000, 1.0);
    assert!((9.5..11.5).contains(&shifted), "{shifted}");
}

#[test]
fn sums_stand_where_arithmetic_puts_them() {
    let check = |reset: bool, script: &[(f64, &str)]| {
        let mut judge = CusumJudge::new(settings(Some(10.0), Some(2.0), reset));
        let mut reading = reading(0.0);
        for (value, expected) in script {
            let text: Vec<String> = conditions(&mut judge, &mut reading, *value)
                .iter()
                .map(|found| {
                    assert_eq!((found.expected.low, found.expected.high), (Some(9.0), Some(11.0)));
                    format!("{:?} {}", found.standing, found.observed)
                })
                .collect();
            assert_eq!(text.join(", "), *expected, "{value}");
        }
    };
    // z = 3, so the sum grows by 2.5 a reading; the shift that it implies is three sigmas.
    let rising =
        [(16.0, "Normal 16, Normal 9"), (16.0, "Margin 16, Normal 9"), (16.0, "Abnormal 16, Normal 9")];
    check(false, &rising);
    check(false, &[(16.0, "Normal 16, Normal 9"), (10.0, "Normal 13, Normal 9")]);
    // Reset: the evidence is spent.
    let spent = [(22.0, "Abnormal 22, Normal 9"), (10.0, "Normal 11, Normal 9")];
    check(true, &spent);
    // The sum stops at twice the limit: ten readings at the target take it down to the clearing limit's 2.5.
    let mut judge = CusumJudge::new(settings(Some(0.0), Some(1.0), false));
    let mut reading = reading(0.0);
    for _ in 0..10_000 {
        conditions(&mut judge, &mut reading, 1e308);
    }
    let until_clear = (1..).find(|_| {
        conditions(&mut judge, &mut reading, 0.0).first().map(|found| found.standing)
            == Some(Standing::Normal)
    });
    assert_eq!(until_clear, Some(15));
}

#[test]
fn what_is_not_given_is_learnt() {
    let mut judge = CusumJudge::new(settings(None, None, false));
    let mut noise = Noise::new(3);
    let mut reading = reading(0.0);
    for index in 0..50 {
        // Two wild readings do not widen sigma.
        let value = if index % 25 == 7 { 90.0 - 80.0 * f64::from(index % 2) } else { 50.0 + noise.normal() };
        assert!(conditions(&mut judge, &mut reading, value).is_empty());
    }
    let (target, sigma) = judge.state.normal.unwrap();
    assert!((target - 50.0).abs() < 0.5 && (0.6..1.5).contains(&sigma), "{target} {sigma}");
    assert_eq!(conditions(&mut judge, &mut reading, 50.0).len(), 2);
    // A given one stands.
    let mut judge = CusumJudge::new(settings(Some(20.0), None, false));
    (0..50).for_each(|_| assert!(conditions(&mut judge, &mut reading, 3.0).is_empty()));
    assert_eq!(judge.state.normal, Some((20.0, LEAST_SIGMA.0 * 20.0)));
}

#[test]
fn settings_are_checked() {
    let check = |target: f64, sigma: f64, learn: usize, rest: [f64; 3], expected: &str| {
        let [slack, limit, hysteresis] = rest;
        let made = CusumSettings::new(Some(target), Some(sigma), learn, slack, limit, hysteresis, false);
        let error = made.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(f64::NAN, 1.0, 50, [0.5, 5.0, 0.5], "target must be a finite number");
    check(0.0, 0.0, 50, [0.5, 5.0, 0.5], "sigma must be above zero");
    check(0.0, 1.0, 7, [0.5, 5.0, 0.5], "learn must be from 8 to 10000, not 7");
    check(0.0, 1.0, 50, [-0.1, 5.0, 0.5], "slack must be from 0 to 100");
    check(0.0, 1.0, 50, [0.5, f64::NAN, 0.5], "limit must be from 0.1 to 1000");
    check(0.0, 1.0, 50, [0.5, 5.0, 1.5], "hysteresis must be from 0 to 1");
}

proptest! {
    /// With any finite values, everything stays finite, and a restart anywhere changes nothing.
    #[test]
    fn everything_is_finite_and_survives_a_restart(
        values in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO, 1..200),
        restart in 0_usize..200,
        reset: bool,
    ) {
        let settings = CusumSettings::new(None, None, 8, 0.5, 5.0, 0.5, reset).unwrap();
        let (mut one, mut other) = (CusumJudge::new(settings), CusumJudge::new(settings));
        let mut reading = reading(0.0);
        for (index, value) in values.into_iter().enumerate() {
            if index == restart {
                let state = other.save();
                other = CusumJudge::new(settings);
                other.restore(&state).unwrap();
                prop_assert_eq!(other.save(), state);
            }
            let found = conditions(&mut one, &mut reading, value);
            prop_assert_eq!(&found, &conditions(&mut other, &mut reading, value));
            for condition in found {
                let ends = [condition.expected.low, condition.expected.high];
                prop_assert!(ends.iter().flatten().all(|end| end.is_finite()), "{:?}", condition);
            }
            for sum in [one.state.up, one.state.down] {
                prop_assert!((0.0..=10.0).contains(&sum.sum));
            }
        }
    }
}
