//! What workers observe in frames, on its way to judges over readings.

use std::sync::mpsc::SyncSender;

use verge_domain::reading::{Reading, Receipt, SourceIndex};
use verge_domain::rejection::Rejection;
use verge_domain::stage::{Decoder, Judge, Source};
use verge_domain::time::{Moment, Monotonic};
use verge_domain::verdict::Verdict;

use super::arrivals::Arrivals;
use super::{Item, Worker};
use crate::committer::CommitRequest;

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
    pub(super) arrivals: Arrivals,
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

impl<D: Decoder<Item = Reading>, J: Judge<Observation = Reading> + 'static, S: Source> Worker<D, J, S> {
    /// Judges what was observed in a frame. Its receipt settles through the committer even if it caused nothing: those
    /// of its connection go that way, in order.
    pub(super) fn observe(&mut self, observed: Observed) {
        let Observed { source, readings, verdicts, received, cause, receipt } = observed;
        self.decision.verdicts.extend(verdicts);
        for reading in &readings {
            let judged = self.set.reading(source, reading, received, self.clock.now(), &mut self.decision);
            if let Some(source) = self.counters.source(source) {
                match judged {
                    Ok(()) => source.readings_judged_total.add(1),
                    Err(reason) => source.refuse(reading.device.as_str(), None, &Rejection::whole(reason)),
                }
            }
        }
        if !self.decision.is_empty() || receipt.is_some() {
            self.request(CommitRequest { cause, receipt, ..CommitRequest::of_time(received.mono) });
        }
    }
}
