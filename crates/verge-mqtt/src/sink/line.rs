//! What stands between whoever offers and the connection's task: messages in flight, and events not yet read.
//!
//! The events are bounded without ever being refused: a place in the window is free again only when the event
//! of its acknowledgement has been read, and of connections only the newest end and beginning are told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::{AsyncClient, QoS};
use tokio::sync::Notify;
use verge_domain::stage::{OfferError, SinkEvent, Token};

use super::places::{Place, Places};
use crate::in_flight::InFlight;

/// Commands that wait to be read, at most; further ones are dropped.
const MAX_COMMANDS: usize = 16;

/// One offered message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) token: Token,
    pub(super) place: Place,
}

#[derive(Debug, Default)]
struct Line {
    client: Option<AsyncClient>,
    /// The beginning of this connection has been read: before that, whoever offers would not know that a
    /// new connection wants everything again, and would offer twice.
    announced: bool,
    /// `None` is our own last status: it takes no place, and nobody waits for an event about it.
    flights: InFlight<Option<Flight>>,
    places: Places,
    events: VecDeque<Told>,
    /// Commands among the events.
    commands: usize,
    /// Since when upstream owes an acknowledgement and has given none.
    owed_since: Option<Instant>,
    /// Whoever asked last for an event that was not there.
    waiting: Option<Waker>,
    closing: bool,
    ended: bool,
}

#[derive(Debug)]
enum Told {
    Connected,
    Disconnected(String),
    Delivered(Flight),
    Command(Bytes),
}

/// The line, shared by both its ends.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedLine(Arc<(Mutex<Line>, Notify)>);

impl SharedLine {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        let waiting = self.line().waiting.take();
        if let Some(waker) = waiting {
            waker.wake();
        }
        // For `drained`, which has one waiter at most: it needs the sink exclusively.
        self.0.1.notify_one();
    }

    /// Hands a message over, if it has a place.
    pub(super) fn offer(
        &self,
        topic: &str,
        payload: Bytes,
        flight: Flight,
        window: usize,
    ) -> Result<(), OfferError> {
        let mut line = self.line();
        if !line.announced || line.closing {
            return Err(OfferError::NotConnected);
        }
        if !line.places.has(flight.place, window) {
            return Err(OfferError::WindowFull);
        }
        line.hand_over(topic, payload, Some(flight))?;
        line.places.take(flight.place);
        Ok(())
    }

    /// From now on takes no offers; hands over the last status, if it is given and can be sent at all.
    pub(super) fn close(&self, topic: &str, last_status: Option<Bytes>) -> Result<(), OfferError> {
        let mut line = self.line();
        line.closing = true;
        last_status.map_or(Ok(()), |payload| line.hand_over(topic, payload, None))
    }

    /// The next event; `None` once it has ended and everything is read.
    pub(super) fn poll_event(&self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        // Looked at and remembered under one lock: a change in between cannot be missed.
        let mut line = self.line();
        if let Some(event) = line.next_event() {
            return Poll::Ready(Some(event));
        }
        if line.ended {
            return Poll::Ready(None);
        }
        if !line.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(context.waker())) {
            line.waiting = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Nothing is in flight any more, or the connection is gone.
    pub(super) async fn drained(&self) {
        loop {
            {
                let line = self.line();
                if line.client.is_none() || line.flights.len() == 0 {
                    return;
                }
            }
            self.0.1.notified().await;
        }
    }

    pub(super) fn end(&self) {
        let mut line = self.line();
        line.void();
        line.ended = true;
        drop(line);
        self.changed();
    }

    pub(super) fn connected(&self, client: AsyncClient) {
        let mut line = self.line();
        line.client = Some(client);
        line.events.push_back(Told::Connected);
        drop(line);
        self.changed();
    }

    pub(super) fn sent(&self, packet_id: u16) {
        let done = self.line().flights.sent(packet_id);
        debug_assert!(done.is_none(), "everything goes out at QoS 1");
    }

    pub(super) fn acknowledged(&self, packet_id: u16) {
        let mut line = self.line();
        if let Some(flight) = line.flights.acknowledged(packet_id) {
            line.owed_since = (line.flights.len() > 0).then(Instant::now);
            line.events.extend(flight.map(Told::Delivered));
        }
        drop(line);
        self.changed();
    }

    /// Upstream has sent a command.
    ///
    /// # Errors
    /// Why it is not taken, in words.
    pub(super) fn command(&self, payload: Bytes) -> Result<(), &'static str> {
        let mut line = self.line();
        if line.closing {
            return Err("the gateway is about to stop");
        }
        if line.commands >= MAX_COMMANDS {
            return Err("too many wait");
        }
        line.commands += 1;
        line.events.push_back(Told::Command(payload));
        drop(line);
        self.changed();
        Ok(())
    }

    /// Why the connection is to be given up although it stands: for `patience`, upstream has acknowledged nothing
    /// of what it owes, or left out a message that it had before others.
    pub(super) fn overdue(&self, patience: Duration, now: Instant) -> Option<String> {
        let line = self.line();
        let long = |since: Option<Instant>| since.is_some_and(|since| now.duration_since(since) >= patience);
        if long(line.owed_since) {
            return Some(format!("upstream acknowledges nothing for {} s", patience.as_secs()));
        }
        long(line.flights.passed_over_since())
            .then(|| "upstream acknowledges later messages and leaves an earlier one out".to_owned())
    }

    pub(super) fn lost(&self, reason: String) {
        let mut line = self.line();
        line.void();
        if !line.closing {
            line.events.push_back(Told::Disconnected(reason));
        }
        drop(line);
        self.changed();
    }
}

impl Line {
    fn hand_over(&mut self, topic: &str, payload: Bytes, flight: Option<Flight>) -> Result<(), OfferError> {
        let client = self.client.as_ref().ok_or(OfferError::NotConnected)?;
        let retain = flight.is_none_or(|flight| flight.place == Place::Status);
        // The channel has room for every place there is, so this fails only where the connection has just
        // ended.
        client.try_publish(topic, QoS::AtLeastOnce, retain, payload).map_err(|_| OfferError::NotConnected)?;
        self.flights.hand_over(flight);
        self.owed_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// The connection is gone. What it had delivered stays told; of connections, what is not read yet is
    /// out of date.
    fn void(&mut self) {
        self.client = None;
        self.announced = false;
        self.owed_since = None;
        for flight in self.flights.take_all().into_iter().flatten() {
            self.places.free(flight.place);
        }
        self.events.retain(|event| matches!(event, Told::Delivered(_) | Told::Command(_)));
    }

    fn next_event(&mut self) -> Option<SinkEvent> {
        match self.events.pop_front()? {
            Told::Connected => {
                self.announced = true;
                Some(SinkEvent::Connected)
            }
            Told::Disconnected(reason) => Some(SinkEvent::Disconnected { reason }),
            Told::Delivered(flight) => {
                self.places.free(flight.place);
                Some(SinkEvent::Delivered(flight.token))
            }
            Told::Command(payload) => {
                self.commands -= 1;
                Some(SinkEvent::Command(payload))
            }
        }
    }
}

#[cfg(test)]
mod tests;
