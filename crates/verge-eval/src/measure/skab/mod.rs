//! The scores of the Skoltech Anomaly Benchmark, version 0.9 (Katser and Kozitsin, 2020).
//!
//! The first [`WARM_UP`] rows of a run are for learning and are not scored. The rest is scored twice:
//! - row by row, against the column `anomaly`, pooled over all runs: [`RowCounts`];
//! - by changes, where each change of the prediction is an alarm and each change point opens a window of a minute:
//!   [`ChangePoints`]. The first alarm in a window gains, less the later it comes; a window without one and every
//!   alarm outside any window lose. Silence is 0, an alarm at the start of each window is 100.
//!
//! A score by rows alone says little: to call every row abnormal reaches an F1 of about 0.7.

use std::f64::consts::{FRAC_PI_2, PI};
use std::iter::Sum;
use std::ops::Add;

pub use super::{MeasureError, ScoreProfile};

/// Rows at the head of a run that are not scored.
pub const WARM_UP: usize = 400;
/// Length of the window behind a change point.
const WINDOW_MS: i64 = 60_000;
/// Steps that a window is cut into, for the delay.
const STEPS: f64 = 1000.0;

/// One run with predictions; all columns have the same length.
#[derive(Debug, Clone, Copy)]
pub struct ScoredRun<'a> {
    /// Time of each row, in milliseconds, never falling.
    pub at_ms: &'a [i64],
    /// What the detector says.
    pub predicted: &'a [bool],
    /// Whether the row is abnormal.
    pub abnormal: &'a [bool],
    /// Whether the row is a change point.
    pub change: &'a [bool],
}

/// Rows by prediction and truth, over any number of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowCounts {
    /// Abnormal and found.
    pub true_positives: usize,
    /// Normal and called abnormal.
    pub false_positives: usize,
    /// Normal and passed over.
    pub true_negatives: usize,
    /// Abnormal and passed over.
    pub false_negatives: usize,
}

/// Change points and alarms, over any number of runs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ChangePoints {
    /// Change points.
    pub windows: usize,
    /// Those with an alarm in their window.
    pub found: usize,
    /// Alarms outside any window.
    pub false_alarms: usize,
    /// Sum over those found: 1 for an alarm at once, 0 for one at the end of the window.
    earliness: f64,
}

impl ScoredRun<'_> {
    /// Scores the rows one by one.
    ///
    /// # Errors
    /// Columns of different lengths.
    pub fn rows(&self) -> Result<RowCounts, MeasureError> {
        self.check()?;
        let mut rows = RowCounts::default();
        for (predicted, abnormal) in self.predicted.iter().zip(self.abnormal).skip(WARM_UP) {
            let count = match (predicted, abnormal) {
                (true, true) => &mut rows.true_positives,
                (true, false) => &mut rows.false_positives,
                (false, false) => &mut rows.true_negatives,
                (false, true) => &mut rows.false_negatives,
            };
            *count += 1;
        }
        Ok(rows)
    }

    /// Scores the changes of the prediction. The first scored row changes if it is called abnormal.
    ///
    /// # Errors
    /// Columns of different lengths.
    pub fn change_points(&self) -> Result<ChangePoints, MeasureError> {
        self.check()?;
        let windows = self.windows();
        let mut before = false;
        let mut alarms = Vec::new();
        for (&at, &predicted) in self.at_ms.iter().zip(self.predicted).skip(WARM_UP) {
            if predicted != before {
                alarms.push(at);
            }
            before = predicted;
        }
        let mut found = ChangePoints { windows: windows.len(), ..ChangePoints::default() };
        for &(start, end) in &windows {
            // Windows and alarms are in order of time.
            let first = alarms.get(alarms.partition_point(|at| *at < start)).filter(|at| **at <= end);
            if let Some(first) = first {
                found.found += 1;
                found.earliness += earliness(first - start, end - start);
            }
        }
        let outside = |at: &&i64| !windows.iter().any(|(start, end)| (start..=end).contains(at));
        found.false_alarms = alarms.iter().filter(outside).count();
        Ok(found)
    }

    /// Start and end of the window of each change point; where one reaches into the next, the next starts at its end.
    fn windows(&self) -> Vec<(i64, i64)> {
        let mut windows: Vec<(i64, i64)> = Vec::new();
        let changes = self.at_ms.iter().zip(self.change).skip(WARM_UP).filter(|(_, change)| **change);
        for (&at, _) in changes {
            let start = windows.last().map_or(at, |(_, end)| at.max(*end));
            windows.push((start, at.saturating_add(WINDOW_MS)));
        }
        windows
    }

    fn check(&self) -> Result<(), MeasureError> {
        let expected = self.at_ms.len();
        let others = [self.predicted.len(), self.abnormal.len(), self.change.len()];
        match others.into_iter().find(|actual| *actual != expected) {
            Some(actual) => Err(MeasureError::Length { expected, actual }),
            None => Ok(()),
        }
    }
}

/// 1 at the start of a window, 0 at its end, in an S between.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of a minute")]
fn earliness(delay: i64, length: i64) -> f64 {
    let step = if length > 0 { (STEPS * delay as f64 / length as f64).floor().min(STEPS - 1.0) } else { 0.0 };
    let x = -FRAC_PI_2 + PI * step / (STEPS - 1.0);
    (1.0 - x.tanh() / FRAC_PI_2.tanh()) / 2.0
}

#[expect(clippy::cast_precision_loss, reason = "numbers of rows")]
impl RowCounts {
    /// Harmonic mean of precision and recall, in `0..=1`; 0 where nothing is abnormal and nothing was called so.
    #[must_use]
    pub fn f1(&self) -> f64 {
        let hits = self.true_positives as f64;
        let wrong = (self.false_positives + self.false_negatives) as f64;
        share(hits, hits + wrong / 2.0)
    }

    /// Share of normal rows that are called abnormal (false alarm rate), in `0..=1`.
    #[must_use]
    pub fn far(&self) -> f64 {
        share(self.false_positives as f64, (self.false_positives + self.true_negatives) as f64)
    }

    /// Share of abnormal rows that are passed over (missed alarm rate), in `0..=1`.
    #[must_use]
    pub fn mar(&self) -> f64 {
        share(self.false_negatives as f64, (self.false_negatives + self.true_positives) as f64)
    }
}

/// Of nothing, nothing.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

impl ChangePoints {
    /// From 0 (no alarm at all) to 100 (perfect), and below 0 for many false alarms; `None` without a change point.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "numbers of windows")]
    pub fn score(&self, profile: ScoreProfile) -> Option<f64> {
        let ScoreProfile { hit, miss, false_alarm } = profile;
        // An alarm at the very end of a window counts as one outside.
        let reward = (hit + false_alarm) * self.earliness - false_alarm * self.found as f64;
        let gain = reward + miss * self.found as f64 - false_alarm * self.false_alarms as f64;
        (self.windows > 0).then(|| 100.0 * gain / ((hit + miss) * self.windows as f64))
    }
}

impl Add for RowCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            true_positives: self.true_positives + other.true_positives,
            false_positives: self.false_positives + other.false_positives,
            true_negatives: self.true_negatives + other.true_negatives,
            false_negatives: self.false_negatives + other.false_negatives,
        }
    }
}

impl Sum for RowCounts {
    fn sum<I: Iterator<Item = Self>>(runs: I) -> Self {
        runs.fold(Self::default(), Add::add)
    }
}

impl Add for ChangePoints {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            windows: self.windows + other.windows,
            found: self.found + other.found,
            false_alarms: self.false_alarms + other.false_alarms,
            earliness: self.earliness + other.earliness,
        }
    }
}

impl Sum for ChangePoints {
    fn sum<I: Iterator<Item = Self>>(runs: I) -> Self {
        runs.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests;
