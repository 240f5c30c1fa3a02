//! What has been offered on a route, what upstream has acknowledged, and what may be offered next. Pure:
//! no clock but the one passed in, no connection.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::Token;
use verge_domain::time::Monotonic;

/// How verdicts are put together into messages. The alarm lane is never batched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPolicy {
    /// Verdicts in one message at most.
    pub max_verdicts: usize,
    /// How long the verdict lane may wait to fill a message.
    pub verdict_wait: Duration,
    /// How long the telemetry lane may wait to fill a message.
    pub telemetry_wait: Duration,
}

impl BatchPolicy {
    fn wait(&self, lane: Lane) -> Duration {
        match lane {
            Lane::Alarm => Duration::ZERO,
            Lane::Verdict => self.verdict_wait,
            Lane::Telemetry => self.telemetry_wait,
        }
    }
}

/// A range of one lane in flight: one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flight {
    lane: Lane,
    from: Seq,
    to: Seq,
}

#[derive(Debug, Clone, Copy)]
struct LaneState {
    /// Newest committed number.
    head: Seq,
    /// Newest offered number on this connection.
    offered: Seq,
    /// Everything up to here is acknowledged, or was before the connection that this one rewinds.
    acknowledged: Seq,
    /// The mark: newest that `acknowledged` ever was. It never goes back.
    delivered: Seq,
    /// Since when something waits to be offered.
    waiting_since: Option<Monotonic>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Offer verdicts of this lane after this number, at most so many rows; each alone in the alarm lane.
    Offer { lane: Lane, after: Seq, max_rows: usize },
    /// Nothing before this instant, unless something happens.
    WaitUntil(Monotonic),
    /// Nothing until something happens.
    Wait,
}

/// The window of one route.
#[derive(Debug)]
pub(super) struct Window {
    policy: BatchPolicy,
    lanes_carried: [bool; 3],
    capacity: usize,
    lanes: [LaneState; 3],
    flights: BTreeMap<Token, Flight>,
    next_token: u64,
    rewind: Duration,
    /// What was acknowledged when, in steps of a fraction of `rewind`, as far as it may still be rewound.
    history: VecDeque<Step>,
    last_acknowledgement: Option<Monotonic>,
    delivered_total: u64,
}

/// Acknowledged numbers as they stood at the beginning of a step of time.
#[derive(Debug, Clone, Copy)]
struct Step {
    began: Monotonic,
    acknowledged: [Seq; 3],
}

/// Steps that the rewound time is divided into.
const REWIND_STEPS: u32 = 8;

impl Window {
    /// A route that has delivered up to `delivered` and takes `capacity` messages in flight. `rewind`: see
    /// [`super::RouteSettings`].
    pub(super) fn new(
        policy: BatchPolicy,
        lanes: &[Lane],
        capacity: usize,
        rewind: Duration,
        delivered: [Seq; 3],
    ) -> Self {
        let state = |seq| LaneState {
            head: seq,
            offered: seq,
            acknowledged: seq,
            delivered: seq,
            waiting_since: None,
        };
        Self {
            rewind,
            history: VecDeque::new(),
            last_acknowledgement: None,
            delivered_total: 0,
            policy,
            lanes_carried: Lane::ALL.map(|lane| lanes.contains(&lane)),
            capacity: capacity.max(4),
            lanes: delivered.map(state),
            flights: BTreeMap::new(),
            next_token: 0,
        }
    }

    /// The store holds verdicts up to these numbers.
    pub(super) fn committed(&mut self, heads: [Seq; 3], now: Monotonic) {
        for (lane, head) in self.lanes.iter_mut().zip(heads) {
            lane.head = lane.head.max(head);
            if lane.head > lane.offered {
                lane.waiting_since.get_or_insert(now);
            }
        }
    }

    /// The lanes that this route does not carry, and their heads: it owes nothing of them, and must not keep
    /// the store from evicting them.
    pub(super) fn not_carried(&self) -> impl Iterator<Item = (Lane, Seq)> + '_ {
        let lanes = Lane::ALL.into_iter().filter(|lane| !self.lanes_carried[lane.index()]);
        lanes.map(|lane| (lane, self.lanes[lane.index()].head))
    }

    /// The connection is gone. What upstream acknowledged last is to be offered again as well: a broker that
    /// died may have lost it.
    pub(super) fn lost(&mut self, now: Monotonic) {
        // Where something was in flight, upstream had fallen silent some time before that was noticed.
        let alive = self.last_acknowledgement.filter(|_| !self.flights.is_empty()).unwrap_or(now);
        let step = self.rewind / REWIND_STEPS;
        for entry in &self.history {
            if self.rewind > Duration::ZERO && entry.began.after(step + self.rewind) >= alive {
                for (lane, acknowledged) in self.lanes.iter_mut().zip(entry.acknowledged) {
                    lane.acknowledged = lane.acknowledged.min(acknowledged);
                }
            }
        }
    }

    /// A new connection: everything not acknowledged is to be offered again.
    pub(super) fn restart(&mut self, now: Monotonic) {
        self.flights.clear();
        for lane in &mut self.lanes {
            lane.offered = lane.acknowledged;
            lane.waiting_since = (lane.head > lane.offered).then_some(now);
        }
    }

    /// What to offer next: alarms may fill the whole window, the other lanes leave a quarter to them.
    pub(super) fn next(&self, now: Monotonic) -> Next {
        let mut wake: Option<Monotonic> = None;
        for lane in Lane::ALL {
            let state = &self.lanes[lane.index()];
            if !self.lanes_carried[lane.index()] || state.head <= state.offered {
                continue;
            }
            let limit = if lane == Lane::Alarm { self.capacity } else { self.capacity - self.capacity / 4 };
            let room = limit.saturating_sub(self.flights.len());
            if room == 0 {
                continue;
            }
            let waiting = usize::try_from(state.head.0 - state.offered.0).unwrap_or(usize::MAX);
            // With a queue behind a full window, every acknowledgement would fetch a single verdict from the
            // store. A few of them together cost hardly more than one.
            if lane == Lane::Alarm && waiting > room && room < self.capacity / 4 {
                continue;
            }
            let due = state.waiting_since.unwrap_or(now).after(self.policy.wait(lane));
            if lane == Lane::Alarm || waiting >= self.policy.max_verdicts || due <= now {
                let max_rows = if lane == Lane::Alarm { room } else { self.policy.max_verdicts };
                return Next::Offer { lane, after: state.offered, max_rows };
            }
            wake = Some(wake.map_or(due, |earlier| earlier.min(due)));
        }
        wake.map_or(Next::Wait, Next::WaitUntil)
    }

    /// A token for a message that holds this range; the message counts as in flight from now on.
    pub(super) fn offered(&mut self, lane: Lane, from: Seq, to: Seq, now: Monotonic) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.flights.insert(token, Flight { lane, from, to });
        self.advance(lane, to, now);
        token
    }

    /// The message was not taken after all; its range is offered again.
    pub(super) fn withdraw(&mut self, token: Token, now: Monotonic) {
        if let Some(flight) = self.flights.remove(&token) {
            let state = &mut self.lanes[flight.lane.index()];
            state.offered = Seq(flight.from.0 - 1);
            state.waiting_since = Some(now);
        }
    }

    /// Goes past verdicts up to `to` without offering them: they are not in the store any more, or can
    /// never be sent. The caller says so to the operator.
    pub(super) fn skip(&mut self, lane: Lane, to: Seq, now: Monotonic) -> Option<Seq> {
        self.advance(lane, to, now);
        self.raise_mark(lane)
    }

    /// The lane's mark: everything up to it has been delivered once at least.
    pub(super) fn mark(&self, lane: Lane) -> Seq {
        self.lanes[lane.index()].delivered
    }

    fn advance(&mut self, lane: Lane, to: Seq, now: Monotonic) {
        let state = &mut self.lanes[lane.index()];
        state.offered = to;
        // The store may know of more than this route has been told yet.
        state.head = state.head.max(to);
        state.waiting_since = (state.head > to).then_some(now);
    }

    /// Upstream acknowledged a message. Returns the lane and its new mark if that rose.
    pub(super) fn delivered(&mut self, token: Token, now: Monotonic) -> Option<(Lane, Seq)> {
        let flight = self.flights.remove(&token)?;
        self.note_history(now);
        let before = self.mark(flight.lane);
        let mark = self.raise_mark(flight.lane)?;
        self.delivered_total += mark.0 - before.0;
        Some((flight.lane, mark))
    }

    /// Verdicts acknowledged since the start, each once.
    pub(super) fn delivered_total(&self) -> u64 {
        self.delivered_total
    }

    fn raise_mark(&mut self, lane: Lane) -> Option<Seq> {
        let oldest =
            self.flights.values().filter(|flight| flight.lane == lane).map(|flight| flight.from).min();
        let state = &mut self.lanes[lane.index()];
        let mark = oldest.map_or(state.offered, |from| Seq(from.0 - 1));
        state.acknowledged = state.acknowledged.max(mark);
        (mark > state.delivered).then(|| {
            state.delivered = mark;
            mark
        })
    }

    fn note_history(&mut self, now: Monotonic) {
        self.last_acknowledgement = Some(now);
        let step = self.rewind / REWIND_STEPS;
        if self.history.back().is_none_or(|last| now.since(last.began) > step) {
            let acknowledged = self.lanes.map(|lane| lane.acknowledged);
            self.history.push_back(Step { began: now, acknowledged });
        }
        while self.history.front().is_some_and(|first| first.began.after(step + self.rewind) < now) {
            self.history.pop_front();
        }
    }

    /// Newest committed number of a lane.
    pub(super) fn head(&self, lane: Lane) -> Seq {
        self.lanes[lane.index()].head
    }

    /// Messages in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Verdicts committed and not delivered, in the lanes this route carries.
    pub(super) fn backlog(&self) -> u64 {
        Lane::ALL
            .into_iter()
            .filter(|lane| self.lanes_carried[lane.index()])
            .map(|lane| self.lanes[lane.index()])
            .map(|lane| lane.head.0 - lane.delivered.0)
            .sum()
    }
}

#[cfg(test)]
mod tests;
