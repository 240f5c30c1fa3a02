//! The judges of a configuration: what each looks at, and how its instances are made.

use std::ops::Index;
use std::sync::Arc;

use verge_domain::id::{DeviceId, JudgeId, JudgeIndex, SignalId};
use verge_domain::observation::Camera;
use verge_domain::policy::EventPolicy;
use verge_domain::reading::SourceIndex;
use verge_domain::stage::{Scope, SharedState};
use verge_domain::tag::TagBook;
use verge_domain::time::Moment;
use verge_domain::verdict::{Detector, Model, Subject};
use wildmatch::WildMatch;

use super::fingerprint::Fingerprint;
use super::limits::JudgeLimits;
use super::machine::StateRules;
use super::watched::Reach;

/// The part of a source that a judge looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct InputPattern {
    /// The source.
    pub source: SourceIndex,
    /// Pattern of signal names with `*`; `None` takes all. Cameras have none.
    pub signals: Option<WildMatch>,
}

impl InputPattern {
    /// Whether it names this signal of its source.
    #[must_use]
    pub fn takes_signal(&self, signal: &str) -> bool {
        self.signals.as_ref().is_none_or(|pattern| pattern.matches(signal))
    }
}

/// What a judge can observe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observes {
    /// Readings.
    Readings,
    /// That frames arrive.
    Arrivals,
    /// What its model sees in frames. Verdicts concern the camera as a whole.
    Views,
    /// The errors of its model, which reconstructs frames: a signal of the camera, which has the judge's name.
    Errors,
}

/// What a judge looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    /// What it observes there.
    pub observes: Observes,
    /// It observes what frames say of their cameras, ahead of what else it observes of the same frame.
    pub looks: bool,
    /// Sources, whole or some of their signals; none for a judge that works elsewhere.
    pub patterns: Vec<InputPattern>,
    /// Patterns of device names with `*`; empty takes all.
    pub devices: Vec<WildMatch>,
}

impl Inputs {
    /// Readings of all devices.
    #[must_use]
    pub const fn readings(patterns: Vec<InputPattern>) -> Self {
        Self { observes: Observes::Readings, looks: false, patterns, devices: Vec::new() }
    }

    pub(super) fn takes_device(&self, device: &DeviceId) -> bool {
        self.devices.is_empty() || self.devices.iter().any(|pattern| pattern.matches(device.as_str()))
    }

    pub(super) fn takes(&self, source: SourceIndex, device: &DeviceId, signal: &SignalId) -> bool {
        self.observes == Observes::Readings
            && self.takes_device(device)
            && self.patterns.iter().any(|input| input.source == source && input.takes_signal(signal.as_str()))
    }

    /// Whether a camera is looked at.
    #[must_use]
    pub fn takes_camera(&self, camera: &Camera) -> bool {
        self.observes != Observes::Readings && self.takes_device(&camera.device) && self.has(camera.source)
    }

    /// Whether it judges what models see in frames.
    pub(super) const fn sees(&self) -> bool {
        matches!(self.observes, Observes::Views | Observes::Errors)
    }

    /// Whether anything of a source is looked at.
    #[must_use]
    pub fn has(&self, source: SourceIndex) -> bool {
        self.patterns.iter().any(|input| input.source == source)
    }
}

/// One judge of the configuration, and how to make an instance of it for a subject.
pub struct JudgeSpec<J> {
    /// Its name.
    pub name: JudgeId,
    /// Its detector.
    pub detector: Detector,
    /// What one instance watches.
    pub scope: Scope,
    /// What it looks at.
    pub inputs: Inputs,
    /// How its conditions become events; severity and lane also apply to what it reports beside events.
    pub policy: EventPolicy,
    /// Devices that are watched from the start, also before their first reading. Only with [`Scope::Device`].
    pub expect: Vec<DeviceId>,
    /// Readings of all devices go to one instance, as if from one device with this name. Only with [`Scope::Device`].
    pub machine: Option<DeviceId>,
    /// How the state of a machine decides about it.
    pub states: StateRules,
    /// The model that decides, if there is one.
    pub model: Option<Model>,
    /// The smaller one that decides in its place under overload, if there is one.
    pub smaller: Option<Model>,
    /// The version of it that is on trial and decides about some cameras in its place, if there is one.
    pub candidate: Option<Model>,
    /// What the lists of tags say of signals.
    pub tags: Arc<TagBook>,
    /// What its instances share, if they do. The same where judges of both classes have this name.
    pub pool: Option<Arc<dyn SharedState>>,
    /// The settings that give meaning to what its instances learn; empty where they do not learn.
    pub fingerprint: Fingerprint,
    /// Its limits that may be set, which `make` asks.
    pub limits: Arc<JudgeLimits>,
    /// Makes an instance.
    pub make: Box<dyn Fn(Moment) -> J + Send>,
}

impl<J> JudgeSpec<J> {
    /// What one instance watches of a signal, if the judge looks at that signal.
    pub(super) fn part_of_signal(
        &self,
        source: SourceIndex,
        device: &DeviceId,
        signal: &SignalId,
    ) -> Option<Part> {
        let part = || match self.scope {
            Scope::Signal | Scope::Camera => Part::Signal(source, signal.clone()),
            Scope::Device => Part::Whole,
        };
        self.inputs.takes(source, device, signal).then(part)
    }

    /// What one instance watches of a camera, if the judge looks at that camera.
    pub(super) fn part_of_camera(&self, camera: &Camera) -> Option<Part> {
        let part = || match self.scope {
            Scope::Signal | Scope::Camera => Part::Camera(camera.source),
            Scope::Device => Part::Whole,
        };
        self.inputs.takes_camera(camera).then(part)
    }

    /// Whether it watches this subject of a source.
    pub(super) fn watches(&self, source: SourceIndex, subject: &Subject) -> bool {
        self.reach().include(source, subject)
    }

    /// What decides about it.
    pub(super) fn reach(&self) -> Reach<'_> {
        let Self { scope, inputs, expect, machine, .. } = self;
        Reach { scope: *scope, inputs, expect, whole_plant: machine.is_some() }
    }

    /// The signal that verdicts about a camera name, if any.
    pub(super) fn signal_of_camera(&self) -> Option<SignalId> {
        (self.inputs.observes == Observes::Errors).then(|| SignalId::from(&self.name))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct InstanceKey {
    pub(super) judge: JudgeIndex,
    pub(super) part: Part,
    pub(super) device: DeviceId,
    /// The state of the machine in which it learns, where each has an instance of its own.
    pub(super) state: Option<u8>,
}

/// The part of a device that one instance watches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The device as a whole, across sources.
    Whole,
    /// What comes through one source of frames.
    Camera(SourceIndex),
    Signal(SourceIndex, SignalId),
}

/// All judges, by their index. Places may be empty.
pub(super) struct Specs<J>(pub(super) Vec<Option<JudgeSpec<J>>>);

impl<J> Specs<J> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (JudgeIndex, &JudgeSpec<J>)> {
        (0..).map(JudgeIndex).zip(&self.0).filter_map(|(index, spec)| Some((index, spec.as_ref()?)))
    }

    pub(super) fn get(&self, judge: JudgeIndex) -> Option<&JudgeSpec<J>> {
        self.0.get(judge.position())?.as_ref()
    }

    pub(super) fn named(&self, name: &JudgeId) -> Option<&JudgeSpec<J>> {
        self.0.iter().flatten().find(|spec| spec.name == *name)
    }
}

impl<J> Index<JudgeIndex> for Specs<J> {
    type Output = JudgeSpec<J>;

    fn index(&self, judge: JudgeIndex) -> &JudgeSpec<J> {
        self.0[judge.position()].as_ref().expect("a judge that was removed has no instances")
    }
}
