//! What the connection does with each event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, Publish, QoS, SubAck};
use verge_domain::reading::{Inbound, SourceIndex};
use verge_domain::time::Moment;

use super::state::{Observed, count};
use super::{Guarantee, Intake, IntakeFull};
use crate::connection::{Backoff, ConnectionSettings};
use crate::driver::{Flow, Purpose, random};
use crate::packet;
use crate::receipts::Receipts;
use crate::subscriptions::{Subscriptions, refused};
use crate::topics::TopicMap;

/// Packets up to this size are read, whatever the configured limit, and passed over where they exceed it: a
/// packet that cannot even be read ends the connection, and a QoS 1 session would deliver it for ever.
const READ_LIMIT_BYTES: usize = 32 * 1024 * 1024;
/// Pause after the pipeline took no more; doubles while nothing gets through.
const OVERLOAD_MIN: Duration = Duration::from_millis(250);
const OVERLOAD_MAX: Duration = Duration::from_secs(8);

/// The rate of messages from which on they are let gather, and for how long: a timer's shortest pause. A
/// broker with the usual 20 messages in flight still delivers some 15,000 a second.
const STREAM_GAP: Duration = Duration::from_micros(200);
const GATHER: Duration = Duration::from_millis(1);
/// Messages after which the rate is looked at.
const STREAM_SAMPLE: u32 = 8;
/// As many packets as rumqttc reads at once: after so many there are more to read already.
const READ_AT_ONCE: u32 = 9;

/// Tells a stream of messages from single ones.
#[derive(Debug)]
struct Stream {
    taken: u32,
    since: Instant,
    /// Taken since the last look.
    round: u32,
}

impl Stream {
    fn new() -> Self {
        Self { taken: 0, since: Instant::now(), round: 0 }
    }

    fn took(&mut self) {
        self.taken += 1;
        self.round += 1;
    }

    /// Whether messages have come fast lately and none is there to read now. Begins a new sample if this one
    /// is complete.
    fn is_fast(&mut self) -> bool {
        let round = std::mem::take(&mut self.round);
        if self.taken < STREAM_SAMPLE || round >= READ_AT_ONCE {
            return false;
        }
        let fast = self.since.elapsed() < STREAM_GAP * self.taken;
        *self = Self::new();
        fast
    }
}

pub(super) struct SourcePurpose<C, I> {
    max_packet_bytes: usize,
    guarantee: Guarantee,
    backoff: Backoff,
    filters: Vec<String>,
    topics: TopicMap,
    subscriptions: Subscriptions,
    receipts: Receipts,
    observed: Arc<Observed>,
    clock: C,
    intake: I,
    client: Option<AsyncClient>,
    /// Refusals in a row, and when to ask again.
    refusals: u32,
    ask_again: Option<Instant>,
    overloaded: bool,
    overload_pause: Duration,
    acknowledged_at_overload: Option<u64>,
    stream: Stream,
}

impl<C, I> SourcePurpose<C, I> {
    pub(super) fn new(
        connection: &ConnectionSettings,
        guarantee: Guarantee,
        filters: Vec<(SourceIndex, String)>,
        receipts: Receipts,
        observed: Arc<Observed>,
        clock: C,
        intake: I,
    ) -> Self {
        let mut names: Vec<String> = filters.iter().map(|(_, filter)| filter.clone()).collect();
        names.sort_unstable();
        names.dedup();
        Self {
            max_packet_bytes: connection.max_packet_bytes,
            guarantee,
            backoff: connection.backoff,
            filters: names,
            topics: TopicMap::new(filters),
            subscriptions: Subscriptions::default(),
            receipts,
            observed,
            clock,
            intake,
            client: None,
            refusals: 0,
            ask_again: None,
            overloaded: false,
            overload_pause: OVERLOAD_MIN,
            acknowledged_at_overload: None,
            stream: Stream::new(),
        }
    }

    fn answered(&mut self, answer: &SubAck) {
        for answer in self.subscriptions.answered(answer) {
            match answer.granted {
                Some(QoS::AtMostOnce) if self.guarantee == Guarantee::AtLeastOnce => tracing::warn!(
                    filter = answer.filter,
                    "the broker grants QoS 0 only: messages on it can be lost"
                ),
                Some(_) => {}
                None => {
                    let reason = refused(&answer.filter);
                    tracing::warn!("{reason}; it is asked for again");
                    count(&self.observed.refusals);
                    let mut standing = self.observed.standing();
                    standing.refused.push(answer.filter);
                    standing.last_error = Some(reason);
                }
            }
        }
        if self.subscriptions.is_settled() {
            self.refusals = if self.observed.standing().refused.is_empty() { 0 } else { self.refusals + 1 };
            self.ask_again =
                (self.refusals > 0).then(|| Instant::now() + self.backoff.pause(self.refusals, random()));
        }
    }

    /// Asks once more for what was refused: rights may have been granted since. The other subscriptions
    /// live on meanwhile. Pings are the clock for this.
    fn ask_again(&mut self) -> Flow {
        if self.ask_again.is_none_or(|at| Instant::now() < at) {
            return Flow::Continue;
        }
        self.ask_again = None;
        let filters = std::mem::take(&mut self.observed.standing().refused);
        self.ask(&filters)
    }

    fn ask(&mut self, filters: &[String]) -> Flow {
        let Some(client) = &self.client else { return Flow::Continue };
        let qos = match self.guarantee {
            Guarantee::AtLeastOnce => QoS::AtLeastOnce,
            Guarantee::AtMostOnce => QoS::AtMostOnce,
        };
        match self.subscriptions.ask(client, filters, qos) {
            Ok(()) => Flow::Continue,
            Err(reason) => Flow::Drop(reason),
        }
    }
}

impl<C, I> SourcePurpose<C, I>
where
    C: Fn() -> Moment,
    I: Intake,
{
    fn take(&mut self, message: Publish) -> Flow {
        self.stream.took();
        let acknowledge = match message.qos {
            QoS::AtMostOnce => false,
            QoS::AtLeastOnce => true,
            QoS::ExactlyOnce => {
                let reason = "the broker delivers at QoS 2, which was not asked for: another program has used this client_id";
                return Flow::Drop(reason.to_owned());
            }
        };
        let source = self.topics.source_of(&message.topic);
        let oversized = message.size() > self.max_packet_bytes;
        let Some(source) = source.filter(|_| !oversized) else {
            count(if oversized { &self.observed.oversized } else { &self.observed.unknown_topic });
            tracing::debug!(topic = message.topic, bytes = message.payload.len(), oversized, "passed over");
            if acknowledge {
                self.receipts.open_settled(message.pkid);
            }
            return Flow::Continue;
        };
        let inbound = Inbound {
            source,
            received: (self.clock)(),
            retained: message.retain,
            redelivered: message.dup,
            packet_id: message.pkid,
            receipt: acknowledge.then(|| self.receipts.open(message.pkid)),
            topic: message.topic,
            payload: message.payload,
        };
        match (self.intake.take(inbound), acknowledge) {
            (Ok(()), _) => {
                if std::mem::take(&mut self.overloaded) {
                    self.observed.standing().overloaded = false;
                }
                Flow::Continue
            }
            (Err(IntakeFull), false) => {
                count(&self.observed.dropped);
                Flow::Continue
            }
            (Err(IntakeFull), true) => {
                self.receipts.retract();
                self.overloaded()
            }
        }
    }

    fn overloaded(&mut self) -> Flow {
        let acknowledged = self.receipts.totals().acknowledged;
        self.overload_pause = if self.acknowledged_at_overload.replace(acknowledged) == Some(acknowledged) {
            (self.overload_pause * 2).min(OVERLOAD_MAX)
        } else {
            OVERLOAD_MIN
        };
        self.overloaded = true;
        count(&self.observed.overloads);
        self.observed.standing().overloaded = true;
        Flow::Pause(
            "overloaded: the gateway takes no more messages; the broker keeps them".to_owned(),
            self.overload_pause,
        )
    }
}

impl<C, I> Purpose for SourcePurpose<C, I>
where
    C: Fn() -> Moment + Send + 'static,
    I: Intake,
{
    fn is_held(&mut self) -> bool {
        // An acknowledgement that is on its way to the poll loop holds up all behind it.
        self.intake.is_held() && !self.receipts.is_waking()
    }

    fn rest(&mut self, resting: bool) {
        self.receipts.rest(resting);
    }

    fn held_too_long(&mut self) -> Flow {
        self.overloaded()
    }

    fn customise(&mut self, options: &mut MqttOptions) {
        let read_limit = packet::largest_remaining(READ_LIMIT_BYTES.max(self.max_packet_bytes));
        options.set_max_packet_size(read_limit, self.max_packet_bytes.max(READ_LIMIT_BYTES));
        options.set_clean_session(self.guarantee == Guarantee::AtMostOnce);
        options.set_manual_acks(self.guarantee == Guarantee::AtLeastOnce);
    }

    fn connected(&mut self, client: &AsyncClient) -> Flow {
        self.receipts.connected(client.clone());
        self.client = Some(client.clone());
        self.subscriptions = Subscriptions::default();
        let mut standing = self.observed.standing();
        standing.connected_since = Some((self.clock)());
        standing.refused.clear();
        drop(standing);
        tracing::info!("connected to the local broker");
        // Always, also where the broker remembers the session: the filters may have changed since.
        let filters = std::mem::take(&mut self.filters);
        let flow = self.ask(&filters);
        self.filters = filters;
        flow
    }

    fn event(&mut self, event: Event) -> Flow {
        match event {
            Event::Incoming(Packet::Publish(message)) => return self.take(message),
            Event::Incoming(Packet::SubAck(answer)) => self.answered(&answer),
            Event::Incoming(Packet::PingResp) => return self.ask_again(),
            Event::Outgoing(Outgoing::Subscribe(packet_id)) => self.subscriptions.sent(packet_id),
            Event::Outgoing(Outgoing::PubAck(packet_id)) => self.receipts.sent(packet_id),
            _ => {}
        }
        Flow::Continue
    }

    fn acknowledgements(&mut self, due: &mut Vec<u16>) {
        self.receipts.due(due);
    }

    fn gather(&mut self) -> Option<Duration> {
        self.stream.is_fast().then_some(GATHER)
    }

    fn lost(&mut self, reason: String) -> bool {
        self.receipts.lost();
        self.client = None;
        let mut standing = self.observed.standing();
        let stood = standing.connected_since.take().is_some();
        if stood || standing.last_error.as_ref() != Some(&reason) {
            tracing::warn!(reason, "no connection to the local broker");
        }
        standing.last_error = Some(reason);
        true
    }

    fn ended(&mut self) {
        self.receipts.lost();
        self.client = None;
        self.observed.standing().connected_since = None;
    }
}
