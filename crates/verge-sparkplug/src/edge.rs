//! The state machine of an edge node: `Down`, `Connecting`, `WaitHost`, `Born`, `Leaving`. Events in, actions out.
//!
//! Data is QoS 0, so a broker acknowledges none of it. A broker reads the packets of one client in order: the answer to a
//! subscription that is asked for again proves that all before it has been read. Up to there the offered rows are delivered.
//! What was committed after the births goes out at once, from the board; what was committed before them and is not
//! delivered follows as history, at a rate.

mod births;
mod commands;
mod data;
mod incoming;
mod report;
mod terms;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use verge_domain::board::LastWord;
use verge_domain::id::Seq;
use verge_domain::link::EdgeNodeReport;
use verge_domain::stage::{Token, VerdictRow};
use verge_domain::time::{Moment, Monotonic};

use crate::devices::Devices;
use crate::host::PrimaryHost;
use crate::names::host_topics;
use crate::node_status::NodeStatus;
use crate::numbers::SentNumbers;
use crate::payload::{DataType, Metric, MetricValue, SparkplugPayload};
use crate::rows::WaitingRows;
use crate::values::millis;
use terms::EdgePhase;
pub use terms::{EdgeAction, EdgeNews, EdgeSettings, HistoryOrder, HostCommands};

/// Births of the node, and of one device, come no faster than this.
const BIRTH_EVERY: Duration = Duration::from_secs(1);
/// Words that wait to be sent at most; the board keeps further ones.
const MAX_LIVE: usize = 1024;
/// With this number of items unconfirmed the broker is asked at once.
const CONFIRM_AT: usize = 1024;

/// An edge node.
#[derive(Debug)]
pub struct EdgeNode {
    settings: EdgeSettings,
    phase: EdgePhase,
    bd_seq: u8,
    seq: u8,
    host: PrimaryHost,
    devices: Devices,
    status: Option<NodeStatus>,
    status_due: bool,
    /// What hosts were informed of the node's own metrics, in their order.
    status_said: Vec<Option<MetricValue>>,
    /// To the last command of a host.
    answer: Option<String>,
    answer_due: bool,
    birth_due: Option<Monotonic>,
    last_birth: Option<Monotonic>,
    births_left: VecDeque<usize>,
    /// Devices whose death is to be said.
    deaths_due: VecDeque<usize>,
    /// Newest numbers that were committed at the births: what is not newer is history.
    born_at: [Seq; 3],
    /// Newest numbers that the board has shown.
    seen: [Seq; 3],
    sent: [SentNumbers; 3],
    /// Newest numbers that were offered on this connection.
    offered: [Seq; 3],
    live: VecDeque<Arc<LastWord>>,
    rows: WaitingRows,
    credit: f64,
    credit_at: Option<Monotonic>,
    unconfirmed: Vec<Token>,
    asked: VecDeque<Vec<Token>>,
    last_asked: Option<Monotonic>,
    news: VecDeque<EdgeNews>,
    counted: EdgeNodeReport,
}

impl EdgeNode {
    /// A node that is not connected.
    #[must_use]
    pub fn new(settings: EdgeSettings) -> Self {
        let devices = births::no_devices(&settings);
        Self {
            settings,
            devices,
            phase: EdgePhase::Down,
            bd_seq: 0,
            seq: 0,
            host: PrimaryHost::default(),
            status: None,
            status_due: false,
            status_said: Vec::new(),
            answer: None,
            answer_due: false,
            birth_due: None,
            last_birth: None,
            births_left: VecDeque::new(),
            deaths_due: VecDeque::new(),
            born_at: [Seq::ZERO; 3],
            seen: [Seq::ZERO; 3],
            sent: Default::default(),
            offered: [Seq::ZERO; 3],
            live: VecDeque::new(),
            rows: WaitingRows::default(),
            credit: 0.0,
            credit_at: None,
            unconfirmed: Vec::new(),
            asked: VecDeque::new(),
            last_asked: None,
            news: VecDeque::new(),
            counted: EdgeNodeReport::default(),
        }
    }

    /// An attempt begins, with this number. Returns topic and payload of its last will.
    pub fn connecting(&mut self, bd_seq: u8) -> (String, Vec<u8>) {
        self.lost();
        self.phase = EdgePhase::Connecting;
        self.bd_seq = bd_seq;
        self.death(None)
    }

    /// The broker has accepted the connection.
    pub fn accepted(&mut self) {
        if self.phase == EdgePhase::Connecting {
            self.phase = EdgePhase::Subscribing;
        }
    }

    /// The broker has answered the first subscription.
    pub fn subscribed(&mut self) {
        if self.phase == EdgePhase::Subscribed {
            self.phase = if self.settings.host.is_some() { EdgePhase::WaitHost } else { EdgePhase::Ready };
            self.look_at_host();
        }
    }

    /// Whether [`EdgeNode::begin`] is due.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == EdgePhase::Ready
    }

    /// The births are due. `words`: all that the board holds; `heads`: the newest committed numbers, read before them.
    pub fn begin(&mut self, words: &[Arc<LastWord>], heads: [Seq; 3], now: Moment) {
        self.devices = births::no_devices(&self.settings);
        let mut words: Vec<&Arc<LastWord>> = words.iter().filter(|word| self.shows(word)).collect();
        words.sort_by_key(|word| {
            let (judge, subject, _) = word.point();
            (subject.device.clone(), judge.clone(), subject.signal.clone())
        });
        let mut known = heads;
        for word in words {
            // What was committed since the numbers were read.
            let newest = &mut known[word.verdict.lane.index()];
            *newest = word.seq.unwrap_or(Seq::ZERO).max(*newest);
            self.fold(word);
        }
        (self.born_at, self.seen) = (known, known);
        self.birth_due = Some(now.mono);
        self.phase = EdgePhase::Born;
        self.news.push_back(EdgeNews::Born);
    }

    /// How many more words it takes; the board keeps the rest.
    #[must_use]
    pub fn room_for_words(&self) -> usize {
        let room = MAX_LIVE.saturating_sub(self.live.len());
        if matches!(self.phase, EdgePhase::Born | EdgePhase::Leaving { by_host: false, .. }) {
            room
        } else {
            0
        }
    }

    /// What was committed.
    pub fn words(&mut self, words: &[Arc<LastWord>]) {
        for word in words {
            if !self.shows(word) {
                continue;
            }
            if let Some(seq) = word.seq {
                let seen = &mut self.seen[word.verdict.lane.index()];
                *seen = seq.max(*seen);
            }
            if self.settings.history == HistoryOrder::Behind {
                self.live.push_back(Arc::clone(word));
            }
        }
    }

    fn shows(&self, word: &LastWord) -> bool {
        self.settings.lanes.contains(&word.verdict.lane)
    }

    /// Whether rows may be offered.
    #[must_use]
    pub fn is_born(&self) -> bool {
        self.phase == EdgePhase::Born
    }

    /// Takes rows of one lane for delivery; false where there is no room. [`EdgeNews::Delivered`] reports them.
    pub fn offer(&mut self, rows: Vec<VerdictRow>, token: Token) -> bool {
        let Some(last) = rows.last().map(|row| (row.lane.index(), row.seq)) else {
            self.unconfirmed.push(token);
            return true;
        };
        let is_new = rows.iter().all(|row| self.is_sent(row)) && self.rows.is_empty();
        if is_new {
            self.unconfirmed.push(token);
        } else if !self.rows.push(rows.into(), token) {
            return false;
        }
        let offered = &mut self.offered[last.0];
        *offered = last.1.max(*offered);
        true
    }

    /// The gateway's status.
    pub fn set_status(&mut self, status: NodeStatus) {
        self.status_due |= self.status.as_ref() != Some(&status);
        self.status = Some(status);
    }

    /// The broker has answered the subscription that was asked for again: it has all that was sent before.
    pub fn confirmed(&mut self) {
        let tokens = self.asked.pop_front().unwrap_or_default();
        self.news.extend(tokens.into_iter().map(EdgeNews::Delivered));
    }

    /// The gateway stops. What is committed still goes out, then that the node leaves.
    pub fn leave(&mut self) {
        if !matches!(self.phase, EdgePhase::Down | EdgePhase::Connecting | EdgePhase::Leaving { .. }) {
            self.phase = EdgePhase::Leaving { by_host: false, said: false };
        }
    }

    /// The broker has the message that the node leaves.
    pub fn left(&mut self) {
        if let EdgePhase::Leaving { by_host, said: true } = self.phase {
            let why = by_host.then(|| "the primary host is offline".to_owned());
            self.news.push_back(EdgeNews::Left(why));
        }
    }

    /// The connection is lost. What was not confirmed is void.
    pub fn lost(&mut self) {
        self.phase = EdgePhase::Down;
        self.host = PrimaryHost::default();
        self.births_left.clear();
        self.deaths_due.clear();
        self.birth_due = None;
        self.last_birth = None;
        self.last_asked = None;
        self.live.clear();
        self.rows.clear();
        self.unconfirmed.clear();
        self.asked.clear();
        self.sent.iter_mut().for_each(SentNumbers::clear);
        self.offered = [Seq::ZERO; 3];
        self.news.retain(|news| matches!(news, EdgeNews::Delivered(_)));
        self.status_due = false;
    }

    /// The next thing to do, if there is one now.
    pub fn next(&mut self, now: Moment) -> Option<EdgeAction> {
        match self.phase {
            EdgePhase::Subscribing => {
                self.phase = EdgePhase::Subscribed;
                let hosts = self.settings.host.as_deref().map(host_topics).into_iter().flatten();
                let commands = self.settings.address.topic("NCMD");
                let of_devices = self.settings.commands.as_ref();
                let of_devices = of_devices.map(|_| self.settings.address.device_topic("DCMD", "+"));
                Some(EdgeAction::Subscribe([commands].into_iter().chain(of_devices).chain(hosts).collect()))
            }
            EdgePhase::Born => self
                .next_birth(now)
                .or_else(|| self.next_death(now))
                .or_else(|| self.next_data(now))
                // Of devices that are new with it.
                .or_else(|| self.next_birth(now))
                .or_else(|| self.next_row(now, true))
                .or_else(|| self.next_settled(now))
                .or_else(|| self.confirm(now, false)),
            EdgePhase::Leaving { said: true, .. } => None,
            EdgePhase::Leaving { by_host, .. } => {
                let last = if by_host { None } else { self.last_data(now) };
                last.or_else(|| {
                    self.phase = EdgePhase::Leaving { by_host, said: true };
                    let (topic, payload) = self.death(Some(now));
                    Some(EdgeAction::Death(topic, payload))
                })
            }
            EdgePhase::Down
            | EdgePhase::Connecting
            | EdgePhase::Subscribed
            | EdgePhase::WaitHost
            | EdgePhase::Ready => None,
        }
    }

    fn last_data(&mut self, now: Moment) -> Option<EdgeAction> {
        self.last_birth?;
        self.next_birth(now)
            .or_else(|| self.next_data(now))
            .or_else(|| self.next_birth(now))
            .or_else(|| self.next_row(now, false))
            .or_else(|| self.confirm(now, true))
    }

    /// When to look again although nothing happens.
    #[must_use]
    pub fn wake(&self, now: Moment) -> Option<Duration> {
        if !matches!(self.phase, EdgePhase::Born) {
            return None;
        }
        let births = self.birth_due.into_iter().chain(self.devices_due());
        let births = births.map(|at| at.since(now.mono)).min();
        // History goes in small portions.
        let history = (!self.rows.is_empty()).then_some(Duration::from_millis(20));
        let confirm = (!self.unconfirmed.is_empty() && self.asked.is_empty()).then(|| {
            self.last_asked.map_or(Duration::ZERO, |last| last.after(self.settings.confirm).since(now.mono))
        });
        [births, history, confirm].into_iter().flatten().min()
    }

    /// Asks what the broker has read.
    fn confirm(&mut self, now: Moment, at_the_end: bool) -> Option<EdgeAction> {
        let due = self.last_asked.is_none_or(|last| last.after(self.settings.confirm) <= now.mono);
        let due = due || self.unconfirmed.len() >= CONFIRM_AT;
        if self.unconfirmed.is_empty() || !at_the_end && (!self.asked.is_empty() || !due) {
            return None;
        }
        self.asked.push_back(std::mem::take(&mut self.unconfirmed));
        self.last_asked = Some(now.mono);
        Some(EdgeAction::Confirm(self.settings.address.topic("NCMD")))
    }

    /// What happened, in order.
    pub fn take_news(&mut self) -> Option<EdgeNews> {
        if self.rows.has_room_again() {
            self.news.push_back(EdgeNews::Room);
        }
        self.news.pop_front()
    }

    /// Whether it waits for the broker's answer to a subscription.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        !self.asked.is_empty() || self.phase == EdgePhase::Subscribed
    }

    /// The message that the node is not there, as last will or on leaving.
    fn death(&self, now: Option<Moment>) -> (String, Vec<u8>) {
        let timestamp = now.map(|now| millis(now.wall));
        let payload = SparkplugPayload { timestamp, metrics: vec![self.bd_seq_metric(timestamp)], seq: None };
        (self.settings.address.topic("NDEATH"), payload.encode_to_vec())
    }

    fn bd_seq_metric(&self, timestamp: Option<u64>) -> Metric {
        Metric {
            name: Some("bdSeq".to_owned()),
            timestamp,
            datatype: Some(DataType::Int64.code()),
            value: Some(MetricValue::Long(u64::from(self.bd_seq))),
            ..Metric::default()
        }
    }

    fn payload(&mut self, metrics: Vec<Metric>, now: Moment) -> Vec<u8> {
        let seq = Some(u64::from(self.seq));
        self.seq = self.seq.wrapping_add(1);
        SparkplugPayload { timestamp: Some(millis(now.wall)), metrics, seq }.encode_to_vec()
    }
}

#[cfg(test)]
mod tests;
