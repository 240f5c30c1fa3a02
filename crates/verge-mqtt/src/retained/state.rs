//! Which messages are to be retained, and how far the broker has them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::{AsyncClient, QoS};
use tokio::sync::Notify;

use super::{OFFLINE, ONLINE, RetainedReport, WINDOW};
use crate::in_flight::InFlight;

/// How far a topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It stands in the line of those that are due.
    Due,
    /// It is in flight; `outdated`: what is to be there has changed since.
    InFlight { outdated: bool },
    /// The broker has it.
    Retained,
}

#[derive(Debug)]
struct KeptTopic {
    payload: Bytes,
    progress: Progress,
}

/// A message in flight; without a topic it is the presence.
#[derive(Debug)]
enum Flight {
    Topic(Arc<str>),
    Presence(bool),
}

/// How far what an earlier run left is read.
#[derive(Debug)]
pub(super) enum Earlier {
    Unread,
    Reading(HashMap<String, Bytes>),
    Read(HashMap<String, Bytes>),
    Taken,
}

#[derive(Debug)]
pub(super) struct TopicsState {
    presence: Arc<str>,
    max_topics: usize,
    topics: HashMap<Arc<str>, KeptTopic>,
    due: VecDeque<Arc<str>>,
    in_flight: InFlight<Flight>,
    client: Option<AsyncClient>,
    /// Since when the broker owes an acknowledgement.
    owed_since: Option<Instant>,
    pub(super) earlier: Earlier,
    pub(super) wanted: Option<bool>,
    /// What the broker has of the presence on this connection.
    present: Option<bool>,
    published: u64,
    refused: u64,
    last_error: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct SharedTopics(Arc<(Mutex<TopicsState>, Notify)>);

impl SharedTopics {
    pub(super) fn new(presence: String, max_topics: usize) -> Self {
        let state = TopicsState {
            presence: presence.into(),
            max_topics,
            topics: HashMap::new(),
            due: VecDeque::new(),
            in_flight: InFlight::default(),
            client: None,
            owed_since: None,
            earlier: Earlier::Unread,
            wanted: None,
            present: None,
            published: 0,
            refused: 0,
            last_error: None,
        };
        Self(Arc::new((Mutex::new(state), Notify::new())))
    }

    fn lock(&self) -> MutexGuard<'_, TopicsState> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn presence(&self) -> Arc<str> {
        Arc::clone(&self.lock().presence)
    }

    /// Does something with the topics, and sends what then is due.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut TopicsState) -> T) -> T {
        let mut state = self.lock();
        let done = act(&mut state);
        state.pump();
        drop(state);
        self.0.1.notify_waiters();
        done
    }

    /// Waits until the broker has all, or there is no connection.
    pub(super) async fn drained(&self) {
        loop {
            let changed = self.0.1.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.lock();
                if state.client.is_none() || state.is_drained() {
                    return;
                }
            }
            changed.await;
        }
    }
}

impl TopicsState {
    pub(super) fn set(&mut self, topic: &Arc<str>, payload: Bytes) {
        if let Some(kept) = self.topics.get_mut(topic) {
            if kept.payload == payload && !payload.is_empty() {
                return;
            }
            kept.payload = payload;
            match &mut kept.progress {
                Progress::Due => {}
                Progress::InFlight { outdated } => *outdated = true,
                Progress::Retained => {
                    kept.progress = Progress::Due;
                    self.due.push_back(Arc::clone(topic));
                }
            }
            return;
        }
        if self.topics.len() >= self.max_topics {
            self.refuse(format!("{topic}: {} topics are the most", self.max_topics));
            return;
        }
        if let Earlier::Reading(earlier) | Earlier::Read(earlier) = &mut self.earlier {
            earlier.remove(&**topic);
        }
        self.topics.insert(Arc::clone(topic), KeptTopic { payload, progress: Progress::Due });
        self.due.push_back(Arc::clone(topic));
    }

    /// The message of a topic goes again, though the broker has it.
    pub(super) fn repeat(&mut self, topic: &str) {
        let Some((topic, _)) = self.topics.get_key_value(topic) else { return };
        let topic = Arc::clone(topic);
        if let Some(kept) = self.topics.get_mut(&topic)
            && kept.progress == Progress::Retained
        {
            kept.progress = Progress::Due;
            self.due.push_back(topic);
        }
    }

    /// A message cannot be sent. The first is in the log, each in the report.
    pub(super) fn refuse(&mut self, reason: String) {
        if self.refused == 0 {
            tracing::warn!("a message is not retained: {reason}");
        }
        self.refused += 1;
        self.last_error = Some(reason);
    }

    /// The newest message of a topic goes again, whether the broker has it or not.
    fn again(&mut self) {
        self.due.clear();
        for (topic, kept) in &mut self.topics {
            kept.progress = Progress::Due;
            self.due.push_back(Arc::clone(topic));
        }
    }

    pub(super) fn connected(&mut self, client: AsyncClient) {
        self.client = Some(client);
        self.owed_since = None;
        self.present = None;
        self.last_error = None;
        drop(self.in_flight.take_all());
        self.again();
    }

    pub(super) fn lost(&mut self, reason: String) {
        if self.client.is_some() || self.last_error.is_none() {
            tracing::warn!(topic = %self.presence, "retained topics: {reason}");
        }
        self.ended();
        self.last_error = Some(reason);
        if matches!(self.earlier, Earlier::Reading(_)) {
            self.earlier = Earlier::Unread;
        }
        drop(self.in_flight.take_all());
    }

    pub(super) fn ended(&mut self) {
        self.client = None;
        self.owed_since = None;
        self.present = None;
    }

    /// Something arrived that an earlier run, or this one, has published.
    pub(super) fn arrived(&mut self, topic: String, payload: Bytes) {
        if let Earlier::Reading(earlier) = &mut self.earlier
            && earlier.len() < self.max_topics
            && *topic != *self.presence
            && !self.topics.contains_key(&*topic)
        {
            earlier.insert(topic, payload);
        }
    }

    /// All of it has arrived, or the broker does not let it be read.
    pub(super) fn is_read(&mut self) {
        let earlier = std::mem::replace(&mut self.earlier, Earlier::Taken);
        self.earlier = match earlier {
            Earlier::Reading(earlier) => Earlier::Read(earlier),
            Earlier::Unread => Earlier::Read(HashMap::new()),
            known @ (Earlier::Read(_) | Earlier::Taken) => known,
        };
    }

    pub(super) fn take_earlier(&mut self) -> Option<Vec<(String, Bytes)>> {
        match std::mem::replace(&mut self.earlier, Earlier::Taken) {
            Earlier::Read(earlier) => {
                // What comes of it is set first.
                self.wanted = None;
                Some(earlier.into_iter().collect())
            }
            other => {
                self.earlier = other;
                None
            }
        }
    }

    fn pump(&mut self) {
        let Some(client) = self.client.clone() else { return };
        // That the owner is away waits for nothing.
        if self.wanted == Some(false) && !self.send_presence(&client, false) {
            return;
        }
        while self.in_flight.len() < WINDOW
            && let Some(topic) = self.due.pop_front()
        {
            let Some(kept) = self.topics.get_mut(&topic) else { continue };
            if client.try_publish(&*topic, QoS::AtLeastOnce, true, kept.payload.clone()).is_err() {
                self.due.push_front(topic);
                self.client = None;
                return;
            }
            kept.progress = Progress::InFlight { outdated: false };
            self.in_flight.hand_over(Flight::Topic(topic));
        }
        // Behind what is in flight: messages of one client arrive in order. To wait for their acknowledgements would be to
        // wait for ever where something always changes.
        if self.wanted == Some(true) && matches!(self.earlier, Earlier::Taken) && self.due.is_empty() {
            self.send_presence(&client, true);
        }
        if self.in_flight.len() == 0 {
            self.owed_since = None;
        } else {
            self.owed_since.get_or_insert_with(Instant::now);
        }
    }

    fn is_drained(&self) -> bool {
        self.due.is_empty() && self.in_flight.len() == 0 && self.present == self.wanted
    }

    /// False where the connection takes nothing more.
    fn send_presence(&mut self, client: &AsyncClient, is_present: bool) -> bool {
        let is_sent = self.present == Some(is_present)
            || self.in_flight.any(|flight| matches!(flight, Flight::Presence(_)));
        if is_sent || self.in_flight.len() > WINDOW {
            return true;
        }
        let word = if is_present { ONLINE } else { OFFLINE };
        if client.try_publish(&*self.presence, QoS::AtLeastOnce, true, word).is_err() {
            self.client = None;
            return false;
        }
        self.in_flight.hand_over(Flight::Presence(is_present));
        true
    }

    pub(super) fn sent(&mut self, packet_id: u16) {
        // Everything here has an identifier.
        drop(self.in_flight.sent(packet_id));
    }

    pub(super) fn acknowledged(&mut self, packet_id: u16) {
        let Some(flight) = self.in_flight.acknowledged(packet_id) else { return };
        self.owed_since = Some(Instant::now());
        match flight {
            Flight::Presence(is_present) => self.present = Some(is_present),
            Flight::Topic(topic) => {
                self.published += 1;
                let Some(kept) = self.topics.get_mut(&topic) else { return };
                if kept.progress == (Progress::InFlight { outdated: true }) {
                    kept.progress = Progress::Due;
                    self.due.push_back(topic);
                } else if kept.payload.is_empty() {
                    self.topics.remove(&topic);
                } else {
                    kept.progress = Progress::Retained;
                }
            }
        }
    }

    /// For how long the broker has acknowledged nothing that it owes.
    pub(super) fn owed(&self, now: Instant) -> Option<Duration> {
        self.owed_since.map(|since| now.saturating_duration_since(since))
    }

    pub(super) fn report(&self) -> RetainedReport {
        RetainedReport {
            connected: self.client.is_some(),
            present: self.present == Some(true),
            topics: self.topics.len() as u64,
            waiting: (self.due.len() + self.in_flight.len()) as u64,
            published: self.published,
            refused: self.refused,
            last_error: self.last_error.clone(),
        }
    }
}
