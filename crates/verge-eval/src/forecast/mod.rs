//! How good short-term forecasts of traffic are: against what came, and beside two simple forecasts that they must beat.
//!
//! A series holds a value for each interval, or none; forecasts of both horizons are compared with the value of the interval
//! that they are about, where it has one. The first day is not counted, since the seasonal forecast has nothing to say of it.

mod baselines;
pub mod days;

use std::time::Duration;

use verge_anomaly::forecast::{ForecastSeries, ForecastSettings, ForecastValue};
use verge_domain::interval::IntervalGrid;
use verge_domain::time::UtcMillis;

use baselines::{DampedTrend, SeasonalNaive};

/// How far ahead is forecast, in minutes.
pub const AHEAD_MINUTES: [u64; 2] = [5, 15];
const MINUTE_MS: i64 = 60_000;
const DAY_MINUTES: i64 = 1440;

/// A series of traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastedSeries {
    /// Its name.
    pub name: String,
    /// Length of an interval in minutes: a part of [`AHEAD_MINUTES`].
    pub minutes: i64,
    /// Numbers of intervals since 1970 in ascending order, with their values.
    pub values: Vec<(i64, f64)>,
}

impl ForecastedSeries {
    /// Puts values at any times into intervals; of several in one the mean.
    #[must_use]
    pub fn new(name: String, minutes: i64, values: &[(UtcMillis, f64)]) -> Self {
        let mut sums = std::collections::BTreeMap::<i64, (f64, f64)>::new();
        for (at, value) in values {
            let (sum, count) = sums.entry(at.0.div_euclid(minutes * MINUTE_MS)).or_default();
            (*sum, *count) = (*sum + value, *count + 1.0);
        }
        let values = sums.into_iter().map(|(number, (sum, count))| (number, sum / count)).collect();
        Self { name, minutes, values }
    }
}

/// How far forecasts of one horizon were off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ForecastScore {
    /// Minutes ahead.
    pub ahead: u64,
    /// Values that were forecast.
    pub values: u32,
    /// Mean absolute error of the forecast, of what was a day before, and of a damped trend.
    pub forecast: f64,
    /// See `forecast`.
    pub seasonal: f64,
    /// See `forecast`.
    pub trend: f64,
    /// Share of values within the interval of the forecast, which is meant to be .9; `None` where there was no interval yet.
    pub within: Option<f64>,
}

impl ForecastScore {
    /// The error as a ratio to the smaller one of the two simple forecasts; below 1 it beats both.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.forecast / self.seasonal.min(self.trend).max(f64::MIN_POSITIVE)
    }
}

/// What waits for the value that it is about.
struct ForecastToScore {
    target: i64,
    forecast: ForecastValue,
    seasonal: f64,
    trend: f64,
}

#[derive(Default)]
struct HorizonErrors {
    waiting: std::collections::VecDeque<ForecastToScore>,
    values: u32,
    off: [f64; 3],
    within: (u32, u32),
}

impl HorizonErrors {
    fn score(&mut self, number: i64, value: f64, counts: bool) {
        while self.waiting.front().is_some_and(|one| one.target <= number) {
            let Some(one) = self.waiting.pop_front() else { return };
            if one.target < number || !counts {
                continue;
            }
            self.values += 1;
            let all = [one.forecast.expected, one.seasonal, one.trend];
            self.off.iter_mut().zip(all).for_each(|(off, said)| *off += (said - value).abs());
            if let Some((low, high)) = one.forecast.range {
                self.within.0 += u32::from((low..=high).contains(&value));
                self.within.1 += 1;
            }
        }
    }

    fn mean(&self, ahead: u64) -> ForecastScore {
        let [forecast, seasonal, trend] = self.off.map(|off| off / f64::from(self.values.max(1)));
        let (within, of) = self.within;
        let within = (of > 0).then(|| f64::from(within) / f64::from(of));
        ForecastScore { ahead, values: self.values, forecast, seasonal, trend, within }
    }
}

/// Forecasts a series as it comes, and compares. One score for each of [`AHEAD_MINUTES`].
///
/// # Panics
/// The interval is no part of the horizons.
#[must_use]
pub fn score(series: &ForecastedSeries) -> [ForecastScore; 2] {
    let length = Duration::from_secs(series.minutes.unsigned_abs() * 60);
    let grid = IntervalGrid::new(length).expect("a part of a day");
    let settings = ForecastSettings::new(grid, &AHEAD_MINUTES.map(|ahead| Duration::from_secs(60 * ahead)));
    let settings = settings.expect("multiples of the interval");
    let mut forecasts = ForecastSeries::new(&settings);
    let day = DAY_MINUTES / series.minutes;
    let mut seasonal = SeasonalNaive::new(day);
    let steps = AHEAD_MINUTES.map(|ahead| i64::try_from(ahead).unwrap_or(i64::MAX) / series.minutes);
    let mut trends = steps.map(DampedTrend::new);
    let mut errors = [HorizonErrors::default(), HorizonErrors::default()];
    let Some(&(first, _)) = series.values.first() else {
        return AHEAD_MINUTES.map(|_| ForecastScore::default());
    };
    for &(number, value) in &series.values {
        errors.iter_mut().for_each(|errors| errors.score(number, value, number >= first + day));
        forecasts.observe(&settings, UtcMillis(number * series.minutes * MINUTE_MS), value);
        seasonal.take(number, value);
        for (((_, said), trend), (errors, steps)) in
            forecasts.forecasts(&settings).zip(&mut trends).zip(errors.iter_mut().zip(steps))
        {
            let target = number + steps;
            let trend = trend.take(number, value);
            if let Some(forecast) = said {
                let seasonal = seasonal.at(target).unwrap_or(value);
                errors.waiting.push_back(ForecastToScore { target, forecast, seasonal, trend });
            }
        }
    }
    let [near, far] = errors;
    [near.mean(AHEAD_MINUTES[0]), far.mean(AHEAD_MINUTES[1])]
}
