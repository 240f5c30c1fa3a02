//! Arrivals of frames, on their path to the judges that watch them: for each camera the newest arrival that the judges
//! have not seen. So a connection never waits for the judges, and a camera that sends fast never fills their queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use verge_domain::observation::{Camera, Captured};
use verge_domain::reading::Reading;
use verge_domain::rejection::Rejection;
use verge_domain::stage::{Decoder, Judge, Source};
use verge_domain::time::Moment;

use super::{Observations, Worker};

/// By camera: at most as many as the schedule of frames knows, which is bounded.
pub(super) type Waiting = HashMap<Camera, (Captured, Moment)>;

/// Arrivals that wait; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrivals(Arc<Mutex<Waiting>>);

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observations {
    /// Records that a frame has arrived; never blocks. What is handed in afterwards is judged afterwards.
    pub fn note_arrival(&self, camera: Camera, captured: Captured, received: Moment) {
        let mut waiting = self.arrivals.lock();
        let wakes = waiting.is_empty();
        waiting.insert(camera, (captured, received));
        drop(waiting);
        // What has gathered wakes the judges soon.
        if wakes && !self.has_gathered() {
            self.wake();
        }
    }
}

impl<D: Decoder<Item = Reading>, J: Judge + 'static, S: Source> Worker<D, J, S> {
    /// Judges the arrivals that wait.
    pub(super) fn take_arrivals(&mut self) {
        let mut waiting = self.arrivals.lock();
        if waiting.is_empty() {
            return;
        }
        std::mem::swap(&mut *waiting, &mut self.arrived);
        drop(waiting);
        let mut arrived = std::mem::take(&mut self.arrived);
        for (camera, (captured, received)) in arrived.drain() {
            let judged = self.set.arrival(&camera, captured, received, self.clock.now(), &mut self.decision);
            if let (Err(reason), Some(source)) = (judged, self.counters.source(camera.source)) {
                source.refuse(camera.device.as_str(), None, &Rejection::whole(reason));
            }
            self.submit(0, received.mono, None);
        }
        // Its memory is kept for the next ones.
        self.arrived = arrived;
    }
}
