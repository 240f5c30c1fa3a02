//! The seams upstream: [`Form`] makes of stored rows what a link sends, [`Sink`] sends it, [`Control`] is everything else on
//! the same connection.
//!
//! A sink never learns how verdicts are stored, and the form never learns how they are sent: wiring joins the two by the
//! item that one makes and the other takes. That is bytes for MQTT, and [`VerdictRow`]s for Sparkplug.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::id::{Lane, Seq};
use crate::link::LinkReport;
use crate::stage::{EncodeError, Envelope};
use crate::stored::StoredRow;
use crate::verdict::Verdict;

/// From stored verdicts and tombstones to one item for a sink.
pub trait Form: Send {
    /// What the sink takes.
    type Item: Send;

    /// Makes one item: the envelope, then the rows, in order of sequence.
    ///
    /// # Errors
    /// A stored verdict cannot be read (only where it must be transcoded).
    fn item(&mut self, envelope: &Envelope, rows: &[StoredRow]) -> Result<Self::Item, EncodeError>;

    /// Bytes that an item takes on the link: what the day's budget is charged.
    fn bytes(item: &Self::Item) -> usize;
}

/// A stored row as what it says, for links that send no stored bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictRow {
    /// Its lane.
    pub lane: Lane,
    /// Its number; of a tombstone the last of its range; zero of a verdict that is not durable.
    pub seq: Seq,
    /// The verdict; `None` for a tombstone.
    pub verdict: Option<Box<Verdict>>,
    /// Bytes that it takes in the store.
    pub stored_bytes: usize,
}

/// Names one offered item, so that its acknowledgement can be reported; chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What happened on a link. Everything on one connection comes in one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkEvent {
    /// A connection stands. Everything offered before and not delivered is void: offer it again.
    Connected,
    /// The connection is lost; the sink tries again by itself, with backoff. `reason` is for people.
    Disconnected {
        /// Why, in words.
        reason: String,
    },
    /// Upstream acknowledged this item, and where the sink proves arrival it has arrived.
    Delivered(Token),
    /// Upstream refuses this item and will refuse it again, where its protocol can say so: `reason` is for people.
    Refused {
        /// The item.
        token: Token,
        /// Why, in words.
        reason: String,
    },
    /// What [`Sink::report`] says has changed.
    Changed,
    /// Something beside the verdicts.
    Control(ControlEvent),
}

/// What happened on a link beside its verdicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlEvent {
    /// What upstream holds as this gateway's status, retained; comes before [`SinkEvent::Connected`].
    Found(Bytes),
    /// Upstream acknowledged a status.
    StatusTaken,
    /// Upstream sent this command.
    Command(Bytes),
    /// Upstream acknowledged an answer to a command.
    AnswerTaken,
}

/// Why a message was not taken. It is not lost: the caller still has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// No connection; wait for [`SinkEvent::Connected`].
    #[error("not connected")]
    NotConnected,
    /// As many messages are outstanding as the sink takes.
    #[error("the window is full")]
    WindowFull,
    /// The message can never be sent on this sink.
    #[error("a message of {actual} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes offered.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

/// Sends verdicts over one link.
pub trait Sink: Send {
    /// What it sends.
    type Item: Send;

    /// Hands over one item of a lane for at-least-once delivery; never blocks.
    ///
    /// # Errors
    /// See [`OfferError`].
    fn offer(&mut self, lane: Lane, item: Self::Item, token: Token) -> Result<(), OfferError>;

    /// The next event, if there is one; `None` once the sink has ended. Else the task of `context`, and only the
    /// one that asked last, is woken when there may be one.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>>;

    /// The next event. Cancel-safe: dropping the future loses none. `None` once the sink has ended.
    fn event(&mut self) -> impl Future<Output = Option<SinkEvent>> + Send {
        poll_fn(|context| self.poll_event(context))
    }

    /// The state of the link, for the status.
    fn report(&self) -> LinkReport {
        LinkReport::default()
    }

    /// Ends the connection in good order: waits for outstanding acknowledgements up to `grace`, disconnects. Events may
    /// still be read afterwards.
    fn close(&mut self, grace: Duration) -> impl Future<Output = ()> + Send;
}

/// What a link carries beside verdicts: the gateway's status, and answers to the commands that come by
/// [`ControlEvent::Command`]. Without methods of its own a link carries neither.
pub trait Control: Send {
    /// Whether the status is published on this link.
    fn takes_status(&self) -> bool {
        false
    }

    /// Publishes the status; never blocks.
    ///
    /// # Errors
    /// See [`OfferError`]. A status that is not taken is superseded by the next one.
    fn publish_status(&mut self, _document: Bytes) -> Result<(), OfferError> {
        Ok(())
    }

    /// Sends the answer to a command; never blocks.
    ///
    /// # Errors
    /// See [`OfferError`].
    fn answer(&mut self, _answer: Bytes) -> Result<(), OfferError> {
        Ok(())
    }

    /// The status that [`Sink::close`] leaves upstream.
    fn set_last_status(&mut self, _document: Bytes) {}
}

/// How many items a link has under way, as its events say, for sinks whose connection is a task of its own.
#[derive(Debug)]
pub struct OfferWindow {
    size: usize,
    outstanding: usize,
    connected: bool,
    connection: u64,
}

impl OfferWindow {
    /// Of a link that takes `size` items at a time, without a connection yet.
    #[must_use]
    pub const fn new(size: usize) -> Self {
        Self { size, outstanding: 0, connected: false, connection: 0 }
    }

    /// Whether one more may be offered: the number of the connection whose beginning was read, with which it is void.
    ///
    /// # Errors
    /// There is no connection, or the window is full.
    pub const fn admit(&self) -> Result<u64, OfferError> {
        if !self.connected {
            Err(OfferError::NotConnected)
        } else if self.outstanding >= self.size {
            Err(OfferError::WindowFull)
        } else {
            Ok(self.connection)
        }
    }

    /// One more is under way.
    pub const fn offered(&mut self) {
        self.outstanding += 1;
    }

    /// What the link says of it.
    pub const fn note(&mut self, event: &SinkEvent) {
        match event {
            SinkEvent::Connected => {
                self.connection += 1;
                (self.connected, self.outstanding) = (true, 0);
            }
            SinkEvent::Disconnected { .. } => self.close(),
            SinkEvent::Delivered(_) | SinkEvent::Refused { .. } => {
                self.outstanding = self.outstanding.saturating_sub(1);
            }
            SinkEvent::Changed | SinkEvent::Control(_) => {}
        }
    }

    /// Nothing more is offered until a connection stands again.
    pub const fn close(&mut self) {
        (self.connected, self.outstanding) = (false, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_follows_the_events_of_its_link() {
        let mut window = OfferWindow::new(2);
        assert_eq!(window.admit(), Err(OfferError::NotConnected));
        window.note(&SinkEvent::Connected);
        for _ in 0..2 {
            assert_eq!(window.admit(), Ok(1));
            window.offered();
        }
        assert_eq!(window.admit(), Err(OfferError::WindowFull));
        window.note(&SinkEvent::Refused { token: Token(1), reason: String::new() });
        assert_eq!(window.admit(), Ok(1));
        window.note(&SinkEvent::Disconnected { reason: String::new() });
        assert_eq!(window.admit(), Err(OfferError::NotConnected));
        window.note(&SinkEvent::Connected);
        assert_eq!(window.admit(), Ok(2), "what was under way is void with its connection");
    }
}
