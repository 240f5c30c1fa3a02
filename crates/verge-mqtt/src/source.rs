//! The connections that messages come in by. For readings: QoS 1, a persistent session under a stable client
//! identifier, acknowledgements by hand and strictly in order. For frames, where the newest counts: QoS 0 and a clean
//! session, so that none waits at the broker.
//!
//! When the pipeline takes no more of the former, the connection is dropped without acknowledging and the session delivers
//! again later; polling never stops, so pings do not stop either.

mod purpose;
mod state;

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;
use verge_domain::reading::{Inbound, Receipt, SourceIndex};
use verge_domain::stage::Source;
use verge_domain::time::Moment;

use crate::connection::ConnectionSettings;
use crate::driver::Driver;
use crate::receipts::Receipts;
use crate::subscriptions::Subscriptions;
use purpose::SourcePurpose;
use state::Observed;
pub use state::SourceState;

/// What the broker is asked to do with messages that are not taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Keep them until they are acknowledged, also while the gateway is away (QoS 1, persistent session).
    AtLeastOnce,
    /// Forget them (QoS 0, clean session).
    AtMostOnce,
}

/// Messages from one broker.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// The broker. A persistent session lives under its `client_id`, which must not be empty. Messages larger than
    /// `max_packet_bytes` are passed over and counted.
    pub connection: ConnectionSettings,
    /// What the broker keeps.
    pub guarantee: Guarantee,
    /// What to subscribe to, and which source each belongs to. Where several match a topic, the first takes
    /// the message.
    pub filters: Vec<(SourceIndex, String)>,
}

/// The pipeline takes no more messages for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the intake is full")]
pub struct IntakeFull;

/// Keeps the connection. Clones speak of the same one; it is closed without farewell when the last
/// of them is dropped.
///
/// While more than 5,000 messages a second arrive, its task rests its thread for a millisecond at a time.
/// Spawn it on a runtime of its own where that would be in others' way.
#[derive(Clone)]
pub struct MqttSource {
    receipts: Receipts,
    observed: Arc<Observed>,
    driver: Arc<Mutex<Driver>>,
}

impl MqttSource {
    /// Connects, and keeps connecting. `clock` says when a message was received; `offer` hands it to the
    /// pipeline and must not block: it runs between two polls of the connection.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn spawn(
        settings: SourceSettings,
        clock: impl Fn() -> Moment + Send + 'static,
        offer: impl FnMut(Inbound) -> Result<(), IntakeFull> + Send + 'static,
    ) -> Self {
        let receipts = Receipts::default();
        let observed = Arc::new(Observed::default());
        let SourceSettings { connection, guarantee, filters } = settings;
        // Every filter asked for once more after a refusal, and one acknowledgement.
        let requests = 2 * Subscriptions::requests(filters.len()) + 1;
        let purpose = SourcePurpose::new(
            &connection,
            guarantee,
            filters,
            receipts.clone(),
            Arc::clone(&observed),
            clock,
            offer,
        );
        let driver = Arc::new(Mutex::new(Driver::start(connection, requests, purpose)));
        Self { receipts, observed, driver }
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> SourceState {
        self.observed.state(self.receipts.totals())
    }

    /// Whether the connection's task has ended, by a stop or a fault of its own.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // Somebody who holds it is about to stop it.
        self.driver.try_lock().is_ok_and(|driver| driver.is_finished())
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
}

impl fmt::Debug for MqttSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqttSource").field("state", &self.state()).finish_non_exhaustive()
    }
}
