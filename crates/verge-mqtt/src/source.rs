//! The connections that messages come in by. For readings: QoS 1, a persistent session under a stable client
//! identifier, acknowledgements by hand and strictly in order. For frames, where the newest counts: QoS 0 and a clean
//! session, so that none waits at the broker.
//!
//! When the pipeline takes no more, the connection is left unread and pings go on: the broker keeps the connection and
//! what it has not sent, the network keeps the rest. To disconnect instead would have it all sent again, which costs more
//! than to wait, and under a broker that keeps everything in flight would never end.
//!
//! rumqttc's event loop can neither skip a packet nor leave a connection unread, so only its packets are used here.
//!
//! Reading order: `wire` (bytes), `dial` (one connection), `connection` (one after another), `role` (what is done with
//! what comes), `receipts` (acknowledgements, and what is remembered for redeliveries).

mod connection;
mod dial;
mod moved;
mod rate;
mod receipts;
mod role;
mod state;
mod wire;

use std::fmt;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use verge_domain::reading::{Acknowledged, Receipt, Session, SourceIndex};
use verge_domain::stage::{Intake, Source};
use verge_domain::time::Moment;

use crate::connection::ConnectionSettings;
use crate::driver::Driver;
use crate::takeover::Takeovers;
use connection::Connections;
use moved::Moved;
use receipts::Receipts;
pub use receipts::Repetition;
use role::SourceRole;
use state::SharedSourceState;
pub use state::SourceState;

/// What the broker is to do with messages that are not taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Keep them until they are acknowledged, also while the gateway is away (QoS 1), in this persistent session.
    AtLeastOnce(Session),
    /// Forget them (QoS 0, clean session).
    AtMostOnce,
}

/// Messages from one broker.
#[derive(Debug, Clone)]
pub struct MqttSourceSettings {
    /// The broker. A persistent session lives under its `client_id`, which must not be empty. Messages larger than
    /// `max_packet_bytes` are passed over and counted.
    pub connection: ConnectionSettings,
    /// What the broker keeps.
    pub guarantee: Guarantee,
    /// How it repeats what is not acknowledged.
    pub repetition: Repetition,
    /// What to subscribe to, and which source each belongs to. Where several match a topic, the first takes
    /// the message.
    pub filters: Vec<(SourceIndex, String)>,
}

/// What an earlier version or configuration may have subscribed to in this session, and other connections have now. Once
/// those hold their subscriptions, they are given up here; what still comes on them is handed to the intake like all else.
#[derive(Debug, Clone)]
pub struct MovedFilters {
    /// The filters, and which source each belongs to.
    pub filters: Vec<(SourceIndex, String)>,
    /// The connections that have them now.
    pub to: Vec<MqttSource>,
}

/// Keeps the connection. Clones share the same one; it is closed without DISCONNECT when the last
/// of them is dropped.
///
/// While more than 2,000 messages a second arrive, its task rests its thread for one to two milliseconds at a time.
/// Spawn it on a runtime of its own where that would delay other tasks.
#[derive(Clone)]
pub struct MqttSource {
    session: Option<Session>,
    receipts: Receipts,
    observed: Arc<SharedSourceState>,
    driver: Arc<Mutex<Driver>>,
    running: Arc<watch::Sender<bool>>,
}

impl MqttSource {
    /// Connects, and keeps connecting. `clock` says when a message was received.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn spawn(
        settings: MqttSourceSettings,
        clock: impl Fn() -> Moment + Send + 'static,
        intake: impl Intake + 'static,
    ) -> Self {
        Self::spawn_with(settings, Moved::default(), clock, intake)
    }

    /// The same where filters of this session have moved to another connection.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn spawn_without(
        moved: MovedFilters,
        settings: MqttSourceSettings,
        clock: impl Fn() -> Moment + Send + 'static,
        intake: impl Intake + 'static,
    ) -> Self {
        let to = moved.to.into_iter().map(|source| source.observed).collect();
        Self::spawn_with(settings, Moved::new(moved.filters, to), clock, intake)
    }

    fn spawn_with(
        settings: MqttSourceSettings,
        moved: Moved,
        clock: impl Fn() -> Moment + Send + 'static,
        intake: impl Intake + 'static,
    ) -> Self {
        let observed = Arc::new(SharedSourceState::default());
        let MqttSourceSettings { connection, guarantee, repetition, filters } = settings;
        let receipts = Receipts::new(repetition);
        let session = match guarantee {
            Guarantee::AtLeastOnce(session) => Some(session),
            Guarantee::AtMostOnce => None,
        };
        let role = SourceRole::new(
            &connection,
            (guarantee, repetition),
            filters,
            receipts.clone(),
            Arc::clone(&observed),
            clock,
            intake,
        )
        .without(moved);
        let driver = Driver::of_attempts(
            connection.clone(),
            Connections { settings: connection, role, takeovers: Takeovers::default() },
        );
        let (running, driver) = (driver.running(), Arc::new(Mutex::new(driver)));
        Self { session, receipts, observed, driver, running }
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> SourceState {
        self.observed.state(self.receipts.totals())
    }

    /// Waits until the connection's task has ended, by a stop or a fault of its own.
    pub async fn ended(&self) {
        self.running.closed().await;
    }

    /// Acknowledges what is settled, disconnects, and does not come back. The session stays at the broker.
    pub async fn stop(&self) {
        self.driver.lock().await.stop().await;
    }
}

impl Source for MqttSource {
    fn settle(&self, receipts: &[Receipt]) {
        self.receipts.settle(receipts);
    }

    fn acknowledged(&self, out: &mut Vec<Acknowledged>) {
        out.extend(self.session.map(|session| self.receipts.acknowledged(session)));
    }
}

impl fmt::Debug for MqttSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqttSource").field("state", &self.state()).finish_non_exhaustive()
    }
}
