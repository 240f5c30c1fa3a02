//! Which acknowledgement belongs to which message.
//!
//! rumqttc names no publish: it takes requests in order and says for each which packet identifier it has
//! given it. So the messages handed over stand in a line, and each report of a sent packet takes the first.

use std::collections::{HashMap, VecDeque};

/// Messages handed to rumqttc on one connection and not yet acknowledged.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    handed_over: VecDeque<T>,
    sent: HashMap<u16, T>,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self { handed_over: VecDeque::new(), sent: HashMap::new() }
    }
}

impl<T> InFlight<T> {
    /// A message was put into the request channel, behind all others.
    pub(crate) fn hand_over(&mut self, message: T) {
        self.handed_over.push_back(message);
    }

    /// The oldest message handed over was sent under this packet identifier. A message without identifier
    /// (QoS 0) is thereby done and returned.
    pub(crate) fn sent(&mut self, packet_id: u16) -> Option<T> {
        let message = self.handed_over.pop_front()?;
        if packet_id == 0 {
            return Some(message);
        }
        // An identifier is given again only after its acknowledgement, so nothing is replaced here.
        self.sent.insert(packet_id, message);
        None
    }

    /// The broker has acknowledged this packet.
    pub(crate) fn acknowledged(&mut self, packet_id: u16) -> Option<T> {
        self.sent.remove(&packet_id)
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.handed_over.len() + self.sent.len()
    }

    /// The connection is gone: all that was in flight, in no order.
    pub(crate) fn take_all(&mut self) -> Vec<T> {
        self.handed_over.drain(..).chain(self.sent.drain().map(|(_, message)| message)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_find_their_messages_in_any_order() {
        let mut flights = InFlight::default();
        for message in ["a", "b", "c", "d"] {
            flights.hand_over(message);
        }
        assert_eq!((flights.sent(7), flights.sent(0), flights.sent(8)), (None, Some("b"), None));
        assert_eq!(flights.acknowledged(8), Some("c"));
        assert_eq!(flights.acknowledged(8), None);
        assert_eq!(flights.acknowledged(7), Some("a"));
        assert_eq!(flights.len(), 1);
        assert_eq!(flights.take_all(), ["d"]);
        assert_eq!(flights.len(), 0);
    }
}
