//! Which subjects judges watch.

use verge_domain::id::{DeviceId, JudgeId, SourceId};
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_domain::stage::Scope;
use verge_domain::verdict::{Detector, Subject, Verdict};

use super::spec::Specs;
use super::{Inputs, Observes};

/// What decides which subjects a judge watches.
pub(super) struct Reach<'a> {
    pub(super) scope: Scope,
    pub(super) inputs: &'a Inputs,
    pub(super) expect: &'a [DeviceId],
    /// All devices are one.
    pub(super) whole_plant: bool,
}

impl Reach<'_> {
    pub(super) fn include(&self, source: SourceIndex, subject: &Subject) -> bool {
        let (inputs, device) = (self.inputs, &subject.device);
        match (self.scope, inputs.observes, &subject.signal) {
            (Scope::Device, ..) => {
                inputs.has(source)
                    && (self.whole_plant || inputs.takes_device(device) || self.expect.contains(device))
            }
            (_, Observes::Readings, Some(signal)) => inputs.takes(source, device, signal),
            (_, Observes::Readings, None) => false,
            (..) => inputs.takes_camera(&Camera { source, device: device.clone() }),
        }
    }
}

/// What the judges at work watch. For the board: its words about anything else are out of date.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WatchedSubjects(Vec<JudgeReach>);

#[derive(Debug, Clone, PartialEq)]
struct JudgeReach {
    judge: JudgeId,
    detector: Detector,
    scope: Scope,
    inputs: Inputs,
    expect: Vec<DeviceId>,
    whole_plant: bool,
    sources: Vec<SourceId>,
}

impl WatchedSubjects {
    pub(super) fn of<J>(specs: &Specs<J>, sources: &[SourceId]) -> Self {
        let watch = specs.iter().map(|(_, spec)| JudgeReach {
            judge: spec.name.clone(),
            detector: spec.detector,
            scope: spec.scope,
            inputs: spec.inputs.clone(),
            expect: spec.expect.clone(),
            whole_plant: spec.machine.is_some(),
            sources: sources.to_vec(),
        });
        Self(watch.collect())
    }

    /// Adds what other judges watch.
    pub fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether the judge of a verdict still watches its subject, by the same detector.
    #[must_use]
    pub fn include(&self, Verdict { judge, subject, detector, .. }: &Verdict) -> bool {
        let includes = |JudgeReach { scope, inputs, expect, whole_plant, sources, .. }: &JudgeReach| {
            let reach = Reach { scope: *scope, inputs, expect, whole_plant: *whole_plant };
            source_of(sources, subject).is_some_and(|source| reach.include(source, subject))
        };
        let mut own = self.0.iter().filter(|watch| (&watch.judge, watch.detector) == (judge, *detector));
        own.any(includes)
    }
}

/// The index of the source of a subject.
pub(super) fn source_of(sources: &[SourceId], subject: &Subject) -> Option<SourceIndex> {
    let place = sources.iter().position(|known| *known == subject.source)?;
    u16::try_from(place).ok().map(SourceIndex)
}
