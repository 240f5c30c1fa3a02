//! The state of one uplink: messages in flight, and events that are not read yet.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use rumqttc::{AsyncClient, QoS};
use verge_domain::link::Degraded;
use verge_domain::stage::{ControlEvent, OfferError, SinkEvent, Token};

use super::arrival::{Request, Ticket, TopicArrivals};
use super::outstanding::{Outstanding, UplinkMessage};
use super::services::Services;
use crate::in_flight::InFlight;

#[derive(Debug, Default)]
pub(super) struct UplinkState {
    pub(super) client: Option<AsyncClient>,
    /// The beginning of this connection has been read: before that, the caller would not know that a
    /// new connection wants everything again, and would offer twice.
    pub(super) announced: bool,
    pub(super) flights: InFlight<Publication>,
    pub(super) outstanding: Outstanding,
    /// Which of them have arrived.
    pub(super) arrivals: TopicArrivals,
    /// Requests that come of it, for the connection to send.
    pub(super) requests: Vec<Request>,
    /// No verdicts yet: services of the connection are tried one at a time.
    pub(super) held: bool,
    /// What the connection does beside verdicts.
    pub(super) services: Services,
    /// For the report.
    pub(super) degraded: Vec<Degraded>,
    pub(super) no_echo: Option<String>,
    pub(super) report_due: bool,
    pub(super) events: VecDeque<Unread>,
    /// Commands among the events.
    pub(super) commands: usize,
    /// Since when upstream owes an acknowledgement and has given none.
    pub(super) owed_since: Option<Instant>,
    /// The task that asked last for an event that was not there.
    pub(super) waiting: Option<Waker>,
    pub(super) closing: bool,
    pub(super) ended: bool,
}

/// What is published, and what its acknowledgement means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Publication {
    /// Our own last status: it takes no place, and no event reports it.
    LastStatus,
    /// It is delivered.
    Message(UplinkMessage),
    /// It is delivered once it has come back as well.
    Watched(Ticket),
    /// Nothing: a repetition, for its echo.
    Repeat,
}

#[derive(Debug)]
pub(super) enum Unread {
    Found(Bytes),
    Connected,
    Disconnected(String),
    /// Upstream has this message.
    Taken(UplinkMessage),
    Command(Bytes),
}

impl UplinkState {
    /// These have arrived.
    pub(super) fn deliver(&mut self, tokens: impl IntoIterator<Item = Token>) {
        let messages = tokens.into_iter().map(UplinkMessage::Verdicts);
        self.events.extend(messages.map(Unread::Taken));
    }

    pub(super) fn hand_over(
        &mut self,
        topic: &str,
        payload: Bytes,
        publication: Publication,
    ) -> Result<(), OfferError> {
        let client = self.client.as_ref().ok_or(OfferError::NotConnected)?;
        let retain = match publication {
            Publication::LastStatus => self.services.retain,
            Publication::Message(message) => message == UplinkMessage::Status && self.services.retain,
            Publication::Watched(_) | Publication::Repeat => false,
        };
        // The channel has room for every place there is, so this fails only where the connection has just
        // ended.
        client.try_publish(topic, QoS::AtLeastOnce, retain, payload).map_err(|_| OfferError::NotConnected)?;
        self.flights.hand_over(publication);
        self.owed_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Hands over a message whose echo may have to be awaited; `None` is one without verdicts.
    pub(super) fn send_watched(
        &mut self,
        topic: &str,
        payload: Bytes,
        token: Option<Token>,
    ) -> Result<(), OfferError> {
        let actual = payload.len();
        if let Some(limit) = self.arrivals.limit(topic).filter(|&limit| actual > limit) {
            return Err(OfferError::TooLarge { actual, limit });
        }
        let ticket = self.arrivals.publish(topic, &payload, token, Instant::now(), &mut self.requests);
        // To read it back, the topic must be subscribed to before.
        self.carry_out_requests();
        let publication = match (ticket, token) {
            (Some(ticket), _) => Publication::Watched(ticket),
            (None, Some(token)) => Publication::Message(UplinkMessage::Verdicts(token)),
            (None, None) => return Ok(()),
        };
        let handed_over = self.hand_over(topic, payload, publication);
        if let (Err(_), Some(ticket)) = (handed_over, ticket) {
            self.arrivals.retract(ticket);
        }
        handed_over
    }

    pub(super) fn look(&mut self, now: Instant) -> Result<(), String> {
        let mut requests = std::mem::take(&mut self.requests);
        let looked = self.arrivals.look(now, &mut requests);
        self.requests = requests;
        self.carry_out_requests();
        looked
    }

    pub(super) fn leave_proven(&mut self) {
        let mut requests = std::mem::take(&mut self.requests);
        self.arrivals.leave_proven(&mut requests);
        self.requests = requests;
        self.carry_out_requests();
    }

    /// What the connection takes no more is asked for again at the next look, or is void with it.
    pub(super) fn carry_out_requests(&mut self) {
        let mut requests = std::mem::take(&mut self.requests);
        for request in requests.drain(..) {
            let Some(client) = &self.client else { continue };
            let taken = match request {
                Request::Watch(topic) => client.try_subscribe(topic, QoS::AtLeastOnce).is_ok(),
                Request::Leave(topic) => client.try_unsubscribe(topic).is_ok(),
                Request::Repeat(topic, payload) => {
                    self.hand_over(&topic, payload, Publication::Repeat).is_ok()
                }
            };
            if !taken {
                tracing::debug!("the connection takes no more requests");
            }
        }
        self.requests = requests;
    }

    /// The connection is lost. What it delivered is still reported; of connections, what is not read yet is
    /// out of date.
    pub(super) fn void(&mut self) {
        self.client = None;
        self.announced = false;
        self.owed_since = None;
        self.held = false;
        for publication in self.flights.take_all() {
            if let Publication::Message(message) = publication {
                self.outstanding.remove(message);
            }
        }
        for token in self.arrivals.void() {
            self.outstanding.remove(UplinkMessage::Verdicts(token));
        }
        self.events.retain(|event| matches!(event, Unread::Taken(_) | Unread::Command(_)));
    }

    pub(super) fn next_event(&mut self) -> Option<SinkEvent> {
        if self.events.is_empty() && std::mem::take(&mut self.report_due) {
            return Some(SinkEvent::Changed);
        }
        match self.events.pop_front()? {
            Unread::Connected => {
                self.announced = true;
                Some(SinkEvent::Connected)
            }
            Unread::Disconnected(reason) => Some(SinkEvent::Disconnected { reason }),
            Unread::Taken(message) => {
                self.outstanding.remove(message);
                Some(match message {
                    UplinkMessage::Verdicts(token) => SinkEvent::Delivered(token),
                    UplinkMessage::Status => SinkEvent::Control(ControlEvent::StatusTaken),
                    UplinkMessage::Answer => SinkEvent::Control(ControlEvent::AnswerTaken),
                })
            }
            Unread::Found(status) => Some(SinkEvent::Control(ControlEvent::Found(status))),
            Unread::Command(payload) => {
                self.commands -= 1;
                Some(SinkEvent::Control(ControlEvent::Command(payload)))
            }
        }
    }
}
