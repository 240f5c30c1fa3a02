//! What judges over frames observe, on its way to judges over readings.

use std::sync::mpsc::SyncSender;

use verge_domain::reading::{Reading, Receipt, SourceIndex};
use verge_domain::time::Moment;

use super::Item;

/// A reading that no message carried: a worker made it of a frame.
#[derive(Debug)]
pub struct Observation {
    /// The frame's source.
    pub source: SourceIndex,
    /// What was observed.
    pub reading: Reading,
    /// When the frame was received.
    pub received: Moment,
    /// Fingerprint of the frame's message; zero where it cannot come again.
    pub cause: u64,
    /// The frame's receipt, settled once all that the observation causes is durable.
    pub receipt: Option<Receipt>,
}

/// The way in for observations; clones share it.
#[derive(Clone)]
pub struct Observations {
    pub(super) queue: SyncSender<Item>,
}

impl Observations {
    /// Hands one in; waits while the judges' queue is full. Meanwhile newer frames take the place of those that wait
    /// for the worker.
    pub fn hand_in(&self, observation: Observation) {
        // The judges have ended: its frame is not acknowledged, and comes again.
        drop(self.queue.send(Item::Observation(Box::new(observation))));
    }
}
