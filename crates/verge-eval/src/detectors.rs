//! The detectors as they ship, and their scores as benchmarks want them.

use std::time::{Duration, Instant};

use verge_anomaly::auto::{AutoDetector, AutoSettings};
use verge_anomaly::multi::{MultiDetector, MultiSettings};
use verge_domain::finding::Expected;
use verge_domain::time::UtcMillis;

/// A probability of `10^-DECADES` or less is a score of 1.
const DECADES: f64 = 10.0;

/// Rows between two looks at how much memory a detector takes.
const WEIGH_EVERY: usize = 100;

/// What the detector for one signal says about one reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadingScore {
    /// Probability of such a reading, were all as usual.
    pub p_value: f64,
    /// Raises an alarm, as shipped.
    pub alarm: bool,
    /// Would have alarmed, had another alarm not come shortly before.
    pub held: bool,
}

impl ReadingScore {
    /// Score in `0..=1` for result files: 0 for a row that is held back.
    #[must_use]
    pub fn score(&self) -> f64 {
        if self.held { 0.0 } else { score_of(self.p_value) }
    }
}

/// Score of a probability: its decades below 1, ten of which are 1.
#[must_use]
pub fn score_of(p_value: f64) -> f64 {
    (-p_value.log10() / DECADES).clamp(0.0, 1.0)
}

/// What it costs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DetectorCost {
    /// Microseconds.
    pub us_per_reading: f64,
    /// Memory of the detector.
    pub bytes_per_signal: usize,
}

impl DetectorCost {
    /// The cost per reading of a time spent on all of them.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a number of readings")]
    pub fn new(spent: Duration, readings: usize, bytes_per_signal: usize) -> Self {
        Self { us_per_reading: spent.as_secs_f64() * 1e6 / readings.max(1) as f64, bytes_per_signal }
    }
}

/// The detector for one signal over a series, and how long that took.
#[must_use]
pub fn run_auto(at: &[UtcMillis], values: &[f64]) -> (Vec<ReadingScore>, Duration) {
    let mut detector = AutoDetector::new(&AutoSettings::default());
    let mut said = Vec::with_capacity(values.len());
    let begin = Instant::now();
    for (&at, &value) in at.iter().zip(values) {
        let one = detector.observe(at, value);
        said.push(ReadingScore { p_value: one.p_value, alarm: one.alarm, held: one.held });
    }
    (said, begin.elapsed())
}

/// The range in which the detector for one signal expects each value, before it sees it.
#[must_use]
pub fn bands(at: &[UtcMillis], values: &[f64]) -> Vec<Option<Expected>> {
    let mut detector = AutoDetector::new(&AutoSettings::default());
    let mut band = |(&at, &value): (&UtcMillis, &f64)| {
        let band = detector.band();
        detector.observe(at, value);
        band
    };
    at.iter().zip(values).map(&mut band).collect()
}

/// The probability from which the detector for one signal alarms.
#[must_use]
pub fn auto_level() -> f64 {
    AutoSettings::fixed_level()
}

/// Bytes that it takes.
#[must_use]
pub fn auto_bytes() -> usize {
    AutoDetector::bytes()
}

/// What came of the detector for several signals over a run.
pub struct MultiRun {
    /// Per row, whether its probability is at or below the level.
    pub abnormal: Vec<bool>,
    /// Time that it took.
    pub spent: Duration,
    /// Bytes that it took at most, per signal.
    pub bytes_per_signal: usize,
}

/// The detector for several signals over a run, a row being one value of each.
#[must_use]
pub fn run_multi(rows: &[Vec<f64>], signals: usize) -> MultiRun {
    let mut detector = MultiDetector::new(&MultiSettings::default(), signals);
    let mut run =
        MultiRun { abnormal: Vec::with_capacity(rows.len()), spent: Duration::ZERO, bytes_per_signal: 0 };
    let level = MultiSettings::fixed_level();
    for some in rows.chunks(WEIGH_EVERY) {
        let begin = Instant::now();
        run.abnormal.extend(some.iter().map(|row| detector.observe(row).p_value <= level));
        run.spent += begin.elapsed();
        run.bytes_per_signal = run.bytes_per_signal.max(detector.bytes() / signals);
    }
    run
}

/// The probability from which the detector for several signals calls a row abnormal.
#[must_use]
pub fn multi_level() -> f64 {
    MultiSettings::fixed_level()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_decades() {
        let said = |p_value, held| ReadingScore { p_value, alarm: false, held };
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
