//! The one thread that owns the store: verdicts get their identity here, become durable, and only then are
//! seen by anyone.
//!
//! Group commit without a timer: whatever waits is committed together as soon as the store is free. While
//! the store is full or faulty nothing is dropped: producers wait, deliveries go on (they are what makes
//! room).

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use verge_domain::id::{Epoch, GatewayId, Identity, Lane, RouteId, Seq};
use verge_domain::reading::Receipt;
use verge_domain::stage::{Checkpoint, Encoder, NewRow, Source, Store, StoreError, StoreUsage, StoredRow};
use verge_domain::time::{Monotonic, UtcMillis};
use verge_domain::verdict::Verdict;

use crate::clock::Clock;
use crate::counters::Counters;

/// Requests that wait for the store at most; past that, producers wait.
pub const COMMIT_QUEUE: usize = 4_096;
/// Reads and marks of deliveries that wait at most.
const READ_QUEUE: usize = 64;
/// Marks that no commit has carried become durable after this long.
const MARK_FLUSH: Duration = Duration::from_millis(100);
/// How often delivered verdicts past the replay window are evicted.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Pause between attempts while the store is full or faulty.
const RETRY: Duration = Duration::from_secs(1);
/// A store that has failed for this long is given up: the process ends with a temporary fault, so that its
/// supervisor starts it afresh.
const FAULT_LIMIT: Duration = Duration::from_secs(60);

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
}

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

/// What deliveries and the status ask of the store.
enum ReadRequest {
    Fetch { lane: Lane, after: Seq, max_rows: usize, max_bytes: usize, reply: oneshot::Sender<Fetched> },
    Mark { route: RouteId, lane: Lane, upto: Seq },
    Usage { reply: oneshot::Sender<StoreUsage> },
}

/// What a fetch gave.
pub type Fetched = Result<Vec<StoredRow>, StoreError>;

/// The deliveries' end; clones share it.
#[derive(Clone)]
pub struct StoreHandle {
    queue: mpsc::Sender<ReadRequest>,
    heads: watch::Receiver<[Seq; 3]>,
    epoch: Epoch,
}

impl StoreHandle {
    /// Reads committed verdicts, see [`Store::fetch`]. `None` once the committer has ended.
    pub async fn fetch(&self, lane: Lane, after: Seq, max_rows: usize, max_bytes: usize) -> Option<Fetched> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(ReadRequest::Fetch { lane, after, max_rows, max_bytes, reply }).await.ok()?;
        answer.await.ok()
    }

    /// Notes what a route has delivered, see [`Store::mark`].
    pub async fn mark(&self, route: &RouteId, lane: Lane, upto: Seq) {
        let request = ReadRequest::Mark { route: route.clone(), lane, upto };
        // A mark lost at the end of the process causes duplicates, which identity makes harmless.
        drop(self.queue.send(request).await);
    }

    /// How full the store is. `None` once the committer has ended.
    pub async fn usage(&self) -> Option<StoreUsage> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(ReadRequest::Usage { reply }).await.ok()?;
        answer.await.ok()
    }

    /// The newest committed number of each lane, and changes of it.
    #[must_use]
    pub fn heads(&self) -> watch::Receiver<[Seq; 3]> {
        self.heads.clone()
    }

    /// Epoch of the store.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// Why the committer ended.
#[derive(Debug, thiserror::Error)]
pub enum CommitterEnd {
    /// The store failed for too long.
    #[error("the store has failed for {} s", FAULT_LIMIT.as_secs())]
    StoreFault(#[source] StoreError),
}

/// The running committer.
pub struct Committer {
    thread: JoinHandle<Result<(), CommitterEnd>>,
}

impl Committer {
    /// Waits until all producers are gone and everything is durable. Blocks until then.
    ///
    /// # Errors
    /// The store failed for too long.
    pub fn join(self) -> Result<(), CommitterEnd> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Whether the thread has ended by itself.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts the committer's thread. It ends when every [`CommitHandle`] and [`StoreHandle`] is dropped.
///
/// # Panics
/// If the operating system gives no thread.
pub fn start<S, E, R>(
    store: S,
    encoder: E,
    gateway: GatewayId,
    source: R,
    counters: Arc<Counters>,
    clock: Clock,
) -> (Committer, CommitHandle, StoreHandle)
where
    S: Store + 'static,
    E: Encoder + 'static,
    R: Source + 'static,
{
    let (commit_queue, commits) = mpsc::channel(COMMIT_QUEUE);
    let (read_queue, reads) = mpsc::channel(READ_QUEUE);
    let heads = watch::Sender::new(heads_of(&store));
    let handle = StoreHandle { queue: read_queue, heads: heads.subscribe(), epoch: store.epoch() };
    let worker = Worker {
        store,
        encoder,
        gateway,
        source,
        counters,
        clock,
        heads,
        arena: Vec::new(),
        waiting: Vec::new(),
        unflushed_marks: false,
        fault_since: None,
    };
    let thread = std::thread::Builder::new()
        .name("verge-store".to_owned())
        .spawn(move || worker.run(commits, reads))
        .expect("the operating system gives a gateway its few threads");
    (Committer { thread }, CommitHandle { queue: commit_queue }, handle)
}

fn heads_of(store: &impl Store) -> [Seq; 3] {
    Lane::ALL.map(|lane| Seq(store.next_seq(lane).0 - 1))
}

struct Worker<S, E, R> {
    store: S,
    encoder: E,
    gateway: GatewayId,
    source: R,
    counters: Arc<Counters>,
    clock: Clock,
    heads: watch::Sender<[Seq; 3]>,
    /// Encoded verdicts of the commit in hand, end to end.
    arena: Vec<u8>,
    /// Requests of the commit in hand: kept until they are durable.
    waiting: Vec<CommitRequest>,
    unflushed_marks: bool,
    fault_since: Option<Instant>,
}

impl<S: Store, E: Encoder, R: Source> Worker<S, E, R> {
    fn run(
        mut self,
        mut commits: mpsc::Receiver<CommitRequest>,
        mut reads: mpsc::Receiver<ReadRequest>,
    ) -> Result<(), CommitterEnd> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime with timers needs nothing that can be missing");
        runtime.block_on(async move {
            let mut next_sweep = tokio::time::Instant::now() + SWEEP_EVERY;
            let mut next_flush = next_sweep;
            let mut next_try = tokio::time::Instant::now();
            let mut producing = true;
            let mut reading = true;
            while producing || reading || !self.waiting.is_empty() {
                let blocked = !self.waiting.is_empty();
                tokio::select! {
                    request = reads.recv(), if reading => match request {
                        Some(request) => {
                            let marked = matches!(request, ReadRequest::Mark { .. });
                            if marked && !self.unflushed_marks {
                                next_flush = tokio::time::Instant::now() + MARK_FLUSH;
                            }
                            self.unflushed_marks |= marked;
                            self.read(request);
                        }
                        None => reading = false,
                    },
                    request = commits.recv(), if producing && !blocked => match request {
                        Some(request) => {
                            self.waiting.push(request);
                            while self.waiting.len() < COMMIT_QUEUE {
                                let Ok(request) = commits.try_recv() else { break };
                                self.waiting.push(request);
                            }
                            self.commit()?;
                            next_try = tokio::time::Instant::now() + RETRY;
                        }
                        None => producing = false,
                    },
                    () = tokio::time::sleep_until(next_try), if blocked => {
                        self.commit()?;
                        next_try = tokio::time::Instant::now() + RETRY;
                    }
                    () = tokio::time::sleep_until(next_flush), if self.unflushed_marks => self.sweep(),
                    () = tokio::time::sleep_until(next_sweep) => {
                        self.sweep();
                        next_sweep = tokio::time::Instant::now() + SWEEP_EVERY;
                    }
                }
            }
            self.sweep();
            Ok(())
        })
    }

    /// Commits what waits. A failure keeps it waiting; only a failure that lasts ends the committer.
    fn commit(&mut self) -> Result<(), CommitterEnd> {
        match self.try_commit() {
            Ok(()) => {
                if self.fault_since.take().is_some() {
                    tracing::warn!("the store works again");
                }
                self.counters.store_state(false, false);
                Ok(())
            }
            Err(error @ StoreError::Full { .. }) => {
                if !self.counters.store_full() {
                    tracing::error!(%error, "no verdicts are made until upstream has taken some");
                }
                self.counters.store_state(false, true);
                self.sweep();
                Ok(())
            }
            Err(error) => {
                self.counters.store_faults_total.add(1);
                self.counters.store_state(true, false);
                let since = *self.fault_since.get_or_insert_with(|| {
                    tracing::error!(%error, "storage fault: nothing is acknowledged until the store works again");
                    Instant::now()
                });
                if since.elapsed() >= FAULT_LIMIT { Err(CommitterEnd::StoreFault(error)) } else { Ok(()) }
            }
        }
    }

    fn try_commit(&mut self) -> Result<(), StoreError> {
        let planned = self.encode();
        let mut rows = Vec::with_capacity(planned.len());
        let mut start = 0;
        for row in &planned {
            let bytes = &self.arena[start..row.end];
            rows.push(NewRow { lane: row.lane, seq: row.seq, decided: row.decided, cause: row.cause, bytes });
            start = row.end;
        }
        let checkpoints = last_of_each(&self.waiting);
        self.store.commit(&rows, &checkpoints)?;
        if !rows.is_empty() || !checkpoints.is_empty() {
            self.unflushed_marks = false;
        }
        if !rows.is_empty() {
            self.counters.commits_total.add(1);
            for row in &rows {
                self.counters.committed_total[row.lane.index()].add(1);
            }
            self.heads.send_replace(heads_of(&self.store));
            let now = self.clock.now().mono;
            self.counters.commit_latency.note(
                self.waiting
                    .iter()
                    .filter(|request| !request.verdicts.is_empty())
                    .map(|request| now.since(request.received)),
            );
        }
        let receipts: Vec<Receipt> = self.waiting.drain(..).filter_map(|request| request.receipt).collect();
        if !receipts.is_empty() {
            self.source.settle(&receipts);
        }
        Ok(())
    }

    /// Gives every waiting verdict its identity and encodes it into the arena.
    fn encode(&mut self) -> Vec<PlannedRow> {
        self.arena.clear();
        let mut next = Lane::ALL.map(|lane| self.store.next_seq(lane));
        let epoch = self.store.epoch();
        let mut planned = Vec::new();
        for request in &self.waiting {
            for verdict in &request.verdicts {
                let lane = verdict.lane;
                let seq = next[lane.index()];
                let identity = Identity { gateway: self.gateway.clone(), epoch, lane, seq };
                let start = self.arena.len();
                if let Err(error) = self.encoder.verdict(&identity, verdict, &mut self.arena) {
                    self.arena.truncate(start);
                    self.counters.encode_failures_total.add(1);
                    tracing::error!(judge = %verdict.judge, %error, "a verdict was lost: it cannot be encoded");
                    continue;
                }
                next[lane.index()] = seq.next();
                let decided = verdict.times.decided;
                planned.push(PlannedRow { lane, seq, decided, cause: request.cause, end: self.arena.len() });
            }
        }
        planned
    }

    fn read(&mut self, request: ReadRequest) {
        match request {
            ReadRequest::Fetch { lane, after, max_rows, max_bytes, reply } => {
                let mut rows = Vec::new();
                let fetched = self.store.fetch(lane, after, max_rows, max_bytes, &mut rows).map(|()| rows);
                // A delivery that has gone away in the meantime needs no answer.
                drop(reply.send(fetched));
            }
            ReadRequest::Mark { route, lane, upto } => {
                if let Err(error) = self.store.mark(&route, lane, upto) {
                    self.fault(&error, "a mark of delivery was not noted: duplicates may follow");
                }
            }
            ReadRequest::Usage { reply } => match self.store.usage() {
                Ok(usage) => drop(reply.send(usage)),
                Err(error) => self.fault(&error, "the store's size cannot be read"),
            },
        }
    }

    fn sweep(&mut self) {
        self.unflushed_marks = false;
        match self.store.sweep(self.clock.now().wall) {
            Ok(evicted) => self.counters.evicted_total.add(evicted),
            Err(error) => self.fault(&error, "housekeeping of the store failed"),
        }
    }

    fn fault(&self, error: &StoreError, what: &str) {
        self.counters.store_faults_total.add(1);
        tracing::error!(%error, "{what}");
    }
}

struct PlannedRow {
    lane: Lane,
    seq: Seq,
    decided: UtcMillis,
    cause: u64,
    /// End of its bytes in the arena.
    end: usize,
}

/// Several checkpoints of one key in a commit: only the last counts.
fn last_of_each(requests: &[CommitRequest]) -> Vec<Checkpoint> {
    let mut last: Vec<Checkpoint> = Vec::new();
    let mut index_of = std::collections::HashMap::new();
    for checkpoint in requests.iter().flat_map(|request| &request.checkpoints) {
        let index = *index_of.entry(checkpoint.key.as_str()).or_insert(last.len());
        if index == last.len() {
            last.push(checkpoint.clone());
        } else {
            last[index].state.clone_from(&checkpoint.state);
        }
    }
    last
}
