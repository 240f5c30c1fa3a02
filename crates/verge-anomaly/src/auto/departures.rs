//! Whether a signal has left, for a place where it never was, while its judge learns and knows no [places](super::places) yet.
//!
//! The same places on a finer scale of time: known after eight hours, and what was met counts an hour later. No signal
//! moves within an hour as far as it did in all of a day. What its machine explains is no departure, though: where a machine stops, its
//! bearings cool for an hour.

use serde::{Deserialize, Serialize};
use verge_domain::time::UtcMillis;

use super::beside::Sight;
use super::jumps::Jump;
use super::places::KnownPlaces;
use crate::pool::LAG;

/// Length of a block of time.
const BLOCK_MS: i64 = 450_000;
/// How long after a machine stopped or started its signals may go anywhere: for an hour, and until where they were then counts.
pub(super) const EXPLAINED_MS: i64 = 2 * LAG as i64 * BLOCK_MS;
/// Most seconds between two readings: a block has as many as the middle of five means of twenty is made of.
pub(super) const QUICK_S: f64 = 4.5;
/// Rate at which the deviation of all is followed: eight hours of a reading a second, looked at each twentieth time.
const SLOWLY: f64 = 1.0 / 1_440.0;
/// A machine stops or starts where a signal of it comes to rest, or leaves it, by this part of the width in which 98 % of its
/// values lie.
const TURN_WIDTHS: f64 = 0.5;

/// Where one signal was within a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Departures {
    places: KnownPlaces,
    /// Mean of the mean absolute deviations, which follow a drift, and looks so far.
    deviation: f64,
    looks: u32,
    /// Where the signal is was looked at anew.
    #[serde(skip)]
    moved: bool,
}

impl Departures {
    pub(super) fn new() -> Self {
        Self { places: KnownPlaces::new(), deviation: 0.0, looks: 0, moved: false }
    }

    /// Looks at a reading; gives the way to where the signal is now, if it stays away from all places, and whether its machine stops or
    /// starts.
    pub(super) fn look(&mut self, at: UtcMillis, sight: Sight) -> (Option<Jump>, bool) {
        self.moved = self.places.note(|| at.0.div_euclid(BLOCK_MS), sight.mean, sight.deviation);
        if !self.moved {
            return (None, false);
        }
        self.looks = self.looks.saturating_add(1);
        let rate = (1.0 / f64::from(self.looks)).max(SLOWLY);
        self.deviation += rate * (sight.deviation - self.deviation);
        let turns = sight.width > 0.0 && self.places.turns(TURN_WIDTHS * sight.width);
        let to = self.places.middle();
        (self.places.left(self.deviation).map(|(from, least)| Jump { from, to, least }), turns)
    }

    /// Learns where the signal is, where nothing is wrong with that.
    pub(super) fn learn(&mut self, is_usual_place: bool) {
        if std::mem::take(&mut self.moved) && is_usual_place {
            self.places.learn();
        }
    }

    /// An alarm was raised: where it leads to needs none of its own.
    pub(super) fn announce(&mut self) {
        self.places.announce();
    }

    /// Where the signal is counts from now on.
    pub(super) fn accept(&mut self) {
        self.places.accept();
    }

    pub(super) fn fits(&self) -> bool {
        self.places.fits() && self.deviation.is_finite()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.places.heap_bytes()
    }
}
