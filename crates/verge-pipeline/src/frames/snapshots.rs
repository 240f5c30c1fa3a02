//! Where pictures are requested: one at a time waits here for the next frame of its camera that a worker looks at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use verge_domain::frame::{FrameSnapshot, SceneSketch, SnapshotError, SnapshotOrder};
use verge_domain::id::{JudgeIndex, SourceId};
use verge_domain::observation::{Camera, Captured};
use verge_domain::time::Moment;

/// The next request is taken this long after the one before.
pub(crate) const SNAPSHOT_PAUSE: Duration = Duration::from_secs(5);
/// A request waits this long for a frame.
pub(crate) const SNAPSHOT_LIMIT: Duration = Duration::from_secs(8);

/// A request waits this long for what its judges know, where something is to be drawn; they may have much to do.
const SKETCH_LIMIT: Duration = Duration::from_secs(2);

/// A picture with its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenSnapshot {
    pub(crate) order: SnapshotOrder,
    pub(crate) snapshot: FrameSnapshot,
    pub(crate) captured: Captured,
    pub(crate) received: Moment,
}

/// Why no picture came of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotRefusal {
    #[error("no snapshots: the gateway's configuration has no snapshots = true below [gateway]")]
    Off,
    #[error("there is no source {source_name}; there are {known:?}")]
    UnknownSource { source_name: SourceId, known: Vec<String> },
    #[error("one snapshot at a time, and {} s from one to the next; ask again later", SNAPSHOT_PAUSE.as_secs())]
    TooSoon,
    #[error("no frame of this camera was decoded within {} s", SNAPSHOT_LIMIT.as_secs())]
    NoFrame,
    #[error(transparent)]
    NotMade(#[from] SnapshotError),
}

/// Takes the result of a request.
type SnapshotReply = Box<dyn FnOnce(Result<TakenSnapshot, SnapshotRefusal>) + Send>;

/// A request on its way to a worker.
pub(super) struct PendingSnapshot {
    number: u64,
    camera: Camera,
    since: Instant,
    pub(super) order: SnapshotOrder,
    /// What its judges knew of the scene shortly before.
    sketches: Option<Vec<(JudgeIndex, SceneSketch)>>,
    reply: SnapshotReply,
}

/// Requests of pictures on their way to the workers.
#[derive(Clone)]
pub struct SnapshotDesk(Arc<SnapshotRequests>);

struct SnapshotRequests {
    /// Names of all sources, by index.
    sources: Vec<SourceId>,
    /// Whether one waits: workers look at nothing else while none does.
    waits: AtomicBool,
    book: Mutex<SnapshotBook>,
}

#[derive(Default)]
struct SnapshotBook {
    pending: Option<PendingSnapshot>,
    last: Option<Instant>,
    number: u64,
}

impl SnapshotDesk {
    /// For these sources, in the order of their indices.
    #[must_use]
    pub fn new(sources: Vec<SourceId>) -> Self {
        let book = Mutex::new(SnapshotBook::default());
        Self(Arc::new(SnapshotRequests { sources, waits: AtomicBool::new(false), book }))
    }

    /// Takes a request. Gives its number, under which it expires.
    pub(crate) fn submit(
        &self,
        order: SnapshotOrder,
        now: Instant,
        reply: impl FnOnce(Result<TakenSnapshot, SnapshotRefusal>) + Send + 'static,
    ) -> Result<u64, SnapshotRefusal> {
        let source = (0..).zip(&self.0.sources).find(|(_, name)| **name == order.source);
        let Some((source, _)) = source else {
            let known = self.0.sources.iter().map(ToString::to_string).collect();
            return Err(SnapshotRefusal::UnknownSource { source_name: order.source, known });
        };
        let mut book = self.book();
        let is_too_soon = book.last.is_some_and(|last| now.saturating_duration_since(last) < SNAPSHOT_PAUSE);
        if book.pending.is_some() || is_too_soon {
            return Err(SnapshotRefusal::TooSoon);
        }
        book.number += 1;
        book.last = Some(now);
        let camera =
            Camera { source: verge_domain::reading::SourceIndex(source), device: order.device.clone() };
        let number = book.number;
        let pending =
            PendingSnapshot { number, camera, since: now, order, sketches: None, reply: Box::new(reply) };
        book.pending = Some(pending);
        self.0.waits.store(true, Ordering::Release);
        Ok(number)
    }

    /// Whether a picture of this camera is requested.
    pub(super) fn wants(&self, camera: &Camera) -> bool {
        self.0.waits.load(Ordering::Acquire)
            && self.book().pending.as_ref().is_some_and(|pending| pending.camera == *camera)
    }

    /// The camera whose judges are to say what they know of its scene.
    pub(crate) fn wants_sketches(&self) -> Option<Camera> {
        if !self.0.waits.load(Ordering::Acquire) {
            return None;
        }
        let book = self.book();
        let pending = book.pending.as_ref().filter(|pending| pending.lacks_sketches());
        pending.map(|pending| pending.camera.clone())
    }

    /// Takes what the judges of a camera know.
    pub(crate) fn lend(&self, camera: &Camera, sketches: Vec<(JudgeIndex, SceneSketch)>) {
        if let Some(pending) = self.book().pending.as_mut().filter(|pending| pending.camera == *camera) {
            pending.sketches = Some(sketches);
        }
    }

    /// The request of a picture of this camera, once all is known that is drawn.
    pub(super) fn take(&self, camera: &Camera, now: Instant) -> Option<PendingSnapshot> {
        if !self.0.waits.load(Ordering::Acquire) {
            return None;
        }
        let mut book = self.book();
        let taken = book.pending.take_if(|pending| pending.camera == *camera && pending.is_ready(now));
        self.0.waits.store(book.pending.is_some(), Ordering::Release);
        taken
    }

    /// Answers a request that still waits.
    pub(crate) fn expire(&self, number: u64) {
        let expired = {
            let mut book = self.book();
            let expired = book.pending.take_if(|pending| pending.number == number);
            self.0.waits.store(book.pending.is_some(), Ordering::Release);
            expired
        };
        if let Some(pending) = expired {
            (pending.reply)(Err(SnapshotRefusal::NoFrame));
        }
    }

    fn book(&self) -> MutexGuard<'_, SnapshotBook> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingSnapshot {
    const fn lacks_sketches(&self) -> bool {
        self.order.annotate && self.sketches.is_none()
    }

    fn is_ready(&self, now: Instant) -> bool {
        !self.lacks_sketches() || now.saturating_duration_since(self.since) >= SKETCH_LIMIT
    }

    /// What its judges know.
    pub(super) fn sketches(&self) -> &[(JudgeIndex, SceneSketch)] {
        self.sketches.as_deref().unwrap_or_default()
    }

    /// Answers it.
    pub(super) fn answer(
        self,
        made: Result<FrameSnapshot, SnapshotError>,
        captured: Captured,
        received: Moment,
    ) {
        let Self { order, reply, .. } = self;
        if let Ok(snapshot) = &made {
            tracing::info!(
                source = %order.source, device = %order.device, annotated = order.annotate,
                bytes = snapshot.jpeg.len(), "a snapshot is sent upstream"
            );
        }
        let taken = made.map(|snapshot| TakenSnapshot { order, snapshot, captured, received });
        reply(taken.map_err(SnapshotRefusal::NotMade));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use verge_domain::id::DeviceId;
    use verge_domain::reading::SourceIndex;
    use verge_domain::time::UtcMillis;

    use super::*;

    fn order(source: &str, device: &str) -> SnapshotOrder {
        SnapshotOrder {
            source: SourceId::new(source).unwrap(),
            device: DeviceId::new(device).unwrap(),
            judge: None,
            annotate: true,
            max_bytes: 1000,
        }
    }

    fn camera(source: u16, device: &str) -> Camera {
        Camera { source: SourceIndex(source), device: DeviceId::new(device).unwrap() }
    }

    #[test]
    fn a_request_waits_for_its_camera_and_no_other_request_beside_it() {
        let desk = SnapshotDesk::new(["a", "b"].map(|name| SourceId::new(name).unwrap()).to_vec());
        let (sender, answers) = mpsc::channel();
        let begin = Instant::now();
        let submit = |order, after: u64| {
            let sender = sender.clone();
            let reply = move |taken: Result<TakenSnapshot, SnapshotRefusal>| sender.send(taken).unwrap();
            desk.submit(order, begin + Duration::from_secs(after), reply)
        };
        let known = vec!["a".to_owned(), "b".to_owned()];
        let unknown = SnapshotRefusal::UnknownSource { source_name: SourceId::new("c").unwrap(), known };
        assert_eq!(submit(order("c", "x"), 0), Err(unknown));
        assert_eq!(submit(order("b", "x"), 0), Ok(1));
        assert_eq!(submit(order("b", "x"), 60), Err(SnapshotRefusal::TooSoon), "one at a time");
        for other in [camera(0, "x"), camera(1, "y")] {
            assert!(!desk.wants(&other) && desk.take(&other, begin).is_none());
        }
        assert!(desk.wants(&camera(1, "x")));
        // What is drawn comes first.
        assert_eq!(desk.wants_sketches(), Some(camera(1, "x")));
        assert!(desk.take(&camera(1, "x"), begin).is_none());
        desk.lend(&camera(1, "y"), Vec::new());
        assert!(desk.take(&camera(1, "x"), begin).is_none());
        let sketches = vec![(JudgeIndex(3), SceneSketch::default())];
        desk.lend(&camera(1, "x"), sketches.clone());
        assert_eq!(desk.wants_sketches(), None);
        let pending = desk.take(&camera(1, "x"), begin).unwrap();
        assert_eq!(pending.sketches(), sketches);
        assert!(!desk.wants(&camera(1, "x")), "it is on its way");
        let snapshot = FrameSnapshot { jpeg: vec![1, 2], width: 8, height: 6 };
        let received = Moment::from_wall(UtcMillis(5));
        pending.answer(Ok(snapshot.clone()), Captured::UNKNOWN, received);
        let taken = answers.try_recv().unwrap().unwrap();
        assert_eq!((taken.snapshot, taken.received), (snapshot, received));
        assert_eq!(submit(order("a", "x"), 4), Err(SnapshotRefusal::TooSoon), "within the pause");
        assert_eq!(submit(order("a", "x"), 5), Ok(2));
        let late = begin + Duration::from_secs(5) + SKETCH_LIMIT;
        assert!(desk.take(&camera(1, "x"), late).is_none());
        desk.expire(1);
        assert!(answers.try_recv().is_err(), "another request");
        desk.expire(2);
        assert_eq!(answers.try_recv().unwrap(), Err(SnapshotRefusal::NoFrame));
        assert_eq!(submit(order("a", "x"), 10), Ok(3));
        let late = begin + Duration::from_secs(10) + SKETCH_LIMIT;
        assert!(desk.take(&camera(0, "x"), late).unwrap().sketches().is_empty(), "its judges say nothing");
    }
}
