//! Verdicts of one instance, with what is the same in all of them.

use verge_domain::frame::View;
use verge_domain::id::Lane;
use verge_domain::observation::Captured;
use verge_domain::stage::Judge;
use verge_domain::time::Moment;
use verge_domain::verdict::{Body, Event, Severity, Subject, Times, Verdict};

use super::super::body::times;
use super::super::{Decision, JudgeSpec};
use super::Instance;

impl<J: Judge> Instance<J> {
    /// Makes a verdict from counts, which are for the record: alarms of the same judge have their lane to themselves.
    pub(super) fn report_counts(
        &mut self,
        spec: &JudgeSpec<J>,
        body: Body,
        times: Times,
        out: &mut Decision,
    ) {
        self.report_for_the_record(spec, body, times, out);
        // A reported count must not be counted again after a restart.
        out.checkpoints.extend(self.changed_state(&spec.name));
    }

    /// The same where nothing is counted.
    pub(super) fn report_for_the_record(
        &self,
        spec: &JudgeSpec<J>,
        body: Body,
        times: Times,
        out: &mut Decision,
    ) {
        let verdict = self.verdict(spec, self.subject.clone(), times, Severity::Info, None, body);
        let lane = if verdict.lane == Lane::Alarm { Lane::Verdict } else { verdict.lane };
        out.verdicts.push(Verdict { lane, ..verdict });
    }

    /// Makes a verdict from a view.
    pub(in crate::judging) fn report(
        &mut self,
        spec: &JudgeSpec<J>,
        (view, by_smaller): (View, bool),
        captured: Captured,
        received: Moment,
        now: Moment,
        out: &mut Decision,
    ) {
        let body = match view {
            View::Classification(view) => Body::Classification(view),
            View::Detections(view) => Body::Detections(view),
            // A score belongs to an event, or to nothing.
            View::Reconstruction(_) | View::Appearance(_) | View::Still => return,
        };
        let times = times(captured, received, now);
        let subject = self.subject.clone();
        let mut verdict = self.verdict(spec, subject, times, spec.policy.severity, None, body);
        if let Some(smaller) = spec.smaller.as_ref().filter(|_| by_smaller) {
            verdict.model = Some(smaller.clone());
        }
        out.verdicts.push(verdict);
        // What was reported must not be reported again after a restart.
        out.checkpoints.extend(self.changed_state(&spec.name));
    }

    pub(in crate::judging) fn verdict(
        &self,
        spec: &JudgeSpec<J>,
        subject: Subject,
        times: Times,
        severity: Severity,
        event: Option<Event>,
        body: Body,
    ) -> Verdict {
        Verdict {
            judge: spec.name.clone(),
            tag: spec.tags.of(&subject).and_then(|entry| entry.tag.clone()),
            subject,
            times,
            detector: spec.detector,
            model: spec.candidate.as_ref().filter(|_| self.by_candidate).or(spec.model.as_ref()).cloned(),
            severity,
            lane: spec.policy.lane,
            event,
            group: None,
            action: None,
            body,
        }
    }
}
