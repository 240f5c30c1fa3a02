//! One connection that publishes, for devices, tools and tests. It does not reconnect: what became of each
//! message is known, and the caller decides.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use verge_domain::filter::{self, FilterError};

use crate::connection::ConnectionSettings;
use crate::driver::{Driver, Flow, Role};
use crate::in_flight::InFlight;
use crate::packet;

/// Messages in flight at most.
const WINDOW: usize = 64;

/// Why a message was not published, or not provably.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No connection could be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not, in words.
        reason: String,
    },
    /// The connection is lost; the message may have arrived or not.
    #[error("the connection to {address} is lost: {reason}")]
    Lost {
        /// Where to.
        address: String,
        /// Why, in words.
        reason: String,
    },
    /// The topic cannot be published on.
    #[error("topic {topic:?}: {source}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong with it.
        source: FilterError,
    },
    /// The message exceeds the configured packet size.
    #[error("a message of {actual} bytes with topic and header exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes of the packet.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

/// Publishes over one connection, with up to 64 messages in flight.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<PublisherShared>,
    max_packet_bytes: usize,
    driver: Driver,
}

#[derive(Debug)]
struct PublisherShared {
    address: String,
    permits: Arc<Semaphore>,
    state: Mutex<Publishing>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Publishing {
    client: Option<AsyncClient>,
    /// Why the connection is lost. It is never made again.
    lost: Option<String>,
    pending: InFlight<PendingPublish>,
}

/// A message in flight: its permit in the window, and who waits for it.
#[derive(Debug)]
struct PendingPublish {
    _permit: OwnedSemaphorePermit,
    done: Option<oneshot::Sender<()>>,
}

impl Publisher {
    /// Connects, once. The session is clean.
    ///
    /// # Errors
    /// [`PublishError::Connect`].
    pub async fn connect(connection: ConnectionSettings) -> Result<Self, PublishError> {
        let shared = Arc::new(PublisherShared {
            address: connection.address.to_string(),
            permits: Arc::new(Semaphore::new(WINDOW)),
            state: Mutex::default(),
            changed: Notify::new(),
        });
        let max_packet_bytes = connection.max_packet_bytes;
        let driver = Driver::start(connection, WINDOW, PublisherRole { shared: Arc::clone(&shared) });
        let publisher = Self { shared, max_packet_bytes, driver };
        let reason = publisher
            .until(|state| match &state.lost {
                Some(reason) => Some(Some(reason.clone())),
                None => state.client.is_some().then_some(None),
            })
            .await;
        match reason {
            None => Ok(publisher),
            Some(reason) => Err(PublishError::Connect { address: publisher.shared.address.clone(), reason }),
        }
    }

    /// Publishes one message and waits until the broker has acknowledged it (at QoS 0: until it is sent).
    ///
    /// # Errors
    /// The connection is lost, or the message can never be sent.
    pub async fn publish(
        &self,
        topic: &str,
        payload: Bytes,
        qos: QoS,
        retain: bool,
    ) -> Result<(), PublishError> {
        let (done, acknowledged) = oneshot::channel();
        self.hand_over(topic, payload, qos, retain, Some(done)).await?;
        // The sender is dropped unused where the connection is lost.
        acknowledged.await.map_err(|_| self.lost())
    }

    /// Hands one message over, waiting only for a place in the window. [`Publisher::flush`] reports whether it
    /// was acknowledged.
    ///
    /// # Errors
    /// The connection is lost, or the message can never be sent.
    pub async fn submit(
        &self,
        topic: &str,
        payload: Bytes,
        qos: QoS,
        retain: bool,
    ) -> Result<(), PublishError> {
        self.hand_over(topic, payload, qos, retain, None).await
    }

    /// Waits until everything handed over is acknowledged.
    ///
    /// # Errors
    /// The connection is lost: at least one message may not have arrived.
    pub async fn flush(&self) -> Result<(), PublishError> {
        let lost = self
            .until(|state| match state.lost {
                Some(_) => Some(true),
                None => (state.pending.len() == 0).then_some(false),
            })
            .await;
        if lost { Err(self.lost()) } else { Ok(()) }
    }

    /// Disconnects after everything handed over is acknowledged, or the connection is lost.
    pub async fn close(mut self) {
        if let Err(error) = self.flush().await {
            tracing::debug!(%error, "closed with messages in flight");
        }
        self.driver.stop().await;
    }

    async fn hand_over(
        &self,
        topic: &str,
        payload: Bytes,
        qos: QoS,
        retain: bool,
        done: Option<oneshot::Sender<()>>,
    ) -> Result<(), PublishError> {
        filter::validate_topic(topic)
            .map_err(|source| PublishError::Topic { topic: topic.to_owned(), source })?;
        let (actual, limit) =
            (packet::publish(topic.len(), payload.len(), qos != QoS::AtMostOnce), self.max_packet_bytes);
        if actual > limit {
            return Err(PublishError::TooLarge { actual, limit });
        }
        let permit = Arc::clone(&self.shared.permits).acquire_owned().await.map_err(|_| self.lost())?;
        let mut state = self.shared.state();
        let handed_over = state
            .client
            .as_ref()
            .is_some_and(|client| client.try_publish(topic, qos, retain, payload).is_ok());
        if !handed_over {
            drop(state);
            return Err(self.lost());
        }
        state.pending.hand_over(PendingPublish { _permit: permit, done });
        Ok(())
    }

    fn lost(&self) -> PublishError {
        let reason = self.shared.state().lost.clone().unwrap_or_else(|| "it has just ended".to_owned());
        PublishError::Lost { address: self.shared.address.clone(), reason }
    }

    /// Waits until the state has an answer.
    async fn until<R>(&self, answer: impl Fn(&Publishing) -> Option<R>) -> R {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // Registered before looking, so that a change in between is not missed.
            changed.as_mut().enable();
            if let Some(answer) = answer(&self.shared.state()) {
                return answer;
            }
            changed.await;
        }
    }
}

impl PublisherShared {
    fn state(&self) -> MutexGuard<'_, Publishing> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, flight: Option<PendingPublish>) {
        if let Some(PendingPublish { done: Some(done), .. }) = flight {
            // The receiver is dropped where the caller has given up.
            done.send(()).unwrap_or_default();
        }
        self.changed.notify_waiters();
    }
}

struct PublisherRole {
    shared: Arc<PublisherShared>,
}

impl PublisherRole {
    fn end(&self, reason: &str) {
        self.shared.permits.close();
        let mut state = self.shared.state();
        state.client = None;
        state.lost.get_or_insert_with(|| reason.to_owned());
        drop(state.pending.take_all());
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

impl Role for PublisherRole {
    fn customise(&mut self, options: &mut MqttOptions) {
        options.set_clean_session(true);
        // Five windows: see the uplink.
        options.set_inflight(5 * WINDOW as u16);
    }

    fn connected(&mut self, client: &AsyncClient) -> Flow {
        self.shared.state().client = Some(client.clone());
        self.shared.changed.notify_waiters();
        Flow::Continue
    }

    fn event(&mut self, event: Event) -> Flow {
        let done = match event {
            Event::Outgoing(Outgoing::Publish(packet_id)) => self.shared.state().pending.sent(packet_id),
            Event::Incoming(Packet::PubAck(acknowledgement)) => {
                self.shared.state().pending.acknowledged(acknowledgement.pkid)
            }
            Event::Incoming(Packet::PubComp(completion)) => {
                self.shared.state().pending.acknowledged(completion.pkid)
            }
            _ => None,
        };
        if done.is_some() {
            self.shared.done(done);
        }
        Flow::Continue
    }

    fn lost(&mut self, reason: String) -> bool {
        self.end(&reason);
        false
    }

    fn ended(&mut self) {
        self.end("closed");
    }
}
