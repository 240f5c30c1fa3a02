//! What stands between the caller that offers and the connection's task: messages in flight, and events not yet read.
//!
//! The events are bounded without ever being refused: a place in the window is free again only when the event
//! of its acknowledgement has been read, and of connections only the newest end and beginning are kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::AsyncClient;
use tokio::sync::Notify;
use verge_domain::link::{Degraded, LinkReport};
use verge_domain::stage::{OfferError, SinkEvent};

use super::arrival::TopicArrivals;
use super::outstanding::UplinkMessage;
use super::services::Services;
use super::state::{Publication, Unread, UplinkState};

/// Commands that wait to be read, at most; further ones are dropped.
const MAX_COMMANDS: usize = 16;

/// The state, shared by both its ends.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedUplink(Arc<(Mutex<UplinkState>, Notify)>);

impl SharedUplink {
    /// An uplink whose verdicts go to these topics.
    pub(super) fn new(topics: &[String]) -> Self {
        let state = UplinkState { arrivals: TopicArrivals::new(topics), ..UplinkState::default() };
        Self(Arc::new((Mutex::new(state), Notify::new())))
    }

    fn state(&self) -> MutexGuard<'_, UplinkState> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        let waiting = self.state().waiting.take();
        if let Some(waker) = waiting {
            waker.wake();
        }
        // For `drained`, which has one waiter at most: it needs the sink exclusively.
        self.0.1.notify_one();
    }

    /// Hands a message over, if there is room for it.
    pub(super) fn offer(
        &self,
        topic: &str,
        payload: Bytes,
        message: UplinkMessage,
        window: usize,
    ) -> Result<(), OfferError> {
        let mut state = self.state();
        if !state.announced || state.closing {
            return Err(OfferError::NotConnected);
        }
        let held = state.held && matches!(message, UplinkMessage::Verdicts(_));
        if held || !state.outstanding.has_room(message, window) {
            return Err(OfferError::WindowFull);
        }
        match message {
            UplinkMessage::Verdicts(token) => state.send_watched(topic, payload, Some(token))?,
            UplinkMessage::Status | UplinkMessage::Answer => {
                state.hand_over(topic, payload, Publication::Message(message))?;
            }
        }
        state.outstanding.add(message);
        Ok(())
    }

    /// Publishes a message without verdicts on each topic that is dead, to see whether it has come alive; says whether
    /// there was one.
    pub(super) fn prove(&self, message: impl Fn(&str) -> Bytes) -> bool {
        let mut state = self.state();
        let dead: Vec<String> = state.arrivals.dead().cloned().collect();
        for topic in &dead {
            let payload = message(topic);
            if state.send_watched(topic, payload, None).is_err() {
                tracing::debug!(%topic, "no room for a message that proves arrival");
            }
        }
        !dead.is_empty()
    }

    /// A connection begins. Its topics are read back, or not and why; its status is retained; verdicts are held back
    /// until [`SharedUplink::release`].
    pub(super) fn begin(&self, client: AsyncClient, no_echo: Option<String>, services: Services, held: bool) {
        let mut state = self.state();
        state.client = Some(client);
        state.arrivals.begin(no_echo.is_none(), Instant::now());
        state.no_echo = no_echo;
        state.services = services;
        state.held = held;
    }

    /// Verdicts may go. A caller that found verdicts held back offers again at an event, and there may be no other.
    pub(super) fn release(&self) {
        let mut state = self.state();
        state.held = false;
        state.report_due = true;
        drop(state);
        self.changed();
    }

    /// The topics that are read back.
    pub(super) fn watched_topics(&self) -> Vec<String> {
        self.state().arrivals.names().cloned().collect()
    }

    /// Some topic is dead: nothing was read back on it.
    pub(super) fn is_dead(&self) -> bool {
        self.state().arrivals.dead().next().is_some()
    }

    /// Whether a topic has died since this was last asked.
    pub(super) fn take_newly_dead(&self) -> bool {
        self.state().arrivals.take_newly_dead()
    }

    /// The broker has closed the connection: which message may be why.
    pub(super) fn closed(&self) -> Option<String> {
        self.state().arrivals.closed()
    }

    /// Some topic is dead because the broker closes at it.
    pub(super) fn is_closed(&self) -> bool {
        self.state().arrivals.is_closed()
    }

    /// Whether something was learnt about a limit on size since this was last asked.
    pub(super) fn take_learnt(&self) -> bool {
        self.state().arrivals.take_learnt()
    }

    /// Echoes are not possible on this connection: acknowledgements count.
    pub(super) fn without_echo(&self, reason: String) {
        let mut state = self.state();
        state.no_echo = Some(reason);
        let delivered = state.arrivals.give_up();
        state.deliver(delivered);
        state.report_due = true;
        drop(state);
        self.changed();
    }

    /// Whether the status is published.
    pub(super) fn takes_status(&self) -> bool {
        self.state().services.status
    }

    /// Whether a status is unacknowledged.
    pub(super) fn owes_status(&self) -> bool {
        self.state()
            .flights
            .any(|publication| matches!(publication, Publication::Message(UplinkMessage::Status)))
    }

    /// Whether anything else is, or has not come back.
    pub(super) fn owes_more(&self) -> bool {
        let state = self.state();
        !state.arrivals.is_settled()
            || state
                .flights
                .any(|publication| !matches!(publication, Publication::Message(UplinkMessage::Status)))
    }

    /// A message came on a topic of ours; false where it is none.
    pub(super) fn echoed(&self, topic: &str, payload: &Bytes) -> bool {
        let mut state = self.state();
        let Some(delivered) = state.arrivals.echoed(topic, payload, Instant::now()) else { return false };
        state.deliver(delivered);
        state.leave_proven();
        state.report_due |= state.arrivals.take_changed();
        drop(state);
        self.changed();
        true
    }

    /// Services that the link goes without.
    pub(super) fn set_degraded(&self, degraded: Vec<Degraded>) {
        let mut state = self.state();
        state.degraded = degraded;
        state.report_due = true;
        drop(state);
        self.changed();
    }

    /// What the link reports of itself.
    pub(super) fn report(&self) -> LinkReport {
        let state = self.state();
        LinkReport {
            degraded: state.degraded.clone(),
            topics: state.arrivals.report(state.no_echo.as_deref(), Instant::now()),
            largest_message: state.arrivals.smallest_limit(),
            credentials_fault: None,
            edge_node: None,
            site: None,
            publications: None,
        }
    }

    /// From now on takes no offers; hands over the last status, if it is given and can be sent at all.
    pub(super) fn close(&self, topic: &str, last_status: Option<Bytes>) -> Result<(), OfferError> {
        let mut state = self.state();
        state.closing = true;
        last_status.map_or(Ok(()), |payload| state.hand_over(topic, payload, Publication::LastStatus))
    }

    /// The next event; `None` once it has ended and everything is read.
    pub(super) fn poll_event(&self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        // Looked at and remembered under one lock: a change in between cannot be missed.
        let mut state = self.state();
        if let Some(event) = state.next_event() {
            return Poll::Ready(Some(event));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        if !state.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(context.waker())) {
            state.waiting = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Nothing is in flight any more, or the connection is lost.
    pub(super) async fn drained(&self) {
        loop {
            {
                let state = self.state();
                if state.client.is_none() || (state.flights.len() == 0 && state.arrivals.is_settled()) {
                    return;
                }
            }
            self.0.1.notified().await;
        }
    }

    pub(super) fn end(&self) {
        let mut state = self.state();
        state.void();
        state.ended = true;
        drop(state);
        self.changed();
    }

    /// What upstream holds as the status of this gateway.
    pub(super) fn found(&self, status: Bytes) {
        self.state().events.push_back(Unread::Found(status));
        self.changed();
    }

    pub(super) fn connected(&self, client: AsyncClient) {
        let mut state = self.state();
        state.client = Some(client);
        state.events.push_back(Unread::Connected);
        drop(state);
        self.changed();
    }

    pub(super) fn sent(&self, packet_id: u16) {
        let done = self.state().flights.sent(packet_id);
        debug_assert!(done.is_none(), "everything goes out at QoS 1");
    }

    pub(super) fn acknowledged(&self, packet_id: u16) {
        let mut state = self.state();
        if let Some(publication) = state.flights.acknowledged(packet_id) {
            let now = Instant::now();
            state.owed_since = (state.flights.len() > 0).then_some(now);
            let delivered = match publication {
                Publication::Message(message) => Some(message),
                Publication::Watched(ticket) => {
                    state.arrivals.acknowledged(ticket, now).map(UplinkMessage::Verdicts)
                }
                Publication::LastStatus | Publication::Repeat => None,
            };
            state.events.extend(delivered.map(Unread::Taken));
            if matches!(publication, Publication::Watched(_)) {
                state.leave_proven();
            }
        }
        drop(state);
        self.changed();
    }

    /// Upstream has sent a command.
    ///
    /// # Errors
    /// Why it is not taken, in words.
    pub(super) fn command(&self, payload: Bytes) -> Result<(), &'static str> {
        let mut state = self.state();
        if state.closing {
            return Err("the gateway is about to stop");
        }
        if state.commands >= MAX_COMMANDS {
            return Err("too many wait");
        }
        state.commands += 1;
        state.events.push_back(Unread::Command(payload));
        drop(state);
        self.changed();
        Ok(())
    }

    /// Why the connection is to be given up although it stands: for `patience`, upstream has acknowledged nothing
    /// of what it owes, or left out a message that it had before others; or what it acknowledged does not arrive.
    pub(super) fn overdue(&self, patience: Duration, now: Instant) -> Option<String> {
        let mut state = self.state();
        let looked = state.look(now);
        state.report_due |= state.arrivals.take_changed();
        if let Err(reason) = looked {
            return Some(reason);
        }
        let long = |since: Option<Instant>| since.is_some_and(|since| now.duration_since(since) >= patience);
        if long(state.owed_since) {
            return Some(format!("upstream acknowledges nothing for {} s", patience.as_secs()));
        }
        long(state.flights.passed_over_since())
            .then(|| "upstream acknowledges later messages and leaves an earlier one out".to_owned())
    }

    pub(super) fn lost(&self, reason: String) {
        let mut state = self.state();
        state.void();
        if !state.closing {
            state.events.push_back(Unread::Disconnected(reason));
        }
        drop(state);
        self.changed();
    }
}

#[cfg(test)]
mod tests;
