//! What a measure of traffic is expected to be in some minutes, with an interval that holds nine of ten values.
//!
//! A series is a number per interval of the wall clock: a flow, a queue, a share of time. Several simple forecasts run side by
//! side (`candidates`): levels that follow the last values more or less closely, damped trends, the median of the last values,
//! and what is usual at this time of day (`profile`), as it is and shifted by how far the last values lay from it. Each
//! horizon weighs them by how far each was off lately (`horizon`), so that the forecast is never much worse than the best of
//! them, whichever that is now. The interval holds 90 % of the errors of the last 200 forecasts, relative to the square root
//! of the value, as the errors of counts are (split conformal prediction), at a level that follows how often it held (adaptive
//! conformal inference, Gibbs and Candès 2021).
//!
//! Deterministic, and of bounded memory: some 2 KiB a series, and 1 KiB and 90 bytes a step for each horizon.

mod candidates;
mod horizon;
mod profile;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use verge_domain::interval::IntervalGrid;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{ForecastMeasure, TrafficForecast};

use crate::fault::SettingsError;
use candidates::CandidateLevels;
use horizon::ForecastHorizon;
use profile::UsualDay;

/// Horizons at most.
pub const MAX_HORIZONS: usize = 4;
/// Intervals that a horizon may lie ahead.
pub const MAX_STEPS: u64 = 60;
/// Values after which there are forecasts.
const LEAST_VALUES: u32 = 8;
/// No measure of traffic is larger.
const MOST: f64 = 1e12;

/// How far ahead is forecast.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForecastSettings {
    length_ms: u64,
    /// In intervals, in ascending order.
    steps: Vec<u64>,
}

impl ForecastSettings {
    /// Forecasts so far ahead; none: nothing is forecast.
    ///
    /// # Errors
    /// A horizon that is not a multiple of the interval, more than [`MAX_STEPS`] of them, or more horizons than
    /// [`MAX_HORIZONS`].
    pub fn new(grid: IntervalGrid, ahead: &[Duration]) -> Result<Self, SettingsError> {
        let length_ms = grid.length_ms();
        let mut steps = Vec::with_capacity(ahead.len());
        for &span in ahead {
            let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            if ms == 0 || ms % length_ms != 0 || ms / length_ms > MAX_STEPS {
                let interval = Duration::from_millis(length_ms);
                return Err(SettingsError::Horizon { actual: span, interval, most: MAX_STEPS });
            }
            steps.push(ms / length_ms);
        }
        steps.sort_unstable();
        steps.dedup();
        crate::fault::check_count("forecast", steps.len() as u64, 0, MAX_HORIZONS as u64)?;
        Ok(Self { length_ms, steps })
    }

    /// How far ahead, in milliseconds, in ascending order.
    pub fn ahead_ms(&self) -> impl Iterator<Item = u64> {
        self.steps.iter().map(|steps| steps * self.length_ms)
    }

    /// Whether nothing is forecast.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForecastValue {
    /// The value.
    pub expected: f64,
    /// Nine of ten values lie from here to there; `None` until enough forecasts could be compared with what came.
    pub range: Option<(f64, f64)>,
}

impl ForecastValue {
    /// As verdicts carry it; without a place: of a detector in the road.
    #[must_use]
    pub fn of(
        self,
        place: Option<&verge_domain::id::PlaceId>,
        measure: ForecastMeasure,
        ahead_ms: u64,
    ) -> TrafficForecast {
        let (low, high) = self.range.map(|(low, high)| (short(low), short(high))).unzip();
        let expected = short(self.expected);
        TrafficForecast { place: place.cloned(), measure, ahead_ms, expected, low, high }
    }
}

/// To sixty-fourths: no forecast is more exact, and such numbers are short in a verdict.
fn short(value: f64) -> f64 {
    (value * 64.0).round() / 64.0
}

/// Forecasts one series of values that are never negative.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ForecastSeries {
    /// Length of an interval in milliseconds.
    length_ms: u64,
    /// Number of the newest interval since 1970.
    newest: Option<i64>,
    values: u32,
    /// Mean of its values, the newer counting more.
    mean: f64,
    day: UsualDay,
    levels: CandidateLevels,
    horizons: Vec<ForecastHorizon>,
}

impl ForecastSeries {
    /// A series of which nothing is known.
    #[must_use]
    pub fn new(settings: &ForecastSettings) -> Self {
        let horizons = settings.steps.iter().map(|steps| ForecastHorizon::new(*steps)).collect();
        Self { length_ms: settings.length_ms, horizons, ..Self::default() }
    }

    /// Takes the value of the interval that began at `from`. Intervals of which nothing is known are left out. Where time runs
    /// back what was forecast of the future is forgotten, and what is usual stays.
    pub fn observe(&mut self, settings: &ForecastSettings, from: UtcMillis, value: f64) {
        let length = i64::try_from(settings.length_ms.max(1)).unwrap_or(i64::MAX);
        if !(0.0..=MOST).contains(&value) {
            return;
        }
        let number = from.0.div_euclid(length);
        let step = self.newest.map(|newest| number.saturating_sub(newest));
        if step.is_some_and(|step| step <= 0) {
            self.horizons.iter_mut().for_each(ForecastHorizon::forget_pending);
        }
        for horizon in &mut self.horizons {
            horizon.score(number, value);
        }
        self.newest = Some(number);
        self.values = self.values.saturating_add(1);
        let rate = (1.0 / f64::from(self.values)).max(0.01);
        self.mean += rate * (value - self.mean);
        #[expect(clippy::cast_precision_loss, reason = "a day at most")]
        let minutes = length as f64 / 60_000.0;
        self.levels.take(value, self.day.usual(from), (step.unwrap_or(1).max(1), minutes));
        self.day.take(from, value, minutes);
        if self.values < LEAST_VALUES {
            return;
        }
        for (horizon, steps) in self.horizons.iter_mut().zip(&settings.steps) {
            let steps = i64::try_from(*steps).unwrap_or(i64::MAX);
            let target = number.saturating_add(steps);
            let usual = self.day.usual(UtcMillis(target.saturating_mul(length)));
            horizon.forecast(target, self.levels.at(steps, usual, minutes), self.mean);
        }
    }

    /// What the newest value says of each horizon, in their order; nothing before there are eight values.
    pub fn forecasts(
        &self,
        settings: &ForecastSettings,
    ) -> impl Iterator<Item = (u64, Option<ForecastValue>)> {
        let newest = self.newest;
        settings.ahead_ms().zip(&settings.steps).zip(&self.horizons).map(
            move |((ahead_ms, steps), horizon)| {
                let steps = i64::try_from(*steps).unwrap_or(i64::MAX);
                (ahead_ms, newest.and_then(|newest| horizon.newest(newest.saturating_add(steps))))
            },
        )
    }

    /// Whether it can be continued under these settings.
    #[must_use]
    pub fn fits(&self, settings: &ForecastSettings) -> bool {
        self.length_ms == settings.length_ms
            && self.horizons.len() == settings.steps.len()
            && self.mean.is_finite()
            && self.day.is_sound()
            && self.levels.is_sound()
            && self.horizons.iter().zip(&settings.steps).all(|(horizon, steps)| horizon.is_sound(*steps))
    }

    /// Bytes it holds beside itself.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let horizons = self.horizons.iter().map(ForecastHorizon::heap_bytes).sum::<usize>();
        self.day.heap_bytes() + horizons + self.horizons.capacity() * size_of::<ForecastHorizon>()
    }
}
