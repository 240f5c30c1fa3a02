//! The states of machines over a restart: a contact that is published when it changes says nothing for days.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use verge_domain::id::{DeviceId, JudgeId, JudgeIndex, SignalId, SourceId};
use verge_domain::stage::{Checkpoint, Judge};
use verge_domain::time::Moment;
use verge_domain::verdict::Subject;

use super::super::saved::{self, SEPARATOR};
use super::super::saved_life::{SavedEvent, SavedLife};
use super::super::{Decision, JudgeSet};
use super::rule::MOST_STATES;
use super::{MachineStates, RECORD_BYTES, Reduction, StateHistory, state_named};

/// First part of the key of a machine's state.
pub(in crate::judging) const MACHINE: &str = "machine";
/// First part of the key of the event that a machine's state does not come.
pub(in crate::judging) const MISSING_STATE: &str = "unheard";
const VERSION: u8 = 1;
/// A state that changes more often is saved with the next pass.
const SAVE_AT_ONCE_EVERY: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
struct SavedMachine {
    v: u8,
    history: StateHistory,
    values: Vec<f64>,
    #[serde(default)]
    others_total: u64,
}

impl SavedMachine {
    fn is_sound(&self, reduction: Reduction) -> bool {
        self.v == VERSION
            && self.values.len() <= MOST_STATES
            && self.values.iter().all(|value| value.is_finite())
            && self.history.is_sound(reduction.states())
    }
}

impl MachineStates {
    pub(super) fn remove(&mut self, record: usize) {
        let record = self.records.remove(record);
        self.by_device[record.of].remove(&record.device);
        self.room.sub_bytes(RECORD_BYTES);
    }

    /// The state of the judge's `by` with this name.
    pub(in crate::judging) fn state_named(
        &mut self,
        judge: JudgeIndex,
        device: &DeviceId,
        name: Option<&str>,
    ) -> Option<Option<u8>> {
        match (self.links[judge.position()].by, name) {
            (None, None) => Some(None),
            (Some((of, _)), Some(name)) => {
                let record = self.record(of, device);
                state_named(name, &mut self.records[record].values).map(Some)
            }
            _ => None,
        }
    }
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// `machine`, source, device, signal, and how states are made of it.
    pub(super) fn machine_key(&self, record: usize) -> String {
        let reduction = self.machines.of[self.machines.records[record].of].reduction;
        let (_, subject) = self.subject_of_state(record);
        let signal = &self.machines.of[self.machines.records[record].of].signal.signal;
        key_of(&subject.source, &subject.device, signal, &reduction)
    }

    /// Saves a state at once, unless that was done a moment ago.
    pub(super) fn save_machine(&mut self, record: usize, must: bool, now: Moment, out: &mut Decision) {
        let last = self.machines.records[record].last_saved;
        if !must && last.is_some_and(|last| now.mono.since(last) < SAVE_AT_ONCE_EVERY) {
            return;
        }
        let key = self.machine_key(record);
        let record = &mut self.machines.records[record];
        (record.is_saved, record.last_saved) = (true, Some(now.mono));
        let saved = SavedMachine {
            v: VERSION,
            history: record.history.clone(),
            values: record.values.clone(),
            others_total: record.others_total,
        };
        let state = serde_json::to_vec(&saved).expect("finite numbers");
        out.checkpoints.push(Checkpoint { key, state: Some(state) });
    }

    /// Saves what has changed meanwhile.
    pub(in crate::judging) fn save_machines(&mut self, now: Moment, out: &mut Decision) {
        let unsaved: Vec<usize> = self
            .machines
            .records
            .iter()
            .filter(|(_, record)| !record.is_saved)
            .map(|(record, _)| record)
            .collect();
        for record in unsaved {
            self.save_machine(record, true, now, out);
        }
    }

    /// Restores the state of a machine. Returns whether it is still of use.
    pub(in crate::judging) fn restore_machine(&mut self, key: &str, state: &[u8], now: Moment) -> bool {
        let Some((source, device, signal, reduction)) = parse_key(key) else {
            tracing::warn!("a saved state of a machine under an unknown key was dropped");
            return false;
        };
        let named = |of: &super::StateOf| {
            self.sources.get(usize::from(of.signal.source.0)) == Some(&source)
                && of.signal.signal == signal
                && of.reduction.to_string() == reduction
                && of.signal.device.as_ref().is_none_or(|known| *known == device)
        };
        let of = self.machines.of.iter().position(named);
        let Some(of) = of else { return false };
        match serde_json::from_slice::<SavedMachine>(state) {
            Ok(saved) if saved.is_sound(self.machines.of[of].reduction) => {
                let index = self.machines.record(of, &device);
                let record = &mut self.machines.records[index];
                (record.history, record.values) = (saved.history, saved.values);
                record.others_total = saved.others_total;
                (record.changed, record.is_streamed) = (now.mono, true);
                true
            }
            Ok(_) => {
                tracing::warn!(%device, %signal, "a saved state of a machine is of another version: it is waited for anew");
                false
            }
            Err(error) => {
                tracing::warn!(%device, %signal, %error, "a saved state of a machine is damaged: it is waited for anew");
                false
            }
        }
    }
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// Saves that a state does not come, or that it has.
    pub(super) fn save_missing(&mut self, record: usize, event: Option<SavedEvent>, out: &mut Decision) {
        let (judge, subject) = self.subject_of_state(record);
        let spec = &self.specs[judge];
        let life = SavedLife::of(spec, None, event.as_slice(), false);
        let key = saved::key(MISSING_STATE, &spec.name, &subject);
        out.checkpoints.push(Checkpoint { key, state: life.map(|life| life.to_bytes()) });
    }

    /// Takes up that a state did not come. Returns whether the judge still depends on it.
    pub(in crate::judging) fn restore_missing(
        &mut self,
        judge: &JudgeId,
        subject: &Subject,
        life: &SavedLife,
    ) -> bool {
        let spec = self.specs.iter().find(|(_, spec)| spec.name == *judge);
        let Some(judge) = spec.map(|(index, _)| index) else { return false };
        let named = |of: &super::StateOf| {
            of.judge == judge
                && self.sources.get(usize::from(of.signal.source.0)) == Some(&subject.source)
                && Some(&of.signal.signal) == subject.signal.as_ref()
                && of.signal.device.as_ref().is_none_or(|known| *known == subject.device)
        };
        let (Some(of), Some(saved)) = (self.machines.of.iter().position(named), life.events.first()) else {
            return false;
        };
        let record = self.machines.record(of, &subject.device);
        self.machines.records[record].event = Some(saved.clone());
        true
    }
}

/// See [`JudgeSet::machine_key`].
pub(super) fn key_of(
    source: &SourceId,
    device: &DeviceId,
    signal: &SignalId,
    reduction: &Reduction,
) -> String {
    format!("{MACHINE}{SEPARATOR}{source}{SEPARATOR}{device}{SEPARATOR}{signal}{SEPARATOR}{reduction}")
}

fn parse_key(key: &str) -> Option<(SourceId, DeviceId, SignalId, &str)> {
    let mut parts = key.split(SEPARATOR);
    parts.next().filter(|kind| *kind == MACHINE)?;
    let source = SourceId::new(parts.next()?).ok()?;
    let device = DeviceId::new(parts.next()?).ok()?;
    let signal = SignalId::new(parts.next()?).ok()?;
    let reduction = parts.next()?;
    parts.next().is_none().then_some((source, device, signal, reduction))
}
