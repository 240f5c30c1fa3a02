//! Versions of models that are on trial, beside those in use: whose runs are noted, and how far two answers are the same.

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use verge_domain::frame::View;
use verge_domain::id::{DeviceId, Label};
use verge_engine::RunError;
use verge_models::gate::Agreed;
use verge_models::gate::average_precision::FoundObject;
use verge_models::trial::{LookKind, TrialDesk, TrialRun, TrialSide, chosen};

use crate::elements::BadOutput;
use crate::viewer::{InferenceError, VisionJudge};

/// Numbers that differ by less than this share are the same answer.
const SAME_NUMBER: f64 = 0.1;

/// A model that is watched: a version of it has to prove itself.
#[derive(Debug, Clone)]
pub struct WatchedModel {
    /// Position of the version in use among the viewer's models.
    pub active: usize,
    /// The version on trial beside it; `None` where the version in use has to prove itself.
    pub candidate: Option<Candidate>,
    /// Where runs are noted.
    pub desk: Arc<TrialDesk>,
}

/// A version on trial beside the one in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its position among the viewer's models.
    pub model: usize,
    /// Its name in the store.
    pub id: String,
    /// Share of the cameras in percent that it looks at in the place of the version in use; `None`: it only looks once more at
    /// frames.
    pub share: Option<u32>,
}

impl PartialEq for WatchedModel {
    fn eq(&self, other: &Self) -> bool {
        (self.active, &self.candidate) == (other.active, &other.candidate)
            && Arc::ptr_eq(&self.desk, &other.desk)
    }
}

impl Candidate {
    /// Whether it looks at a camera in the place of the version in use.
    pub(crate) fn takes(&self, device: &DeviceId) -> bool {
        self.share.is_some_and(|share| chosen(device.as_str(), &self.id, share))
    }
}

impl VisionJudge {
    /// The judge with another version of a model, where it looks with that model at frames or at what was found.
    #[must_use]
    pub fn with_version(&self, active: usize, candidate: usize) -> Option<Self> {
        let mut judge = self.clone();
        let is_first = judge.model == active;
        if is_first {
            judge.model = candidate;
        }
        let then = judge.then.as_ref().filter(|then| then.model == active);
        let then = then.map(|then| Arc::new(crate::CascadeSettings { model: candidate, ..(**then).clone() }));
        let is_second = then.is_some();
        judge.then = then.or(judge.then);
        (is_first || is_second).then_some(judge)
    }
}

/// What this thread has taken of the processor. The time of day would count what others do on a busy machine against a version.
pub(crate) fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let secs = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or_default());
    secs + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or_default())
}

/// Whose runs those of a model are.
#[derive(Debug, Clone)]
pub(crate) struct RunWatch {
    pub(crate) desk: Arc<TrialDesk>,
    pub(crate) side: TrialSide,
    /// It has answered on the frame that was last decoded: a frame counts once, however many judges look at it.
    pub(crate) has_answered: bool,
}

impl RunWatch {
    /// A run has ended after this time.
    pub(crate) fn note(&mut self, kind: LookKind, fault: Option<&InferenceError>, took: Duration) {
        let run = match fault {
            None => TrialRun::Answered(took),
            Some(InferenceError::Run(RunError::Deadline)) => TrialRun::Overrun(took),
            Some(InferenceError::Bad(BadOutput::NotFinite)) => TrialRun::NotFinite,
            Some(InferenceError::Run(_) | InferenceError::Bad(_)) => TrialRun::Failed,
        };
        let is_answer = fault.is_none() && self.side == TrialSide::Candidate;
        let is_first = is_answer && !std::mem::replace(&mut self.has_answered, is_answer);
        self.desk.with(|trial| {
            trial.note(self.side, kind, run);
            if is_first {
                trial.judged();
            }
        });
    }
}

/// How far two answers are the same; `None` of answers of different kinds.
pub(crate) fn agreed(one: &View, other: &View) -> Option<Agreed> {
    match (one, other) {
        (View::Classification(one), View::Classification(other)) => {
            let [one, other] = [one, other].map(|view| view.labels.first().map(|best| &best.label));
            let is_nothing = one.is_none() && other.is_none();
            Some(if is_nothing { Agreed::default() } else { Agreed::of_answers([one == other]) })
        }
        (View::Detections(one), View::Detections(other)) => {
            let mut classes: Vec<&str> = Vec::new();
            let [one, other] = [one, other].map(|view| {
                let mut found = Vec::new();
                for object in &view.objects {
                    let class = class_of(&object.label);
                    let place = classes.iter().position(|known| *known == class).unwrap_or_else(|| {
                        classes.push(class);
                        classes.len() - 1
                    });
                    let area =
                        [object.area.x, object.area.y, object.area.width, object.area.height].map(f64::from);
                    let score = f64::from(object.score.thousandths()) / 1e3;
                    found.push(FoundObject { class: place, area, score });
                }
                found
            });
            Some(Agreed::of_boxes(&one, &other))
        }
        (View::Reconstruction(one), View::Reconstruction(other)) => Some(same_number(*one, *other)),
        (View::Appearance(one), View::Appearance(other)) => Some(same_number(one.score, other.score)),
        _ => None,
    }
}

/// The class without the kind that a second model has named.
fn class_of(label: &Label) -> &str {
    label.as_str().split('/').next().unwrap_or_default()
}

fn same_number(one: f64, other: f64) -> Agreed {
    Agreed::of_answers([(one - other).abs() <= SAME_NUMBER * one.abs().max(other.abs())])
}

#[cfg(test)]
mod tests {
    use verge_domain::frame::{Classification, Detection, Detections, PixelBox, Score, Scored};

    use super::*;

    fn classes(labels: &[&str]) -> View {
        let scored =
            |label: &&str| Scored { label: Label::new(label).unwrap(), score: Score::new(0.5).unwrap() };
        View::Classification(Classification { labels: labels.iter().map(scored).collect() })
    }

    fn objects(of: &[(&str, u32)]) -> View {
        let object = |(label, x): &(&str, u32)| Detection {
            label: Label::new(label).unwrap(),
            score: Score::new(0.5).unwrap(),
            area: PixelBox { x: *x, y: 0, width: 10, height: 10 },
            track: None,
        };
        View::Detections(Detections { width: 100, height: 100, objects: of.iter().map(object).collect() })
    }

    #[test]
    fn answers_agree_by_what_they_say_and_nothing_proves_nothing() {
        let share = |one: &View, other: &View| {
            agreed(one, other).map(|agreed| (agreed.of > 0.0, (agreed.share() * 100.0).round()))
        };
        assert_eq!(share(&classes(&["a", "b"]), &classes(&["a", "c"])), Some((true, 100.0)));
        assert_eq!(share(&classes(&["a"]), &classes(&["b", "a"])), Some((true, 0.0)));
        assert_eq!(share(&classes(&["a"]), &classes(&[])), Some((true, 0.0)));
        assert_eq!(share(&classes(&[]), &classes(&[])), Some((false, 100.0)));
        assert_eq!(share(&objects(&[("car/white", 0)]), &objects(&[("car", 1)])), Some((true, 100.0)));
        assert_eq!(share(&objects(&[("car", 0)]), &objects(&[("bus", 0)])), Some((true, 0.0)));
        assert_eq!(share(&objects(&[]), &objects(&[])), Some((false, 100.0)));
        assert_eq!(share(&View::Reconstruction(1.0), &View::Reconstruction(1.05)), Some((true, 100.0)));
        assert_eq!(share(&View::Reconstruction(1.0), &View::Reconstruction(1.2)), Some((true, 0.0)));
        assert_eq!(share(&View::Reconstruction(1.0), &classes(&["a"])), None);
    }

    #[test]
    fn a_judge_takes_another_version_of_the_models_that_it_looks_with() {
        let judge = VisionJudge::of(1);
        assert_eq!(judge.with_version(1, 4).map(|judge| judge.model), Some(4));
        assert_eq!(judge.with_version(0, 4), None);
    }
}
