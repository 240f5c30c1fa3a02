//! What workers see in frames, on its path to the judges.

use std::sync::mpsc::SyncSender;

use verge_domain::observation::Observation;
use verge_domain::reading::{Reading, Receipt};
use verge_domain::stage::{Decoder, Judge, Source};
use verge_domain::time::Monotonic;

use super::arrivals::Arrivals;
use super::{Item, Worker};
use crate::committer::CommitRequest;

/// The message that a frame came in.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Its fingerprint; zero if it cannot be delivered again.
    pub cause: u64,
    /// Its receipt.
    pub receipt: Option<Receipt>,
}

/// The entrance for observations; clones share it.
#[derive(Clone)]
pub struct Observations {
    pub(super) queue: SyncSender<Item>,
    pub(super) arrivals: Arrivals,
}

impl Observations {
    /// Hands over what was seen in a frame; waits while the judges' queue is full. Meanwhile newer frames supersede
    /// those that wait for the worker.
    pub fn hand_in(&self, observation: Observation, origin: Origin) {
        // The judges have ended: the frame is not acknowledged, and is delivered again.
        drop(self.queue.send(Item::Observation(observation, origin)));
    }

    /// Settles the receipt of a message that was delivered again, after all that was handed in before: the consequences
    /// of its first delivery are durable by then.
    pub fn settle(&self, receipt: Receipt, received: Monotonic) {
        drop(self.queue.send(Item::Settle(receipt, received)));
    }
}

impl<D: Decoder<Item = Reading>, J: Judge + 'static, S: Source> Worker<D, J, S> {
    /// Judges what was seen in a frame. One commit holds all consequences, with its message's cause and receipt. The
    /// receipt settles through the committer even if there are none: all of its connection do, in order.
    pub(super) fn observe(&mut self, observation: Observation, Origin { cause, receipt }: Origin) {
        let received = observation.received.mono;
        self.set.observation(observation, self.clock.now(), &mut self.decision);
        if !self.decision.is_empty() || receipt.is_some() {
            self.request(CommitRequest { cause, receipt, ..CommitRequest::of_time(received) });
        }
    }
}
