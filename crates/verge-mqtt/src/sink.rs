//! The uplink: verdicts and status, QoS 1, clean session, last will; commands in the other direction.
//!
//! A connection that stands and acknowledges nothing for a keep-alive is given up: "connected" does not mean
//! "received". Nothing is queued here: what upstream has not acknowledged is offered again by its owner.
//!
//! Reading order: [`UplinkSink`]; `control`, status and answers; `role`, one connection after another; `shared` and
//! `state`, what is in flight; `arrival`, whether what was acknowledged has arrived; `services`, what the broker allows.
//!
//! MQTT 3.1.1 has no refusal of a message: its PUBACK always means that the broker has it. A broker that answers our
//! CONNECT of that version and then refuses by a reason code of MQTT 5 is not noticed, for rumqttc drops the code.

mod arrival;
mod control;
mod outstanding;
mod role;
mod services;
mod shared;
mod state;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use verge_domain::id::Lane;
use verge_domain::link::LinkReport;
use verge_domain::stage::{OfferError, Sink, SinkEvent, Token};

use crate::connection::ConnectionSettings;
use crate::driver::Driver;
use crate::packet;
use crate::renewal::Renewal;
use crate::takeover::Takeovers;
pub use control::WillMessage;
use outstanding::{MAX_ANSWERS, MAX_STATUSES, UplinkMessage};
use role::{UplinkConnection, UplinkRole};
use services::Care;
pub use services::Services;
pub(crate) use services::consequence;
use shared::SharedUplink;

/// Longer commands are dropped unread.
const MAX_COMMAND_BYTES: usize = 4096;
/// Requests beside messages: subscriptions, and the end of them, of at most four topics.
const SUBSCRIPTIONS: usize = 16;

/// How verdicts go upstream.
#[derive(Debug, Clone)]
pub struct UplinkSettings {
    /// The broker. Its `max_packet_bytes` bounds a message with its topic and header.
    pub connection: ConnectionSettings,
    /// Where each kind of message goes.
    pub topics: UplinkTopics,
    /// Messages outstanding at most, beside status and answers.
    pub window: usize,
    /// What the broker publishes as status when this end disappears; made for each connection.
    pub last_will: WillMessage,
    /// What the link does beside sending verdicts. Without `echo`, acknowledgements are believed.
    pub services: Services,
    /// Makes a message without verdicts for a topic, which proves that what is published there arrives. Without one, a
    /// topic that is dead is tried with verdicts.
    pub proof: Option<ProofMessage>,
    /// No other link takes over when this one fails: verdicts go also where it is not known whether they arrive.
    pub alone: bool,
}

/// See [`UplinkSettings::proof`].
#[derive(Clone)]
pub struct ProofMessage(Arc<dyn Fn(&str) -> Bytes + Send + Sync>);

impl ProofMessage {
    /// Made by this function, from the topic.
    pub fn new(make: impl Fn(&str) -> Bytes + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn of(&self, topic: &str) -> Bytes {
        (self.0)(topic)
    }
}

impl fmt::Debug for ProofMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofMessage")
    }
}

/// The topics of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UplinkTopics {
    /// Alarms.
    pub alarm: String,
    /// Verdicts.
    pub verdict: String,
    /// Telemetry.
    pub telemetry: String,
    /// Status and last will.
    pub status: String,
    /// Commands, where they can be distinguished from what is published.
    pub command: Option<String>,
    /// Answers to commands.
    pub reply: String,
}

impl UplinkTopics {
    /// The default topics under these first levels.
    #[must_use]
    pub fn under(levels: &str) -> Self {
        Self {
            alarm: format!("{levels}/alarm"),
            verdict: format!("{levels}/verdict"),
            telemetry: format!("{levels}/verdict"),
            status: format!("{levels}/status"),
            command: Some(format!("{levels}/cmd")),
            reply: format!("{levels}/cmd/reply"),
        }
    }

    pub(crate) fn of(&self, lane: Lane) -> &str {
        match lane {
            Lane::Alarm => &self.alarm,
            Lane::Verdict => &self.verdict,
            Lane::Telemetry => &self.telemetry,
        }
    }
}

/// Keeps the uplink connection. Dropping it without [`Sink::close`] makes the broker publish the last will.
#[derive(Debug)]
pub struct UplinkSink {
    shared: SharedUplink,
    topics: UplinkTopics,
    window: usize,
    max_packet_bytes: usize,
    renewal: Option<Renewal>,
    last_status: Option<Bytes>,
    driver: Driver,
}

impl UplinkSink {
    /// Connects, and keeps connecting.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn spawn(settings: UplinkSettings) -> Self {
        let UplinkSettings { connection, topics, window, last_will, services, proof, alone } = settings;
        let watched = [topics.alarm.clone(), topics.verdict.clone(), topics.telemetry.clone()];
        let shared = SharedUplink::new(&watched);
        let mut care = Care::new(services);
        let role = UplinkRole {
            shared: shared.clone(),
            inflight: inflight_limit(window),
            last_will,
            command_topic: topics.command.clone(),
            status_topic: topics.status.clone(),
            unclaimed: 0,
            connection: UplinkConnection::none(&mut care),
            care,
            no_echo: (!services.echo).then(|| "echo = false: acknowledgements are believed".to_owned()),
            proof,
            alone,
            client_id: connection.client_id.clone(),
            takeovers: Takeovers::default(),
            patience: connection.patience(),
        };
        let (max_packet_bytes, renewal) = (connection.max_packet_bytes, connection.renewal.clone());
        // The last status takes one more. Each message may be published twice.
        let requests =
            window.saturating_mul(2).saturating_add(MAX_STATUSES + MAX_ANSWERS + SUBSCRIPTIONS + 1);
        let driver = Driver::start(connection, requests, role);
        Self { shared, topics, window, max_packet_bytes, renewal, last_status: None, driver }
    }

    /// Ends the connection in good order without a last status.
    pub(crate) async fn leave(mut self) {
        self.driver.stop().await;
    }

    fn publish(&self, topic: &str, payload: Bytes, message: UplinkMessage) -> Result<(), OfferError> {
        self.check_size(topic, &payload)?;
        self.shared.offer(topic, payload, message, self.window)
    }

    fn check_size(&self, topic: &str, payload: &Bytes) -> Result<(), OfferError> {
        let actual = packet::publish(topic.len(), payload.len(), true);
        let limit = self.max_packet_bytes;
        if actual > limit { Err(OfferError::TooLarge { actual, limit }) } else { Ok(()) }
    }
}

/// Packet identifiers wrap at this number. Five windows apart, an acknowledgement that comes late does not
/// meet the next message under its identifier.
fn inflight_limit(window: usize) -> u16 {
    u16::try_from(window.saturating_mul(5)).unwrap_or(u16::MAX).max(320)
}

impl Sink for UplinkSink {
    type Item = Bytes;

    fn offer(&mut self, lane: Lane, payload: Bytes, token: Token) -> Result<(), OfferError> {
        self.publish(self.topics.of(lane), payload, UplinkMessage::Verdicts(token))
    }

    fn report(&self) -> LinkReport {
        let credentials_fault = self.renewal.as_ref().and_then(Renewal::fault);
        LinkReport { credentials_fault, ..self.shared.report() }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        self.shared.poll_event(context)
    }

    async fn close(&mut self, grace: Duration) {
        let last = self.last_status.take().filter(|_| self.shared.takes_status());
        let topic = &self.topics.status;
        let checked = last.as_ref().map_or(Ok(()), |last| self.check_size(topic, last));
        let closed = self.shared.close(topic, last.filter(|_| checked.is_ok()));
        if let Err(error) = checked.and(closed) {
            tracing::debug!(%error, "the last status is not published");
        }
        if tokio::time::timeout(grace, self.shared.drained()).await.is_err() {
            tracing::info!("upstream has not acknowledged everything in time");
        }
        self.driver.stop().await;
        self.shared.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_wrap_five_windows_apart() {
        let check = |window: usize, expected: u16| assert_eq!(inflight_limit(window), expected, "{window}");
        check(1, 320);
        check(64, 320);
        check(65, 325);
        check(20_000, u16::MAX);
        check(usize::MAX, u16::MAX);
    }
}
