//! How a store is set up.

use std::path::PathBuf;
use std::time::Duration;

use crate::key::StoreKey;

/// Smallest cap: below this the tables themselves hardly fit.
pub const MIN_CAP_BYTES: u64 = 1024 * 1024;

/// Where a store lies and how large it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Its folder; made if it is missing.
    pub dir: PathBuf,
    /// Largest size of the database, in bytes; at least [`MIN_CAP_BYTES`]. The log beside it comes on top.
    pub cap_bytes: u64,
    /// Delivered verdicts younger than this are kept for replay.
    pub replay_age: Duration,
    /// Delivered verdicts are kept for replay up to this many bytes. What was withdrawn counts as what it replaced.
    pub replay_bytes: u64,
    /// Of the cap, what learnt states of judges may take. Over it, those saved least recently are evicted.
    pub states_bytes: u64,
    /// Size of the file that is given up when the disk is full, so that the store can work at all; zero for none.
    pub ballast_bytes: u64,
    /// On a full store, undelivered verdicts of the lane `verdict` are withdrawn, so that producers need not wait.
    pub drop_oldest: bool,
    /// The useful lives that [`overdue`](verge_domain::store::RowStore::overdue) will be asked about, by lane: ages
    /// are noted often enough for the shortest.
    pub lives: [Option<Duration>; 3],
    /// With it, what verdicts say is stored encrypted.
    pub key: Option<StoreKey>,
}
