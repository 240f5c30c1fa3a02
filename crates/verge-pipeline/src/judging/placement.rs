//! Which devices belong to a judge set, where several sets share the work.

use std::fmt;
use std::sync::Arc;

use verge_domain::id::DeviceId;

use super::room::{DEFAULT_JUDGES_MEMORY, Room};

type Pinned = dyn Fn(&DeviceId) -> bool + Send + Sync;

/// Divides devices among shards by their name, in every run alike, so that the shard that judges a device restores
/// its saved state. Devices that judges watch together are pinned: they are all in shard 0.
#[derive(Clone)]
pub struct Placement {
    shards: usize,
    pinned: Option<Arc<Pinned>>,
    room: Arc<Room>,
}

impl Placement {
    /// For this number of shards, at least one. Clones share the room.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self { shards: shards.max(1), pinned: None, room: Arc::new(Room::new(DEFAULT_JUDGES_MEMORY)) }
    }

    /// The same, but devices that `pinned` selects are in shard 0. Its answers must not change while the gateway runs.
    #[must_use]
    pub fn pinning(shards: usize, pinned: impl Fn(&DeviceId) -> bool + Send + Sync + 'static) -> Self {
        Self { pinned: Some(Arc::new(pinned)), ..Self::new(shards) }
    }

    /// The same with room for this number of bytes of judges, over all shards.
    #[must_use]
    pub fn with_memory(self, bytes: usize) -> Self {
        Self { room: Arc::new(Room::new(bytes)), ..self }
    }

    /// How many shards there are.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.shards
    }

    /// The shard of a device.
    #[must_use]
    pub fn shard_of(&self, device: &DeviceId) -> usize {
        if self.shards == 1 || self.pinned.as_ref().is_some_and(|pinned| pinned(device)) {
            return 0;
        }
        usize::try_from(crc32c::crc32c(device.as_str().as_bytes())).unwrap_or(0) % self.shards
    }

    /// The places of all shards. They share the room, also with places given earlier to judges of another class.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let place = |index| Place { placement: self.clone(), index, room: Arc::clone(&self.room) };
        (0..self.shards).map(place).collect()
    }
}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pinning = self.pinned.is_some();
        f.debug_struct("Placement").field("shards", &self.shards).field("pinning", &pinning).finish()
    }
}

/// One shard's part.
#[derive(Debug, Clone)]
pub struct Place {
    placement: Placement,
    pub(super) index: usize,
    /// What all shards share.
    pub(super) room: Arc<Room>,
}

impl Place {
    /// All devices.
    #[must_use]
    pub fn everywhere() -> Self {
        let placement = Placement::new(1);
        let room = Arc::clone(&placement.room);
        Self { placement, index: 0, room }
    }

    pub(super) fn owns(&self, device: &DeviceId) -> bool {
        self.placement.shard_of(device) == self.index
    }

    pub(super) const fn placement(&self) -> &Placement {
        &self.placement
    }
}
