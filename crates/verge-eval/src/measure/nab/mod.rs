//! The score of the Numenta Anomaly Benchmark, version 1.1 (Lavin and Ahmad, 2015).
//!
//! A row alarms where its score is at least the threshold. The first 15 % of a series, at most 750 rows, are
//! never looked at. The earliest alarm of a window gains up to [`ScoreProfile::hit`], less the later it comes; later
//! ones in the same window neither gain nor cost. A window without an alarm costs [`ScoreProfile::miss`]. Every row
//! that alarms outside costs up to [`ScoreProfile::false_alarm`]: all of it before the first window, next to nothing
//! right after a window. The sum is scaled so that no alarm at all is 0 and an alarm on the first row of each
//! window is 100.
//!
//! What a series gains is a step function of the threshold whose steps do not depend on the profile.
//! [`Series`] keeps these steps, so that any part of a corpus is scored, and its best threshold found, without a
//! look at the rows: `O(rows log rows)` for a series once, and merging sorted steps for each choice of series.

use std::ops::RangeInclusive;

pub use super::{MeasureError, ScoreProfile};

/// Share of a series that is never scored: rows before `floor(0.15 n)`.
const PROBATION_PERCENT: usize = 15;
/// Rows that are never scored, at most.
const PROBATION_MAX: usize = 750;
/// Windows after their end by more than this many lengths no longer make a false alarm cheaper.
const FAR: f64 = 3.0;

/// A labelled series with a detector's scores, ready to be measured at any threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    readings: usize,
    windows: usize,
    /// By falling score, all different.
    steps: Vec<ThresholdStep>,
}

/// What is added once the threshold is as low as a score.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ThresholdStep {
    score: f64,
    tally: StepTally,
}

/// What alarms come to, before weights.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct StepTally {
    /// Sum over windows found, each 1 if on its first row.
    reward: f64,
    /// Sum over false alarms, each up to 1.
    penalty: f64,
    found: usize,
    false_alarms: usize,
}

/// How a detector does on some series at one threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowOutcome {
    /// What it gains over a detector that never alarms.
    pub gain: f64,
    /// What a perfect detector gains over one that never alarms.
    pub perfect: f64,
    /// Rows that were looked at.
    pub readings: usize,
    /// Windows.
    pub windows: usize,
    /// Windows with an alarm.
    pub found: usize,
    /// Rows that alarm outside any window.
    pub false_alarms: usize,
}

/// The best threshold and what it achieves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Where alarms start; `None` where silence is best.
    pub threshold: Option<f64>,
    /// What it achieves.
    pub outcome: WindowOutcome,
}

impl Series {
    /// Takes a score per row, and the windows as rows, first and last included, in order.
    ///
    /// # Errors
    /// A score outside `0..=1`; windows that overlap, are out of order or reach beyond the rows.
    pub fn new(scores: &[f64], windows: &[RangeInclusive<usize>]) -> Result<Self, MeasureError> {
        let rows = scores.len();
        if let Some(row) = scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
            return Err(MeasureError::Score { row, actual: scores[row] });
        }
        let mut free = 0;
        for window in windows {
            let (start, end) = (*window.start(), *window.end());
            if start < free || end < start || end >= rows {
                return Err(MeasureError::Window { start, end, rows });
            }
            free = end + 1;
        }
        let probation = probation(rows);
        Ok(Self {
            readings: rows - probation,
            windows: windows.len(),
            steps: steps(changes(scores, windows, probation)),
        })
    }

    /// The different scores of rows that are looked at, highest first: every threshold that matters.
    pub fn thresholds(&self) -> impl Iterator<Item = f64> {
        self.steps.iter().map(|step| step.score)
    }
}

/// Rows at the head of a series that are never scored.
#[must_use]
pub fn probation(rows: usize) -> usize {
    (rows * PROBATION_PERCENT / 100).min(PROBATION_MAX)
}

/// How these series do with one threshold for all.
#[must_use]
pub fn at<'a>(
    series: impl IntoIterator<Item = &'a Series>,
    profile: ScoreProfile,
    threshold: f64,
) -> WindowOutcome {
    let mut whole = Whole::default();
    let mut tally = StepTally::default();
    for one in series {
        whole.add(one);
        let alarms = one.steps.iter().take_while(|step| step.score >= threshold);
        alarms.for_each(|step| tally.add(&step.tally));
    }
    whole.outcome(profile, &tally)
}

/// The one threshold for all of these series that gains most, among their scores and silence. Of equal ones the
/// highest: fewer alarms for the same gain.
#[must_use]
pub fn best<'a>(series: impl IntoIterator<Item = &'a Series>, profile: ScoreProfile) -> Best {
    let mut whole = Whole::default();
    let mut steps: Vec<&ThresholdStep> = Vec::new();
    for one in series {
        whole.add(one);
        steps.extend(&one.steps);
    }
    // Stable: it merges the runs that the series are.
    steps.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut tally = StepTally::default();
    let mut best = Best { threshold: None, outcome: whole.outcome(profile, &tally) };
    // Rows of equal score alarm together.
    for equal in steps.chunk_by(|a, b| a.score == b.score) {
        equal.iter().for_each(|step| tally.add(&step.tally));
        if tally.gain(profile) > best.outcome.gain {
            best = Best {
                threshold: equal.first().map(|step| step.score),
                outcome: whole.outcome(profile, &tally),
            };
        }
    }
    best
}

impl WindowOutcome {
    /// From 0 (no alarm at all) to 100 (perfect), and below 0 for many false alarms; `None` without a window.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        (self.windows > 0).then(|| 100.0 * self.gain / self.perfect)
    }
}

impl StepTally {
    fn add(&mut self, other: &Self) {
        self.reward += other.reward;
        self.penalty += other.penalty;
        self.found += other.found;
        self.false_alarms += other.false_alarms;
    }

    /// Over a detector that never alarms: every window found is a loss less.
    #[expect(clippy::cast_precision_loss, reason = "a number of windows")]
    fn gain(&self, profile: ScoreProfile) -> f64 {
        profile.hit * self.reward + profile.miss * self.found as f64 - profile.false_alarm * self.penalty
    }
}

#[derive(Default)]
struct Whole {
    readings: usize,
    windows: usize,
}

impl Whole {
    fn add(&mut self, series: &Series) {
        self.readings += series.readings;
        self.windows += series.windows;
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of windows")]
    fn outcome(&self, profile: ScoreProfile, tally: &StepTally) -> WindowOutcome {
        WindowOutcome {
            gain: tally.gain(profile),
            perfect: (profile.hit + profile.miss) * self.windows as f64,
            readings: self.readings,
            windows: self.windows,
            found: tally.found,
            false_alarms: tally.false_alarms,
        }
    }
}

/// What each row adds once it alarms, in order of rows. Rows of a window that can never be its earliest alarm
/// add nothing and are left out.
#[expect(clippy::cast_precision_loss, reason = "numbers of rows, far below 2^53")]
fn changes(scores: &[f64], windows: &[RangeInclusive<usize>], probation: usize) -> Vec<ThresholdStep> {
    let mut changes = Vec::with_capacity(scores.len() - probation);
    let mut windows = windows.iter().peekable();
    let mut before: Option<&RangeInclusive<usize>> = None;
    // Of the window at hand, the rows so far that no earlier one outbids: their scores rise.
    let mut record: Vec<(f64, f64)> = Vec::new();
    for (row, score) in scores.iter().copied().enumerate() {
        if let Some(window) = windows.next_if(|window| *window.end() < row) {
            close(&mut record, &mut changes);
            before = Some(window);
        }
        let inside = windows.peek().filter(|window| window.contains(&row));
        if row < probation {
        } else if let Some(window) = inside {
            let width = (window.end() - window.start() + 1) as f64;
            let reward = sigma(-((window.end() - row + 1) as f64) / width) / sigma(-1.0);
            if record.last().is_none_or(|(earlier, _)| score > *earlier) {
                record.push((score, reward));
            }
        } else {
            let penalty = before.map_or(1.0, |window| {
                let last = *window.end();
                -sigma((row - last) as f64 / (last - window.start()) as f64)
            });
            changes.push(ThresholdStep {
                score,
                tally: StepTally { penalty, false_alarms: 1, ..StepTally::default() },
            });
        }
    }
    close(&mut record, &mut changes);
    changes
}

/// The rows of a window, as thresholds fall past them: the first finds it, each before that makes it earlier.
fn close(record: &mut Vec<(f64, f64)>, changes: &mut Vec<ThresholdStep>) {
    let (mut reward, mut found) = (0.0, 1);
    for (score, earlier) in record.drain(..).rev() {
        changes.push(ThresholdStep {
            score,
            tally: StepTally { reward: earlier - reward, found, ..StepTally::default() },
        });
        (reward, found) = (earlier, 0);
    }
}

/// One step per score.
fn steps(mut changes: Vec<ThresholdStep>) -> Vec<ThresholdStep> {
    changes.sort_by(|a, b| b.score.total_cmp(&a.score));
    changes.dedup_by(|next, kept| {
        let same = next.score == kept.score;
        if same {
            kept.tally.add(&next.tally);
        }
        same
    });
    changes
}

/// From 1 long before `position` 0, the end of a window, to −1 long after it; 0 there.
fn sigma(position: f64) -> f64 {
    if position > FAR { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

#[cfg(test)]
mod tests;
