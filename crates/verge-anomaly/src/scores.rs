//! From the scores of one subject to conditions: a tail makes probabilities of them, a budget says which alarm. What
//! a detector with one score has in common with the next.

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Expected, Feedback, Member};
use verge_domain::stage::AlarmRate;
use verge_domain::time::UtcMillis;

use crate::alarm::{AlarmSettings, Alarms, Pace};
use crate::budget::Rate;
use crate::tail::Tail;

/// The level without a budget.
const FIXED_P: f64 = 1e-3;

/// What the scores of one subject have taught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scores {
    pace: Pace,
    tail: Tail,
    alarms: Alarms,
    feedback: Feedback,
}

impl Scores {
    pub(crate) fn new() -> Self {
        Self { pace: Pace::new(), tail: Tail::new(0), alarms: Alarms::new(), feedback: Feedback::default() }
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
        let p_value = self.tail.observe(score);
        let outcome = self.alarms.judge(p_value, level, settings.hold_off, false);
        Condition {
            member,
            standing: outcome.standing,
            observed: score,
            expected: Expected { low: None, high: self.tail.quantile(level) },
            p_value: Some(p_value),
            contributions: Vec::new(),
            feedback: self.feedback,
        }
    }

    /// A person speaks of maintenance.
    pub(crate) fn was_maintenance(&mut self) {
        self.feedback.maintenance = self.feedback.maintenance.saturating_add(1);
    }

    /// What scores are usually is learnt anew.
    pub(crate) fn start_again(&mut self) {
        self.tail = Tail::new(0);
    }

    pub(crate) fn alarm_rate(&self, settings: &AlarmSettings) -> AlarmRate {
        self.alarms.rate(&self.pace, &self.rate(settings))
    }

    fn rate(&self, settings: &AlarmSettings) -> Rate {
        settings.rate(&self.pace, self.tail.weight(), 1.0, FIXED_P)
    }
}
