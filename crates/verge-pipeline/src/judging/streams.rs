//! Which signals of which devices and which cameras are known, and which judges look at each: found once, when one is
//! first seen. Names come from peers, so both levels are bounded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use verge_domain::id::{DeviceId, SignalId};
use verge_domain::observation::Camera;
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::time::Monotonic;

use super::contacts::FewValues;
use super::received::{ReceiptNote, WatchedDevices};
use super::room::Room;
use super::shown::SignalNote;

/// Maximum number of known devices, over all sources.
pub const MAX_DEVICES: usize = 16_384;
/// Maximum number of known signals of one device through one source.
pub const MAX_SIGNALS_PER_DEVICE: usize = 64;

/// A device is settled after this number of observations, each at least [`APART`] from the one before.
pub(super) const SETTLED: u32 = 8;
const APART: Duration = Duration::from_secs(1);
/// Approximate memory of a device and a signal beside their judges: names, tables.
const DEVICE_BYTES: usize = 320;
const SIGNAL_BYTES: usize = 224;

/// When and how often a device has sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activity {
    first: Monotonic,
    last: Monotonic,
    times: u32,
}

/// Order of eviction, first to last; within each rank the smaller number first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Yields {
    /// Not settled: by when it last sent.
    New(Monotonic),
    /// Silent for longer than it ever sent: by since when that is so.
    LongAgo(Monotonic),
    /// Protected from newcomers: by for how long it sent.
    Regular(Duration),
}

impl Activity {
    const fn at(now: Monotonic) -> Self {
        Self { first: now, last: now, times: 1 }
    }

    /// A restored device was settled before; how long it had sent is not known.
    const fn before(now: Monotonic) -> Self {
        Self { first: now, last: now, times: SETTLED }
    }

    fn again(&mut self, now: Monotonic) {
        if now.since(self.last) >= APART {
            self.last = now;
            self.times = self.times.saturating_add(1);
        }
    }

    fn yields(&self, now: Monotonic) -> Yields {
        let active_for = self.last.since(self.first);
        let protected_until = self.last.after(active_for);
        if self.times < SETTLED {
            Yields::New(self.last)
        } else if protected_until <= now {
            Yields::LongAgo(protected_until)
        } else {
            Yields::Regular(active_for)
        }
    }
}

#[derive(Debug)]
struct Device {
    activity: Activity,
    /// Judge instances that look at each signal.
    signals: HashMap<SignalId, Looking>,
    /// Those that look at the device as a camera, once it is known as one.
    camera: Option<Looking>,
    /// Instances that were restored from the store before the first observation of their signals.
    restored: Vec<usize>,
    /// Where its last receipt is noted, if somebody watches it.
    received: Option<ReceiptNote>,
}

impl Device {
    fn note(&mut self, now: Monotonic) {
        self.activity.again(now);
        if let Some(received) = &self.received {
            received.note(now);
        }
    }
}

/// The instances that look at a signal or camera.
#[derive(Debug)]
struct Looking {
    instances: Vec<usize>,
    /// Whether it is a contact.
    values: FewValues,
    /// Among which judges they were found, see [`Streams::judges_changed`].
    judges: u32,
    /// What it shows, where somebody may look at it.
    note: Option<Box<SignalNote>>,
}

impl Device {
    fn bytes(&self) -> usize {
        DEVICE_BYTES + SIGNAL_BYTES * (self.signals.len() + usize::from(self.camera.is_some()))
    }
}

/// The known signals.
#[derive(Debug)]
pub(super) struct Streams {
    by_source: Vec<HashMap<DeviceId, Device>>,
    /// How often the judges have changed.
    judges: u32,
    room: Arc<Room>,
    watched: Arc<WatchedDevices>,
    /// Whether what signals show is noted.
    notes: bool,
}

impl Streams {
    pub(super) fn new(sources: usize, room: Arc<Room>) -> Self {
        Self {
            by_source: (0..sources).map(|_| HashMap::new()).collect(),
            judges: 0,
            room,
            watched: Arc::default(),
            notes: false,
        }
    }

    /// From now on the last receipt of these devices is noted.
    pub(super) fn watch(&mut self, watched: &Arc<WatchedDevices>) {
        self.watched = Arc::clone(watched);
        for (source, devices) in (0..).map(SourceIndex).zip(&mut self.by_source) {
            devices.iter_mut().for_each(|(name, device)| device.received = watched.of_device(source, name));
        }
    }

    /// From now on what signals show is noted.
    pub(super) fn note_values(&mut self) {
        self.notes = true;
        let devices = self.by_source.iter_mut().flat_map(HashMap::values_mut);
        devices.flat_map(|device| device.signals.values_mut()).for_each(|looking| {
            looking.note.get_or_insert_default();
        });
    }

    /// The signals whose values are noted, with the instances that look at each.
    pub(super) fn noted(
        &mut self,
    ) -> impl Iterator<Item = (SourceIndex, &DeviceId, &SignalId, &[usize], &mut SignalNote)> {
        let sources = (0..).map(SourceIndex).zip(&mut self.by_source);
        sources.flat_map(|(source, devices)| {
            devices.iter_mut().flat_map(move |(device, known)| {
                known.signals.iter_mut().filter_map(move |(signal, looking)| {
                    let note = looking.note.as_deref_mut()?;
                    Some((source, device, signal, looking.instances.as_slice(), note))
                })
            })
        })
    }

    /// Records a reading; returns whether its signal is known to the present judges, and the former value of a contact that
    /// has changed.
    pub(super) fn record(
        &mut self,
        source: SourceIndex,
        reading: &Reading,
        now: Monotonic,
    ) -> (bool, Option<f64>) {
        let devices = self.by_source.get_mut(usize::from(source.0));
        let Some(device) = devices.and_then(|devices| devices.get_mut(&reading.device)) else {
            return (false, None);
        };
        device.note(now);
        match device.signals.get_mut(&reading.signal) {
            Some(looking) => {
                if let Some(note) = &mut looking.note {
                    note.add(reading);
                }
                (looking.judges == self.judges, looking.values.note(reading.value))
            }
            None => (false, None),
        }
    }

    /// The same for a frame; returns whether its camera is known.
    pub(super) fn record_camera(&mut self, camera: &Camera, now: Monotonic) -> bool {
        let devices = self.by_source.get_mut(usize::from(camera.source.0));
        let Some(device) = devices.and_then(|devices| devices.get_mut(&camera.device)) else { return false };
        device.note(now);
        device.camera.as_ref().is_some_and(|looking| looking.judges == self.judges)
    }

    /// The instances that looked at a signal before the judges changed, which are taken out.
    pub(super) fn take_signal(
        &mut self,
        source: SourceIndex,
        device: &DeviceId,
        signal: &SignalId,
    ) -> Option<Vec<usize>> {
        let device = self.by_source.get_mut(usize::from(source.0))?.get_mut(device)?;
        device.signals.get_mut(signal).map(|looking| std::mem::take(&mut looking.instances))
    }

    /// The same for a camera.
    pub(super) fn take_camera(&mut self, camera: &Camera) -> Option<Vec<usize>> {
        let device = self.by_source.get_mut(usize::from(camera.source.0))?.get_mut(&camera.device)?;
        device.camera.as_mut().map(|looking| std::mem::take(&mut looking.instances))
    }

    /// Other judges are at work: who looks at a signal is found again with its next reading. Instances that `ended` are
    /// struck off at once, as others may take their places.
    pub(super) fn judges_changed(&mut self, ended: impl Fn(usize) -> bool) {
        self.judges = self.judges.wrapping_add(1);
        for device in self.by_source.iter_mut().flat_map(HashMap::values_mut) {
            let looking = device.signals.values_mut().chain(&mut device.camera);
            looking.for_each(|looking| looking.instances.retain(|&instance| !ended(instance)));
            device.restored.retain(|&instance| !ended(instance));
        }
    }

    /// The instances that look at a camera.
    pub(super) fn of_camera(&self, camera: &Camera) -> &[usize] {
        let devices = self.by_source.get(usize::from(camera.source.0));
        let device = devices.and_then(|devices| devices.get(&camera.device));
        let looking = device.and_then(|device| device.camera.as_ref());
        looking.map_or(&[], |looking| &looking.instances)
    }

    /// The instances that look at a signal.
    pub(super) fn instances(
        &self,
        source: SourceIndex,
        device: &DeviceId,
        signal: &SignalId,
    ) -> Option<&[usize]> {
        let device = self.by_source.get(usize::from(source.0))?.get(device)?;
        device.signals.get(signal).map(|looking| looking.instances.as_slice())
    }

    /// Whether the device is known.
    ///
    /// # Errors
    /// It has the maximum number of signals.
    pub(super) fn knows(&self, source: SourceIndex, device: &DeviceId) -> Result<bool, Reason> {
        let devices = self.by_source.get(usize::from(source.0)).ok_or(Reason::UnknownTopic)?;
        match devices.get(device) {
            Some(device) if device.signals.len() >= MAX_SIGNALS_PER_DEVICE => Err(Reason::TooManyStreams),
            known => Ok(known.is_some()),
        }
    }

    pub(super) fn insert(
        &mut self,
        source: SourceIndex,
        device: &DeviceId,
        signal: &SignalId,
        instances: Vec<usize>,
        now: Monotonic,
    ) {
        let (judges, notes) = (self.judges, self.notes);
        if let Some(device) = self.device(source, device, Activity::at(now)) {
            let before = device.signals.get_mut(signal).map(|looking| (looking.values, looking.note.take()));
            let (values, note) = before.unwrap_or_default();
            let note = note.or_else(|| notes.then(Box::default));
            let looking = Looking { instances, values, judges, note };
            if device.signals.insert(signal.clone(), looking).is_none() {
                self.room.add_bytes(SIGNAL_BYTES);
            }
        }
    }

    pub(super) fn insert_camera(&mut self, camera: &Camera, instances: Vec<usize>, now: Monotonic) {
        let judges = self.judges;
        if let Some(device) = self.device(camera.source, &camera.device, Activity::at(now))
            && let looking = (Looking { instances, values: FewValues::default(), judges, note: None })
            && device.camera.replace(looking).is_none()
        {
            self.room.add_bytes(SIGNAL_BYTES);
        }
    }

    /// Records an instance that was restored from the store. Returns whether that is new.
    pub(super) fn insert_restored(
        &mut self,
        source: SourceIndex,
        device: &DeviceId,
        instance: usize,
        now: Monotonic,
    ) -> bool {
        let Some(device) = self.device(source, device, Activity::before(now)) else { return false };
        let is_new = !device.restored.contains(&instance);
        if is_new {
            device.restored.push(instance);
        }
        is_new
    }

    fn device(&mut self, source: SourceIndex, device: &DeviceId, activity: Activity) -> Option<&mut Device> {
        let devices = self.by_source.get_mut(usize::from(source.0))?;
        Some(devices.entry(device.clone()).or_insert_with(|| {
            self.room.add_device(DEVICE_BYTES);
            let received = self.watched.of_device(source, device);
            Device { activity, signals: HashMap::new(), camera: None, restored: Vec::new(), received }
        }))
    }

    /// Lets an instance look at all that another looks at, of one device or of all. Returns at how much.
    pub(super) fn join(&mut self, sibling: usize, new: usize, device: Option<&DeviceId>) -> usize {
        let mut uses = 0;
        for (name, known) in self.by_source.iter_mut().flatten() {
            if device.is_some_and(|device| device != name) {
                continue;
            }
            for list in known.signals.values_mut().chain(&mut known.camera) {
                if list.instances.contains(&sibling) {
                    list.instances.push(new);
                    uses += 1;
                }
            }
        }
        uses
    }

    /// Devices through which a source sends a signal, the first few of them.
    pub(super) fn devices_with(&self, source: SourceIndex, signal: &SignalId) -> Vec<&str> {
        let devices = self.by_source.get(usize::from(source.0)).into_iter().flatten();
        let sending = devices.filter(|(_, device)| device.signals.contains_key(signal));
        sending.map(|(name, _)| name.as_str()).take(8).collect()
    }

    /// Forgets a device. Returns the instances that looked at it, once per signal, once as a camera, and once
    /// more where they were restored from the store.
    pub(super) fn remove(&mut self, source: SourceIndex, device: &DeviceId) -> Vec<usize> {
        let devices = self.by_source.get_mut(usize::from(source.0));
        let Some(device) = devices.and_then(|devices| devices.remove(device)) else { return Vec::new() };
        self.room.sub_device(device.bytes());
        let mut instances = device.restored;
        let looking = device.signals.into_values().chain(device.camera);
        instances.extend(looking.flat_map(|looking| looking.instances));
        instances
    }

    /// All devices, in the order of eviction.
    pub(super) fn by_yield(&self, now: Monotonic) -> Vec<(Yields, SourceIndex, DeviceId)> {
        let mut devices: Vec<_> = (0..)
            .zip(&self.by_source)
            .flat_map(|(source, devices)| {
                devices.iter().map(move |(name, device)| {
                    (device.activity.yields(now), SourceIndex(source), name.clone())
                })
            })
            .collect();
        devices.sort_unstable_by(|one, other| (one.0, &one.2).cmp(&(other.0, &other.2)));
        devices
    }

    pub(super) fn len(&self) -> usize {
        self.by_source.iter().flat_map(HashMap::values).map(|device| device.signals.len()).sum()
    }
}
