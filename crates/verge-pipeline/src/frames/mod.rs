//! The path of frames: each camera keeps its newest frame, workers take the camera that is most due, and what a worker
//! sees reaches the judges as an observation, through the same queue as readings. Workers decide nothing.
//!
//! A thread of its own unwraps frames. Nothing here blocks a connection for long: a frame that finds no room
//! replaces an older one, which is counted. Sources that judge every frame have a bounded queue instead, and
//! their connection stops when it is full.
//!
//! Reading order: `intake` (the network threads), `unwrap`, `schedule` (which frame is next), `ladder` (what is given up under overload), `worker`, `snapshots` (pictures that are requested), `watched` (pictures for people who watch), `exchange`
//! (other viewers in the place of those at work).

mod exchange;
mod intake;
mod ladder;
mod schedule;
mod snapshots;
mod spec;
mod tracks;
mod unwrap;
mod watched;
mod worker;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use verge_domain::frame::EncodedFrame;
use verge_domain::id::JudgeIndex;
use verge_domain::live::CameraCourse;
use verge_domain::observation::Camera;
use verge_domain::reading::{Acknowledged, Decoded, Receipt, Session, SourceIndex};
use verge_domain::stage::{Cause, Decoder, Seen, Source, Viewer};
use verge_domain::time::Monotonic;

use crate::clock::Clock;
use crate::counters::Counters;
use crate::intake::{Observations, Redeliveries};
use crate::judging::{Inputs, Observes};
pub use exchange::FrameExchange;
use exchange::{Generation, Viewing};
pub use intake::FrameIntake;
use intake::Wrapped;
pub use ladder::FrameOverload;
use schedule::Schedule;
pub use schedule::{EVERY_CAPACITY, MAX_CAMERAS, MAX_WAITING_BYTES};
pub use snapshots::SnapshotDesk;
pub(crate) use snapshots::{SNAPSHOT_LIMIT, SnapshotRefusal, TakenSnapshot};
pub use spec::{CameraViewers, FrameSourceSpec, Keep, LEAST_AT_LINES};
pub use tracks::{SeenTracks, TrackPoint};
use unwrap::Unwrapper;
pub use watched::{MAX_WATCHED, WATCH_LEASE, WatchBoard};
use worker::FrameWorker;

/// Which judges look at which cameras.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CameraJudges {
    inputs: Vec<Inputs>,
    /// Of each judge: it counts what crosses lines.
    lines: Vec<bool>,
}

impl CameraJudges {
    /// What each judge looks at, in the order of their indices.
    #[must_use]
    pub const fn new(inputs: Vec<Inputs>) -> Self {
        Self { inputs, lines: Vec::new() }
    }

    /// The same where these judges count what crosses lines, in the order of their indices.
    #[must_use]
    pub fn counting(self, lines: Vec<bool>) -> Self {
        Self { lines, ..self }
    }

    /// Who looks at a camera.
    #[must_use]
    pub fn viewers_of(&self, camera: &Camera) -> CameraViewers {
        let judges = self.of(camera);
        let has_lines =
            judges.iter().any(|judge| self.lines.get(judge.position()).copied().unwrap_or_default());
        CameraViewers { judges, has_lines }
    }

    /// The judges that a camera's frames are decoded for: their models look at them, or they judge the camera by them.
    #[must_use]
    pub fn of(&self, camera: &Camera) -> Arc<[JudgeIndex]> {
        let looks = |inputs: &Inputs| {
            (inputs.looks || inputs.observes != Observes::Arrivals) && inputs.takes_camera(camera)
        };
        (0..)
            .map(JudgeIndex)
            .zip(&self.inputs)
            .filter(|(_, inputs)| looks(inputs))
            .map(|(judge, _)| judge)
            .collect()
    }

    /// Whether some judge watches that frames of a source arrive.
    fn watch_arrivals(&self, source: SourceIndex) -> bool {
        self.inputs.iter().any(|inputs| inputs.observes == Observes::Arrivals && inputs.has(source))
    }
}

/// State that cameras, sources and workers share.
struct SharedFrames<M> {
    line: Mutex<QueuedFrames<M>>,
    /// A message has arrived, or the end.
    arrived: Condvar,
    /// A frame has arrived, or the end.
    changed: Condvar,
    counters: Arc<Counters>,
    watch: WatchBoard,
}

struct QueuedFrames<M> {
    judges: CameraJudges,
    /// Of the viewers that are to look at what is taken from here.
    generation: Generation,
    wrapped: Wrapped,
    schedule: Schedule<M>,
    recent: Redeliveries,
    /// Workers that look at a frame.
    looking: usize,
    /// One of them looks at a frame once more, for models on trial.
    looking_again: bool,
    /// When one may do so again.
    again_after: Option<Instant>,
    stopping: bool,
}

/// How many times as long as a look once more took none is taken then. A single worker does so for so small a share of its time that
/// hardly a frame waits for that; where there are several they still share processors.
const fn rest_of(workers: usize) -> u32 {
    if workers > 1 { 3 } else { 100 }
}

impl<M> QueuedFrames<M> {
    /// Whether a worker may look at a frame once more: no frame waits, the next one finds a worker that is free, and the last time
    /// was long enough ago.
    fn may_look_again(&self, workers: usize) -> bool {
        !self.stopping
            && !self.looking_again
            && (workers == 1 || self.looking + 1 < workers)
            && self.again_after.is_none_or(|after| Instant::now() >= after)
            && self.wrapped.len() == 0
            && self.schedule.waiting() == 0
    }
}

/// The frames' queue before its workers run.
pub struct FrameQueue<M> {
    shared: Arc<SharedFrames<M>>,
}

impl<M: Default + Send + 'static> FrameQueue<M> {
    /// An empty queue for these sources, by index; `None` for a source that carries no frames.
    #[must_use]
    pub fn new(
        judges: CameraJudges,
        sources: Vec<Option<FrameSourceSpec>>,
        counters: Arc<Counters>,
        causes: &[Cause],
    ) -> Self {
        let line = QueuedFrames {
            judges,
            generation: Generation::default(),
            wrapped: Wrapped::default(),
            schedule: Schedule::new(sources),
            recent: Redeliveries::new(Session::Frames, causes),
            looking: 0,
            looking_again: false,
            again_after: None,
            stopping: false,
        };
        let (line, arrived, changed) = (Mutex::new(line), Condvar::new(), Condvar::new());
        let watch = WatchBoard::default();
        Self { shared: Arc::new(SharedFrames { line, arrived, changed, counters, watch }) }
    }

    /// The entrance for one connection, whose sources keep the newest frames or judge every one.
    #[must_use]
    pub fn intake(&self, every: bool) -> FrameIntake<M> {
        FrameIntake { shared: Arc::clone(&self.shared), every }
    }

    /// The cameras that are known, for the status.
    #[must_use]
    pub fn cameras(&self) -> Cameras<M> {
        Cameras(Arc::clone(&self.shared))
    }

    /// Where pictures are left for people who watch a camera.
    #[must_use]
    pub fn watch(&self) -> WatchBoard {
        self.shared.watch.clone()
    }

    /// Starts the thread that unwraps frames, and one worker for each viewer. `make` makes a new viewer where a worker
    /// has lost its own to a fault.
    ///
    /// # Panics
    /// If the operating system gives no thread.
    pub fn start<D, V>(
        self,
        decoder: D,
        viewers: Vec<V>,
        make: impl Fn() -> Option<V> + Send + Sync + 'static,
        (observations, snapshots): (&Observations, Option<SnapshotDesk>),
        clock: Clock,
    ) -> FrameWorkers<V>
    where
        D: Decoder<Item = EncodedFrame> + 'static,
        V: Viewer<Memory = M> + 'static,
    {
        let spawn = |name: String, run: Box<dyn FnOnce() + Send>| {
            let (running, held) = watch::channel(());
            let thread = std::thread::Builder::new().name(name).spawn(move || {
                run();
                drop(held);
            });
            (thread.expect("the operating system gives a gateway its few threads"), running)
        };
        let (shared, decoded) = (Arc::clone(&self.shared), Decoded::default());
        let mut unwrapper = Unwrapper { shared, decoder, decoded, observations: observations.clone() };
        let mut threads = vec![spawn(unwrap::THREAD.to_owned(), Box::new(move || unwrapper.run()))];
        let judges = self.shared.lock().judges.clone();
        let viewing = Arc::new(Viewing::new(judges, viewers.len(), Arc::new(make)));
        let workers = viewers.into_iter().enumerate().map(|(number, viewer)| {
            let mut worker = FrameWorker {
                number,
                shared: Arc::clone(&self.shared),
                viewing: Arc::clone(&viewing),
                viewer: Some(viewer),
                generation: Generation::default(),
                observations: observations.clone(),
                snapshots: snapshots.clone(),
                clock,
                seen: Seen::default(),
                is_rested: true,
            };
            spawn(worker::thread_name(number), Box::new(move || worker.run()))
        });
        threads.extend(workers);
        FrameWorkers { shared: self.shared, viewing, observations: observations.clone(), threads }
    }
}

impl<M> SharedFrames<M> {
    fn lock(&self) -> MutexGuard<'_, QueuedFrames<M>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cameras that have sent frames; clones share them.
pub struct Cameras<M>(Arc<SharedFrames<M>>);

impl<M> Cameras<M> {
    /// Each camera that is known, and the time since its newest frame.
    #[must_use]
    pub fn ages(&self, now: Monotonic) -> Vec<(Camera, Duration)> {
        self.0.lock().schedule.ages(now)
    }

    /// The same with what came from each.
    #[must_use]
    pub fn courses(&self, now: Monotonic) -> Vec<(Camera, Duration, CameraCourse)> {
        self.0.lock().schedule.courses(now)
    }

    /// The same of one camera.
    #[must_use]
    pub fn course(&self, camera: &Camera, now: Monotonic) -> Option<(Duration, CameraCourse)> {
        self.0.lock().schedule.course(camera, now)
    }
}

/// The running workers.
pub struct FrameWorkers<V: Viewer> {
    shared: Arc<SharedFrames<V::Memory>>,
    viewing: Arc<Viewing<V>>,
    observations: Observations,
    threads: Vec<(JoinHandle<()>, watch::Sender<()>)>,
}

impl<V: Viewer> FrameWorkers<V> {
    /// Lets each worker finish the frame it has in hand, and ends. Blocks until then. Frames that wait are given up:
    /// those of QoS 1 are not acknowledged and are delivered again.
    pub fn stop(self) {
        self.shared.lock().stopping = true;
        self.shared.arrived.notify_all();
        self.shared.changed.notify_all();
        for (thread, _) in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }

    /// Of each thread: waits until it has ended by itself.
    pub fn ended(&self) -> impl Iterator<Item = impl Future<Output = ()> + '_> {
        self.threads.iter().map(|(_, running)| running.closed())
    }

    /// How many workers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.viewing.present().workers()
    }

    /// Cameras known now, and frames that wait.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let line = self.shared.lock();
        (line.schedule.cameras(), line.wrapped.len() + line.schedule.waiting())
    }
}

/// `Source::settle` of several connections: each ignores receipts that are not its own.
#[derive(Debug, Clone)]
pub struct Sources<S>(pub Vec<S>);

impl<S: Source> Source for Sources<S> {
    fn is_awaited(&self) -> bool {
        self.0.iter().any(Source::is_awaited)
    }

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
