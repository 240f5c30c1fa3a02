//! How much memory the judges may take, and how fast new names are admitted.
//!
//! Names come from peers. Without a bound, a device that sends under a thousand names costs as much as a thousand
//! devices. The bound is in bytes over all instances of all judges. While more than half of it is free, new names are
//! admitted at once: a plant that connects for the first time must not lose a reading. Beyond that they are admitted
//! at [`NEW_NAMES_PER_SECOND`], and names seen only once or long ago are evicted (see `admission`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use verge_domain::time::Monotonic;

use super::streams::MAX_DEVICES;

/// Maximum of bytes that all instances of all judges take together, unless it is set otherwise.
pub const DEFAULT_JUDGES_MEMORY: usize = 256 << 20;
/// New names admitted per second once room is scarce; the others are admitted with a later reading.
pub const NEW_NAMES_PER_SECOND: u64 = 256;
/// New names admitted at once when room is scarce.
const NEW_NAMES_AT_ONCE: u64 = 4_096;

/// The memory that the judges of both classes share; clones share it.
#[derive(Debug, Clone)]
pub struct JudgesMemory(pub(super) Arc<Room>);

impl JudgesMemory {
    /// With room for this number of bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Room::new(bytes)))
    }
}

impl Default for JudgesMemory {
    fn default() -> Self {
        Self::new(DEFAULT_JUDGES_MEMORY)
    }
}

/// What that memory holds. Classes that admit at the same moment may exceed the bound by one name each.
#[derive(Debug)]
pub(super) struct Room {
    limit: usize,
    bytes: AtomicUsize,
    instances: AtomicUsize,
    devices: AtomicUsize,
}

impl Room {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: AtomicUsize::new(0),
            instances: AtomicUsize::new(0),
            devices: AtomicUsize::new(0),
        }
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn instances(&self) -> usize {
        self.instances.load(Ordering::Relaxed)
    }

    pub(super) fn devices(&self) -> usize {
        self.devices.load(Ordering::Relaxed)
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_instance(&self, bytes: usize) {
        self.instances.fetch_add(1, Ordering::Relaxed);
        self.add_bytes(bytes);
    }

    pub(super) fn sub_instance(&self, bytes: usize) {
        self.instances.fetch_sub(1, Ordering::Relaxed);
        self.sub_bytes(bytes);
    }

    pub(super) fn add_device(&self, bytes: usize) {
        self.devices.fetch_add(1, Ordering::Relaxed);
        self.add_bytes(bytes);
    }

    pub(super) fn sub_device(&self, bytes: usize) {
        self.devices.fetch_sub(1, Ordering::Relaxed);
        self.sub_bytes(bytes);
    }

    /// Whether new names are admitted at the limited rate only.
    pub(super) fn is_scarce(&self, new_device: bool) -> bool {
        self.bytes() > self.limit / 2 || new_device && self.devices() > MAX_DEVICES / 2
    }

    /// Whether there is room for one more name.
    pub(super) fn takes(&self, new_device: bool) -> bool {
        self.bytes() < self.limit && (!new_device || self.devices() < MAX_DEVICES)
    }

    pub(super) fn is_over(&self) -> bool {
        self.bytes() > self.limit
    }

    /// Whether one byte in `part` of the room is free.
    pub(super) fn has_free_bytes(&self, part: usize) -> bool {
        self.bytes() < self.limit - self.limit / part
    }

    /// The same for bytes and for devices.
    pub(super) fn has_free(&self, part: usize) -> bool {
        self.has_free_bytes(part) && self.devices() < MAX_DEVICES - MAX_DEVICES / part
    }
}

/// How many more new names are admitted now.
#[derive(Debug)]
pub(super) struct NewNames {
    left: u64,
    refilled: Monotonic,
}

impl NewNames {
    pub(super) const fn new(now: Monotonic) -> Self {
        Self { left: NEW_NAMES_AT_ONCE, refilled: now }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Monotonic) -> bool {
        let micros = u64::try_from(now.since(self.refilled).as_micros()).unwrap_or(u64::MAX);
        let more = micros.saturating_mul(NEW_NAMES_PER_SECOND) / 1_000_000;
        if more > 0 {
            self.left = self.left.saturating_add(more).min(NEW_NAMES_AT_ONCE);
            self.refilled = now;
        }
        let taken = self.left > 0;
        self.left -= u64::from(taken);
        taken
    }
}
