//! The thread that owns the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, watch};
use verge_domain::id::{EventNumber, GatewayId, Lane, Seq};
use verge_domain::reading::{Acknowledged, Receipt};
use verge_domain::stage::{Encoder, Source, Store, StoreError, StoredRow};

use super::handle::StoreRequest;
use super::plan;
use super::unacknowledged::Unacknowledged;
use super::wall_clock::WallClock;
use super::{
    COMMIT_QUEUE, CommitRequest, Committed, CommitterEnd, Durable, FAULT_LIMIT, Retention, STATES_PER_COMMIT,
    StoreLedger, StoreState,
};
use crate::beats::Beat;
use crate::board::LastWords;
use crate::clock::Clock;
use crate::counters::{Counters, StoreAccount};
use crate::judging::{RaisedCounts, saved_counts, saved_number};

/// Marks that no commit has carried become durable after this long.
const FLUSH: Duration = Duration::from_millis(100);
/// How often delivered verdicts past the replay window are evicted, and useful lives are checked.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Pause between two passes over verdicts past their useful life, where one was not enough.
const LIVES_PAUSE: Duration = Duration::from_millis(100);
/// How often to check that the store's files are in their place.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// To open the store again it is checked as a whole: minutes for gigabytes on a slow card.
const RECOVERY: Duration = Duration::from_secs(600);
/// A write waits for the medium, which has its own pauses, and with it for a checkpoint.
const WRITE: Duration = Duration::from_secs(60);
/// Pause between attempts while the store is full or has failed.
const RETRY: Duration = Duration::from_secs(1);

pub(super) fn heads_of(store: &impl Store) -> [Seq; 3] {
    Lane::ALL.map(|lane| Seq(store.next_seq(lane).0.saturating_sub(1)))
}

pub(super) struct CommitWorker<S, E, R> {
    pub(super) store: S,
    pub(super) encoder: E,
    pub(super) gateway: GatewayId,
    pub(super) source: R,
    pub(super) counters: Arc<Counters>,
    pub(super) beat: Arc<Beat>,
    pub(super) clock: Clock,
    pub(super) wall_clock: WallClock,
    pub(super) lives: Retention,
    pub(super) board: Arc<LastWords>,
    pub(super) committed: Option<Committed>,
    pub(super) heads: watch::Sender<[Seq; 3]>,
    pub(super) state: watch::Sender<StoreState>,
    pub(super) provisional: broadcast::Sender<StoredRow>,
    /// Encoded verdicts of the commit in hand, end to end.
    pub(super) arena: Vec<u8>,
    /// Requests of the commit in hand: kept until they are durable.
    pub(super) waiting: Vec<CommitRequest>,
    pub(super) unacknowledged: Unacknowledged,
    /// What the source reports as acknowledged; kept for its memory.
    pub(super) acknowledged: Vec<Acknowledged>,
    /// The highest number of an event committed by this run.
    pub(super) highest_number: EventNumber,
    pub(super) raised: RaisedCounts,
    /// Number of these requests whose alarms were shown upstream during the present fault.
    pub(super) announced: usize,
    /// Marks and bytes sent that are not durable yet.
    pub(super) unflushed: bool,
    pub(super) fault_since: Option<Instant>,
    pub(super) given_up: GivenUp,
}

/// What a store did not take before the end.
#[derive(Default)]
pub(super) struct GivenUp {
    verdicts: usize,
    /// Messages that stay unacknowledged, so that their broker delivers them again.
    unacknowledged: usize,
}

impl<S: Store, E: Encoder, R: Source> CommitWorker<S, E, R> {
    pub(super) fn run(
        mut self,
        commits: mpsc::Receiver<CommitRequest>,
        requests: mpsc::Receiver<StoreRequest>,
        stopping: watch::Receiver<bool>,
        drained: watch::Sender<bool>,
    ) -> Result<(), CommitterEnd> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime with timers needs nothing that can be missing");
        let ended = runtime.block_on(self.serve(commits, requests, stopping, drained));
        if let Err(end) = &ended {
            tracing::error!(error = %end, "the store is given up; what is committed is kept");
        }
        ended
    }

    async fn serve(
        &mut self,
        mut commits: mpsc::Receiver<CommitRequest>,
        mut requests: mpsc::Receiver<StoreRequest>,
        mut stopping: watch::Receiver<bool>,
        drained: watch::Sender<bool>,
    ) -> Result<(), CommitterEnd> {
        self.note_account()?;
        let start = tokio::time::Instant::now();
        let (mut next_sweep, mut next_flush, mut next_try) = (start + SWEEP_EVERY, start, start);
        let mut next_lives = start + SWEEP_EVERY;
        let mut next_look = start + LOOK_EVERY;
        let (mut producing, mut serving) = (true, true);
        let mut released = false;
        while producing || serving {
            self.beat.beat();
            let failed = self.fault_since.is_some();
            let blocked = failed || !self.waiting.is_empty();
            // While the store has failed, alarms must still be shown: requests are taken, as far as there is room.
            let taking = producing && (!blocked || failed && self.waiting.len() < COMMIT_QUEUE);
            if tokio::time::Instant::now() >= next_look {
                self.store.in_place().map_err(CommitterEnd::StoreDisplaced)?;
                self.note_acknowledged();
                self.mark_estimated();
                self.counters.store_looks_total.add(u64::from(!blocked));
                next_look = tokio::time::Instant::now() + LOOK_EVERY;
            }
            tokio::select! {
                () = tokio::time::sleep_until(next_look) => {}
                request = requests.recv(), if serving => match request {
                    Some(request) => {
                        let clean = !self.unflushed;
                        self.within(WRITE, |worker| worker.answer(request))?;
                        if clean && self.unflushed {
                            next_flush = tokio::time::Instant::now() + FLUSH;
                        }
                    }
                    None => serving = false,
                },
                request = commits.recv(), if taking => match request {
                    Some(request) => {
                        let mut states = request.state_bytes();
                        self.waiting.push(request);
                        while self.waiting.len() < COMMIT_QUEUE && states < STATES_PER_COMMIT {
                            let Ok(request) = commits.try_recv() else { break };
                            states += request.state_bytes();
                            self.waiting.push(request);
                        }
                        if failed {
                            self.announce();
                        } else {
                            self.commit()?;
                            next_try = tokio::time::Instant::now() + RETRY;
                        }
                    }
                    None => {
                        producing = false;
                        drained.send_replace(true);
                    }
                },
                // A sender that was dropped can no longer report a stop: that is a stop, too.
                _ = stopping.wait_for(|&stopping| stopping), if blocked && !released => {
                    released = true;
                    self.retry()?;
                }
                () = tokio::time::sleep_until(next_try), if blocked => {
                    self.retry()?;
                    next_try = tokio::time::Instant::now() + RETRY;
                }
                () = tokio::time::sleep_until(next_flush), if self.unflushed && !failed => self.sweep()?,
                () = tokio::time::sleep_until(next_sweep), if !failed => {
                    self.sweep()?;
                    self.note_account()?;
                    next_sweep = tokio::time::Instant::now() + SWEEP_EVERY;
                }
                () = tokio::time::sleep_until(next_lives), if !failed => {
                    let more = self.pass_over_lives()?;
                    next_lives = tokio::time::Instant::now() + if more { LIVES_PAUSE } else { SWEEP_EVERY };
                }
            }
            if released && (self.fault_since.is_some() || !self.waiting.is_empty()) {
                self.give_up();
            }
            // Nothing is left that could make room.
            let stuck = self.fault_since.is_some() || !self.waiting.is_empty();
            if stuck && !serving && commits.is_closed() {
                break;
            }
        }
        self.store.in_place().map_err(CommitterEnd::StoreDisplaced)?;
        while let Ok(request) = commits.try_recv() {
            self.waiting.push(request);
        }
        if !self.waiting.is_empty() {
            self.retry()?;
        }
        self.note_acknowledged();
        self.sweep()?;
        self.give_up();
        let GivenUp { verdicts, unacknowledged } = self.given_up;
        if verdicts > 0 {
            tracing::error!(
                verdicts,
                unacknowledged_messages = unacknowledged,
                "stopped while the store took nothing: these verdicts are not stored; what was not acknowledged comes \
                 again, what came at QoS 0 does not"
            );
        }
        Ok(())
    }

    /// Does what may take this long without being a hang.
    fn within<T>(&mut self, limit: Duration, work: impl FnOnce(&mut Self) -> T) -> T {
        self.beat.allow(limit);
        let done = work(self);
        self.beat.done();
        done
    }

    /// Gives up the requests that wait for a store that takes nothing.
    fn give_up(&mut self) {
        for request in self.waiting.drain(..) {
            self.given_up.verdicts += request.verdicts.len();
            self.given_up.unacknowledged += usize::from(request.receipt.is_some());
        }
        self.announced = 0;
    }

    /// Repeats what failed: opens a failed store again, then commits what waits.
    fn retry(&mut self) -> Result<(), CommitterEnd> {
        if self.fault_since.is_some()
            && let Err(error) = self.within(RECOVERY, |worker| worker.store.recover())
        {
            return self.failed(error, "the store does not come back yet");
        }
        if self.waiting.is_empty() {
            self.set_state(StoreState::Works);
            return Ok(());
        }
        self.commit()
    }

    /// Commits what waits. After a failure it waits on; only a lasting failure ends the committer.
    fn commit(&mut self) -> Result<(), CommitterEnd> {
        match self.within(WRITE, Self::try_commit) {
            Ok(()) => {
                self.set_state(StoreState::Works);
                Ok(())
            }
            Err(error @ (StoreError::Full { .. } | StoreError::DiskFull { .. })) => {
                if !self.counters.store_full() {
                    let until = match error {
                        StoreError::DiskFull { .. } => "there is room on the disk",
                        _ => "upstream has taken verdicts",
                    };
                    tracing::error!("{error}; judging is paused until {until}");
                }
                self.set_state(StoreState::Full);
                self.sweep()
            }
            Err(error) => self.failed(error, "verdicts cannot be committed"),
        }
    }

    fn try_commit(&mut self) -> Result<(), StoreError> {
        self.mark_estimated();
        let planned = plan::encode(
            &mut self.encoder,
            &self.gateway,
            self.store.epoch(),
            Lane::ALL.map(|lane| self.store.next_seq(lane)),
            &self.waiting,
            &mut self.arena,
            &self.counters.encode_failures_total,
        );
        let rows = plan::rows(&planned, &self.arena);
        let mut checkpoints = plan::last_of_each(&self.waiting);
        // With the event that has it: no number is given twice.
        let highest = plan::highest_number(&self.waiting).filter(|number| *number > self.highest_number);
        checkpoints.extend(highest.map(saved_number));
        let raised = self.raised.after(self.waiting.iter().flat_map(|request| &request.verdicts));
        checkpoints.extend(saved_counts(&raised));
        self.store.commit(&rows, &checkpoints)?;
        self.highest_number = highest.unwrap_or(self.highest_number);
        self.raised.take_up(raised);
        for row in &planned {
            self.unacknowledged.committed(row.cause, row.receipt, row.lane, row.seq);
        }
        if !rows.is_empty() || !checkpoints.is_empty() {
            self.unflushed = false;
        }
        if !rows.is_empty() {
            self.counters.commits_total.add(1);
            for row in &rows {
                self.counters.committed_total[row.lane.index()].add(1);
            }
            let now = self.clock.now().mono;
            self.counters.commit_latency.note(
                self.waiting
                    .iter()
                    .filter(|request| !request.verdicts.is_empty())
                    .map(|request| now.since(request.received)),
            );
            self.show(&planned);
            self.heads.send_replace(heads_of(&self.store));
            self.note_bounds();
        }
        self.announced = 0;
        let (mut receipts, mut durable): (Vec<Receipt>, _) = (Vec::new(), Vec::new());
        for request in self.waiting.drain(..) {
            receipts.extend(request.receipt);
            durable.extend(request.durable);
        }
        if !receipts.is_empty() {
            self.source.settle(&receipts);
        }
        durable.into_iter().for_each(Durable::call);
        Ok(())
    }

    fn pass_over_lives(&mut self) -> Result<bool, CommitterEnd> {
        match self.within(WRITE, Self::end_lives) {
            Ok(more) => Ok(more),
            Err(error) => {
                self.failed(error, "verdicts past their useful life were not summarised").map(|()| false)
            }
        }
    }

    fn sweep(&mut self) -> Result<(), CommitterEnd> {
        self.unflushed = false;
        let now = self.clock.now().mono;
        let swept = self.within(WRITE, |worker| worker.store.sweep(now)).map(|evicted| {
            self.counters.evicted_total.add(evicted);
            self.note_bounds();
        });
        self.done(swept, "housekeeping of the store failed")
    }

    /// Records which messages the broker will not send again.
    fn note_acknowledged(&mut self) {
        self.acknowledged.clear();
        self.source.acknowledged(&mut self.acknowledged);
        let last = heads_of(&self.store);
        let store = &mut self.store;
        self.unacknowledged
            .advance(&self.acknowledged, last, |session, upto| store.note_acknowledged(session, upto));
    }

    /// What the status reports of the store.
    fn note_account(&mut self) -> Result<(), CommitterEnd> {
        let noted = self.store.usage().map(|usage| {
            let StoreLedger { oldest, last, usage, .. } = self.ledger(usage);
            self.counters.note_store(StoreAccount { oldest, last, usage });
        });
        self.done(noted, "the store's size cannot be read")
    }

    fn note_bounds(&self) {
        let oldest = Lane::ALL.map(|lane| self.store.oldest(lane));
        self.counters.note_store_bounds(oldest, heads_of(&self.store));
    }

    pub(super) fn done(&mut self, result: Result<(), StoreError>, what: &str) -> Result<(), CommitterEnd> {
        result.or_else(|error| self.failed(error, what))
    }

    /// A failed store is not trusted before it is opened again; a damaged one is left for the next
    /// process to salvage.
    pub(super) fn failed(&mut self, error: StoreError, what: &str) -> Result<(), CommitterEnd> {
        self.counters.store_faults_total.add(1);
        if matches!(error, StoreError::Damaged(_)) {
            return Err(CommitterEnd::StoreDamaged(error));
        }
        let since = *self.fault_since.get_or_insert_with(|| {
            tracing::error!(%error, "storage fault: {what}; nothing is acknowledged until the store works again");
            Instant::now()
        });
        if since.elapsed() >= FAULT_LIMIT {
            return Err(CommitterEnd::StoreFault(error));
        }
        self.set_state(StoreState::Failed);
        self.announce();
        Ok(())
    }

    fn set_state(&mut self, state: StoreState) {
        if state != StoreState::Failed && self.fault_since.take().is_some() {
            tracing::warn!("the store works again");
            self.announced = 0;
        }
        self.counters.store_state(state == StoreState::Failed, state == StoreState::Full);
        self.state.send_if_modified(|before| std::mem::replace(before, state) != state);
    }
}
