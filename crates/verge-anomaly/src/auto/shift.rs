//! Whether the last hundred readings spread over the long-run distribution as they always did.
//!
//! Fifteen running quantiles (Robbins & Monro 1951) cut values into sixteen classes of equal long-run share. The
//! score is the chi-square distance between the shares of the last hundred readings and the long-run shares.

use serde::{Deserialize, Serialize};
use verge_domain::finding::Expected;

const QUANTILES: usize = 15;
const CLASSES: usize = QUANTILES + 1;
/// Readings from which the quantiles start.
const START: usize = 64;
pub(super) const WINDOW: usize = 100;
/// Slowest rate of the long-run shares.
const SHARE_RATE: f64 = 1.0 / 5_000.0;
/// From the outermost quantiles to what 98 % lie within: of a normal distribution 2.326 deviations, these are at 1.534.
const BEYOND: f64 = 1.52;
/// Keeps a rare class from dominating.
const SHARE_FLOOR: f64 = 0.01;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shift {
    /// The first readings, until there are enough; empty afterwards.
    start: Vec<f64>,
    quantiles: [f64; QUANTILES],
    shares: [f32; CLASSES],
    window: Vec<u8>,
    next: u8,
    counts: [u8; CLASSES],
    seen: u32,
}

impl Shift {
    /// Once it has settled.
    pub(super) const HEAP_BYTES: usize = WINDOW;

    pub(super) fn new() -> Self {
        Self {
            start: Vec::with_capacity(START),
            quantiles: [0.0; QUANTILES],
            shares: [1.0 / CLASSES as f32; CLASSES],
            window: Vec::with_capacity(WINDOW),
            next: 0,
            counts: [0; CLASSES],
            seen: 0,
        }
    }

    /// Whether this can be what was saved.
    pub(super) fn fits(&self) -> bool {
        let mut counts = [0_u8; CLASSES];
        let known = self.window.len() <= WINDOW
            && self
                .window
                .iter()
                .all(|&class| counts.get_mut(usize::from(class)).map(|count| *count += 1).is_some());
        known
            && counts == self.counts
            && usize::from(self.next) < WINDOW
            && self.start.len() < START
            && self.start.iter().chain(&self.quantiles).all(|value| value.is_finite())
            && self.shares.iter().all(|share| share.is_finite())
    }

    /// Where 98 % of the values of the long run lie, by its quantiles, which a few readings hardly move; `None` before
    /// there are any.
    pub(super) fn usual(&self) -> Option<Expected> {
        let [lowest, .., highest] = self.quantiles;
        let middle = self.quantiles[QUANTILES / 2];
        let end = |quantile: f64| Some(middle + BEYOND * (quantile - middle));
        (self.seen > 0).then(|| Expected { low: end(lowest), high: end(highest) })
    }

    /// `readings` counts them with this one; `deviation` is the slow mean of absolute deviations.
    pub(super) fn score(&mut self, value: f64, readings: u32, deviation: f64) -> f64 {
        if self.seen == 0 {
            self.start.push(value);
            if self.start.len() < START {
                return 0.0;
            }
            self.start.sort_by(f64::total_cmp);
            for (position, quantile) in self.quantiles.iter_mut().enumerate() {
                *quantile = self.start[(position + 1) * START / CLASSES];
            }
            self.start = Vec::new();
            self.seen = 1;
            return 0.0;
        }
        let class = self.quantiles.iter().filter(|&&quantile| quantile < value).count();
        self.step(value, f64::from(readings), deviation);
        self.enter(class as u8);
        let filled = self.window.len() as f64;
        let mut distance = 0.0;
        for (count, share) in self.counts.iter().zip(&self.shares) {
            let share = f64::from(*share);
            let difference = f64::from(*count) / filled - share;
            distance += difference * difference / (share + SHARE_FLOOR);
        }
        let rate = (1.0 / f64::from(self.seen.saturating_add(1))).max(SHARE_RATE);
        for (position, share) in self.shares.iter_mut().enumerate() {
            let met = if position == class { 1.0 } else { 0.0 };
            *share += rate as f32 * (met - *share);
        }
        self.seen = self.seen.saturating_add(1);
        distance
    }

    fn step(&mut self, value: f64, readings: f64, deviation: f64) {
        let step = (3.0 / readings).max(0.002) * deviation;
        let mut floor = f64::NEG_INFINITY;
        for (position, quantile) in self.quantiles.iter_mut().enumerate() {
            let level = (position + 1) as f64 / CLASSES as f64;
            let below = if value <= *quantile { 1.0 } else { 0.0 };
            *quantile = (*quantile + step * (level - below)).max(floor);
            floor = *quantile;
        }
    }

    fn enter(&mut self, class: u8) {
        if self.window.len() < WINDOW {
            self.window.push(class);
        } else {
            let leaving = std::mem::replace(&mut self.window[usize::from(self.next)], class);
            self.counts[usize::from(leaving)] -= 1;
            self.next = (self.next + 1) % WINDOW as u8;
        }
        self.counts[usize::from(class)] += 1;
    }
}
