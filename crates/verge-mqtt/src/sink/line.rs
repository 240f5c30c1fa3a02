//! What stands between whoever offers and the connection's task: messages in flight, and events not yet read.
//!
//! The events are bounded without ever being refused: a place in the window is free again only when the event
//! of its acknowledgement has been read, and of connections only the newest end and beginning are told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rumqttc::{AsyncClient, QoS};
use tokio::sync::Notify;
use verge_domain::stage::{OfferError, SinkEvent, Token};

use crate::in_flight::InFlight;

/// Status messages outstanding at most, beside the window.
pub(super) const MAX_STATUSES: usize = 2;

/// One offered message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) token: Token,
    pub(super) place: Place,
}

/// Which place a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// One in the window.
    Window,
    /// One of [`MAX_STATUSES`].
    Status,
}

#[derive(Debug, Default)]
struct Line {
    client: Option<AsyncClient>,
    /// The beginning of this connection has been read: before that, whoever offers would not know that a
    /// new connection wants everything again, and would offer twice.
    announced: bool,
    /// `None` is our own last status: it takes no place, and nobody waits for an event about it.
    flights: InFlight<Option<Flight>>,
    /// Places taken: in flight, or acknowledged and not yet read.
    in_window: usize,
    statuses: usize,
    events: VecDeque<Told>,
    closing: bool,
    ended: bool,
}

#[derive(Debug)]
enum Told {
    Connected,
    Disconnected(String),
    Delivered(Flight),
}

/// The line, shared by both its ends.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedLine(Arc<(Mutex<Line>, Notify)>);

impl SharedLine {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        // There is one waiter at most, since both who wait need the sink exclusively.
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
        let limit = if flight.place == Place::Window { window } else { MAX_STATUSES };
        if *line.taken(flight.place) >= limit {
            return Err(OfferError::WindowFull);
        }
        line.hand_over(topic, payload, Some(flight))?;
        *line.taken(flight.place) += 1;
        Ok(())
    }

    /// From now on takes no offers; hands over the last status, if it is given and can be sent at all.
    pub(super) fn close(&self, topic: &str, last_status: Option<Bytes>) -> Result<(), OfferError> {
        let mut line = self.line();
        line.closing = true;
        last_status.map_or(Ok(()), |payload| line.hand_over(topic, payload, None))
    }

    pub(super) async fn event(&self) -> Option<SinkEvent> {
        loop {
            {
                let mut line = self.line();
                if let Some(event) = line.next_event() {
                    return Some(event);
                }
                if line.ended {
                    return None;
                }
            }
            self.0.1.notified().await;
        }
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
        if let Some(flight) = line.flights.acknowledged(packet_id).flatten() {
            line.events.push_back(Told::Delivered(flight));
        }
        drop(line);
        self.changed();
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
    fn taken(&mut self, place: Place) -> &mut usize {
        match place {
            Place::Window => &mut self.in_window,
            Place::Status => &mut self.statuses,
        }
    }

    fn hand_over(&mut self, topic: &str, payload: Bytes, flight: Option<Flight>) -> Result<(), OfferError> {
        let client = self.client.as_ref().ok_or(OfferError::NotConnected)?;
        let retain = flight.is_none_or(|flight| flight.place == Place::Status);
        // The channel has room for every place there is, so this fails only where the connection has just
        // ended.
        client.try_publish(topic, QoS::AtLeastOnce, retain, payload).map_err(|_| OfferError::NotConnected)?;
        self.flights.hand_over(flight);
        Ok(())
    }

    /// The connection is gone. What it had delivered stays told; of connections, what is not read yet is
    /// out of date.
    fn void(&mut self) {
        self.client = None;
        self.announced = false;
        for flight in self.flights.take_all().into_iter().flatten() {
            *self.taken(flight.place) -= 1;
        }
        self.events.retain(|event| matches!(event, Told::Delivered(_)));
    }

    fn next_event(&mut self) -> Option<SinkEvent> {
        match self.events.pop_front()? {
            Told::Connected => {
                self.announced = true;
                Some(SinkEvent::Connected)
            }
            Told::Disconnected(reason) => Some(SinkEvent::Disconnected { reason }),
            Told::Delivered(flight) => {
                *self.taken(flight.place) -= 1;
                Some(SinkEvent::Delivered(flight.token))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::{EventLoop, MqttOptions};

    use super::*;

    fn connect(line: &SharedLine) -> EventLoop {
        let (client, eventloop) = AsyncClient::new(MqttOptions::new("t", "localhost", 1), 8);
        line.connected(client);
        eventloop
    }

    fn offer(line: &SharedLine, token: u64) -> Result<(), OfferError> {
        offer_at(line, token, Place::Window)
    }

    fn offer_at(line: &SharedLine, token: u64, place: Place) -> Result<(), OfferError> {
        line.offer("t", Bytes::new(), Flight { token: Token(token), place }, 2)
    }

    fn read(line: &SharedLine) -> Option<SinkEvent> {
        line.line().next_event()
    }

    #[test]
    fn a_place_is_free_again_when_its_event_is_read() {
        let line = SharedLine::default();
        let _eventloop = connect(&line);
        assert_eq!(offer(&line, 1), Err(OfferError::NotConnected), "the connection is not announced yet");
        assert_eq!(read(&line), Some(SinkEvent::Connected));
        assert_eq!([offer(&line, 1), offer(&line, 2)], [Ok(()), Ok(())]);
        assert_eq!(offer(&line, 3), Err(OfferError::WindowFull));
        line.sent(1);
        line.sent(2);
        line.acknowledged(2);
        assert_eq!(offer(&line, 3), Err(OfferError::WindowFull), "its event is unread");
        assert_eq!(read(&line), Some(SinkEvent::Delivered(Token(2))));
        assert_eq!(offer(&line, 3), Ok(()));
        let status = |token| offer_at(&line, token, Place::Status);
        assert_eq!([status(7), status(8)], [Ok(()), Ok(())], "the status has places of its own");
        assert_eq!(status(9), Err(OfferError::WindowFull));
    }

    #[test]
    fn unread_events_stay_bounded_over_any_number_of_connections() {
        let line = SharedLine::default();
        let _eventloop = connect(&line);
        assert_eq!(read(&line), Some(SinkEvent::Connected));
        assert_eq!(offer(&line, 1), Ok(()));
        line.sent(1);
        line.acknowledged(1);
        for _ in 0..100 {
            line.lost("gone".to_owned());
            let _eventloop = connect(&line);
            assert_eq!(line.line().events.len(), 3, "what is delivered, the newest end and beginning");
        }
        assert_eq!(read(&line), Some(SinkEvent::Delivered(Token(1))));
        assert_eq!(read(&line), Some(SinkEvent::Disconnected { reason: "gone".to_owned() }));
        assert_eq!(read(&line), Some(SinkEvent::Connected));
        assert_eq!(read(&line), None);
    }

    #[test]
    fn a_closed_line_takes_the_last_status_and_nothing_else() {
        let line = SharedLine::default();
        let _eventloop = connect(&line);
        assert_eq!(read(&line), Some(SinkEvent::Connected));
        assert_eq!(offer(&line, 1), Ok(()));
        assert_eq!(line.close("t", Some(Bytes::new())), Ok(()));
        assert_eq!(offer(&line, 2), Err(OfferError::NotConnected));
        line.sent(1);
        line.sent(2);
        line.acknowledged(2);
        line.acknowledged(1);
        line.end();
        assert_eq!(read(&line), Some(SinkEvent::Delivered(Token(1))));
        assert_eq!(read(&line), None);
    }

    #[test]
    fn what_a_lost_connection_had_in_flight_frees_its_places() {
        let line = SharedLine::default();
        let _eventloop = connect(&line);
        assert_eq!(read(&line), Some(SinkEvent::Connected));
        assert_eq!([offer(&line, 1), offer(&line, 2)], [Ok(()), Ok(())]);
        line.sent(1);
        line.lost("gone".to_owned());
        let _eventloop = connect(&line);
        assert_eq!(read(&line), Some(SinkEvent::Disconnected { reason: "gone".to_owned() }));
        assert_eq!(read(&line), Some(SinkEvent::Connected));
        assert_eq!([offer(&line, 1), offer(&line, 2)], [Ok(()), Ok(())]);
        line.acknowledged(1);
        assert_eq!(read(&line), None, "an acknowledgement of the old connection means nothing");
    }
}
