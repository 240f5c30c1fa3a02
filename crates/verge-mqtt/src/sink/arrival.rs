//! Whether what upstream acknowledges also arrives: the gateway reads its own messages back. Pure: no clock but the one
//! passed in, no connection.
//!
//! A topic is proven by the echo of a message published on it, up to the size of that message, for one connection and
//! an hour. Until then, and for a larger message, an acknowledgement counts only together with the echo of the very
//! message. A message whose echo does not come is published once more; where that does not come back either, the
//! connection is given up, and the caller still has the message.

mod topic;

use std::time::{Duration, Instant};

use bytes::Bytes;
use verge_domain::link::TopicReport;
use verge_domain::stage::Token;

use topic::{AwaitedEcho, WatchedTopic};

/// A proof holds this long.
const PROOF_HOLDS: Duration = Duration::from_secs(3600);
/// A topic on which nothing is published is read back for this long.
const IDLE: Duration = Duration::from_secs(60);
/// This number of connections in a row that the broker closed at a topic is no chance.
const CLOSES: u8 = 2;
/// A broker that closes is not taken to do so for a message's size below this: networks close connections, too.
const SMALLEST_LIMIT: usize = 4096;

/// What to do on the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// Read this topic from now on.
    Watch(String),
    /// No longer.
    Leave(String),
    /// Publish this again.
    Repeat(String, Bytes),
}

/// The topics of one link.
#[derive(Debug, Default)]
pub(super) struct TopicArrivals {
    topics: Vec<WatchedTopic>,
    /// Echoes are asked for on this connection.
    on: bool,
    tickets: u64,
    changed: bool,
    newly_dead: bool,
    learnt: bool,
}

/// What became of a message that waits for its echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) topic: usize,
    number: u64,
}

impl TopicArrivals {
    pub(super) fn new(topics: &[String]) -> Self {
        let now = Instant::now();
        let mut distinct: Vec<WatchedTopic> = Vec::new();
        for name in topics {
            if !distinct.iter().any(|topic| topic.name == *name) {
                distinct.push(WatchedTopic::new(name.clone(), now));
            }
        }
        Self { topics: distinct, ..Self::default() }
    }

    /// The names of the topics.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.topics.iter().map(|topic| &topic.name)
    }

    /// A connection begins, on which echoes are asked for or not. The caller subscribes to all topics where they are.
    pub(super) fn begin(&mut self, on: bool, now: Instant) {
        self.on = on;
        for topic in &mut self.topics {
            topic.watched = on;
            topic.idle = now;
            if on && topic.closes >= CLOSES && topic.dead.is_none() {
                topic.dead = Some(topic.closed_at());
            }
        }
    }

    /// The broker has closed the connection. A message that did not come back may be why, acknowledged or not: mosquitto
    /// 2.0.11 acknowledges a message that its ACL forbids and then closes. `None` where there is none, or echoes are not
    /// asked for.
    pub(super) fn closed(&mut self) -> Option<String> {
        let mut words = None;
        for topic in self.topics.iter_mut().filter(|_| self.on) {
            let missing = topic.waiting.iter().filter(|waiting| !waiting.echoed);
            let Some(size) = missing.map(|waiting| waiting.payload.len()).max() else { continue };
            let smaller = topic.largest.filter(|&largest| size > largest.max(SMALLEST_LIMIT));
            if let Some(largest) = smaller {
                words = Some(format!(
                    "it was closed after a message of {size} bytes on {:?}, while one of {largest} bytes came back; is \
                     there a limit on the size of messages?",
                    topic.name
                ));
                if topic.suspected.replace(size).is_some() {
                    topic.limit = Some(largest.max(size / 2).max(SMALLEST_LIMIT));
                }
                self.learnt = true;
                continue;
            }
            topic.closes = topic.closes.saturating_add(1);
            let why = topic.closed_at();
            if topic.closes >= CLOSES {
                let news = topic.dead.replace(why.clone()).is_none();
                self.newly_dead |= news;
                self.learnt |= news;
                self.changed = true;
            }
            words = Some(why);
        }
        words
    }

    /// Some topic is dead because the broker closes at it: there nothing can arrive, proven or not.
    pub(super) fn is_closed(&self) -> bool {
        self.topics.iter().any(|topic| topic.dead.is_some() && topic.closes >= CLOSES)
    }

    /// The connection is lost. What waited is void.
    pub(super) fn void(&mut self) -> impl Iterator<Item = Token> + '_ {
        self.on = false;
        self.topics.iter_mut().flat_map(|topic| {
            topic.watched = false;
            topic.largest = None;
            topic.waiting.drain(..).filter_map(|waiting| waiting.token)
        })
    }

    /// Echoes are not possible on this connection after all: acknowledgements count. What was acknowledged before.
    pub(super) fn give_up(&mut self) -> Vec<Token> {
        self.on = false;
        self.changed = true;
        let mut delivered = Vec::new();
        for topic in &mut self.topics {
            topic.dead = None;
            for waiting in &mut topic.waiting {
                waiting.echoed = true;
            }
            delivered.extend(topic.finished());
        }
        delivered
    }

    /// The largest message that may be sent on a topic.
    pub(super) fn limit(&self, topic: &str) -> Option<usize> {
        self.find(topic).and_then(|index| self.topics[index].limit)
    }

    /// A message is about to be published. `None`: its acknowledgement is enough.
    pub(super) fn publish(
        &mut self,
        name: &str,
        payload: &Bytes,
        token: Option<Token>,
        now: Instant,
        requests: &mut Vec<Request>,
    ) -> Option<Ticket> {
        if !self.on {
            return None;
        }
        let index = self.find(name)?;
        let topic = &mut self.topics[index];
        let fresh = topic.proven.is_some_and(|proven| now.duration_since(proven) < PROOF_HOLDS);
        if fresh && token.is_some() && topic.largest.is_some_and(|largest| payload.len() <= largest) {
            return None;
        }
        if !fresh {
            topic.largest = None;
        }
        if !topic.watched {
            topic.watched = true;
            requests.push(Request::Watch(name.to_owned()));
        }
        self.tickets += 1;
        topic.waiting.push_back(AwaitedEcho {
            ticket: self.tickets,
            payload: payload.clone(),
            token,
            acknowledged: false,
            echoed: false,
            since: now,
            repeated: false,
        });
        Some(Ticket { topic: index, number: self.tickets })
    }

    /// A message was not published after all.
    pub(super) fn retract(&mut self, ticket: Ticket) {
        self.topics[ticket.topic].waiting.retain(|waiting| waiting.ticket != ticket.number);
    }

    /// Upstream has acknowledged a message that waits for its echo. What is delivered by that.
    pub(super) fn acknowledged(&mut self, ticket: Ticket, now: Instant) -> Option<Token> {
        let topic = &mut self.topics[ticket.topic];
        let waiting = topic.waiting.iter_mut().find(|waiting| waiting.ticket == ticket.number)?;
        waiting.acknowledged = true;
        waiting.since = now;
        topic.finished().into_iter().next()
    }

    /// A message came on one of the topics. `None`: it is none of them. What is delivered by that.
    pub(super) fn echoed(&mut self, name: &str, payload: &Bytes, now: Instant) -> Option<Option<Token>> {
        let index = self.find(name)?;
        let topic = &mut self.topics[index];
        let Some(waiting) =
            topic.waiting.iter_mut().find(|waiting| !waiting.echoed && waiting.payload == *payload)
        else {
            return Some(None);
        };
        waiting.echoed = true;
        if waiting.token.is_some() {
            topic.closes = 0;
        }
        self.changed |= topic.largest.is_none();
        topic.largest = topic.largest.max(Some(payload.len()));
        topic.proven = Some(now);
        topic.idle = now;
        topic.dead = None;
        if topic.suspected.is_some_and(|suspected| payload.len() >= suspected) {
            topic.suspected = None;
        }
        Some(topic.finished().into_iter().next())
    }

    /// Topics on which messages were acknowledged and did not arrive.
    pub(super) fn dead(&self) -> impl Iterator<Item = &String> {
        self.topics.iter().filter(|topic| topic.dead.is_some()).map(|topic| &topic.name)
    }

    /// Topics that are proven and on which nothing waits are read back no longer: what comes back costs as much as what
    /// is sent.
    pub(super) fn leave_proven(&mut self, requests: &mut Vec<Request>) {
        for topic in &mut self.topics {
            if topic.waiting.is_empty() && topic.largest.is_some() {
                topic.leave(requests);
            }
        }
    }

    /// Whether nothing waits for its echo.
    pub(super) fn is_settled(&self) -> bool {
        self.topics.iter().all(|topic| topic.waiting.is_empty())
    }

    /// Time has passed.
    ///
    /// # Errors
    /// Why the connection is to be given up.
    pub(super) fn look(&mut self, now: Instant, requests: &mut Vec<Request>) -> Result<(), String> {
        for topic in self.topics.iter_mut().filter(|_| self.on) {
            if topic.waiting.is_empty() {
                if now.duration_since(topic.idle) >= IDLE {
                    topic.leave(requests);
                }
                continue;
            }
            let was_dead = topic.dead.is_some();
            if let Err(reason) = topic.look(now, requests) {
                self.newly_dead |= !was_dead && topic.dead.is_some();
                // Else it was a limit on size, and smaller messages are next.
                self.learnt |= topic.dead.is_none();
                self.changed = true;
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Whether a topic has died since this was last asked.
    pub(super) fn take_newly_dead(&mut self) -> bool {
        std::mem::take(&mut self.newly_dead)
    }

    /// Whether something was learnt about a limit on size since this was last asked.
    pub(super) fn take_learnt(&mut self) -> bool {
        std::mem::take(&mut self.learnt)
    }

    /// Whether the report has changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What is known of each topic. `off`: why echoes are not asked for at all.
    pub(super) fn report(&self, off: Option<&str>, now: Instant) -> Vec<TopicReport> {
        let report = |topic: &WatchedTopic| TopicReport {
            topic: topic.name.clone(),
            arrival: topic.arrival(off, now),
        };
        self.topics.iter().map(report).collect()
    }

    /// Larger messages are not sent, on one topic at least.
    pub(super) fn smallest_limit(&self) -> Option<usize> {
        self.topics.iter().filter_map(|topic| topic.limit).min()
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|topic| topic.name == name)
    }
}

#[cfg(test)]
mod tests;
