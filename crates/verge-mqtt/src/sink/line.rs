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
use verge_domain::link::{Degraded, LinkReport};
use verge_domain::stage::{OfferError, SinkEvent, Token};

use super::arrival::{Arrivals, Request, Ticket};
use super::places::{Place, Places};
use super::services::Services;
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
    flights: InFlight<Errand>,
    places: Places,
    /// Which of them have arrived.
    arrivals: Arrivals,
    /// Requests that come of it, on their way to the connection.
    requests: Vec<Request>,
    /// No verdicts yet: services of the connection are tried one at a time.
    held: bool,
    /// What the connection does beside verdicts.
    services: Services,
    /// For the report.
    degraded: Vec<Degraded>,
    no_echo: Option<String>,
    report_due: bool,
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

/// What is published, and what its acknowledgement means.
#[derive(Debug, Clone, Copy)]
enum Errand {
    /// Our own last status: it takes no place, and nobody waits for an event about it.
    LastStatus,
    /// It is delivered.
    Message(Flight),
    /// It is delivered once it has come back as well.
    Watched(Ticket),
    /// Nothing: a repetition, for its echo.
    Repeat,
}

#[derive(Debug)]
enum Told {
    Found(Bytes),
    Connected,
    Disconnected(String),
    Delivered(Flight),
    Command(Bytes),
}

/// The line, shared by both its ends.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedLine(Arc<(Mutex<Line>, Notify)>);

impl SharedLine {
    /// A line whose verdicts go to these topics.
    pub(super) fn new(topics: &[String]) -> Self {
        let line = Line { arrivals: Arrivals::new(topics), ..Line::default() };
        Self(Arc::new((Mutex::new(line), Notify::new())))
    }

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
        if !line.places.has(flight.place, window) || (line.held && flight.place == Place::Window) {
            return Err(OfferError::WindowFull);
        }
        if flight.place != Place::Window {
            line.hand_over(topic, payload, Errand::Message(flight))?;
        } else {
            line.send_watched(topic, payload, Some(flight))?;
        }
        line.places.take(flight.place);
        Ok(())
    }

    /// Publishes a message without verdicts on each topic that is dead, to see whether it has come alive; says whether
    /// there was one.
    pub(super) fn prove(&self, message: impl Fn(&str) -> Bytes) -> bool {
        let mut line = self.line();
        let dead: Vec<String> = line.arrivals.dead().cloned().collect();
        for topic in &dead {
            let payload = message(topic);
            if line.send_watched(topic, payload, None).is_err() {
                tracing::debug!(%topic, "no room for a message that proves arrival");
            }
        }
        !dead.is_empty()
    }

    /// A connection begins. Its topics are read back, or not and why; its status is retained; verdicts are held back
    /// until [`SharedLine::release`].
    pub(super) fn begin(&self, client: AsyncClient, no_echo: Option<String>, services: Services, held: bool) {
        let mut line = self.line();
        line.client = Some(client);
        line.arrivals.begin(no_echo.is_none(), Instant::now());
        line.no_echo = no_echo;
        line.services = services;
        line.held = held;
    }

    /// Verdicts may go. Whoever found the line held offers again at an event, and there may be no other.
    pub(super) fn release(&self) {
        let mut line = self.line();
        line.held = false;
        line.report_due = true;
        drop(line);
        self.changed();
    }

    /// The topics that are read back.
    pub(super) fn watched_topics(&self) -> Vec<String> {
        self.line().arrivals.names().cloned().collect()
    }

    /// Some topic is dead: nothing was read back on it.
    pub(super) fn is_dead(&self) -> bool {
        self.line().arrivals.dead().next().is_some()
    }

    /// Whether a topic has died since this was last asked.
    pub(super) fn take_newly_dead(&self) -> bool {
        self.line().arrivals.take_newly_dead()
    }

    /// The broker has closed the connection: which message may be why.
    pub(super) fn closed(&self) -> Option<String> {
        self.line().arrivals.closed()
    }

    /// Some topic is dead because the broker closes at it.
    pub(super) fn is_closed(&self) -> bool {
        self.line().arrivals.is_closed()
    }

    /// Whether something was learnt about a limit on size since this was last asked.
    pub(super) fn take_learnt(&self) -> bool {
        self.line().arrivals.take_learnt()
    }

    /// Echoes cannot be had on this connection: acknowledgements count.
    pub(super) fn without_echo(&self, reason: String) {
        let mut line = self.line();
        line.no_echo = Some(reason);
        let delivered = line.arrivals.give_up();
        line.events.extend(delivered.into_iter().map(Told::Delivered));
        line.report_due = true;
        drop(line);
        self.changed();
    }

    /// Whether the status is published.
    pub(super) fn takes_status(&self) -> bool {
        self.line().services.status
    }

    /// Whether a status is unacknowledged.
    pub(super) fn owes_status(&self) -> bool {
        self.line()
            .flights
            .any(|errand| matches!(errand, Errand::Message(flight) if flight.place == Place::Status))
    }

    /// Whether anything else is, or has not come back.
    pub(super) fn owes_more(&self) -> bool {
        let line = self.line();
        !line.arrivals.is_settled()
            || line
                .flights
                .any(|errand| !matches!(errand, Errand::Message(flight) if flight.place == Place::Status))
    }

    /// A message came on a topic of ours; false where it is none.
    pub(super) fn echoed(&self, topic: &str, payload: &Bytes) -> bool {
        let mut line = self.line();
        let Some(delivered) = line.arrivals.echoed(topic, payload, Instant::now()) else { return false };
        line.events.extend(delivered.map(Told::Delivered));
        line.leave_proven();
        line.report_due |= line.arrivals.take_changed();
        drop(line);
        self.changed();
        true
    }

    /// Services that the link goes without.
    pub(super) fn set_degraded(&self, degraded: Vec<Degraded>) {
        let mut line = self.line();
        line.degraded = degraded;
        line.report_due = true;
        drop(line);
        self.changed();
    }

    /// What the link says of itself.
    pub(super) fn report(&self) -> LinkReport {
        let line = self.line();
        LinkReport {
            degraded: line.degraded.clone(),
            topics: line.arrivals.report(line.no_echo.as_deref(), Instant::now()),
            largest_message: line.arrivals.smallest_limit(),
            credentials_fault: None,
        }
    }

    /// From now on takes no offers; hands over the last status, if it is given and can be sent at all.
    pub(super) fn close(&self, topic: &str, last_status: Option<Bytes>) -> Result<(), OfferError> {
        let mut line = self.line();
        line.closing = true;
        last_status.map_or(Ok(()), |payload| line.hand_over(topic, payload, Errand::LastStatus))
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
                if line.client.is_none() || (line.flights.len() == 0 && line.arrivals.is_settled()) {
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

    /// What upstream holds as the status of this gateway.
    pub(super) fn found(&self, status: Bytes) {
        self.line().events.push_back(Told::Found(status));
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
        if let Some(errand) = line.flights.acknowledged(packet_id) {
            let now = Instant::now();
            line.owed_since = (line.flights.len() > 0).then_some(now);
            let delivered = match errand {
                Errand::Message(flight) => Some(flight),
                Errand::Watched(ticket) => line.arrivals.acknowledged(ticket, now),
                Errand::LastStatus | Errand::Repeat => None,
            };
            line.events.extend(delivered.map(Told::Delivered));
            if matches!(errand, Errand::Watched(_)) {
                line.leave_proven();
            }
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
    /// of what it owes, or left out a message that it had before others; or what it acknowledged does not arrive.
    pub(super) fn overdue(&self, patience: Duration, now: Instant) -> Option<String> {
        let mut line = self.line();
        let looked = line.look(now);
        line.report_due |= line.arrivals.take_changed();
        if let Err(reason) = looked {
            return Some(reason);
        }
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
    fn hand_over(&mut self, topic: &str, payload: Bytes, errand: Errand) -> Result<(), OfferError> {
        let client = self.client.as_ref().ok_or(OfferError::NotConnected)?;
        let retain = match errand {
            Errand::LastStatus => self.services.retain,
            Errand::Message(flight) => flight.place == Place::Status && self.services.retain,
            Errand::Watched(_) | Errand::Repeat => false,
        };
        // The channel has room for every place there is, so this fails only where the connection has just
        // ended.
        client.try_publish(topic, QoS::AtLeastOnce, retain, payload).map_err(|_| OfferError::NotConnected)?;
        self.flights.hand_over(errand);
        self.owed_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Hands over a message whose echo may have to be awaited; `None` is one without verdicts.
    fn send_watched(
        &mut self,
        topic: &str,
        payload: Bytes,
        flight: Option<Flight>,
    ) -> Result<(), OfferError> {
        let actual = payload.len();
        if let Some(limit) = self.arrivals.limit(topic).filter(|&limit| actual > limit) {
            return Err(OfferError::TooLarge { actual, limit });
        }
        let ticket = self.arrivals.publish(topic, &payload, flight, Instant::now(), &mut self.requests);
        // To read it back, the topic must be subscribed to before.
        self.carry_out_requests();
        let errand = match (ticket, flight) {
            (Some(ticket), _) => Errand::Watched(ticket),
            (None, Some(flight)) => Errand::Message(flight),
            (None, None) => return Ok(()),
        };
        let handed_over = self.hand_over(topic, payload, errand);
        if let (Err(_), Some(ticket)) = (handed_over, ticket) {
            self.arrivals.retract(ticket);
        }
        handed_over
    }

    fn look(&mut self, now: Instant) -> Result<(), String> {
        let mut requests = std::mem::take(&mut self.requests);
        let looked = self.arrivals.look(now, &mut requests);
        self.requests = requests;
        self.carry_out_requests();
        looked
    }

    fn leave_proven(&mut self) {
        let mut requests = std::mem::take(&mut self.requests);
        self.arrivals.leave_proven(&mut requests);
        self.requests = requests;
        self.carry_out_requests();
    }

    /// What the connection takes no more is asked for again at the next look, or is void with it.
    fn carry_out_requests(&mut self) {
        let mut requests = std::mem::take(&mut self.requests);
        for request in requests.drain(..) {
            let Some(client) = &self.client else { continue };
            let taken = match request {
                Request::Watch(topic) => client.try_subscribe(topic, QoS::AtLeastOnce).is_ok(),
                Request::Leave(topic) => client.try_unsubscribe(topic).is_ok(),
                Request::Repeat(topic, payload) => self.hand_over(&topic, payload, Errand::Repeat).is_ok(),
            };
            if !taken {
                tracing::debug!("the connection takes no more requests");
            }
        }
        self.requests = requests;
    }

    /// The connection is gone. What it had delivered stays told; of connections, what is not read yet is
    /// out of date.
    fn void(&mut self) {
        self.client = None;
        self.announced = false;
        self.owed_since = None;
        self.held = false;
        for errand in self.flights.take_all() {
            if let Errand::Message(flight) = errand {
                self.places.free(flight.place);
            }
        }
        for flight in self.arrivals.void() {
            self.places.free(flight.place);
        }
        self.events.retain(|event| matches!(event, Told::Delivered(_) | Told::Command(_)));
    }

    fn next_event(&mut self) -> Option<SinkEvent> {
        if self.events.is_empty() && std::mem::take(&mut self.report_due) {
            return Some(SinkEvent::Changed);
        }
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
            Told::Found(status) => Some(SinkEvent::Found(status)),
            Told::Command(payload) => {
                self.commands -= 1;
                Some(SinkEvent::Command(payload))
            }
        }
    }
}

#[cfg(test)]
mod tests;
