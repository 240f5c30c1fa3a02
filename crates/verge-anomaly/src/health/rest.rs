//! Where a signal stands still without a fault, and for how long it has.
//!
//! A machine that stops leaves its current at exactly nothing, a valve that is closed is at 0 % for as long as it is,
//! a counter stands while nothing is made. By itself none of these differs from a sensor that is stuck there: the first
//! ones are for the record, and teach how long such a rest lasts. A value amidst those that a signal moves through is no
//! place to rest, unless it moves without noise: the level of a tank that neither fills nor empties stands as well.

use super::sample::Circumstances;
use serde::{Deserialize, Serialize};

/// Places that are remembered; the one that was rested at least often gives way.
const PLACES: usize = 4;

/// A known rest may last for this many times the longest one: the pauses of machines differ more than runs of noise.
const REST_FACTOR: u64 = 8;

/// The same of a place amidst the signal, where the value stood still twice.
const PLACE_FACTOR: u64 = 4;

/// Rests of one place that make it known.
const KNOWN_RESTS: u16 = 3;

/// A signal that falls once in this many changes at most is a counter.
const COUNTS_UP: u32 = 32;

/// A signal has noise if it turns back at this part of its changes at least, in 1/65536.
const TURNS: u16 = 8_192;

/// Where the value of a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RestPlace {
    /// Nothing, an end of its scale, a state of two, or anywhere for a counter: here it may rest.
    Rest,
    /// The least or the greatest value so far, or anywhere for a signal without noise: here it may as long as it is not
    /// known what it does in a week.
    End,
    /// Amidst the values that it moves through.
    Amidst,
}

/// How long a run may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunLimit {
    /// In readings.
    pub(super) readings: u64,
    /// What is longer is for the record: how long such a rest lasts is not known yet.
    pub(super) learning: bool,
}

/// One place where it stood still.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Stay {
    at: f64,
    longest: u64,
    times: u16,
}

/// What a signal does when it stands still.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rests {
    low: f64,
    high: f64,
    rises: u32,
    falls: u32,
    /// The last change was a rise.
    rose: bool,
    /// Moving share of changes that turn back, in 1/65536.
    turns: u16,
    stays: [Stay; PLACES],
    /// The last run that was raised as an alarm.
    excused: Stay,
}

impl Default for Rests {
    fn default() -> Self {
        let (low, high, none) = (f64::MAX, f64::MIN, Stay::default());
        let stays = [none; PLACES];
        Self { low, high, rises: 0, falls: 0, rose: false, turns: u16::MAX / 2, stays, excused: none }
    }
}

impl Rests {
    /// The value has changed.
    #[inline]
    pub(super) fn change(&mut self, before: f64, value: f64) {
        self.low = self.low.min(before.min(value));
        self.high = self.high.max(before.max(value));
        let turned = self.rose != (value > before);
        self.rose = value > before;
        self.turns = self.turns - self.turns / 64 + if turned { 1023 } else { 0 };
        let way = if value > before { &mut self.rises } else { &mut self.falls };
        *way = way.saturating_add(1);
        if *way == u32::MAX {
            self.rises /= 2;
            self.falls /= 2;
        }
    }

    fn is_counter(&self) -> bool {
        self.falls <= self.rises / COUNTS_UP
    }

    /// It may stand still at any value.
    fn rests_anywhere(&self) -> bool {
        self.is_counter() || self.turns < TURNS
    }

    /// Nothing, or an end of its scale: how long it is there says nothing of other values.
    #[inline]
    pub(super) fn ends_scale(&self, value: f64, around: Circumstances) -> bool {
        let ends = |end: f64| value == end && self.low >= 0.0 && self.high <= end;
        (value == 0.0 || ends(1.0) || ends(100.0)) && !around.one_state
    }

    fn place(&self, value: f64, two_valued: bool, around: Circumstances) -> RestPlace {
        if two_valued || self.is_counter() || self.ends_scale(value, around) {
            RestPlace::Rest
        } else if self.rests_anywhere() || value <= self.low || value >= self.high {
            RestPlace::End
        } else {
            RestPlace::Amidst
        }
    }

    /// Where it is remembered: what rests anywhere does so at another value each time.
    fn stay_at(&self, value: f64) -> f64 {
        if self.rests_anywhere() { 0.0 } else { value }
    }

    fn known(&self, value: f64) -> Option<usize> {
        let at = self.stay_at(value);
        self.stays.iter().position(|stay| stay.is_at(at))
    }

    /// How long a run of `value` may last where `ordinary` is the limit of runs amidst the signal.
    pub(super) fn limit(
        &self,
        value: f64,
        two_valued: bool,
        ordinary: u64,
        around: Circumstances,
    ) -> RunLimit {
        let place = self.place(value, two_valued, around);
        let known = self.known(value).map(|known| self.stays[known]);
        let factor = if place == RestPlace::Amidst { PLACE_FACTOR } else { REST_FACTOR };
        let longest = known.map_or(0, |stay| stay.longest.saturating_mul(factor));
        let learning = match place {
            RestPlace::Rest => around.young || known.is_none_or(|stay| stay.times < KNOWN_RESTS),
            RestPlace::End => around.young,
            RestPlace::Amidst => false,
        };
        RunLimit { readings: ordinary.max(longest), learning }
    }

    /// Takes in a long run that has ended, if it was a rest: returns whether it was. What was raised as an alarm is learnt
    /// once it comes to the same place again.
    pub(super) fn enter(
        &mut self,
        value: f64,
        run: u64,
        two_valued: bool,
        raised: Option<RunLimit>,
        around: Circumstances,
    ) -> bool {
        let known = self.known(value);
        if raised.is_none_or(|limit| limit.learning) {
            // What has two values, or rests anywhere, stands still at each of its values.
            let ordinary = raised.is_none() && (two_valued || self.rests_anywhere());
            let is_rest =
                known.is_some() || (!ordinary && self.place(value, two_valued, around) != RestPlace::Amidst);
            if is_rest {
                self.learn(known, value, run);
            }
            return is_rest;
        }
        let before = std::mem::replace(&mut self.excused, Stay { at: value, longest: run, times: 1 });
        let again = before.is_at(value);
        if again {
            self.learn(known, value, run.min(before.longest));
        }
        again || known.is_some()
    }

    fn learn(&mut self, known: Option<usize>, value: f64, run: u64) {
        let at = self.stay_at(value);
        let place = known.unwrap_or_else(|| {
            let rarest =
                (0..PLACES).min_by_key(|&n| (self.stays[n].times, self.stays[n].longest)).unwrap_or(0);
            self.stays[rarest] = Stay { at, longest: 0, times: 0 };
            rarest
        });
        let stay = &mut self.stays[place];
        stay.longest = stay.longest.max(run);
        stay.times = stay.times.saturating_add(1);
    }
}

impl Stay {
    fn is_at(&self, value: f64) -> bool {
        self.times > 0 && self.at.to_bits() == value.to_bits()
    }
}
