//! What a source does with received messages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::{Publish, QoS, SubAck, Subscribe, Unsubscribe};
use verge_domain::backoff::Backoff;
use verge_domain::reading::{Inbound, SourceIndex, fingerprint};
use verge_domain::stage::{Intake, IntakeFull};
use verge_domain::time::Moment;

use super::Guarantee;
use super::moved::Moved;
use super::rate::MessageRate;
use super::receipts::{OpenedReceipt, Receipts, ReceivedMessage, Repetition};
use super::state::{SharedSourceState, count};
use super::wire::{Passed, Why};
use crate::connection::ConnectionSettings;
use crate::driver::random;
use crate::subscriptions::{Subscriptions, refused};
use crate::topics::TopicMap;

/// An overload is over when everything was taken for this long.
const OVERLOAD_OVER: Duration = Duration::from_secs(1);
/// What a peer can cause at any rate is logged at most this often.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Characters of a topic that are shown.
const SHOWN_TOPIC: usize = 200;

pub(super) struct SourceRole<C, I> {
    max_packet_bytes: usize,
    guarantee: Guarantee,
    repetition: Repetition,
    backoff: Backoff,
    filters: Vec<String>,
    topics: TopicMap,
    moved: Moved,
    subscriptions: Subscriptions,
    receipts: Receipts,
    observed: Arc<SharedSourceState>,
    clock: C,
    intake: I,
    /// The message that the pipeline did not take: nothing is read before it does. It outlives a connection.
    parked: Option<Inbound>,
    /// When a message was last parked.
    overloaded: Option<Instant>,
    /// Refusals in a row, and when to ask again.
    refusals: u32,
    ask_again: Option<Instant>,
    rate: MessageRate,
    next_log: Instant,
}

impl<C, I> SourceRole<C, I> {
    pub(super) fn new(
        connection: &ConnectionSettings,
        (guarantee, repetition): (Guarantee, Repetition),
        filters: Vec<(SourceIndex, String)>,
        receipts: Receipts,
        observed: Arc<SharedSourceState>,
        clock: C,
        intake: I,
    ) -> Self {
        let mut names: Vec<String> = filters.iter().map(|(_, filter)| filter.clone()).collect();
        names.sort_unstable();
        names.dedup();
        Self {
            max_packet_bytes: connection.max_packet_bytes,
            guarantee,
            repetition,
            backoff: connection.backoff,
            filters: names,
            topics: TopicMap::new(filters),
            moved: Moved::default(),
            subscriptions: Subscriptions::default(),
            receipts,
            observed,
            clock,
            intake,
            parked: None,
            overloaded: None,
            refusals: 0,
            ask_again: None,
            rate: MessageRate::new(),
            next_log: Instant::now(),
        }
    }

    /// The same, which gives up what has moved to another connection.
    pub(super) fn without(mut self, moved: Moved) -> Self {
        self.topics.add(&moved.filters);
        Self { moved, ..self }
    }

    pub(super) fn wants_clean_session(&self) -> bool {
        self.guarantee == Guarantee::AtMostOnce
    }

    /// What a broker that repeats by topics is understood by.
    fn topic_key(&self, topic: &str) -> u64 {
        match self.repetition {
            Repetition::Marked => 0,
            Repetition::Unmarked => fingerprint(0, topic, &[]),
        }
    }

    pub(super) fn receipts(&self) -> &Receipts {
        &self.receipts
    }

    /// How long to let messages gather, where they come so fast that it pays.
    pub(super) fn rest(&mut self) -> Option<Duration> {
        self.rate.rest()
    }

    pub(super) fn answered(&mut self, answer: &SubAck) {
        for answer in self.subscriptions.answered(answer) {
            match answer.granted {
                Some(QoS::AtMostOnce) if self.guarantee != Guarantee::AtMostOnce => tracing::warn!(
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
            let mut standing = self.observed.standing();
            standing.subscribed = standing.refused.is_empty();
            self.refusals = if standing.subscribed { 0 } else { self.refusals + 1 };
            drop(standing);
            self.ask_again =
                (self.refusals > 0).then(|| Instant::now() + self.backoff.pause(self.refusals, random()));
        }
    }

    fn ask(&mut self, filters: &[String]) -> Vec<Subscribe> {
        let qos = match self.guarantee {
            Guarantee::AtLeastOnce(_) => QoS::AtLeastOnce,
            Guarantee::AtMostOnce => QoS::AtMostOnce,
        };
        self.subscriptions.compose(filters, qos)
    }

    /// Does what is due by now. Asks once more for what was refused: rights may have been granted since. The other
    /// subscriptions live on meanwhile.
    pub(super) fn look(&mut self, now: Instant) -> Vec<Subscribe> {
        if self.overloaded.is_some_and(|since| now - since >= OVERLOAD_OVER) && self.parked.is_none() {
            self.overloaded = None;
            self.observed.standing().overloaded = false;
            tracing::info!("no longer overloaded: messages are read again as they come");
        }
        if self.ask_again.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.ask_again = None;
        let filters = std::mem::take(&mut self.observed.standing().refused);
        self.ask(&filters)
    }

    /// What is to be given up now because another connection has it.
    pub(super) fn give_up(&mut self) -> Vec<Unsubscribe> {
        self.moved.give_up(|| self.subscriptions.fresh_id())
    }

    /// The broker has answered what was given up.
    pub(super) fn gave_up(&mut self) {
        self.moved.answered();
    }

    pub(super) fn lost(&mut self, reason: String) {
        self.receipts.lost();
        let mut standing = self.observed.standing();
        let stood = standing.connected_since.take().is_some();
        if stood || standing.last_error.as_ref() != Some(&reason) {
            tracing::warn!(reason, "no connection to the local broker");
        }
        standing.last_error = Some(reason);
    }

    pub(super) fn ended(&mut self) {
        self.receipts.lost();
        self.observed.standing().connected_since = None;
    }

    /// A message that is not handed on, whatever its topic. Acknowledged in its turn: left unacknowledged it would come
    /// again for ever.
    pub(super) fn pass(&mut self, passed: &Passed) {
        if passed.qos != QoS::AtMostOnce {
            self.receipts.pass(passed.packet_id, passed.qos == QoS::ExactlyOnce);
        }
        let topic: String = passed.topic.chars().take(SHOWN_TOPIC).collect();
        let (bytes, limit) = (passed.bytes, self.max_packet_bytes);
        let is_new = Instant::now() >= self.next_log;
        match passed.why {
            Why::Oversized => {
                count(&self.observed.oversized);
                self.observed.standing().last_oversized =
                    Some(format!("{topic:?}: {bytes} bytes (limit {limit})"));
                if is_new {
                    tracing::warn!(
                        topic = ?topic,
                        bytes,
                        limit,
                        "a message is larger than the limit (max_packet, for frames max_frame): passed over and \
                         acknowledged"
                    );
                }
            }
            Why::Unreadable => {
                count(&self.observed.unknown_topic);
                if is_new {
                    tracing::warn!(topic = ?topic, bytes, "a message's topic is not UTF-8: passed over and acknowledged");
                }
            }
        }
        if is_new {
            self.next_log = Instant::now() + LOG_EVERY;
        }
    }
}

impl<C, I> SourceRole<C, I>
where
    C: Fn() -> Moment,
    I: Intake,
{
    /// The broker has accepted the connection. Gives what is to be asked of it: every filter, also where the broker
    /// remembers the session, since the filters may have changed.
    pub(super) fn connected(&mut self, session_present: bool) -> Vec<Subscribe> {
        self.receipts.connected(session_present);
        self.subscriptions = Subscriptions::default();
        self.ask_again = None;
        let mut standing = self.observed.standing();
        standing.connected_since = Some((self.clock)());
        standing.refused.clear();
        standing.subscribed = false;
        drop(standing);
        self.moved.connected(session_present);
        tracing::info!(session_present, "connected to the local broker");
        let filters = std::mem::take(&mut self.filters);
        let packets = self.ask(&filters);
        self.filters = filters;
        packets
    }

    /// Whether nothing is to be read for now. Offers the message that is parked again.
    pub(super) fn is_held(&mut self) -> bool {
        if let Some(message) = self.parked.take()
            && let Err(IntakeFull(message)) = self.intake.offer(message)
        {
            self.parked = Some(message);
            self.overloaded = Some(Instant::now());
            return true;
        }
        self.intake.is_held()
    }

    pub(super) fn take(&mut self, message: Publish) {
        self.rate.took();
        let Some(source) = self.topics.source_of(&message.topic) else {
            count(&self.observed.unknown_topic);
            tracing::debug!(topic = message.topic, bytes = message.payload.len(), "passed over");
            if message.qos != QoS::AtMostOnce {
                self.receipts.pass(message.pkid, message.qos == QoS::ExactlyOnce);
            }
            return;
        };
        let (receipt, redelivered) = match message.qos {
            QoS::AtMostOnce => (None, false),
            QoS::AtLeastOnce | QoS::ExactlyOnce => {
                let arrival = ReceivedMessage {
                    packet_id: message.pkid,
                    // Not asked for: the session holds a subscription of another program.
                    exactly_once: message.qos == QoS::ExactlyOnce,
                    dup: message.dup,
                    retained: message.retain,
                    fingerprint: fingerprint(message.pkid, &message.topic, &message.payload),
                    topic: self.topic_key(&message.topic),
                };
                match self.receipts.open(&arrival) {
                    OpenedReceipt::New { receipt, redelivered } => (Some(receipt), redelivered),
                    OpenedReceipt::Again => return,
                }
            }
        };
        let inbound = Inbound {
            source,
            received: (self.clock)(),
            retained: message.retain,
            redelivered,
            packet_id: message.pkid,
            receipt,
            topic: message.topic,
            payload: message.payload,
        };
        match self.intake.offer(inbound) {
            Ok(()) => {}
            Err(IntakeFull(message)) if message.receipt.is_none() => count(&self.observed.dropped),
            Err(IntakeFull(message)) => {
                self.parked = Some(message);
                if self.overloaded.replace(Instant::now()).is_none() {
                    count(&self.observed.overloads);
                    self.observed.standing().overloaded = true;
                    tracing::warn!(
                        "overloaded: the judges' queue is full; the connection is left unread and the broker keeps \
                         what comes"
                    );
                }
            }
        }
    }
}
