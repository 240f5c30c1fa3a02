//! A worker takes the frame that is most due, lets its viewer look, and hands in what the viewer sees.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use verge_domain::frame::SnapshotError;
use verge_domain::id::JudgeIndex;
use verge_domain::observation::{Camera, Observation};
use verge_domain::reading::Receipt;
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::{Seen, ViewRequest, Viewer};
use verge_domain::time::Moment;

use super::exchange::{Generation, Present, Viewing};
use super::schedule::{Job, Late};
use super::snapshots::SnapshotDesk;
use super::{SharedFrames, rest_of};
use crate::beats::{BEAT_EVERY, Beat};
use crate::clock::Clock;
use crate::intake::Observations;

/// If no viewer can be made after a fault, a worker waits this long before it tries again.
const REBUILD_PAUSE: Duration = Duration::from_secs(5);

/// While the store is full no frame is judged; the worker checks the store this often.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// A worker without a frame for this long releases the buffers of its viewer.
const REST_AFTER: Duration = Duration::from_secs(10);

/// A model that works longer than this on a frame of a source that judges every frame hangs.
const EVERY_LIMIT: Duration = Duration::from_secs(60);

/// A model that does not end at its deadline, within this time, hangs.
const OVER_DEADLINE: Duration = Duration::from_secs(10);

/// A model on trial works on a frame for this long at most.
const AGAIN_LIMIT: Duration = Duration::from_secs(5);

/// A new viewer loads its models within this time.
const MAKE_LIMIT: Duration = Duration::from_secs(120);

/// After a frame that took longer, what was seen goes to the judges at once: to gather it would save little.
const QUICK_FRAME: Duration = Duration::from_millis(40);

/// Name of the thread of a worker.
pub(super) fn thread_name(number: usize) -> String {
    format!("verge-worker-{number}")
}

/// One thread that looks at frames.
pub(super) struct FrameWorker<V: Viewer> {
    pub(super) number: usize,
    pub(super) shared: Arc<SharedFrames<V::Memory>>,
    pub(super) viewing: Arc<Viewing<V>>,
    pub(super) viewer: Option<V>,
    /// Of the viewer, and of the judges of what is taken from the queue.
    pub(super) generation: Generation,
    pub(super) observations: Observations,
    /// Where pictures are requested, if they may be.
    pub(super) snapshots: Option<SnapshotDesk>,
    pub(super) clock: Clock,
    pub(super) seen: Seen,
    /// Its viewer has released its buffers.
    pub(super) is_rested: bool,
}

/// What there is to do.
enum Task<M> {
    Look(Box<Job<M>>),
    /// Other viewers are at work.
    TakeOver,
    Settle(Receipt, Moment),
    /// No frame can be taken: what was seen goes to the judges.
    HandOn,
    Rest,
}

impl<V: Viewer> FrameWorker<V> {
    pub(super) fn run(&mut self) {
        let beat = self.shared.counters.beats.join_before_store(&thread_name(self.number));
        while let Some(task) = self.next(&beat) {
            match task {
                Task::Look(job) => self.look(*job, &beat),
                Task::TakeOver => {
                    let viewing = Arc::clone(&self.viewing);
                    self.take_over(&viewing.present(), &beat);
                }
                Task::Rest => {
                    self.viewer.iter_mut().for_each(V::rest);
                    self.is_rested = true;
                }
                // Through the queue that took its consequences, which is in order: they are durable first.
                Task::Settle(receipt, received) => self.observations.settle(receipt, received.mono),
                Task::HandOn => self.observations.hand_on(),
            }
        }
        self.observations.hand_on();
    }

    /// Waits for the next task; `None` at the end.
    fn next(&mut self, beat: &Beat) -> Option<Task<V::Memory>> {
        let (shared, idle_since) = (Arc::clone(&self.shared), Instant::now());
        let mut line = shared.lock();
        loop {
            beat.beat();
            if line.stopping {
                return None;
            }
            if let Some((receipt, received)) = line.schedule.take_settled() {
                return Some(Task::Settle(receipt, received));
            }
            if line.generation != self.generation {
                return Some(Task::TakeOver);
            }
            if shared.counters.store_full() {
                // A view could not be stored: newer frames supersede those that wait.
                let waited = shared.changed.wait_timeout(line, FULL_PAUSE);
                line = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let now = self.clock.now();
            let mut late = Late::default();
            let job = line.schedule.take(now.mono, &mut late);
            shared.counters.note_overload(line.schedule.overload(), now.wall);
            for (index, receipt, received) in late {
                if let Some(source) = shared.counters.source(index) {
                    source.reject(Reason::Late);
                    source.messages_refused_total.add(1);
                }
                line.schedule.settle_later(receipt, received);
            }
            if let Some(job) = job {
                line.looking += 1;
                self.is_rested = false;
                return Some(Task::Look(Box::new(job)));
            }
            if line.schedule.has_settled() {
                continue;
            }
            if self.observations.has_gathered() {
                return Some(Task::HandOn);
            }
            let waited = shared.changed.wait_timeout(line, BEAT_EVERY);
            line = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !self.is_rested
                && idle_since.elapsed() >= REST_AFTER
                && !line.stopping
                && !line.schedule.has_settled()
                && line.schedule.waiting() == 0
            {
                return Some(Task::Rest);
            }
        }
    }

    /// Takes the viewer that is to be at work from now on.
    fn take_over(&mut self, present: &Present<V>, beat: &Beat) {
        beat.allow(MAKE_LIMIT);
        self.viewer = present.in_place_of(self.number, self.viewer.take());
        beat.done();
        self.generation = present.generation;
    }

    fn look(&mut self, mut job: Job<V::Memory>, beat: &Beat) {
        let began = Instant::now();
        let now = self.clock.now();
        let left = |deadline: Duration| deadline.saturating_sub(now.mono.since(job.received.mono));
        let mut until = began + job.deadline.map_or(EVERY_LIMIT, left);
        let viewing = Arc::clone(&self.viewing);
        let has_looked = loop {
            self.seen.clear();
            let looked = self.view(&mut job, until, beat);
            let present = viewing.present();
            if present.generation == self.generation {
                self.account(&job, looked.map(drop), (now, began));
                // Where it did not look, its viewer still holds the frame before.
                if looked == Ok(true) {
                    self.take_snapshot(&job);
                    self.show(&job);
                }
                // No viewers are exchanged before it is among what goes to the queue ahead of them.
                self.hand_in(&job);
                break looked == Ok(true);
            }
            // What the former judges saw is not judged any more: the frame is theirs who are at work now.
            self.take_over(&present, beat);
            job.judges = present.judges_of(&job.camera);
            until = Instant::now() + job.deadline.unwrap_or(EVERY_LIMIT);
        };
        if began.elapsed() > QUICK_FRAME {
            self.observations.hand_on();
        }
        let has_trial = has_looked && self.viewer.as_ref().is_some_and(V::has_trial);
        let again = has_trial.then(|| (job.camera.clone(), Arc::clone(&job.judges)));
        let (workers, limit) =
            (viewing.present().workers(), job.deadline.unwrap_or(AGAIN_LIMIT).min(AGAIN_LIMIT));
        let mut line = self.shared.lock();
        line.looking -= 1;
        line.schedule.give_back(job);
        let again = again.filter(|_| line.may_look_again(workers));
        line.looking_again |= again.is_some();
        drop(line);
        // Another frame of this camera may have waited for this one alone.
        self.shared.changed.notify_one();
        if let Some((camera, judges)) = again {
            self.look_again((&camera, &judges), (limit, rest_of(workers)), beat);
        }
    }

    /// Looks once more at the frame that was looked at last, then rests from that for some times as long. What was seen of it is
    /// with the judges before.
    fn look_again(&mut self, of: (&Camera, &[JudgeIndex]), (limit, rest): (Duration, u32), beat: &Beat) {
        self.observations.hand_on();
        let began = Instant::now();
        beat.allow(limit + OVER_DEADLINE);
        if let Some(viewer) = &mut self.viewer {
            let look = AssertUnwindSafe(|| viewer.look_again(of, began + limit));
            if catch_unwind(look).is_err() {
                tracing::error!("a worker failed on a frame that a model on trial looked at");
                beat.allow(MAKE_LIMIT);
                self.viewer = self.made();
            }
        }
        beat.done();
        let mut line = self.shared.lock();
        line.looking_again = false;
        line.again_after = Some(Instant::now() + began.elapsed() * rest);
    }

    fn account(&self, job: &Job<V::Memory>, result: Result<(), Reason>, (now, began): (Moment, Instant)) {
        let counters = &self.shared.counters;
        counters.frame_age.note(std::iter::once(now.mono.since(job.received.mono)));
        counters.frame_judging.note(std::iter::once(began.elapsed()));
        let Some(source) = counters.source(job.camera.source) else { return };
        source.looks_passed_total.add(self.seen.gates.passed);
        source.looks_skipped_total.add(self.seen.gates.skipped);
        source.crops_total.add(self.seen.crops.classified);
        source.crops_postponed_total.add(self.seen.crops.postponed);
        source.crops_failed_total.add(self.seen.crops.failed);
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

    fn hand_in(&mut self, job: &Job<V::Memory>) {
        let Seen { look, views, by_candidate, .. } = &mut self.seen;
        if look.is_some() || !views.is_empty() || job.origin.receipt.is_some() {
            let observation = Observation {
                camera: job.camera.clone(),
                captured: job.frame.captured(),
                received: job.received,
                look: look.take().map(Box::new),
                shortfall: job.shortfall,
                views: std::mem::take(views),
                by_candidate: std::mem::take(by_candidate),
            };
            self.observations.hand_in(observation, job.origin);
        }
    }

    /// Lets the viewer look, if anybody wants to know what it sees. Returns whether it has. A panic costs one frame: the worker continues with a new viewer, and the camera with empty
    /// memory.
    fn view(&mut self, job: &mut Job<V::Memory>, until: Instant, beat: &Beat) -> Result<bool, Reason> {
        let is_wanted = self.snapshots.as_ref().is_some_and(|desk| desk.wants(&job.camera));
        let is_watched = || self.shared.watch.wants_picture(&job.camera, self.clock.now().mono);
        if job.judges.is_empty() && !is_wanted && !is_watched() {
            return Ok(false);
        }
        let Some(viewer) = &mut self.viewer else {
            beat.allow(REBUILD_PAUSE + MAKE_LIMIT);
            std::thread::park_timeout(REBUILD_PAUSE);
            self.viewer = self.made();
            beat.done();
            return Err(Reason::ModelFailed);
        };
        let Job { camera, frame, received, judges, memory, shortfall, .. } = job;
        let request = ViewRequest {
            camera,
            frame,
            received: *received,
            judges,
            until: Some(until),
            shortfall: *shortfall,
        };
        let seen = &mut self.seen;
        beat.allow(until.saturating_duration_since(Instant::now()) + OVER_DEADLINE);
        let viewed = catch_unwind(AssertUnwindSafe(|| viewer.view(request, memory, seen)));
        let viewed = viewed.unwrap_or_else(|_| {
            tracing::error!(device = %job.frame.device, "a worker failed on a frame; it goes on with the next");
            job.memory = V::Memory::default();
            self.seen.clear();
            beat.allow(MAKE_LIMIT);
            self.viewer = self.made();
            Err(Reason::Panicked)
        });
        beat.done();
        viewed.map(|()| true)
    }

    /// Answers the request of a picture of what was just looked at.
    fn take_snapshot(&mut self, job: &Job<V::Memory>) {
        let Some(pending) = self.snapshots.as_ref().and_then(|desk| desk.take(&job.camera, Instant::now()))
        else {
            return;
        };
        let made = self.viewer.as_ref().map_or(Err(SnapshotError::Failed), |viewer| {
            let made = AssertUnwindSafe(|| {
                let seen = (&self.seen, pending.sketches());
                viewer.snapshot((&job.camera, &job.judges), &pending.order, seen)
            });
            catch_unwind(made).unwrap_or_else(|_| {
                tracing::error!(device = %job.frame.device, "drawing a snapshot failed");
                Err(SnapshotError::Failed)
            })
        });
        pending.answer(made, job.frame.captured(), job.received);
    }

    /// Leaves what was just looked at for people who watch the camera.
    fn show(&self, job: &Job<V::Memory>) {
        let now = self.clock.now().mono;
        if !self.shared.watch.wants_picture(&job.camera, now) {
            return;
        }
        let Some(viewer) = &self.viewer else { return };
        let show = AssertUnwindSafe(|| viewer.show((&job.camera, &job.judges), &job.frame, &self.seen));
        match catch_unwind(show) {
            Ok(Some(frame)) => {
                let times = (job.frame.captured(), job.received);
                self.shared.watch.leave_picture(&job.camera, frame, times, now);
            }
            Ok(None) => {}
            Err(_) => tracing::error!(device = %job.frame.device, "showing a picture failed"),
        }
    }

    /// A viewer in the place of one that was lost to a fault.
    fn made(&self) -> Option<V> {
        let make = Arc::clone(&self.viewing.present().make);
        make()
    }
}
