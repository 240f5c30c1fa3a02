//! What is usual of a machine, learnt from its commissioning phase and followed slowly.

use nalgebra::{DMatrix, DVectorView};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use verge_domain::stage::RestoreError;

use crate::tail::Tail;

/// Rows at the start of commissioning whose running mean still remembers that it began at nothing.
const SETTLE: usize = 50;
/// Blocks of the commissioning phase whose means are compared.
const BLOCKS: usize = 10;
/// How far the covariance is shrunk towards its first factor.
const SHRINK: f64 = 0.2;
/// How much wandering inflates a variance.
const WANDER: f64 = 20.0;
/// Scaled values are cut here, so that one wild reading is no catastrophe.
pub(super) const CLIP: f64 = 30.0;
/// Rate at which mean and covariance follow.
const FOLLOW: f64 = 1.0 / 2_000.0;
/// Rows between two inversions of the followed covariance.
const INVERT_EVERY: u32 = 64;
/// Once in this many rows one distance is learnt: neighbours are nearly the same, since they share most of their
/// running mean.
const LEARN_EVERY: u32 = 16;
/// This many rows of a running mean of independent rows are worth one: the ratio of their variances.
pub(super) const ROWS_PER_INDEPENDENT: f64 = (2.0 - SMOOTHING) / SMOOTHING;
/// No cube root is more standard deviations away.
const FARTHEST_SCORE: f64 = 1e9;
/// No probability is smaller.
const LEAST_P: f64 = 1e-30;
/// Weight of the newest row in the running mean.
pub(super) const SMOOTHING: f64 = 0.1;

/// What is usual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct JointBaseline {
    pub(super) centre: Vec<f64>,
    pub(super) scale: Vec<f64>,
    /// Of the running means, scaled.
    pub(super) mean: Vec<f64>,
    covariance: Vec<f64>,
    wander: Vec<f64>,
    pub(super) inverse: Vec<f64>,
    /// Mean and variance of the cube root of the squared distance.
    pub(super) root_mean: f64,
    root_variance: f64,
    /// How many rows are worth one: neighbours resemble each other.
    rows_per_independent: f64,
    tail: Tail,
    invert_in: u32,
    pub(super) rows: u32,
}

impl JointBaseline {
    /// Whether this can be what was saved of this number of signals.
    pub(super) fn check(&self, signals: usize) -> Result<(), RestoreError> {
        let each = [&self.centre, &self.scale, &self.mean, &self.wander];
        let pairs = [&self.covariance, &self.inverse];
        let finite = |numbers: &Vec<f64>| numbers.iter().all(|number| number.is_finite());
        let sound = each.iter().all(|vector| vector.len() == signals && finite(vector))
            && pairs.iter().all(|matrix| matrix.len() == signals * signals && finite(matrix))
            && finite(&vec![self.root_mean, self.root_variance, self.rows_per_independent])
            && self.root_variance >= 0.0
            && self.rows_per_independent >= 1.0
            && self.invert_in > 0;
        if !sound {
            return Err(RestoreError::Misfit { part: "what is usual of its signals" });
        }
        self.tail.check()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let vectors = [&self.centre, &self.scale, &self.mean, &self.covariance, &self.wander, &self.inverse];
        let numbers: usize = vectors.iter().map(|vector| vector.capacity()).sum();
        numbers * size_of::<f64>() + self.tail.heap_bytes()
    }

    /// Learns from all rows of the commissioning phase. `running` is left as it stands after the last.
    pub(super) fn learn(rows: &[f64], signals: usize, running: &mut [f64]) -> Self {
        let count = rows.len() / signals;
        let mut scaled = DMatrix::from_row_slice(count, signals, rows);
        let (mut centre, mut scale, mut wander) = (Vec::new(), Vec::new(), Vec::new());
        for mut column in scaled.column_iter_mut() {
            let (middle, spread) = robust(column.as_slice());
            for value in column.iter_mut() {
                *value = ((*value - middle) / spread).clamp(-CLIP, CLIP);
            }
            wander.push(wandering(column.as_slice()));
            centre.push(middle);
            scale.push(spread);
        }
        running.fill(0.0);
        let mut smooth = scaled;
        for mut row in smooth.row_iter_mut() {
            for (value, running) in row.iter_mut().zip(running.iter_mut()) {
                *running += SMOOTHING * (*value - *running);
                *value = *running;
            }
        }
        let settled = smooth.rows(SETTLE, count - SETTLE);
        let mean: Vec<f64> = settled.row_mean().iter().copied().collect();
        let centred =
            DMatrix::from_fn(settled.nrows(), signals, |row, column| settled[(row, column)] - mean[column]);
        let covariance = centred.tr_mul(&centred) / (settled.nrows() - 1) as f64;
        let mut baseline = Self {
            centre,
            scale,
            mean,
            covariance: covariance.as_slice().to_vec(),
            wander,
            inverse: vec![0.0; signals * signals],
            root_mean: 0.0,
            root_variance: 0.0,
            rows_per_independent: ROWS_PER_INDEPENDENT,
            tail: Tail::new(0),
            invert_in: INVERT_EVERY,
            rows: 0,
        };
        baseline.invert();
        let mut distance = vec![0.0; signals];
        let mut row = vec![0.0; signals];
        let mut roots = Vec::with_capacity(settled.nrows());
        for number in 0..settled.nrows() {
            row.iter_mut().zip(settled.row(number).iter()).for_each(|(to, from)| *to = *from);
            let squared = baseline.squared(&row, &mut distance);
            baseline.tail.observe(squared);
            roots.push(squared.cbrt());
        }
        let roots = DVectorView::from_slice(&roots, roots.len());
        baseline.root_mean = roots.mean();
        baseline.root_variance = roots.variance();
        baseline.rows_per_independent = rows_per_independent(roots.as_slice());
        baseline.rows = roots.len() as u32;
        baseline
    }

    /// Variance of a signal's running mean, inflated where it wanders.
    pub(super) fn variance(&self, signal: usize) -> f64 {
        (self.covariance[signal * self.mean.len() + signal] + 1e-6) * self.inflation(signal)
    }

    pub(super) fn inflation(&self, signal: usize) -> f64 {
        let share = self.wander[signal];
        1.0 + WANDER * share * share / (1.0 - share)
    }

    pub(super) fn invert(&mut self) {
        let signals = self.mean.len();
        let eigen = DMatrix::from_row_slice(signals, signals, &self.covariance).symmetric_eigen();
        let first = eigen.eigenvalues.imax();
        let (strength, factor) = (eigen.eigenvalues[first].max(0.0), eigen.eigenvectors.column(first));
        let matrix = DMatrix::from_fn(signals, signals, |one, other| {
            if one == other {
                self.variance(one)
            } else {
                let inflation = (self.inflation(one) * self.inflation(other)).sqrt();
                let target = strength * factor[one] * factor[other];
                ((1.0 - SHRINK) * self.covariance[one * signals + other] + SHRINK * target) * inflation
            }
        });
        // A covariance that is shrunk and has a floor on its diagonal is positive definite; rounding aside.
        if let Some(cholesky) = matrix.cholesky() {
            self.inverse.copy_from_slice(cholesky.inverse().as_slice());
        }
    }

    pub(super) fn squared(&self, running: &[f64], distance: &mut [f64]) -> f64 {
        let signals = self.mean.len();
        for ((distance, running), mean) in distance.iter_mut().zip(running).zip(&self.mean) {
            *distance = running - mean;
        }
        let mut squared = 0.0;
        for (row, one) in self.inverse.chunks_exact(signals).zip(&*distance) {
            let weighted: f64 = row.iter().zip(&*distance).map(|(weight, other)| weight * other).sum();
            squared += weighted * one;
        }
        squared.max(0.0)
    }

    /// Independent rows that mean and variance rest on.
    pub(super) fn independent(&self) -> f64 {
        (f64::from(self.rows).min(1.0 / FOLLOW) / self.rows_per_independent).max(2.0)
    }

    pub(super) fn spread(&self) -> f64 {
        (self.root_variance * (1.0 + 1.0 / self.independent())).sqrt().max(f64::MIN_POSITIVE)
    }

    /// Of the cube root, in standard deviations. There always is one: a commissioning phase has rows enough.
    pub(super) fn law(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.independent() - 1.0).ok()
    }

    pub(super) fn probability(&self, squared: f64) -> f64 {
        let score = (squared.cbrt() - self.root_mean) / self.spread();
        // Where numbers overflow: what is no number is as far out as can be.
        let score =
            if score.is_nan() { FARTHEST_SCORE } else { score.clamp(-FARTHEST_SCORE, FARTHEST_SCORE) };
        self.law().map_or(1.0, |law| law.sf(score)).max(self.tail.share_above(squared)).clamp(LEAST_P, 1.0)
    }

    /// Lets mean and covariance follow a row that was not abnormal.
    pub(super) fn follow(&mut self, distance: &[f64], squared: f64) {
        let signals = self.mean.len();
        for (mean, one) in self.mean.iter_mut().zip(distance) {
            *mean += FOLLOW * one;
        }
        for (row, one) in self.covariance.chunks_exact_mut(signals).zip(distance) {
            for (value, other) in row.iter_mut().zip(distance) {
                *value += FOLLOW * (one * other - *value);
            }
        }
        let off = squared.cbrt() - self.root_mean;
        self.root_mean += FOLLOW * off;
        self.root_variance += FOLLOW * (off * off - self.root_variance);
        self.rows = self.rows.saturating_add(1);
        if self.rows.is_multiple_of(LEARN_EVERY) {
            self.tail.observe(squared);
        }
        self.invert_in -= 1;
        if self.invert_in == 0 {
            self.invert_in = INVERT_EVERY;
            self.invert();
        }
    }
}

/// Median, and 1.4826 times the median absolute deviation; where that is zero (most values are equal) the
/// standard deviation, and where that is zero too, a millionth of the value.
fn robust(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    let middle = median(&mut sorted);
    for value in &mut sorted {
        *value = (*value - middle).abs();
    }
    let spread = 1.4826 * median(&mut sorted);
    if spread > 0.0 {
        return (middle, spread);
    }
    let deviation = variance(values).sqrt();
    (middle, if deviation > 0.0 { deviation } else { (1e-6 * middle.abs()).max(1e-9) })
}

fn median(values: &mut [f64]) -> f64 {
    let half = values.len() / 2;
    *values.select_nth_unstable_by(half, f64::total_cmp).1
}

/// Share of a signal's variance that lies between the means of blocks: zero for noise, near one for a signal
/// that wanders.
fn wandering(values: &[f64]) -> f64 {
    let length = values.len() / BLOCKS;
    let whole = variance(values);
    let means: Vec<f64> = values
        .chunks_exact(length)
        .take(BLOCKS)
        .map(|block| block.iter().sum::<f64>() / length as f64)
        .collect();
    if whole > 0.0 { (variance(&means) / whole).clamp(0.0, 0.99) } else { 0.0 }
}

/// How many values of a series are worth one independent value, by the correlation of neighbours (Bartlett 1935); not
/// less than the running mean alone makes it.
fn rows_per_independent(values: &[f64]) -> f64 {
    let (before, after) = (&values[..values.len() - 1], &values[1..]);
    let mean = DVectorView::from_slice(values, values.len()).mean();
    let together: f64 = before.iter().zip(after).map(|(one, other)| (one - mean) * (other - mean)).sum();
    let alone = values.len() as f64 * variance(values);
    let correlation = if alone > 0.0 { (together / alone).clamp(0.0, 0.99) } else { 0.0 };
    ((1.0 + correlation) / (1.0 - correlation)).max(ROWS_PER_INDEPENDENT)
}

fn variance(values: &[f64]) -> f64 {
    DVectorView::from_slice(values, values.len()).variance()
}
