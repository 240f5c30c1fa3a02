//! What is left of a reading once what was expected is taken away: level, mean, median, time of day, volatility.
//!
//! Each score is made of state from before the reading, unless it says otherwise, and then learns it.

use serde::{Deserialize, Serialize};

/// The slow means follow at `1/n`, and at this rate at least: a memory of 2,000 readings.
pub(super) const SLOW: f64 = 1.0 / 2_000.0;

/// The newest values in a ring of fixed size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RecentValues<T> {
    ring: Box<[T]>,
    filled: u8,
    next: u8,
}

impl<T: Copy + Default> RecentValues<T> {
    pub(super) fn new(size: u8) -> Self {
        Self { ring: vec![T::default(); usize::from(size)].into(), filled: 0, next: 0 }
    }

    pub(super) fn push(&mut self, value: T) {
        self.ring[usize::from(self.next)] = value;
        self.filled = self.filled.max(self.next + 1);
        self.next += 1;
        if usize::from(self.next) == self.ring.len() {
            self.next = 0;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.ring)
    }

    /// Whether this can be what was saved of a ring of this size.
    pub(super) fn fits(&self, size: u8) -> bool {
        self.ring.len() == usize::from(size) && self.filled <= size && self.next < size
    }

    pub(super) fn is_full(&self) -> bool {
        usize::from(self.filled) == self.ring.len()
    }

    /// All that are there, in no order.
    pub(super) fn all(&self) -> &[T] {
        &self.ring[..usize::from(self.filled)]
    }

    /// The newest ones, the newest first.
    fn newest(&self, count: usize) -> impl Iterator<Item = T> + '_ {
        (1..=count.min(usize::from(self.filled))).map(move |back| {
            let size = self.ring.len();
            self.ring[(usize::from(self.next) + size - back) % size]
        })
    }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// In single precision; what does not fit counts as the largest of which a hundred can be added.
fn single(value: f64) -> f32 {
    value.min(1e36) as f32
}

/// Mean of single-precision values; there are few, so that their sum is exact enough.
pub(super) fn mean_f32(values: &[f32]) -> f64 {
    f64::from(values.iter().sum::<f32>()) / values.len() as f64
}

/// Median of the newest five (of fewer: of those there are, the upper one of a pair).
pub(super) fn median5(recent: &RecentValues<f64>) -> f64 {
    let mut values = [f64::INFINITY; 5];
    let mut count = 0;
    for value in recent.newest(5) {
        let mut place = count;
        while place > 0 && values[place - 1] > value {
            values[place] = values[place - 1];
            place -= 1;
        }
        values[place] = value;
        count += 1;
    }
    values[count / 2]
}

const SLOTS: usize = 24;
const SLOT_RATE: f64 = 0.2;
const PROFILE_WINDOW: u8 = 12;

/// What is usual at this hour of the day (UTC).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DayProfile {
    usual: [f64; SLOTS],
    seen: [u8; SLOTS],
    /// Hours that have come to an end once, a bit each.
    known: u32,
    slot: u8,
    errors: RecentValues<f32>,
}

impl DayProfile {
    pub(super) fn new() -> Self {
        Self {
            usual: [0.0; SLOTS],
            seen: [0; SLOTS],
            known: 0,
            slot: 0,
            errors: RecentValues::new(PROFILE_WINDOW),
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.errors.heap_bytes()
    }

    /// The hour of the newest reading, in UTC, and what was usual then so far.
    pub(super) fn now(&self) -> (u32, f64) {
        (u32::from(self.slot), self.usual[usize::from(self.slot)])
    }

    pub(super) fn fits(&self) -> bool {
        usize::from(self.slot) < SLOTS
            && self.errors.fits(PROFILE_WINDOW)
            && self.usual.iter().all(|value| value.is_finite())
    }

    /// Mean absolute error of the last twelve readings against what was usual at this hour; `None` at an hour that is
    /// met for the first time.
    pub(super) fn score(&mut self, slot: usize, value: f64) -> Option<f64> {
        if usize::from(self.slot) != slot {
            self.known |= u32::from(self.seen[usize::from(self.slot)] >= 2) << self.slot;
            self.slot = slot as u8;
        }
        // Within its first hour a value would be held against the one before it, and the next day against another time
        // of that hour.
        if self.known >> slot & 1 == 0 {
            return None;
        }
        self.errors.push(single((value - self.usual[slot]).abs()));
        Some(mean_f32(self.errors.all()))
    }

    /// Learns the value that was judged last.
    pub(super) fn learn(&mut self, value: f64) {
        let slot = usize::from(self.slot);
        let rate = (1.0 / (f64::from(self.seen[slot]) + 1.0)).max(SLOT_RATE);
        self.usual[slot] += rate * (value - self.usual[slot]);
        self.seen[slot] = self.seen[slot].saturating_add(1);
    }
}

const STEPS: u8 = 40;
/// Keeps a pause in the middle of movement from counting as infinitely quiet.
const QUIET: f64 = 0.05;

/// Mean step of the last forty readings against the long-run mean step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Volatility {
    steps: RecentValues<f32>,
    usual: f64,
    seen: u32,
}

impl Volatility {
    pub(super) fn new() -> Self {
        Self { steps: RecentValues::new(STEPS), usual: 0.0, seen: 0 }
    }

    pub(super) fn fits(&self) -> bool {
        self.steps.fits(STEPS) && self.usual.is_finite()
    }

    /// Learns again what is usual, from the present steps.
    pub(super) fn start_again(&mut self) {
        self.seen = self.steps.all().len() as u32;
        if self.seen > 0 {
            self.usual = mean_f32(self.steps.all());
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.steps.heap_bytes()
    }

    /// Logarithm of the ratio, zero while it falls, and the mean step.
    pub(super) fn score(&mut self, step: f64) -> (f64, f64) {
        self.seen = self.seen.saturating_add(1);
        self.steps.push(single(step));
        // What stands still, be it stuck or at rest, says nothing about the steps of what moves.
        let stands_still = step == 0.0 && self.steps.is_full() && mean_f32(self.steps.all()) == 0.0;
        if !stands_still {
            self.usual += (1.0 / f64::from(self.seen)).max(SLOW) * (step - self.usual);
        }
        self.score_of_recent()
    }

    /// The same without a further step.
    pub(super) fn score_of_recent(&self) -> (f64, f64) {
        let recent = mean_f32(self.steps.all());
        if !self.steps.is_full() || self.usual <= 0.0 {
            return (0.0, recent);
        }
        ((recent / self.usual + QUIET).ln().max(0.0), recent)
    }

    /// The mean step at which the score is reached.
    pub(super) fn step_at(&self, score: f64) -> f64 {
        Self::ratio_at(score) * self.usual
    }

    /// How many times the usual mean step that is.
    pub(super) fn ratio_at(score: f64) -> f64 {
        score.exp() - QUIET
    }
}
