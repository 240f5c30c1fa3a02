//! A message as a receiver reads it, and what holds for every one whatever its form.

use std::time::Duration;

use verge_domain::id::{Epoch, GatewayId, Lane, Seq};
use verge_domain::stage::{Envelope, StoredRow};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::{Summary, Tombstone};

use super::WireError;

/// One message, as a receiver reads it. One that holds neither verdict nor tombstone was sent to see whether it arrives.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The gateway.
    pub gateway: GatewayId,
    /// The life of its store.
    pub epoch: Epoch,
    /// The lane of everything in it.
    pub lane: Lane,
    /// When it was put together.
    pub sent: UtcMillis,
    /// How long before that its oldest verdict was made, in whole milliseconds.
    pub age: Duration,
    /// The store had failed: these are alarms without a number (theirs is zero), to be shown and not entered
    /// into the books. They come again with one.
    pub volatile: bool,
    /// The verdicts with their numbers.
    pub verdicts: Vec<(Seq, Verdict)>,
    /// What stands in place of verdicts that will not come.
    pub tombstones: Vec<Tombstone>,
}

impl Message {
    /// The invariants that neither form holds by itself.
    pub(super) fn checked(self) -> Result<Self, WireError> {
        let numbers = self.verdicts.iter().map(|(seq, _)| *seq);
        check_numbers(self.lane, self.volatile, numbers, self.tombstones.len())?;
        Ok(self)
    }
}

/// The same, before a message is written.
pub(super) fn check_rows(envelope: &Envelope, rows: &[StoredRow]) -> Result<(), WireError> {
    let numbers = rows.iter().filter(|row| row.withdrawn.is_none()).map(|row| row.seq);
    let tombstones = rows.iter().filter(|row| row.withdrawn.is_some());
    check_numbers(envelope.lane, envelope.volatile, numbers, tombstones.clone().count())?;
    tombstones.into_iter().try_for_each(|row| check_range(row.seq, row.through()))
}

fn check_numbers(
    lane: Lane,
    volatile: bool,
    numbers: impl Iterator<Item = Seq>,
    tombstones: usize,
) -> Result<(), WireError> {
    let mut empty = tombstones == 0;
    for seq in numbers {
        empty = false;
        // A number zero in the books of a receiver would hide every later alarm that has none.
        match (volatile, seq) {
            (true, Seq::ZERO) => {}
            (false, Seq::ZERO) => return Err(WireError::NoNumber),
            (true, _) => return Err(WireError::Volatile),
            (false, _) => {}
        }
    }
    // A message of nothing proves that messages arrive; of alarms that have no number there is one at least.
    if empty && volatile {
        return Err(WireError::Nothing);
    }
    if volatile && (lane != Lane::Alarm || tombstones > 0) { Err(WireError::Volatile) } else { Ok(()) }
}

/// The numbers of a tombstone.
pub(super) fn check_range(from: Seq, through: Seq) -> Result<(), WireError> {
    if from == Seq::ZERO || from > through { Err(WireError::Range { from, through }) } else { Ok(()) }
}

/// Puts together what was read of a summary.
pub(super) fn check_summary(summary: Summary) -> Result<Summary, WireError> {
    if summary.signal.is_some() && summary.device.is_none() {
        return Err(WireError::Missing { field: "summary device" });
    }
    Ok(summary)
}

/// Both limits of a summary or none.
pub(super) fn range(low: Option<f64>, high: Option<f64>) -> Result<Option<(f64, f64)>, WireError> {
    match (low, high) {
        (Some(low), Some(high)) => Ok(Some((low, high))),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(WireError::Missing { field: "summary low" }),
        (Some(_), None) => Err(WireError::Missing { field: "summary high" }),
    }
}

/// What travels of an envelope's age.
pub(super) fn age_ms(envelope: &Envelope) -> u64 {
    u64::try_from(envelope.age.as_millis()).unwrap_or(u64::MAX)
}
