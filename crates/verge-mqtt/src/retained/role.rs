//! One connection after another, on which messages are retained.

use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, LastWill, MqttOptions, Outgoing, Packet, QoS};

use super::state::{Earlier, SharedTopics};
use super::{IsOwn, OFFLINE, WINDOW};
use crate::driver::{Flow, Role};
use crate::subscriptions::{Subscriptions, refused};

/// What is retained comes at once behind the SUBACK; after this long without any more of it all is read.
const QUIET: Duration = Duration::from_secs(1);
/// Connections that may be lost while it is read. Then it is left unread: what others retain may be larger than a packet here.
const MAX_FAILED_READS: u8 = 3;

pub(super) struct RetainedRole {
    shared: SharedTopics,
    filters: Vec<String>,
    is_own: IsOwn,
    patience: Duration,
    subscriptions: Subscriptions,
    client: Option<AsyncClient>,
    /// While what an earlier run left is read: since when nothing more of it has come.
    quiet_since: Option<Instant>,
    /// Since when the broker owes the answer to the subscription.
    asked: Option<Instant>,
    failed_reads: u8,
}

impl RetainedRole {
    pub(super) fn new(shared: SharedTopics, filters: Vec<String>, is_own: IsOwn, patience: Duration) -> Self {
        Self {
            shared,
            filters,
            is_own,
            patience,
            subscriptions: Subscriptions::default(),
            client: None,
            quiet_since: None,
            asked: None,
            failed_reads: 0,
        }
    }

    fn end_reading(&mut self) {
        self.quiet_since = None;
        for filter in &self.filters {
            // Where that fails the connection is about to end, and the subscription with it.
            if let Some(client) = &self.client
                && client.try_unsubscribe(filter.as_str()).is_err()
            {
                tracing::debug!("cannot end the subscription to retained topics");
            }
        }
        self.shared.with(super::state::TopicsState::is_read);
    }
}

impl Role for RetainedRole {
    fn customise(&mut self, options: &mut MqttOptions) {
        options.set_clean_session(true);
        // Five windows: see the uplink.
        options.set_inflight(5 * WINDOW as u16);
        let topic = self.shared.presence();
        options.set_last_will(LastWill::new(&*topic, OFFLINE, QoS::AtLeastOnce, true));
    }

    fn connected(&mut self, client: &AsyncClient) -> Flow {
        self.client = Some(client.clone());
        self.subscriptions = Subscriptions::default();
        self.quiet_since = None;
        let reads = self.shared.with(|state| {
            state.connected(client.clone());
            let reads = matches!(state.earlier, Earlier::Unread);
            if reads {
                state.earlier = Earlier::Reading(std::collections::HashMap::new());
            }
            reads
        });
        if !reads {
            return Flow::Continue;
        }
        self.asked = Some(Instant::now());
        // At QoS 0: brokers limit how much they queue for one client at QoS 1.
        match self.subscriptions.ask(client, &self.filters, QoS::AtMostOnce) {
            Ok(()) => Flow::Continue,
            Err(reason) => Flow::Drop(reason),
        }
    }

    fn event(&mut self, event: Event) -> Flow {
        match event {
            Event::Outgoing(Outgoing::Publish(packet_id)) => {
                self.shared.with(|state| state.sent(packet_id));
            }
            Event::Outgoing(Outgoing::Subscribe(packet_id)) => self.subscriptions.sent(packet_id),
            Event::Incoming(Packet::PubAck(answer)) => {
                self.shared.with(|state| state.acknowledged(answer.pkid));
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                let answers = self.subscriptions.answered(&answer);
                for answer in answers.iter().filter(|answer| answer.granted.is_none()) {
                    tracing::warn!(
                        "{}; what an earlier run retained there and this one does not stays there",
                        refused(&answer.filter)
                    );
                }
                if self.subscriptions.is_settled() {
                    self.quiet_since = Some(Instant::now());
                    self.asked = None;
                }
            }
            Event::Incoming(Packet::Publish(message)) if message.retain => {
                self.quiet_since = self.quiet_since.map(|_| Instant::now());
                if (self.is_own)(&message.topic) {
                    self.shared.with(|state| state.arrived(message.topic, message.payload));
                }
            }
            _ => {}
        }
        Flow::Continue
    }

    fn overdue(&mut self, now: Instant) -> Option<String> {
        if self.quiet_since.is_some_and(|since| now.saturating_duration_since(since) >= QUIET) {
            self.end_reading();
        }
        let asked = self.asked.map(|since| now.saturating_duration_since(since));
        if asked.is_some_and(|owed| owed >= self.patience) {
            return Some("the broker does not answer the subscription to retained topics".to_owned());
        }
        let owed = self.shared.with(|state| state.owed(now)).filter(|owed| *owed >= self.patience)?;
        Some(format!("the broker acknowledges no retained message for {} s", owed.as_secs()))
    }

    fn lost(&mut self, reason: String) -> bool {
        self.client = None;
        let was_reading = self.quiet_since.take().is_some() || self.asked.take().is_some();
        self.failed_reads = self.failed_reads.saturating_add(u8::from(was_reading));
        self.shared.with(|state| {
            state.lost(reason);
            if self.failed_reads == MAX_FAILED_READS && was_reading {
                tracing::warn!(
                    "what an earlier run retained cannot be read: what this one does not retain stays there"
                );
                state.is_read();
            }
        });
        true
    }

    fn ended(&mut self) {
        self.shared.with(super::state::TopicsState::ended);
    }
}
