//! What one device makes the front and the broker hold at the same time, over all of its connections. A connection gives its
//! part back when it ends: rumqttd drops then what it held for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::devices::Device;
use crate::inputs::HELD_STEP;
use crate::policy::Refusal;

/// Connections of one device: one certificate must not take the places of all.
pub(super) const MOST_CONNECTIONS: usize = 64;
/// Messages of `QoS` 2 of one device that wait for their release. Clients keep 10 to 100 on their way by default.
pub(super) const MOST_HELD: usize = 100;
/// Bytes of messages of one device that are not complete: what begins beyond them is left unread until there is room. A larger
/// message is alone.
const MOST_ASSEMBLED_BYTES: usize = 16 * 1024 * 1024;

/// Of one device.
#[derive(Debug)]
pub(super) struct Holds {
    held: Mutex<Held>,
    assembled: Semaphore,
}

impl Default for Holds {
    fn default() -> Self {
        Self { held: Mutex::default(), assembled: Semaphore::new(MOST_ASSEMBLED_BYTES / HELD_STEP) }
    }
}

#[derive(Debug, Default)]
struct Held {
    connections: usize,
    messages: usize,
    bytes: usize,
}

impl Holds {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room for a message of this size beside the others of the device that are not complete.
    pub(super) async fn room(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let steps = bytes.div_ceil(HELD_STEP).min(MOST_ASSEMBLED_BYTES / HELD_STEP);
        // It is never closed.
        self.assembled.acquire_many(steps as u32).await.ok()
    }
}

/// One of a device's connections; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Device>);

impl Place {
    /// `None` where the device has as many as it may.
    pub(super) fn of(device: &Arc<Device>) -> Option<Self> {
        let mut held = device.holds.lock();
        if held.connections >= MOST_CONNECTIONS {
            return None;
        }
        held.connections += 1;
        drop(held);
        Some(Self(Arc::clone(device)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.0.holds.lock();
        held.connections = held.connections.saturating_sub(1);
    }
}

/// Messages of `QoS` 2 of one connection that wait for their release, the oldest first, as rumqttd's own list of them, which
/// has no bound.
#[derive(Debug)]
pub(super) struct HeldMessages {
    device: Arc<Device>,
    bytes: VecDeque<usize>,
}

impl HeldMessages {
    pub(super) const fn of(device: Arc<Device>) -> Self {
        Self { device, bytes: VecDeque::new() }
    }

    /// One more, where all of the device have `most_bytes`.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn add(&mut self, bytes: usize, most_bytes: usize) -> Result<(), Refusal> {
        let mut held = self.device.holds.lock();
        let all_bytes = held.bytes.saturating_add(bytes);
        if held.messages >= MOST_HELD || all_bytes > most_bytes {
            return Err(Refusal::TooManyHeld);
        }
        held.messages += 1;
        held.bytes = all_bytes;
        drop(held);
        self.bytes.push_back(bytes);
        Ok(())
    }

    /// rumqttd releases the oldest, whichever the client names.
    pub(super) fn release(&mut self) {
        if let Some(bytes) = self.bytes.pop_front() {
            self.give_back(1, bytes);
        }
    }

    fn give_back(&self, messages: usize, bytes: usize) {
        let mut held = self.device.holds.lock();
        held.messages = held.messages.saturating_sub(messages);
        held.bytes = held.bytes.saturating_sub(bytes);
    }
}

impl Drop for HeldMessages {
    fn drop(&mut self) {
        self.give_back(self.bytes.len(), self.bytes.iter().sum());
    }
}

#[cfg(test)]
mod tests {
    use super::super::devices::Devices;
    use super::*;
    use crate::policy::ClientLimits;

    #[test]
    fn a_device_has_so_many_connections_and_gives_them_back() {
        let devices = Devices::new(ClientLimits::DEFAULT);
        let device = devices.device("a").unwrap();
        let mut places: Vec<Place> = (0..MOST_CONNECTIONS).map(|_| Place::of(&device).unwrap()).collect();
        assert!(Place::of(&devices.device("a").unwrap()).is_none());
        assert!(Place::of(&devices.device("b").unwrap()).is_some());
        places.pop();
        assert!(Place::of(&device).is_some());
    }

    #[test]
    fn messages_are_held_in_number_and_bytes_over_all_connections() {
        let device = Devices::new(ClientLimits::DEFAULT).device("a").unwrap();
        let mut one = HeldMessages::of(Arc::clone(&device));
        let mut other = HeldMessages::of(Arc::clone(&device));
        assert_eq!((one.add(60, 100), other.add(40, 100)), (Ok(()), Ok(())));
        assert_eq!(one.add(1, 100), Err(Refusal::TooManyHeld));
        one.release();
        one.release();
        assert_eq!(one.add(60, 100), Ok(()));
        drop(other);
        assert_eq!(one.add(40, 100), Ok(()));
        for _ in 2..MOST_HELD {
            assert_eq!(one.add(0, 100), Ok(()));
        }
        assert_eq!(one.add(0, 100), Err(Refusal::TooManyHeld));
    }

    #[tokio::test]
    async fn one_device_leaves_room_for_messages_of_others() {
        let devices = Devices::new(ClientLimits::DEFAULT);
        let (one, other) = (devices.device("a").unwrap(), devices.device("b").unwrap());
        // Larger than the bound: it is taken, alone.
        let large = one.holds.room(MOST_ASSEMBLED_BYTES + 1).await.unwrap();
        let waiting = one.holds.room(1);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("there is no room"),
            () = std::future::ready(()) => {}
        }
        assert!(other.holds.room(MOST_ASSEMBLED_BYTES).await.is_some());
        drop(large);
        assert!(waiting.await.is_some());
    }
}
