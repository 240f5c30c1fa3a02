//! The entrance for what judges observe: a bounded queue and the one thread that empties it (`worker`).
//!
//! There are two of them where judges need much time: blocks of samples and windows for a model have a queue and a
//! thread of their own, so that a rule's alarm never waits for them. Both hand their decisions to one committer.
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
mod swapping;
mod worker;

use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use verge_domain::observation::Observation;
use verge_domain::reading::{Inbound, Reading, Receipt, SourceIndex};
use verge_domain::stage::{Cause, Decoder, Intake, IntakeFull, Judge, Source};
use verge_domain::time::{Monotonic, UtcMillis};

use crate::clock::Clock;
use crate::committer::CommitHandle;
use crate::counters::Counters;
use crate::frames::{SnapshotDesk, WatchBoard};
use crate::judging::{Decision, JudgeSet};
use arrivals::{Arrivals, Waiting as Arrived};
use class::{Class, QueueRoom};
use newest::Newest;
pub use newest::NewestIntake;
pub use observations::{Observations, Origin};
use orders::{Desk, Waiting};
pub use orders::{DeskClosed, ORDER_QUEUE, OrderDesk};
pub(crate) use redeliveries::Redeliveries;
use swapping::SwapSlot;
pub use swapping::{Swap, SwapRefused};
use worker::Worker;

/// Maximum of messages that wait for the judges.
pub const INTAKE_CAPACITY: usize = 4_096;
/// Maximum time for judging what is queued when the gateway stops.
const STOP_LIMIT: Duration = Duration::from_secs(3);

enum Item {
    Message(Inbound),
    Observation(Observation, Origin),
    /// Settle this after what was queued before.
    Settle(Receipt, Monotonic),
    /// Here the judges that wait begin.
    Exchange,
    /// An order waits.
    Wake,
    Stop,
}

/// The entrance to the queue; clones share it.
#[derive(Clone)]
pub struct ReadingIntake {
    queue: SyncSender<Item>,
    room: Arc<QueueRoom>,
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

    /// Whether enough waits that the connection should be left unread.
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

/// The queue before its thread runs: the source needs one end, and the thread needs the source.
pub struct IntakeQueue {
    class: Class,
    room: Arc<QueueRoom>,
    newest: Option<Arc<Newest>>,
    observations: Observations,
    sender: SyncSender<Item>,
    receiver: Receiver<Item>,
    desk: SyncSender<Waiting>,
    orders: Receiver<Waiting>,
    counters: Arc<Counters>,
    snapshots: Option<SnapshotDesk>,
    watch: Option<WatchBoard>,
}

impl IntakeQueue {
    /// An empty queue for judges that need little time per message.
    #[must_use]
    pub fn new(counters: Arc<Counters>) -> Self {
        Self::of(Class::Prompt, counters)
    }

    /// An empty queue for judges that need much time per message.
    #[must_use]
    pub fn bulk(counters: Arc<Counters>) -> Self {
        Self { newest: Some(Arc::default()), ..Self::of(Class::Bulk, counters) }
    }

    fn of(class: Class, counters: Arc<Counters>) -> Self {
        let (sender, receiver) = mpsc::sync_channel(class.capacity());
        let (desk, orders) = mpsc::sync_channel(ORDER_QUEUE);
        let room = Arc::new(QueueRoom::new(class));
        let observations = Observations::new(sender.clone(), Arrivals::default());
        Self {
            class,
            room,
            newest: None,
            observations,
            sender,
            receiver,
            desk,
            orders,
            counters,
            snapshots: None,
            watch: None,
        }
    }

    /// Its judges say what they know of the scenes before cameras of which pictures are requested here.
    #[must_use]
    pub fn lending_to(self, snapshots: Option<SnapshotDesk>) -> Self {
        Self { snapshots, ..self }
    }

    /// Its judges leave what they know of the scenes before cameras that people watch.
    #[must_use]
    pub fn watched(self, watch: Option<WatchBoard>) -> Self {
        Self { watch, ..self }
    }

    /// The entrance.
    #[must_use]
    pub fn intake(&self) -> ReadingIntake {
        let (queue, room) = (self.sender.clone(), Arc::clone(&self.room));
        ReadingIntake { queue, room, counters: Arc::clone(&self.counters) }
    }

    /// The entrance for messages of which only the newest of a topic counts, if this queue takes such messages.
    #[must_use]
    pub fn newest_intake(&self) -> Option<NewestIntake> {
        let newest = Arc::clone(self.newest.as_ref()?);
        Some(NewestIntake { newest, wake: self.sender.clone(), counters: Arc::clone(&self.counters) })
    }

    /// Where orders to the judges are handed in.
    #[must_use]
    pub fn orders(&self) -> OrderDesk {
        OrderDesk::new(Desk { queue: self.desk.clone(), wake: self.sender.clone() })
    }

    /// Where workers hand in what they see in frames.
    #[must_use]
    pub fn observations(&self) -> Observations {
        self.observations.clone()
    }

    /// Starts the thread. `restored`: decisions made while restoring saved state. `causes`: of messages that the broker
    /// may send again although the store holds their verdicts.
    ///
    /// # Panics
    /// If the operating system gives no thread.
    pub fn start<D, J, S>(
        self,
        set: JudgeSet<D, J>,
        source: S,
        commits: CommitHandle,
        clock: Clock,
        restored: Decision,
        causes: &[Cause],
    ) -> Judging<J>
    where
        D: Decoder<Item = Reading> + 'static,
        J: Judge + 'static,
        S: Source + 'static,
    {
        // A restored judge may know its rate already.
        self.counters.note_alarm_rates(set.alarm_rates(clock.now()));
        self.counters.note_judging(set.account());
        let swaps = Arc::new(SwapSlot::default());
        let mut worker = Worker {
            set,
            swaps: Arc::clone(&swaps),
            exchange_due: false,
            swapping: None,
            source,
            commits,
            clock,
            counters: self.counters,
            decision: restored,
            class: self.class,
            room: self.room,
            newest: self.newest,
            arrivals: self.observations.arrivals.clone(),
            gathering: Arc::downgrade(self.observations.gathering()),
            arrived: Arrived::new(),
            settled: Vec::with_capacity(self.class.burst()),
            recent: Redeliveries::new(self.class.session(), causes),
            pass: None,
            saving: Arc::default(),
            deadline: Arc::default(),
            given_up: (0, 0),
            snapshots: self.snapshots,
            watch: self.watch,
        };
        let deadline = Arc::clone(&worker.deadline);
        let (receiver, orders) = (self.receiver, self.orders);
        let (running, held) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name(self.class.thread_name().to_owned())
            .spawn(move || {
                worker.run(&receiver, &orders);
                drop(held);
            })
            .expect("the operating system gives a gateway its few threads");
        Judging { queue: self.sender, swaps, deadline, thread, running }
    }
}

/// The running judges' thread.
pub struct Judging<J> {
    queue: SyncSender<Item>,
    swaps: Arc<SwapSlot<J>>,
    deadline: Arc<OnceLock<Instant>>,
    thread: JoinHandle<()>,
    running: watch::Sender<()>,
}

impl<J> Judging<J> {
    /// Announces the stop: the three seconds begin here, for several threads at the same moment.
    pub fn stopping(&self) {
        self.deadline.get_or_init(|| Instant::now() + STOP_LIMIT);
    }

    /// Judges what is queued, for three seconds at most, saves the judges' states and ends. Blocks until then. Messages
    /// that are not judged in time stay unacknowledged, or are lost where they were acknowledged on receipt: both are counted in
    /// the log.
    pub fn stop(self) {
        self.stopping();
        // A send to a thread that has already ended fails, which equals a stop.
        drop(self.queue.send(Item::Stop));
        if self.thread.join().is_err() {
            tracing::error!("the judging thread had panicked");
        }
    }

    /// Waits until the thread has ended by itself: then its queue takes nothing more.
    pub async fn ended(&self) {
        self.running.closed().await;
    }
}
