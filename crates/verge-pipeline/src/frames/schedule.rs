//! Which frame is judged next. Pure: time is an argument, nothing waits here.
//!
//! Each camera has a place for its newest frame and is worked on by one worker at a time. Of the cameras with a frame
//! the one that falls due first is taken (earliest deadline first). Each frame that is judged puts its camera's next
//! due time off by the urgency of its source, on a clock that advances with what is judged: stride scheduling
//! (Waldspurger and Weihl 1995). Under overload every camera so gets a share in proportion to its urgency, whatever
//! the rate at which it sends, and one that sends seldom is not made to wait behind those that send always.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use verge_domain::frame::EncodedFrame;
use verge_domain::id::DeviceId;
use verge_domain::reading::{Receipt, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::time::{Moment, Monotonic};

use super::decide::Reports;

/// Cameras known at once, over all sources.
pub const MAX_CAMERAS: usize = 2_048;
/// Bytes of frames that wait, in all.
pub const MAX_WAITING_BYTES: usize = 64 << 20;
/// Frames that wait in all of the sources that judge every one.
pub const EVERY_CAPACITY: usize = 160;
/// From here on their connection is left unread, so that none is refused: one that is refused is sent again, with
/// all that is on its way, which is dear for pictures (measured: three times the frames over the wire).
const EVERY_CROWDED: usize = 48;
/// A camera that has shown nothing for this long makes room for a new one.
const IDLE_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// Which frames of a camera are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The newest that a worker finds; one that is older than the deadline is dropped.
    Newest {
        /// From receipt.
        deadline: Duration,
    },
    /// Every one, in order.
    Every,
}

/// A source of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSourceSpec {
    /// Which frames are judged.
    pub keep: Keep,
    /// How soon a camera falls due again after it was judged: the smaller, the larger its share under overload.
    pub urgency: Duration,
}

/// A frame in a worker's hands, with everything its camera remembers.
#[derive(Debug)]
pub(super) struct Job<M> {
    pub(super) source: SourceIndex,
    pub(super) judges: Arc<[usize]>,
    pub(super) frame: EncodedFrame,
    pub(super) received: Moment,
    pub(super) receipt: Option<Receipt>,
    pub(super) cause: u64,
    pub(super) deadline: Option<Duration>,
    pub(super) memory: M,
    pub(super) reports: Reports,
}

/// Frames that were given up, with what their messages wait for.
pub(super) type Late = Vec<(SourceIndex, Option<Receipt>, Moment)>;

struct Waiting {
    frame: EncodedFrame,
    received: Moment,
    receipt: Option<Receipt>,
    cause: u64,
}

struct Camera<M> {
    judges: Arc<[usize]>,
    waiting: VecDeque<Waiting>,
    /// `None` while a worker has it.
    state: Option<(M, Reports)>,
    /// On the clock of the schedule.
    due: Duration,
    last_heard: Monotonic,
}

type Key = (SourceIndex, DeviceId);

/// All cameras.
pub(super) struct Schedule<M> {
    sources: Vec<Option<FrameSourceSpec>>,
    cameras: HashMap<Key, Camera<M>>,
    /// The clock that advances with what is judged: when the camera that was last taken was due.
    clock: Duration,
    bytes: usize,
    every_waiting: usize,
    /// Receipts that nothing but their turn is waited for.
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
            settled: VecDeque::new(),
        }
    }

    fn spec(&self, source: SourceIndex) -> Option<FrameSourceSpec> {
        self.sources.get(usize::from(source.0)).copied().flatten()
    }

    /// Puts a frame in its camera's place. Gives the sources of frames that had to go for it.
    pub(super) fn offer(
        &mut self,
        source: SourceIndex,
        frame: EncodedFrame,
        received: Moment,
        receipt: Option<Receipt>,
        cause: u64,
        judges: impl FnOnce(&EncodedFrame) -> Arc<[usize]>,
    ) -> Result<Vec<SourceIndex>, Reason> {
        let spec = self.spec(source).ok_or(Reason::UnknownTopic)?;
        let key = (source, frame.device.clone());
        if !self.cameras.contains_key(&key) && self.cameras.len() >= MAX_CAMERAS {
            self.cameras.retain(|_, camera| {
                camera.state.is_none()
                    || !camera.waiting.is_empty()
                    || received.mono.since(camera.last_heard) < IDLE_EXPIRY
            });
            if self.cameras.len() >= MAX_CAMERAS {
                return Err(Reason::TooManyCameras);
            }
        }
        let mut gone = Vec::new();
        let camera = self.cameras.entry(key).or_insert_with(|| Camera {
            judges: judges(&frame),
            waiting: VecDeque::new(),
            state: Some(Default::default()),
            due: Duration::ZERO,
            last_heard: received.mono,
        });
        camera.last_heard = received.mono;
        match spec.keep {
            Keep::Newest { .. } => {
                if let Some(older) = camera.waiting.pop_front() {
                    self.bytes -= older.frame.bytes.len();
                    gone.push(source);
                }
            }
            Keep::Every => self.every_waiting += 1,
        }
        self.bytes += frame.bytes.len();
        camera.waiting.push_back(Waiting { frame, received, receipt, cause });
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
        let (key, camera) = self
            .cameras
            .iter_mut()
            .filter(|((source, _), camera)| may_go(*source) && !camera.waiting.is_empty())
            .min_by_key(|(_, camera)| camera.waiting.front().map(|first| first.received.mono))?;
        let oldest = camera.waiting.pop_front()?;
        self.bytes -= oldest.frame.bytes.len();
        Some(key.0)
    }

    /// Whether the queue of sources that judge every frame is full, in frames or in bytes, and this is one of them.
    pub(super) fn is_full(&self, source: SourceIndex) -> bool {
        let full = self.every_waiting >= EVERY_CAPACITY || self.bytes >= MAX_WAITING_BYTES;
        full && self.spec(source).is_some_and(|spec| spec.keep == Keep::Every)
    }

    /// Whether the sources that judge every frame have enough for now.
    pub(super) fn is_crowded(&self) -> bool {
        self.every_waiting >= EVERY_CROWDED || self.bytes >= MAX_WAITING_BYTES / 2
    }

    /// The frame to judge next. What is too old to be judged is given up on the way.
    pub(super) fn take(&mut self, now: Monotonic, late: &mut Late) -> Option<Job<M>> {
        loop {
            let (key, camera) = self
                .cameras
                .iter_mut()
                .filter(|(_, camera)| camera.state.is_some() && !camera.waiting.is_empty())
                .min_by_key(|(_, camera)| {
                    (camera.due, camera.waiting.front().map(|first| first.received.mono))
                })?;
            let source = key.0;
            let spec = self.sources.get(usize::from(source.0)).copied().flatten()?;
            let Waiting { frame, received, receipt, cause } = camera.waiting.pop_front()?;
            self.bytes -= frame.bytes.len();
            let deadline = match spec.keep {
                Keep::Newest { deadline } => Some(deadline),
                Keep::Every => {
                    self.every_waiting -= 1;
                    None
                }
            };
            if deadline.is_some_and(|deadline| now.since(received.mono) > deadline) {
                late.push((source, receipt, received));
                continue;
            }
            // One that was idle has no claim on the time it did not use.
            let due = camera.due.max(self.clock);
            self.clock = due;
            camera.due = due + spec.urgency;
            let (memory, reports) = camera.state.take()?;
            let judges = Arc::clone(&camera.judges);
            return Some(Job { source, judges, frame, received, receipt, cause, deadline, memory, reports });
        }
    }

    /// Takes back what a camera remembers.
    pub(super) fn give_back(&mut self, job: Job<M>) {
        if let Some(camera) = self.cameras.get_mut(&(job.source, job.frame.device)) {
            camera.state = Some((job.memory, job.reports));
        }
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

    pub(super) fn waiting(&self) -> usize {
        self.cameras.values().map(|camera| camera.waiting.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use verge_domain::frame::{ImageFormat, Orientation};
    use verge_domain::time::{DeviceClock, UtcMillis};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NEWEST: FrameSourceSpec =
        FrameSourceSpec { keep: Keep::Newest { deadline: Duration::from_secs(2) }, urgency: SECOND };
    const EVERY: FrameSourceSpec = FrameSourceSpec { keep: Keep::Every, urgency: SECOND };

    fn frame(device: &str, bytes: usize) -> EncodedFrame {
        EncodedFrame {
            device: DeviceId::new(device).unwrap(),
            format: ImageFormat::Jpeg,
            bytes: Bytes::from(vec![0; bytes]),
            width: 1,
            height: 1,
            orientation: Orientation::Upright,
            captured_at: None,
            clock: DeviceClock::Absent,
        }
    }

    fn at(millis: i64) -> Moment {
        Moment::from_wall(UtcMillis(millis))
    }

    /// A schedule and its clock in milliseconds.
    struct Bench(Schedule<u32>);

    impl Bench {
        fn new(sources: &[FrameSourceSpec]) -> Self {
            Self(Schedule::new(sources.iter().copied().map(Some).collect()))
        }

        fn offer(&mut self, source: u16, device: &str, bytes: usize, millis: i64) -> usize {
            let judges = |_: &EncodedFrame| Arc::from([0]);
            self.0
                .offer(SourceIndex(source), frame(device, bytes), at(millis), None, 0, judges)
                .unwrap()
                .len()
        }

        fn take(&mut self, millis: i64) -> (Option<Job<u32>>, usize) {
            let mut late = Late::new();
            (self.0.take(at(millis).mono, &mut late), late.len())
        }
    }

    #[test]
    fn the_newest_frame_of_a_camera_waits() {
        let mut bench = Bench::new(&[NEWEST]);
        assert_eq!(bench.offer(0, "a", 1, 0), 0);
        assert_eq!(bench.offer(0, "a", 2, 10), 1);
        assert_eq!(bench.offer(0, "b", 1, 20), 0);
        let (job, late) = bench.take(30);
        let job = job.unwrap();
        assert_eq!((job.frame.device.as_str(), job.frame.bytes.len(), late), ("a", 2, 0));
        // One worker at a time per camera.
        assert_eq!(bench.offer(0, "a", 3, 40), 0);
        assert_eq!(bench.take(50).0.unwrap().frame.device.as_str(), "b");
        assert!(bench.take(50).0.is_none());
        bench.0.give_back(job);
        assert_eq!(bench.take(60).0.unwrap().frame.bytes.len(), 3);
        assert_eq!((bench.0.bytes, bench.0.waiting()), (0, 0));
    }

    #[test]
    fn what_is_too_old_is_not_judged() {
        let mut bench = Bench::new(&[NEWEST]);
        bench.offer(0, "a", 1, 0);
        bench.offer(0, "b", 1, 1500);
        let (job, late) = bench.take(2001);
        assert_eq!((job.unwrap().frame.device.as_str(), late), ("b", 1));
    }

    #[test]
    fn every_frame_of_such_a_source_is_judged_in_order() {
        let mut bench = Bench::new(&[EVERY, NEWEST]);
        for number in 0..EVERY_CAPACITY {
            assert!(!bench.0.is_full(SourceIndex(0)));
            assert_eq!(bench.offer(0, "a", number + 1, 0), 0);
        }
        assert!(bench.0.is_full(SourceIndex(0)) && !bench.0.is_full(SourceIndex(1)));
        for number in 0..EVERY_CAPACITY {
            let (job, late) = bench.take(1_000_000);
            let job = job.unwrap();
            assert_eq!((job.frame.bytes.len(), late), (number + 1, 0));
            bench.0.give_back(job);
        }
        assert!(!bench.0.is_full(SourceIndex(0)));
    }

    /// Cameras that send every `period` ms against one worker that needs `work` ms: frames judged, by camera.
    fn shares(bench: &mut Bench, cameras: &[(u16, i64)], work: i64, until: i64) -> Vec<u32> {
        let mut judged = vec![0; cameras.len()];
        let mut in_hand: Option<(Job<u32>, i64)> = None;
        for now in 0..until {
            for (index, (source, period)) in cameras.iter().enumerate() {
                // Each with a phase of its own.
                if (now + 7 * index as i64) % period == 0 {
                    bench.offer(*source, &index.to_string(), 1, now);
                }
            }
            if let Some((job, _)) = in_hand.take_if(|(_, end)| *end <= now) {
                judged[job.frame.device.as_str().parse::<usize>().unwrap()] += 1;
                assert!(at(now).mono.since(job.received.mono) <= Duration::from_millis(500));
                bench.0.give_back(job);
            }
            if in_hand.is_none() {
                in_hand = bench.take(now).0.map(|job| (job, now + work));
            }
        }
        judged
    }

    #[test]
    fn cameras_get_equal_shares_whatever_they_send() {
        // 30 cameras at 10 frames/s against a model that manages 5: one frame each in 6 s.
        let judged = shares(&mut Bench::new(&[NEWEST]), &[(0, 100); 30], 200, 60_000);
        assert!(judged.iter().all(|count| (9..=11).contains(count)), "{judged:?}");
        // One that sends fifty times as often gets no more.
        let mut cameras = vec![(0, 100); 10];
        cameras[3] = (0, 2);
        let judged = shares(&mut Bench::new(&[NEWEST]), &cameras, 200, 60_000);
        assert!(judged.iter().all(|count| (29..=31).contains(count)), "{judged:?}");
    }

    #[test]
    fn urgent_cameras_get_more_and_rare_ones_are_not_starved() {
        let urgent = FrameSourceSpec { urgency: SECOND / 4, ..NEWEST };
        let cameras = [(0, 50), (0, 50), (1, 50), (1, 50), (0, 5000)];
        let judged = shares(&mut Bench::new(&[NEWEST, urgent]), &cameras, 200, 60_000);
        assert!(judged[2] > 2 * judged[0] && judged[3] > 2 * judged[1], "{judged:?}");
        assert!(judged[0] > 20 && judged[4] >= 11, "{judged:?}");
    }

    #[test]
    fn frames_and_cameras_are_bounded() {
        let mut bench = Bench::new(&[NEWEST]);
        let half = MAX_WAITING_BYTES / 2;
        assert_eq!(bench.offer(0, "a", half, 0), 0);
        assert_eq!(bench.offer(0, "b", half, 1), 0);
        assert_eq!(bench.offer(0, "c", 1, 2), 1, "the oldest goes");
        assert_eq!(bench.take(3).0.unwrap().frame.device.as_str(), "b");

        let mut bench = Bench::new(&[EVERY]);
        assert_eq!(bench.offer(0, "a", MAX_WAITING_BYTES, 0), 0);
        assert!(bench.0.is_full(SourceIndex(0)), "in bytes");

        let mut bench = Bench::new(&[NEWEST]);
        for number in 0..MAX_CAMERAS {
            bench.offer(0, &number.to_string(), 1, 0);
        }
        let judges = |_: &EncodedFrame| Arc::from([0]);
        let mut offer = |millis| bench.0.offer(SourceIndex(0), frame("new", 1), at(millis), None, 0, judges);
        assert_eq!(offer(1), Err(Reason::TooManyCameras));
        // Not even after a day, while their frames wait.
        let day = 24 * 3_600_000;
        assert_eq!(offer(day), Err(Reason::TooManyCameras));
        assert!(bench.take(day).0.is_none());
        let mut offer = |millis| bench.0.offer(SourceIndex(0), frame("new", 1), at(millis), None, 0, judges);
        assert_eq!(offer(day), Ok(Vec::new()));
    }
}
