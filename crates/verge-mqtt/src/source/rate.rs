//! Tells a stream of messages from single ones.

use std::time::{Duration, Instant};

/// The rate of messages from which on they are let gather, and for how long: a timer's shortest pause. A
/// broker with the usual 20 messages in flight still delivers some 15,000 a second.
const STREAM_GAP: Duration = Duration::from_micros(200);
/// For so long they gather: to be woken for each of a stream of them costs more than to handle it.
pub(super) const GATHER: Duration = Duration::from_millis(1);
/// Messages after which the rate is looked at.
const STREAM_SAMPLE: u32 = 8;

/// How fast messages come.
#[derive(Debug)]
pub(super) struct Rate {
    taken: u32,
    since: Instant,
}

impl Rate {
    pub(super) fn new() -> Self {
        Self { taken: 0, since: Instant::now() }
    }

    pub(super) fn took(&mut self) {
        self.taken += 1;
    }

    /// Whether messages have come fast lately. Begins a new sample if this one is complete.
    pub(super) fn is_fast(&mut self) -> bool {
        if self.taken < STREAM_SAMPLE {
            return false;
        }
        let fast = self.since.elapsed() < STREAM_GAP * self.taken;
        *self = Self::new();
        fast
    }
}
