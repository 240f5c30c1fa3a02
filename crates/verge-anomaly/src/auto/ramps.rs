//! Whether a signal drifts further than it ever moved within some thousand readings: forty minutes at a reading a second.
//!
//! A slow drift jumps nowhere, and its places are not known before a week has passed. But what moves with the day or the
//! load has moved so before, and a drift of an hour goes twice as far. It goes evenly: what a machine does that stops,
//! starts, cools down or warms up is quick first and slow then. What comes to rest, or begins from rest, counts for
//! nothing. A move counts as seen before once it is older than the drift itself could be.

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;

use super::jumps::Jump;
use super::steps::Steps;

/// Places of the signal from one to the next of which it moves: [`EACH`] means of twenty readings each lie between two.
const LAG: usize = 24;
/// Means of twenty readings from place to place.
const EACH: u8 = 5;
/// Places before any move is compared: nine times the time in which one is made.
const KNOWN: u32 = 9 * LAG as u32;
/// Beyond doubt is this many times the furthest move before. Measured on 19 simulated plants of two kinds: 1.5 finds a
/// few drifts more, 3 two thirds of them.
const TIMES: f64 = 2.0;
/// Beyond doubt is this part of all that the signal moved through.
const RANGES: f64 = 0.5;
/// A third of an even move goes this part of the furthest third at least: of one that fades within its length .6.
const EVEN: f64 = 0.65;
/// Places in a row that must be that far.
const HELD: u8 = 2;
/// What moves further counts as this far.
const FURTHEST: f64 = 1e300;

/// The moves of one signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ramps {
    /// Where the signal was, and how far it had moved to there: rings.
    places: [f64; LAG],
    moves: [f64; LAG],
    next: u8,
    until_next: u8,
    known: u32,
    /// The furthest move, and the ends of all places, as far as they are older than the rings.
    furthest: f64,
    low: f64,
    high: f64,
    /// Places in a row that were further than that by far.
    far: u8,
}

impl Default for Ramps {
    fn default() -> Self {
        Self {
            places: [0.0; LAG],
            moves: [0.0; LAG],
            next: 0,
            until_next: EACH,
            known: 0,
            furthest: 0.0,
            low: f64::MAX,
            high: f64::MIN,
            far: 0,
        }
    }
}

impl Ramps {
    /// Looks at where the signal is after twenty more readings. A move beyond doubt comes with the width that it is
    /// measured by.
    pub(super) fn look(&mut self, place: f64) -> Option<(Jump, f64)> {
        self.until_next -= 1;
        if self.until_next > 0 {
            return None;
        }
        self.until_next = EACH;
        let next = usize::from(self.next);
        let from = std::mem::replace(&mut self.places[next], place);
        self.known = self.known.saturating_add(1);
        let by = if self.known as usize > LAG { Steps::between(from, place) } else { None };
        let by = by.unwrap_or_default().min(FURTHEST);
        let before = std::mem::replace(&mut self.moves[next], by);
        self.next = ((next + 1) % LAG) as u8;
        if self.known as usize <= LAG {
            return None;
        }
        self.furthest = self.furthest.max(before);
        (self.low, self.high) = (self.low.min(from), self.high.max(from));
        let least = (TIMES * self.furthest).max(RANGES * (self.high - self.low).min(FURTHEST));
        let is_far = self.known > KNOWN && self.furthest > 0.0 && by > least && self.is_even(from, place);
        self.far = if is_far { self.far.saturating_add(1) } else { 0 };
        (self.far == HELD).then_some((Jump { from, to: place, least }, TIMES * self.furthest))
    }

    /// Whether each third of the move that ends at the newest place went about as far.
    fn is_even(&self, from: f64, to: f64) -> bool {
        let back = |places: usize| self.places[(usize::from(self.next) + 2 * LAG - 1 - places) % LAG];
        let (first, second) = (back(2 * LAG / 3), back(LAG / 3));
        let thirds = [first - from, second - first, to - second].map(|third| third * (to - from).signum());
        let least = thirds.iter().copied().fold(f64::INFINITY, f64::min);
        least >= EVEN * thirds.iter().copied().fold(0.0, f64::max)
    }

    pub(super) fn check(&self) -> Result<(), RestoreError> {
        let ends = [self.furthest, self.low, self.high];
        let finite = self.places.iter().chain(&self.moves).chain(&ends).all(|number| number.is_finite());
        let sound = finite && usize::from(self.next) < LAG && (1..=EACH).contains(&self.until_next);
        if sound { Ok(()) } else { Err(RestoreError::Misfit { part: "its moves" }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;

    /// Hours at a reading a second in which a move is found, of a signal that swings with noise and what is added.
    fn found(hours: u32, added: impl Fn(f64) -> f64) -> Vec<f64> {
        let (mut ramps, mut noise) = (Ramps::default(), Noise::new(3));
        let looks = (0..hours * 180).map(|look| f64::from(look) / 180.0);
        let swing = |hour: f64| 50.0 + 5.0 * (hour / 24.0 * std::f64::consts::TAU).sin();
        looks
            .filter(|&hour| ramps.look(swing(hour) + 0.05 * noise.normal() + added(hour)).is_some())
            .collect()
    }

    #[test]
    fn a_drift_of_an_hour_is_found_and_no_course_of_the_day() {
        assert!(found(72, |_| 0.0).is_empty());
        let drift = |hour: f64| (hour - 20.0).clamp(0.0, 1.0) * -12.0;
        let found = found(24, drift);
        assert!(found.first().is_some_and(|hour| (20.5..21.1).contains(hour)), "{found:?}");
    }

    #[test]
    fn what_moved_as_far_before_is_usual_and_so_is_a_machine_that_stops() {
        // Up by eight within an hour and down again, every five hours.
        let often = |hour: f64| 8.0 * (1.0 - (hour % 5.0 - 1.0).abs()).max(0.0);
        assert!(found(24, often).is_empty());
        let stops = |hour: f64| if hour > 20.0 { -45.0 } else { 0.0 };
        assert!(found(24, stops).is_empty());
        let cools = |hour: f64| if hour > 20.0 { 20.0 * ((20.0 - hour) / 0.4).exp_m1() } else { 0.0 };
        assert!(found(24, cools).is_empty(), "it stops, and its bearing cools down");
    }
}
