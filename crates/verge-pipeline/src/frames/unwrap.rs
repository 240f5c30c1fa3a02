//! The thread that unwraps frames: envelopes in base64 or JSON take milliseconds, and no connection waits for them.

use std::sync::{Arc, PoisonError};

use verge_domain::frame::EncodedFrame;
use verge_domain::observation::Camera;
use verge_domain::reading::{Decoded, Inbound, Session};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::Decoder;

use super::{QueuedFrames, SharedFrames};
use crate::beats::{BEAT_EVERY, Beat};
use crate::intake::{Observations, Origin};
use crate::judging::decode;

/// Name of the thread.
pub(super) const THREAD: &str = "verge-unwrap";

/// Unwraps the frames of all connections, each in its order of arrival, and puts them in their cameras' places.
pub(super) struct Unwrapper<D, M> {
    pub(super) shared: Arc<SharedFrames<M>>,
    pub(super) decoder: D,
    pub(super) decoded: Decoded<EncodedFrame>,
    pub(super) observations: Observations,
}

impl<D: Decoder<Item = EncodedFrame>, M: Default> Unwrapper<D, M> {
    pub(super) fn run(&mut self) {
        let beat = self.shared.counters.beats.join_before_store(THREAD);
        while let Some(message) = self.next(&beat) {
            self.unwrap(message);
        }
    }

    /// Waits for a message; `None` at the end, when what was received is unwrapped and accounted for.
    fn next(&self, beat: &Beat) -> Option<Inbound> {
        let mut line = self.shared.lock();
        loop {
            beat.beat();
            if let Some(message) = line.wrapped.pop() {
                return Some(message);
            }
            if line.stopping {
                return None;
            }
            let waited = self.shared.arrived.wait_timeout(line, BEAT_EVERY);
            line = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn unwrap(&mut self, message: Inbound) {
        let Some(source) = self.shared.counters.source(message.source) else { return };
        let cause = message.receipt.map_or(0, |_| Session::Frames.cause(message.fingerprint()));
        decode(&mut self.decoder, &message, &mut self.decoded, &self.shared.counters);
        for rejection in &self.decoded.rejections {
            source.refuse(&message.topic, Some(message.payload.len()), rejection);
        }
        for change in &self.decoded.clock_offsets {
            source.clock_offsets.note(&source.name, change);
        }
        let mut line = self.shared.lock();
        line.wrapped.done();
        line.schedule.release(message.source, message.payload.len());
        let known = line.recent.recognise(&message, cause);
        if message.redelivered && !known {
            source.messages_redelivered_total.add(1);
        }
        let refused = match self.decoded.items.pop() {
            _ if known => Some(Reason::Duplicate),
            None => None,
            Some(frame) => {
                let camera = Camera { source: message.source, device: frame.device.clone() };
                let captured = frame.captured();
                let (received, origin) = (message.received, Origin { cause, receipt: message.receipt });
                let QueuedFrames { schedule, judges, .. } = &mut *line;
                match schedule.offer(&camera, frame, received, origin, || judges.viewers_of(&camera)) {
                    Ok(superseded) => {
                        // Before a worker can have the frame: its consequences are judged after its arrival.
                        if judges.watch_arrivals(camera.source) {
                            self.observations.note_arrival(camera, captured, received);
                        }
                        drop(line);
                        for index in superseded {
                            if let Some(source) = self.shared.counters.source(index) {
                                source.messages_superseded_total.add(1);
                            }
                        }
                        self.shared.changed.notify_one();
                        return;
                    }
                    Err(reason) => Some(reason),
                }
            }
        };
        if let Some(reason) = refused {
            source.refuse(&message.topic, Some(message.payload.len()), &Rejection::whole(reason));
        }
        source.messages_refused_total.add(1);
        if let Some(receipt) = message.receipt {
            // Settled by a worker, in its turn.
            line.schedule.settle_later(Some(receipt), message.received);
            drop(line);
            self.shared.changed.notify_one();
        }
    }
}
