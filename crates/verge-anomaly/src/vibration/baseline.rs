//! What is normal for a vector of features, learnt as it goes.
//!
//! Mean and covariance are exponentially forgotten. The distance of a block is Mahalanobis', with variances
//! floored and correlations shrunk towards none by `λ = max(0.05, d / (d + n))`, `d` features and `n` blocks:
//!
//! ```text
//! D² = uᵀ ((1 - λ) R + λ I)⁻¹ u / (1 + 1/n)        u = deviations in standard deviations
//! w  = (D² / d)^(1/3)                              nearly normal (Wilson and Hilferty 1931)
//! ```
//!
//! The law of `w` is measured, not assumed: its mean and variance over blocks that had not been learnt yet, from
//! the second half of the learning phase on. Its `k` blocks make the p-value Student's, one-sided, with `k - 1`
//! degrees of freedom (Wallace's approximation 1959), so that a young baseline claims little; at most
//! [`MOST_FREEDOM`], since features are not quite normal.
//!
//! What is farther out than three standard deviations of `w` is learnt less, and what is far out hardly at all:
//! with a weight of `(bend / D²)^4`, a redescending estimate (Maronna 1976 for the family). The same holds,
//! more steeply, for all blocks while the running mean of the last few `w` (rate 1/5, hence a third of the
//! spread) is beyond three of *its* standard deviations: what is only somewhat odd, but stays so, is not learnt
//! fast either. Slow drift of the machine is followed; a plain fault is not taken for normal however long it
//! lasts. After a repair that changed the machine the baseline must be learnt again.

use serde::{Deserialize, Serialize};

use super::features::{Feature, MAX_FEATURES};

/// Least standard deviation of a scaled feature: 2 %, what a sensor's gain may wander.
const LEAST_DEVIATION: f64 = 0.02;

/// Least p-value.
pub const LEAST_P: f64 = 1e-30;

/// Correlations are shrunk by at least this.
const LEAST_SHRINKAGE: f64 = 0.05;

/// Standard deviations of `w` from which on a block counts less.
const BEND: f64 = 3.0;

/// How fast the weight falls beyond: with `w` to this power, `D²` to the fourth.
const FALL: i32 = 12;

/// Of the running mean of the newest `w`.
const RECENT_RATE: f64 = 0.2;

/// Most degrees of freedom. Measured on coloured Gaussian noise, 115,000 blocks of 512 samples: the cube root's
/// tail at one in a hundred thousand is Student's with about 30, not the normal law's.
pub const MOST_FREEDOM: f64 = 30.0;

/// Features that a judgement names.
pub const NAMED: usize = 3;

/// How far one feature of a block is from what it is normally.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeatureDeviation {
    /// Which.
    pub feature: Feature,
    /// Signed distance from the mean on the feature's logarithmic scale, in standard deviations.
    pub deviations: f64,
}

/// What a baseline says of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// Root of `D² / d`: about 1 for a normal block. Finite, at least 0.
    pub distance: f64,
    /// Probability of a distance at least as large while all is well, from [`LEAST_P`] to 1.
    pub p_value: f64,
    /// The features farthest out, farthest first.
    pub contributions: [FeatureDeviation; NAMED],
}

/// Mean, covariance and the law of distances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockBaseline {
    width: usize,
    memory: f64,
    learn: u64,
    blocks: u64,
    /// Blocks that mean and covariance rest on, by weight.
    weight: f64,
    mean: Vec<f64>,
    /// Row by row.
    covariance: Vec<f64>,
    /// Mean and variance of `w`, and the blocks they rest on.
    law: Moments,
    /// Running mean of the newest `w`, bounded each.
    recent: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Moments {
    weight: f64,
    mean: f64,
    variance: f64,
}

/// Distance of a block, before its probability is computed.
struct Distance {
    /// `D² / d`.
    square: f64,
    deviations: [f64; MAX_FEATURES],
}

impl BlockBaseline {
    /// Knows nothing; judges after `learn` blocks, at least 16, and rests on the last `memory` of them.
    #[must_use]
    pub fn new(width: usize, learn: u64, memory: f64) -> Self {
        let width = width.clamp(1, MAX_FEATURES);
        Self {
            width,
            memory,
            learn: learn.max(16),
            blocks: 0,
            weight: 0.0,
            mean: vec![0.0; width],
            covariance: vec![0.0; width * width],
            law: Moments::default(),
            recent: None,
        }
    }

    /// Blocks seen, up to all the baseline remembers.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Says how far a block is from what came before, then learns from it.
    pub fn observe(&mut self, features: &[f64; MAX_FEATURES]) -> Option<Judgement> {
        let seen = self.blocks;
        self.blocks = seen.saturating_add(1);
        if seen < self.learn / 2 {
            self.learn(features, 1.0);
            return None;
        }
        let distance = self.distance(features);
        let w = distance.square.cbrt();
        let judgement = (seen >= self.learn).then(|| Judgement {
            distance: distance.square.sqrt(),
            p_value: self.law.p_value(w),
            contributions: named(&distance.deviations[..self.width]),
        });
        let bend = self.law.bend(self.width);
        // One wild block alone must not stop the learning.
        let bounded = w.min(2.0 * bend);
        let recent = self.recent.map_or(bounded, |recent| recent + RECENT_RATE * (bounded - recent));
        self.recent = Some(recent);
        let persistent = (self.law.persistence_bend(bend) / recent).powi(2 * FALL).min(1.0);
        let weight = (bend / w).powi(FALL).min(1.0) * persistent;
        self.learn(features, weight);
        self.law.learn(w.min(bend), weight, self.memory);
        judgement
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        (self.mean.capacity() + self.covariance.capacity()) * size_of::<f64>()
    }

    /// Whether a saved state can be of a baseline like this and holds only finite numbers.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        let law =
            [other.law.weight, other.law.mean, other.law.variance, other.weight, other.recent.unwrap_or(0.0)];
        let shape = |baseline: &Self| (baseline.width, baseline.memory.to_bits(), baseline.learn);
        shape(self) == shape(other)
            && other.mean.len() == self.mean.len()
            && other.covariance.len() == self.covariance.len()
            && other.mean.iter().chain(&other.covariance).chain(&law).all(|number| number.is_finite())
    }

    fn learn(&mut self, features: &[f64; MAX_FEATURES], weight: f64) {
        self.weight = (self.weight + weight).min(self.memory);
        let gain = (weight / self.weight).min(1.0);
        let mut from_mean = [0.0; MAX_FEATURES];
        for ((deviation, feature), mean) in from_mean.iter_mut().zip(features).zip(&mut self.mean) {
            *deviation = feature - *mean;
            *mean += gain * *deviation;
        }
        for (row, of_row) in self.covariance.chunks_exact_mut(self.width).zip(&from_mean) {
            for (entry, of_column) in row.iter_mut().zip(&from_mean) {
                *entry = (1.0 - gain) * (*entry + gain * of_row * of_column);
            }
        }
    }

    fn distance(&self, features: &[f64; MAX_FEATURES]) -> Distance {
        let (width, weight) = (self.width, self.weight.max(2.0));
        let unbiased = weight / (weight - 1.0);
        let mut spread = [1.0; MAX_FEATURES];
        let mut deviations = [0.0; MAX_FEATURES];
        for index in 0..width {
            let variance = self.covariance[index * width + index] * unbiased;
            spread[index] = variance.max(LEAST_DEVIATION * LEAST_DEVIATION).sqrt();
            deviations[index] = (features[index] - self.mean[index]) / spread[index];
        }
        let shrinkage = (width as f64 / (width as f64 + weight)).max(LEAST_SHRINKAGE);
        let keep = (1.0 - shrinkage) * unbiased;
        // Cholesky's factor of the shrunk correlations and, on the way, the solution of L v = u: D² = vᵀ v.
        let mut factor = [[0.0; MAX_FEATURES]; MAX_FEATURES];
        let mut solved = [0.0; MAX_FEATURES];
        for row in 0..width {
            for column in 0..row {
                let correlation =
                    keep * self.covariance[row * width + column] / (spread[row] * spread[column]);
                let known = dot(&factor[row][..column], &factor[column][..column]);
                factor[row][column] = (correlation - known) / factor[column][column];
            }
            // What the floor of the variances added belongs to the diagonal; the shrinkage keeps it positive.
            let left = 1.0 - dot(&factor[row][..row], &factor[row][..row]);
            factor[row][row] = left.max(0.5 * shrinkage).sqrt();
            solved[row] = (deviations[row] - dot(&factor[row][..row], &solved[..row])) / factor[row][row];
        }
        let square = dot(&solved, &solved) / (1.0 + 1.0 / weight) / width as f64;
        Distance { square, deviations }
    }
}

impl Moments {
    /// Standard deviation, at least that of the cube root of a mean square of that many normal numbers.
    fn deviation(self) -> f64 {
        let unbiased = if self.weight > 1.5 { self.weight / (self.weight - 1.0) } else { 1.0 };
        (self.variance * unbiased).max(2.0 / (9.0 * MAX_FEATURES as f64)).sqrt()
    }

    /// From where on a block counts less; generous until there is something to go by.
    fn bend(self, width: usize) -> f64 {
        if self.weight < 8.0 {
            return 1.0 + BEND * (2.0 / width as f64).sqrt();
        }
        self.mean + BEND * self.deviation()
    }

    /// The same for the running mean, whose spread is a third.
    fn persistence_bend(self, bend: f64) -> f64 {
        if self.weight < 8.0 { bend } else { self.mean + BEND / 3.0 * self.deviation() }
    }

    fn learn(&mut self, w: f64, weight: f64, memory: f64) {
        self.weight = (self.weight + weight).min(memory);
        // The first block of all may weigh next to nothing, and still is all there is.
        let gain = (weight / self.weight).min(1.0);
        if !gain.is_finite() {
            return;
        }
        let from_mean = w - self.mean;
        self.mean += gain * from_mean;
        self.variance = (1.0 - gain) * (self.variance + gain * from_mean * from_mean);
    }

    fn p_value(self, w: f64) -> f64 {
        let weight = self.weight.max(2.0);
        let t = (w - self.mean) / (self.deviation() * (1.0 + 1.0 / weight).sqrt());
        let freedom = (weight - 1.0).min(MOST_FREEDOM);
        let shrunk = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0);
        let z = shrunk * (freedom * (t * t / freedom).ln_1p()).sqrt();
        upper_tail(z.copysign(t)).clamp(LEAST_P, 1.0)
    }
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// The features farthest out. Places that there are no features for repeat the first.
fn named(deviations: &[f64]) -> [FeatureDeviation; NAMED] {
    let mut named = [FeatureDeviation { feature: Feature::at(0), deviations: deviations[0] }; NAMED];
    let mut places = [usize::MAX; NAMED];
    for rank in 0..NAMED {
        let left = deviations.iter().enumerate().filter(|(place, _)| !places[..rank].contains(place));
        if let Some((place, deviation)) = left.max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs())) {
            places[rank] = place;
            named[rank] = FeatureDeviation { feature: Feature::at(place), deviations: *deviation };
        }
    }
    named
}

/// Probability that a standard normal number exceeds `z`, to a relative 1.2e-7 (Press et al., *Numerical
/// Recipes in C*, second edition, section 6.2, `erfcc`).
fn upper_tail(z: f64) -> f64 {
    const SERIES: [f64; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_87,
        -1.135_203_98,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_68,
        -1.265_512_23,
    ];
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    let polynomial = SERIES.iter().fold(0.0, |sum, coefficient| sum * t + coefficient);
    let erfc = t * (polynomial - x * x).exp();
    if z >= 0.0 { 0.5 * erfc } else { 1.0 - 0.5 * erfc }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        for (z, expected) in
            [(0.0, 0.5), (1.644_853_6, 0.05), (3.090_232, 1e-3), (4.753_424, 1e-6), (-1.644_853_6, 0.95)]
        {
            let tail = upper_tail(z);
            assert!((tail / expected - 1.0).abs() < 1e-5, "{z}: {tail}");
        }
        // Student's with 30 degrees of freedom exceeds 3.385 once in a thousand times.
        let law = Moments { weight: 31.0, mean: 0.0, variance: 30.0 / 32.0 };
        let p = law.p_value(3.385);
        assert!((p / 1e-3 - 1.0).abs() < 0.03, "{p}");
    }
}
