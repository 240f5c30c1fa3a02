//! The one thread that owns the store: verdicts get their identity here, become durable, and only then are
//! visible to others.
//!
//! Group commit without a timer: whatever waits is committed together as soon as the store is free. While
//! the store is full or has failed nothing is dropped: producers wait, deliveries continue (they make
//! room). Alarms that wait for a store that has failed are shown upstream meanwhile, without a number.
//!
//! Reading order: [`start`] and what producers hold; `handle`, what deliveries hold; `worker`, the thread; `plan`,
//! from verdicts to rows; `shown`, what others see of them; `lives`, summaries in the place of verdicts that came too late; `unacknowledged`, what the
//! broker may send again.

mod answers;
mod handle;
mod lives;
mod plan;
mod shown;
mod unacknowledged;
mod wall_clock;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use verge_domain::board::Board as _;
use verge_domain::id::{EventNumber, GatewayId, Identity, Lane};
use verge_domain::reading::Receipt;
use verge_domain::stage::{Cause, Checkpoint, Displaced, Encoder, Source, Store, StoreError};
use verge_domain::time::Monotonic;
use verge_domain::verdict::Verdict;

use crate::board::LastWords;
use crate::clock::Clock;
use crate::counters::Counters;
use crate::judging::{RaisedCounts, STATES_AT_ONCE, state_bytes};
pub use handle::{Answer, StoreHandle, StoreLedger, StoreRefusal, StoreState};
use unacknowledged::Unacknowledged;
use wall_clock::WallClock;
use worker::{CommitWorker, GivenUp};

/// Requests that wait for the store at most; past that, producers wait.
pub const COMMIT_QUEUE: usize = 4_096;
/// Bytes of judges' states after which a commit takes no more requests: with one more step of a pass it carries
/// some 1 MiB of them at most.
const STATES_PER_COMMIT: usize = STATES_AT_ONCE;
/// Name of the thread that owns the store.
const THREAD: &str = "verge-store";
/// Requests of deliveries that wait at most.
const STORE_QUEUE: usize = 64;
/// Alarms without a number that a delivery has not taken yet; past that the oldest go. All come again with a number.
const PROVISIONAL_QUEUE: usize = 64;
/// A store that has failed for this long is given up: the process ends with a temporary fault, so that its
/// supervisor starts it afresh.
const FAULT_LIMIT: Duration = Duration::from_secs(60);

/// When undelivered verdicts end their useful life: a summary of each interval replaces them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Of the lane `verdict`; `None`: they stay useful.
    pub verdict: Option<Duration>,
    /// Of the lane `telemetry`.
    pub telemetry: Option<Duration>,
    /// Length of the intervals, which are aligned to UTC. Not zero.
    pub interval: Duration,
}

impl Retention {
    /// The useful life in a lane; alarms always stay useful.
    #[must_use]
    pub const fn of(&self, lane: Lane) -> Option<Duration> {
        match lane {
            Lane::Alarm => None,
            Lane::Verdict => self.verdict,
            Lane::Telemetry => self.telemetry,
        }
    }
}

impl Default for Retention {
    /// All verdicts stay useful.
    fn default() -> Self {
        Self { verdict: None, telemetry: None, interval: Duration::from_secs(60) }
    }
}

/// What must become durable together.
#[derive(Debug)]
pub struct CommitRequest {
    /// Verdicts, in order.
    pub verdicts: Vec<Verdict>,
    /// State that belongs to them.
    pub checkpoints: Vec<Checkpoint>,
    /// Fingerprint of the message that caused them; 0 if time did.
    pub cause: u64,
    /// When that message was received (or time decided).
    pub received: Monotonic,
    /// Settled once durable.
    pub receipt: Option<Receipt>,
    /// Called once durable.
    pub durable: Option<Durable>,
}

impl CommitRequest {
    fn state_bytes(&self) -> usize {
        self.checkpoints.iter().map(state_bytes).sum()
    }

    /// A request without content and without a message.
    #[must_use]
    pub const fn of_time(now: Monotonic) -> Self {
        Self {
            verdicts: Vec::new(),
            checkpoints: Vec::new(),
            cause: 0,
            received: now,
            receipt: None,
            durable: None,
        }
    }
}

/// Called on the committer's thread once a request is durable; dropped uncalled if it never is.
pub struct Durable(Box<dyn FnOnce() + Send>);

impl Durable {
    /// The closure must not block.
    #[must_use]
    pub fn new(then: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(then))
    }

    fn call(self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Durable")
    }
}

/// Called on the committer's thread with each verdict that has become durable. It must not block.
pub type Committed = Box<dyn FnMut(&Identity, &Verdict) + Send>;

/// The producers' end.
#[derive(Clone)]
pub struct CommitHandle {
    queue: mpsc::Sender<CommitRequest>,
}

impl CommitHandle {
    /// Queues a request; blocks while the queue is full. Must not be called on an async thread.
    pub fn submit(&self, request: CommitRequest) {
        // The committer ends only after its producers, or because the store failed for good; then the
        // process is about to end and the receipt stays open, so the broker keeps the message.
        if self.queue.blocking_send(request).is_err() {
            tracing::error!(
                "the committer has ended; a verdict was not committed and its message not acknowledged"
            );
        }
    }
}

/// Why the committer ended. In either case a new process may help: it ends with a temporary fault.
#[derive(Debug, thiserror::Error)]
pub enum CommitterEnd {
    /// The store failed for too long.
    #[error("the store has failed for {} s", FAULT_LIMIT.as_secs())]
    StoreFault(#[source] StoreError),
    /// Another life of the store gives numbers of its epoch: the next opening takes a new one.
    #[error(
        "upstream knows numbers of this store's epoch that it never gave: it is a copy or an older state of a store that went on"
    )]
    Overtaken,
    /// The store's files were deleted, moved or replaced.
    #[error("{0}")]
    StoreDisplaced(Displaced),
    /// The store is damaged: the next start salvages it.
    #[error("the store is damaged")]
    StoreDamaged(#[source] StoreError),
}

/// The running committer.
pub struct Committer {
    thread: JoinHandle<Result<(), CommitterEnd>>,
    stopping: watch::Sender<bool>,
    drained: watch::Receiver<bool>,
}

impl Committer {
    /// The gateway stops: from now on nothing waits for a store that takes nothing. What it does not take is given up,
    /// and its messages stay unacknowledged.
    pub fn stopping(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until all producers are dropped and their requests are committed or given up.
    pub async fn drained(&self) {
        // A dropped sender means that the thread has ended.
        drop(self.drained.clone().wait_for(|&drained| drained).await);
    }

    /// Waits until all producers are dropped and everything is durable. Blocks until then. What a full store does
    /// not take once all ends are dropped is given up, as after [`Committer::stopping`].
    ///
    /// # Errors
    /// The store failed for too long, or is damaged.
    pub fn join(self) -> Result<(), CommitterEnd> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Waits until the thread has ended by itself.
    pub async fn ended(&self) {
        self.stopping.closed().await;
    }
}

/// Starts the committer's thread. It ends when every [`CommitHandle`] and [`StoreHandle`] is dropped. `causes`: of
/// messages that the source's brokers may send again. `board` and `committed` see each verdict once it is durable.
///
/// # Panics
/// If the operating system gives no thread.
#[expect(clippy::too_many_arguments, reason = "each is one end that the committer is connected to")]
pub fn start<S, E, R>(
    store: S,
    encoder: E,
    gateway: GatewayId,
    (source, causes): (R, &[Cause]),
    counters: Arc<Counters>,
    clock: Clock,
    lives: Retention,
    (board, committed): (Arc<LastWords>, Option<Committed>),
) -> (Committer, CommitHandle, StoreHandle)
where
    S: Store + 'static,
    E: Encoder + 'static,
    R: Source + 'static,
{
    let (commit_queue, commits) = mpsc::channel(COMMIT_QUEUE);
    let (store_queue, requests) = mpsc::channel(STORE_QUEUE);
    let heads = watch::Sender::new(worker::heads_of(&store));
    let state = watch::Sender::new(StoreState::Works);
    let provisional = broadcast::Sender::new(PROVISIONAL_QUEUE);
    let (stopping, stopped) = watch::channel(false);
    let (drained, is_drained) = watch::channel(false);
    let handle = StoreHandle {
        queue: store_queue,
        heads: heads.subscribe(),
        state: state.subscribe(),
        provisional: provisional.clone(),
        life: Arc::new(store.life()),
    };
    let raised = RaisedCounts::of(board.raised_before());
    let worker = CommitWorker {
        store,
        encoder,
        gateway,
        source,
        beat: counters.beats.join_as_store(THREAD),
        counters,
        clock,
        wall_clock: WallClock::of(clock),
        lives,
        board,
        committed,
        heads,
        state,
        provisional,
        arena: Vec::new(),
        waiting: Vec::new(),
        unacknowledged: Unacknowledged::of_earlier_runs(causes),
        acknowledged: Vec::new(),
        highest_number: EventNumber(0),
        raised,
        announced: 0,
        unflushed: false,
        fault_since: None,
        given_up: GivenUp::default(),
    };
    let thread = std::thread::Builder::new()
        .name(THREAD.to_owned())
        .spawn(move || worker.run(commits, requests, stopped, drained))
        .expect("the operating system gives a gateway its few threads");
    (Committer { thread, stopping, drained: is_drained }, CommitHandle { queue: commit_queue }, handle)
}
