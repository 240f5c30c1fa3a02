//! Room for messages that are not complete, of all devices together.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Bytes of messages that are not complete, of all devices together, and the step in which they are counted.
const MOST_BYTES: usize = 64 * 1024 * 1024;
pub(crate) const HELD_STEP: usize = 1024;

/// What is left of it.
#[derive(Debug)]
pub(super) struct Room {
    steps: Semaphore,
    /// Connections that wait for some.
    waiting: AtomicUsize,
}

impl Default for Room {
    fn default() -> Self {
        Self { steps: Semaphore::new(MOST_BYTES / HELD_STEP), waiting: AtomicUsize::new(0) }
    }
}

impl Room {
    /// Waits for room for a message of this size. A larger one than fits is alone.
    pub(super) async fn take(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let steps = bytes.div_ceil(HELD_STEP).min(MOST_BYTES / HELD_STEP) as u32;
        if let Ok(room) = self.steps.try_acquire_many(steps) {
            return Some(room);
        }
        let _waiting = Waiting::new(&self.waiting);
        // It is never closed.
        self.steps.acquire_many(steps).await.ok()
    }

    /// Whether somebody waits for some.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// Counted while it lives: a connection that ends does not wait any more.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_counted_until_there_is_room_or_it_ends() {
        let room = Room::default();
        let all = room.take(usize::MAX).await.unwrap();
        assert!(!room.is_wanted());
        for ends in [true, false] {
            let waiting = room.take(1);
            tokio::pin!(waiting);
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("there is no room"),
                () = std::future::ready(()) => assert!(room.is_wanted()),
            }
            if ends {
                continue;
            }
            drop(all);
            assert!(waiting.await.is_some() && !room.is_wanted());
            return;
        }
    }
}
