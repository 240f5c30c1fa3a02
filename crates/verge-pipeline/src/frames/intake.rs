//! From message to a frame in its camera's place.

use std::sync::Arc;

use verge_domain::frame::EncodedFrame;
use verge_domain::observation::Camera;
use verge_domain::reading::{Decoded, Inbound, Session};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::{Decoder, Intake, IntakeFull};

use super::Shared;
use crate::intake::{Observations, Origin};

/// The way in for the frames of one connection.
pub struct FrameIntake<D, M> {
    pub(super) shared: Arc<Shared<M>>,
    pub(super) decoder: D,
    pub(super) decoded: Decoded<EncodedFrame>,
    pub(super) observations: Observations,
}

impl<D: Decoder<Item = EncodedFrame>, M: Default + Send> Intake for FrameIntake<D, M> {
    /// Unwraps the message's frame and puts it in its camera's place. A source that judges every frame may find no room.
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
        let Some(source) = self.shared.counters.source(message.source) else { return Ok(()) };
        if self.shared.lock().schedule.is_full(message.source) {
            return Err(IntakeFull(message));
        }
        source.messages_received_total.add(1);
        source.bytes_received_total.add((message.topic.len() + message.payload.len()) as u64);
        source.received_at(message.received.wall);
        let cause = message.receipt.map_or(0, |_| Session::Frames.cause(message.fingerprint()));
        self.decoder.decode(&message, &mut self.decoded);
        for rejection in &self.decoded.rejections {
            source.refuse(&message.topic, Some(message.payload.len()), rejection);
        }
        for change in &self.decoded.clock_offsets {
            source.clock_offsets.note(&source.name, change);
        }
        let mut line = self.shared.lock();
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
                let judges = &self.shared.judges;
                let placed = line.schedule.offer(&camera, frame, received, origin, || judges.of(&camera));
                match placed {
                    Ok(superseded) => {
                        // Before a worker can have the frame: what it causes is judged behind its arrival.
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
                        return Ok(());
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
        Ok(())
    }
}

impl<D, M: Default> FrameIntake<D, M> {
    /// Whether a source that judges every frame does well to wait: soon [`Intake::offer`] refuses.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.shared.lock().schedule.is_crowded()
    }
}
