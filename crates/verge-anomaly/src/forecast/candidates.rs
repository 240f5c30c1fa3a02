//! Simple forecasts that run side by side.

use serde::{Deserialize, Serialize};

/// Levels: what the newest value counts.
const LEVELS: [f64; 6] = [0.04, 0.1, 0.25, 0.5, 0.8, 1.0];
/// The level that stands in for what is usual before that is known.
const STAND_IN: usize = 2;
/// Trends: what the newest value counts for the level, and what the newest slope counts.
const TRENDS: [(f64, f64); 2] = [(0.5, 0.1), (0.2, 0.05)];
/// What is left of a slope after a step.
const DAMPING: f64 = 0.9;
/// Values of which the median is taken.
const MEDIAN_OF: usize = 7;
/// Minutes over which departures from what is usual are averaged, and after which a third of them is left.
const DEPARTURES: [(f64, f64); 2] = [(10.0, 50.0), (30.0, 160.0)];
/// How many there are: also what is usual, as it is.
pub(super) const CANDIDATES: usize = LEVELS.len() + TRENDS.len() + 1 + 1 + DEPARTURES.len();

/// What they remember.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct CandidateLevels {
    known: bool,
    levels: [f64; LEVELS.len()],
    /// Level and slope.
    trends: [(f64, f64); TRENDS.len()],
    last: [f64; MEDIAN_OF],
    /// Values in `last`, and where the next one goes.
    count: u8,
    next: u8,
    /// How far values lie from what is usual.
    departures: [f64; DEPARTURES.len()],
}

impl CandidateLevels {
    /// Takes a value, which comes some steps after the one before.
    pub(super) fn take(&mut self, value: f64, usual: Option<f64>, (steps, minutes): (i64, f64)) {
        if !self.known {
            self.known = true;
            self.levels = [value; LEVELS.len()];
            self.trends = [(value, 0.0); TRENDS.len()];
        }
        for (level, rate) in self.levels.iter_mut().zip(LEVELS) {
            *level += rate * (value - *level);
        }
        for ((level, slope), (of_level, of_slope)) in self.trends.iter_mut().zip(TRENDS) {
            let (before, damped) = (*level, DAMPING * *slope);
            *level = of_level * value + (1.0 - of_level) * (before + damped);
            *slope = of_slope * (*level - before) + (1.0 - of_slope) * damped;
        }
        self.last[usize::from(self.next)] = value;
        self.next = (self.next + 1) % MEDIAN_OF as u8;
        self.count = (self.count + 1).min(MEDIAN_OF as u8);
        #[expect(clippy::cast_precision_loss, reason = "steps of a few days")]
        let passed = steps as f64 * minutes;
        for (departure, (over, lasts)) in self.departures.iter_mut().zip(DEPARTURES) {
            let Some(usual) = usual else { continue };
            // What lies between without a value has worn off.
            *departure *= (-(passed - minutes) / lasts).exp();
            *departure += (1.0 - (-minutes / over).exp()) * (value - usual - *departure);
        }
    }

    /// What each of them says of the time some steps ahead, where `usual` is usual.
    #[expect(clippy::cast_possible_truncation, reason = "single precision is enough for what is compared")]
    pub(super) fn at(&self, steps: i64, usual: Option<f64>, minutes: f64) -> [f32; CANDIDATES] {
        let known = usual.unwrap_or(self.levels[STAND_IN]);
        #[expect(clippy::cast_precision_loss, reason = "at most 60")]
        let ahead = steps as f64;
        let damped = DAMPING * (1.0 - DAMPING.powf(ahead)) / (1.0 - DAMPING);
        let trends = self.trends.iter().map(|(level, slope)| level + damped * slope);
        let departures = self.departures.iter().zip(DEPARTURES).map(|(departure, (_, lasts))| {
            // Before what is usual is known there is nothing to depart from.
            usual.map_or(known, |usual| usual + departure * (-ahead * minutes / lasts).exp())
        });
        let all = self.levels.iter().copied().chain(trends).chain([self.median(), known]).chain(departures);
        let mut out = [0.0; CANDIDATES];
        out.iter_mut().zip(all).for_each(|(out, value)| *out = value.max(0.0) as f32);
        out
    }

    fn median(&self) -> f64 {
        let mut sorted = self.last;
        let sorted = &mut sorted[..usize::from(self.count)];
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    pub(super) fn is_sound(&self) -> bool {
        let trends = self.trends.iter().flat_map(|(level, slope)| [level, slope]);
        let mut all = self.levels.iter().chain(trends).chain(&self.last).chain(&self.departures);
        all.all(|number| number.is_finite())
            && usize::from(self.count) <= MEDIAN_OF
            && usize::from(self.next) < MEDIAN_OF
    }
}
