//! What workers observe in frames, on its way to judges over readings.

use std::sync::mpsc::SyncSender;

use verge_domain::reading::{Reading, Receipt, SourceIndex};
use verge_domain::time::{Moment, Monotonic};
use verge_domain::verdict::Verdict;

use super::Item;

/// What came of one frame in which something was observed. It stays together: one commit holds all that the frame
/// caused, and its cause and receipt with it.
#[derive(Debug)]
pub struct Observed {
    /// The frame's source.
    pub source: SourceIndex,
    /// What was observed, as readings of the camera.
    pub readings: Vec<Reading>,
    /// What was decided of the frame without them.
    pub verdicts: Vec<Verdict>,
    /// When the frame was received.
    pub received: Moment,
    /// Fingerprint of the frame's message; zero where it cannot come again.
    pub cause: u64,
    /// The frame's receipt.
    pub receipt: Option<Receipt>,
}

/// The way in for observations; clones share it.
#[derive(Clone)]
pub struct Observations {
    pub(super) queue: SyncSender<Item>,
}

impl Observations {
    /// Hands over what came of a frame; waits while the judges' queue is full. Meanwhile newer frames take the place
    /// of those that wait for the worker.
    pub fn hand_in(&self, observed: Observed) {
        // The judges have ended: the frame is not acknowledged, and comes again.
        drop(self.queue.send(Item::Observed(Box::new(observed))));
    }

    /// Settles the receipt of a message that came again, behind all that was handed in before: what its first delivery
    /// caused is durable by then.
    pub fn settle(&self, receipt: Receipt, received: Monotonic) {
        drop(self.queue.send(Item::Settle(receipt, received)));
    }
}
