//! Which names get judges, and which are evicted.
//!
//! A device stays known while there is room: a plant may rest for a month, and what was learnt of it keeps
//! its value. Where there is no room for a newcomer, these are evicted:
//!
//! 1. devices with fewer than eight observations, the least recent first;
//! 2. devices that have been silent for longer than they ever sent, first those that have been so for longest.
//!
//! No other device is: a flood of new names never evicts a device that sends regularly, unless its silence is longer
//! than the time over which it sent. If judges at work grow beyond the room, the devices that sent for the shortest
//! time are evicted as well.

use std::panic::{AssertUnwindSafe, catch_unwind};

use verge_domain::id::{DeviceId, JudgeIndex};
use verge_domain::observation::Camera;
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::stage::{Checkpoint, Judge, Scope};
use verge_domain::time::{Moment, Monotonic};
use verge_domain::verdict::Subject;

use super::containment::text_of;
use super::instance::Instance;
use super::maintenance::hold;
use super::saving::SaveTime;
use super::streams::Yields;
use super::{Decision, InstanceKey, JudgeSet, JudgeSpec, Part, saved};
use crate::counters::is_power_of_ten;

/// Denominator of the part of the room that is freed, where names with few observations are evicted.
const PART_OF_NEW: usize = 32;
/// The same where judges may have learnt something.
const PART_OF_KNOWN: usize = 256;

/// What room is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Newcomer,
    /// Judges that are at work.
    Growth,
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// Admits an unknown signal, and finds its judges. Returns whether it was admitted before, to other judges: then those
    /// may exceed the room until the observation is judged.
    pub(super) fn open_stream(
        &mut self,
        source: SourceIndex,
        reading: &Reading,
        now: Moment,
        out: &mut Decision,
    ) -> Result<bool, Reason> {
        let (device, signal) = (&reading.device, &reading.signal);
        let part = |spec: &JudgeSpec<J>| spec.part_of_signal(source, device, signal);
        let before = self.streams.take_signal(source, device, signal);
        let found_again = before.is_some();
        let instances = match before {
            Some(before) => self.find_again(before, device, part, now, out)?,
            None => {
                let new_device = !self.streams.knows(source, device)?;
                self.admit((source, device), new_device, part, now, out)?
            }
        };
        self.streams.insert(source, device, signal, instances, now.mono);
        Ok(found_again)
    }

    /// The same for a camera.
    pub(super) fn open_camera(
        &mut self,
        camera: &Camera,
        now: Moment,
        out: &mut Decision,
    ) -> Result<bool, Reason> {
        let part = |spec: &JudgeSpec<J>| spec.part_of_camera(camera);
        let before = self.streams.take_camera(camera);
        let found_again = before.is_some();
        let instances = match before {
            Some(before) => self.find_again(before, &camera.device, part, now, out)?,
            None => {
                let new_device = !self.streams.knows(camera.source, &camera.device)?;
                self.admit((camera.source, &camera.device), new_device, part, now, out)?
            }
        };
        self.streams.insert_camera(camera, instances, now.mono);
        Ok(found_again)
    }

    /// Makes the instances that look at something new, as far as there is room.
    fn admit(
        &mut self,
        (source, device): (SourceIndex, &DeviceId),
        new_device: bool,
        part: impl Fn(&JudgeSpec<J>) -> Option<Part>,
        now: Moment,
        out: &mut Decision,
    ) -> Result<Vec<usize>, Reason> {
        if self.room.is_scarce(new_device) && !self.new_names.take(now.mono) {
            return Err(Reason::TooManyNewNames);
        }
        if !self.room.takes(new_device)
            && !self.make_room(For::Newcomer, new_device, Some((source, device)), now, out)
        {
            return Err(Reason::TooManyStreams);
        }
        self.find(device, part, now, out)
    }

    /// Finds the judges of a signal or camera that was admitted before the judges changed. It is not refused for want of
    /// room: what the new judges take beyond it is evicted behind the observation.
    fn find_again(
        &mut self,
        before: Vec<usize>,
        device: &DeviceId,
        part: impl Fn(&JudgeSpec<J>) -> Option<Part>,
        now: Moment,
        out: &mut Decision,
    ) -> Result<Vec<usize>, Reason> {
        let found = self.find(device, part, now, out);
        for index in before {
            self.instances[index].users -= 1;
            self.drop_unused(index, now, out);
        }
        found
    }

    /// The instances that look at something, made where there are none yet.
    fn find(
        &mut self,
        device: &DeviceId,
        part: impl Fn(&JudgeSpec<J>) -> Option<Part>,
        now: Moment,
        out: &mut Decision,
    ) -> Result<Vec<usize>, Reason> {
        let looking = |(judge, spec): (JudgeIndex, &JudgeSpec<J>)| {
            let device = spec.machine.as_ref().unwrap_or(device).clone();
            Some((judge, part(spec)?, device))
        };
        let looking: Vec<_> = self.specs.iter().filter_map(looking).collect();
        let keys: Vec<InstanceKey> =
            looking.into_iter().flat_map(|(judge, part, device)| self.keys(judge, part, device)).collect();
        let made = catch_unwind(AssertUnwindSafe(|| {
            keys.iter().map(|key| self.instance(key.clone(), now)).collect::<Vec<usize>>()
        }));
        let instances = match made {
            Ok(instances) => instances,
            Err(panic) => {
                self.cannot_make(&keys, text_of(&*panic), now, out);
                return Err(Reason::Defect);
            }
        };
        for &index in &instances {
            self.instances[index].users += 1;
        }
        Ok(instances)
    }

    /// The keys of the instances of one judge about one subject: one for each state of the machine in which it learns.
    pub(super) fn keys(&mut self, judge: JudgeIndex, part: Part, device: DeviceId) -> Vec<InstanceKey> {
        let states = self.machines.states_of(judge, &device);
        let key = |state| InstanceKey { judge, part: part.clone(), device: device.clone(), state };
        states.into_iter().map(key).collect()
    }

    /// Whether a state of a machine can be learnt apart, as if it were a new name.
    pub(super) fn has_room_for_a_state(&mut self, now: Moment, out: &mut Decision) -> bool {
        (!self.room.is_scarce(false) || self.new_names.take(now.mono))
            && (self.room.takes(false) || self.make_room(For::Newcomer, false, None, now, out))
    }

    #[cold]
    fn cannot_make(&mut self, keys: &[InstanceKey], panic: &str, now: Moment, out: &mut Decision) {
        self.counters.defects_total.add(1);
        if is_power_of_ten(self.counters.defects_total.get()) {
            tracing::error!(
                panic,
                "a judge cannot be made, which is a defect of this program; please report it"
            );
        }
        for key in keys {
            if let Some(&index) = self.by_key.get(key) {
                self.drop_unused(index, now, out);
            }
        }
    }

    /// The instance with this key, made if there is none.
    pub(super) fn instance(&mut self, key: InstanceKey, now: Moment) -> usize {
        if let Some(&index) = self.by_key.get(&key) {
            return index;
        }
        let spec = &self.specs[key.judge];
        let (source, signal) = match &key.part {
            Part::Signal(source, signal) => (*source, Some(signal.clone())),
            Part::Camera(source) => (*source, spec.signal_of_camera()),
            Part::Whole => (spec.inputs.patterns.first().map_or(SourceIndex(0), |input| input.source), None),
        };
        let source = self.sources[usize::from(source.0)].clone();
        let subject = Subject { source, device: key.device.clone(), signal };
        let judge = (spec.make)(now);
        let mut instance = Instance::new(key.judge, subject, judge, now.mono);
        hold(&mut instance, &spec.name, &self.windows);
        // An expected device is watched whether it has sent or not.
        instance.users = usize::from(spec.expect.contains(&key.device));
        let entry = self.instances.vacant_entry();
        instance.gate = self.machines.gate(key.judge, &key.device, key.state, entry.key());
        instance.reckon();
        self.room.add_instance(instance.bytes);
        instance.save_time = SaveTime::first(entry.key(), instance.judge.save_every(), now.mono);
        let index = entry.key();
        entry.insert(instance);
        self.by_key.insert(key, index);
        index
    }

    /// Judges have observed. If they have grown, the devices first in the order of eviction go until the rest fits.
    pub(super) fn end_turn(&mut self, grown: bool, now: Moment, out: &mut Decision) {
        if grown && self.room.is_over() {
            self.make_room(For::Growth, false, None, now, out);
        }
    }

    /// Evicts devices except `but`. Returns whether there is room now.
    fn make_room(
        &mut self,
        claimant: For,
        new_device: bool,
        but: Option<(SourceIndex, &DeviceId)>,
        now: Moment,
        out: &mut Decision,
    ) -> bool {
        if claimant == For::Newcomer && now.mono < self.full_until {
            return false;
        }
        let mut evicted = 0_u64;
        for (yields, source, device) in self.streams.by_yield(now.mono) {
            let room = &self.room;
            let enough = match yields {
                Yields::New(_) => room.has_free(PART_OF_NEW),
                Yields::LongAgo(_) => room.has_free(PART_OF_KNOWN),
                Yields::Regular(_) => claimant == For::Newcomer || room.has_free_bytes(PART_OF_KNOWN),
            };
            if enough {
                break;
            }
            if but != Some((source, &device)) {
                self.forget(source, &device, now, out);
                evicted += 1;
            }
        }
        self.note_evicted(evicted);
        let room = self.room.takes(new_device);
        if !room {
            // A search through all devices for each newcomer would invite attacks.
            self.full_until = now.mono.after(LOOK_AGAIN);
        }
        room
    }

    fn note_evicted(&self, evicted: u64) {
        let before = self.counters.evicted_devices_total.get();
        self.counters.evicted_devices_total.add(evicted);
        let after = before + evicted;
        if evicted > 0 && (before == 0 || after.ilog10() > before.ilog10()) {
            tracing::warn!(
                devices = after,
                judges_memory = self.room.limit(),
                "judges have no room for more: devices that sent little, or long ago, are evicted for new ones with \
                 what was learnt of them; if these are devices of the plant, raise gateway.judges_memory"
            );
        }
    }

    /// Forgets a device, and the instances that look at no other.
    pub(super) fn forget(&mut self, source: SourceIndex, device: &DeviceId, now: Moment, out: &mut Decision) {
        for index in self.streams.remove(source, device) {
            self.instances[index].users -= 1;
            self.drop_unused(index, now, out);
        }
        let idle = self.machines.forget(source, device);
        self.drop_machines(idle, now, out);
    }

    /// Drops an instance that looks at nothing, with its saved state. Its raised events are cleared.
    pub(super) fn drop_unused(&mut self, index: usize, now: Moment, out: &mut Decision) {
        if self.instances.get(index).is_some_and(|instance| instance.users == 0) {
            let (judge, device) = {
                let instance = &self.instances[index];
                (self.specs[instance.judge_index].name.clone(), instance.subject.device.clone())
            };
            if self.remove_instance(index, now, out) {
                tracing::info!(%judge, %device, "a device gave way to others; its open events are cleared");
            }
        }
    }

    /// The key of an instance.
    pub(super) fn key_of(&self, index: usize) -> InstanceKey {
        let instance = &self.instances[index];
        let subject = &instance.subject;
        let source = self.sources.iter().position(|source| *source == subject.source);
        let source = SourceIndex(source.and_then(|source| u16::try_from(source).ok()).unwrap_or_default());
        let part = match (self.specs[instance.judge_index].scope, &subject.signal) {
            (Scope::Signal, Some(signal)) => Part::Signal(source, signal.clone()),
            (Scope::Camera, _) => Part::Camera(source),
            (Scope::Signal | Scope::Device, _) => Part::Whole,
        };
        let state = instance.gate.as_ref().and_then(|gate| gate.state());
        InstanceKey { judge: instance.judge_index, part, device: subject.device.clone(), state }
    }

    /// Removes an instance with its saved state. Its raised events are cleared; returns whether there were any.
    pub(super) fn remove_instance(&mut self, index: usize, now: Moment, out: &mut Decision) -> bool {
        let key = self.key_of(index);
        let mut instance = self.instances.remove(index);
        self.renewals.forget(&instance);
        self.room.sub_instance(instance.bytes);
        self.by_key.remove(&key);
        let spec = &self.specs[instance.judge_index];
        let cleared = instance.end_events(spec, |_| true, now, out);
        if cleared {
            let key = instance.saved_key(saved::EVENTS, &spec.name);
            out.checkpoints.push(Checkpoint { key, state: None });
        }
        out.checkpoints.extend(instance.forgotten_state(&spec.name));
        if let Some(gate) = &instance.gate {
            let idle = self.machines.leave(gate, index);
            self.drop_machines(idle, now, out);
        }
        cleared
    }

    /// Keeps an instance that was restored from the store until its device is evicted.
    pub(super) fn keep_restored(&mut self, source: SourceIndex, index: usize, now: Monotonic) {
        let device = self.instances[index].subject.device.clone();
        if self.streams.insert_restored(source, &device, index, now) {
            self.instances[index].users += 1;
        }
    }
}

/// Where no device could be evicted, newcomers wait this long before the next attempt.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);
