//! The seam to a way upstream.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::link::LinkReport;

/// Which topic a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// `…/alarm`: the alarm lane, each verdict alone.
    Alarm,
    /// `…/verdict`: batches of the lane verdict.
    Verdict,
    /// `…/verdict` as well, where topics do not tell lanes apart: batches of the lane telemetry.
    Telemetry,
    /// `…/status`: retained, with last will.
    Status,
    /// `…/cmd/reply`: answers to commands.
    Reply,
}

/// Names one offered message, so that its acknowledgement can be told; chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// What happened at a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkEvent {
    /// What upstream holds as this gateway's status, retained; told before [`SinkEvent::Connected`].
    Found(Bytes),
    /// A connection stands. Everything offered before and not delivered is void: offer it again.
    Connected,
    /// The connection is gone; the sink tries again by itself, with backoff. `reason` is for people.
    Disconnected {
        /// Why, in words.
        reason: String,
    },
    /// Upstream acknowledged this message, and where the sink proves arrival it has arrived.
    Delivered(Token),
    /// Upstream sent this command on `…/cmd`.
    Command(Bytes),
    /// What [`Sink::report`] says has changed.
    Changed,
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

/// A way upstream.
pub trait Sink: Send {
    /// Hands over one message for at-least-once delivery; never blocks.
    ///
    /// # Errors
    /// See [`OfferError`].
    fn offer(&mut self, channel: Channel, payload: Bytes, token: Token) -> Result<(), OfferError>;

    /// The next event, if there is one; `None` once the sink has ended. Else the task of `context`, and only the
    /// one that asked last, is woken when there may be one.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>>;

    /// The next event. Cancel-safe: dropping the future loses none. `None` once the sink has ended.
    fn event(&mut self) -> impl Future<Output = Option<SinkEvent>> + Send {
        poll_fn(|context| self.poll_event(context))
    }

    /// Whether messages of this channel are sent at all.
    fn takes(&self, _channel: Channel) -> bool {
        true
    }

    /// What it says of itself, for the status.
    fn report(&self) -> LinkReport {
        LinkReport::default()
    }

    /// Ends the connection in good order: publishes `last` on [`Channel::Status`], waits for outstanding
    /// acknowledgements up to `grace`, disconnects. Events may still be read afterwards.
    fn close(&mut self, last: Bytes, grace: Duration) -> impl Future<Output = ()> + Send;
}
