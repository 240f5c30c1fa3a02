//! From what a worker saw of a camera to verdicts. Pure: the workers drive it with live frames and `verge judge` with
//! files, so what is tried offline is what runs.

use std::sync::Arc;

use verge_domain::finding::Finding;
use verge_domain::frame::EncodedFrame;
use verge_domain::id::{DeviceId, JudgeId, Lane, SourceId};
use verge_domain::reading::SourceIndex;
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

/// All judges over frames, and the policy behind them.
#[derive(Debug, Clone, Default)]
pub struct FrameBench {
    specs: Vec<Option<FrameJudgeSpec>>,
    sources: Vec<SourceId>,
}

impl FrameBench {
    /// Judges by their position in the configuration (`None` where one judges no frames), and the names behind the
    /// indices of the sources.
    #[must_use]
    pub fn new(specs: Vec<Option<FrameJudgeSpec>>, sources: Vec<SourceId>) -> Self {
        Self { specs, sources }
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

    /// Verdicts on one frame, in the order of its judges.
    pub fn decide(
        &self,
        source: SourceIndex,
        frame: &EncodedFrame,
        received: Moment,
        now: Moment,
        findings: impl Iterator<Item = (usize, Finding)>,
        reports: &mut Reports,
    ) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (judge, finding) in findings {
            let Some(Some(spec)) = self.specs.get(judge) else { continue };
            if !reports.of(judge).advance(spec.report, &finding, received.mono) {
                continue;
            }
            let body = match finding {
                Finding::Classification(view) => Body::Classification(view),
                Finding::Detections(view) => Body::Detections(view),
                Finding::Counts(counts) => Body::Counts(counts),
                // Conditions need an event's life, which no judge over frames has yet.
                Finding::Condition(_) => continue,
            };
            verdicts.push(Verdict {
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
                },
                detector: spec.detector,
                model: Some(spec.model.clone()),
                severity: spec.severity,
                lane: spec.lane,
                event: None,
                body,
            });
        }
        verdicts
    }
}
