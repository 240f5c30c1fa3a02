//! What was asked of the broker, and what it granted.

use std::collections::{HashMap, VecDeque};

use rumqttc::{AsyncClient, QoS, SubAck, Subscribe, SubscribeFilter, SubscribeReasonCode};

/// Filters in one SUBSCRIBE packet: some brokers take no more than eight.
const FILTERS_PER_PACKET: usize = 8;

/// The broker's answer to one filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilterAnswer {
    pub(crate) filter: String,
    /// The QoS granted; `None` if the broker refuses the filter.
    pub(crate) granted: Option<QoS>,
}

/// The subscriptions of one connection that wait for their SUBACK.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    asked: VecDeque<Vec<String>>,
    sent: HashMap<u16, Vec<String>>,
    /// Of the packets that were composed here.
    last_id: u16,
}

impl Subscriptions {
    /// How many requests asking for this many filters takes.
    pub(crate) const fn requests(filters: usize) -> usize {
        filters.div_ceil(FILTERS_PER_PACKET)
    }

    /// Asks for filters. Never waits: the request channel has room for [`Subscriptions::requests`].
    ///
    /// # Errors
    /// The request channel takes no more, or a filter is malformed; a new connection is needed.
    pub(crate) fn ask(&mut self, client: &AsyncClient, filters: &[String], qos: QoS) -> Result<(), String> {
        for filters in filters.chunks(FILTERS_PER_PACKET) {
            let wanted = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), qos));
            client.try_subscribe_many(wanted).map_err(|_| "cannot subscribe".to_owned())?;
            self.asked.push_back(filters.to_vec());
        }
        Ok(())
    }

    /// Puts filters into packets, for a connection that numbers its packets itself.
    pub(crate) fn compose(&mut self, filters: &[String], qos: QoS) -> Vec<Subscribe> {
        let packets = filters.chunks(FILTERS_PER_PACKET).map(|filters| {
            let pkid = self.fresh_id();
            let wanted = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), qos));
            let packet = Subscribe { pkid, filters: wanted.collect() };
            self.sent.insert(packet.pkid, filters.to_vec());
            packet
        });
        packets.collect()
    }

    /// An identifier for a packet of such a connection.
    pub(crate) fn fresh_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    /// The oldest request was sent under this packet identifier.
    pub(crate) fn sent(&mut self, packet_id: u16) {
        if let Some(filters) = self.asked.pop_front() {
            self.sent.insert(packet_id, filters);
        }
    }

    /// Takes the broker's answer. Filters it says nothing about count as refused.
    pub(crate) fn answered(&mut self, answer: &SubAck) -> Vec<FilterAnswer> {
        let filters = self.sent.remove(&answer.pkid).unwrap_or_default();
        let granted = |position: usize| match answer.return_codes.get(position) {
            Some(SubscribeReasonCode::Success(qos)) => Some(*qos),
            Some(SubscribeReasonCode::Failure) | None => None,
        };
        filters
            .into_iter()
            .enumerate()
            .map(|(position, filter)| FilterAnswer { filter, granted: granted(position) })
            .collect()
    }

    /// Whether every request has its answer.
    pub(crate) fn is_settled(&self) -> bool {
        self.asked.is_empty() && self.sent.is_empty()
    }
}

/// A refused filter, in words.
pub(crate) fn refused(filter: &str) -> String {
    format!(
        "the broker refuses the subscription to \"{filter}\" (does its ACL allow this client to read there?)"
    )
}

#[cfg(test)]
mod tests {
    use rumqttc::MqttOptions;

    use super::*;

    #[test]
    fn answers_find_their_filters() {
        let (client, _eventloop) = AsyncClient::new(MqttOptions::new("t", "localhost", 1), 2);
        let filters: Vec<String> = (0..10).map(|index| format!("f/{index}")).collect();
        let mut subscriptions = Subscriptions::default();
        assert_eq!(Subscriptions::requests(filters.len()), 2);
        subscriptions.ask(&client, &filters, QoS::AtLeastOnce).unwrap();
        subscriptions.sent(1);
        subscriptions.sent(2);
        let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
        let second = subscriptions.answered(&SubAck::new(2, vec![granted, SubscribeReasonCode::Failure]));
        assert_eq!(
            second,
            [
                FilterAnswer { filter: "f/8".to_owned(), granted: Some(QoS::AtLeastOnce) },
                FilterAnswer { filter: "f/9".to_owned(), granted: None },
            ]
        );
        assert!(!subscriptions.is_settled());
        let first = subscriptions.answered(&SubAck::new(1, vec![granted; 7]));
        assert_eq!(first.iter().filter(|answer| answer.granted.is_none()).count(), 1, "one has no answer");
        assert!(subscriptions.is_settled());
    }
}
