//! From observations to verdicts: find the judges that look at one, let them judge, apply policy. Readings are decoded
//! from messages here; what models see in frames comes as observations.
//!
//! Pure except for the random identities passed in: no thread, no clock, no I/O. The intake's thread drives
//! it with live input and `verge judge` with files, so an offline trial runs the same code.

mod account;
mod admission;
mod body;
mod cameras;
mod contacts;
mod containment;
mod fingerprint;
mod groups;
mod instance;
mod keys;
mod limits;
mod lines;
mod machine;
mod maintenance;
mod measures;
mod operator;
mod orders;
mod outcome;
mod raised;
mod rates;
mod received;
mod register;
mod room;
mod saved;
mod saved_life;
mod saving;
mod shown;
mod spec;
mod streams;
mod swap;
mod time;
mod turn;
mod watched;

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;
use verge_domain::finding::Finding;
use verge_domain::id::{EventId, JudgeId, SourceId};
use verge_domain::reading::{Decoded, Inbound, Reading, SourceIndex};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::{Checkpoint, Decoder, Judge};
use verge_domain::time::{Moment, Monotonic};
use verge_domain::verdict::Verdict;

use crate::counters::{Counters, JudgingAccount};
use crate::history::SignalRoom;
use account::{account, note_remarks};
use contacts::Contacts;
pub use contacts::StateSuggestion;
pub use containment::Undecoded;
pub(crate) use containment::decode;
pub use fingerprint::{Fingerprint, SettingChange};
use groups::AlarmGroups;
pub use groups::GroupSettings;
use instance::Instance;
pub use limits::JudgeLimits;
pub use lines::CountedLines;
use machine::MachineStates;
pub use machine::{ByRule, StateRules, StateSignal, StateTest, WhileRule};
pub use maintenance::MAX_WINDOWS;
use maintenance::Window;
use measures::CameraMeasure;
pub use operator::{LONGEST_SHELVING, Operator};
pub use orders::{LONGEST_WINDOW, Names, Order, OrderError, Selector};
pub use outcome::Outcome;
pub(crate) use outcome::joint;
pub use raised::raised_before;
pub(crate) use raised::{RaisedCounts, saved_counts};
pub use rates::{JudgeRate, budget_text};
pub use received::WatchedDevices;
use register::EventNaming;
pub(crate) use register::saved_number;
pub use register::{EventRegister, KNOWN_EVENTS, KnownEvent, labels_in};
pub use room::{DEFAULT_JUDGES_MEMORY, JudgesMemory, NEW_NAMES_PER_SECOND};
use room::{NewNames, Room};
pub use saved::{
    LeftState, NotTaken, RestoreReport, is_settings_key, judge_taught, learnt_key, learnt_subject, pool_key,
    settings_key, subject_of,
};
pub use saved_life::open_events;
pub(crate) use saving::state_bytes;
pub use saving::{STATES_AT_ONCE, SavePass};
pub use spec::{InputPattern, Inputs, JudgeSpec, Observes};
use spec::{InstanceKey, Part, Specs};
use streams::Streams;
pub use streams::{MAX_DEVICES, MAX_SIGNALS_PER_DEVICE};
use swap::Renewals;
pub use swap::{KeptJudge, PlannedJudge, StartedAnew, SwapReport};
use turn::Turn;
pub use watched::WatchedSubjects;

/// The result of one message, or of time passing.
#[derive(Debug, Default)]
pub struct Decision {
    /// Verdicts, in the order they were made.
    pub verdicts: Vec<Verdict>,
    /// State that must become durable together with them.
    pub checkpoints: Vec<Checkpoint>,
}

impl Decision {
    /// Nothing was decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.verdicts.is_empty() && self.checkpoints.is_empty()
    }
}

/// All judges at work: the codecs before them and the policy after them.
pub struct JudgeSet<D, J> {
    decoder: D,
    specs: Specs<J>,
    /// Checksums of what the instances of each judge share, as last handed out or restored.
    pools_saved: HashMap<JudgeId, u64>,
    /// The settings under which the judges learn, as last handed out or restored.
    settings_saved: HashMap<JudgeId, Fingerprint>,
    sources: Vec<SourceId>,
    streams: Streams,
    /// Where what signals show is noted, if anywhere.
    shown: Option<Arc<SignalRoom>>,
    instances: Slab<Instance<J>>,
    by_key: HashMap<InstanceKey, usize>,
    machines: MachineStates,
    windows: Vec<Window>,
    new_names: NewNames,
    room: Arc<Room>,
    /// Until then nothing is evicted for a newcomer.
    full_until: Monotonic,
    /// Judges whose detector was set anew, and whose state is still to be carried over.
    renewals: Renewals,
    counters: Arc<Counters>,
    naming: EventNaming,
    groups: AlarmGroups,
    contacts: Contacts,
    decoded: Decoded<Reading>,
    findings: Vec<Finding>,
    /// What was measured before cameras and is still to be judged.
    measured: Vec<CameraMeasure>,
}

impl<D: Decoder<Item = Reading>, J: Judge> JudgeSet<D, J> {
    /// Sets up the judges, in the order of their indices. `sources` are the names behind the indices of the sources;
    /// `fresh_id` gives each new event its identity.
    pub fn new(
        decoder: D,
        specs: Vec<JudgeSpec<J>>,
        sources: Vec<SourceId>,
        counters: Arc<Counters>,
        fresh_id: impl FnMut() -> EventId + Send + 'static,
        now: Moment,
    ) -> Self {
        Self::within(&JudgesMemory::default(), decoder, specs, sources, counters, fresh_id, now)
    }

    /// The same with memory that other judges may share.
    pub fn within(
        memory: &JudgesMemory,
        decoder: D,
        specs: Vec<JudgeSpec<J>>,
        sources: Vec<SourceId>,
        counters: Arc<Counters>,
        fresh_id: impl FnMut() -> EventId + Send + 'static,
        now: Moment,
    ) -> Self {
        let specs = Specs(specs.into_iter().map(Some).collect());
        let mut set = Self {
            decoder,
            pools_saved: HashMap::new(),
            settings_saved: HashMap::new(),
            machines: MachineStates::new(&specs, Arc::clone(&memory.0)),
            specs,
            streams: Streams::new(sources.len(), Arc::clone(&memory.0)),
            shown: None,
            room: Arc::clone(&memory.0),
            sources,
            instances: Slab::new(),
            by_key: HashMap::new(),
            windows: Vec::new(),
            new_names: NewNames::new(now.mono),
            full_until: Monotonic(0),
            renewals: Renewals::default(),
            counters,
            naming: EventNaming::new(fresh_id),
            groups: AlarmGroups::default(),
            contacts: Contacts::default(),
            decoded: Decoded::default(),
            findings: Vec::new(),
            measured: Vec::new(),
        };
        set.expect_devices(now);
        set
    }

    /// From now on events get their numbers from this register, which other judges may share.
    pub fn number_events_by(&mut self, register: &Arc<EventRegister>) {
        self.naming.register = Arc::clone(register);
    }

    /// From now on the last receipt of these devices is noted for readers on other threads.
    pub fn watch_devices(&mut self, watched: &Arc<WatchedDevices>) {
        self.streams.watch(watched);
    }

    /// From now on alarms that come together are reported as one. `name` tells these judges from others with the same store.
    pub fn group_alarms(&mut self, settings: GroupSettings, name: &str) {
        self.groups.set(settings, name);
    }

    /// Judges one message; its consequences are added to `out`.
    pub fn message(&mut self, message: &Inbound, now: Moment, out: &mut Decision) {
        let from = out.verdicts.len();
        let mut decoded = std::mem::take(&mut self.decoded);
        self.decode(message, &mut decoded);
        note_remarks(&self.counters, message, &decoded);
        let mut judged = 0;
        // What a message says of the state of a machine holds for its other readings as well.
        let reports_states = self.machines.is_source(message.source);
        for state in [true, false] {
            for reading in &decoded.items {
                if (reports_states && self.machines.is_state(message.source, &reading.signal)) != state {
                    continue;
                }
                match self.judge_reading(message.source, reading, message.received, now, out) {
                    Ok(()) => judged += 1,
                    Err(reason) => decoded.rejections.push(Rejection::whole(reason)),
                }
            }
        }
        for device in &decoded.away {
            self.device_away(message.source, device, now, out);
        }
        if let Some(topic) = decoded.asks.take() {
            self.counters.asks.want(topic);
        }
        account(&self.counters, message, judged, &decoded.rejections);
        self.decoded = decoded;
        self.arrange(from, now, out);
    }

    /// Judges one reading, with or without a message; its consequences are added to `out`. The caller counts it.
    ///
    /// # Errors
    /// More devices or signals than the limit.
    pub fn reading(
        &mut self,
        source: SourceIndex,
        reading: &Reading,
        received: Moment,
        now: Moment,
        out: &mut Decision,
    ) -> Result<(), Reason> {
        let from = out.verdicts.len();
        let judged = self.judge_reading(source, reading, received, now, out);
        self.arrange(from, now, out);
        judged
    }

    /// What is done with verdicts once they are made.
    fn arrange(&mut self, from: usize, now: Moment, out: &mut Decision) {
        if let Some(made) = out.verdicts.get(from..).filter(|made| !made.is_empty()) {
            let (specs, sources) = (&self.specs, &self.sources);
            self.contacts.note_events(made, sources, |judge| specs.named(judge).map(|spec| &spec.states));
        }
        self.groups.arrange(from, now, out);
    }

    fn judge_reading(
        &mut self,
        source: SourceIndex,
        reading: &Reading,
        received: Moment,
        now: Moment,
        out: &mut Decision,
    ) -> Result<(), Reason> {
        let (is_known, turned) = self.streams.record(source, reading, received.mono);
        if let Some(before) = turned {
            let of = (source, &reading.device, &reading.signal);
            self.contacts.changed(of, (before, reading.value), reading.time(received.wall));
        }
        let mut grown = false;
        if !is_known {
            grown = self.open_stream(source, reading, now, out)?;
            self.streams.record(source, reading, received.mono);
        }
        if self.renewals.are_due() {
            let looking = self.streams.instances(source, &reading.device, &reading.signal);
            self.renew_all(looking.unwrap_or_default().to_vec(), now, out);
        }
        if self.machines.is_source(source) {
            self.note_state(source, reading, received, now, out);
        }
        let at = reading.time(received.wall);
        let indices = self.streams.instances(source, &reading.device, &reading.signal);
        let (findings, naming) = (&mut self.findings, &mut self.naming);
        let (counters, room) = (&*self.counters, &*self.room);
        let measured = &mut self.measured;
        let mut turn = Turn {
            counters,
            room,
            findings,
            measured,
            naming,
            received,
            now,
            by_smaller: false,
            sound: true,
            grown,
        };
        for &index in indices.unwrap_or_default() {
            let instance = &mut self.instances[index];
            if self.machines.admits(instance, at, received) {
                turn.observe(instance, &self.specs[instance.judge_index], reading.into(), out);
            }
        }
        let (sound, grown) = (turn.sound, turn.grown);
        self.report_overdue(received, out);
        self.end_turn(grown, now, out);
        if sound { Ok(()) } else { Err(Reason::Defect) }
    }

    fn decode(&mut self, message: &Inbound, decoded: &mut Decoded<Reading>) {
        decode(&mut self.decoder, message, decoded, &self.counters);
    }

    /// The memory that the judges take.
    #[must_use]
    pub fn account(&self) -> JudgingAccount {
        let room = &self.room;
        JudgingAccount {
            instances: room.instances() as u64,
            devices: room.devices() as u64,
            bytes: room.bytes() as u64,
            cap_bytes: room.limit() as u64,
        }
    }

    /// Devices and signals that are known now.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }
}

#[cfg(test)]
mod tests;
