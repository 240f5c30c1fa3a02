//! The detectors as they ship, and their scores as benchmarks want them.
//!
//! Until `verge_anomaly::{auto, multi}` are there, [`stub`] stands in for them: swap the two `use` lines.

mod stub;

use std::time::{Duration, Instant};

use verge_domain::finding::Expected;
use verge_domain::time::UtcMillis;

use stub::auto::{AutoDetector, AutoSettings};
use stub::multi::{MultiDetector, MultiSettings};

/// A probability of `10^-DECADES` or less is a score of 1.
const DECADES: f64 = 10.0;

/// What a detector says about one reading or row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    pub(super) p_value: f64,
    /// Raises an alarm, as shipped.
    pub(super) alarm: bool,
    /// The row belongs to what is abnormal.
    pub(super) abnormal: bool,
    /// Would have alarmed, had another alarm not come shortly before.
    pub(super) held: bool,
    /// Range that was expected, in the signal's unit.
    pub(super) expected: Expected,
}

impl Said {
    /// Score in `0..=1` for result files: 0 for a row that is held back.
    pub(super) fn score(&self) -> f64 {
        if self.held { 0.0 } else { score_of(self.p_value) }
    }
}

/// Score of a probability: its decades below 1, ten of which are 1.
pub(super) fn score_of(p_value: f64) -> f64 {
    (-p_value.log10() / DECADES).clamp(0.0, 1.0)
}

/// What it costs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Cost {
    pub(super) us_per_reading: f64,
    pub(super) bytes_per_signal: usize,
}

impl Cost {
    #[expect(clippy::cast_precision_loss, reason = "a number of readings")]
    pub(super) fn new(spent: Duration, readings: usize, bytes_per_signal: usize) -> Self {
        Self { us_per_reading: spent.as_secs_f64() * 1e6 / readings.max(1) as f64, bytes_per_signal }
    }
}

/// The detector for one signal over a series, and how long that took.
pub(super) fn run_auto(at: &[UtcMillis], values: &[f64]) -> (Vec<Said>, Duration) {
    let mut detector = AutoDetector::new(&AutoSettings::default());
    let mut said = Vec::with_capacity(values.len());
    let begin = Instant::now();
    for (&at, &value) in at.iter().zip(values) {
        let one = detector.observe(at, value);
        said.push(Said {
            p_value: one.p_value,
            alarm: one.alarm,
            abnormal: one.abnormal,
            held: one.held,
            expected: one.expected,
        });
    }
    (said, begin.elapsed())
}

/// The probability from which the detector for one signal alarms.
pub(super) fn auto_level() -> f64 {
    AutoSettings::fixed_level()
}

/// Bytes that it takes.
pub(super) fn auto_bytes() -> usize {
    AutoDetector::bytes()
}

/// The detector for several signals over a run, a row being one value of each, and how long that took.
pub(super) fn run_multi(at: &[UtcMillis], rows: &[Vec<f64>], signals: usize) -> (Vec<Said>, Duration) {
    let mut detector = MultiDetector::new(&MultiSettings::default(), signals);
    let mut said = Vec::with_capacity(rows.len());
    let begin = Instant::now();
    for (&at, row) in at.iter().zip(rows) {
        let one = detector.observe(at, row);
        said.push(Said {
            p_value: one.p_value,
            alarm: one.alarm,
            abnormal: one.abnormal,
            held: one.held,
            expected: one.expected,
        });
    }
    (said, begin.elapsed())
}

/// The probability from which the detector for several signals calls a row abnormal.
pub(super) fn multi_level() -> f64 {
    MultiSettings::fixed_level()
}

/// Bytes that it takes, per signal.
pub(super) fn multi_bytes(signals: usize) -> usize {
    MultiDetector::bytes(signals) / signals.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_decades() {
        let said = |p_value, held| Said {
            p_value,
            alarm: false,
            abnormal: false,
            held,
            expected: Expected::default(),
        };
        let check = |p_value: f64, expected: f64| {
            assert!((said(p_value, false).score() - expected).abs() < 1e-12, "{p_value}");
        };
        check(1.0, 0.0);
        check(1e-3, 0.3);
        check(1e-10, 1.0);
        check(1e-30, 1.0);
        assert_eq!(said(1e-5, true).score(), 0.0);
    }
}
