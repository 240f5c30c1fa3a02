//! One connection of an edge node after another.

use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, LastWill, MqttOptions, Outgoing, Packet, QoS, SubAck};

use super::BirthNumbers;
use super::shared::SharedNode;
use crate::driver::{Flow, Role};
use crate::subscriptions::refused;

/// Packet identifiers beside each other at most: only the death of the node has one.
const INFLIGHT: u16 = 16;

pub(super) struct EdgeRole {
    shared: SharedNode,
    numbers: BirthNumbers,
    /// How long the broker may owe an answer.
    patience: Duration,
    /// A CONNECT packet was sent in this attempt, as far as is known.
    sent_connect: bool,
    /// The first subscription is answered.
    is_subscribed: bool,
}

impl EdgeRole {
    pub(super) fn new(shared: SharedNode, numbers: BirthNumbers, patience: Duration) -> Self {
        Self { shared, numbers, patience, sent_connect: false, is_subscribed: false }
    }

    fn answered(&mut self, answer: &SubAck) -> Flow {
        let is_first = !std::mem::replace(&mut self.is_subscribed, true);
        let answers = self.shared.with(|node, subscriptions, _| {
            let answers = subscriptions.answered(answer);
            // A refusal of what was granted before is an answer as well: the broker has read all before it.
            if is_first {
                node.subscribed()
            } else {
                node.confirmed()
            }
            answers
        });
        // Few brokers know the form of STATE before 3.0.
        let matters = |filter: &str| is_first && !filter.starts_with("STATE/");
        let refusal = answers.into_iter().find(|answer| answer.granted.is_none() && matters(&answer.filter));
        refusal.map_or(Flow::Continue, |answer| Flow::Drop(refused(&answer.filter)))
    }
}

/// Where the connection's task ends by a fault of its own, the caller that waits for events must learn of it.
impl Drop for EdgeRole {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Role for EdgeRole {
    async fn prepare(&mut self) {
        self.numbers.reserve().await;
        self.sent_connect = true;
    }

    fn customise(&mut self, options: &mut MqttOptions) {
        options.set_clean_session(true);
        options.set_inflight(INFLIGHT);
        self.is_subscribed = false;
        let number = self.numbers.current();
        let (topic, will) = self.shared.with(|node, _, _| node.connecting(number));
        options.set_last_will(LastWill::new(topic, will, QoS::AtLeastOnce, false));
    }

    fn unreached(&mut self) {
        self.sent_connect = false;
    }

    fn connected(&mut self, client: &AsyncClient) -> Flow {
        self.shared.connected(client.clone());
        Flow::Continue
    }

    fn event(&mut self, event: Event) -> Flow {
        match event {
            Event::Outgoing(Outgoing::Publish(_)) => self.shared.written(),
            Event::Outgoing(Outgoing::Subscribe(packet_id)) => {
                self.shared.with(|_, subscriptions, _| subscriptions.sent(packet_id));
            }
            Event::Incoming(Packet::SubAck(answer)) => return self.answered(&answer),
            Event::Incoming(Packet::PubAck(_)) => self.shared.with(|node, _, _| node.left()),
            Event::Incoming(Packet::Publish(message)) => {
                self.shared.with(|node, _, shown| {
                    node.message(&message.topic, &message.payload, message.retain, (shown.now)());
                });
            }
            _ => {}
        }
        self.shared.takes_leave().map_or(Flow::Continue, Flow::Leave)
    }

    fn overdue(&mut self, now: Instant) -> Option<String> {
        let owed = self.shared.owed(now).filter(|owed| *owed >= self.patience)?;
        Some(format!("the broker does not answer a subscription for {} s", owed.as_secs()))
    }

    fn lost(&mut self, reason: String) -> bool {
        self.numbers.ended(self.sent_connect);
        self.shared.lost(reason);
        true
    }

    fn ended(&mut self) {
        self.shared.end();
    }
}
