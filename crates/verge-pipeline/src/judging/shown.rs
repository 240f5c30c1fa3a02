//! What signals show, noted for people who look at them: the values as they come, and on the tick where each judge expects
//! them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use verge_domain::id::Unit;
use verge_domain::reading::Reading;
use verge_domain::stage::Judge;
use verge_domain::time::Moment;
use verge_domain::verdict::Subject;

use super::JudgeSet;
use crate::history::{Noted, SignalCell, SignalCourse, SignalRoom};

/// The values of a signal since the last tick.
#[derive(Debug, Default)]
pub(super) struct SignalNote {
    noted: Option<Noted>,
    unit: Option<Unit>,
    /// The step in which its judges were asked last.
    asked: Option<u32>,
    /// Its place in the room, once it has one.
    cell: Option<Arc<SignalCell>>,
}

impl SignalNote {
    #[inline]
    pub(super) fn add(&mut self, reading: &Reading) {
        match &mut self.noted {
            Some(noted) => noted.add(reading.value),
            None => self.noted = Some(Noted::of(reading.value)),
        }
        if self.unit != reading.unit && reading.unit.is_some() {
            self.unit.clone_from(&reading.unit);
        }
    }
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// From now on what signals show is noted here. Other judges may note it in the same place.
    pub fn show_signals(&mut self, room: &Arc<SignalRoom>) {
        self.shown = Some(Arc::clone(room));
        self.streams.note_values();
    }

    /// Notes what signals have shown since the last tick. It waits for nobody.
    pub fn note_signals(&mut self, now: Moment) {
        let Some(room) = &self.shown else { return };
        let (instances, specs) = (&self.instances, &self.specs);
        let step = SignalCourse::step_of(now.wall);
        for (source, device, signal, looking, note) in self.streams.noted() {
            let Some(noted) = note.noted else { continue };
            if note.cell.is_none() {
                let Some(source) = self.sources.get(usize::from(source.0)) else { continue };
                let (source, device, signal) = (source.clone(), device.clone(), Some(signal.clone()));
                note.cell = room.open(&Subject { source, device, signal });
            }
            let Some(cell) = &note.cell else { continue };
            let Some(mut course) = cell.try_course() else { continue };
            let before = course.bytes();
            course.note(now.wall, noted, note.unit.as_ref());
            // Once in a step: what is expected changes slowly.
            if note.asked != Some(step) {
                note.asked = Some(step);
                for instance in looking.iter().filter_map(|&index| instances.get(index)) {
                    let Some(spec) = specs.get(instance.judge_index) else { continue };
                    course.hold(instance.life.is_holding(None));
                    if note.unit.is_none() {
                        note.unit = spec.tags.of(&instance.subject).and_then(|tag| tag.unit.clone());
                    }
                    // Of one that learns in each state of its machine, the one that judges now.
                    if !instance.gate.as_ref().is_some_and(|gate| gate.paused && gate.state().is_some()) {
                        // One that panics here expects nothing; its next reading finds the fault.
                        let expected = catch_unwind(AssertUnwindSafe(|| instance.judge.expectation()));
                        course.expect(now.wall, &spec.name, expected.ok().flatten());
                    }
                }
            }
            room.grown(before, course.bytes());
            cell.noted(now.wall);
            note.noted = None;
        }
        room.fit();
    }
}
