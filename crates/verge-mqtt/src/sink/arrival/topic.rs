//! One topic, and the messages on it that wait for their echo.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use verge_domain::link::Arrival;
use verge_domain::stage::Token;

use super::Request;

/// How long an echo may take after the acknowledgement, or after the echo before it.
const ECHO_WAIT: Duration = Duration::from_secs(5);
/// Bytes a second that the slowest link brings down: what an echo may take longer, by its size.
const SLOWEST: u64 = 2000;

/// A message that waits for its echo.
#[derive(Debug)]
pub(super) struct AwaitedEcho {
    pub(super) ticket: u64,
    pub(super) payload: Bytes,
    /// `None`: a message without verdicts, for the sake of its echo.
    pub(super) token: Option<Token>,
    pub(super) acknowledged: bool,
    pub(super) echoed: bool,
    /// When it was acknowledged, or published again.
    pub(super) since: Instant,
    pub(super) repeated: bool,
}

#[derive(Debug)]
pub(super) struct WatchedTopic {
    pub(super) name: String,
    pub(super) watched: bool,
    /// Since when nothing waits.
    pub(super) idle: Instant,
    /// The last echo, on this connection or before.
    pub(super) proven: Option<Instant>,
    /// Largest payload that came back on this connection; `None` before the first.
    pub(super) largest: Option<usize>,
    pub(super) waiting: VecDeque<AwaitedEcho>,
    pub(super) dead: Option<String>,
    /// Connections in a row that the broker closed before a message here came back.
    pub(super) closes: u8,
    /// A message of this size did not come back where smaller ones did.
    pub(super) suspected: Option<usize>,
    /// Larger messages are not sent.
    pub(super) limit: Option<usize>,
}

impl WatchedTopic {
    pub(super) fn new(name: String, now: Instant) -> Self {
        Self {
            name,
            watched: false,
            idle: now,
            proven: None,
            largest: None,
            waiting: VecDeque::new(),
            dead: None,
            closes: 0,
            suspected: None,
            limit: None,
        }
    }

    pub(super) fn leave(&mut self, requests: &mut Vec<Request>) {
        if std::mem::take(&mut self.watched) {
            requests.push(Request::Leave(self.name.clone()));
        }
    }

    /// Takes out what is acknowledged and has come back.
    pub(super) fn finished(&mut self) -> Vec<Token> {
        let mut finished = Vec::new();
        self.waiting.retain(|waiting| {
            let done = waiting.acknowledged && waiting.echoed;
            finished.extend(waiting.token.filter(|_| done));
            !done
        });
        finished
    }

    pub(super) fn closed_at(&self) -> String {
        format!(
            "it was closed before a message on {:?} came back: does the broker's policy let this client publish there?",
            self.name
        )
    }

    pub(super) fn look(&mut self, now: Instant, requests: &mut Vec<Request>) -> Result<(), String> {
        // Echoes come one after another: each that comes gives those behind it their time again.
        let last_echo = self.proven.filter(|_| self.largest.is_some());
        let overdue = |waiting: &AwaitedEcho| {
            let size = u64::try_from(waiting.payload.len()).unwrap_or(u64::MAX);
            let wait = ECHO_WAIT + Duration::from_millis(size.saturating_mul(1000) / SLOWEST);
            let since = last_echo.map_or(waiting.since, |echo| echo.max(waiting.since));
            waiting.acknowledged && !waiting.echoed && now.duration_since(since) >= wait
        };
        let lost = self.waiting.iter().find(|waiting| waiting.repeated && overdue(waiting));
        if let Some(size) = lost.map(|lost| lost.payload.len()) {
            return Err(self.lost(size));
        }
        // Before the topic is proven one of them is enough to see.
        let many = if self.largest.is_some() { usize::MAX } else { 1 };
        if many == 1 && self.waiting.iter().any(|waiting| waiting.repeated) {
            return Ok(());
        }
        let name = &self.name;
        for waiting in
            self.waiting.iter_mut().filter(|waiting| !waiting.repeated && overdue(waiting)).take(many)
        {
            waiting.repeated = true;
            waiting.since = now;
            requests.push(Request::Repeat(name.clone(), waiting.payload.clone()));
        }
        Ok(())
    }

    /// A message did not come back, twice. Why the connection is given up.
    pub(super) fn lost(&mut self, size: usize) -> String {
        let Some(largest) = self.largest.filter(|&largest| size > largest) else {
            let why = format!(
                "acknowledged but not arrived: what is published on {:?} is acknowledged and does not come back",
                self.name
            );
            self.dead = Some(why.clone());
            return why;
        };
        // Once may be chance.
        if self.suspected.replace(size).is_some() {
            self.limit = Some(largest.max(size / 2));
        }
        format!(
            "acknowledged but not arrived: a message of {size} bytes on {:?} is acknowledged and does not come back, one \
             of {largest} bytes does; is there a limit on the size of messages?",
            self.name
        )
    }

    pub(super) fn arrival(&self, off: Option<&str>, now: Instant) -> Arrival {
        let unproven = |why: &str| Arrival::Unproven { why: why.to_owned() };
        match (&self.dead, off, self.proven.filter(|_| self.largest.is_some())) {
            (_, Some(why), _) => unproven(why),
            (Some(why), None, _) => Arrival::Dead { why: why.clone() },
            (None, None, Some(proven)) => Arrival::Proven { ago: now.duration_since(proven) },
            (None, None, None) if self.waiting.is_empty() => {
                unproven("nothing was published on this connection yet")
            }
            (None, None, None) => unproven("a message is on its way and has not come back yet"),
        }
    }
}
