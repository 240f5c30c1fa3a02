//! The judging thread: it judges what is queued in order, lets time pass, and hands over the decisions.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use verge_domain::reading::{Inbound, Reading, Receipt};
use verge_domain::rejection::Reason;
use verge_domain::stage::{Decoder, Judge, SAVE_EVERY, Source};
use verge_domain::time::{Moment, Monotonic};

use super::arrivals::{Arrivals, Waiting as Arrived};
use super::class::{Class, QueueRoom};
use super::newest::Newest;
use super::observations::GatheredObservations;
use super::orders::Waiting;
use super::swapping::{SwapReply, SwapSlot};
use super::{Item, Redeliveries};
use crate::clock::{Clock, StepWatch};
use crate::committer::{CommitHandle, CommitRequest, Durable};
use crate::counters::Counters;
use crate::frames::{SnapshotDesk, WatchBoard};
use crate::judging::{Decision, JudgeSet, SavePass};

/// Messages that follow each other faster than this are a stream: it pays to let a few gather.
const STREAM_GAP: Duration = Duration::from_micros(500);
/// If this many gather, another gathering pays.
const STREAM_BURST: usize = 4;
/// How long they gather: each wake-up of a thread costs more than judging a reading does.
const GATHER: Duration = Duration::from_millis(1);
/// How often time passes for the judges.
const TICK: Duration = Duration::from_millis(500);
/// How often to look for devices that have vanished.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);

/// The thread of one class of judges.
pub(super) struct Worker<D, J, S> {
    pub(super) class: Class,
    pub(super) room: Arc<QueueRoom>,
    pub(super) newest: Option<Arc<Newest>>,
    pub(super) arrivals: Arrivals,
    /// What workers have seen and not handed on; theirs, as the judges end once nobody else holds their queue.
    pub(super) gathering: Weak<GatheredObservations>,
    /// Empty, with memory for the arrivals that are taken next.
    pub(super) arrived: Arrived,
    pub(super) set: JudgeSet<D, J>,
    /// Judges that wait to be at work.
    pub(super) swaps: Arc<SwapSlot<J>>,
    /// Their mark has come up in the queue.
    pub(super) exchange_due: bool,
    /// Where the report of the present swap goes, and how long judging paused.
    pub(super) swapping: Option<(SwapReply, Duration)>,
    pub(super) source: S,
    pub(super) commits: CommitHandle,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) decision: Decision,
    pub(super) settled: Vec<Receipt>,
    pub(super) recent: Redeliveries,
    /// The present pass over the judges' states.
    pub(super) pass: Option<SavePass>,
    /// Some states that were handed over are not durable yet.
    pub(super) saving: Arc<AtomicBool>,
    /// Set when the gateway stops: what is queued by then is judged until this time.
    pub(super) deadline: Arc<OnceLock<Instant>>,
    /// Messages that were not judged before it: those that come again, and those that do not.
    pub(super) given_up: (usize, usize),
    /// Where pictures of cameras are requested.
    pub(super) snapshots: Option<SnapshotDesk>,
    /// Where people watch cameras.
    pub(super) watch: Option<WatchBoard>,
}

/// What was done at a time.
struct Burst {
    /// Messages.
    taken: usize,
    /// The end has come.
    stop: bool,
    /// Senders wait for what was settled.
    is_awaited: bool,
}

impl<D: Decoder<Item = Reading>, J: Judge + 'static, S: Source> Worker<D, J, S> {
    pub(super) fn run(&mut self, queue: &Receiver<Item>, orders: &Receiver<Waiting>) {
        let beat = self.counters.beats.join_before_store(self.class.thread_name());
        self.submit(0, self.clock.now().mono, None);
        let mut next_tick = Instant::now();
        let mut next_pass = Instant::now() + SAVE_EVERY;
        let mut next_expiry = Instant::now() + EXPIRE_EVERY;
        let mut last_burst = Instant::now();
        let mut gathering = false;
        let mut steps = StepWatch::default();
        loop {
            let is_busy =
                self.swapping.is_some() || self.newest.as_ref().is_some_and(|newest| newest.is_waiting());
            let wait =
                if is_busy { Duration::ZERO } else { next_tick.saturating_duration_since(Instant::now()) };
            let stop = match queue.recv_timeout(wait) {
                Ok(item) => {
                    let close = last_burst.elapsed() < STREAM_GAP;
                    let Burst { taken, stop, is_awaited } = self.burst(item, queue);
                    // GatheredObservations begins where messages follow closely, and continues while enough of them gather.
                    gathering = !stop && !is_awaited && if gathering { taken >= STREAM_BURST } else { close };
                    if gathering {
                        // Not on the queue: each message would wake a thread that waits there.
                        std::thread::park_timeout(GATHER);
                    }
                    last_burst = Instant::now();
                    stop
                }
                Err(RecvTimeoutError::Timeout) if wait.is_zero() => self.burst(Item::Wake, queue).stop,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            while let Ok(waiting) = orders.try_recv() {
                self.carry_out(waiting);
            }
            self.exchange();
            self.lend_sketches();
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                self.counters.judging_ticks_total.add(1);
                beat.beat();
                self.gathering.upgrade().inspect(|gathering| _ = gathering.try_hand_on());
                // One of the two threads looks for both.
                if let (Class::Prompt, Some(step_ms)) = (self.class, steps.look(self.clock.now())) {
                    self.counters.note_clock_step(step_ms);
                }
                // A device whose message has arrived by now is not silent.
                self.take_arrivals();
                self.watch.iter().for_each(|watch| watch.look_after(self.clock.now().mono));
                self.set.tick(self.clock.now(), &mut self.decision);
                self.set.note_signals(self.clock.now());
                self.submit(0, self.clock.now().mono, None);
                if now >= next_pass && self.pass.is_none() {
                    next_pass = now + SAVE_EVERY;
                    let now = self.clock.now();
                    self.pass = Some(SavePass::of_due(now.mono));
                    self.counters.note_alarm_rates(self.set.alarm_rates(now));
                    self.counters.note_counted_lines(self.set.counted_lines());
                    self.counters.note_judging(self.set.account());
                }
                self.save();
            }
            if now >= next_expiry {
                next_expiry = now + EXPIRE_EVERY;
                self.set.expire(self.clock.now(), &mut self.decision);
                self.submit(0, self.clock.now().mono, None);
            }
            if stop {
                let (unacknowledged, lost) = self.given_up;
                if unacknowledged > 0 {
                    tracing::warn!(
                        messages = unacknowledged,
                        "stopped before these messages were judged; they are not acknowledged and come again"
                    );
                }
                if lost > 0 {
                    tracing::error!(
                        messages = lost,
                        "stopped before these messages were judged, and they are lost: they came at QoS 0, or by the embedded \
                         broker with `durable = false`, which acknowledges what is not judged yet"
                    );
                }
                self.save_all();
                return;
            }
        }
    }

    /// Counts what is not judged any more.
    fn give_up(&mut self, comes_again: bool) {
        let (unacknowledged, lost) = &mut self.given_up;
        *if comes_again { unacknowledged } else { lost } += 1;
    }

    /// Judges what waits, up to a burst, then settles what caused nothing.
    fn burst(&mut self, first: Item, queue: &Receiver<Item>) -> Burst {
        let mut next = Some(first);
        let (mut stop, mut is_awaited) = (false, false);
        let mut taken = 0;
        let began = Instant::now();
        self.take_arrivals();
        while taken < self.class.burst() && self.class.goes_on(began) {
            let newest = self.newest.as_ref().filter(|_| !self.is_past_deadline());
            let newest = newest.and_then(|newest| newest.pop());
            let item = next.take().or_else(|| queue.try_recv().ok());
            if newest.is_none() && item.is_none() {
                break;
            }
            if let Some(message) = newest {
                self.message(&message, self.clock.now());
                taken += 1;
            }
            match item {
                Some(Item::Message(message)) if self.is_past_deadline() => {
                    self.give_up(message.receipt.is_some());
                    taken += 1;
                }
                Some(Item::Observation(_, origin)) if self.is_past_deadline() => {
                    // A frame without a cause is one that the next would have superseded.
                    if origin.receipt.is_some() || origin.cause != 0 {
                        self.give_up(origin.receipt.is_some());
                    }
                    taken += 1;
                }
                Some(Item::Message(message)) => {
                    self.room.left(message.topic.len() + message.payload.len());
                    is_awaited |= message.receipt.is_some();
                    self.message(&message, self.clock.now());
                    taken += 1;
                }
                Some(Item::Observation(observation, origin)) => {
                    self.take_arrivals();
                    self.observe(observation, origin);
                    taken += 1;
                }
                Some(Item::Settle(receipt, received)) => {
                    self.request(CommitRequest { receipt: Some(receipt), ..CommitRequest::of_time(received) })
                }
                Some(Item::Exchange) => {
                    self.exchange_due = true;
                    break;
                }
                Some(Item::Wake) | None => {}
                Some(Item::Stop) => {
                    stop = true;
                    break;
                }
            }
        }
        if !self.settled.is_empty() {
            self.source.settle(&self.settled);
            self.settled.clear();
        }
        Burst { taken, stop, is_awaited: is_awaited && self.source.is_awaited() }
    }

    fn is_past_deadline(&self) -> bool {
        self.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }

    /// Says what is known of the scene before a camera of which a picture is requested.
    fn lend_sketches(&self) {
        let Some(desk) = &self.snapshots else { return };
        if let Some(camera) = desk.wants_sketches() {
            desk.lend(&camera, self.set.sketches(&camera));
        }
    }

    /// Carries out an order; the reply follows when its result is durable.
    fn carry_out(&mut self, Waiting { order, known, reply }: Waiting) {
        let now = self.clock.now();
        let outcome = self.set.carry_out(&order, known, now, &mut self.decision);
        let durable = Durable::new(move || reply(outcome));
        self.request(CommitRequest { durable: Some(durable), ..CommitRequest::of_time(now.mono) });
    }

    fn message(&mut self, message: &Inbound, now: Moment) {
        let Some(cause) = self.cause(message) else {
            return self.duplicate(message);
        };
        self.set.message(message, now, &mut self.decision);
        self.settle_or_submit(message, cause);
    }

    /// The cause of a message, 0 if it cannot be delivered again; `None` if an earlier run has judged it.
    fn cause(&mut self, message: &Inbound) -> Option<u64> {
        let cause = message.receipt.map_or(0, |_| self.class.session().cause(message.fingerprint()));
        if self.recent.recognise(message, cause) {
            return None;
        }
        if let Some(source) = self.counters.source(message.source).filter(|_| message.redelivered) {
            source.messages_redelivered_total.add(1);
        }
        Some(cause)
    }

    fn duplicate(&mut self, message: &Inbound) {
        if let Some(source) = self.counters.source(message.source) {
            source.reject(Reason::Duplicate);
            source.messages_refused_total.add(1);
        }
        // After the consequences of its first delivery, which may not be durable yet.
        self.request(CommitRequest {
            receipt: message.receipt,
            ..CommitRequest::of_time(message.received.mono)
        });
    }

    fn settle_or_submit(&mut self, message: &Inbound, cause: u64) {
        if self.decision.is_empty() {
            self.settled.extend(message.receipt);
        } else {
            self.submit(cause, message.received.mono, message.receipt);
        }
    }

    /// Hands the decisions to the committer; waits while its queue is full.
    pub(super) fn submit(&mut self, cause: u64, received: Monotonic, receipt: Option<Receipt>) {
        if !self.decision.is_empty() {
            self.request(CommitRequest { cause, receipt, ..CommitRequest::of_time(received) });
        }
    }

    /// Hands over a request with all decisions.
    pub(super) fn request(&mut self, request: CommitRequest) {
        let Decision { verdicts, checkpoints } = std::mem::take(&mut self.decision);
        self.commits.submit(CommitRequest { verdicts, checkpoints, ..request });
    }
}
