//! The frames' way: each camera keeps its newest frame, workers take the camera that is most due, and what a worker
//! sees goes through report policy to the committer, or as an observation to the judges over readings.
//!
//! Nothing here blocks a connection: a frame that finds no room takes the place of an older one, which is counted.
//! Sources that judge every frame have a bounded queue instead, and their connection stops when it is full.

mod decide;
mod schedule;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use verge_domain::frame::{EncodedFrame, View};
use verge_domain::id::DeviceId;
use verge_domain::reading::{Acknowledged, Decoded, Inbound, Receipt, Session, SourceIndex};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::{Cause, Decoder, Intake, IntakeFull, Source, Viewer};
use verge_domain::time::{Moment, Monotonic};

use crate::clock::Clock;
use crate::committer::{CommitHandle, CommitRequest};
use crate::counters::Counters;
use crate::intake::{Observations, Observed, Redeliveries};
pub use decide::{Decided, FrameBench, FrameJudgeSpec, Reports};
pub use schedule::{EVERY_CAPACITY, FrameSourceSpec, Keep, MAX_CAMERAS, MAX_WAITING_BYTES};
use schedule::{Job, Late, Schedule};

/// A worker whose viewer cannot be made again after a fault waits this long before it tries once more.
const REBUILD_PAUSE: Duration = Duration::from_secs(5);

/// While the store is full no frame is judged; it is looked at again this often.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// A worker without a frame for this long gives the buffers of its viewer back.
const REST_AFTER: Duration = Duration::from_secs(10);

/// A model that is at work on a frame of a source that judges every frame for longer than this hangs.
const EVERY_LIMIT: Duration = Duration::from_secs(60);

/// What cameras, sources and workers share.
struct Shared<M> {
    line: Mutex<Line<M>>,
    /// A frame has come, or the end.
    changed: Condvar,
    counters: Arc<Counters>,
    bench: FrameBench,
}

struct Line<M> {
    schedule: Schedule<M>,
    recent: Redeliveries,
    stopping: bool,
}

/// The frames' queue before its workers run.
pub struct FrameQueue<M> {
    shared: Arc<Shared<M>>,
}

impl<M: Default + Send + 'static> FrameQueue<M> {
    /// An empty queue for these sources, by index; `None` for a source that carries no frames.
    #[must_use]
    pub fn new(
        bench: FrameBench,
        sources: Vec<Option<FrameSourceSpec>>,
        counters: Arc<Counters>,
        causes: &[Cause],
    ) -> Self {
        let line = Line {
            schedule: Schedule::new(sources),
            recent: Redeliveries::new(Session::Frames, causes),
            stopping: false,
        };
        Self { shared: Arc::new(Shared { line: Mutex::new(line), changed: Condvar::new(), counters, bench }) }
    }

    /// The way in for one connection.
    #[must_use]
    pub fn intake<D: Decoder<Item = EncodedFrame>>(
        &self,
        decoder: D,
        observations: &Observations,
    ) -> FrameIntake<D, M> {
        let (shared, observations) = (Arc::clone(&self.shared), observations.clone());
        FrameIntake { shared, decoder, decoded: Decoded::default(), observations }
    }

    /// The cameras that are known, for the status.
    #[must_use]
    pub fn cameras(&self) -> Cameras<M> {
        Cameras(Arc::clone(&self.shared))
    }

    /// Starts workers, one for each viewer. `make` makes a new viewer where a worker has lost its own to a fault.
    ///
    /// # Panics
    /// If the operating system gives no thread.
    pub fn start<V>(
        self,
        viewers: Vec<V>,
        make: impl Fn() -> Option<V> + Send + Sync + 'static,
        commits: &CommitHandle,
        observations: &Observations,
        clock: Clock,
    ) -> FrameWorkers<M>
    where
        V: Viewer<Memory = M> + 'static,
    {
        let make = Arc::new(make);
        let threads = viewers
            .into_iter()
            .enumerate()
            .map(|(number, viewer)| {
                let mut worker = Worker {
                    shared: Arc::clone(&self.shared),
                    viewer: Some(viewer),
                    make: Arc::clone(&make),
                    commits: commits.clone(),
                    observations: observations.clone(),
                    clock,
                    views: Vec::new(),
                    is_rested: true,
                };
                std::thread::Builder::new()
                    .name(format!("verge-worker-{number}"))
                    .spawn(move || worker.run())
                    .expect("the operating system gives a gateway its few threads")
            })
            .collect();
        FrameWorkers { shared: self.shared, threads }
    }
}

/// The way in for the frames of one connection.
pub struct FrameIntake<D, M> {
    shared: Arc<Shared<M>>,
    decoder: D,
    decoded: Decoded<EncodedFrame>,
    observations: Observations,
}

impl<D: Decoder<Item = EncodedFrame>, M: Default + Send> Intake for FrameIntake<D, M> {
    /// Unwraps the message's frame and puts it in its camera's place. A source that judges every frame may find no room.
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
        let Some(source) = self.shared.counters.source(message.source) else { return Ok(()) };
        if self.shared.lock().schedule.is_full(message.source) {
            return Err(IntakeFull(message));
        }
        source.messages_received_total.add(1);
        source.bytes_received_total.add((message.topic.len() + message.payload.len()) as u64);
        source.received_at(message.received.wall);
        let cause = message.receipt.map_or(0, |_| Session::Frames.cause(message.fingerprint()));
        self.decoder.decode(&message, &mut self.decoded);
        for rejection in &self.decoded.rejections {
            source.refuse(&message.topic, Some(message.payload.len()), rejection);
        }
        for change in &self.decoded.clock_offsets {
            source.clock_offsets.note(&source.name, change);
        }
        let mut line = self.shared.lock();
        let known = line.recent.recognise(&message, cause);
        if message.redelivered && !known {
            source.messages_redelivered_total.add(1);
        }
        let refused = match self.decoded.items.pop() {
            _ if known => Some(Reason::Duplicate),
            None => None,
            Some(frame) => {
                let judges =
                    |frame: &EncodedFrame| self.shared.bench.judges_of(message.source, &frame.device);
                let Inbound { source: index, received, receipt, .. } = message;
                let arrival = self.shared.bench.is_watched(index).then(|| frame.arrival());
                match line.schedule.offer(index, frame, received, receipt, cause, judges) {
                    Ok(superseded) => {
                        // Before a worker can have the frame: what it causes is judged behind its arrival.
                        if let Some(arrival) = arrival {
                            self.observations.note_arrival(index, arrival, received);
                        }
                        drop(line);
                        for index in superseded {
                            if let Some(source) = self.shared.counters.source(index) {
                                source.messages_superseded_total.add(1);
                            }
                        }
                        self.shared.changed.notify_one();
                        return Ok(());
                    }
                    Err(reason) => Some(reason),
                }
            }
        };
        if let Some(reason) = refused {
            source.refuse(&message.topic, Some(message.payload.len()), &Rejection::whole(reason));
        }
        source.messages_refused_total.add(1);
        if let Some(receipt) = message.receipt {
            // Settled by a worker, in its turn.
            line.schedule.settle_later(Some(receipt), message.received);
            drop(line);
            self.shared.changed.notify_one();
        }
        Ok(())
    }
}

impl<D, M: Default> FrameIntake<D, M> {
    /// Whether a source that judges every frame does well to wait: soon [`Intake::offer`] refuses.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.shared.lock().schedule.is_crowded()
    }
}

impl<M> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, Line<M>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cameras that frames have come from; clones share them.
pub struct Cameras<M>(Arc<Shared<M>>);

impl<M> Cameras<M> {
    /// Source, device, and the time since the newest frame, of each camera that is known.
    #[must_use]
    pub fn ages(&self, now: Monotonic) -> Vec<(SourceIndex, DeviceId, Duration)> {
        self.0.lock().schedule.ages(now)
    }
}

/// The running workers.
pub struct FrameWorkers<M> {
    shared: Arc<Shared<M>>,
    threads: Vec<JoinHandle<()>>,
}

impl<M> FrameWorkers<M> {
    /// Lets each worker finish the frame it has in hand, and ends. Blocks until then. Frames that wait are given up:
    /// those of QoS 1 are not acknowledged and come again.
    pub fn stop(self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }

    /// Whether a worker has ended by itself.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Cameras known now, and frames that wait.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let line = self.shared.lock();
        (line.schedule.cameras(), line.schedule.waiting())
    }
}

struct Worker<V: Viewer, F> {
    shared: Arc<Shared<V::Memory>>,
    viewer: Option<V>,
    make: Arc<F>,
    commits: CommitHandle,
    observations: Observations,
    clock: Clock,
    views: Vec<(usize, View)>,
    /// Its viewer has given its buffers back.
    is_rested: bool,
}

/// What there is to do.
enum Task<M> {
    Judge(Box<Job<M>>),
    Settle(Receipt, Moment),
    Rest,
}

impl<V: Viewer, F: Fn() -> Option<V>> Worker<V, F> {
    fn run(&mut self) {
        while let Some(task) = self.next() {
            match task {
                Task::Judge(job) => self.judge(*job),
                Task::Rest => {
                    self.viewer.iter_mut().for_each(V::rest);
                    self.is_rested = true;
                }
                // By the way that what it caused has gone, whose queues are in order: that is durable first.
                Task::Settle(receipt, received) => self.observations.settle(receipt, received.mono),
            }
        }
    }

    /// Waits for the next task; `None` at the end.
    fn next(&mut self) -> Option<Task<V::Memory>> {
        let shared = Arc::clone(&self.shared);
        let mut line = shared.lock();
        loop {
            if line.stopping {
                return None;
            }
            if let Some((receipt, received)) = line.schedule.take_settled() {
                return Some(Task::Settle(receipt, received));
            }
            if shared.counters.store_full() {
                // What would be seen could not be kept: newer frames take the place of those that wait.
                let waited = shared.changed.wait_timeout(line, FULL_PAUSE);
                line = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let now = self.clock.now();
            let mut late = Late::default();
            let job = line.schedule.take(now.mono, &mut late);
            for (index, receipt, received) in late {
                if let Some(source) = shared.counters.source(index) {
                    source.reject(Reason::Late);
                    source.messages_refused_total.add(1);
                }
                line.schedule.settle_later(receipt, received);
            }
            if let Some(job) = job {
                self.is_rested = false;
                return Some(Task::Judge(Box::new(job)));
            }
            if line.schedule.has_settled() {
                continue;
            }
            if self.is_rested {
                line = shared.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let waited = shared.changed.wait_timeout(line, REST_AFTER);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            line = next;
            if timeout.timed_out()
                && !line.stopping
                && !line.schedule.has_settled()
                && line.schedule.waiting() == 0
            {
                return Some(Task::Rest);
            }
        }
    }

    fn judge(&mut self, mut job: Job<V::Memory>) {
        let began = Instant::now();
        let now = self.clock.now();
        let counters = Arc::clone(&self.shared.counters);
        let left = |deadline: Duration| deadline.saturating_sub(now.mono.since(job.received.mono));
        let until = began + job.deadline.map_or(EVERY_LIMIT, left);
        self.views.clear();
        let result = self.view(&mut job, Some(until));
        let decided = self.clock.now();
        counters.frame_age.note(std::iter::once(now.mono.since(job.received.mono)));
        counters.frame_judging.note(std::iter::once(began.elapsed()));
        let Decided { verdicts, readings } = self.shared.bench.decide(
            job.source,
            &job.frame,
            job.received,
            decided,
            self.views.drain(..),
            &mut job.reports,
        );
        if let Some(source) = counters.source(job.source) {
            match result {
                Ok(()) => {
                    source.messages_judged_total.add(1);
                    source.frames_judged_total.add(1);
                }
                Err(reason) => {
                    source.refuse(
                        job.frame.device.as_str(),
                        Some(job.frame.bytes.len()),
                        &Rejection::of_picture(reason, &job.frame.bytes),
                    );
                    source.messages_refused_total.add(1);
                }
            }
        }
        let (source, received, cause, receipt) = (job.source, job.received, job.cause, job.receipt);
        // Where its arrival is judged, a receipt settles behind what that causes.
        let is_behind = receipt.is_some() && self.shared.bench.is_watched(source);
        if !readings.is_empty() || is_behind {
            self.observations.hand_in(Observed { source, readings, verdicts, received, cause, receipt });
        } else if !verdicts.is_empty() || receipt.is_some() {
            let request = CommitRequest::of_time(received.mono);
            self.commits.submit(CommitRequest { verdicts, cause, receipt, ..request });
        }
        self.shared.lock().schedule.give_back(job);
        // Another frame of this camera may have waited for this one alone.
        self.shared.changed.notify_one();
    }

    /// Lets the viewer look. A panic is one frame's: the worker goes on with a new viewer, and the camera with empty
    /// memory.
    fn view(&mut self, job: &mut Job<V::Memory>, until: Option<Instant>) -> Result<(), Reason> {
        if job.judges.is_empty() {
            return Ok(());
        }
        let Some(viewer) = &mut self.viewer else {
            std::thread::park_timeout(REBUILD_PAUSE);
            self.viewer = (self.make)();
            return Err(Reason::ModelFailed);
        };
        let (judges, frame, memory, views) = (&job.judges, &job.frame, &mut job.memory, &mut self.views);
        let seen = catch_unwind(AssertUnwindSafe(|| viewer.view(judges, frame, until, memory, views)));
        seen.unwrap_or_else(|_| {
            tracing::error!(device = %job.frame.device, "a worker failed on a frame; it goes on with the next");
            job.memory = V::Memory::default();
            self.views.clear();
            self.viewer = (self.make)();
            Err(Reason::Panicked)
        })
    }
}

/// `Source::settle` of several connections: each passes over receipts that are not its own.
#[derive(Debug, Clone)]
pub struct Sources<S>(pub Vec<S>);

impl<S: Source> Source for Sources<S> {
    fn settle(&self, receipts: &[Receipt]) {
        for source in &self.0 {
            source.settle(receipts);
        }
    }

    fn acknowledged(&self, out: &mut Vec<Acknowledged>) {
        for source in &self.0 {
            source.acknowledged(out);
        }
    }
}
