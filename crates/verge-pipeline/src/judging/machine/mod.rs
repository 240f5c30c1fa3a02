//! The state of machines: judges that judge only in one state, and judges that learn apart for each.
//!
//! A record holds, for one signal of one device and one way to make states of its values, what it last said and when
//! ([`history`]). Instances of judges refer to records by their gate ([`gate`]): an observation goes to an instance if
//! the states that held at its own time are those of the instance, for as long as it takes to settle. While the gate is
//! shut no time passes for the judge, and its open events are suspended.

mod gate;
mod history;
mod restored;
mod rule;
mod work;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use verge_domain::id::{DeviceId, JudgeIndex, SignalId};
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::time::{Moment, Monotonic, UtcMillis};

pub(super) use gate::{GateStanding, Needs, StateGate};
use history::StateHistory;
pub(super) use restored::{MACHINE, MISSING_STATE};
pub use rule::{ByRule, StateRules, StateSignal, StateTest, WhileRule};
use rule::{MOST_STATES, OTHER, Reduction, state_name, state_named};

use super::room::Room;
use super::saved_life::SavedEvent;
use super::spec::Specs;

/// The state of an instance that was made before the state of its machine was known.
pub(super) const UNSET: u8 = u8::MAX;
/// A state that is waited for longer than this is reported.
const MISSING_AFTER: Duration = Duration::from_secs(600);
/// Approximate memory of one record, in two tables.
const RECORD_BYTES: usize = 512;

/// A signal that says in which state a machine is, and how states are made of its values.
struct StateOf {
    signal: StateSignal,
    reduction: Reduction,
    /// The first judge that depends on it, which speaks for all.
    judge: JudgeIndex,
}

/// What one judge depends on, by position in the list of [`StateOf`], and how long it waits after a change.
#[derive(Debug, Clone, Copy, Default)]
struct Links {
    only_while: Option<(usize, Duration)>,
    by: Option<(usize, Duration)>,
}

/// What is known of the state of one machine.
struct MachineRecord {
    of: usize,
    device: DeviceId,
    history: StateHistory,
    values: Vec<f64>,
    /// Readings of values beyond those that are distinguished.
    others_total: u64,
    /// Receipt of the last change.
    changed: Monotonic,
    /// Instances that depend on it.
    users: Vec<usize>,
    /// Its device is known.
    is_streamed: bool,
    /// Since when something is not judged because it is not known.
    waiting: Option<Monotonic>,
    /// That it does not come is reported.
    event: Option<SavedEvent>,
    is_saved: bool,
    last_saved: Option<Monotonic>,
}

/// The states of all machines.
pub(super) struct MachineStates {
    of: Vec<StateOf>,
    links: Vec<Links>,
    by_device: Vec<HashMap<DeviceId, usize>>,
    records: Slab<MachineRecord>,
    /// A record that is waited for too long.
    overdue: Option<usize>,
    room: Arc<Room>,
}

impl MachineStates {
    pub(super) fn new<J>(specs: &Specs<J>, room: Arc<Room>) -> Self {
        let mut of: Vec<StateOf> = Vec::new();
        let mut find = |judge, signal: &StateSignal, reduction| {
            let known = of.iter().position(|known| known.signal == *signal && known.reduction == reduction);
            known.unwrap_or_else(|| {
                of.push(StateOf { signal: signal.clone(), reduction, judge });
                of.len() - 1
            })
        };
        let mut links = vec![Links::default(); specs.0.len()];
        for (judge, spec) in specs.iter() {
            let StateRules { only_while, by } = &spec.states;
            links[judge.position()] = Links {
                only_while: only_while
                    .as_ref()
                    .map(|rule| (find(judge, &rule.state, Reduction::Test(rule.test)), rule.settle)),
                by: by.as_ref().map(|rule| (find(judge, &rule.state, Reduction::Values), rule.settle)),
            };
        }
        let by_device = of.iter().map(|_| HashMap::new()).collect();
        Self { of, links, by_device, records: Slab::new(), overdue: None, room }
    }

    /// Whether readings of this signal say in which state a machine is.
    pub(super) fn is_state(&self, source: SourceIndex, signal: &SignalId) -> bool {
        self.of.iter().any(|of| of.signal.source == source && of.signal.signal == *signal)
    }

    /// Whether any judge depends on a state that this source reports.
    pub(super) fn is_source(&self, source: SourceIndex) -> bool {
        self.of.iter().any(|of| of.signal.source == source)
    }

    /// The record of the machine of a device, made if there is none.
    fn record(&mut self, of: usize, device: &DeviceId) -> usize {
        let device = self.of[of].signal.device.as_ref().unwrap_or(device);
        if let Some(&known) = self.by_device[of].get(device) {
            return known;
        }
        self.room.add_bytes(RECORD_BYTES);
        let record = self.records.insert(MachineRecord {
            of,
            device: device.clone(),
            history: StateHistory::default(),
            values: Vec::new(),
            others_total: 0,
            changed: Monotonic(0),
            users: Vec::new(),
            is_streamed: false,
            waiting: None,
            event: None,
            is_saved: true,
            last_saved: None,
        });
        self.by_device[of].insert(device.clone(), record);
        record
    }

    /// Takes note of a reading. Returns the record, and whether the state has changed.
    fn note(
        &mut self,
        of: usize,
        source: SourceIndex,
        reading: &Reading,
        received: Moment,
    ) -> Option<(usize, bool)> {
        let StateOf { signal, reduction, .. } = &self.of[of];
        let is_of = signal.source == source
            && signal.signal == reading.signal
            && signal.device.as_ref().is_none_or(|device| *device == reading.device);
        if !is_of {
            return None;
        }
        let reduction = *reduction;
        let index = self.record(of, &reading.device);
        let record = &mut self.records[index];
        record.is_streamed = true;
        record.waiting = None;
        let state = reduction.state(reading.value, &mut record.values);
        if reduction == Reduction::Values && state == OTHER {
            record.others_total += 1;
            if crate::counters::is_power_of_ten(record.others_total) {
                tracing::warn!(
                    device = %record.device, signal = %reading.signal, readings = record.others_total,
                    "by: this signal has more than {MOST_STATES} values; those beyond the first {MOST_STATES} are one \
                     state together"
                );
            }
        }
        let changed = record.history.note(reading.time(received.wall), state);
        if changed {
            record.changed = received.mono;
            record.is_saved = false;
        }
        Some((index, changed))
    }

    /// The states in which a judge has instances of their own for a device: one of none where it does not learn apart.
    pub(super) fn states_of(&mut self, judge: JudgeIndex, device: &DeviceId) -> Vec<Option<u8>> {
        let Some((of, _)) = self.links[judge.position()].by else { return vec![None] };
        let record = self.record(of, device);
        let record = &self.records[record];
        let known = (0..).take(record.values.len()).chain((record.others_total > 0).then_some(OTHER));
        let states: Vec<Option<u8>> = known.map(Some).collect();
        if states.is_empty() { vec![Some(UNSET)] } else { states }
    }

    /// What shuts an instance of a judge for a device, if anything does.
    pub(super) fn gate(
        &mut self,
        judge: JudgeIndex,
        device: &DeviceId,
        state: Option<u8>,
        index: usize,
    ) -> Option<Box<StateGate>> {
        let Links { only_while, by } = self.links[judge.position()];
        let mut needs = |link: Option<(usize, Duration)>, state| {
            let (of, settle) = link?;
            let record = self.record(of, device);
            self.records[record].users.push(index);
            Some(Needs { record, state, settle })
        };
        let (only_while, by) = (needs(only_while, 1), needs(by, state.unwrap_or(UNSET)));
        if only_while.is_none() && by.is_none() {
            return None;
        }
        let name = by.as_ref().map(|needs| self.name_of(needs.record, needs.state));
        Some(Box::new(StateGate { only_while, by, name, paused: true }))
    }

    fn name_of(&self, record: usize, state: u8) -> String {
        if state == UNSET { String::new() } else { state_name(state, &self.records[record].values) }
    }

    /// An instance is gone. Returns the saved keys of records that nothing needs any more.
    pub(super) fn leave(&mut self, gate: &StateGate, index: usize) -> Vec<usize> {
        let needs = gate.only_while.iter().chain(&gate.by);
        let records: Vec<usize> = needs.map(|needs| needs.record).collect();
        for &record in &records {
            self.records[record].users.retain(|user| *user != index);
        }
        records.into_iter().filter(|record| self.is_idle(*record)).collect()
    }

    /// A device is forgotten. Returns the records that nothing needs any more.
    pub(super) fn forget(&mut self, source: SourceIndex, device: &DeviceId) -> Vec<usize> {
        let of_source = |of: &usize| self.of[*of].signal.source == source;
        let records: Vec<usize> = (0..self.of.len())
            .filter(of_source)
            .filter_map(|of| self.by_device[of].get(device).copied())
            .collect();
        for &record in &records {
            self.records[record].is_streamed = false;
        }
        records.into_iter().filter(|record| self.is_idle(*record)).collect()
    }

    /// Takes over what is known of states that are still needed. Returns the others, as their saved keys name them.
    fn take_over(&mut self, before: Self) -> Vec<(SourceIndex, DeviceId, SignalId, Reduction)> {
        let mut idle = Vec::new();
        for (_, record) in before.records {
            let was = &before.of[record.of];
            let is = self.of.iter().position(|of| of.signal == was.signal && of.reduction == was.reduction);
            let Some(of) = is else {
                self.room.sub_bytes(RECORD_BYTES);
                idle.push((was.signal.source, record.device, was.signal.signal.clone(), was.reduction));
                continue;
            };
            let device = record.device.clone();
            let index = self.records.insert(MachineRecord { of, users: Vec::new(), ..record });
            self.by_device[of].insert(device, index);
        }
        idle
    }

    /// Records that nothing needs.
    fn unused(&self) -> Vec<usize> {
        (0..self.records.capacity()).filter(|record| self.is_idle(*record)).collect()
    }

    fn is_idle(&self, record: usize) -> bool {
        self.records.get(record).is_some_and(|record| record.users.is_empty() && !record.is_streamed)
    }

    /// Whether an instance judges what was observed at this time.
    pub(super) fn standing_at(&self, gate: &StateGate, at: UtcMillis) -> GateStanding {
        gate.standing(|needs| {
            let (state, since) = self.records[needs.record].history.at(at)?;
            Some(state == needs.state && at.since(since) >= needs.settle)
        })
    }

    /// Whether an instance judges now.
    pub(super) fn standing_now(&self, gate: &StateGate, now: Monotonic) -> GateStanding {
        gate.standing(|needs| {
            let record = &self.records[needs.record];
            let state = record.history.current()?;
            Some(state == needs.state && now.since(record.changed) >= needs.settle)
        })
    }

    /// Something is not judged because a state is not known.
    pub(super) fn wait(&mut self, record: usize, now: Monotonic) {
        let waited = &mut self.records[record];
        let since = *waited.waiting.get_or_insert(now);
        if waited.event.is_none() && now.since(since) >= MISSING_AFTER {
            self.overdue = Some(record);
        }
    }
}

#[cfg(test)]
mod tests;
