//! What has been offered on a route and over which link, what upstream has acknowledged, and what may be offered
//! next. Pure: no clock but the one passed in, no connection.
//!
//! Of each lane every number between the mark and the newest that was offered is acknowledged, in flight, held for
//! a link that could carry it, or to be offered again: every number is in one of these states.

mod acknowledged;
mod lane;
#[cfg(test)]
mod model;
mod refused;

use std::collections::BTreeMap;
use std::time::Duration;

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::Token;
use verge_domain::time::Monotonic;

use super::ranges::Ranges;
use acknowledged::AcknowledgedHistory;
use lane::LaneWindow;

/// How verdicts are combined into messages. The alarm lane is never batched.
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

/// Maximum of intervals of numbers that wait to be replayed, over all lanes.
pub(crate) const MAX_REPLAYS: usize = 64;

/// More intervals wait to be replayed than the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyReplays;

/// A range of one lane in flight over one link: one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flight {
    link: usize,
    lane: Lane,
    from: Seq,
    to: Seq,
    replay: bool,
    /// One row by itself.
    single: bool,
}

#[derive(Debug)]
struct LinkWindow {
    capacity: usize,
    in_flight: usize,
    history: AcknowledgedHistory,
    /// When it was last offered something, counted in tokens.
    last_offer: u64,
}

impl LinkWindow {
    /// Alarms may fill the whole window, everything else leaves a quarter for them.
    fn room(&self, all: bool) -> usize {
        let limit = if all { self.capacity } else { self.capacity - self.capacity / 4 };
        limit.saturating_sub(self.in_flight)
    }
}

/// Links that may carry each lane now, in order of preference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Carriers {
    /// By lane.
    pub(super) lanes: [Vec<usize>; 3],
}

/// Verdicts to be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    /// Over this link.
    pub(super) link: usize,
    /// Of this lane.
    pub(super) lane: Lane,
    /// After this number.
    pub(super) after: Seq,
    /// Up to this one; `None` where everything that is stored may be included.
    pub(super) upto: Option<Seq>,
    /// Maximum of rows; in the alarm lane each is a message of its own.
    pub(super) max_rows: usize,
    /// Upstream has requested them.
    pub(super) replay: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Offer this.
    Offer(Offer),
    /// Nothing before this instant, unless something happens.
    WaitUntil(Monotonic),
    /// Nothing until something happens.
    Wait,
}

/// The window of one route.
#[derive(Debug)]
pub(super) struct RouteWindow {
    policy: BatchPolicy,
    lanes: [LaneWindow; 3],
    links: Vec<LinkWindow>,
    flights: BTreeMap<Token, Flight>,
    next_token: u64,
    delivered_total: u64,
}

impl RouteWindow {
    /// A route that has delivered up to `delivered`, over links with these capacities in messages in flight. `rewind`:
    /// see [`super::RouteSettings`].
    pub(super) fn new(
        policy: BatchPolicy,
        lanes: &[Lane],
        capacities: &[usize],
        rewind: Duration,
        delivered: [Seq; 3],
    ) -> Self {
        let link = |&capacity: &usize| LinkWindow {
            capacity: capacity.max(4),
            in_flight: 0,
            history: AcknowledgedHistory::new(rewind),
            last_offer: 0,
        };
        Self {
            policy,
            lanes: Lane::ALL.map(|lane| LaneWindow::new(delivered[lane.index()], lanes.contains(&lane))),
            links: capacities.iter().map(link).collect(),
            flights: BTreeMap::new(),
            next_token: 0,
            delivered_total: 0,
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

    /// The lanes that this route does not carry, and their heads: it delivers nothing of them, and must not keep
    /// the store from evicting them.
    pub(super) fn not_carried(&self) -> impl Iterator<Item = (Lane, Seq)> + '_ {
        let lanes = Lane::ALL.into_iter().filter(|lane| !self.carries(*lane));
        lanes.map(|lane| (lane, self.lanes[lane.index()].head))
    }

    pub(super) fn carries(&self, lane: Lane) -> bool {
        self.lanes[lane.index()].carried
    }

    /// A link is lost: what was in flight over it is void. What upstream acknowledged last over it is to be offered
    /// again as well: a broker that died may have lost it.
    pub(super) fn lost(&mut self, link: usize, now: Monotonic) {
        let Some(state) = self.links.get_mut(link) else { return };
        let mut again = state.history.rewound(state.in_flight > 0, now);
        state.in_flight = 0;
        let (void, kept): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.flights).into_iter().partition(|(_, flight)| flight.link == link);
        self.flights = kept;
        for Flight { lane, from, to, replay, .. } in void.into_values() {
            let state = &mut self.lanes[lane.index()];
            if !replay {
                again[lane.index()].insert(from, to);
                continue;
            }
            state.replay.insert(from, to);
            // A tombstone may reach beyond the range that upstream requested.
            let mut owed = Ranges::default();
            owed.insert(from.max(state.mark.next()), to);
            owed.remove_all(&state.acknowledged);
            again[lane.index()].insert_all(&owed);
        }
        // What is in flight over another link arrives there, or is lost there.
        for flight in self.flights.values() {
            again[flight.lane.index()].remove(flight.from, flight.to);
        }
        for (lane, again) in self.lanes.iter_mut().zip(&again) {
            lane.again.insert_all(again);
            lane.again.remove_all(&lane.held);
        }
    }

    /// What to offer next. Alarms come first; within a lane, lost numbers before new ones; replays that upstream
    /// requested when nothing else is due.
    pub(super) fn next(&self, now: Monotonic, carriers: &Carriers) -> Next {
        let mut wake: Option<Monotonic> = None;
        for lane in Lane::ALL {
            let state = &self.lanes[lane.index()];
            let (after, upto, due) = match state.again.first() {
                // If no offered number lies between, new ones are included.
                Some((from, to)) => (Seq(from.0 - 1), Some(to).filter(|&to| to < state.offered), now),
                None if state.head > state.offered => {
                    let since = state.waiting_since.unwrap_or(now);
                    (state.offered, None, since.after(self.policy.wait(lane)))
                }
                None => continue,
            };
            let waiting = count(after, upto.unwrap_or(state.head));
            let Some((link, room)) = self.pick(lane, waiting, false, carriers) else { continue };
            if lane == Lane::Alarm || waiting >= self.policy.max_verdicts || due <= now {
                let max_rows = self.max_rows(lane, after, room);
                return Next::Offer(Offer { link, lane, after, upto, max_rows, replay: false });
            }
            wake = Some(wake.map_or(due, |earlier| earlier.min(due)));
        }
        for lane in Lane::ALL {
            let Some((from, to)) = self.lanes[lane.index()].replay.first() else { continue };
            let after = Seq(from.0 - 1);
            if let Some((link, room)) = self.pick(lane, count(after, to), true, carriers) {
                let max_rows = self.max_rows(lane, after, room);
                return Next::Offer(Offer { link, lane, after, upto: Some(to), max_rows, replay: true });
            }
        }
        wake.map_or(Next::Wait, Next::WaitUntil)
    }

    fn max_rows(&self, lane: Lane, after: Seq, room: usize) -> usize {
        match lane {
            Lane::Alarm => room,
            _ if self.lanes[lane.index()].singly.contains(after.next()) => 1,
            _ => self.policy.max_verdicts,
        }
    }

    /// The link that `waiting` numbers of a lane should take, and its room.
    fn pick(&self, lane: Lane, waiting: usize, replay: bool, carriers: &Carriers) -> Option<(usize, usize)> {
        if !self.carries(lane) {
            return None;
        }
        let candidates = carriers.lanes[lane.index()].iter().filter_map(|&index| {
            let link = self.links.get(index)?;
            let room = link.room(lane == Lane::Alarm && !replay);
            // With a queue behind a full window, every acknowledgement would fetch a single verdict from the
            // store. A few of them together cost hardly more than one.
            let few = lane == Lane::Alarm && waiting > room && room < link.capacity / 4;
            (room > 0 && !few).then_some((index, room))
        });
        let load = |&(index, _): &(usize, usize)| {
            let link = &self.links[index];
            (link.in_flight * 1024 / link.capacity, link.last_offer)
        };
        if lane == Lane::Alarm { candidates.into_iter().next() } else { candidates.min_by_key(load) }
    }

    /// A token for the next message.
    pub(super) fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// A message that holds this range was taken: it counts as in flight from now on.
    pub(super) fn offered(&mut self, token: Token, offer: &Offer, from: Seq, to: Seq, now: Monotonic) {
        let Offer { link, lane, replay, .. } = *offer;
        let Some(state) = self.links.get_mut(link) else { return };
        state.in_flight += 1;
        state.last_offer = token.0;
        let single = lane == Lane::Alarm || offer.max_rows == 1;
        self.flights.insert(token, Flight { link, lane, from, to, replay, single });
        let lane = &mut self.lanes[lane.index()];
        lane.replay.remove(from, to);
        lane.again.remove(from, to);
        lane.held.remove(from, to);
        lane.advance(from, to, now);
    }

    /// Holds back a range that no link at hand can carry, until [`RouteWindow::release`].
    pub(super) fn hold(&mut self, lane: Lane, from: Seq, to: Seq, now: Monotonic) {
        let lane = &mut self.lanes[lane.index()];
        lane.again.remove(from, to);
        lane.held.insert(from, to);
        lane.advance(from, to, now);
    }

    /// Another link may now carry what was held back.
    pub(super) fn release(&mut self) {
        for lane in &mut self.lanes {
            let held = std::mem::take(&mut lane.held);
            lane.again.insert_all(&held);
        }
    }

    /// Passes over a range without offering it: it is not in the store any more, or can never be sent. The caller
    /// reports that to the operator. Returns the mark if it rose.
    pub(super) fn skip(&mut self, lane: Lane, from: Seq, to: Seq, now: Monotonic) -> Option<Seq> {
        let state = &mut self.lanes[lane.index()];
        state.again.remove(from, to);
        state.replay.remove(from, to);
        state.held.remove(from, to);
        state.singly.remove(from, to);
        let before = state.mark;
        let mark = (to > before).then(|| {
            state.advance(from, to, now);
            state.acknowledge(from, to)
        })??;
        self.delivered_total += mark.0 - before.0;
        Some(mark)
    }

    /// Drops a range from what upstream requested again.
    pub(super) fn drop_replay(&mut self, lane: Lane, from: Seq, to: Seq) {
        self.lanes[lane.index()].replay.remove(from, to);
    }

    /// Upstream requests a range again. What it has not acknowledged yet is sent anyway.
    ///
    /// # Errors
    /// Too much waits to be replayed.
    pub(super) fn replay(&mut self, lane: Lane, from: Seq, to: Seq) -> Result<(), TooManyReplays> {
        let others = Lane::ALL.into_iter().filter(|other| *other != lane);
        let others: usize = others.map(|other| self.lanes[other.index()].replay.intervals()).sum();
        let state = &mut self.lanes[lane.index()];
        let mut replay = state.replay.clone();
        replay.insert(from, to.min(state.mark));
        replay.insert_all(&state.acknowledged.clipped(from, to));
        if others + replay.intervals() > MAX_REPLAYS {
            return Err(TooManyReplays);
        }
        state.replay = replay;
        Ok(())
    }

    /// Upstream acknowledged a message. Returns the lane and its new mark if that rose.
    pub(super) fn delivered(&mut self, token: Token, now: Monotonic) -> Option<(Lane, Seq)> {
        let flight = self.flights.remove(&token)?;
        if let Some(link) = self.links.get_mut(flight.link) {
            link.in_flight -= 1;
            link.history.note(flight.lane, flight.from, flight.to, now);
        }
        let state = &mut self.lanes[flight.lane.index()];
        state.singly.remove(flight.from, flight.to);
        let before = state.mark;
        let mark = state.acknowledge(flight.from, flight.to)?;
        self.delivered_total += mark.0 - before.0;
        Some((flight.lane, mark))
    }

    /// Numbers acknowledged since the start, each once.
    pub(super) fn delivered_total(&self) -> u64 {
        self.delivered_total
    }

    /// The lane's mark: everything up to it has been delivered at least once.
    pub(super) fn mark(&self, lane: Lane) -> Seq {
        self.lanes[lane.index()].mark
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
        self.lanes.iter().filter(|lane| lane.carried).map(|lane| lane.head.0 - lane.mark.0).sum()
    }
}

fn count(after: Seq, upto: Seq) -> usize {
    usize::try_from(upto.0.saturating_sub(after.0)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
