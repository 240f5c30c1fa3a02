//! Who is to be asked for what a message lacks. The judging threads put topics in; the owner of a connection takes them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Topics that wait at most; a further one comes again with the next message that lacks something.
const MAX_WAITING: usize = 1024;

/// Topics of commands that are to be sent.
#[derive(Debug, Default)]
pub struct Asks {
    waiting: Mutex<HashSet<String>>,
    sent: AtomicU64,
}

impl Asks {
    fn waiting(&self) -> MutexGuard<'_, HashSet<String>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This one is to be asked.
    pub(crate) fn want(&self, topic: String) {
        let mut waiting = self.waiting();
        if waiting.len() < MAX_WAITING {
            waiting.insert(topic);
        }
    }

    /// Takes all that wait.
    #[must_use]
    pub fn take(&self) -> HashSet<String> {
        std::mem::take(&mut *self.waiting())
    }

    /// A command was sent.
    pub fn note_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Commands sent since the start.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
