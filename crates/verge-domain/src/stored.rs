//! What goes into a [`Store`](crate::store::Store) and comes out of it.

use std::error::Error;

use bytes::Bytes;
use serde::Serialize;

use crate::id::{Lane, LinkId, Seq};
use crate::time::UtcMillis;
use crate::withdrawn::Withdrawal;

/// One verdict to be committed.
#[derive(Debug, Clone, Copy)]
pub struct NewRow<'a> {
    /// Lane.
    pub lane: Lane,
    /// Its number: exactly the store's next one in that lane, counting on within one commit.
    pub seq: Seq,
    /// When it was made.
    pub decided: UtcMillis,
    /// The message that caused it, see [`Session::cause`](crate::reading::Session::cause) (0: none, time caused it). Kept
    /// beside the row so that a message which the broker delivers again after a crash is recognised, see
    /// [`unacknowledged`](crate::store::MarkStore::unacknowledged).
    pub cause: u64,
    /// The encoded verdict; empty where it was withdrawn.
    pub bytes: &'a [u8],
    /// Set where the verdict could not be encoded: a tombstone takes its number.
    pub withdrawn: Option<Withdrawal>,
}

/// What caused a stored verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// The verdict's lane.
    pub lane: Lane,
    /// Its number.
    pub seq: Seq,
    /// See [`NewRow::cause`]; not 0.
    pub cause: u64,
}

/// What the keys of learnt states begin with, before a [`KEY_SEPARATOR`].
pub const LEARNT_KEY: &str = "state";

/// Stands between the parts of a checkpoint's key; names never contain it.
pub const KEY_SEPARATOR: char = '\u{1f}';

/// Whether a checkpoint under this key is what a judge has learnt. The store may evict such states for want of room;
/// everything else that is saved (open events, windows) is kept.
#[must_use]
pub fn is_learnt(key: &str) -> bool {
    key.strip_prefix(LEARNT_KEY).is_some_and(|rest| rest.starts_with(KEY_SEPARATOR))
}

/// State to be saved, or removed where `state` is `None`, in the same transaction as verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose state it is; unique in the store.
    pub key: String,
    /// The state.
    pub state: Option<Vec<u8>>,
}

/// One committed verdict, or what stands in place of a range of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// Its number in the lane; of a tombstone the first of its range.
    pub seq: Seq,
    /// When it was made; of a tombstone when the verdicts were withdrawn.
    pub decided: UtcMillis,
    /// The encoded verdict, as committed; of a tombstone the encoded summary, which may be empty.
    pub bytes: Bytes,
    /// Set for a tombstone.
    pub withdrawn: Option<Withdrawn>,
}

impl StoredRow {
    /// The last number that this row stands for.
    #[must_use]
    pub fn through(&self) -> Seq {
        self.withdrawn.map_or(self.seq, |withdrawn| withdrawn.through)
    }
}

/// That a stored row is a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withdrawn {
    /// The last number of its range, included.
    pub through: Seq,
    /// Why the verdicts will not come.
    pub reason: Withdrawal,
}

/// The files of an open store were deleted, moved or replaced: what is committed from then on would be lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {then}")]
pub struct Displaced {
    /// What is not in its place, in words.
    pub what: String,
    /// What became of what it held.
    pub then: String,
}

/// Why the store did not do as asked. After an error nothing of the call is visible.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The cap is reached, and nothing may be evicted: producers wait until upstream has taken something.
    #[error("the store is full ({} of {} MB used, nothing left to evict)", megabytes(*used), megabytes(*cap))]
    Full {
        /// Bytes in use.
        used: u64,
        /// Bytes allowed.
        cap: u64,
    },
    /// The file system has no room, or the quota is used up: producers wait until there is some.
    #[error(
        "the disk of the store is full, or its quota is used up ({} of {} MB used by the store, nothing left to evict)",
        megabytes(*used),
        megabytes(*cap)
    )]
    DiskFull {
        /// Bytes in use by the store.
        used: u64,
        /// Bytes allowed to it.
        cap: u64,
    },
    /// The medium or the database failed; it may work again, see [`recover`](crate::store::Store::recover).
    #[error("the store failed: {0}")]
    Fault(#[source] Box<dyn Error + Send + Sync>),
    /// The store itself is damaged: it is salvaged when it is opened again, by the next start of the process.
    #[error("the store is damaged and is salvaged at the next start: {0}")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
}

#[expect(clippy::cast_precision_loss, reason = "to one digit after the point")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// How full the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreUsage {
    /// Bytes in use, replay window included.
    pub used_bytes: u64,
    /// Bytes allowed.
    pub cap_bytes: u64,
    /// Numbers stored, per lane.
    pub rows: [u64; 3],
    /// Verdicts withdrawn since the store was opened, by [`Withdrawal::code`].
    pub withdrawn: [u64; Withdrawal::ALL.len()],
    /// What the saved states of judges take of it.
    pub states: StatesUsage,
}

/// What is saved for judges, as the status reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StatesUsage {
    /// Bytes of learnt states.
    pub bytes: u64,
    /// Bytes of learnt states allowed: their share of the store.
    #[serde(rename = "cap_bytes")]
    pub share_bytes: u64,
    /// Learnt states evicted since the store was opened, those saved least recently first, because the share was full.
    pub evicted: u64,
    /// Learnt states not saved since then: larger than the share, or there was no room on the disk.
    pub not_saved: u64,
    /// Bytes of open events and maintenance windows.
    pub events_bytes: u64,
    /// Changes of open events not saved since then, because there were too many of them.
    pub events_not_saved: u64,
}

/// What was sent over one link on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBytes {
    /// The link.
    pub link: LinkId,
    /// Days since 1970, in UTC.
    pub day: i64,
    /// Bytes sent on that day.
    pub bytes: u64,
}

/// Undelivered verdicts past their useful life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// The first.
    pub from: Seq,
    /// The last, included.
    pub through: Seq,
}
