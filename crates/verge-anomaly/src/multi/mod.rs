//! `multi`: several signals of one machine, judged together.
//!
//! The first rows are the commissioning phase: they teach what is usual and are not judged. Then each row is
//! scaled robustly, averaged with an exponentially weighted mean per signal (MEWMA, Lowry et al. 1992), and its
//! squared Mahalanobis distance to the commissioning mean (T², Hotelling 1947) becomes a probability: its cube root
//! is very nearly normal (Wilson & Hilferty 1931), its mean and variance are learnt from few independent rows, so
//! the law is Student's t; and the probability is never below the recorded share of distances as large ([`Tail`]).
//!
//! Two things are added to the textbook:
//! - the covariance is shrunk halfway towards its diagonal (Ledoit & Wolf 2004 give the reason), so that signals
//!   that happened to move together for six minutes do not blind the distance to all other directions;
//! - a signal that *wanders* — whose means over blocks differ by more than its noise explains, such as a
//!   temperature that warms up — has not shown where it belongs. Its variance is inflated by its share `w` of
//!   variance between block means: `C_jj (1 + 20 w² / (1 - w))`.
//!
//! While nothing is abnormal, mean, covariance and tail follow slowly; abnormal rows teach nothing.

mod judge;

use nalgebra::{DMatrix, DVectorView};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::alarm::{AlarmSettings, Pace};
use crate::budget::Rate;
use crate::fault::{SettingsError, check_count};
use crate::tail::Tail;
pub use judge::MultiJudge;

/// Signals of one machine at most: a row costs their number squared.
pub const MAX_SIGNALS: usize = 64;
/// Weight of the newest row in the running mean.
const SMOOTHING: f64 = 0.1;
/// Rows at the start of commissioning whose running mean still remembers that it began at nothing.
const SETTLE: usize = 50;
/// Blocks of the commissioning phase whose means are compared.
const BLOCKS: usize = 10;
/// How far the covariance is shrunk towards its diagonal.
const SHRINK: f64 = 0.5;
/// How much wandering inflates a variance.
const WANDER: f64 = 20.0;
/// Scaled values are cut here, so that one wild reading is no catastrophe.
const CLIP: f64 = 30.0;
/// Rate at which mean and covariance follow.
const FOLLOW: f64 = 1.0 / 2_000.0;
/// Every so many rows one distance is learnt: neighbours are nearly the same, since they share most of their
/// running mean.
const LEARN_EVERY: u32 = 16;
/// No probability is smaller.
const LEAST_P: f64 = 1e-30;
/// Rows between two inversions of the followed covariance.
const INVERT_EVERY: u32 = 64;
/// So many rows of a running mean are worth one independent row: the ratio of their variances.
const ROWS_PER_INDEPENDENT: f64 = (2.0 - SMOOTHING) / SMOOTHING;

/// The level without a budget: rows come in runs, since each shares most of its running mean with the one before.
const FIXED_P: f64 = 2e-3;

/// How several signals are judged together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MultiSettings {
    commissioning: usize,
    pub(crate) alarms: AlarmSettings,
}

impl MultiSettings {
    /// `commissioning` counts the rows that only teach, `200..=100_000`.
    ///
    /// # Errors
    /// It is out of range.
    pub fn new(commissioning: usize, alarms: AlarmSettings) -> Result<Self, SettingsError> {
        check_count("commissioning", commissioning as u64, 200, 100_000)?;
        Ok(Self { commissioning, alarms })
    }

    /// The probability from which a row alarms where there is no budget.
    #[must_use]
    pub fn fixed_level() -> f64 {
        FIXED_P
    }

    fn rate(&self, pace: &Pace, detector: &MultiDetector) -> Rate {
        self.alarms.rate(pace, detector.rows(), FIXED_P)
    }
}

impl Default for MultiSettings {
    /// 400 rows to learn from, the fixed level and a hold-off of a hundred rows.
    fn default() -> Self {
        Self { commissioning: 400, alarms: AlarmSettings::default() }
    }
}

/// What was found of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowScore {
    /// Probability of a row at least this far off while all is well; one while commissioning.
    pub p_value: f64,
    /// Its distance from what is usual, in standard deviations: the root of T² per signal.
    pub distance: f64,
}

/// Part of one signal in what makes a row strange.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contribution {
    /// Which signal, counted as in the row.
    pub signal: usize,
    /// Its share of the squared distance; shares add up to one, and may be negative where signals compensate.
    pub share: f64,
    /// Its running mean, in its unit.
    pub observed: f64,
    /// What was expected of it, in its unit.
    pub expected: f64,
    /// Half the width of the range that holds 99.7 % while all is well, by itself.
    pub margin: f64,
}

/// The detector over one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiDetector {
    /// Rows that are stranger than this teach nothing.
    #[serde(skip, default = "fixed")]
    teach_above: f64,
    commissioning: usize,
    signals: usize,
    /// Rows of the commissioning phase, one after the other; empty afterwards.
    rows: Vec<f64>,
    running: Vec<f64>,
    distance: Vec<f64>,
    baseline: Option<Baseline>,
}

/// What is usual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Baseline {
    centre: Vec<f64>,
    scale: Vec<f64>,
    /// Of the running means, scaled.
    mean: Vec<f64>,
    covariance: Vec<f64>,
    wander: Vec<f64>,
    inverse: Vec<f64>,
    /// Mean and variance of the cube root of the squared distance.
    root_mean: f64,
    root_variance: f64,
    tail: Tail,
    invert_in: u32,
    rows: u32,
}

impl MultiDetector {
    /// A detector over rows of this many signals, at least one and at most [`MAX_SIGNALS`].
    ///
    /// # Panics
    /// If `signals` is out of range.
    #[must_use]
    pub fn new(settings: &MultiSettings, signals: usize) -> Self {
        assert!((1..=MAX_SIGNALS).contains(&signals), "{signals} signals");
        Self {
            teach_above: FIXED_P,
            commissioning: settings.commissioning,
            signals,
            rows: Vec::new(),
            running: vec![0.0; signals],
            distance: vec![0.0; signals],
            baseline: None,
        }
    }

    /// Rows still to come before the first is judged.
    #[must_use]
    pub fn commissioning_left(&self) -> usize {
        match self.baseline {
            Some(_) => 0,
            None => self.commissioning - self.rows.len() / self.signals,
        }
    }

    /// Rows that its probabilities rest on.
    fn rows(&self) -> f64 {
        self.baseline.as_ref().map_or(0.0, |baseline| f64::from(baseline.rows))
    }

    /// The distance that has probability `p`.
    #[must_use]
    pub fn distance_at(&self, p: f64) -> Option<f64> {
        let baseline = self.baseline.as_ref()?;
        let root = baseline.root_mean + baseline.spread() * baseline.law()?.inverse_cdf(1.0 - p);
        let distance = (root.max(0.0).powi(3) / self.signals as f64).sqrt();
        distance.is_finite().then_some(distance)
    }

    /// Judges one row, then learns it.
    ///
    /// # Panics
    /// If the row has another number of signals.
    pub fn observe(&mut self, row: &[f64]) -> RowScore {
        assert_eq!(row.len(), self.signals, "signals in a row");
        let Some(baseline) = &mut self.baseline else {
            self.rows.extend(row.iter().map(|value| value.clamp(-1e100, 1e100)));
            if self.rows.len() == self.commissioning * self.signals {
                let rows = std::mem::take(&mut self.rows);
                self.baseline = Some(Baseline::learn(&rows, self.signals, &mut self.running));
            }
            return RowScore { p_value: 1.0, distance: 0.0 };
        };
        for (running, (value, (centre, scale))) in
            self.running.iter_mut().zip(row.iter().zip(baseline.centre.iter().zip(&baseline.scale)))
        {
            let scaled = ((value.clamp(-1e100, 1e100) - centre) / scale).clamp(-CLIP, CLIP);
            *running += SMOOTHING * (scaled - *running);
        }
        let squared = baseline.squared(&self.running, &mut self.distance);
        let p_value = baseline.probability(squared);
        if p_value > self.teach_above {
            baseline.follow(&self.distance, squared);
        }
        RowScore { p_value, distance: (squared / self.signals as f64).sqrt() }
    }

    /// The signals that make the last row strange, the strangest first. Empty while commissioning.
    #[must_use]
    pub fn contributions(&self) -> Vec<Contribution> {
        let Some(baseline) = &self.baseline else { return Vec::new() };
        let signals = self.signals;
        let parts: Vec<f64> = (0..signals)
            .map(|one| {
                let weighted: f64 = (0..signals)
                    .map(|other| baseline.inverse[one * signals + other] * self.distance[other])
                    .sum();
                weighted * self.distance[one]
            })
            .collect();
        let whole: f64 = parts.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mut contributions: Vec<Contribution> = (0..signals)
            .map(|signal| {
                let (centre, scale) = (baseline.centre[signal], baseline.scale[signal]);
                Contribution {
                    signal,
                    share: parts[signal] / whole,
                    observed: centre + scale * self.running[signal],
                    expected: centre + scale * baseline.mean[signal],
                    margin: 3.0 * scale * baseline.variance(signal).sqrt(),
                }
            })
            .collect();
        contributions.sort_by(|one, other| other.share.total_cmp(&one.share));
        contributions
    }

    /// Bytes that it takes now, itself and on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let numbers = self.rows.capacity() + self.running.capacity() + self.distance.capacity();
        size_of::<Self>()
            + numbers * size_of::<f64>()
            + self.baseline.as_ref().map_or(0, Baseline::heap_bytes)
    }
}

impl Baseline {
    fn heap_bytes(&self) -> usize {
        let vectors = [&self.centre, &self.scale, &self.mean, &self.covariance, &self.wander, &self.inverse];
        let numbers: usize = vectors.iter().map(|vector| vector.capacity()).sum();
        numbers * size_of::<f64>() + self.tail.heap_bytes()
    }

    /// Learns from all rows of the commissioning phase. `running` is left as it stands after the last.
    fn learn(rows: &[f64], signals: usize, running: &mut [f64]) -> Self {
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
        baseline.rows = roots.len() as u32;
        baseline
    }

    /// Variance of a signal's running mean, inflated where it wanders.
    fn variance(&self, signal: usize) -> f64 {
        let share = self.wander[signal];
        let variance = self.covariance[signal * self.mean.len() + signal] + 1e-6;
        variance * (1.0 + WANDER * share * share / (1.0 - share))
    }

    fn invert(&mut self) {
        let signals = self.mean.len();
        let matrix = DMatrix::from_fn(signals, signals, |one, other| {
            if one == other {
                self.variance(one)
            } else {
                (1.0 - SHRINK) * self.covariance[one * signals + other]
            }
        });
        // A covariance that is shrunk and has a floor on its diagonal is positive definite; rounding aside.
        if let Some(cholesky) = matrix.cholesky() {
            self.inverse.copy_from_slice(cholesky.inverse().as_slice());
        }
    }

    fn squared(&self, running: &[f64], distance: &mut [f64]) -> f64 {
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
    fn independent(&self) -> f64 {
        f64::from(self.rows).min(1.0 / FOLLOW) / ROWS_PER_INDEPENDENT
    }

    fn spread(&self) -> f64 {
        (self.root_variance * (1.0 + 1.0 / self.independent())).sqrt().max(f64::MIN_POSITIVE)
    }

    /// Of the cube root, in standard deviations. There always is one: a commissioning phase has rows enough.
    fn law(&self) -> Option<StudentsT> {
        StudentsT::new(0.0, 1.0, self.independent() - 1.0).ok()
    }

    fn probability(&self, squared: f64) -> f64 {
        let score = (squared.cbrt() - self.root_mean) / self.spread();
        self.law().map_or(1.0, |law| law.sf(score)).max(self.tail.share_above(squared)).clamp(LEAST_P, 1.0)
    }

    /// Lets mean and covariance follow a row that was not abnormal.
    fn follow(&mut self, distance: &[f64], squared: f64) {
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
        if self.rows % LEARN_EVERY == 0 {
            self.tail.observe(squared);
        }
        self.invert_in -= 1;
        if self.invert_in == 0 {
            self.invert_in = INVERT_EVERY;
            self.invert();
        }
    }
}

fn fixed() -> f64 {
    FIXED_P
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

fn variance(values: &[f64]) -> f64 {
    DVectorView::from_slice(values, values.len()).variance()
}
