//! Passes one observation to each of the instances that look at it.

use verge_domain::finding::Finding;
use verge_domain::frame::View;
use verge_domain::observation::{Captured, Observable};
use verge_domain::stage::Judge;
use verge_domain::time::Moment;

use super::containment::contained;
use super::instance::Instance;
use super::measures::{self, CameraMeasure};
use super::register::EventNaming;
use super::room::Room;
use super::{Decision, JudgeSpec};
use crate::counters::Counters;

/// What instances need to observe, beside their own state.
pub(super) struct Turn<'a> {
    pub(super) counters: &'a Counters,
    pub(super) room: &'a Room,
    pub(super) findings: &'a mut Vec<Finding>,
    pub(super) measured: &'a mut Vec<CameraMeasure>,
    pub(super) naming: &'a mut EventNaming,
    pub(super) received: Moment,
    pub(super) now: Moment,
    /// Smaller models looked, where there are any.
    pub(super) by_smaller: bool,
    /// No judge has panicked.
    pub(super) sound: bool,
    /// At least one judge takes more memory than before.
    pub(super) grown: bool,
}

impl Turn<'_> {
    /// Lets one instance observe; the consequences are added to `out`.
    pub(super) fn observe<J: Judge>(
        &mut self,
        instance: &mut Instance<J>,
        spec: &JudgeSpec<J>,
        observed: Observable<'_>,
        out: &mut Decision,
    ) {
        let (received, now) = (self.received, self.now);
        let reckon = instance.note(received.mono);
        if instance.is_vanished() {
            instance.return_from_silence(spec, out);
        }
        let (findings, naming) = (&mut *self.findings, &mut *self.naming);
        let measured = &mut *self.measured;
        findings.clear();
        let doing = "judging what it observes";
        let judged = contained(instance, spec, self.counters, doing, now, out, |instance, out| {
            instance.judge.observe(observed, received, findings);
            if !findings.is_empty() {
                measures::keep(findings, &instance.subject, measured);
                instance.decide(spec, Some(observed), received, now, findings, naming, out);
                self.counters.raises_held_back_total.add(instance.life.take_held_back());
            }
        });
        self.sound &= judged.is_some();
        if reckon {
            let (bytes, before) = instance.reckon();
            self.room.add_bytes(bytes);
            self.room.sub_bytes(before);
            self.grown |= bytes > before;
        }
    }

    /// The same for a view, which becomes a verdict of its own if its judge reports it. Returns whether no judge has
    /// panicked.
    pub(super) fn view<J: Judge>(
        &mut self,
        instance: &mut Instance<J>,
        spec: &JudgeSpec<J>,
        (view, captured): (View, Captured),
        by_candidate: bool,
        out: &mut Decision,
    ) -> bool {
        instance.by_candidate = by_candidate;
        let before = std::mem::replace(&mut self.sound, true);
        self.observe(instance, spec, Observable::View(&view, captured), out);
        if self.sound && self.findings.contains(&Finding::View) {
            let (received, now, by_smaller) = (self.received, self.now, self.by_smaller);
            let reported =
                contained(instance, spec, self.counters, "reporting", now, out, |instance, out| {
                    instance.report(spec, (view, by_smaller), captured, received, now, out);
                });
            self.sound = reported.is_some();
        }
        let sound = self.sound;
        self.sound &= before;
        sound
    }
}
