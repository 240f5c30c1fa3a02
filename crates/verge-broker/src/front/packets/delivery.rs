//! Messages that the gateway's own sources take: collected while they pass, and handed on when they are complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use rumqttc::LastWill;

use super::super::window::Window;
use super::{Guard, Header, Next, ToClient, packet, with_length};
use crate::inputs::{Opened, Published, Takers};
use crate::retained::RetainDecision;

/// The flag of PUBLISH (MQTT 3.1.1, section 3.3.1.3).
pub(super) const RETAIN: u8 = 1;

/// Set aside at once for a message, at most: the rest as it comes.
const FIRST_BYTES: usize = 64 * 1024;
/// Messages of one connection that wait for their acknowledgement: beyond them it is left unread.
const MOST_WAITING: u16 = 256;

/// Of one connection.
#[derive(Debug, Clone)]
pub(in crate::front) struct Delivering {
    pub(in crate::front) inputs: Opened,
    /// What is to be acknowledged to the client, by the gateway's sources or by the broker, in the order in which it came
    /// (MQTT 3.1.1, section 4.6).
    pub(in crate::front) acks: Arc<Window>,
    /// How often the broker was shown that the client lives, and has not answered yet.
    pings: Arc<AtomicU64>,
}

/// A message that is not complete, and one that is.
#[derive(Debug, Default)]
pub(super) struct Collected {
    open: Option<(Published, BytesMut)>,
    complete: Option<Published>,
}

/// Whether the broker knows a filter that matches the topic that was allowed last.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// When it was looked, in filters that were added until then.
    at: Option<u64>,
    any: bool,
}

/// Whether a client has said that it leaves: then its last will is void.
#[derive(Debug, Clone, Default)]
pub(in crate::front) struct Leaves(Arc<AtomicBool>);

impl Leaves {
    pub(in crate::front) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(in crate::front) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Delivering {
    pub(in crate::front) fn new(inputs: Opened) -> Self {
        Self { inputs, acks: Arc::new(Window::new(MOST_WAITING)), pings: Arc::default() }
    }

    /// The broker is sent PINGREQ that is not the client's own.
    pub(in crate::front) fn note_ping(&self) {
        self.pings.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the broker's answer is to such a one.
    pub(in crate::front) fn has_pinged(&self) -> bool {
        self.pings.load(Ordering::Relaxed) > 0
    }

    /// That answer has come.
    pub(in crate::front) fn take_ping(&self) {
        self.pings.fetch_sub(1, Ordering::Relaxed);
    }

    /// The client is away without a word: its last will is what it publishes last. The broker publishes it to all others.
    pub(in crate::front) async fn hand_on_will(&self, will: &LastWill) {
        let takers = self.inputs.takers(&will.topic);
        let (topic, payload) = (will.topic.clone(), will.message.clone());
        let message = Published { takers, topic, payload, id: None, is_retained: will.retain };
        self.inputs.hand_on(message, &self.acks).await;
    }
}

impl Next {
    /// The broker is not given them.
    pub(super) const fn left_out(taken: usize) -> Self {
        Self::Replace { taken, instead: Vec::new(), answer: ToClient::None }
    }
}

impl Guard {
    /// A client whose messages go to sources of the gateway.
    pub(in crate::front) fn delivering(self, to: Option<Delivering>) -> Self {
        Self { delivering: to, ..self }
    }

    /// Its connection leads to the process of the broker that is the `start`th.
    pub(in crate::front) fn of_start(self, start: u64) -> Self {
        Self { start, ..self }
    }

    /// Whether it has said that it leaves.
    pub(in crate::front) fn leaves(&self) -> Leaves {
        self.leaves.clone()
    }

    /// Where its messages go.
    pub(in crate::front) const fn delivers_to(&self) -> Option<&Delivering> {
        self.delivering.as_ref()
    }

    /// The bytes of a message that has just begun and will be large.
    pub(in crate::front) fn begun(&mut self) -> usize {
        std::mem::take(&mut self.begun)
    }

    /// A message that is complete.
    pub(in crate::front) fn completed(&mut self) -> Option<Published> {
        self.collected.complete.take()
    }

    /// Begins to collect the payload that is to come now.
    pub(super) fn begin_collecting(&mut self, header: Header, topic: &[u8], id: Option<u16>) {
        // The topic has been judged, so it is text.
        let topic_text = String::from_utf8_lossy(topic).into_owned();
        let (takers, is_retained) = (Arc::clone(&self.takers), header.flags & 1 != 0);
        let published = Published { takers, topic: topic_text, payload: Bytes::new(), id, is_retained };
        self.begun = self.left;
        self.collected.open = Some((published, BytesMut::with_capacity(self.left.min(FIRST_BYTES))));
        self.note_payload(&[]);
    }

    /// The same, and gives the head that the broker has of it: the acknowledgement is not
    /// the broker's affair.
    pub(super) fn collect(&mut self, header: Header, topic: &[u8], id: Option<u16>) -> Vec<u8> {
        self.begin_collecting(header, topic, id);
        let mut head = with_length(0x30 | header.flags & 1, 2 + topic.len() + self.left);
        head.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        head.extend_from_slice(topic);
        head
    }

    /// Takes down payload that passes. `true` where a message is complete with it.
    pub(super) fn note_payload(&mut self, payload: &[u8]) -> bool {
        let Some((mut published, mut bytes)) = self.collected.open.take() else { return false };
        bytes.extend_from_slice(payload);
        if self.left > 0 {
            self.collected.open = Some((published, bytes));
            return false;
        }
        published.payload = bytes.freeze();
        self.collected.complete = Some(published);
        true
    }

    /// The broker is to acknowledge a message, which the client learns in its turn.
    pub(super) fn await_broker(&self, id: Option<u16>) {
        if let (Some(delivering), Some(id)) = (&self.delivering, id) {
            delivering.acks.add(id);
        }
    }

    /// How a client of MQTT 5 learns that a message is refused: in its turn, where there is one.
    pub(super) fn refusal_of(&self, id: u16, reason: u8) -> ToClient {
        if let Some(delivering) = &self.delivering {
            delivering.acks.refuse(id, reason);
            return ToClient::None;
        }
        let [high, low] = id.to_be_bytes();
        ToClient::Packet(vec![0x40, 3, high, low, reason])
    }

    /// The inputs that take the topic that was judged last; `None` where there are none.
    pub(super) fn taken(&self) -> bool {
        !self.takers.is_empty()
    }

    /// Whether a message is collected because it is retained.
    pub(super) fn keeps(&self, header: Header) -> bool {
        header.flags & RETAIN != 0
            && self.delivering.as_ref().is_some_and(|to| to.inputs.retained().is_some())
    }

    /// The header of a message without the retain flag where the broker may not retain it, and what goes before the message then.
    pub(super) fn retainable(
        &self,
        header: Header,
        topic: &[u8],
        payload_bytes: usize,
    ) -> Option<(Header, Vec<u8>)> {
        let retained = self.delivering.as_ref()?.inputs.retained().filter(|_| header.flags & RETAIN != 0)?;
        let RetainDecision::PassOn { replaces } =
            retained.admit(self.device.name(), &String::from_utf8_lossy(topic), payload_bytes)
        else {
            return None;
        };
        let topic_bytes = (topic.len() as u16).to_be_bytes();
        // Without a payload it takes the older one away.
        let before = if replaces { packet(0x30 | RETAIN, &[&topic_bytes, topic]) } else { Vec::new() };
        Some((Header { flags: header.flags & !RETAIN, ..header }, before))
    }

    /// Those of a topic.
    pub(super) fn takers_of(&self, topic: &str) -> Takers {
        self.delivering.as_ref().map_or_else(|| Arc::from([]), |to| to.inputs.takers(topic))
    }

    /// Whether the broker is to have a message that is collected: it drops what no filter matches, and a message that it does not
    /// have costs neither time nor memory.
    pub(super) fn is_for_broker(&mut self, header: Header, topic: &[u8]) -> bool {
        if header.flags & RETAIN != 0 {
            return true;
        }
        let filters = self.devices.filters();
        // Asked first: what is added meanwhile is looked at the next time.
        let version = filters.version();
        if self.readers.at != Some(version) {
            let any = str::from_utf8(topic).is_ok_and(|topic| filters.reads(topic));
            self.readers = Readers { at: Some(version), any };
        }
        self.readers.any
    }

    /// A message of 3.1.1 that is collected from here on.
    pub(super) fn begin(&mut self, header: Header, head: usize, topic: &[u8], id: Option<u16>) -> Next {
        self.is_left_out = !self.is_for_broker(header, topic);
        if self.is_left_out {
            self.begin_collecting(header, topic, id);
            return Next::left_out(head);
        }
        let (header, mut instead) = self.retainable(header, topic, self.left).unwrap_or((header, Vec::new()));
        instead.extend(self.collect(header, topic, id));
        Next::Replace { taken: head, instead, answer: ToClient::None }
    }
}
