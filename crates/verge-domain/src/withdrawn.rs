//! Numbers of a lane whose verdicts will not come any more, said so that a receiver never waits for them.

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, JudgeId, Seq, SignalId};
use crate::time::UtcMillis;

crate::words! {
    /// Why verdicts will not come.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Withdrawal {
        /// The store was full and they were evicted.
        Full = "full",
        /// Their useful life was over before upstream could be reached; a summary takes their place.
        Expired = "expired",
        /// They can no longer be read from the medium.
        Damaged = "damaged",
        /// They belong to an earlier epoch of the store, which was salvaged: these numbers were never given in
        /// the present epoch.
        EarlierEpoch = "earlier_epoch",
        /// They cannot be sent: larger than upstream takes.
        TooLarge = "too_large",
        /// They could not be encoded: a defect of this program.
        Defect = "defect",
        /// Upstream refuses them.
        Refused = "refused",
    }
}

impl Withdrawal {
    /// Its number, on the wire and in the store.
    #[must_use]
    pub const fn code(self) -> u8 {
        // The order of the variants; a test of the wire holds it to the schema.
        self as u8
    }

    /// The one with this number, if there is one.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| u64::from(reason.code()) == code)
    }
}

/// What takes the place of withdrawn verdicts: it stands in their lane under their numbers, and is delivered
/// like a verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct Tombstone {
    /// First number.
    pub from: Seq,
    /// Last number, included.
    pub through: Seq,
    /// Why.
    pub reason: Withdrawal,
    /// When they were withdrawn.
    pub at: UtcMillis,
    /// What they said in short; only where their useful life was over.
    pub summary: Vec<Summary>,
}

/// What the withdrawn verdicts of one judge on one subject said in short.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Who decided.
    pub judge: JudgeId,
    /// About which device; `None` where it stands for several that are no longer distinguished.
    pub device: Option<DeviceId>,
    /// About which signal; `None` where they concerned the device as a whole, or several devices.
    pub signal: Option<SignalId>,
    /// How many.
    pub count: u64,
    /// When the earliest was made.
    pub first: UtcMillis,
    /// When the latest was made.
    pub last: UtcMillis,
    /// Least and greatest of what was observed, where that is a number: of anomalies and health the observed
    /// value, of counts the vehicles, of detections the objects. `None` for several devices: their units differ.
    pub range: Option<(f64, f64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_keep_their_numbers() {
        for (code, reason) in (0..).zip(Withdrawal::ALL) {
            assert_eq!(u64::from(reason.code()), code);
            assert_eq!(Withdrawal::from_code(code), Some(reason));
        }
        assert_eq!(Withdrawal::from_code(Withdrawal::ALL.len() as u64), None);
    }
}
