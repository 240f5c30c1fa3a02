//! A packet that comes slowly, and how long it may.

use std::time::Duration;

use tokio::time::Instant;

/// How far a packet may lag behind the slowest pace, from its first byte on. What it claims to hold buys no time, only what
/// has come of it.
pub(super) const PACKET: Duration = Duration::from_secs(10);
const SLOWEST_BYTES_PER_SECOND: usize = 8 * 1024;

/// A packet that is not complete.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incomplete {
    number: u64,
    began: Instant,
    /// What has come of it: exact but for the first read, which may hold the end of the packet before.
    bytes: usize,
}

impl Incomplete {
    /// With what has come now.
    pub(super) fn after(before: Option<Self>, number: u64, new_bytes: usize) -> Self {
        match before {
            Some(before) if before.number == number => Self { bytes: before.bytes + new_bytes, ..before },
            _ => Self { number, began: Instant::now(), bytes: new_bytes },
        }
    }

    /// The client was left unread for this long.
    pub(super) fn later_by(self, wait: Duration) -> Self {
        Self { began: self.began + wait, ..self }
    }

    /// When more must have come.
    pub(super) fn until(&self) -> Instant {
        self.began + PACKET + Duration::from_secs((self.bytes / SLOWEST_BYTES_PER_SECOND) as u64)
    }
}
