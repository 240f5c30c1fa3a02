//! Which frame is judged next. Pure: time is an argument, nothing waits here.
//!
//! Each camera has a place for its newest frame and is worked on by one worker at a time. Of the cameras with a frame
//! the one that falls due first is taken (earliest deadline first). Each judged frame postpones its camera's next
//! due time by the urgency of its source, on a clock that advances with the judged frames: stride scheduling
//! (Waldspurger and Weihl 1995). Under overload every camera thus gets a share in proportion to its urgency, whatever
//! its rate, and a camera that sends seldom does not wait behind those that send always. A camera that must have some frames a
//! second and has fewer goes ahead of those that have enough.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use verge_domain::frame::{EncodedFrame, Shortfall};
use verge_domain::id::JudgeIndex;
use verge_domain::live::CameraCourse;
use verge_domain::observation::Camera;
use verge_domain::reading::{Receipt, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::time::{Moment, Monotonic};

use super::ladder::{CameraTally, FrameOverload, Ladder};
use super::spec::{CameraViewers, FrameSourceSpec, Keep};
use crate::intake::Origin;

/// Maximum number of known cameras, over all sources.
pub const MAX_CAMERAS: usize = 2_048;
/// Maximum of bytes of frames that wait, in total.
pub const MAX_WAITING_BYTES: usize = 64 << 20;
/// Maximum of frames that wait, in total, of the sources that judge every one.
pub const EVERY_CAPACITY: usize = 160;
/// From this number on their connection is left unread, so that no frame is refused: a refused one is sent again, with
/// all that follow it, which is expensive for pictures (measured: three times the frames over the wire).
const EVERY_CROWDED: usize = 48;
/// The same in bytes. The rest of [`MAX_WAITING_BYTES`] is left to newest frames, whatever the number of the others;
/// and newest frames, which fill what they can get, never count against the others.
const EVERY_CAPACITY_BYTES: usize = MAX_WAITING_BYTES / 2;
const EVERY_CROWDED_BYTES: usize = MAX_WAITING_BYTES / 8;
/// A camera that has sent nothing for this long makes room for a new one.
const IDLE_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// Where some cameras must have their frames, each of the others comes once in this time before they have more.
const OTHERS: Duration = Duration::from_secs(2);

/// A frame that a worker holds, with the memory of its camera's models.
#[derive(Debug)]
pub(super) struct Job<M> {
    pub(super) camera: Camera,
    pub(super) judges: Arc<[JudgeIndex]>,
    pub(super) frame: EncodedFrame,
    pub(super) received: Moment,
    pub(super) origin: Origin,
    pub(super) deadline: Option<Duration>,
    pub(super) shortfall: Shortfall,
    pub(super) memory: M,
}

/// Frames that were given up, with the receipts of their messages.
pub(super) type Late = Vec<(SourceIndex, Option<Receipt>, Moment)>;

struct WaitingFrame {
    frame: EncodedFrame,
    received: Moment,
    origin: Origin,
}

struct Slot<M> {
    judges: Arc<[JudgeIndex]>,
    waiting: VecDeque<WaitingFrame>,
    /// `None` while a worker holds it.
    memory: Option<M>,
    /// On the clock of the schedule.
    due: Duration,
    last_received: Monotonic,
    /// When its next frame is due by what it must have.
    must_by: Monotonic,
    /// Frames a second that it must have.
    least: Option<f64>,
    tally: CameraTally,
    course: CameraCourse,
    /// When the last frame came that is counted as apart from those before it.
    counted: Option<Monotonic>,
    /// Frames that were superseded or given up since one was taken.
    passed_over: u32,
}

impl<M> Slot<M> {
    /// Whether its next frame comes ahead of those of cameras that have what they must have.
    fn is_overdue(&self, now: Monotonic) -> bool {
        // Workers are not always free in time: a frame that is half a period early keeps the rate.
        now.0 + self.period() / 2 >= self.must_by.0
    }

    /// Microseconds from one frame that it must have to the next.
    fn period(&self) -> u64 {
        let period = self.least.map_or(OTHERS, |least| Duration::from_secs_f64(least.recip()));
        u64::try_from(period.as_micros()).unwrap_or(u64::MAX)
    }

    /// One has come.
    fn note_came(&mut self, now: Monotonic) {
        let gap = (self.course.came > 0).then(|| now.since(self.last_received));
        self.course.note_came(gap);
        self.last_received = now;
        self.tally.came = self.tally.came.saturating_add(1);
        let half = self.period() / 2;
        if self.counted.is_none_or(|counted| now.0 >= counted.0.saturating_add(half)) {
            self.counted = Some(now);
            self.tally.apart = self.tally.apart.saturating_add(1);
        }
    }

    /// One is taken. What it lacked before is not made up for.
    fn note_taken(&mut self, now: Monotonic) {
        let period = self.period();
        self.must_by = Monotonic(self.must_by.0.max(now.0.saturating_sub(period)).saturating_add(period));
        self.tally.taken = self.tally.taken.saturating_add(1);
        self.course.taken += 1;
    }

    fn pass_over(&mut self) {
        self.passed_over = self.passed_over.saturating_add(1);
        self.course.passed_over += 1;
    }
}

/// All cameras.
pub(super) struct Schedule<M> {
    sources: Vec<Option<FrameSourceSpec>>,
    cameras: HashMap<Camera, Slot<M>>,
    /// The clock that advances with the judged frames: when the camera that was last taken was due.
    clock: Duration,
    bytes: usize,
    every_waiting: usize,
    every_bytes: usize,
    /// Some camera must have its frames.
    has_least: bool,
    ladder: Ladder,
    /// Receipts that wait only for their turn.
    settled: VecDeque<(Receipt, Moment)>,
}

impl<M: Default> Schedule<M> {
    pub(super) fn new(sources: Vec<Option<FrameSourceSpec>>) -> Self {
        Self {
            sources,
            cameras: HashMap::new(),
            clock: Duration::ZERO,
            bytes: 0,
            every_waiting: 0,
            every_bytes: 0,
            has_least: false,
            ladder: Ladder::new(),
            settled: VecDeque::new(),
        }
    }

    fn spec(&self, source: SourceIndex) -> Option<FrameSourceSpec> {
        self.sources.get(usize::from(source.0)).copied().flatten()
    }

    /// Puts a frame in its camera's place. Returns the sources of the frames that it displaced.
    pub(super) fn offer(
        &mut self,
        of: &Camera,
        frame: EncodedFrame,
        received: Moment,
        origin: Origin,
        judges: impl FnOnce() -> CameraViewers,
    ) -> Result<Vec<SourceIndex>, Reason> {
        let spec = self.spec(of.source).ok_or(Reason::UnknownTopic)?;
        self.look_at_rates(received.mono);
        if !self.cameras.contains_key(of) && self.cameras.len() >= MAX_CAMERAS {
            self.cameras.retain(|_, camera| {
                camera.memory.is_none()
                    || !camera.waiting.is_empty()
                    || received.mono.since(camera.last_received) < IDLE_EXPIRY
            });
            if self.cameras.len() >= MAX_CAMERAS {
                return Err(Reason::TooManyCameras);
            }
        }
        let mut gone = Vec::new();
        let camera = self.cameras.entry(of.clone()).or_insert_with(|| {
            let CameraViewers { judges, has_lines } = judges();
            Slot {
                judges,
                waiting: VecDeque::new(),
                memory: Some(M::default()),
                due: Duration::ZERO,
                last_received: received.mono,
                must_by: received.mono,
                least: spec.least_of(has_lines),
                tally: CameraTally::default(),
                course: CameraCourse::default(),
                counted: None,
                passed_over: 0,
            }
        });
        self.has_least |= camera.least.is_some();
        camera.note_came(received.mono);
        match spec.keep {
            Keep::Newest { .. } => {
                if let Some(older) = camera.waiting.pop_front() {
                    self.bytes -= older.frame.bytes.len();
                    camera.pass_over();
                    gone.push(of.source);
                }
            }
            Keep::Every => {
                self.every_waiting += 1;
                self.every_bytes += frame.bytes.len();
            }
        }
        self.bytes += frame.bytes.len();
        camera.waiting.push_back(WaitingFrame { frame, received, origin });
        while self.bytes > MAX_WAITING_BYTES {
            let Some(source) = self.drop_oldest() else { break };
            gone.push(source);
        }
        Ok(gone)
    }

    /// Drops the oldest frame that may be dropped.
    fn drop_oldest(&mut self) -> Option<SourceIndex> {
        let sources = &self.sources;
        let may_go = |source: SourceIndex| {
            let spec = sources.get(usize::from(source.0)).copied().flatten();
            spec.is_some_and(|spec| matches!(spec.keep, Keep::Newest { .. }))
        };
        let (of, camera) = self
            .cameras
            .iter_mut()
            .filter(|(of, camera)| may_go(of.source) && !camera.waiting.is_empty())
            .min_by_key(|(_, camera)| camera.waiting.front().map(|first| first.received.mono))?;
        let oldest = camera.waiting.pop_front()?;
        camera.pass_over();
        self.bytes -= oldest.frame.bytes.len();
        Some(of.source)
    }

    /// A message of a source that judges every frame counts as a waiting frame before its frame is unwrapped.
    pub(super) fn reserve(&mut self, source: SourceIndex, bytes: usize) {
        if self.judges_every(source) {
            self.every_waiting += 1;
            self.every_bytes += bytes;
        }
    }

    /// Its frame is unwrapped, or it has none.
    pub(super) fn release(&mut self, source: SourceIndex, bytes: usize) {
        if self.judges_every(source) {
            self.every_waiting -= 1;
            self.every_bytes -= bytes;
        }
    }

    fn judges_every(&self, source: SourceIndex) -> bool {
        self.spec(source).is_some_and(|spec| spec.keep == Keep::Every)
    }

    /// Whether the queue of sources that judge every frame is full, in frames or in bytes, and this is one of them.
    pub(super) fn is_full(&self, source: SourceIndex) -> bool {
        let full = self.every_waiting >= EVERY_CAPACITY || self.every_bytes >= EVERY_CAPACITY_BYTES;
        full && self.judges_every(source)
    }

    /// Whether the sources that judge every frame have enough for now.
    pub(super) fn is_crowded(&self) -> bool {
        self.every_waiting >= EVERY_CROWDED || self.every_bytes >= EVERY_CROWDED_BYTES
    }

    /// The frame to judge next. Frames that are too old to be judged are given up here.
    pub(super) fn take(&mut self, now: Monotonic, late: &mut Late) -> Option<Job<M>> {
        self.look_at_rates(now);
        let has_least = self.has_least;
        loop {
            let (of, camera) = self
                .cameras
                .iter_mut()
                .filter(|(_, camera)| camera.memory.is_some() && !camera.waiting.is_empty())
                .min_by_key(|(_, camera)| {
                    let has_enough = has_least && !camera.is_overdue(now);
                    (has_enough, camera.due, camera.waiting.front().map(|first| first.received.mono))
                })?;
            let source = of.source;
            let spec = self.sources.get(usize::from(source.0)).copied().flatten()?;
            let WaitingFrame { frame, received, origin } = camera.waiting.pop_front()?;
            self.bytes -= frame.bytes.len();
            let deadline = match spec.keep {
                Keep::Newest { deadline } => Some(deadline),
                Keep::Every => {
                    self.every_waiting -= 1;
                    self.every_bytes -= frame.bytes.len();
                    None
                }
            };
            if deadline.is_some_and(|deadline| now.since(received.mono) > deadline) {
                camera.pass_over();
                late.push((source, origin.receipt, received));
                continue;
            }
            // A camera that was idle has no claim on the time it did not use.
            let due = camera.due.max(self.clock);
            self.clock = due;
            camera.due = due + spec.urgency;
            camera.note_taken(now);
            let given_up = self.ladder.overload().given_up;
            let shortfall = Shortfall { given_up, passed_over: std::mem::take(&mut camera.passed_over) };
            let memory = camera.memory.take()?;
            let judges = Arc::clone(&camera.judges);
            let camera = of.clone();
            return Some(Job { camera, judges, frame, received, origin, deadline, shortfall, memory });
        }
    }

    /// Takes back the memory of a camera's models, once what was seen in the frame is handed to the judges.
    pub(super) fn give_back(&mut self, job: Job<M>) {
        if let Some(camera) = self.cameras.get_mut(&job.camera) {
            camera.memory = Some(job.memory);
        }
    }

    /// Other judges look at the cameras.
    pub(super) fn judges_changed(&mut self, judges: impl Fn(&Camera) -> CameraViewers) {
        let sources = &self.sources;
        for (of, camera) in &mut self.cameras {
            let viewers = judges(of);
            camera.judges = viewers.judges;
            let spec = sources.get(usize::from(of.source.0)).copied().flatten();
            camera.least = spec.and_then(|spec| spec.least_of(viewers.has_lines));
        }
        self.has_least = self.cameras.values().any(|camera| camera.least.is_some());
    }

    /// What all cameras give up now.
    pub(super) const fn overload(&self) -> FrameOverload {
        self.ladder.overload()
    }

    /// Now and then: whether cameras have the frames that they must have.
    fn look_at_rates(&mut self, now: Monotonic) {
        let Some(seconds) = self.ladder.due(now) else { return };
        // Where every frame is looked at, those that were not taken wait.
        let passed_over = self
            .cameras
            .iter()
            .any(|(of, camera)| !self.judges_every(of.source) && camera.tally.came > camera.tally.taken + 1);
        let tallies = self.cameras.values_mut().filter_map(|camera| {
            let tally = std::mem::take(&mut camera.tally);
            Some((camera.least?, tally))
        });
        self.ladder.look(seconds, (tallies, passed_over));
    }

    /// A receipt that is to be settled in its turn.
    pub(super) fn settle_later(&mut self, receipt: Option<Receipt>, received: Moment) {
        self.settled.extend(receipt.map(|receipt| (receipt, received)));
    }

    pub(super) fn take_settled(&mut self) -> Option<(Receipt, Moment)> {
        self.settled.pop_front()
    }
}

impl<M> Schedule<M> {
    pub(super) fn has_settled(&self) -> bool {
        !self.settled.is_empty()
    }

    pub(super) fn cameras(&self) -> usize {
        self.cameras.len()
    }

    /// Each camera, and the time since its last frame.
    pub(super) fn ages(&self, now: Monotonic) -> Vec<(Camera, Duration)> {
        self.cameras.iter().map(|(of, camera)| (of.clone(), now.since(camera.last_received))).collect()
    }

    /// The same with what came.
    pub(super) fn courses(&self, now: Monotonic) -> Vec<(Camera, Duration, CameraCourse)> {
        let one =
            |(of, camera): (&Camera, &Slot<M>)| (of.clone(), now.since(camera.last_received), camera.course);
        self.cameras.iter().map(one).collect()
    }

    pub(super) fn course(&self, of: &Camera, now: Monotonic) -> Option<(Duration, CameraCourse)> {
        self.cameras.get(of).map(|camera| (now.since(camera.last_received), camera.course))
    }

    pub(super) fn waiting(&self) -> usize {
        self.cameras.values().map(|camera| camera.waiting.len()).sum()
    }
}

#[cfg(test)]
mod tests;
