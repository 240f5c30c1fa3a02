//! The uplink: verdicts and status, QoS 1, clean session, last will; commands the other way.
//!
//! A connection that stands and acknowledges nothing for a keep-alive is given up: to be connected is not to be
//! heard. Nothing is queued here: what upstream has not acknowledged is offered again by whoever keeps it.
//!
//! MQTT 3.1.1 has no refusal of a message: its PUBACK always means that the broker has it. A broker that answers our
//! CONNECT of that version and then refuses by a reason code of MQTT 5 is not noticed, for rumqttc drops the code.

mod line;
mod places;

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::{Event, LastWill, MqttOptions, Outgoing, Packet, Publish, QoS, SubAck, SubscribeReasonCode};
use verge_domain::stage::{Channel, OfferError, Sink, SinkEvent, Token};

use crate::connection::ConnectionSettings;
use crate::driver::{Driver, Flow, Purpose};
use crate::packet;
use line::{Flight, SharedLine};
use places::{MAX_REPLIES, MAX_STATUSES, Place};

/// Longer commands are dropped unread.
const MAX_COMMAND_BYTES: usize = 4096;

/// How verdicts go upstream.
#[derive(Debug, Clone)]
pub struct UplinkSettings {
    /// The broker. Its `max_packet_bytes` bounds a message with its topic and header.
    pub connection: ConnectionSettings,
    /// First levels of all topics: `alarm`, `verdict`, `status`, `cmd` and `cmd/reply` follow.
    pub topic_prefix: String,
    /// Messages outstanding at most, beside status and answers.
    pub window: usize,
    /// What the broker publishes, retained, as status when this end disappears.
    pub last_will: Bytes,
    /// Whether commands are taken on `cmd`.
    pub commands: bool,
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
    reply: String,
}

impl Topics {
    fn of(&self, channel: Channel) -> &str {
        match channel {
            Channel::Alarm => &self.alarm,
            Channel::Verdict => &self.verdict,
            Channel::Status => &self.status,
            Channel::Reply => &self.reply,
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
        let UplinkSettings { connection, topic_prefix, window, last_will, commands } = settings;
        let topics = Topics {
            alarm: format!("{topic_prefix}/alarm"),
            verdict: format!("{topic_prefix}/verdict"),
            status: format!("{topic_prefix}/status"),
            reply: format!("{topic_prefix}/cmd/reply"),
        };
        let line = SharedLine::default();
        let purpose = UplinkPurpose {
            line: line.clone(),
            inflight: inflight_limit(window),
            last_will: LastWill::new(&topics.status, last_will, QoS::AtLeastOnce, true),
            commands: commands.then(|| format!("{topic_prefix}/cmd")),
            refusal_told: false,
            dropped: 0,
            patience: connection.patience(),
        };
        let max_packet_bytes = connection.max_packet_bytes;
        // The subscription and the last status take one more each.
        let requests = window.saturating_add(MAX_STATUSES + MAX_REPLIES + 2);
        let driver = Driver::start(connection, requests, purpose);
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
        self.line.offer(topic, payload, Flight { token, place: Place::of(channel) }, self.window)
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        self.line.poll_event(context)
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
    /// Topic of commands, where they are taken.
    commands: Option<String>,
    /// On this connection: it is in the log that the subscription was refused.
    refusal_told: bool,
    /// On this connection: commands dropped. The first is in the log, their number when it ends.
    dropped: u64,
    /// How long upstream may owe an acknowledgement.
    patience: Duration,
}

impl UplinkPurpose {
    fn take(&mut self, message: Publish) {
        let reason = if self.commands.as_ref() != Some(&message.topic) {
            "it came on a topic that was not subscribed to"
        } else if message.retain {
            "it is retained: it was given before this connection"
        } else if message.payload.len() > MAX_COMMAND_BYTES {
            "it is too long"
        } else {
            match self.line.command(message.payload) {
                Ok(()) => return,
                Err(reason) => reason,
            }
        };
        self.dropped += 1;
        if self.dropped == 1 {
            tracing::warn!(topic = %message.topic.escape_debug(), reason, "a command from upstream was dropped");
        }
    }

    fn answered(&mut self, answer: &SubAck) {
        let refused = answer.return_codes.contains(&SubscribeReasonCode::Failure);
        if refused && self.commands.is_some() && !self.refusal_told {
            self.refusal_told = true;
            // No reason to give the connection up: verdicts matter more.
            tracing::warn!(
                "upstream refuses the subscription to commands: they are not taken (does its ACL allow it?)"
            );
        }
    }
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
        self.refusal_told = false;
        self.dropped = 0;
        if let Some(topic) = &self.commands
            && client.try_subscribe(topic, QoS::AtLeastOnce).is_err()
        {
            return Flow::Drop("cannot subscribe to commands".to_owned());
        }
        self.line.connected(client.clone());
        Flow::Continue
    }

    fn event(&mut self, event: Event) -> Flow {
        match event {
            Event::Outgoing(Outgoing::Publish(packet_id)) => self.line.sent(packet_id),
            Event::Incoming(Packet::PubAck(acknowledgement)) => self.line.acknowledged(acknowledgement.pkid),
            Event::Incoming(Packet::Publish(message)) => self.take(message),
            Event::Incoming(Packet::SubAck(answer)) => self.answered(&answer),
            _ => {}
        }
        Flow::Continue
    }

    fn overdue(&mut self, now: Instant) -> Option<String> {
        self.line.overdue(self.patience, now)
    }

    fn lost(&mut self, reason: String) -> bool {
        if self.dropped > 1 {
            tracing::warn!(count = self.dropped, "commands from upstream were dropped on this connection");
        }
        self.dropped = 0;
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
