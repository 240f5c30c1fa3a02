//! The end of the network threads: a message waits here for the thread that unwraps its frame.

use std::collections::VecDeque;
use std::sync::Arc;

use verge_domain::reading::Inbound;
use verge_domain::stage::{Intake, IntakeFull};

use super::SharedFrames;

/// From this number of messages on, connections are left unread until fewer wait to be unwrapped.
const CROWDED: usize = 64;
/// The same in bytes.
const CROWDED_BYTES: usize = 8 << 20;

/// Messages whose frames are still wrapped, in the order of their arrival. Bounded: a crowded connection is left
/// unread, and messages of sources that judge every frame count as frames that wait.
#[derive(Debug, Default)]
pub(super) struct Wrapped {
    waiting: VecDeque<Inbound>,
    bytes: usize,
    /// One is being unwrapped.
    in_hand: bool,
}

impl Wrapped {
    fn push(&mut self, message: Inbound) {
        self.bytes += message.payload.len();
        self.waiting.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Inbound> {
        let message = self.waiting.pop_front()?;
        self.bytes -= message.payload.len();
        self.in_hand = true;
        Some(message)
    }

    /// The message in hand is unwrapped.
    pub(super) const fn done(&mut self) {
        self.in_hand = false;
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.in_hand)
    }

    fn is_crowded(&self) -> bool {
        self.waiting.len() >= CROWDED || self.bytes >= CROWDED_BYTES
    }
}

/// The entrance for the frames of one connection.
pub struct FrameIntake<M> {
    pub(super) shared: Arc<SharedFrames<M>>,
    /// Its sources judge every frame.
    pub(super) every: bool,
}

impl<M: Default + Send> Intake for FrameIntake<M> {
    /// Takes the message. It may refuse one of a source that judges every frame, for want of room.
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
        let Some(source) = self.shared.counters.source(message.source) else { return Ok(()) };
        let mut line = self.shared.lock();
        if line.schedule.is_full(message.source) {
            return Err(IntakeFull(message));
        }
        source.messages_received_total.add(1);
        source.bytes_received_total.add((message.topic.len() + message.payload.len()) as u64);
        source.received_at(message.received.wall);
        line.schedule.reserve(message.source, message.payload.len());
        line.wrapped.push(message);
        drop(line);
        self.shared.arrived.notify_one();
        Ok(())
    }

    /// True while many messages are wrapped; if every frame is judged, also when [`Intake::offer`] may soon refuse.
    fn is_held(&mut self) -> bool {
        let line = self.shared.lock();
        line.wrapped.is_crowded() || self.every && line.schedule.is_crowded()
    }
}
