//! The packets of an admitted client, judged as they stream by: without a socket, and without a copy of what they carry.
//!
//! Of a packet only its head is looked at (of PUBLISH up to the payload, of SUBSCRIBE and UNSUBSCRIBE all), and nothing of it
//! is passed on before that is judged. What the broker is given is as MQTT 3.1.1 says, whatever came.

use std::ops::Range;
use std::sync::Arc;

use crate::policy::{Action, Policy, PolicyClient, Refusal};

use super::devices::{Device, Devices};
use super::five::Five;
use super::holds::HeldMessages;
use crate::inputs::Takers;

mod delivery;
mod filters;
mod five_packets;

pub(super) use delivery::Delivering;
use delivery::{Collected, Leaves, RETAIN, Readers};
pub(super) use filters::merged;

/// Longest packet of filters. The buffer of a connection has room for one.
pub(super) const MAX_CONTROL_BYTES: usize = 8 * 1024 - 8;

/// What to do with the first bytes of what came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Pass them on.
    Pass(usize),
    /// Pass on others in their place, or give the client an answer.
    Replace { taken: usize, instead: Vec<u8>, answer: ToClient },
    /// The client leaves with the last of them.
    Leave(usize),
    /// It leaves, and the broker is given this of it.
    LeaveWith(Vec<u8>),
    /// More is needed to judge them.
    More,
}

/// What a client is to receive that the broker does not send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ToClient {
    /// A packet.
    Packet(Vec<u8>),
    /// The broker's answer to the subscription of this identifier speaks of those filters alone that are `None` here; the
    /// codes are of those that are refused.
    Filters { id: u16, codes: Vec<Option<u8>> },
    /// Nothing.
    None,
}

/// Why a client's connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) why: Refusal,
    /// The topic, where it is about one.
    pub(super) topic: String,
}

impl From<Refusal> for Refused {
    fn from(why: Refusal) -> Self {
        Self { why, topic: String::new() }
    }
}

/// The fixed header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Of the header itself.
    pub(super) bytes: usize,
    /// Of what follows.
    pub(super) length: usize,
}

impl Header {
    /// Reads a fixed header; `None` where more is needed.
    pub(super) fn read(input: &[u8]) -> Result<Option<Self>, Refusal> {
        let Some((&first, rest)) = input.split_first() else { return Ok(None) };
        let mut length = 0_usize;
        for (place, &byte) in rest.iter().take(4).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                // One form for each length: what two readers might read differently is not passed on.
                let is_least = place == 0 || byte != 0;
                let header = Self { kind: first >> 4, flags: first & 0x0f, bytes: place + 2, length };
                return if is_least { Ok(Some(header)) } else { Err(Refusal::Malformed) };
            }
        }
        if rest.len() >= 4 { Err(Refusal::Malformed) } else { Ok(None) }
    }

    pub(super) const fn packet(&self) -> usize {
        self.bytes + self.length
    }
}

/// Judges the packets of one connection.
#[derive(Debug)]
pub(super) struct Guard {
    policy: Arc<Policy>,
    client: PolicyClient,
    device: Arc<Device>,
    devices: Arc<Devices>,
    /// What rumqttd keeps until its release comes.
    held: HeldMessages,
    /// Payload of a PUBLISH that is still to come.
    left: usize,
    packets: u64,
    /// The topic that was allowed last, and whether retained: most devices publish to few.
    last: (Vec<u8>, bool, usize),
    /// The client speaks MQTT 5.
    five: Option<Five>,
    /// The payload that is still to come is not passed on.
    is_left_out: bool,
    /// Where messages for the gateway's own sources go.
    delivering: Option<Delivering>,
    /// Those that take the topic that was allowed last.
    takers: Takers,
    collected: Collected,
    begun: usize,
    leaves: Leaves,
    /// Filters that this connection has subscribed to.
    subscribed: Vec<String>,
    /// The process of the broker to which it leads.
    start: u64,
    readers: Readers,
}

impl Guard {
    pub(super) fn new(
        policy: Arc<Policy>,
        client: PolicyClient,
        device: Arc<Device>,
        devices: Arc<Devices>,
        five: Option<Five>,
    ) -> Self {
        let held = HeldMessages::of(Arc::clone(&device));
        let last = (Vec::new(), false, 0);
        Self {
            policy,
            client,
            device,
            devices,
            held,
            left: 0,
            packets: 0,
            last,
            five,
            is_left_out: false,
            delivering: None,
            takers: Arc::from([]),
            collected: Collected::default(),
            begun: 0,
            leaves: Leaves::default(),
            subscribed: Vec::new(),
            start: 0,
            readers: Readers::default(),
        }
    }

    /// What holds for a client of MQTT 5.
    pub(super) const fn five(&self) -> Option<&Five> {
        self.five.as_ref()
    }

    /// Packets that have begun.
    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of the present packet that are still to come.
    pub(super) const fn left(&self) -> usize {
        self.left
    }

    /// Whether the broker has all of a packet: of one that is left out it has nothing.
    pub(super) const fn is_between(&self) -> bool {
        self.left == 0 || self.is_left_out
    }

    /// Judges what came and is not passed on yet.
    ///
    /// # Errors
    /// The connection must end.
    pub(super) fn next(&mut self, input: &[u8]) -> Result<Next, Refused> {
        if let Some(five) = self.five.clone() {
            return self.next_of_five(&five, input);
        }
        let mut passed = 0;
        loop {
            let rest = &input[passed..];
            if self.left > 0 {
                let now = self.left.min(rest.len());
                self.left -= now;
                if self.is_left_out {
                    // It has begun with a call of its own.
                    self.note_payload(&rest[..now]);
                    return Ok(if now == 0 { Next::More } else { Next::left_out(now) });
                }
                passed += now;
                if self.note_payload(&rest[..now]) || self.left > 0 {
                    break;
                }
                continue;
            }
            let Some(header) = Header::read(rest)? else { break };
            let packet = header.packet();
            match header.kind {
                // Its head may be another for the broker.
                3 if passed > 0 && self.keeps(header) => break,
                3 => match self.publish(header, rest)? {
                    Some(head) if self.taken() && header.flags & 4 == 0 => {
                        // Its head is another for the broker.
                        if passed > 0 {
                            break;
                        }
                        self.packets += 1;
                        self.left = packet - head;
                        let id = (header.flags & 2 != 0).then(|| two_bytes(rest, head - 2)).flatten();
                        let topic_end = if id.is_some() { head - 2 } else { head };
                        return Ok(self.begin(header, head, &rest[header.bytes + 2..topic_end], id));
                    }
                    Some(head) => {
                        self.packets += 1;
                        (self.left, self.is_left_out) = (packet - head, false);
                        passed += head;
                        let id_bytes = if header.flags & 6 == 0 { 0 } else { 2 };
                        if header.flags & 6 == 2 {
                            self.await_broker(two_bytes(rest, head - 2));
                        }
                        let topic = &rest[header.bytes + 2..head - id_bytes];
                        if let Some((unretained, mut instead)) = self.retainable(header, topic, self.left) {
                            instead.push(rest[0] & !RETAIN);
                            instead.extend_from_slice(&rest[1..head]);
                            if self.taken() {
                                self.collect(unretained, topic, None);
                            }
                            return Ok(Next::Replace { taken: head, instead, answer: ToClient::None });
                        }
                        // At QoS 2 the broker answers. What comes again is taken again, as its first copy may have broken off.
                        if self.taken() || self.keeps(header) {
                            self.collect(header, topic, None);
                            if self.left == 0 {
                                break;
                            }
                        }
                    }
                    None => break,
                },
                8 | 10 => {
                    let Some(judged) = self.filters(header, rest)? else { break };
                    if judged.refused.is_empty() && header.kind == 8 {
                        self.note_subscribed(header.kind, &judged);
                        self.packets += 1;
                        passed += packet;
                    } else if passed > 0 {
                        break;
                    } else {
                        self.packets += 1;
                        self.count_filters(header.kind, &judged);
                        self.note_subscribed(header.kind, &judged);
                        return Ok(judged.replacing(header.kind, packet));
                    }
                }
                _ => {
                    let Some(()) = check_fixed(header, rest)? else { break };
                    self.packets += 1;
                    passed += packet;
                    if header.kind == 6 {
                        self.held.release();
                    }
                    if header.kind == 14 {
                        self.leaves.set();
                        return Ok(Next::Leave(passed));
                    }
                }
            }
        }
        Ok(if passed > 0 { Next::Pass(passed) } else { Next::More })
    }

    /// Bytes before the payload; `None` where more is needed.
    fn publish(&mut self, header: Header, input: &[u8]) -> Result<Option<usize>, Refused> {
        let (quality, again) = ((header.flags >> 1) & 3, header.flags & 8 != 0);
        if quality == 3 || (quality == 0 && again) {
            return Err(Refusal::Malformed.into());
        }
        if header.length > self.policy.most_bytes_of_all() {
            return Err(Refusal::TooLarge.into());
        }
        let id_bytes = if quality > 0 { 2 } else { 0 };
        let Some(topic_bytes) = two_bytes(input, header.bytes) else {
            return if header.length < 2 { Err(Refusal::Malformed.into()) } else { Ok(None) };
        };
        let topic = header.bytes + 2..header.bytes + 2 + usize::from(topic_bytes);
        let head = topic.end + id_bytes;
        if head > header.packet() {
            return Err(Refusal::Malformed.into());
        }
        if usize::from(topic_bytes) > self.policy.limits.topic_bytes {
            return Err(Refusal::BadTopic.into());
        }
        if input.len() < head {
            return Ok(None);
        }
        if quality > 0 && two_bytes(input, topic.end) == Some(0) {
            return Err(Refusal::Malformed.into());
        }
        self.judge(&input[topic], header.flags & 1 != 0, header.length)?;
        if quality == 2 {
            self.held.add(header.length, self.policy.most_bytes_of_all().saturating_mul(2))?;
        }
        Ok(Some(head))
    }

    fn judge(&mut self, topic: &[u8], retained: bool, length: usize) -> Result<(), Refused> {
        let (last, last_retained, most) = &self.last;
        if last == topic && *last_retained == retained && length <= *most {
            return Ok(());
        }
        let Ok(text) = str::from_utf8(topic) else { return Err(Refusal::BadTopic.into()) };
        let refused = |why| Refused { why, topic: shortened(text) };
        self.policy.may(&self.client, Action::Publish { retained }, text).map_err(refused)?;
        let most = self.policy.most_bytes(text);
        if length > most {
            return Err(refused(Refusal::TooLarge));
        }
        self.devices.note_topic(&self.device, text).map_err(refused)?;
        self.takers = self.takers_of(text);
        self.readers = Readers::default();
        self.last.0.clear();
        self.last.0.extend_from_slice(topic);
        (self.last.1, self.last.2) = (retained, most);
        Ok(())
    }
}

/// A packet of these parts.
pub(super) fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut packet = with_length(first, parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| packet.extend_from_slice(part));
    packet
}

/// The fixed header of a packet.
pub(super) fn with_length(first: u8, mut length: usize) -> Vec<u8> {
    let mut header = vec![first];
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        header.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return header;
        }
    }
}

/// A packet whose size is fixed; `None` where more is needed.
fn check_fixed(header: Header, input: &[u8]) -> Result<Option<()>, Refusal> {
    let (length, flags) = match header.kind {
        4 | 5 | 7 => (2, 0),
        6 => (2, 2),
        12 | 14 => (0, 0),
        _ => return Err(Refusal::PacketOrder),
    };
    if header.length != length || header.flags != flags {
        return Err(Refusal::Malformed);
    }
    if input.len() < header.packet() {
        return Ok(None);
    }
    if length == 2 && two_bytes(input, header.bytes) == Some(0) {
        Err(Refusal::Malformed)
    } else {
        Ok(Some(()))
    }
}

pub(super) fn two_bytes(input: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*input.get(at)?, *input.get(at + 1)?]))
}

/// Where the text of a string with its length in front stands.
pub(super) fn text_at(packet: &[u8], at: usize) -> Option<Range<usize>> {
    let text = at + 2..at + 2 + usize::from(two_bytes(packet, at)?);
    (text.end <= packet.len()).then_some(text)
}

/// For messages: a stranger chooses how long it is.
fn shortened(topic: &str) -> String {
    topic.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
