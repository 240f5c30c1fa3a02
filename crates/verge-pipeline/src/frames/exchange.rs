//! Other viewers take the place of those at work. Each worker takes its own between two frames, and what was seen reaches the
//! judges by which viewer is at work when it is handed in: a frame that the former viewer looked at until then is looked at
//! once more. So everything ahead of the exchange in the judges' queue is of the former viewers, and everything behind it of
//! the new ones.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use verge_domain::id::JudgeIndex;
use verge_domain::observation::Camera;
use verge_domain::stage::Viewer;

use super::{CameraJudges, FrameWorkers};

/// Makes a whole viewer, where a worker has lost its own.
pub(super) type MakeViewer<V> = Arc<dyn Fn() -> Option<V> + Send + Sync>;

/// How often viewers have been exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Generation(pub(super) u64);

/// What workers look with from a moment on.
pub struct FrameExchange<V> {
    judges: CameraJudges,
    viewers: Vec<V>,
    make: MakeViewer<V>,
}

impl<V> FrameExchange<V> {
    /// One viewer for each worker, which takes over what it lacks from the one in whose place it comes. `make` makes a whole
    /// one.
    pub fn new(
        judges: CameraJudges,
        viewers: Vec<V>,
        make: impl Fn() -> Option<V> + Send + Sync + 'static,
    ) -> Self {
        Self { judges, viewers, make: Arc::new(make) }
    }
}

/// What workers and their owner share of the viewers.
pub(super) struct Viewing<V>(RwLock<Present<V>>);

/// What is at work now.
pub(super) struct Present<V> {
    pub(super) generation: Generation,
    pub(super) make: MakeViewer<V>,
    judges: CameraJudges,
    /// Of each worker: the viewer that it has not taken yet.
    waiting: Vec<Mutex<Option<V>>>,
}

impl<V: Viewer> Viewing<V> {
    pub(super) fn new(judges: CameraJudges, workers: usize, make: MakeViewer<V>) -> Self {
        let waiting = (0..workers).map(|_| Mutex::default()).collect();
        Self(RwLock::new(Present { generation: Generation::default(), make, judges, waiting }))
    }

    /// While it is held, nothing is exchanged.
    pub(super) fn present(&self) -> RwLockReadGuard<'_, Present<V>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Viewer> Present<V> {
    pub(super) fn workers(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn judges_of(&self, camera: &Camera) -> Arc<[JudgeIndex]> {
        self.judges.of(camera)
    }

    /// The viewer of a worker that has this one.
    pub(super) fn in_place_of(&self, worker: usize, former: Option<V>) -> Option<V> {
        let next = self.waiting.get(worker)?.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut next) = next else { return former };
        let is_whole = match former {
            Some(former) => next.take_over(former),
            None => false,
        };
        if is_whole { Some(next) } else { (self.make)() }
    }
}

impl<V: Viewer> FrameWorkers<V> {
    /// Lets workers look with these viewers from a moment on, in which no worker hands in anything and `cut` is run: the
    /// exchange happens if that succeeds. Never blocks.
    ///
    /// # Errors
    /// A worker is handing in what it saw, the judges' queue is full, or `cut` has failed; the viewers come back.
    pub fn try_exchange<T>(
        &self,
        exchange: FrameExchange<V>,
        cut: impl FnOnce() -> Result<(), T>,
    ) -> Result<(), (FrameExchange<V>, Option<T>)> {
        let mut present = match self.viewing.0.try_write() {
            Ok(present) => present,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err((exchange, None)),
        };
        // What the former viewers saw stands ahead of the cut.
        if !self.observations.try_hand_on() {
            return Err((exchange, None));
        }
        if let Err(error) = cut() {
            return Err((exchange, Some(error)));
        }
        let FrameExchange { judges, viewers, make } = exchange;
        present.generation.0 += 1;
        {
            let mut line = self.shared.lock();
            line.generation = present.generation;
            line.schedule.judges_changed(|camera| judges.viewers_of(camera));
            line.judges = judges.clone();
        }
        present.judges = judges;
        present.make = make;
        for (place, mut viewer) in present.waiting.iter_mut().zip(viewers) {
            let place = place.get_mut().unwrap_or_else(PoisonError::into_inner);
            // One that no worker has taken yet hands on what it brought; the rest comes from the one at work.
            if let Some(former) = place.take() {
                viewer.take_over(former);
            }
            *place = Some(viewer);
        }
        // What a new mask hides is not to be seen in a picture of before.
        self.shared.watch.forget_pictures();
        drop(present);
        // Workers that wait for frames let go of their former viewers, too.
        self.shared.changed.notify_all();
        Ok(())
    }
}
