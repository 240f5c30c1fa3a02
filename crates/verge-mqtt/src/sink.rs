//! The uplink: verdicts and status, QoS 1, clean session, last will.
//!
//! Nothing is queued here: what upstream has not acknowledged is offered again by whoever keeps it.

mod line;

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{Event, LastWill, MqttOptions, Outgoing, Packet, QoS};
use verge_domain::stage::{Channel, OfferError, Sink, SinkEvent, Token};

use crate::connection::ConnectionSettings;
use crate::driver::{Driver, Flow, Purpose};
use crate::packet;
use line::{Flight, MAX_STATUSES, Place, SharedLine};

/// How verdicts go upstream.
#[derive(Debug, Clone)]
pub struct UplinkSettings {
    /// The broker. Its `max_packet_bytes` bounds a message with its topic and header.
    pub connection: ConnectionSettings,
    /// First levels of all topics: `alarm`, `verdict` and `status` follow.
    pub topic_prefix: String,
    /// Messages outstanding at most, beside the status.
    pub window: usize,
    /// What the broker publishes, retained, as status when this end disappears.
    pub last_will: Bytes,
}

/// Keeps the uplink connection. Dropping it without [`Sink::close`] makes the broker publish the last will.
#[derive(Debug)]
pub struct UplinkSink {
    line: SharedLine,
    topics: Topics,
    window: usize,
    max_packet_bytes: usize,
    driver: Driver,
}

#[derive(Debug)]
struct Topics {
    alarm: String,
    verdict: String,
    status: String,
}

impl Topics {
    fn of(&self, channel: Channel) -> &str {
        match channel {
            Channel::Alarm => &self.alarm,
            Channel::Verdict => &self.verdict,
            Channel::Status => &self.status,
        }
    }
}

impl UplinkSink {
    /// Connects, and keeps connecting.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn spawn(settings: UplinkSettings) -> Self {
        let UplinkSettings { connection, topic_prefix, window, last_will } = settings;
        let topics = Topics {
            alarm: format!("{topic_prefix}/alarm"),
            verdict: format!("{topic_prefix}/verdict"),
            status: format!("{topic_prefix}/status"),
        };
        let line = SharedLine::default();
        let purpose = UplinkPurpose {
            line: line.clone(),
            inflight: inflight_limit(window),
            last_will: LastWill::new(&topics.status, last_will, QoS::AtLeastOnce, true),
        };
        let max_packet_bytes = connection.max_packet_bytes;
        let driver = Driver::start(connection, window.saturating_add(MAX_STATUSES + 1), purpose);
        Self { line, topics, window, max_packet_bytes, driver }
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
    fn offer(&mut self, channel: Channel, payload: Bytes, token: Token) -> Result<(), OfferError> {
        let topic = self.topics.of(channel);
        self.check_size(topic, &payload)?;
        let place = if channel == Channel::Status { Place::Status } else { Place::Window };
        self.line.offer(topic, payload, Flight { token, place }, self.window)
    }

    async fn event(&mut self) -> Option<SinkEvent> {
        self.line.event().await
    }

    async fn close(&mut self, last: Bytes, grace: Duration) {
        let topic = &self.topics.status;
        let checked = self.check_size(topic, &last);
        let closed = self.line.close(topic, checked.is_ok().then_some(last));
        if let Err(error) = checked.and(closed) {
            tracing::debug!(%error, "the last status is not published");
        }
        if tokio::time::timeout(grace, self.line.drained()).await.is_err() {
            tracing::info!("upstream has not acknowledged everything in time");
        }
        self.driver.stop().await;
        self.line.end();
    }
}

struct UplinkPurpose {
    line: SharedLine,
    inflight: u16,
    last_will: LastWill,
}

/// Where the connection's task ends by a fault of its own, whoever waits for events must learn of it.
impl Drop for UplinkPurpose {
    fn drop(&mut self) {
        self.line.end();
    }
}

impl Purpose for UplinkPurpose {
    fn customise(&mut self, options: &mut MqttOptions) {
        options.set_clean_session(true);
        options.set_inflight(self.inflight);
        options.set_last_will(self.last_will.clone());
    }

    fn connected(&mut self, client: &rumqttc::AsyncClient) -> Flow {
        self.line.connected(client.clone());
        Flow::Continue
    }

    fn event(&mut self, event: Event) -> Flow {
        match event {
            Event::Outgoing(Outgoing::Publish(packet_id)) => self.line.sent(packet_id),
            Event::Incoming(Packet::PubAck(acknowledgement)) => self.line.acknowledged(acknowledgement.pkid),
            _ => {}
        }
        Flow::Continue
    }

    fn lost(&mut self, reason: String) -> bool {
        self.line.lost(reason);
        true
    }

    fn ended(&mut self) {
        self.line.end();
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
