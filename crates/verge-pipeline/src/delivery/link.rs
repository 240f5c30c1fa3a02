//! The links of a route, and what each has done.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use verge_domain::id::{Lane, LinkId, Seq};
use verge_domain::link::{Arrival, LinkReport};
use verge_domain::stage::{Control, Form, OfferError, SentBytes, Sink, SinkEvent, Token};
use verge_domain::time::Moment;

use super::budget::Budget;
use crate::commands::CommandRate;
use crate::counters::Counter;

/// One connection of a route.
pub struct Link<K, F> {
    /// The sender.
    pub sink: K,
    /// How stored verdicts become what the sink sends.
    pub form: F,
    /// Messages in flight at most.
    pub window: usize,
    /// Its name, its budget, and what it has done.
    pub counters: Arc<LinkCounters>,
}

/// What one link has done, for the status.
#[derive(Debug)]
pub struct LinkCounters {
    /// Its name.
    pub id: LinkId,
    /// Bytes that it may send on one day, in UTC, before routine verdicts wait for the next.
    pub budget: Option<u64>,
    /// Messages with verdicts handed to the sink, repetitions included.
    pub messages_offered_total: Counter,
    /// Bytes of their payloads.
    pub bytes_offered_total: Counter,
    /// Connections made.
    pub connections_total: Counter,
    /// Commands carried out or refused with a reason.
    pub commands_total: Counter,
    /// Commands that came faster than the limit: they get no answer.
    pub commands_ignored_total: Counter,
    /// Answers that could not be sent.
    pub replies_dropped_total: Counter,
    connected: AtomicBool,
    day_bytes: AtomicU64,
    /// A bit for each lane.
    deferred: AtomicU8,
    last_error: Mutex<Option<String>>,
    /// What the link reports of itself, and when it reported it.
    report: Mutex<Option<(LinkReport, Moment)>>,
}

impl LinkCounters {
    /// A link that has done nothing yet.
    #[must_use]
    pub fn new(id: LinkId, budget: Option<u64>) -> Self {
        Self {
            id,
            budget,
            messages_offered_total: Counter::default(),
            bytes_offered_total: Counter::default(),
            connections_total: Counter::default(),
            commands_total: Counter::default(),
            commands_ignored_total: Counter::default(),
            replies_dropped_total: Counter::default(),
            connected: AtomicBool::new(false),
            day_bytes: AtomicU64::new(0),
            deferred: AtomicU8::new(0),
            last_error: Mutex::new(None),
            report: Mutex::new(None),
        }
    }

    /// The last report of the link on itself, and when.
    #[must_use]
    pub fn report(&self) -> Option<(LinkReport, Moment)> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is connected.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Bytes of all payloads sent on the present day, the status and answers included.
    #[must_use]
    pub fn day_bytes(&self) -> u64 {
        self.day_bytes.load(Ordering::Relaxed)
    }

    /// Lanes whose verdicts wait for the next day because the budget is spent.
    #[must_use]
    pub fn deferred(&self) -> Vec<Lane> {
        let bits = self.deferred.load(Ordering::Relaxed);
        Lane::ALL.into_iter().filter(|lane| bits & 1 << lane.index() != 0).collect()
    }

    /// Why the connection is down, or why it last was.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_last_error(&self, reason: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}

/// What one route has done, for the status.
#[derive(Debug, Default)]
pub struct RouteCounters {
    /// Messages with verdicts handed to the sinks, repetitions included.
    pub messages_offered_total: Counter,
    /// Bytes of their payloads.
    pub bytes_offered_total: Counter,
    /// Verdicts that could not be sent (too large, or unreadable): an operator is needed.
    pub undeliverable_total: Counter,
    /// Alarms sent without a number while the store had failed.
    pub provisional_total: Counter,
    links: Vec<Arc<LinkCounters>>,
    delivered: AtomicU64,
    backlog: AtomicU64,
    /// Up to where each lane is delivered; [`NOT_CARRIED`] for one that the route does not carry.
    upto: [AtomicU64; Lane::ALL.len()],
}

/// In the place of a number: the route does not carry the lane.
const NOT_CARRIED: u64 = u64::MAX;

impl RouteCounters {
    /// A route over these links.
    #[must_use]
    pub fn new(links: Vec<Arc<LinkCounters>>) -> Self {
        Self { links, ..Self::default() }
    }

    /// Its links, in order of preference.
    #[must_use]
    pub fn links(&self) -> &[Arc<LinkCounters>] {
        &self.links
    }

    /// Whether any link is connected.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.links.iter().any(|link| link.connected())
    }

    /// Connections made, over all links.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.links.iter().map(|link| link.connections_total.get()).sum()
    }

    /// Verdicts acknowledged upstream since the start, each counted once; withdrawn ones count where their tombstone
    /// was acknowledged.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Verdicts committed and not delivered on this route.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Lanes that it carries, and up to which number each is delivered.
    pub fn delivered_upto(&self) -> impl Iterator<Item = (Lane, Seq)> + '_ {
        Lane::ALL.into_iter().filter_map(|lane| {
            let upto = self.upto[lane.index()].load(Ordering::Relaxed);
            (upto != NOT_CARRIED).then_some((lane, Seq(upto)))
        })
    }

    pub(super) fn note_progress(&self, delivered: u64, backlog: u64, upto: [Option<Seq>; Lane::ALL.len()]) {
        self.delivered.store(delivered, Ordering::Relaxed);
        self.backlog.store(backlog, Ordering::Relaxed);
        for (to, upto) in self.upto.iter().zip(upto) {
            to.store(upto.map_or(NOT_CARRIED, |upto| upto.0), Ordering::Relaxed);
        }
    }
}

/// A link at work.
pub(super) struct LinkState<K, F> {
    pub(super) sink: K,
    pub(super) form: F,
    pub(super) counters: Arc<LinkCounters>,
    pub(super) budget: Budget,
    pub(super) commands: CommandRate,
    /// It takes nothing until something happens on it.
    pub(super) stalled: bool,
    /// A verdict that is too large for another link waits for this one.
    pub(super) awaited: bool,
    /// Something was sent that is not recorded in the store.
    pub(super) spent: bool,
    /// Whether another gateway publishes under this one's name.
    pub(super) rival: Rival,
}

/// Another gateway of the same id: between two connections of this one it has replaced the status that upstream had
/// acknowledged.
#[derive(Debug, Default)]
pub(super) struct Rival {
    /// Upstream has acknowledged a status of this run since the last check.
    pub(super) published: bool,
    seen: u8,
}

/// A single replacement may be due to a broker that lost its newest retained messages.
const RIVAL_SEEN: u8 = 2;

impl Rival {
    /// A connection begins, and upstream holds this status. Returns whether a rival is certain from now on.
    pub(super) fn found(&mut self, is_of_another: bool) -> bool {
        let replaced = std::mem::take(&mut self.published) && is_of_another;
        self.seen = if replaced { self.seen.saturating_add(1) } else { 0 };
        self.seen == RIVAL_SEEN
    }

    pub(super) fn is_certain(&self) -> bool {
        self.seen >= RIVAL_SEEN
    }
}

impl<K: Sink + Control, F: Form<Item = K::Item>> LinkState<K, F> {
    pub(super) fn new(link: Link<K, F>, sent: &[SentBytes], now: Moment) -> Self {
        let Link { sink, form, counters, .. } = link;
        let sent = sent.iter().find(|sent| sent.link == counters.id);
        let budget = Budget::new(counters.budget, sent, now);
        let link = Self {
            sink,
            form,
            counters,
            budget,
            commands: CommandRate::default(),
            stalled: false,
            awaited: false,
            spent: false,
            rival: Rival::default(),
        };
        link.show_budget();
        link
    }

    /// Hands over one item of `bytes` and books them.
    pub(super) fn offer(
        &mut self,
        lane: Lane,
        item: K::Item,
        bytes: usize,
        token: Token,
    ) -> Result<(), OfferError> {
        self.sink.offer(lane, item, token)?;
        self.book(bytes);
        Ok(())
    }

    /// Publishes the status and books its bytes.
    pub(super) fn publish_status(&mut self, document: Bytes) -> Result<(), OfferError> {
        let bytes = document.len();
        self.sink.publish_status(document)?;
        self.book(bytes);
        Ok(())
    }

    /// Sends the answer to a command and books its bytes.
    pub(super) fn answer(&mut self, answer: Bytes) -> Result<(), OfferError> {
        let bytes = answer.len();
        self.sink.answer(answer)?;
        self.book(bytes);
        Ok(())
    }

    fn book(&mut self, bytes: usize) {
        self.budget.spend(bytes);
        self.spent = true;
        self.show_budget();
    }

    /// Checks whether a new day has begun. Returns whether one was opened.
    pub(super) fn look(&mut self, now: Moment) -> bool {
        let opened = self.budget.look(now);
        if opened {
            self.spent = true;
            self.show_budget();
        }
        opened
    }

    /// Records what the sink reports of itself. Returns whether that is new: other services that it lacks, a topic
    /// that is dead or alive again.
    pub(super) fn note_report(&mut self, now: Moment) -> bool {
        let report = self.sink.report();
        let mut known = self.counters.report.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.take().map(|(report, _)| report).unwrap_or_default();
        let news = before.degraded != report.degraded || !dead(&before).eq(dead(&report));
        *known = Some((report, now));
        news
    }

    pub(super) fn show_budget(&self) {
        self.counters.day_bytes.store(self.budget.sent().1, Ordering::Relaxed);
        let bits = self.budget.deferred().fold(0, |bits, lane| bits | 1 << lane.index());
        self.counters.deferred.store(bits, Ordering::Relaxed);
    }

    pub(super) fn connected(&mut self) {
        self.counters.connected.store(true, Ordering::Relaxed);
        self.counters.connections_total.add(1);
    }

    pub(super) fn lost(&mut self, reason: String) {
        self.counters.connected.store(false, Ordering::Relaxed);
        self.counters.set_last_error(reason);
    }
}

/// The topics on which nothing arrives.
fn dead(report: &LinkReport) -> impl Iterator<Item = &str> {
    let dead = report.topics.iter().filter(|topic| matches!(topic.arrival, Arrival::Dead { .. }));
    dead.map(|topic| topic.topic.as_str())
}

/// The next event of any link; `None` in it where that sink has ended. `first` is polled first, so that none is
/// always before the others.
pub(super) fn poll_links<K: Sink, F>(
    links: &mut [LinkState<K, F>],
    first: usize,
    context: &mut Context<'_>,
) -> Poll<(usize, Option<SinkEvent>)> {
    let count = links.len();
    for turn in 0..count {
        let index = (first + turn) % count;
        if let Poll::Ready(event) = links[index].sink.poll_event(context) {
            return Poll::Ready((index, event));
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rival_is_certain_when_it_replaced_an_acknowledged_status_twice() {
        let check = |history: &[(bool, bool)], expected: bool| {
            let mut rival = Rival::default();
            for (published, of_another) in history {
                rival.published = *published;
                rival.found(*of_another);
            }
            assert_eq!(rival.is_certain(), expected, "{history:?}");
        };
        // The first status it finds may be of the machine that it replaces.
        check(&[(false, true)], false);
        check(&[(false, true), (true, true)], false);
        check(&[(false, true), (true, true), (true, true)], true);
        check(&[(true, true), (true, true), (true, true)], true);
        check(&[(true, true), (false, true), (true, true)], false);
        check(&[(true, true), (true, true), (true, false)], false);
    }
}
