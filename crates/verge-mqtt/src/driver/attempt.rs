//! One attempt with an event loop of rumqttc.

use std::time::Instant;

use rumqttc::{AsyncClient, Event, EventLoop, Outgoing, Packet, PubAck, Request, StateError};
use tokio::sync::watch;

use super::{AttemptEnd, Ending, FAREWELL, Flow, OVERDUE_LOOK, Role, disconnect, overdue, stopped};
use crate::connection::ConnectionSettings;
use crate::words::{attempt_words, is_closed, is_refusal, is_unreached, is_unreadable, words};

/// One attempt: from TCP to the end of the connection.
pub(super) struct Attempt<'a, P> {
    pub(super) settings: &'a ConnectionSettings,
    pub(super) eventloop: EventLoop,
    pub(super) client: AsyncClient,
    pub(super) role: &'a mut P,
    pub(super) stop: &'a mut watch::Receiver<bool>,
}

impl<P: Role> Attempt<'_, P> {
    pub(super) async fn run(mut self) -> AttemptEnd {
        // Until CONNACK nothing is in hand that cancelling `poll` could lose.
        let accepted = tokio::select! {
            biased;
            () = stopped(self.stop) => return AttemptEnd::Stopped,
            accepted = self.eventloop.poll() => accepted,
        };
        if let Err(error) = accepted {
            if is_refusal(&error) {
                self.role.ending(Ending::Refused);
            }
            if is_unreached(&error) {
                self.role.unreached();
            }
            return AttemptEnd::Lost(attempt_words(&error), None);
        }
        if let Some(end) = end_of(self.role.connected(&self.client)) {
            return end;
        }
        let mut leaving = false;
        // Why it leaves although there is no stop.
        let mut farewell = None;
        let mut due = Vec::new();
        let mut next_look = Instant::now() + OVERDUE_LOOK;
        loop {
            if !leaving && *self.stop.borrow() {
                leaving = true;
                disconnect(&self.client);
            }
            // `poll` must not be cancelled, except for a connection that is given up.
            let polled = tokio::select! {
                biased;
                polled = self.eventloop.poll() => polled,
                reason = overdue(self.role, &mut next_look) => {
                    return if leaving { AttemptEnd::Stopped } else { AttemptEnd::Lost(reason, None) };
                }
            };
            let mut next = match polled {
                Ok(event) => Some(event),
                Err(error) => {
                    if is_closed(&error) {
                        self.role.ending(Ending::Closed);
                    }
                    if is_unreadable(&error) {
                        self.role.ending(Ending::Unreadable);
                    }
                    return self.broken(leaving, words(&error));
                }
            };
            // `poll` reads several packets at a time and keeps their events; take them all at once.
            while let Some(event) = next {
                if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
                    return match farewell {
                        Some(reason) if !leaving => self.leave_for(reason).await,
                        _ => self.leave().await,
                    };
                }
                match self.role.event(event) {
                    Flow::Leave(reason) => {
                        farewell = Some(reason);
                        disconnect(&self.client);
                    }
                    flow => {
                        if let Some(end) = end_of(flow) {
                            return end;
                        }
                    }
                }
                next = self.eventloop.state.events.pop_front();
            }
            // A busy connection never lets the look beside `poll` come to its turn.
            if Instant::now() >= next_look {
                next_look = Instant::now() + OVERDUE_LOOK;
                if let Some(reason) = self.role.overdue(Instant::now()) {
                    return self.broken(leaving, reason);
                }
            }
            if let Err(reason) = self.acknowledge(&mut due).await {
                return self.unwritten(leaving, reason);
            }
        }
    }

    /// Writes the acknowledgements that are due. An error without a reason: nothing is taken any more.
    async fn acknowledge(&mut self, due: &mut Vec<u16>) -> Result<(), Option<String>> {
        self.role.acknowledgements(due);
        if due.is_empty() {
            return Ok(());
        }
        let writing = acknowledge(&mut self.eventloop, due);
        match tokio::time::timeout(self.settings.whole_connect_timeout(), writing).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Some(words(&error.into()))),
            Err(_) => Err(None),
        }
    }

    /// An acknowledgement could not be written.
    fn unwritten(&mut self, leaving: bool, reason: Option<String>) -> AttemptEnd {
        match reason {
            Some(reason) => self.broken(leaving, reason),
            None => AttemptEnd::Lost("the connection takes nothing any more".to_owned(), None),
        }
    }

    /// The connection broke. What arrived before still counts, except new messages: they come again.
    fn broken(&mut self, leaving: bool, reason: String) -> AttemptEnd {
        self.settle_rest();
        if leaving { AttemptEnd::Stopped } else { AttemptEnd::Lost(reason, None) }
    }

    /// DISCONNECT is out. Reads on until the broker closes: to close first, with unread bytes in the socket,
    /// would reset the connection and might take DISCONNECT with it, and the last will would be published.
    async fn leave(mut self) -> AttemptEnd {
        self.settle_rest();
        while let Ok(event) = self.eventloop.poll().await {
            self.settle(event);
        }
        self.settle_rest();
        AttemptEnd::Stopped
    }

    /// The same, to connect again.
    async fn leave_for(self, reason: String) -> AttemptEnd {
        // A broker that does not close has the DISCONNECT nevertheless.
        drop(tokio::time::timeout(FAREWELL, self.leave()).await);
        AttemptEnd::Lost(reason, None)
    }

    fn settle_rest(&mut self) {
        while let Some(event) = self.eventloop.state.events.pop_front() {
            self.settle(event);
        }
    }

    fn settle(&mut self, event: Event) {
        if !matches!(event, Event::Incoming(Packet::Publish(_))) {
            // The connection is at its end: what to do with it next is no question any more.
            self.role.event(event);
        }
    }
}

fn end_of(flow: Flow) -> Option<AttemptEnd> {
    match flow {
        Flow::Continue => None,
        Flow::Drop(reason) | Flow::Leave(reason) => Some(AttemptEnd::Lost(reason, None)),
        Flow::Pause(reason, pause) => Some(AttemptEnd::Lost(reason, Some(pause))),
    }
}

/// Writes acknowledgements and flushes once: going through the client would cost a flush for each.
async fn acknowledge(eventloop: &mut EventLoop, due: &mut Vec<u16>) -> Result<(), StateError> {
    let network = eventloop.network.as_mut().expect("a connection stands until `poll` fails");
    for packet_id in due.drain(..) {
        let request = Request::PubAck(PubAck::new(packet_id));
        if let Some(packet) = eventloop.state.handle_outgoing_packet(request)? {
            network.write(packet).await?;
        }
    }
    network.flush().await
}
