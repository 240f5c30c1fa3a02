//! The readings' way in: a bounded queue and the one thread that empties it.
//!
//! There are two of them where judges need much time: blocks of samples and windows for a model have a queue and a
//! thread of their own, so that a rule's alarm never waits behind them. Both hand what they decide to one committer.
//!
//! When the queue is full the source keeps the message and leaves its connection unread until there is room; when the
//! committer's queue is full this thread waits, which fills the first queue. Nothing is dropped here.

mod arrivals;
mod class;
mod newest;
mod observations;
mod orders;
mod redeliveries;
mod saving;

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use verge_domain::observation::Observation;
use verge_domain::reading::{Inbound, Reading, Receipt, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::stage::{Cause, Decoder, Intake, IntakeFull, Judge, SAVE_EVERY, Source};
use verge_domain::time::{Moment, Monotonic, UtcMillis};

use crate::clock::{Clock, StepWatch};
use crate::committer::{CommitHandle, CommitRequest, Durable};
use crate::counters::Counters;
use crate::judging::{Decision, SavePass, Shards};
use arrivals::{Arrivals, Waiting as Arrived};
use class::{Class, Room};
use newest::Newest;
pub use newest::NewestIntake;
pub use observations::{Observations, Origin};
use orders::{Desk, Waiting};
pub use orders::{DeskClosed, ORDER_QUEUE, OrderDesk};
pub(crate) use redeliveries::Redeliveries;

/// Messages that wait for the judges at most.
pub const INTAKE_CAPACITY: usize = 4_096;
/// Messages that come closer to each other than this are a stream, of which it pays to let a few gather.
const STREAM_GAP: Duration = Duration::from_micros(500);
/// So many in one gathering make it worth another.
const STREAM_BURST: usize = 4;
/// For so long they gather: each wake-up of a thread costs more than judging a reading does.
const GATHER: Duration = Duration::from_millis(1);
/// How often judges are told that time passes.
const TICK: Duration = Duration::from_millis(500);
/// When the gateway stops, what is queued is judged for this long at most.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How often devices that have vanished are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);

enum Item {
    Message(Inbound),
    Observation(Observation, Origin),
    /// Settle this behind what was queued before.
    Settle(Receipt, Monotonic),
    /// An order waits.
    Wake,
    Stop,
}

/// The way into the queue; clones share it.
#[derive(Clone)]
pub struct ReadingIntake {
    queue: SyncSender<Item>,
    room: Arc<Room>,
    counters: Arc<Counters>,
}

impl Intake for ReadingIntake {
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
        let source = message.source;
        let bytes = message.topic.len() + message.payload.len();
        let at = message.received.wall;
        self.room.entered(bytes);
        match self.queue.try_send(Item::Message(message)) {
            Ok(()) => {
                received(&self.counters, source, bytes, at);
                Ok(())
            }
            Err(
                TrySendError::Full(Item::Message(message))
                | TrySendError::Disconnected(Item::Message(message)),
            ) => {
                self.room.left(bytes);
                Err(IntakeFull(message))
            }
            Err(_) => unreachable!("what comes back is what was sent"),
        }
    }

    /// Whether so much waits that the connection is better left unread.
    fn is_held(&mut self) -> bool {
        self.room.is_crowded()
    }
}

fn received(counters: &Counters, source: SourceIndex, bytes: usize, at: UtcMillis) {
    if let Some(source) = counters.source(source) {
        source.messages_received_total.add(1);
        source.bytes_received_total.add(bytes as u64);
        source.received_at(at);
    }
}

/// The queue before its thread runs: the source needs the one end, the thread needs the source.
pub struct IntakeQueue {
    class: Class,
    room: Arc<Room>,
    newest: Option<Arc<Newest>>,
    arrivals: Arrivals,
    sender: SyncSender<Item>,
    receiver: Receiver<Item>,
    desk: SyncSender<Waiting>,
    orders: Receiver<Waiting>,
    counters: Arc<Counters>,
}

impl IntakeQueue {
    /// An empty queue for judges that need little time.
    #[must_use]
    pub fn new(counters: Arc<Counters>) -> Self {
        Self::of(Class::Prompt, counters)
    }

    /// An empty queue for judges that need much.
    #[must_use]
    pub fn bulk(counters: Arc<Counters>) -> Self {
        Self { newest: Some(Arc::default()), ..Self::of(Class::Bulk, counters) }
    }

    fn of(class: Class, counters: Arc<Counters>) -> Self {
        let (sender, receiver) = mpsc::sync_channel(class.capacity());
        let (desk, orders) = mpsc::sync_channel(ORDER_QUEUE);
        let room = Arc::new(Room::new(class));
        let arrivals = Arrivals::default();
        Self { class, room, newest: None, arrivals, sender, receiver, desk, orders, counters }
    }

    /// The way in.
    #[must_use]
    pub fn intake(&self) -> ReadingIntake {
        let (queue, room) = (self.sender.clone(), Arc::clone(&self.room));
        ReadingIntake { queue, room, counters: Arc::clone(&self.counters) }
    }

    /// The way in for messages of which only the newest of a topic counts, if this queue is for such.
    #[must_use]
    pub fn newest_intake(&self) -> Option<NewestIntake> {
        let newest = Arc::clone(self.newest.as_ref()?);
        Some(NewestIntake { newest, wake: self.sender.clone(), counters: Arc::clone(&self.counters) })
    }

    /// Where people's orders to the judges are handed in.
    #[must_use]
    pub fn orders(&self) -> OrderDesk {
        OrderDesk::new(Desk { queue: self.desk.clone(), wake: self.sender.clone() })
    }

    /// Where workers hand in what they see in frames.
    #[must_use]
    pub fn observations(&self) -> Observations {
        Observations { queue: self.sender.clone(), arrivals: self.arrivals.clone() }
    }

    /// Starts the thread. `restored` is what taking up saved state has decided; `causes` are the messages that the broker
    /// may send again although the store holds their verdicts.
    ///
    /// # Panics
    /// If the operating system gives no thread.
    pub fn start<D, J, S>(
        self,
        judges: impl Into<Shards<D, J>>,
        source: S,
        commits: CommitHandle,
        clock: Clock,
        restored: Decision,
        causes: &[Cause],
    ) -> Judging
    where
        D: Decoder<Item = Reading> + 'static,
        J: Judge + 'static,
        S: Source + 'static,
    {
        let mut set = judges.into();
        // What was taken up may know its rate already.
        self.counters.note_alarm_rates(set.alarm_rates(clock.now()));
        self.counters.note_judging(set.account());
        let mut worker = Worker {
            set,
            source,
            commits,
            clock,
            counters: self.counters,
            decision: restored,
            class: self.class,
            room: self.room,
            newest: self.newest,
            arrivals: self.arrivals,
            arrived: Arrived::new(),
            settled: Vec::with_capacity(self.class.burst()),
            waiting: Vec::new(),
            recent: Redeliveries::new(self.class.session(), causes),
            pass: None,
            saving: Arc::default(),
            deadline: Arc::default(),
            given_up: 0,
        };
        let deadline = Arc::clone(&worker.deadline);
        let (receiver, orders) = (self.receiver, self.orders);
        let thread = std::thread::Builder::new()
            .name(self.class.thread_name().to_owned())
            .spawn(move || worker.run(&receiver, &orders))
            .expect("the operating system gives a gateway its few threads");
        Judging { stop: self.sender, deadline, thread }
    }
}

/// The running judges' thread.
pub struct Judging {
    stop: SyncSender<Item>,
    deadline: Arc<OnceLock<Instant>>,
    thread: JoinHandle<()>,
}

impl Judging {
    /// Says that it will be stopped: three seconds begins here, for several threads at the same moment.
    pub fn stopping(&self) {
        self.deadline.get_or_init(|| Instant::now() + STOP_LIMIT);
    }

    /// Judges what is queued, for three seconds at most, saves the judges' states and ends. Blocks until then. What is
    /// not judged in time stays unacknowledged.
    pub fn stop(self) {
        self.stopping();
        // A send to a thread that has already ended fails, which is as good as a stop.
        drop(self.stop.send(Item::Stop));
        if self.thread.join().is_err() {
            tracing::error!("the judging thread had panicked");
        }
    }

    /// Whether the thread has ended by itself: then its queue takes nothing more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

struct Worker<D, J, S> {
    class: Class,
    room: Arc<Room>,
    newest: Option<Arc<Newest>>,
    arrivals: Arrivals,
    /// Empty, with room for the arrivals that are taken next.
    arrived: Arrived,
    set: Shards<D, J>,
    source: S,
    commits: CommitHandle,
    clock: Clock,
    counters: Arc<Counters>,
    decision: Decision,
    settled: Vec<Receipt>,
    /// Messages of the burst in hand, where several threads share it.
    waiting: Vec<Inbound>,
    recent: Redeliveries,
    /// The pass over the judges' states that is under way.
    pass: Option<SavePass>,
    /// States were handed over that are not durable yet.
    saving: Arc<AtomicBool>,
    /// Set when the gateway stops: what is queued by then is judged until this time.
    deadline: Arc<OnceLock<Instant>>,
    /// Messages that were not judged before it.
    given_up: usize,
}

impl<D: Decoder<Item = Reading>, J: Judge + 'static, S: Source> Worker<D, J, S> {
    fn run(&mut self, queue: &Receiver<Item>, orders: &Receiver<Waiting>) {
        self.submit(0, self.clock.now().mono, None);
        let mut next_tick = Instant::now();
        let mut next_pass = Instant::now() + SAVE_EVERY;
        let mut next_expiry = Instant::now() + EXPIRE_EVERY;
        let mut last_burst = Instant::now();
        let mut gathering = false;
        let mut steps = StepWatch::default();
        loop {
            let wait = if self.newest.as_ref().is_some_and(|newest| newest.is_waiting()) {
                Duration::ZERO
            } else {
                next_tick.saturating_duration_since(Instant::now())
            };
            let stop = match queue.recv_timeout(wait) {
                Ok(item) => {
                    let close = last_burst.elapsed() < STREAM_GAP;
                    let (taken, stop) = self.burst(item, queue);
                    // It begins where messages come close together, and goes on while enough of them gather.
                    gathering = !stop && if gathering { taken >= STREAM_BURST } else { close };
                    if gathering {
                        // Not on the queue: who waits there is woken by every message.
                        std::thread::park_timeout(GATHER);
                    }
                    last_burst = Instant::now();
                    stop
                }
                Err(RecvTimeoutError::Timeout) if wait.is_zero() => self.burst(Item::Wake, queue).1,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            while let Ok(waiting) = orders.try_recv() {
                self.carry_out(waiting);
            }
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                // One of the two threads looks for both.
                if let (Class::Prompt, Some(step_ms)) = (self.class, steps.look(self.clock.now())) {
                    self.counters.note_clock_step(step_ms);
                }
                // What has come by now is no silence.
                self.hear_arrivals();
                self.set.tick(self.clock.now(), &mut self.decision);
                self.submit(0, self.clock.now().mono, None);
                if now >= next_pass && self.pass.is_none() {
                    next_pass = now + SAVE_EVERY;
                    let now = self.clock.now();
                    self.pass = Some(SavePass::of_due(now.mono));
                    self.counters.note_alarm_rates(self.set.alarm_rates(now));
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
                if self.given_up > 0 {
                    tracing::warn!(
                        messages = self.given_up,
                        "stopped before these messages were judged; those at QoS 1 are not acknowledged and come again"
                    );
                }
                self.save_all();
                return;
            }
        }
    }

    /// Judges what waits, up to a burst, then settles what caused nothing. Says how many messages there were,
    /// and whether to stop.
    fn burst(&mut self, first: Item, queue: &Receiver<Item>) -> (usize, bool) {
        let mut next = Some(first);
        let mut stop = false;
        let mut taken = 0;
        let began = Instant::now();
        self.hear_arrivals();
        while taken < self.class.burst() && self.class.goes_on(began) {
            let newest = self.newest.as_ref().filter(|_| !self.is_past_deadline());
            let newest = newest.and_then(|newest| newest.pop());
            let item = next.take().or_else(|| queue.try_recv().ok());
            if newest.is_none() && item.is_none() {
                break;
            }
            if let Some(message) = newest {
                self.take(message);
                taken += 1;
            }
            match item {
                Some(Item::Message(_) | Item::Observation(..)) if self.is_past_deadline() => {
                    self.given_up += 1;
                    taken += 1;
                }
                Some(Item::Message(message)) => {
                    self.room.left(message.topic.len() + message.payload.len());
                    self.take(message);
                    taken += 1;
                }
                // Ahead of this burst's messages where several threads share it: other judges, another connection.
                Some(Item::Observation(observation, origin)) => {
                    self.hear_arrivals();
                    self.observe(observation, origin);
                    taken += 1;
                }
                Some(Item::Settle(receipt, received)) => {
                    self.request(CommitRequest { receipt: Some(receipt), ..CommitRequest::of_time(received) })
                }
                Some(Item::Wake) | None => {}
                Some(Item::Stop) => {
                    stop = true;
                    break;
                }
            }
        }
        self.judge_waiting();
        if !self.settled.is_empty() {
            self.source.settle(&self.settled);
            self.settled.clear();
        }
        (taken, stop)
    }

    fn is_past_deadline(&self) -> bool {
        self.deadline.get().is_some_and(|deadline| Instant::now() >= *deadline)
    }

    /// Judges a message, at once or with the rest of its burst.
    fn take(&mut self, message: Inbound) {
        if self.set.is_shared() {
            self.waiting.push(message);
        } else {
            self.message(&message, self.clock.now());
        }
    }

    /// Does what a person asks for, who is told once it is durable.
    fn carry_out(&mut self, Waiting { order, known, reply }: Waiting) {
        let now = self.clock.now();
        let outcome = self.set.carry_out(&order, known, now, &mut self.decision);
        let durable = Durable::new(move || reply(outcome));
        self.request(CommitRequest { durable: Some(durable), ..CommitRequest::of_time(now.mono) });
    }

    /// Judges a burst on all threads, and then goes on with its messages one by one, in order.
    fn judge_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let now = self.clock.now();
        let mut causes = Vec::with_capacity(waiting.len());
        for message in &waiting {
            let cause = self.cause(message);
            if cause.is_some() {
                self.set.post(message, now);
            }
            causes.push(cause);
        }
        let posted =
            waiting.iter().zip(&causes).filter(|(_, cause)| cause.is_some()).map(|(message, _)| message);
        let mut judged = self.set.judge(posted).into_iter();
        for (message, cause) in waiting.iter().zip(causes) {
            match cause {
                None => self.duplicate(message),
                Some(cause) => {
                    self.decision = judged.next().map(|(_, decision)| decision).unwrap_or_default();
                    self.settle_or_submit(message, cause);
                }
            }
        }
        drop(judged);
        self.waiting = waiting;
        self.waiting.clear();
    }

    fn message(&mut self, message: &Inbound, now: Moment) {
        let Some(cause) = self.cause(message) else {
            return self.duplicate(message);
        };
        self.set.message(message, now, &mut self.decision);
        self.settle_or_submit(message, cause);
    }

    /// What to recognise a message by, 0 if it cannot come again; `None` where an earlier run has judged it.
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
        // Behind what it caused when it first came, which may not be durable yet.
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

    /// Hands what was decided to the committer; waits while its queue is full.
    fn submit(&mut self, cause: u64, received: Monotonic, receipt: Option<Receipt>) {
        if !self.decision.is_empty() {
            self.request(CommitRequest { cause, receipt, ..CommitRequest::of_time(received) });
        }
    }

    /// Hands over a request with all that was decided.
    fn request(&mut self, request: CommitRequest) {
        let Decision { verdicts, checkpoints } = std::mem::take(&mut self.decision);
        self.commits.submit(CommitRequest { verdicts, checkpoints, ..request });
    }
}
