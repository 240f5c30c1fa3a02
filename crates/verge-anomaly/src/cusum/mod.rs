//! Cumulative sums: small shifts of the level that last.
//!
//! The two-sided tabular CUSUM (Page 1954, *Continuous inspection schemes*, Biometrika 41; in the form of
//! Montgomery, *Introduction to Statistical Quality Control*, chapter 9). With `z = (x - target) / sigma`:
//!
//! ```text
//! up   = max(0, up   + z - slack)      High is abnormal above limit
//! down = max(0, down - z - slack)      Low  is abnormal above limit
//! ```
//!
//! With the customary slack 0.5 and limit 5 a false alarm comes about once in 465 independent normal readings,
//! and a shift of one sigma is found after about 10.
//!
//! A side is normal again once its sum is at or below `limit (1 - hysteresis)`. Sums stop growing at twice the
//! limit, unlike the book's, so that the end of a shift that lasted for days does not take days to be seen. With
//! `reset` a sum starts again at zero after each alarm: one alarm for each time that the limit is reached.
//!
//! `observed` is the level that the sum shows, `target + sigma (slack + sum / n)` with the `n` readings since it was
//! last zero (Montgomery, equation 9.5), or the same below the target. `expected` is what counts as no deviation,
//! `target - sigma slack` to `target + sigma slack`.
//!
//! A target or sigma that is not given is learnt from the first `learn` readings, which are not judged:
//! their mean, and 1.4826 times their median absolute deviation from the median (their standard deviation where
//! half of them are equal), at least a millionth of the target.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::reading::Reading;
use verge_domain::stage::RestoreError;

use crate::fault::{SettingsError, check_count, check_finite, check_range};
use crate::state::{self, StateKind};
use crate::threshold::standing;

/// Sums grow to this many limits at most.
const MOST_LIMITS: f64 = 2.0;

/// 98 % of independent normal readings lie within this many standard deviations of their mean.
const USUAL_SIGMAS: f64 = 2.326;

/// Median absolute deviation to standard deviation, for normal numbers.
const MAD_TO_SIGMA: f64 = 1.4826;

/// Least sigma that is learnt, as a part of the target and as such.
const LEAST_SIGMA: (f64, f64) = (1e-6, 1e-12);

/// What is summed, and how much of it is too much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CusumSettings {
    target: Option<f64>,
    sigma: Option<f64>,
    learn: usize,
    slack: f64,
    limit: f64,
    clear: f64,
    reset: bool,
}

impl CusumSettings {
    /// Checks a target and its standard deviation, both in the signal's unit, and the rest in standard
    /// deviations. What is `None` is learnt from the first `learn` readings.
    ///
    /// # Errors
    /// A target that is not finite; a sigma that is not finite and positive; `learn` not from 8 to 10,000;
    /// `slack` not from 0 to 100, `limit` not from 0.1 to 1000, `hysteresis` not from 0 to 1.
    pub fn new(
        target: Option<f64>,
        sigma: Option<f64>,
        learn: usize,
        slack: f64,
        limit: f64,
        hysteresis: f64,
        reset: bool,
    ) -> Result<Self, SettingsError> {
        check_finite("target", target)?;
        check_finite("sigma", sigma)?;
        if let Some(actual) = sigma.filter(|&sigma| sigma <= 0.0) {
            return Err(SettingsError::NotPositive { key: "sigma", actual });
        }
        check_count("learn", learn as u64, 8, 10_000)?;
        check_range("slack", slack, 0.0, 100.0)?;
        check_range("limit", limit, 0.1, 1000.0)?;
        check_range("hysteresis", hysteresis, 0.0, 1.0)?;
        Ok(Self { target, sigma, learn, slack, limit, clear: limit * (1.0 - hysteresis), reset })
    }
}

/// Sums up how far one signal is from its target. Memory: 8 bytes per reading to learn from while it learns.
#[derive(Debug)]
pub struct CusumJudge {
    settings: CusumSettings,
    state: CusumState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CusumState {
    /// Readings so far, while learning.
    first: Vec<f64>,
    /// Target and sigma.
    normal: Option<(f64, f64)>,
    up: Sum,
    down: Sum,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Sum {
    /// In sigmas, from 0 to twice the limit.
    sum: f64,
    /// Readings since it was zero.
    readings: u32,
}

impl CusumJudge {
    /// A judge that has seen nothing.
    #[must_use]
    pub fn new(settings: CusumSettings) -> Self {
        let normal = settings.target.zip(settings.sigma);
        let first = Vec::with_capacity(if normal.is_some() { 0 } else { settings.learn });
        let state = CusumState { first, normal, up: Sum::default(), down: Sum::default() };
        Self { settings, state }
    }

    /// Looks at a reading; pushes how both sides stand, once a target and a sigma are known.
    pub fn observe(&mut self, reading: &Reading, findings: &mut Vec<Finding>) {
        let Some((target, sigma)) = self.state.normal else { return self.learn(reading.value) };
        let settings = self.settings;
        // A difference of finite numbers may be infinite, never NaN.
        let z = ((reading.value - target) / sigma).clamp(-1e9, 1e9);
        for (member, sum, z) in
            [(Member::High, &mut self.state.up, z), (Member::Low, &mut self.state.down, -z)]
        {
            sum.add(z - settings.slack, settings.limit * MOST_LIMITS);
            let shift = sigma * (settings.slack + sum.sum / f64::from(sum.readings.max(1)));
            let finite = |end: f64| end.clamp(f64::MIN, f64::MAX);
            let observed = finite(if member == Member::Low { target - shift } else { target + shift });
            let slack = sigma * settings.slack;
            let expected = Expected { low: Some(finite(target - slack)), high: Some(finite(target + slack)) };
            let standing = standing(sum.sum, settings.limit, settings.clear);
            let condition = Condition::of_rule(member, standing, observed, expected);
            // What counts as no deviation may have no width.
            let usual = || usual(target, sigma).distance(observed);
            let distance = (standing != Standing::Normal).then(usual).flatten();
            findings.push(Finding::Condition(Condition { distance, ..condition }));
            if settings.reset && sum.sum > settings.limit {
                *sum = Sum::default();
            }
        }
    }

    /// Where values lie around the target; `None` while it is learnt.
    pub(crate) fn expectation(&self) -> Option<Expected> {
        self.state.normal.map(|(target, sigma)| usual(target, sigma))
    }

    /// The state, exactly.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        state::seal(StateKind::Cusum, &self.state)
    }

    /// Takes up a saved state. A target or sigma that the settings give stands against a saved one.
    ///
    /// # Errors
    /// Not readable, of another version, or impossible under these settings. Nothing has changed then.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), RestoreError> {
        let mut state: CusumState = state::open(StateKind::Cusum, saved)?;
        let settings = self.settings;
        let most = settings.limit * MOST_LIMITS;
        let fits = |sum: Sum| (0.0..=most).contains(&sum.sum);
        let normal = state.normal.is_none_or(|(target, sigma)| target.is_finite() && sigma > 0.0);
        if !(fits(state.up) && fits(state.down) && normal) {
            return Err(RestoreError::Foreign);
        }
        if state.normal.is_none() && state.first.len() >= settings.learn {
            return Err(RestoreError::Foreign);
        }
        let known = |learnt: Option<f64>, given: Option<f64>| given.or(learnt);
        let target = known(state.normal.map(|(target, _)| target), settings.target);
        let sigma = known(state.normal.map(|(_, sigma)| sigma), settings.sigma);
        state.normal = target.zip(sigma);
        if state.normal.is_none() {
            state.first.reserve_exact(settings.learn - state.first.len());
        } else {
            state.first = Vec::new();
        }
        self.state = state;
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.state.first.capacity() * size_of::<f64>()
    }

    fn learn(&mut self, value: f64) {
        let first = &mut self.state.first;
        first.push(value);
        if first.len() < self.settings.learn {
            return;
        }
        let count = first.len() as f64;
        // Halves and parts first, so that the largest numbers do not overflow.
        let mean = first.iter().map(|value| value / count).sum::<f64>();
        let target = self.settings.target.unwrap_or(mean);
        let sigma = self.settings.sigma.unwrap_or_else(|| spread(first, mean));
        let (part, least) = LEAST_SIGMA;
        self.state.normal = Some((target, sigma.max(part * target.abs()).max(least)));
        self.state.first = Vec::new();
    }
}

impl Sum {
    fn add(&mut self, excess: f64, most: f64) {
        self.sum = (self.sum + excess).clamp(0.0, most);
        self.readings = if self.sum > 0.0 { self.readings.saturating_add(1) } else { 0 };
    }
}

fn usual(target: f64, sigma: f64) -> Expected {
    let end = |sigmas: f64| Some((target + sigmas * sigma).clamp(f64::MIN, f64::MAX));
    Expected { low: end(-USUAL_SIGMAS), high: end(USUAL_SIGMAS) }
}

/// Robust standard deviation; finite.
fn spread(values: &mut [f64], mean: f64) -> f64 {
    let largest = values.iter().fold(0.0, |most: f64, value| most.max((value / 2.0 - mean / 2.0).abs()));
    if largest == 0.0 {
        return 0.0;
    }
    let middle = values.len() / 2;
    let square = |value: &f64| ((value / 2.0 - mean / 2.0) / largest).powi(2);
    let deviation = (values.iter().map(square).sum::<f64>() / values.len() as f64).sqrt() * largest;
    let median = *values.select_nth_unstable_by(middle, f64::total_cmp).1;
    for value in values.iter_mut() {
        *value = (*value / 2.0 - median / 2.0).abs();
    }
    let mad = *values.select_nth_unstable_by(middle, f64::total_cmp).1;
    // Both are halves still.
    let half = if mad > 0.0 { mad * MAD_TO_SIGMA } else { deviation };
    half.min(f64::MAX / 2.0) * 2.0
}
