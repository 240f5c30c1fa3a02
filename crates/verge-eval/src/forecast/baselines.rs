//! What a forecast must beat.

use std::collections::{BTreeMap, VecDeque};

/// The value at the same time of the day before.
#[derive(Debug)]
pub(super) struct SeasonalNaive {
    day: i64,
    values: BTreeMap<i64, f64>,
}

impl SeasonalNaive {
    /// `day`: how many intervals it has.
    pub(super) fn new(day: i64) -> Self {
        Self { day, values: BTreeMap::new() }
    }

    pub(super) fn take(&mut self, number: i64, value: f64) {
        self.values.insert(number, value);
    }

    pub(super) fn at(&self, target: i64) -> Option<f64> {
        self.values.get(&(target - self.day)).copied()
    }
}

/// What the newest value counts for the level, and the newest slope for the slope.
const RATES: [(f64, f64); 12] = [
    (0.1, 0.01),
    (0.1, 0.03),
    (0.2, 0.02),
    (0.2, 0.05),
    (0.35, 0.03),
    (0.35, 0.1),
    (0.5, 0.05),
    (0.5, 0.15),
    (0.8, 0.05),
    (0.8, 0.2),
    (1.0, 0.05),
    (1.0, 0.3),
];
const DAMPING: f64 = 0.9;

/// A damped trend (Gardner and `McKenzie` 1985), with those of its rates that were least off so far at this horizon.
#[derive(Debug)]
pub(super) struct DampedTrend {
    steps: i64,
    known: bool,
    levels: [(f64, f64); RATES.len()],
    losses: [f64; RATES.len()],
    waiting: VecDeque<(i64, [f64; RATES.len()])>,
}

impl DampedTrend {
    pub(super) fn new(steps: i64) -> Self {
        let levels = [(0.0, 0.0); RATES.len()];
        Self { steps, known: false, levels, losses: [0.0; RATES.len()], waiting: VecDeque::new() }
    }

    /// Takes a value and forecasts.
    pub(super) fn take(&mut self, number: i64, value: f64) -> f64 {
        while let Some((target, said)) = self.waiting.front().copied().filter(|(target, _)| *target <= number)
        {
            self.waiting.pop_front();
            if target == number {
                self.losses.iter_mut().zip(said).for_each(|(loss, said)| *loss += (said - value).abs());
            }
        }
        let ahead: f64 =
            (1..=i32::try_from(self.steps).unwrap_or(i32::MAX)).map(|step| DAMPING.powi(step)).sum();
        let mut said = [0.0; RATES.len()];
        for (((level, slope), (of_level, of_slope)), said) in self.levels.iter_mut().zip(RATES).zip(&mut said)
        {
            if !self.known {
                *level = value;
            }
            let (before, damped) = (*level, DAMPING * *slope);
            *level = of_level * value + (1.0 - of_level) * (before + damped);
            *slope = of_slope * (*level - before) + (1.0 - of_slope) * damped;
            *said = (*level + ahead * *slope).max(0.0);
        }
        self.known = true;
        self.waiting.push_back((number + self.steps, said));
        let best = self.losses.iter().zip(said).min_by(|(one, _), (other, _)| one.total_cmp(other));
        best.map_or(value, |(_, said)| said)
    }
}
