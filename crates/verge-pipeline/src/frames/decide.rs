//! From what a worker saw of a camera to verdicts, and to observations for judges over readings. Pure: the workers
//! drive it with live frames and `verge judge` with files, so what is tried offline is what runs.

use std::sync::Arc;

use verge_domain::frame::{EncodedFrame, View};
use verge_domain::id::{DeviceId, JudgeId, Lane, SignalId, SourceId};
use verge_domain::reading::{Quality, Reading, SourceIndex};
use verge_domain::report::{ReportLife, ReportPolicy};
use verge_domain::time::Moment;
use verge_domain::verdict::{Body, Detector, Model, Severity, Subject, Times, Verdict};
use wildmatch::WildMatch;

/// One judge over frames.
#[derive(Debug, Clone)]
pub struct FrameJudgeSpec {
    /// Its name.
    pub name: JudgeId,
    /// What it does.
    pub detector: Detector,
    /// Its model.
    pub model: Model,
    /// Sources it looks at.
    pub inputs: Vec<SourceIndex>,
    /// Patterns of device names with `*`; empty takes all.
    pub devices: Vec<WildMatch>,
    /// Which of its views become verdicts.
    pub report: ReportPolicy,
    /// Severity of its verdicts.
    pub severity: Severity,
    /// Lane of its verdicts.
    pub lane: Lane,
}

/// What each judge last reported of one camera.
#[derive(Debug, Clone, Default)]
pub struct Reports(Vec<(usize, ReportLife)>);

impl Reports {
    fn of(&mut self, judge: usize) -> &mut ReportLife {
        let index = self.0.iter().position(|(known, _)| *known == judge).unwrap_or_else(|| {
            self.0.push((judge, ReportLife::default()));
            self.0.len() - 1
        });
        &mut self.0[index].1
    }
}

/// What came of one frame.
#[derive(Debug, Default)]
pub struct Decided {
    /// Verdicts, in the order of the judges.
    pub verdicts: Vec<Verdict>,
    /// What was observed, as readings of the camera for judges over readings, in the same order; the signal has the
    /// judge's name.
    pub readings: Vec<Reading>,
}

/// All judges over frames, and the policy behind them.
#[derive(Debug, Clone, Default)]
pub struct FrameBench {
    specs: Vec<Option<FrameJudgeSpec>>,
    sources: Vec<SourceId>,
    watched: Vec<SourceIndex>,
}

impl FrameBench {
    /// Judges by their position in the configuration (`None` where one judges no frames), and the names behind the
    /// indices of the sources.
    #[must_use]
    pub fn new(specs: Vec<Option<FrameJudgeSpec>>, sources: Vec<SourceId>) -> Self {
        Self { specs, sources, watched: Vec::new() }
    }

    /// The same; judges over readings are told of each frame of these sources that it has arrived.
    #[must_use]
    pub fn watching(self, sources: Vec<SourceIndex>) -> Self {
        Self { watched: sources, ..self }
    }

    /// Whether judges over readings watch the arrivals of a source.
    pub(super) fn is_watched(&self, source: SourceIndex) -> bool {
        self.watched.contains(&source)
    }

    /// The judges that look at a camera, by their position.
    #[must_use]
    pub fn judges_of(&self, source: SourceIndex, device: &DeviceId) -> Arc<[usize]> {
        let takes = |spec: &FrameJudgeSpec| {
            spec.inputs.contains(&source)
                && (spec.devices.is_empty()
                    || spec.devices.iter().any(|pattern| pattern.matches(device.as_str())))
        };
        let judges = self.specs.iter().enumerate();
        judges.filter(|(_, spec)| spec.as_ref().is_some_and(takes)).map(|(index, _)| index).collect()
    }

    /// What verdicts call the model of a judge.
    #[must_use]
    pub fn model_of(&self, judge: usize) -> Option<&Model> {
        self.specs.get(judge)?.as_ref().map(|spec| &spec.model)
    }

    /// What becomes of the views of one frame.
    pub fn decide(
        &self,
        source: SourceIndex,
        frame: &EncodedFrame,
        received: Moment,
        now: Moment,
        views: impl Iterator<Item = (usize, View)>,
        reports: &mut Reports,
    ) -> Decided {
        let mut decided = Decided::default();
        for (judge, view) in views {
            let Some(Some(spec)) = self.specs.get(judge) else { continue };
            let is_due = reports.of(judge).advance(spec.report, &view, received.mono);
            let body = match view {
                View::Reconstruction(error) => {
                    decided.readings.push(reading(&spec.name, frame, error));
                    continue;
                }
                View::Classification(_) | View::Detections(_) if !is_due => continue,
                View::Classification(view) => Body::Classification(view),
                View::Detections(view) => Body::Detections(view),
            };
            decided.verdicts.push(Verdict {
                judge: spec.name.clone(),
                subject: Subject {
                    source: self.sources[usize::from(source.0)].clone(),
                    device: frame.device.clone(),
                    signal: None,
                },
                times: Times {
                    captured: frame.captured_at,
                    clock: frame.clock,
                    received: received.wall,
                    decided: now.wall,
                    estimated: false,
                },
                detector: spec.detector,
                model: Some(spec.model.clone()),
                severity: spec.severity,
                lane: spec.lane,
                event: None,
                body,
            });
        }
        decided
    }
}

fn reading(judge: &JudgeId, frame: &EncodedFrame, value: f64) -> Reading {
    Reading {
        device: frame.device.clone(),
        signal: SignalId::from(judge),
        value,
        unit: None,
        captured_at: frame.captured_at,
        clock: frame.clock,
        quality: Quality::Good,
    }
}
