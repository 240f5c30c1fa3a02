//! The health of sensors: stuck, flat, noisy, saturated, silent, skewed, doubled. Blind is not empty.
//!
//! Each cause compares the sensor with its own past and says nothing before it knows enough of it; nothing needs
//! to be tuned. Health is apart from the process: a value that is high, or moves fast, is no fault here.
//!
//! | cause | is abnormal | judges after | finds it after |
//! |---|---|---|---|
//! | `stuck` | the same value for longer than 4 to 64 times the longest run | 64 changes and 1,280 readings | 32 readings or that limit |
//! | `flat` | noise below 1/8 of the least that was usual | 1,400 readings | 160 to 200 readings |
//! | `noisy` | noise above 4 times the most that was usual | 1,400 readings | 160 to 200 readings |
//! | `saturated` | cut off at an extreme 4 times as often as ever, and in 15 % of readings | 1,440 readings | 160 to 320 readings |
//! | `silent` | a gap of more than 4 to 64 times the longest | 64 arrivals | 1 s or that limit |
//! | `clock_skewed` | not believed, or 5 s ahead or 60 s behind of what was usual | 8; 640 readings | 8; 120 readings |
//! | `duplicate` | captured times go back or values alternate, regularly | 160 readings | 160 to 200 readings |
//!
//! All figures in readings are for `patience` 1, which multiplies how long a fault must last.
//!
//! **Machines stop.** A value that stands still where a signal may rest (at nothing, at an end of its scale; see `rest`) is
//! for the record, until three such rests have shown how long they last; noise is learnt anew at a level that the signal
//! was not at before (see `levels`). A judge in one state of its machine (`while`, `by`) knows no rest.
//!
//! **Learning.** What is abnormal is not learnt while it lasts. An abnormal spell that comes and goes twice is
//! taken for the sensor's nature, as far as it went both times, and raised no more; one that was for the record is learnt
//! at once. (Not `duplicate`, and not a clock that is not believed: these are judged by fixed limits.) For eight days, in
//! which a plant shows most of what it does, `flat`, `noisy` and `saturated` are for the record, and so is a value that
//! stands still at the end of its range. A constant is never stuck, flat or noisy.
//!
//! Memory: some 1200 bytes per signal, see [`HealthJudge`]. The saved state is as large and changes with every
//! reading.

mod clock;
mod duplicate;
mod flat;
mod judge;
mod lengths;
mod levels;
mod noisy;
mod record;
mod rest;
mod sample;
mod saturated;
mod saved;
mod silent;
mod stuck;

use verge_domain::finding::{Condition, Member, Standing};

pub use judge::HealthJudge;

use crate::alarm::WhileLearning;
use crate::fault::SettingsError;

/// Which causes are watched, a bit for each, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct WatchedCauses {
    pub(crate) bits: u16,
    pub(crate) patience: f64,
}

impl WatchedCauses {
    /// Those of a kind of health, which have these bits.
    pub(crate) fn new(
        causes: &[Member],
        patience: f64,
        bit: impl Fn(Member) -> Option<u16>,
    ) -> Result<Self, SettingsError> {
        let mut bits = 0;
        for &member in causes {
            bits |= bit(member).ok_or(SettingsError::NotHealth { member })?;
        }
        if bits == 0 {
            return Err(SettingsError::NoCause);
        }
        if !(1.0..=1000.0).contains(&patience) {
            let (low, high) = (1.0, 1000.0);
            return Err(SettingsError::OutOfRange { key: "patience", actual: patience, low, high });
        }
        Ok(Self { bits, patience })
    }
}

/// What of a sensor's health is watched, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HealthSettings {
    /// By the place of causes in [`HealthSettings::CAUSES`].
    watched: WatchedCauses,
    /// It judges in one state of its machine alone.
    one_state: bool,
    while_learning: WhileLearning,
}

impl Default for HealthSettings {
    /// Every cause, with the patience that healthy sensors need.
    fn default() -> Self {
        let watched = WatchedCauses { bits: (1 << Self::CAUSES.len()) - 1, patience: 1.0 };
        Self { watched, one_state: false, while_learning: WhileLearning::Info }
    }
}

impl HealthSettings {
    /// The causes there are.
    pub const CAUSES: [Member; 7] = [
        Member::Stuck,
        Member::Flat,
        Member::Noisy,
        Member::Saturated,
        Member::Silent,
        Member::ClockSkewed,
        Member::Duplicate,
    ];

    /// Watches `causes`. `patience` multiplies how long a fault must last before it is abnormal: 1 is the
    /// least, and suits most sensors.
    ///
    /// # Errors
    /// No cause at all, a member that is no cause of health, a patience outside `1..=1000`.
    pub fn new(causes: &[Member], patience: f64) -> Result<Self, SettingsError> {
        let watched = WatchedCauses::new(causes, patience, bit)?;
        Ok(Self { watched, one_state: false, while_learning: WhileLearning::Info })
    }

    /// The same for a judge that judges in one state of its machine, or in each apart: a value that stands still at
    /// nothing is no machine at rest then.
    #[must_use]
    pub const fn in_one_state(self, one_state: bool) -> Self {
        Self { one_state, ..self }
    }

    /// The same with what becomes of what it finds while it learns.
    #[must_use]
    pub const fn while_learning(self, while_learning: WhileLearning) -> Self {
        Self { while_learning, ..self }
    }

    /// What is reported of a condition. What is found quietly neither begins an event nor ends one.
    fn reported(&self, condition: Condition) -> Condition {
        match self.while_learning {
            WhileLearning::Info => condition,
            WhileLearning::Alarm => Condition { learning: false, ..condition },
            WhileLearning::Quiet if condition.learning && condition.standing == Standing::Abnormal => {
                Condition { standing: Standing::Margin, ..condition }
            }
            WhileLearning::Quiet => condition,
        }
    }

    /// Whether a cause is watched; no other member ever is.
    #[must_use]
    pub fn watches(&self, cause: Member) -> bool {
        bit(cause).is_some_and(|bit| self.watched.bits & bit != 0)
    }

    /// How many evaluations in a row must be abnormal, where each looks back over four blocks.
    fn blocks(&self) -> u16 {
        // Within 1 to 3997, since patience is within its limits.
        ((self.watched.patience - 1.0) * 4.0).ceil() as u16 + 1
    }
}

const fn bit(cause: Member) -> Option<u16> {
    Some(match cause {
        Member::Stuck => 1,
        Member::Flat => 1 << 1,
        Member::Noisy => 1 << 2,
        Member::Saturated => 1 << 3,
        Member::Silent => 1 << 4,
        Member::ClockSkewed => 1 << 5,
        Member::Duplicate => 1 << 6,
        _ => return None,
    })
}
