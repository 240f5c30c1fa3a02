//! Which acknowledgement belongs to which message.
//!
//! rumqttc names no publish: it takes requests in order and says for each which packet identifier it has
//! given it. So the messages handed over stand in a line, and each report of a sent packet takes the first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

/// Messages handed to rumqttc on one connection and not yet acknowledged.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    handed_over: VecDeque<T>,
    /// By order of sending.
    sent: BTreeMap<u64, T>,
    /// Packet identifier -> order of sending.
    orders: HashMap<u16, u64>,
    next_order: u64,
    /// The oldest message in flight, and since when a later one is acknowledged before it. Brokers acknowledge
    /// in order (MQTT 3.1.1, section 4.6), so its acknowledgement is probably lost.
    passed_over: Option<(u64, Instant)>,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self {
            handed_over: VecDeque::new(),
            sent: BTreeMap::new(),
            orders: HashMap::new(),
            next_order: 0,
            passed_over: None,
        }
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
        self.orders.insert(packet_id, self.next_order);
        self.sent.insert(self.next_order, message);
        self.next_order += 1;
        None
    }

    /// The broker has acknowledged this packet.
    pub(crate) fn acknowledged(&mut self, packet_id: u16) -> Option<T> {
        let order = self.orders.remove(&packet_id)?;
        let message = self.sent.remove(&order);
        if self.passed_over.is_some_and(|(passed_over, _)| passed_over == order) {
            self.passed_over = None;
        }
        let oldest = self.sent.first_key_value().map(|(&oldest, _)| oldest);
        if let Some(oldest) = oldest.filter(|oldest| *oldest < order && self.passed_over.is_none()) {
            self.passed_over = Some((oldest, Instant::now()));
        }
        message
    }

    /// Since when a message is unacknowledged that was sent before one that is.
    pub(crate) fn passed_over_since(&self) -> Option<Instant> {
        self.passed_over.map(|(_, since)| since)
    }

    /// Whether there is such a message.
    pub(crate) fn any(&self, is_such: impl Fn(&T) -> bool) -> bool {
        self.handed_over.iter().chain(self.sent.values()).any(is_such)
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.handed_over.len() + self.sent.len()
    }

    /// The connection is lost: returns all that was in flight.
    pub(crate) fn take_all(&mut self) -> Vec<T> {
        self.orders.clear();
        self.passed_over = None;
        let sent = std::mem::take(&mut self.sent).into_values();
        self.handed_over.drain(..).chain(sent).collect()
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
        assert!(flights.passed_over_since().is_some(), "a was sent before");
        assert_eq!(flights.acknowledged(7), Some("a"));
        assert!(flights.passed_over_since().is_none());
        assert_eq!(flights.len(), 1);
        assert_eq!(flights.take_all(), ["d"]);
        assert_eq!(flights.len(), 0);
    }
}
