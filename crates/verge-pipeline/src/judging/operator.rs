//! What operators do about alarms: they acknowledge them, and take them off the list for a limited time.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Standing, Strand};
use verge_domain::id::{EventNumber, JudgeId, OperatorText};
use verge_domain::observation::Captured;
use verge_domain::policy::Observed;
use verge_domain::stage::{Judge, Remark};
use verge_domain::time::Moment;
use verge_domain::verdict::{ActionKind, AlarmHandling, Event, OperatorAction, Subject, Verdict};

use super::body::{body_of, times};
use super::instance::Instance;
use super::orders::{OrderError, Selector};
use super::outcome::Outcome;
use super::saved_life::{SavedEvent, about};
use super::{Decision, JudgeSet, JudgeSpec, KnownEvent};

/// An alarm is shelved for this long at most.
pub const LONGEST_SHELVING: Duration = Duration::from_secs(8 * 3600);

/// Who acts, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Where the command came in, and the person where that is known.
    pub by: OperatorText,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<OperatorText>,
}

impl Operator {
    pub(super) fn did(&self, kind: ActionKind) -> OperatorAction {
        OperatorAction { kind, by: self.by.clone(), note: self.note.clone() }
    }

    /// The gateway itself, when the time of a shelved alarm is over.
    pub(super) fn time() -> Self {
        Self { by: OperatorText::new("end of its time").expect("a short text"), note: None }
    }
}

impl<J: Judge> Instance<J> {
    /// Notes what an operator did about open events. `handling` gives what is known of one then; nothing where there is nothing new
    /// of it, else it is reported. Returns how many there are, and how many of them are reported.
    fn handle(
        &mut self,
        spec: &JudgeSpec<J>,
        which: impl Fn(&SavedEvent) -> bool,
        handling: impl Fn(AlarmHandling) -> Option<AlarmHandling>,
        action: &OperatorAction,
        now: Moment,
        out: &mut Decision,
    ) -> (usize, usize) {
        let when = Observed { at: now.wall, received: now };
        let (mut found, mut reports) = (0, Vec::new());
        for open in self.open.iter().filter(|open| which(open)) {
            found += 1;
            let Some(next) = handling(open.event.handling) else { continue };
            let strand = open.strand();
            reports.extend(self.life.handle(&strand, next, when).map(|event| (strand, event)));
        }
        self.report_again(spec, &reports, Some(action), now, out);
        (found, reports.len())
    }

    /// Repeats the last reports of open events, of which something else is new.
    pub(super) fn report_again(
        &mut self,
        spec: &JudgeSpec<J>,
        reports: &[(Strand, Event)],
        action: Option<&OperatorAction>,
        now: Moment,
        out: &mut Decision,
    ) {
        for (strand, event) in reports {
            let Some(open) = self.open.iter_mut().find(|open| open.strand() == *strand) else { continue };
            open.event = self.life.event_of(strand).unwrap_or(open.event);
            let event = Event { number: open.number, ..*event };
            let condition =
                Condition::of_rule(strand.member, Standing::Abnormal, open.observed, open.expected);
            let (of_judge, lane) = spec.policy.class_of(event.learning);
            let severity = open.severity.filter(|_| !event.learning).unwrap_or(of_judge);
            let body = body_of(&condition, self.unit.as_ref());
            let subject = about(&self.subject, strand.part.as_ref());
            let times = times(Captured::UNKNOWN, now, now);
            let verdict = self.verdict(spec, subject, times, severity, Some(event), body);
            out.verdicts.push(Verdict { lane, action: action.cloned().map(Box::new), ..verdict });
        }
        if !reports.is_empty() {
            out.checkpoints.push(self.saved_life(spec));
        }
    }
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// Notes what an operator did about the open events of the selected instances; see [`Instance::handle`].
    pub(super) fn handle(
        &mut self,
        selected: impl Fn(&JudgeId, &Subject) -> bool,
        which: impl Fn(&SavedEvent) -> bool,
        handling: impl Fn(AlarmHandling) -> Option<AlarmHandling>,
        action: &OperatorAction,
        (now, out): (Moment, &mut Decision),
    ) -> (usize, usize) {
        let from = out.verdicts.len();
        let (mut found, mut changed) = (0, 0);
        for (_, instance) in &mut self.instances {
            let spec = &self.specs[instance.judge_index];
            let subject = instance.subject.clone();
            let which =
                |open: &SavedEvent| selected(&spec.name, &about(&subject, open.part.as_ref())) && which(open);
            let (more, besides) = instance.handle(spec, which, &handling, action, now, out);
            (found, changed) = (found + more, changed + besides);
        }
        self.groups.arrange(from, now, out);
        (found, changed)
    }

    /// Acknowledges one event, or all open events of what is selected.
    pub(super) fn acknowledge(
        &mut self,
        selector: &Selector,
        event: Option<&KnownEvent>,
        operator: &Operator,
        now: Moment,
        out: &mut Decision,
    ) -> Result<Outcome, OrderError> {
        self.meant(selector)?;
        let number = event.map(|event| event.number);
        let (found, acknowledged) = self.handle(
            |judge, subject| selector.means(judge, subject),
            |open| number.is_none() || open.number == number,
            |handling| {
                let acknowledged = handling.acknowledged.is_none().then_some(now.wall)?;
                Some(AlarmHandling { acknowledged: Some(acknowledged), ..handling })
            },
            &operator.did(ActionKind::Acknowledged),
            (now, out),
        );
        if found == 0 {
            return Err(OrderError::NothingOpen { selector: selector.clone() });
        }
        tracing::info!(%selector, by = %operator.by, acknowledged, "alarms are acknowledged");
        Ok(Outcome::Acknowledged { events: acknowledged, already: found - acknowledged })
    }

    /// Reports what an operator said of events with those of them that are open.
    pub(super) fn report_labels(
        &mut self,
        labelled: &[EventNumber],
        (remark, by): (Remark, &OperatorText),
        now: Moment,
        out: &mut Decision,
    ) {
        let operator = Operator { by: by.clone(), note: OperatorText::new(remark.as_str()).ok() };
        self.handle(
            |_, _| true,
            |open| open.number.is_some_and(|number| labelled.contains(&number)),
            // A remark changes nothing of the event.
            Some,
            &operator.did(ActionKind::Labelled),
            (now, out),
        );
    }

    /// Shelves the alarms of a judge about what is selected: nothing new is raised about it for a limited time.
    pub(super) fn shelve(
        &mut self,
        (selector, known): (&Selector, bool),
        length: Duration,
        operator: &Operator,
        now: Moment,
        out: &mut Decision,
    ) -> Result<Outcome, OrderError> {
        let points = match self.meant(selector) {
            Err(_) if known => 0,
            meant => meant?,
        };
        let until = self.open_window(selector, length.min(LONGEST_SHELVING), Some(operator), now, out)?;
        self.handle(
            |judge, subject| selector.means(judge, subject),
            |_| true,
            |handling| {
                let is_new = handling.shelved != Some(until);
                is_new.then_some(AlarmHandling { shelved: Some(until), ..handling })
            },
            &operator.did(ActionKind::Shelved),
            (now, out),
        );
        Ok(Outcome::Shelved { points, until })
    }
}
