//! A judge that was saved and restored continues as if nothing had happened.

use proptest::prelude::*;
use verge_anomaly::HealthSettings;
use verge_domain::stage::{Judge as _, RestoreError};

use super::signals::{ARRIVALS, Line, SHAPES};
use super::{SentReading, Trial, moment};

#[test]
fn a_judge_that_received_nothing_saves_nothing() {
    assert!(Trial::new().judge.save().is_none());
}

#[test]
fn foreign_and_damaged_states_are_refused_and_change_nothing() {
    let mut trial = Trial::new();
    let mut line = Line::new(SHAPES[0], ARRIVALS[1], 1);
    (0..500).for_each(|_| drop(trial.observe(line.next())));
    let good = trial.judge.save().unwrap();
    assert!(good.len() <= 1280, "{} bytes", good.len());
    let mut restore = |state: &[u8]| trial.judge.restore(state, moment(500_000));
    assert!(matches!(restore(b"heard"), Err(RestoreError::Foreign)));
    let mut newer = good.clone();
    newer[0] += 1;
    assert!(matches!(restore(&newer), Err(RestoreError::Foreign)));
    for length in 6..good.len() {
        assert!(matches!(restore(&good[..length]), Err(RestoreError::Damaged(_))), "{length}");
        let mut flipped = good.clone();
        flipped[length] ^= 4;
        assert!(matches!(restore(&flipped), Err(RestoreError::Damaged(_))), "{length}");
    }
    assert_eq!(trial.judge.save().unwrap(), good);
}

/// Everything finite, from the smallest to the greatest.
fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -1e3..1e3_f64,
        4 => (0u8..4).prop_map(f64::from),
        1 => any::<f64>().prop_filter("codecs let finite values through", |value| value.is_finite()),
        1 => prop::sample::select(vec![1e308, -1e308, f64::MAX, f64::MIN, 5e-324, -0.0]),
    ]
}

fn any_received() -> impl Strategy<Value = (f64, u32, Option<i64>)> {
    let captured = prop_oneof![
        4 => Just(None),
        8 => (-3000i64..100).prop_map(Some),
        2 => (-90_000_000i64..400_000).prop_map(Some),
        1 => Just(Some(i64::MAX / 2)),
    ];
    (any_value(), prop_oneof![4 => 0u32..3000, 1 => Just(0), 1 => 0u32..100_000_000], captured)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Real signals, saved anywhere.
    #[test]
    fn a_restored_judge_goes_on_identically(
        shape in prop::sample::select(SHAPES.to_vec()),
        arrival in prop::sample::select(ARRIVALS.to_vec()),
        seed: u64,
        before in 1u64..4000,
        after in 1u64..800,
    ) {
        let mut line = Line::new(shape, arrival, seed);
        let mut trial = Trial::new();
        let mut last_ms = 0;
        for _ in 0..before {
            let sent = line.next();
            last_ms = last_ms.max(sent.at_ms);
            trial.observe(sent);
        }
        let mut restored = Trial::new();
        restored.judge.restore(&trial.judge.save().unwrap(), moment(last_ms)).unwrap();
        for _ in 0..after {
            let sent = line.next();
            prop_assert_eq!(trial.tick(sent.at_ms), restored.tick(sent.at_ms));
            prop_assert_eq!(trial.observe(sent), restored.observe(sent));
        }
        prop_assert_eq!(trial.judge.save(), restored.judge.save());
    }

    /// No values and no order of times break it: the trial asserts that everything it says is finite, and a state
    /// with a number in it that is not finite could not be restored.
    #[test]
    fn nothing_breaks_it(
        script in prop::collection::vec(any_received(), 1..40),
        rounds in 1usize..120,
        patience in 1.0..1000.0_f64,
    ) {
        let settings = HealthSettings::new(&HealthSettings::CAUSES, patience).unwrap();
        let mut trial = Trial::with(settings);
        let mut at_ms = 0;
        for (value, gap_ms, captured) in script.iter().copied().cycle().take(script.len() * rounds) {
            at_ms += i64::from(gap_ms);
            let captured_ms = captured.map(|offset| at_ms.saturating_add(offset));
            trial.observe(SentReading { value, at_ms, captured_ms });
        }
        let state = trial.judge.save().unwrap();
        let mut restored = Trial::with(settings);
        restored.judge.restore(&state, moment(at_ms)).unwrap();
        prop_assert_eq!(restored.judge.save().unwrap(), state);
    }
}
