//! What a change of state does to the judges.

use std::panic::{AssertUnwindSafe, catch_unwind};

use verge_domain::finding::{Expected, Member};
use verge_domain::id::JudgeIndex;
use verge_domain::policy::{Observed, OpenEvent};
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::stage::{Checkpoint, Judge};
use verge_domain::time::{DeviceClock, Moment, UtcMillis};
use verge_domain::verdict::{Body, Event, EventState, Health, Subject, Times, Verdict};

use super::super::instance::Instance;
use super::super::saved_life::SavedEvent;
use super::super::spec::Specs;
use super::super::{Decision, InstanceKey, JudgeSet, JudgeSpec};
use super::{GateStanding, MISSING_AFTER, MachineStates, UNSET};
use crate::counters::is_power_of_ten;

impl MachineStates {
    /// Whether an instance judges what was observed at this time; opens its gate where that is the present state.
    pub(in crate::judging) fn admits<J: Judge>(
        &mut self,
        instance: &mut Instance<J>,
        at: UtcMillis,
        received: Moment,
    ) -> bool {
        let Some(gate) = &mut instance.gate else { return true };
        match self.standing_at(gate, at) {
            GateStanding::Open => {
                if gate.paused
                    && gate.standing(|needs| self.holds_now(needs.record, needs.state)) == GateStanding::Open
                {
                    instance.resume(received);
                }
                return true;
            }
            GateStanding::Shut => {}
            GateStanding::Unknown(record) => self.wait(record, received.mono),
        }
        instance.last_received = received.mono;
        false
    }

    fn holds_now(&self, record: usize, state: u8) -> Option<bool> {
        Some(self.records[record].history.current()? == state)
    }

    /// Whether time passes for an instance. Its gate is opened, or shut and its open events suspended.
    pub(in crate::judging) fn lets_time_pass<J: Judge>(
        &mut self,
        instance: &mut Instance<J>,
        spec: &JudgeSpec<J>,
        at: UtcMillis,
        now: Moment,
        out: &mut Decision,
    ) -> bool {
        let Some(gate) = &mut instance.gate else { return true };
        match self.standing_now(gate, now.mono) {
            GateStanding::Open => {
                if gate.paused {
                    instance.resume(now);
                }
                return true;
            }
            GateStanding::Shut => {}
            GateStanding::Unknown(record) => self.wait(record, now.mono),
        }
        gate.paused = true;
        instance.suspend(spec, Observed { at, received: now }, out);
        false
    }
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// Takes note of a reading that may say in which state a machine is.
    pub(in crate::judging) fn note_state(
        &mut self,
        source: SourceIndex,
        reading: &Reading,
        received: Moment,
        now: Moment,
        out: &mut Decision,
    ) {
        for of in 0..self.machines.of.len() {
            let Some((record, changed)) = self.machines.note(of, source, reading, received) else { continue };
            if let Some(event) = self.machines.records[record].event.take() {
                self.report_missing(record, event, EventState::Cleared, now, out);
            }
            if !changed {
                continue;
            }
            self.provide(record, now, out);
            let at = reading.time(received.wall);
            for user in self.machines.records[record].users.clone() {
                let instance = &mut self.instances[user];
                let spec = &self.specs[instance.judge_index];
                self.machines.lets_time_pass(instance, spec, at, received, out);
            }
            self.save_machine(record, false, now, out);
        }
    }

    /// Makes the instances that learn in the present state of a machine, where there are none yet.
    fn provide(&mut self, record: usize, now: Moment, out: &mut Decision) {
        let Some(state) = self.machines.records[record].history.current() else { return };
        let mut lacking: Vec<(usize, InstanceKey)> = Vec::new();
        for &user in &self.machines.records[record].users {
            let Some(gate) = &self.instances[user].gate else { continue };
            if gate.record() != Some(record) {
                continue;
            }
            let key = InstanceKey { state: Some(state), ..self.key_of(user) };
            if !self.by_key.contains_key(&key) && !lacking.iter().any(|(_, known)| *known == key) {
                lacking.push((user, key));
            }
        }
        for (sibling, key) in lacking {
            let old = self.key_of(sibling);
            if old.state == Some(UNSET) {
                let name = self.machines.name_of(record, state);
                if let Some(gate) = &mut self.instances[sibling].gate {
                    gate.adopt(state, name);
                }
                self.by_key.remove(&old);
                self.by_key.insert(key, sibling);
            } else {
                self.make_sibling(sibling, key, now, out);
            }
        }
    }

    /// Makes an instance that learns in another state than its sibling, if there is room.
    fn make_sibling(&mut self, sibling: usize, key: InstanceKey, now: Moment, out: &mut Decision) {
        if !self.has_room_for_a_state(now, out) {
            self.counters.states_without_room_total.add(1);
            if is_power_of_ten(self.counters.states_without_room_total.get()) {
                tracing::warn!(
                    device = %key.device, judges_memory = self.room.limit(),
                    "judges have no room to learn another state of a machine apart (by): nothing is judged in that \
                     state; raise gateway.judges_memory"
                );
            }
            return;
        }
        // The sibling may have given way.
        if self.instances.get(sibling).is_none() {
            return;
        }
        let whole_plant = self.specs[key.judge].machine.is_some();
        let device = key.device.clone();
        let Ok(index) = catch_unwind(AssertUnwindSafe(|| self.instance(key, now))) else {
            self.counters.defects_total.add(1);
            return;
        };
        let uses = self.streams.join(sibling, index, Some(&device).filter(|_| !whole_plant));
        self.instances[index].users += uses;
        self.drop_unused(index, now, out);
    }

    /// Reports, once, that a state does not come.
    pub(in crate::judging) fn report_overdue(&mut self, now: Moment, out: &mut Decision) {
        let Some(record) = self.machines.overdue.take() else { return };
        let Some(waited) = self.machines.records.get(record).and_then(|record| record.waiting) else {
            return;
        };
        let since =
            now.wall.0.saturating_sub_unsigned(now.mono.since(waited).as_millis().try_into().unwrap_or(0));
        let event = SavedEvent {
            member: Member::Silent,
            part: None,
            event: OpenEvent::new(self.naming.id(), UtcMillis(since), false),
            observed: now.mono.since(waited).as_secs_f64(),
            expected: Expected { low: None, high: Some(MISSING_AFTER.as_secs_f64()) },
            number: Some(self.naming.number()),
            reported: Some(now.wall),
            severity: None,
        };
        self.machines.records[record].event = Some(event.clone());
        let of = &self.machines.of[self.machines.records[record].of];
        let (signal, source) = (&of.signal, &self.sources[usize::from(of.signal.source.0)]);
        let elsewhere = self.streams.devices_with(signal.source, &signal.signal);
        tracing::warn!(
            judge = %self.specs[of.judge].name, %source, device = %self.machines.records[record].device,
            signal = %signal.signal, sent_by = ?elsewhere,
            "the state of a machine does not come: what depends on it is not judged; if another device sends it, write \
             device (while) or by_device"
        );
        self.report_missing(record, event, EventState::Raised, now, out);
    }

    fn report_missing(
        &mut self,
        record: usize,
        saved: SavedEvent,
        state: EventState,
        now: Moment,
        out: &mut Decision,
    ) {
        let (judge, subject) = self.subject_of_state(record);
        let spec = &self.specs[judge];
        let OpenEvent { id, since, suspended, learning, handling, course: _ } = saved.event;
        let (expected, number) = (saved.expected, saved.number);
        let ends = state == EventState::Cleared;
        let observed = if ends { 0.0 } else { saved.observed };
        let lasted_ms = u64::try_from(now.wall.since(since).as_millis()).unwrap_or(u64::MAX);
        out.verdicts.push(Verdict {
            tag: None,
            judge: spec.name.clone(),
            subject,
            times: Times {
                captured: None,
                clock: DeviceClock::Absent,
                received: now.wall,
                decided: now.wall,
                estimated: false,
            },
            detector: spec.detector,
            model: None,
            severity: spec.policy.severity,
            lane: spec.policy.lane,
            event: Some(Event {
                id,
                state,
                since,
                lasted_ms,
                number,
                change: None,
                suspended,
                learning,
                group: None,
                handling,
            }),
            group: None,
            action: None,
            body: Body::Health(Health::of(Member::Silent, observed, expected)),
        });
        self.save_missing(record, Some(saved).filter(|_| !ends), out);
    }

    /// The judge that speaks for a state, and what its reports are about.
    pub(super) fn subject_of_state(&self, record: usize) -> (JudgeIndex, Subject) {
        let record = &self.machines.records[record];
        let of = &self.machines.of[record.of];
        let source = self.sources[usize::from(of.signal.source.0)].clone();
        (of.judge, Subject { source, device: record.device.clone(), signal: Some(of.signal.signal.clone()) })
    }

    /// Before the judges change: what is reported as not coming is cleared, and is waited for anew.
    pub(in crate::judging) fn end_waiting(&mut self, now: Moment, out: &mut Decision) {
        for record in 0..self.machines.records.capacity() {
            let Some(waited) = self.machines.records.get_mut(record) else { continue };
            waited.waiting = None;
            if let Some(event) = waited.event.take() {
                self.report_missing(record, event, EventState::Cleared, now, out);
            }
        }
    }

    /// After the judges have changed: what is known of the states of machines is kept where a judge needs it, and each
    /// instance gets the gate of its judge.
    pub(in crate::judging) fn regate(&mut self, now: Moment, out: &mut Decision) {
        let mut machines = MachineStates::new(&self.specs, std::sync::Arc::clone(&self.room));
        let before = std::mem::replace(
            &mut self.machines,
            MachineStates::new(&Specs::<J>(Vec::new()), std::sync::Arc::clone(&self.room)),
        );
        let idle = machines.take_over(before);
        self.machines = machines;
        for (source, device, signal, reduction) in idle {
            let key =
                super::restored::key_of(&self.sources[usize::from(source.0)], &device, &signal, &reduction);
            out.checkpoints.push(Checkpoint { key, state: None });
        }
        for (index, instance) in &mut self.instances {
            let (state, paused) =
                instance.gate.take().map_or((None, false), |gate| (gate.state(), gate.paused));
            instance.gate = self.machines.gate(instance.judge_index, &instance.subject.device, state, index);
            if let Some(gate) = &mut instance.gate {
                gate.paused = paused;
            }
        }
        let idle = self.machines.unused();
        self.drop_machines(idle, now, out);
    }

    /// Drops records that nothing needs any more, with what was saved of them.
    pub(in crate::judging) fn drop_machines(&mut self, idle: Vec<usize>, now: Moment, out: &mut Decision) {
        for record in idle {
            if let Some(event) = self.machines.records[record].event.take() {
                self.report_missing(record, event, EventState::Cleared, now, out);
            }
            out.checkpoints.push(Checkpoint { key: self.machine_key(record), state: None });
            self.machines.remove(record);
        }
    }
}
