//! Stuck: the same value, bit by bit, for longer than the signal's own runs make plausible.
//!
//! A signal that has not changed some 64 times, or is not 1,280 readings old, is not judged: a constant may stay
//! constant. One that only goes to and fro between two values must stay for 64 times its longest run instead
//! of 4.

use verge_domain::finding::{Condition, Member, Standing};

use super::lengths::Lengths;
use super::sample::{HealthSample, condition};
use serde::{Deserialize, Serialize};

/// Fewer readings than this are never stuck.
const LEAST: u64 = 32;

/// Readings before anything is reported: a rounded signal that crosses from one step to the next changes often, and
/// then not for long.
const HISTORY: u64 = 1280;

/// How much rarer an alarm must be for a signal of two values.
const TWO_VALUED_FACTOR: u64 = 64;

/// Changes after which a signal that was stuck is normal again.
const RECOVERS_AFTER: u8 = 4;

/// Watches for a stuck value.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stuck {
    lengths: Lengths,
    /// Readings of the present value.
    run: u64,
    /// It has changed once.
    changed: bool,
    /// Value before the present run.
    earlier: f64,
    /// Moving share of changes that go back to the value before last, in 1/65536.
    returns: u16,
    recovering: u8,
}

impl Stuck {
    #[inline]
    pub(super) fn enter(&mut self, sample: &HealthSample, patience: f64) {
        match sample.past[0] {
            Some(before) if before.to_bits() != sample.value.to_bits() => {
                self.change(before, sample.value, patience)
            }
            _ => self.run = self.run.saturating_add(1),
        }
    }

    fn change(&mut self, before: f64, value: f64, patience: f64) {
        // The first test suffices for most signals.
        let beyond = self.run > LEAST && self.lengths.ready(HISTORY) && self.run > self.limit(patience);
        if self.changed {
            self.lengths.enter(self.run, beyond);
            let back = self.earlier.to_bits() == value.to_bits();
            self.returns = self.returns - self.returns / 64 + if back { 1023 } else { 0 };
        } else {
            // Its beginning was not observed.
            self.lengths.excuse(self.run);
            self.changed = true;
        }
        self.earlier = before;
        self.recovering = if beyond { RECOVERS_AFTER } else { self.recovering.saturating_sub(1) };
        self.run = 1;
    }

    fn limit(&self, patience: f64) -> u64 {
        let two_valued = self.returns > 58_000;
        let limit = self.lengths.limit(LEAST, if two_valued { TWO_VALUED_FACTOR } else { 1 });
        // Saturates.
        (limit as f64 * patience) as u64
    }

    pub(super) fn condition(&self, patience: f64) -> Option<Condition> {
        if !self.lengths.ready(HISTORY) {
            return None;
        }
        let limit = self.limit(patience);
        let standing = if self.run > limit {
            Standing::Abnormal
        } else if self.recovering > 0 || self.run > limit / 2 {
            Standing::Margin
        } else {
            Standing::Normal
        };
        let p_value = (self.run > limit).then(|| self.lengths.record_p_value());
        Some(condition(Member::Stuck, standing, self.run as f64, (None, Some(limit as f64)), p_value))
    }
}
