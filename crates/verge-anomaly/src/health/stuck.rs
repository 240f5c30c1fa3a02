//! Stuck: the same value, bit by bit, for longer than the signal's own runs make plausible.
//!
//! A signal that has not changed some 64 times, or is not 1,280 readings old, is not judged: a constant may stay
//! constant. Where a signal may rest without a fault is for [`Rests`].

use verge_domain::finding::{Condition, Member, Standing};

use super::lengths::Lengths;
use super::rest::{Rests, RunLimit};
use super::sample::{Circumstances, HealthSample, condition, shown};
use serde::{Deserialize, Serialize};

/// Fewer readings than this are never stuck.
const LEAST: u64 = 32;

/// Readings before anything is reported: a rounded signal that crosses from one step to the next changes often, and
/// then not for long.
const HISTORY: u64 = 1280;

/// Moving share of changes that go back to the value before last from which a signal has but two values.
const TWO_VALUED: u16 = 58_000;

/// Changes after which a signal that was stuck is normal again.
const RECOVERS_AFTER: u8 = 4;

/// Watches for a stuck value.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stuck {
    pub(super) lengths: Lengths,
    /// Readings of the present value.
    run: u64,
    /// It has changed once.
    changed: bool,
    /// Value before the present run.
    earlier: f64,
    /// Moving share of changes that go back to the value before last, in 1/65536.
    returns: u16,
    recovering: u8,
    /// Saved beside the rest: earlier versions did not know it.
    #[serde(skip)]
    pub(super) rests: Rests,
}

impl Stuck {
    #[inline]
    pub(super) fn enter(&mut self, sample: &HealthSample, around: Circumstances) {
        match sample.past[0] {
            Some(before) if before.to_bits() != sample.value.to_bits() => {
                self.change(before, sample.value, around)
            }
            _ => self.run = self.run.saturating_add(1),
        }
    }

    fn change(&mut self, before: f64, value: f64, around: Circumstances) {
        let two_valued = self.is_two_valued();
        // The first test suffices for most signals.
        let limit = (self.run > LEAST).then(|| self.limit(before, around));
        let raised = limit.filter(|limit| self.lengths.ready(HISTORY) && self.run > limit.readings);
        let beyond = raised.is_some();
        if self.changed {
            let rested = match limit {
                Some(_) => self.rests.enter(before, self.run, two_valued, raised, around),
                None => !two_valued && self.rests.ends_scale(before, around),
            };
            if !rested {
                self.lengths.enter(self.run, beyond, around.week);
            }
            let back = self.earlier.to_bits() == value.to_bits();
            self.returns = self.returns - self.returns / 64 + if back { 1023 } else { 0 };
        } else {
            // Its beginning was not observed.
            self.lengths.excuse(self.run);
            self.changed = true;
        }
        self.rests.change(before, value);
        self.earlier = before;
        self.recovering = if beyond { RECOVERS_AFTER } else { self.recovering.saturating_sub(1) };
        self.run = 1;
    }

    const fn is_two_valued(&self) -> bool {
        self.returns > TWO_VALUED
    }

    fn limit(&self, value: f64, around: Circumstances) -> RunLimit {
        let ordinary = self.lengths.limit(LEAST);
        let limit = self.rests.limit(value, self.is_two_valued(), ordinary, around);
        // Saturates.
        RunLimit { readings: (limit.readings as f64 * around.patience) as u64, ..limit }
    }

    pub(super) fn condition(&self, value: f64, around: Circumstances) -> Option<Condition> {
        if !self.lengths.ready(HISTORY) {
            return None;
        }
        let RunLimit { readings, learning } = self.limit(value, around);
        let standing = if self.run > readings {
            Standing::Abnormal
        } else if self.recovering > 0 || self.run > readings / 2 {
            Standing::Margin
        } else {
            Standing::Normal
        };
        let p_value = (self.run > readings).then(|| self.lengths.record_p_value());
        let expected = (None, Some(readings as f64));
        let condition = condition(Member::Stuck, standing, self.run as f64, expected, p_value);
        Some(Condition { learning, shown: shown(value, (None, None)), ..condition })
    }
}
