//! What workers see in frames, on its path to the judges.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use verge_domain::observation::{Camera, Observation};
use verge_domain::reading::{Reading, Receipt};
use verge_domain::stage::{Decoder, Judge, Source};
use verge_domain::time::{Moment, Monotonic};

use super::arrivals::Arrivals;
use super::{Item, Worker};
use crate::committer::CommitRequest;

/// The message that a frame came in.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Its fingerprint; zero if it cannot be delivered again.
    pub cause: u64,
    /// Its receipt.
    pub receipt: Option<Receipt>,
}

/// Frames whose observations go to the judges together, at most.
const GATHERED_FRAMES: usize = 8;
/// The first of them waits this long for others, at most, unless no worker finishes a frame.
const GATHERED_FOR: Duration = Duration::from_millis(40);

/// The entrance for observations; clones share it.
///
/// While frames wait for a worker, each observation would wake three threads in turn and cost a transaction of its own; a
/// few at a time cost a third of that. Whoever finds nothing to do hands on what has gathered.
#[derive(Clone)]
pub struct Observations {
    gathering: Arc<GatheredObservations>,
    pub(super) arrivals: Arrivals,
}

/// Observations on their way to the judges' queue, in the order of their frames.
pub(super) struct GatheredObservations {
    queue: SyncSender<Item>,
    /// With the time when the first came; never more than [`GATHERED_FRAMES`].
    gathered: Mutex<(Option<Instant>, VecDeque<Item>)>,
}

impl GatheredObservations {
    /// Hands on what has gathered, if that can be done at once. The judges do this from time to time, lest an alarm wait
    /// for a model that hangs. Returns whether nothing is left.
    pub(super) fn try_hand_on(&self) -> bool {
        // Whoever holds the lock may wait for room in the queue.
        let Ok(mut gathered) = self.gathered.try_lock() else { return false };
        while let Some(item) = gathered.1.pop_front() {
            if let Err(TrySendError::Full(item)) = self.queue.try_send(item) {
                gathered.1.push_front(item);
                return false;
            }
        }
        gathered.0 = None;
        true
    }
}

impl Observations {
    pub(super) fn new(queue: SyncSender<Item>, arrivals: Arrivals) -> Self {
        let gathered = Mutex::new((None, VecDeque::with_capacity(GATHERED_FRAMES)));
        Self { gathering: Arc::new(GatheredObservations { queue, gathered }), arrivals }
    }

    pub(super) fn gathering(&self) -> &Arc<GatheredObservations> {
        &self.gathering
    }

    /// Takes what was seen in a frame. It goes to the judges with [`Observations::hand_on`], or once enough has gathered;
    /// then this waits while the judges' queue is full, and meanwhile newer frames supersede those that wait for the worker.
    pub fn hand_in(&self, observation: Observation, origin: Origin) {
        self.gather(observation, origin, Instant::now());
    }

    fn gather(&self, observation: Observation, origin: Origin, now: Instant) {
        let mut gathered = self.lock();
        let (first, items) = &mut *gathered;
        items.push_back(Item::Observation(observation, origin));
        let waited = now.saturating_duration_since(*first.get_or_insert(now));
        if items.len() >= GATHERED_FRAMES || waited >= GATHERED_FOR {
            self.send(&mut gathered);
        }
    }

    /// Hands on what has gathered; waits while the judges' queue is full.
    pub fn hand_on(&self) {
        self.send(&mut self.lock());
    }

    /// Wakes the judges; a full queue keeps them awake by itself.
    pub(super) fn wake(&self) {
        drop(self.gathering.queue.try_send(Item::Wake));
    }

    /// Whether something has gathered that nobody is handing on.
    pub(crate) fn has_gathered(&self) -> bool {
        self.gathering.gathered.try_lock().is_ok_and(|gathered| gathered.0.is_some())
    }

    /// Settles the receipt of a message that was delivered again, after all that was handed in before: the consequences
    /// of its first delivery are durable by then.
    pub fn settle(&self, receipt: Receipt, received: Monotonic) {
        let mut gathered = self.lock();
        self.send(&mut gathered);
        drop(self.gathering.queue.send(Item::Settle(receipt, received)));
    }

    /// See [`GatheredObservations::try_hand_on`].
    pub(crate) fn try_hand_on(&self) -> bool {
        self.gathering.try_hand_on()
    }

    fn lock(&self) -> MutexGuard<'_, (Option<Instant>, VecDeque<Item>)> {
        self.gathering.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, (first, items): &mut (Option<Instant>, VecDeque<Item>)) {
        *first = None;
        for item in items.drain(..) {
            // The judges have ended: the frame is not acknowledged, and is delivered again.
            drop(self.gathering.queue.send(item));
        }
    }
}

impl<D: Decoder<Item = Reading>, J: Judge + 'static, S: Source> Worker<D, J, S> {
    /// Judges what was seen in a frame. One commit holds all consequences, with its message's cause and receipt. The
    /// receipt settles through the committer even if there are none: all of its connection do, in order.
    pub(super) fn observe(&mut self, observation: Observation, Origin { cause, receipt }: Origin) {
        let at = observation.received;
        let received = at.mono;
        let watched = self.is_watched(&observation.camera).then(|| observation.camera.clone());
        self.set.observation(observation, self.clock.now(), &mut self.decision);
        if !self.decision.is_empty() || receipt.is_some() {
            self.request(CommitRequest { cause, receipt, ..CommitRequest::of_time(received) });
        }
        watched.iter().for_each(|camera| self.leave_scene(camera, at));
    }

    /// Whether somebody watches a camera.
    fn is_watched(&self, camera: &Camera) -> bool {
        let now = || self.clock.now().mono;
        self.watch.as_ref().is_some_and(|watch| watch.wants_scene(camera, now()))
    }

    /// Leaves what is known of the scene before a camera for those who watch it.
    fn leave_scene(&self, camera: &Camera, at: Moment) {
        self.watch.iter().for_each(|watch| watch.leave_scene(camera, self.set.scene(camera), at));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use verge_domain::id::DeviceId;
    use verge_domain::observation::{Camera, Captured};
    use verge_domain::reading::SourceIndex;
    use verge_domain::time::{DeviceClock, Moment, UtcMillis};

    use super::*;

    fn open(room: usize) -> (Observations, Receiver<Item>) {
        let (queue, receiver) = sync_channel(room);
        (Observations::new(queue, Arrivals::default()), receiver)
    }

    /// The frame of this number, seen this many milliseconds after the first.
    fn see(observations: &Observations, cause: u64, began: Instant, after: u64) {
        let camera = Camera { source: SourceIndex(0), device: DeviceId::new("cam").unwrap() };
        let captured = Captured { at: None, clock: DeviceClock::Absent };
        let received = Moment { wall: UtcMillis(0), mono: Monotonic(0) };
        let observation = Observation {
            camera,
            captured,
            received,
            look: None,
            shortfall: verge_domain::frame::Shortfall::default(),
            views: Vec::new(),
            by_candidate: Vec::new(),
        };
        observations.gather(
            observation,
            Origin { cause, receipt: None },
            began + Duration::from_millis(after),
        );
    }

    /// The frames in the queue; zero for what is settled.
    fn queued(queue: &Receiver<Item>) -> Vec<u64> {
        let cause = |item| match item {
            Item::Observation(_, origin) => origin.cause,
            _ => 0,
        };
        queue.try_iter().map(cause).collect()
    }

    #[test]
    fn what_is_seen_goes_on_in_order_once_enough_has_gathered_or_has_waited() {
        let ((observations, queue), began) = (open(64), Instant::now());
        (1..8).for_each(|frame| see(&observations, frame, began, 39));
        assert_eq!((queued(&queue), observations.has_gathered()), (Vec::<u64>::new(), true));
        see(&observations, 8, began, 39);
        assert_eq!((queued(&queue), observations.has_gathered()), ((1..9).collect(), false));
        see(&observations, 9, began, 30);
        see(&observations, 10, began, 69);
        assert_eq!(queued(&queue), Vec::<u64>::new());
        see(&observations, 11, began, 70);
        assert_eq!(queued(&queue), [9, 10, 11]);
        see(&observations, 12, began, 80);
        observations.hand_on();
        assert_eq!(queued(&queue), [12]);
    }

    #[test]
    fn a_receipt_settles_behind_what_has_gathered() {
        let (observations, queue) = open(64);
        see(&observations, 1, Instant::now(), 0);
        observations.settle(Receipt { connection: 1, index: 1 }, Monotonic(0));
        assert_eq!(queued(&queue), [1, 0]);
    }

    #[test]
    fn a_full_queue_takes_what_has_gathered_later_and_in_order() {
        let ((observations, queue), began) = (open(2), Instant::now());
        (1..4).for_each(|frame| see(&observations, frame, began, 0));
        assert!(!observations.try_hand_on() && observations.has_gathered());
        assert_eq!(queued(&queue), [1, 2]);
        assert!(observations.try_hand_on() && !observations.has_gathered());
        assert_eq!(queued(&queue), [3]);
    }
}
