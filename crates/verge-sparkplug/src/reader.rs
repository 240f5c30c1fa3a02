//! What other edge nodes say: names, types and aliases learnt from their births, numbers read by them.
//!
//! Pure and bounded: whatever a node sends, no more than [`MAX_KNOWN_METRICS`] metrics of [`MAX_NODES`] nodes are known.
//! Source: Sparkplug B 3.0, chapters 5 and 6. Nodes that keep less than all of its rules are borne: births at any time, no
//! aliases, numbers of 32 bits in the field of 64, stops without a death.
//!
//! Reading order: [`SparkplugReader`]; `names`, what a birth taught; `metric`, one metric, and `value`, the numbers in it; `wire`, the fields of a message.

mod metric;
mod names;
#[cfg(test)]
mod tests;
mod value;
mod wire;

use std::collections::HashMap;

use verge_domain::rejection::Reason;

use metric::{MetricContent, MetricFields};
use names::KnownNames;
use value::Value;
use wire::{FieldValue, Fields, Malformed};

/// Edge nodes that are known at most; those that are dead give way to new ones.
pub(crate) const MAX_NODES: usize = 1024;
/// Devices of all nodes together at most.
pub(crate) const MAX_KNOWN_DEVICES: usize = 16_384;
/// Metrics of all nodes and devices together at most.
pub(crate) const MAX_KNOWN_METRICS: usize = 131_072;
/// Names longer than this are refused.
const MAX_NAME: usize = 512;

/// Whose a message or a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker<'a> {
    /// The group.
    pub group: &'a str,
    /// The edge node.
    pub node: &'a str,
    /// The device; `None`: the node itself.
    pub device: Option<&'a str>,
}

/// What a message holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SparkplugRead<'a> {
    /// A number.
    Value {
        /// Whose.
        speaker: Speaker<'a>,
        /// The metric.
        name: &'a str,
        /// Its unit, as its birth has it.
        unit: Option<&'a str>,
        /// The number.
        value: f64,
        /// When it was true (UTC ms).
        at: Option<u64>,
    },
    /// Something is not used.
    Refused {
        /// Why.
        reason: Reason,
        /// The metric, where its name is known.
        name: Option<&'a str>,
    },
    /// It is away: nothing comes from it before its next birth.
    Away(Speaker<'a>),
}

/// What a topic says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageKind {
    Birth,
    Data,
    Death,
    /// Commands, and states of hosts.
    Other,
}

#[derive(Debug, Default)]
struct KnownNode {
    /// Of the birth by which it is alive.
    bd_seq: Option<u64>,
    is_alive: bool,
    seq: Option<u64>,
    own: KnownNames,
    devices: HashMap<Box<str>, KnownNames>,
}

/// Reads the messages of edge nodes.
#[derive(Debug, Default)]
pub struct SparkplugReader {
    /// By group and node.
    nodes: HashMap<(Box<str>, Box<str>), KnownNode>,
    devices: usize,
    metrics: usize,
    takes_history: bool,
}

/// Seq and time of a message, which is well-formed.
struct PayloadHead {
    seq: Option<u64>,
    at: Option<u64>,
    bd_seq: Option<u64>,
}

impl SparkplugReader {
    /// Knows nobody. `takes_history`: historical values are read as others.
    #[must_use]
    pub fn new(takes_history: bool) -> Self {
        Self { takes_history, ..Self::default() }
    }

    /// Reads a message. Says whether births are wanted: its node has not been born since the start, a message of it is
    /// missing, or it uses an alias that no birth has.
    ///
    /// # Errors
    /// The reason to refuse the message as a whole.
    pub fn read(
        &mut self,
        topic: &str,
        payload: &[u8],
        mut out: impl FnMut(SparkplugRead<'_>),
    ) -> Result<bool, Reason> {
        let (kind, speaker) = speaker_of(topic).ok_or(Reason::UnknownTopic)?;
        if kind == MessageKind::Other {
            return Ok(false);
        }
        let head = PayloadHead::of(payload).map_err(|Malformed| Reason::BadSparkplug)?;
        match (kind, speaker.device) {
            (MessageKind::Birth, device) => {
                self.forget(speaker);
                self.make_room(speaker)?;
                let node = self.node(speaker);
                let mut gap = false;
                if device.is_none() {
                    node.bd_seq = head.bd_seq;
                    node.is_alive = true;
                    node.seq = head.seq.map(|seq| seq % 256);
                } else {
                    gap = node.follows(head.seq);
                }
                let is_known = node.is_alive;
                if gap {
                    out(SparkplugRead::Refused { reason: Reason::SeqGap, name: None });
                }
                self.born(speaker, payload, &head, &mut out);
                Ok(gap || !is_known)
            }
            (MessageKind::Data, _) => {
                let known = self.nodes.get_mut(&key_of(speaker));
                let (is_alive, gap) = known
                    .map_or((false, false), |node| (node.is_alive, node.is_alive && node.follows(head.seq)));
                if gap {
                    out(SparkplugRead::Refused { reason: Reason::SeqGap, name: None });
                }
                let is_unknown = self.values(speaker, payload, &head, &mut out);
                Ok(gap || !is_alive || is_unknown)
            }
            (MessageKind::Death, Some(_)) => {
                let known = self.nodes.get_mut(&key_of(speaker));
                let gap = known.is_some_and(|node| node.is_alive && node.follows(head.seq));
                self.forget(speaker);
                out(SparkplugRead::Away(speaker));
                if gap {
                    out(SparkplugRead::Refused { reason: Reason::SeqGap, name: None });
                }
                Ok(gap)
            }
            (MessageKind::Death, None) => self.node_died(speaker, &head, out),
            (MessageKind::Other, _) => Ok(false),
        }
    }

    /// The death counts only with the number of the birth: a last will may come long after its node was born anew.
    fn node_died(
        &mut self,
        speaker: Speaker<'_>,
        head: &PayloadHead,
        mut out: impl FnMut(SparkplugRead<'_>),
    ) -> Result<bool, Reason> {
        let Some(node) = self.nodes.get_mut(&key_of(speaker)).filter(|node| node.is_alive) else {
            return Err(Reason::StaleDeath);
        };
        if head.bd_seq.is_none() || head.bd_seq != node.bd_seq {
            return Err(Reason::StaleDeath);
        }
        node.is_alive = false;
        for device in node.devices.keys() {
            out(SparkplugRead::Away(Speaker { device: Some(device), ..speaker }));
        }
        out(SparkplugRead::Away(speaker));
        self.forget(speaker);
        Ok(false)
    }

    /// Learns the metrics of a birth, and reads their values.
    fn born(
        &mut self,
        speaker: Speaker<'_>,
        payload: &[u8],
        head: &PayloadHead,
        out: &mut impl FnMut(SparkplugRead<'_>),
    ) {
        let (mut room, takes_history) = (MAX_KNOWN_METRICS.saturating_sub(self.metrics), self.takes_history);
        let node = self.node(speaker);
        let names = match speaker.device {
            None => &mut node.own,
            Some(device) => node.devices.entry(device.into()).or_default(),
        };
        for metric in metrics_of(payload) {
            let Some(name) = metric.name else {
                out(SparkplugRead::Refused { reason: Reason::UnknownAlias, name: None });
                continue;
            };
            if is_control(name) {
                continue;
            }
            if name.len() > MAX_NAME {
                out(SparkplugRead::Refused { reason: Reason::BadName, name: None });
                continue;
            }
            let Some(datatype) = metric.datatype else {
                out(SparkplugRead::Refused { reason: Reason::BadSparkplug, name: Some(name) });
                continue;
            };
            if !names.learn(name, (metric.alias, datatype, metric.unit), &mut room) {
                out(SparkplugRead::Refused { reason: Reason::TooManyStreams, name: Some(name) });
                continue;
            }
            let value = Value { speaker, name, unit: metric.unit, datatype, at: metric.at.or(head.at) };
            value.read(&metric, takes_history, out);
        }
        self.metrics = MAX_KNOWN_METRICS.saturating_sub(room);
    }

    /// Reads the values of data. Returns whether one of them has no name.
    fn values(
        &self,
        speaker: Speaker<'_>,
        payload: &[u8],
        head: &PayloadHead,
        out: &mut impl FnMut(SparkplugRead<'_>),
    ) -> bool {
        let nothing = KnownNames::default();
        let node = self.nodes.get(&key_of(speaker));
        let names = node.and_then(|node| match speaker.device {
            None => Some(&node.own),
            Some(device) => node.devices.get(device),
        });
        let names = names.unwrap_or(&nothing);
        let mut is_unknown = false;
        for metric in metrics_of(payload) {
            let known = match (metric.name, metric.alias) {
                // A name says more than an alias.
                (Some(name), _) if is_control(name) => continue,
                (Some(name), _) => names.named(name),
                (None, Some(alias)) => names.under(alias),
                (None, None) => None,
            };
            let (name, datatype, unit) = match (known, metric.name, metric.datatype) {
                (Some(known), _, stated) => (known.name(), stated.unwrap_or(known.datatype), known.unit()),
                (None, Some(name), Some(datatype)) if name.len() <= MAX_NAME => (name, datatype, metric.unit),
                (None, name, _) => {
                    is_unknown = true;
                    out(SparkplugRead::Refused { reason: Reason::UnknownAlias, name });
                    continue;
                }
            };
            let value = Value { speaker, name, unit, datatype, at: metric.at.or(head.at) };
            value.read(&metric, self.takes_history, out);
        }
        is_unknown
    }

    fn node(&mut self, speaker: Speaker<'_>) -> &mut KnownNode {
        self.nodes.entry(key_of(speaker)).or_default()
    }

    /// Makes room for a birth.
    fn make_room(&mut self, speaker: Speaker<'_>) -> Result<(), Reason> {
        let known = self.nodes.get(&key_of(speaker));
        let new = speaker.device.filter(|name| known.is_none_or(|node| !node.devices.contains_key(*name)));
        if known.is_none() && self.nodes.len() >= MAX_NODES {
            // Those too that were never born, with their devices.
            self.nodes.retain(|_, node| node.is_alive);
            if self.nodes.len() >= MAX_NODES {
                return Err(Reason::TooManyStreams);
            }
            self.devices = self.nodes.values().map(|node| node.devices.len()).sum();
            self.metrics = self.nodes.values().map(KnownNode::metrics).sum();
        }
        if let Some(device) = new {
            if self.devices >= MAX_KNOWN_DEVICES {
                return Err(Reason::TooManyStreams);
            }
            self.node(speaker).devices.insert(device.into(), KnownNames::default());
            self.devices += 1;
        }
        Ok(())
    }

    /// Forgets the names of a device, or of a node with all its devices.
    fn forget(&mut self, speaker: Speaker<'_>) {
        let Some(node) = self.nodes.get_mut(&key_of(speaker)) else { return };
        let (mut metrics, mut devices) = (0, 0);
        match speaker.device {
            Some(device) => {
                if let Some(names) = node.devices.remove(device) {
                    (metrics, devices) = (names.len(), 1);
                }
            }
            None => {
                metrics = std::mem::take(&mut node.own).len();
                for (_, names) in node.devices.drain() {
                    metrics += names.len();
                    devices += 1;
                }
            }
        }
        self.metrics = self.metrics.saturating_sub(metrics);
        self.devices = self.devices.saturating_sub(devices);
    }
}

impl KnownNode {
    fn metrics(&self) -> usize {
        self.devices.values().chain([&self.own]).map(KnownNames::len).sum()
    }

    /// Takes up the number of a message. Says whether one before it is missing.
    fn follows(&mut self, seq: Option<u64>) -> bool {
        let expected = self.seq.map(|last| (last + 1) % 256);
        self.seq = seq.map(|seq| seq % 256);
        self.is_alive && expected.is_some() && expected != seq
    }
}

impl PayloadHead {
    fn of(payload: &[u8]) -> Result<Self, Malformed> {
        let mut head = Self { seq: None, at: None, bd_seq: None };
        for field in Fields::of(payload) {
            match field? {
                (1, value) => head.at = Some(value.varint().ok_or(Malformed)?),
                (2, value) => {
                    let metric = MetricFields::read(value.bytes().ok_or(Malformed)?)?;
                    if metric.name == Some("bdSeq")
                        && let MetricContent::Number(_, FieldValue::Varint(number)) = metric.content
                    {
                        head.bd_seq = Some(number);
                    }
                }
                (3, value) => head.seq = Some(value.varint().ok_or(Malformed)?),
                _ => {}
            }
        }
        Ok(head)
    }
}

/// The metrics of a message that is well-formed.
fn metrics_of(payload: &[u8]) -> impl Iterator<Item = MetricFields<'_>> {
    Fields::of(payload).filter_map(|field| match field {
        Ok((2, FieldValue::Bytes(bytes))) => MetricFields::read(bytes).ok(),
        _ => None,
    })
}

fn key_of(speaker: Speaker<'_>) -> (Box<str>, Box<str>) {
    (speaker.group.into(), speaker.node.into())
}

fn speaker_of(topic: &str) -> Option<(MessageKind, Speaker<'_>)> {
    let mut levels = topic.split('/');
    let (space, group, kind) = (levels.next()?, levels.next()?, levels.next()?);
    if space != "spBv1.0" {
        return None;
    }
    if group == "STATE" {
        return Some((MessageKind::Other, Speaker { group, node: kind, device: None }));
    }
    let (node, device, more) = (levels.next()?, levels.next(), levels.next());
    let kind = match (kind, device) {
        ("NBIRTH", None) | ("DBIRTH", Some(_)) => MessageKind::Birth,
        ("NDATA", None) | ("DDATA", Some(_)) => MessageKind::Data,
        ("NDEATH", None) | ("DDEATH", Some(_)) => MessageKind::Death,
        ("NCMD", None) | ("DCMD", Some(_)) => MessageKind::Other,
        _ => return None,
    };
    let is_named = |name: &str| !name.is_empty() && name.len() <= MAX_NAME;
    let names_are_good = is_named(group) && is_named(node) && device.is_none_or(is_named);
    (more.is_none() && names_are_good).then_some((kind, Speaker { group, node, device }))
}

/// What serves the protocol and is no signal.
fn is_control(name: &str) -> bool {
    name == "bdSeq" || name.starts_with("Node Control/") || name.starts_with("Device Control/")
}
