//! Messages that a broker keeps: one per topic, always the newest that its owner wants there.
//!
//! Nothing queues here: of a topic the newest message waits, whatever the broker does, and after a loss of the connection all
//! of them go again. What an earlier run of the gateway left with the broker is read back once, so that nothing stays there
//! that nobody means any more.
//!
//! Reading order: [`RetainedTopics`]; `state`, what waits and what is in flight; `role`, one connection after another.

mod role;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::connection::ConnectionSettings;
use crate::driver::Driver;
use crate::packet;
use role::RetainedRole;
use state::SharedTopics;

/// Messages in flight at most.
const WINDOW: usize = 64;
/// Requests beside messages: subscriptions, their end, and the presence.
const REQUESTS: usize = 16;

/// What is said of the owner while its connection stands and its topics are up to date.
pub const ONLINE: &str = "online";
/// And else: by the owner, or by the broker in its place.
pub const OFFLINE: &str = "offline";

/// How topics are kept.
#[derive(Clone)]
pub struct RetainedSettings {
    /// The broker.
    pub connection: ConnectionSettings,
    /// Where [`ONLINE`] or [`OFFLINE`] is retained.
    pub presence: String,
    /// What takes topics of an earlier run.
    pub filters: Vec<String>,
    /// Which of what they take is the owner's.
    pub is_own: IsOwn,
    /// Topics at most; further ones are counted.
    pub max_topics: usize,
}

/// Which topics are the owner's.
pub type IsOwn = Arc<dyn Fn(&str) -> bool + Send + Sync>;

impl fmt::Debug for RetainedSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetainedSettings").field("presence", &self.presence).finish_non_exhaustive()
    }
}

/// How it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetainedReport {
    /// Whether the connection stands.
    pub connected: bool,
    /// Whether [`ONLINE`] is retained.
    pub present: bool,
    /// Topics with a message.
    pub topics: u64,
    /// Of these, not yet at the broker.
    pub waiting: u64,
    /// Messages that the broker has acknowledged, since the start.
    pub published: u64,
    /// Messages too large for a packet, and topics beyond the most, since the start.
    pub refused: u64,
    /// Why the last was refused, or why the connection is lost.
    pub last_error: Option<String>,
}

/// Keeps the topics. Dropping it without [`RetainedTopics::close`] makes the broker say that the owner is away.
#[derive(Debug)]
pub struct RetainedTopics {
    shared: SharedTopics,
    max_packet_bytes: usize,
    driver: tokio::sync::Mutex<Driver>,
}

impl RetainedTopics {
    /// Connects, and keeps connecting.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn spawn(settings: RetainedSettings) -> Self {
        let RetainedSettings { connection, presence, filters, is_own, max_topics } = settings;
        let shared = SharedTopics::new(presence, max_topics);
        let max_packet_bytes = connection.max_packet_bytes;
        let role = RetainedRole::new(shared.clone(), filters, is_own, connection.patience());
        let driver = Driver::start(connection, WINDOW + REQUESTS, role);
        Self { shared, max_packet_bytes, driver: tokio::sync::Mutex::new(driver) }
    }

    /// From now on this is retained there; an empty message takes away what is.
    pub fn set(&self, topic: &Arc<str>, payload: Bytes) {
        let (actual, limit) = (packet::publish(topic.len(), payload.len(), true), self.max_packet_bytes);
        if actual > limit {
            let reason = format!("{topic}: a message of {actual} bytes exceeds max_packet ({limit})");
            self.shared.with(|state| state.refuse(reason));
            return;
        }
        self.shared.with(|state| state.set(topic, payload));
    }

    /// Whether the owner is well. That it is goes out behind all that waits.
    pub fn set_present(&self, is_present: bool) {
        self.shared.with(|state| state.wanted = Some(is_present));
    }

    /// What an earlier run left, once it is read; topics that were set since are not among it.
    #[must_use]
    pub fn take_earlier(&self) -> Option<Vec<(String, Bytes)>> {
        self.shared.with(state::TopicsState::take_earlier)
    }

    /// How it is.
    #[must_use]
    pub fn report(&self) -> RetainedReport {
        self.shared.with(|state| state.report())
    }

    /// What is retained there is published again.
    pub fn again(&self, topic: &str) {
        self.shared.with(|state| state.repeat(topic));
    }

    /// Says that the owner is away, and leaves.
    pub async fn close(&self, grace: Duration) {
        self.set_present(false);
        if tokio::time::timeout(grace, self.shared.drained()).await.is_err() {
            tracing::info!("the broker has not acknowledged all retained messages in time");
        }
        self.driver.lock().await.stop().await;
    }
}
