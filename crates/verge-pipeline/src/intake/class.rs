//! The classes of judging threads, and how much may wait for each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use verge_domain::reading::Session;

use super::INTAKE_CAPACITY;

/// Messages judged between two settlements of receipts: large enough to make acknowledgements cheap, small
/// enough not to delay them.
const BURST: usize = 256;
/// The same for messages that are blocks of thousands of samples, or that need a model.
const BULK_BURST: usize = 8;
/// A burst of those ends after this long: time must pass for their judges too, and orders wait.
const BULK_BURST_TIME: Duration = Duration::from_millis(250);
/// Maximum of messages that wait for bulk judges; from half of that on, their source is left unread.
const BULK_CAPACITY: usize = 256;
/// From this number of waiting bytes on, the source is left unread as well.
const CROWDING_BYTES: usize = 16 << 20;

/// The class of a judging thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Judges that need microseconds for a reading: messages are judged at once.
    Prompt,
    /// Judges over blocks of samples, and those that use a model.
    Bulk,
}

impl Class {
    pub(super) const fn thread_name(self) -> &'static str {
        match self {
            Self::Prompt => "verge-judging",
            Self::Bulk => "verge-bulk",
        }
    }

    pub(super) const fn capacity(self) -> usize {
        match self {
            Self::Prompt => INTAKE_CAPACITY,
            Self::Bulk => BULK_CAPACITY,
        }
    }

    pub(super) const fn burst(self) -> usize {
        match self {
            Self::Prompt => BURST,
            Self::Bulk => BULK_BURST,
        }
    }

    /// Whether a burst that began at this time may take more.
    pub(super) fn goes_on(self, began: Instant) -> bool {
        self == Self::Prompt || began.elapsed() < BULK_BURST_TIME
    }

    /// The session its messages come by. A source may feed both classes: what one has judged, the other may not have.
    pub(super) const fn session(self) -> Session {
        match self {
            Self::Prompt => Session::Readings,
            Self::Bulk => Session::Blocks,
        }
    }
}

/// What waits in a queue.
#[derive(Debug)]
pub(super) struct QueueRoom {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    crowding: usize,
}

impl QueueRoom {
    pub(super) fn new(class: Class) -> Self {
        Self { messages: AtomicUsize::new(0), bytes: AtomicUsize::new(0), crowding: class.capacity() / 2 }
    }

    pub(super) fn entered(&self, bytes: usize) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn left(&self, bytes: usize) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.messages.load(Ordering::Relaxed) >= self.crowding
            || self.bytes.load(Ordering::Relaxed) >= CROWDING_BYTES
    }
}
