//! `multi`: several signals of one machine, judged together.
//!
//! The first rows are the commissioning phase: they teach what is usual and are not judged. Then each row is
//! scaled robustly, averaged with an exponentially weighted mean per signal (MEWMA, Lowry et al. 1992), and its
//! squared Mahalanobis distance to the commissioning mean (T², Hotelling 1947) becomes a probability: its cube root
//! is very nearly normal (Wilson & Hilferty 1931), its mean and variance are learnt from few independent rows, so
//! the law is Student's t; and the probability is never below the recorded share of distances as large ([`Tail`](crate::tail::Tail)).
//!
//! Two things are added to the textbook:
//! - the covariance is shrunk a fifth of the way towards its first factor and nothing else (Ledoit & Wolf 2003 do so with
//!   the market's), so that signals that happened to move together for six minutes do not blind the distance to all other
//!   directions, and a load that moves all of them does not hide one that stays behind;
//! - a signal that *wanders* — whose means over blocks differ by more than its noise explains, such as a
//!   temperature that warms up — has not shown where it belongs. Its variance is inflated by its share `w` of
//!   variance between block means, `1 + 20 w² / (1 - w)`; its correlations stay.
//!
//! While nothing is abnormal, mean, covariance and tail follow slowly; abnormal rows teach nothing. What remains of a fault
//! that is over is none: see `aftermath`.

mod aftermath;
mod baseline;
mod judge;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use statrs::distribution::ContinuousCDF;
use verge_domain::stage::RestoreError;

use crate::alarm::{AlarmSettings, Pace};
use crate::budget::AlarmLevel;
use crate::fault::{SettingsError, check_count};
use aftermath::Aftermath;
use baseline::{CLIP, JointBaseline, ROWS_PER_INDEPENDENT, SMOOTHING};
pub use judge::MultiJudge;

/// Signals of one machine at most: a row costs their number squared.
pub const MAX_SIGNALS: usize = 64;
/// Rows that are stranger than this teach nothing.
const TEACH_ABOVE: f64 = FIXED_P;

/// The level without a budget: rows come in runs, since each shares most of its running mean with the one before.
const FIXED_P: f64 = 1e-3;

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

    /// How often it may alarm.
    #[must_use]
    pub const fn alarms(&self) -> &AlarmSettings {
        &self.alarms
    }

    fn rate(&self, pace: &Pace, detector: &MultiDetector) -> AlarmLevel {
        self.alarms.rate(pace, detector.rows(), ROWS_PER_INDEPENDENT, FIXED_P)
    }

    fn rate_ahead(&self, pace: &Pace, detector: &MultiDetector) -> AlarmLevel {
        self.alarms.rate_ahead(pace, detector.rows(), ROWS_PER_INDEPENDENT, FIXED_P)
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
    /// Probability of a row at least this far off while all is well; one while commissioning, and of what remains of a
    /// fault that is over.
    pub p_value: f64,
    /// Its distance from what is usual, in standard deviations: the root of T² per signal.
    pub distance: f64,
}

/// Part of one signal in what makes a row strange.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignalShare {
    /// Which signal, counted as in the row.
    pub signal: usize,
    /// By how much the squared distance would fall were it as the others suggest (reconstruction-based contribution,
    /// Alcala & Qin 2009), over the sum of that for all signals; shares add up to one.
    pub share: f64,
    /// Its running mean, in its unit.
    pub observed: f64,
    /// What the others make of it, in its unit.
    pub expected: f64,
    /// Half the width of the range around that which holds 99.7 % while all is well.
    pub margin: f64,
}

/// The detector over one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiDetector {
    commissioning: usize,
    signals: usize,
    /// Rows of the commissioning phase, one after the other; empty afterwards.
    rows: Vec<f64>,
    running: Vec<f64>,
    distance: Vec<f64>,
    baseline: Option<JointBaseline>,
    /// Saved behind the rest.
    #[serde(skip, default)]
    aftermath: Aftermath,
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
            commissioning: settings.commissioning,
            signals,
            rows: Vec::new(),
            running: vec![0.0; signals],
            distance: vec![0.0; signals],
            baseline: None,
            aftermath: Aftermath::default(),
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
                self.baseline = Some(JointBaseline::learn(&rows, self.signals, &mut self.running));
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
        if p_value > TEACH_ABOVE {
            baseline.follow(&self.distance, squared);
        }
        let distance = (squared / self.signals as f64).sqrt();
        let remains = self.aftermath.remains(distance, p_value <= FIXED_P);
        let p_value = if remains { 1.0 } else { p_value };
        RowScore { p_value, distance }
    }

    /// The signals that make the last row strange, the strangest first. Empty while commissioning.
    #[must_use]
    pub fn contributions(&self) -> Vec<SignalShare> {
        let Some(baseline) = &self.baseline else { return Vec::new() };
        let signals = self.signals;
        // Distance of each signal from what the others make of it, and the precision of that.
        let off: Vec<(f64, f64)> = baseline
            .inverse
            .chunks_exact(signals)
            .enumerate()
            .map(|(signal, row)| {
                let weighted: f64 =
                    row.iter().zip(&self.distance).map(|(weight, other)| weight * other).sum();
                let precision = row[signal].max(f64::MIN_POSITIVE);
                (weighted / precision, precision)
            })
            .collect();
        let part = |(off, precision): &(f64, f64)| off * off * precision;
        let whole: f64 = off.iter().map(part).sum::<f64>().max(f64::MIN_POSITIVE);
        let mut contributions: Vec<SignalShare> = off
            .iter()
            .enumerate()
            .map(|(signal, one)| {
                let (centre, scale) = (baseline.centre[signal], baseline.scale[signal]);
                SignalShare {
                    signal,
                    share: part(one) / whole,
                    observed: centre + scale * self.running[signal],
                    expected: centre + scale * (self.running[signal] - one.0),
                    margin: 3.0 * scale / one.1.sqrt(),
                }
            })
            .collect();
        contributions.sort_by(|one, other| other.share.total_cmp(&one.share));
        contributions
    }

    /// Whether this can be what was saved of this number of signals.
    pub(crate) fn check(&self, signals: usize) -> Result<(), RestoreError> {
        let sound = self.signals == signals
            && self.rows.len().is_multiple_of(signals.max(1))
            && self.running.len() == signals
            && self.distance.len() == signals
            && self.running.iter().chain(&self.distance).all(|number| number.is_finite());
        if !sound {
            return Err(RestoreError::Misfit { part: "the number of its signals" });
        }
        self.baseline.as_ref().map_or(Ok(()), |baseline| baseline.check(signals))
    }

    /// What is saved behind the rest.
    const fn aftermath(&self) -> Aftermath {
        self.aftermath
    }

    /// Takes that up.
    fn restore_aftermath(&mut self, aftermath: Aftermath) -> Result<(), RestoreError> {
        aftermath.check()?;
        self.aftermath = aftermath;
        Ok(())
    }

    /// Bytes that it takes now, itself and on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let numbers = self.rows.capacity() + self.running.capacity() + self.distance.capacity();
        size_of::<Self>()
            + numbers * size_of::<f64>()
            + self.baseline.as_ref().map_or(0, JointBaseline::heap_bytes)
    }
}
