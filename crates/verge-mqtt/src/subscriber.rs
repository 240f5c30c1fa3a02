//! A reader of topics that reconnects by itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, Publish, QoS};
use tokio::sync::Notify;
use verge_domain::reading::Receipt;

use crate::connection::ConnectionSettings;
use crate::driver::{Driver, Ending, Flow, Role};
use crate::packet;
use crate::receipts::SubscriberReceipts;
use crate::subscriptions::{Subscriptions, refused};
use crate::takeover::Takeovers;

/// Messages that wait for the reader, at most. Brokers send fewer than that unacknowledged at QoS 1; where
/// one does not, the connection is dropped, and at QoS 0 the message.
const MAX_WAITING: usize = 4096;
/// Published messages outstanding at most; fewer than rumqttc takes before it reads no more requests.
const MAX_PUBLISHED: usize = 64;
/// Pause after the reader was too slow.
const SLOW_READER_PAUSE: Duration = Duration::from_millis(250);

/// One message as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Topic it was published on.
    pub topic: String,
    /// Payload, untouched.
    pub payload: Bytes,
    /// The broker kept it from before the subscription.
    pub retained: bool,
    /// The broker may have sent it before.
    pub redelivered: bool,
}

/// What happened at a [`Subscriber`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriberEvent {
    /// Connected, and the broker has granted every filter.
    Subscribed,
    /// The connection is lost, or could not be made; the subscriber tries again by itself.
    Disconnected {
        /// Why, in words.
        reason: String,
    },
    /// A message.
    Message(Delivery),
}

/// Why a message was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// No connection.
    #[error("not connected")]
    NotConnected,
    /// Too many are in flight.
    #[error("too many messages are on their way")]
    Busy,
    /// The message exceeds the configured packet size.
    #[error("a message of {actual} bytes with topic and header exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes of the packet.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

/// Reads topics: QoS 1, in a clean session unless it is to be resumed. A message is acknowledged when the reader takes it, so a slow
/// reader holds the broker back instead of losing messages.
#[derive(Debug)]
pub struct Subscriber {
    queue: SharedQueue,
    receipts: SubscriberReceipts,
    outlet: SharedOutlet,
    max_packet_bytes: usize,
    driver: Driver,
}

/// Where published messages are handed over.
#[derive(Debug, Default)]
struct Outlet {
    /// Of the connection that stands, if one does.
    client: Option<AsyncClient>,
    /// Messages handed over and not acknowledged.
    outstanding: usize,
}

#[derive(Debug, Clone, Default)]
struct SharedOutlet(Arc<Mutex<Outlet>>);

impl SharedOutlet {
    fn lock(&self) -> MutexGuard<'_, Outlet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection stands, or is lost with all that was in flight on it.
    fn renew(&self, client: Option<AsyncClient>) {
        *self.lock() = Outlet { client, outstanding: 0 };
    }
}

impl Subscriber {
    /// Connects, subscribes, and keeps doing so.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn spawn(connection: ConnectionSettings, filters: Vec<String>) -> Self {
        Self::start(connection, filters, false)
    }

    /// The same in a session that the broker keeps under the client identifier: what arrives without a connection comes
    /// with the next connection. After a message that is too large or cannot be read, which would come again in every
    /// connection of the session, the next connection begins without it: what else was on its way is lost.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn resume(connection: ConnectionSettings, filters: Vec<String>) -> Self {
        Self::start(connection, filters, true)
    }

    fn start(connection: ConnectionSettings, filters: Vec<String>, keeps_session: bool) -> Self {
        let queue = SharedQueue::default();
        let receipts = SubscriberReceipts::default();
        let outlet = SharedOutlet::default();
        let max_packet_bytes = connection.max_packet_bytes;
        let requests = Subscriptions::requests(filters.len()) + MAX_PUBLISHED;
        let role = SubscriberRole {
            filters,
            keeps_session,
            is_unreadable: false,
            subscriptions: Subscriptions::default(),
            receipts: receipts.clone(),
            queue: queue.clone(),
            outlet: outlet.clone(),
            client_id: connection.client_id.clone(),
            accepted: None,
            is_closed: false,
            takeovers: Takeovers::default(),
        };
        let driver = Driver::start(connection, requests, role);
        Self { queue, receipts, outlet, max_packet_bytes, driver }
    }

    /// The next event. Cancel-safe: dropping the future loses none. `None` once the subscriber was stopped
    /// and everything is read.
    pub async fn next(&mut self) -> Option<SubscriberEvent> {
        let (event, receipt) = self.queue.next().await?;
        if let Some(receipt) = receipt {
            self.receipts.settle(&[receipt]);
        }
        Some(event)
    }

    /// Publishes at QoS 1 on the same connection; never waits. Where the connection breaks before the message is
    /// acknowledged, it is lost.
    ///
    /// # Errors
    /// See [`NotPublished`].
    pub fn publish(&self, topic: &str, payload: Bytes) -> Result<(), NotPublished> {
        let (actual, limit) = (packet::publish(topic.len(), payload.len(), true), self.max_packet_bytes);
        if actual > limit {
            return Err(NotPublished::TooLarge { actual, limit });
        }
        let mut outlet = self.outlet.lock();
        let client = outlet.client.as_ref().ok_or(NotPublished::NotConnected)?;
        if outlet.outstanding >= MAX_PUBLISHED {
            return Err(NotPublished::Busy);
        }
        // The channel has room for all that may be outstanding, so this fails only where the connection has just
        // ended.
        client
            .try_publish(topic, QoS::AtLeastOnce, false, payload)
            .map_err(|_| NotPublished::NotConnected)?;
        outlet.outstanding += 1;
        Ok(())
    }

    /// Messages lost because they came at QoS 0 faster than they were read.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.lock().dropped
    }

    /// Disconnects. What has arrived can still be read.
    pub async fn stop(&mut self) {
        self.driver.stop().await;
        self.queue.change(|queue| queue.ended = true);
    }
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<(SubscriberEvent, Option<Receipt>)>,
    messages: usize,
    dropped: u64,
    ended: bool,
}

#[derive(Debug, Clone, Default)]
struct SharedQueue(Arc<(Mutex<Queue>, Notify)>);

impl SharedQueue {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, change: impl FnOnce(&mut Queue) -> R) -> R {
        let result = change(&mut self.lock());
        self.0.1.notify_one();
        result
    }

    async fn next(&self) -> Option<(SubscriberEvent, Option<Receipt>)> {
        loop {
            {
                let mut queue = self.lock();
                if let Some((event, receipt)) = queue.events.pop_front() {
                    queue.messages -= usize::from(matches!(event, SubscriberEvent::Message(_)));
                    return Some((event, receipt));
                }
                if queue.ended {
                    return None;
                }
            }
            self.0.1.notified().await;
        }
    }
}

impl Queue {
    /// Of connections only the newest end and beginning are reported, so that a reader who is away for days
    /// finds a bounded queue.
    fn report_disconnected(&mut self, reason: String) {
        self.events.retain(|(event, _)| matches!(event, SubscriberEvent::Message(_)));
        self.events.push_back((SubscriberEvent::Disconnected { reason }, None));
    }
}

struct SubscriberRole {
    filters: Vec<String>,
    keeps_session: bool,
    /// The broker holds something in the session that can never be taken.
    is_unreadable: bool,
    subscriptions: Subscriptions,
    receipts: SubscriberReceipts,
    queue: SharedQueue,
    outlet: SharedOutlet,
    client_id: String,
    /// When the broker accepted the connection that stands.
    accepted: Option<Instant>,
    /// The broker has closed it.
    is_closed: bool,
    takeovers: Takeovers,
}

impl SubscriberRole {
    fn take(&mut self, message: Publish) -> Flow {
        let acknowledge = message.qos != QoS::AtMostOnce;
        let receipts = &self.receipts;
        self.queue.change(|queue| {
            if queue.messages >= MAX_WAITING {
                if acknowledge {
                    let reason = "the reader is too slow; messages may be missing".to_owned();
                    return Flow::Pause(reason, SLOW_READER_PAUSE);
                }
                queue.dropped += 1;
                return Flow::Continue;
            }
            let receipt = acknowledge.then(|| receipts.open(message.pkid));
            let delivery = Delivery {
                topic: message.topic,
                payload: message.payload,
                retained: message.retain,
                redelivered: message.dup,
            };
            queue.messages += 1;
            queue.events.push_back((SubscriberEvent::Message(delivery), receipt));
            Flow::Continue
        })
    }
}

impl Role for SubscriberRole {
    fn customise(&mut self, options: &mut MqttOptions) {
        options.set_clean_session(!self.keeps_session || self.is_unreadable);
        options.set_manual_acks(true);
    }

    fn connected(&mut self, client: &AsyncClient) -> Flow {
        self.accepted = Some(Instant::now());
        // The session that held it has ended.
        self.is_unreadable = false;
        self.receipts.connected(client.clone());
        self.subscriptions = Subscriptions::default();
        match self.subscriptions.ask(client, &self.filters, QoS::AtLeastOnce) {
            Ok(()) => {
                self.outlet.renew(Some(client.clone()));
                Flow::Continue
            }
            Err(reason) => Flow::Drop(reason),
        }
    }

    fn event(&mut self, event: Event) -> Flow {
        match event {
            Event::Incoming(Packet::Publish(message)) => return self.take(message),
            Event::Incoming(Packet::SubAck(answer)) => {
                let answers = self.subscriptions.answered(&answer);
                if let Some(answer) = answers.iter().find(|answer| answer.granted.is_none()) {
                    return Flow::Drop(refused(&answer.filter));
                }
                if self.subscriptions.is_settled() {
                    self.queue.change(|queue| queue.events.push_back((SubscriberEvent::Subscribed, None)));
                }
            }
            Event::Incoming(Packet::PubAck(_)) => {
                // rumqttc ends the connection at an acknowledgement of nothing.
                let mut outlet = self.outlet.lock();
                outlet.outstanding = outlet.outstanding.saturating_sub(1);
            }
            Event::Outgoing(Outgoing::Subscribe(packet_id)) => self.subscriptions.sent(packet_id),
            Event::Outgoing(Outgoing::PubAck(packet_id)) => self.receipts.sent(packet_id),
            _ => {}
        }
        Flow::Continue
    }

    fn acknowledgements(&mut self, due: &mut Vec<u16>) {
        self.receipts.due(due);
    }

    fn ending(&mut self, ending: Ending) {
        self.is_closed = ending == Ending::Closed;
        self.is_unreadable |= ending == Ending::Unreadable;
    }

    fn lost(&mut self, reason: String) -> bool {
        let is_closed = std::mem::take(&mut self.is_closed);
        let stood = self.accepted.take().filter(|_| is_closed).map(|accepted| accepted.elapsed());
        let reason = match self.takeovers.lost(stood, &self.client_id) {
            Some(pattern) => format!("{reason} {pattern}"),
            None => reason,
        };
        self.outlet.renew(None);
        self.receipts.lost();
        self.queue.change(|queue| queue.report_disconnected(reason));
        true
    }

    fn ended(&mut self) {
        self.outlet.renew(None);
        self.receipts.lost();
        self.queue.change(|queue| queue.ended = true);
    }
}
