//! From the scores of one subject to conditions: a tail makes probabilities of them, a budget says which alarm. What
//! a detector with one score has in common with the next.

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Expected, FARTHEST, Feedback, Member, Standing};
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::UtcMillis;

use crate::alarm::{AlarmSettings, Alarms, Pace};
use crate::budget::{AlarmLevel, least_p};
use crate::lessons::{LessonStep, Lessons};
use crate::tail::{Mark, Tail};

/// The level without a budget.
const FIXED_P: f64 = 1e-3;

/// What the scores of one subject have taught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scores {
    pace: Pace,
    tail: Tail,
    alarms: Alarms,
    feedback: Feedback,
    lessons: Lessons<Mark>,
    /// What was expected at most when the open event began; infinite while there is none.
    cause: f64,
}

impl Scores {
    pub(crate) fn new() -> Self {
        Self {
            pace: Pace::new(),
            tail: Tail::new(0),
            alarms: Alarms::new(),
            feedback: Feedback::default(),
            lessons: Lessons::new(),
            cause: f64::INFINITY,
        }
    }

    /// Judges a score, then learns it.
    pub(crate) fn judge(
        &mut self,
        settings: &AlarmSettings,
        member: Member,
        at: UtcMillis,
        score: f64,
    ) -> Condition {
        self.pace.note(at);
        let level = self.rate(settings).p;
        let expected = self.tail.quantile(level);
        let (p_value, mark) = self.tail.observe_with_mark(score);
        let (was_open, still_off) = (self.alarms.is_open(), score > self.cause);
        let outcome = self.alarms.judge(p_value, level, settings.hold_off, still_off);
        let is_open = self.alarms.is_open();
        let begins = outcome.standing == Standing::Renewed || (!was_open && !still_off);
        if outcome.abnormal && begins {
            self.cause = expected.unwrap_or(f64::INFINITY);
        } else if !is_open && (was_open || !still_off) {
            self.cause = f64::INFINITY;
        }
        let far = outcome.abnormal && self.tail.is_far(score, level);
        let (seen, remembered) = (self.pace.seen(), self.tail.weight());
        let forgotten = self.lessons.note(LessonStep { seen, remembered, was_open, is_open, far }, mark);
        forgotten.into_iter().for_each(|mark| self.tail.forget(mark));
        Condition {
            p_value: Some(p_value.max(least_p(remembered, 1.0))),
            feedback: self.feedback,
            distance: self.distance(member, score, expected),
            ..Condition::of_rule(member, outcome.standing, score, Expected { low: None, high: expected })
        }
    }

    /// The score in usual ones: those that 98 % of all stay below, else those that were expected at most. Of a square
    /// the root.
    fn distance(&self, member: Member, score: f64, expected: Option<f64>) -> Option<f64> {
        let usual = self.tail.usual().or(expected.filter(|most| *most > 0.0))?;
        let ratio = score / usual;
        let ratio = if member == Member::Reconstruction { ratio.sqrt() } else { ratio };
        Some(ratio.clamp(0.0, FARTHEST)).filter(|ratio| !ratio.is_nan())
    }

    /// Applies a person's remark on errors of a model, which stays as it is: after maintenance their usual values are
    /// learnt again. Returns whether this changed anything.
    pub(crate) fn apply(&mut self, remark: Remark) -> bool {
        match remark {
            Remark::Maintenance => {
                self.was_maintenance();
                self.start_again();
                true
            }
            Remark::Real => self.was_real(),
        }
    }

    /// A person reports maintenance: what the last alarm taught is no part of the usual.
    pub(crate) fn was_maintenance(&mut self) {
        self.feedback.maintenance = self.feedback.maintenance.saturating_add(1);
        let taught = self.lessons.was_maintenance();
        taught.into_iter().for_each(|mark| self.tail.forget(mark));
    }

    /// The usual scores are learnt again.
    fn start_again(&mut self) {
        self.tail = Tail::new(0);
        self.lessons = Lessons::new();
        self.cause = f64::INFINITY;
    }

    /// A person says that the last alarm was real: what it taught is forgotten. Returns whether there was one.
    fn was_real(&mut self) -> bool {
        self.feedback.real = self.feedback.real.saturating_add(1);
        let taught = self.lessons.was_real();
        taught.iter().flatten().for_each(|mark| self.tail.forget(*mark));
        taught.is_some()
    }

    pub(crate) fn alarm_rate(&self, settings: &AlarmSettings) -> AlarmRate {
        let rate = settings.rate_ahead(&self.pace, self.tail.weight(), 1.0, FIXED_P);
        self.alarms.rate(&self.pace, &rate)
    }

    /// Whether it can be what was saved.
    pub(crate) fn check(&self) -> Result<(), RestoreError> {
        self.tail.check()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.tail.heap_bytes() + self.lessons.heap_bytes()
    }

    fn rate(&self, settings: &AlarmSettings) -> AlarmLevel {
        settings.rate(&self.pace, self.tail.weight(), 1.0, FIXED_P)
    }
}
