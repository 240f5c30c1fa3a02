//! From message to verdicts: decode, find the judges of each reading, let them judge, apply policy.
//!
//! Pure but for the random identities it is handed: no thread, no clock, no I/O. The intake's thread drives
//! it with live messages and `verge judge` with files, so what is tried offline is what runs.

mod instance;
mod maintenance;
mod orders;
mod placement;
mod rates;
mod saved;
mod saving;
mod shards;
mod streams;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use verge_domain::finding::Finding;
use verge_domain::id::{DeviceId, EventId, JudgeId, SignalId, SourceId};
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{Decoded, Inbound, Reading, SourceIndex};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::{Checkpoint, Decoder, Judge, Scope};
use verge_domain::time::{Moment, Monotonic};
use verge_domain::verdict::{Detector, Model, Subject, Verdict};
use wildmatch::WildMatch;

use crate::counters::Counters;
use instance::Instance;
pub use maintenance::MAX_WINDOWS;
use maintenance::Window;
pub use orders::{LONGEST_WINDOW, Names, Order, OrderError, Outcome, Whom};
pub use placement::{Place, Placement};
pub use rates::JudgeRate;
use saving::SaveTime;
pub(crate) use saving::state_bytes;
pub use saving::{STATES_AT_ONCE, SavePass};
pub use shards::{Shards, Undecoded};
pub use streams::{MAX_DEVICES, MAX_SIGNALS_PER_DEVICE};
use streams::{StreamState, Streams};

/// A stream or instance that has shown nothing for this long is forgotten.
const IDLE_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// Which readings a judge looks at.
#[derive(Debug, Clone)]
pub struct InputPattern {
    /// The source.
    pub source: SourceIndex,
    /// Pattern of signal names with `*`; `None` takes all.
    pub signals: Option<WildMatch>,
}

/// One judge of the configuration, and how to make an instance of it for a subject.
pub struct JudgeSpec<J> {
    /// Its name.
    pub name: JudgeId,
    /// Its detector.
    pub detector: Detector,
    /// What one instance watches.
    pub scope: Scope,
    /// How its conditions become events.
    pub policy: EventPolicy,
    /// Readings it looks at.
    pub inputs: Vec<InputPattern>,
    /// Patterns of device names with `*`; empty takes all.
    pub devices: Vec<WildMatch>,
    /// Devices that are watched from the start, heard of or not. Only with [`Scope::Device`].
    pub expect: Vec<DeviceId>,
    /// Readings of all devices go to one instance, as if of a device with this name. Only with [`Scope::Device`].
    pub machine: Option<DeviceId>,
    /// The model that decides, where one does.
    pub model: Option<Model>,
    /// Makes an instance.
    pub make: Box<dyn Fn(Moment) -> J + Send>,
}

impl<J> JudgeSpec<J> {
    fn takes(&self, source: SourceIndex, device: &DeviceId, signal: &SignalId) -> bool {
        (self.devices.is_empty() || self.devices.iter().any(|pattern| pattern.matches(device.as_str())))
            && self.inputs.iter().any(|input| {
                input.source == source
                    && input.signals.as_ref().is_none_or(|pattern| pattern.matches(signal.as_str()))
            })
    }
}

/// What came of one message or of time passing.
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

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct InstanceKey {
    judge: usize,
    /// `None` for judges that watch a whole device, across sources.
    signal: Option<(SourceIndex, SignalId)>,
    device: DeviceId,
}

/// All judges at work: the codecs in front of them and the policy behind them.
pub struct Bench<D, J> {
    decoder: D,
    specs: Vec<JudgeSpec<J>>,
    sources: Vec<SourceId>,
    streams: Streams,
    instances: Slab<Instance<J>>,
    by_key: HashMap<InstanceKey, usize>,
    windows: Vec<Window>,
    place: Place,
    counters: Arc<Counters>,
    fresh_id: Box<dyn FnMut() -> EventId + Send>,
    decoded: Decoded<Reading>,
    findings: Vec<Finding>,
}

impl<D: Decoder<Item = Reading>, J: Judge<Observation = Reading>> Bench<D, J> {
    /// Sets up the judges. `sources` are the names behind the indices; `fresh_id` gives each new event its
    /// identity.
    pub fn new(
        decoder: D,
        specs: Vec<JudgeSpec<J>>,
        sources: Vec<SourceId>,
        counters: Arc<Counters>,
        fresh_id: impl FnMut() -> EventId + Send + 'static,
        now: Moment,
    ) -> Self {
        Self::at(Place::everywhere(), decoder, specs, sources, counters, fresh_id, now)
    }

    /// The same for the devices of one shard.
    pub fn at(
        place: Place,
        decoder: D,
        specs: Vec<JudgeSpec<J>>,
        sources: Vec<SourceId>,
        counters: Arc<Counters>,
        fresh_id: impl FnMut() -> EventId + Send + 'static,
        now: Moment,
    ) -> Self {
        let mut bench = Self {
            decoder,
            specs,
            streams: Streams::new(sources.len(), Arc::clone(&place.devices)),
            place,
            sources,
            instances: Slab::new(),
            by_key: HashMap::new(),
            windows: Vec::new(),
            counters,
            fresh_id: Box::new(fresh_id),
            decoded: Decoded::default(),
            findings: Vec::new(),
        };
        for judge in 0..bench.specs.len() {
            for device in bench.specs[judge].expect.clone() {
                if bench.place.owns(&device) {
                    bench.instance(InstanceKey { judge, signal: None, device }, now);
                }
            }
        }
        bench
    }

    /// Judges one message; what it causes is added to `out`.
    pub fn message(&mut self, message: &Inbound, now: Moment, out: &mut Decision) {
        let mut decoded = std::mem::take(&mut self.decoded);
        self.decoder.decode(message, &mut decoded);
        let mut judged = 0;
        for reading in &decoded.items {
            match self.reading(message.source, reading, message.received, now, out) {
                Ok(()) => judged += 1,
                Err(reason) => decoded.rejections.push(Rejection::whole(reason)),
            }
        }
        account(&self.counters, message, judged, &decoded.rejections);
        self.decoded = decoded;
    }

    /// Judges one reading, of a message or of none; what it causes is added to `out`. Whoever has it counts it.
    ///
    /// # Errors
    /// There are more devices or signals than are watched at once.
    pub fn reading(
        &mut self,
        source: SourceIndex,
        reading: &Reading,
        received: Moment,
        now: Moment,
        out: &mut Decision,
    ) -> Result<(), Reason> {
        if self.streams.find(source, &reading.device, &reading.signal).is_none() {
            self.open_stream(source, reading, now)?;
        }
        let Some(stream) = self.streams.find(source, &reading.device, &reading.signal) else {
            return Err(Reason::UnknownTopic);
        };
        stream.last_heard = received.mono;
        for &index in &stream.instances {
            let instance = &mut self.instances[index];
            instance.last_heard = received.mono;
            self.findings.clear();
            instance.judge.observe(reading, received, &mut self.findings);
            if !self.findings.is_empty() {
                let spec = &self.specs[instance.judge_index];
                instance.decide(spec, Some(reading), received, now, &self.findings, &mut self.fresh_id, out);
                self.counters.raises_held_back_total.add(instance.life.take_held_back());
            }
        }
        Ok(())
    }

    fn open_stream(&mut self, source: SourceIndex, reading: &Reading, now: Moment) -> Result<(), Reason> {
        self.streams.admit(source, &reading.device, &reading.signal)?;
        let keys: Vec<InstanceKey> = self
            .specs
            .iter()
            .enumerate()
            .filter(|(_, spec)| spec.takes(source, &reading.device, &reading.signal))
            .map(|(judge, spec)| InstanceKey {
                judge,
                signal: match spec.scope {
                    Scope::Signal => Some((source, reading.signal.clone())),
                    Scope::Device => None,
                },
                device: spec.machine.as_ref().unwrap_or(&reading.device).clone(),
            })
            .collect();
        let instances = keys.into_iter().map(|key| self.instance(key, now)).collect();
        let state = StreamState { instances, last_heard: now.mono };
        self.streams.insert(source, &reading.device, &reading.signal, state);
        Ok(())
    }

    /// The instance with this key, made if there is none.
    fn instance(&mut self, key: InstanceKey, now: Moment) -> usize {
        if let Some(&index) = self.by_key.get(&key) {
            return index;
        }
        let spec = &self.specs[key.judge];
        let source = key.signal.as_ref().map_or_else(
            || spec.inputs.first().map_or(SourceIndex(0), |input| input.source),
            |(source, _)| *source,
        );
        let subject = Subject {
            source: self.sources[usize::from(source.0)].clone(),
            device: key.device.clone(),
            signal: key.signal.as_ref().map(|(_, signal)| signal.clone()),
        };
        let judge = (spec.make)(now);
        let mut instance = Instance::new(key.judge, subject, judge, now.mono);
        instance
            .life
            .hold(self.windows.iter().any(|window| window.whom.means(&spec.name, &instance.subject)));
        let entry = self.instances.vacant_entry();
        instance.save_time = SaveTime::first(entry.key(), instance.judge.save_every(), now.mono);
        let index = entry.key();
        entry.insert(instance);
        self.by_key.insert(key, index);
        index
    }

    /// Lets time pass: silence is found, intervals and maintenance windows end here. Call it about twice a second.
    pub fn tick(&mut self, now: Moment, out: &mut Decision) {
        self.end_windows(now.mono, out);
        for (_, instance) in &mut self.instances {
            let spec = &self.specs[instance.judge_index];
            self.findings.clear();
            instance.judge.tick(now, &mut self.findings);
            if !self.findings.is_empty() {
                instance.decide(spec, None, now, now, &self.findings, &mut self.fresh_id, out);
                self.counters.raises_held_back_total.add(instance.life.take_held_back());
            }
        }
    }

    /// Forgets streams and instances that have been idle for a day and have no open event, with what was saved
    /// of them.
    pub fn expire(&mut self, now: Monotonic, out: &mut Decision) {
        let specs = &self.specs;
        let mut dropped = Vec::new();
        self.by_key.retain(|key, &mut index| {
            let instance = &self.instances[index];
            let keep = now.since(instance.last_heard) < IDLE_EXPIRY
                || instance.life.open().next().is_some()
                || specs[key.judge].expect.contains(&key.device);
            if !keep {
                dropped.push(index);
            }
            keep
        });
        for &index in &dropped {
            let instance = self.instances.remove(index);
            out.checkpoints.extend(instance.forgotten_state(&specs[instance.judge_index].name));
        }
        self.streams.retain(|stream| {
            now.since(stream.last_heard) < IDLE_EXPIRY
                && !stream.instances.iter().any(|i| dropped.contains(i))
        });
    }

    /// Devices and signals known now.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }
}

fn account(counters: &Counters, message: &Inbound, judged: u64, rejections: &[Rejection]) {
    let Some(source) = counters.source(message.source) else { return };
    source.readings_judged_total.add(judged);
    if judged > 0 {
        source.messages_judged_total.add(1);
    } else {
        source.messages_refused_total.add(1);
    }
    for rejection in rejections {
        source.refuse(&message.topic, rejection);
    }
}

#[cfg(test)]
mod tests;
