//! What lengths (of runs, of gaps) were usual, and which one would not be.
//!
//! The limit is a multiple of the longest length of the recent past. The multiple grows with the tail: it is
//! the longest by the *typical* length, which is the one at which half of all time has passed in shorter
//! ones, from 4 (regular, exponential) to 64 (lognormal of a wide spread, Pareto). Since the typical length is
//! weighted by time, a burst of many short ones does not change it.

use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

/// Lengths before there is a limit.
pub(super) const READY: u32 = 64;

/// The past is forgotten by epochs of this many lengths that last a week at least: one whole and the present one are
/// remembered.
const EPOCH: u32 = 4096;

/// An epoch also lasts for this many times the longest length, so that a burst does not end it.
const EPOCH_SPAN: u64 = 256;

/// Powers of two that are distinguished.
const BUCKETS: usize = 48;

/// A history of lengths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Lengths {
    /// How many there were, by power of two.
    #[serde(with = "BigArray")]
    counts: [u16; BUCKETS],
    known: u32,
    /// Sum of all that were taken in.
    total: u64,
    in_epoch: u32,
    /// Sum over the epoch.
    passed: u64,
    longest: u64,
    longest_before: u64,
    /// The last length that was beyond the limit. A second one like it is learnt.
    excused: u64,
    factor: u64,
    /// The week in which this epoch began. Saved beside the rest: earlier versions did not know it.
    #[serde(skip)]
    pub(super) week: u16,
}

impl Default for Lengths {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            known: 0,
            total: 0,
            in_epoch: 0,
            passed: 0,
            longest: 0,
            longest_before: 0,
            excused: 0,
            factor: 4,
            week: 0,
        }
    }
}

impl Lengths {
    /// Whether it knows enough to judge: this many lengths, and this much in all.
    pub(super) fn ready(&self, total: u64) -> bool {
        self.known >= READY && self.total >= total
    }

    /// The greatest length that is plausible, at least `least`.
    pub(super) fn limit(&self, least: u64) -> u64 {
        self.longest_known().saturating_mul(self.factor).max(least)
    }

    /// Sum of all that were taken in.
    pub(super) const fn sum(&self) -> u64 {
        self.total
    }

    fn longest_known(&self) -> u64 {
        self.longest.max(self.longest_before)
    }

    /// Probability of a length beyond every one that is remembered, if the next is one like those.
    pub(super) fn record_p_value(&self) -> f64 {
        1.0 / (1.0 + f64::from(self.known.min(EPOCH)))
    }

    /// A length whose beginning was not observed, or that is known to be beyond the limit.
    pub(super) fn excuse(&mut self, length: u64) {
        self.excused = length;
    }

    /// Takes in a finished length in this week, counted from the first; `beyond` says that it was beyond the limit.
    #[inline]
    pub(super) fn enter(&mut self, length: u64, beyond: bool, week: u16) {
        let learnt = if beyond {
            let twice = length.min(self.excused);
            self.excused = length;
            twice
        } else {
            length
        };
        let count = &mut self.counts[(learnt | 1).ilog2().min(BUCKETS as u32 - 1) as usize];
        *count = count.saturating_add(1);
        if *count == u16::MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
        self.known = self.known.saturating_add(1);
        self.total = self.total.saturating_add(learnt);
        self.in_epoch = self.in_epoch.saturating_add(1);
        self.passed = self.passed.saturating_add(learnt);
        let record = learnt > self.longest_known();
        self.longest = self.longest.max(learnt);
        let is_over = self.in_epoch >= EPOCH && week != self.week;
        if is_over && self.passed / EPOCH_SPAN >= self.longest_known() {
            self.week = week;
            self.longest_before = self.longest;
            self.longest = 0;
            self.in_epoch = 0;
            self.passed = 0;
        }
        if record || self.known.is_multiple_of(256) {
            self.factor = (self.longest_known() / self.typical()).clamp(4, 64);
        }
    }

    /// Lower edge of the power of two in which half of all time has passed.
    fn typical(&self) -> u64 {
        let weight = |(power, count): (usize, &u16)| u128::from(*count) << power;
        let total: u128 = self.counts.iter().enumerate().map(weight).sum();
        let mut passed = 0;
        for (power, count) in self.counts.iter().enumerate() {
            passed += weight((power, count));
            if passed * 2 >= total {
                return 1 << power;
            }
        }
        1
    }
}
