//! How an open event goes on, so that what is new in it does not hide behind it.

use serde::{Deserialize, Serialize};

use crate::finding::{Condition, Standing};
use crate::verdict::EventChange;

/// An event is reported again once it lies this many times as far from its range as when it was last raised or escalated.
pub const GROWS_BY: f64 = 3.0;

/// Where the observations of an open event lay so far. Where that is unknown, as in what earlier versions saved, the next
/// abnormal observation is what later ones are held against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventCourse {
    /// Values lay above their range; below it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    above: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    below: bool,
    /// The distance when it was raised or last escalated.
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<f64>,
    /// What the event is about has become usual.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    adapted: bool,
    /// It was reported as critical.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) critical: bool,
}

impl EventCourse {
    /// Nothing is known of it.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// That of an event which is raised by this condition.
    pub(super) fn of(condition: &Condition) -> Self {
        let mut course = Self::default();
        course.note(condition);
        course
    }

    /// Notes how the condition stands; says what is new. Rules have limits that people chose, and say all there is to
    /// say: they have no course.
    pub(super) fn note(&mut self, condition: &Condition) -> Option<EventChange> {
        match condition.standing {
            Standing::Adapted => self.adapted = true,
            Standing::Abnormal | Standing::Renewed => self.adapted = false,
            Standing::Margin | Standing::Normal => {}
        }
        if !condition.standing.is_abnormal() || condition.p_value.is_none() || condition.member.is_health() {
            return self.adapted.then_some(EventChange::Adapted);
        }
        let (above, below) = sides(condition);
        let known = self.above || self.below;
        let turned = known && ((above && !self.above) || (below && !self.below));
        (self.above, self.below) = (self.above || above, self.below || below);
        // At its edge and beyond: what is nearer is abnormal for another reason.
        let now = condition.distance().map(|distance| distance.max(1.0));
        let grown = self.reached.zip(now).is_some_and(|(reached, now)| now >= GROWS_BY * reached);
        let change = if condition.standing == Standing::Renewed {
            Some(EventChange::Renewed)
        } else if turned {
            Some(EventChange::Turned)
        } else {
            grown.then_some(EventChange::Grown)
        };
        if change.is_some() || self.reached.is_none() {
            self.reached = now.into_iter().chain(self.reached).reduce(f64::max);
        }
        change
    }
}

/// Whether the value lies above its range, and whether below. What has no lower end is no value that could turn.
fn sides(condition: &Condition) -> (bool, bool) {
    match (condition.expected.low, condition.expected.high) {
        (Some(low), Some(high)) => (condition.observed > high, condition.observed < low),
        _ => (false, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Expected, Member};

    /// Conditions of a value that is usually between -1 and 1; what is new at each, by its first letter.
    #[track_caller]
    fn check(values: &[(Standing, f64)], expected: &str) {
        let condition = |&(standing, value): &(Standing, f64)| {
            let range = Expected { low: Some(-1.0), high: Some(1.0) };
            Condition { p_value: Some(1e-6), ..Condition::of_rule(Member::Level, standing, value, range) }
        };
        let mut course = EventCourse::of(&condition(&values[0]));
        let changes = values[1..].iter().map(|value| match course.note(&condition(value)) {
            Some(EventChange::Renewed) => 'r',
            Some(EventChange::Turned) => 't',
            Some(EventChange::Grown) => 'g',
            Some(EventChange::Adapted) => 'a',
            None => '.',
        });
        assert_eq!(changes.collect::<String>(), expected, "{values:?}");
    }

    use Standing::{Abnormal as A, Adapted as D, Margin as M, Normal as N, Renewed as R};

    #[test]
    fn what_grows_is_reported_by_each_factor_and_what_turns_once() {
        check(&[(A, 2.0), (A, 5.9), (A, 6.0), (A, 17.0), (M, 99.0), (A, 18.0)], ".g..g");
    }

    #[test]
    fn what_turns_is_reported_once() {
        check(&[(A, 2.0), (A, -2.0), (A, 2.0), (A, -2.0), (A, -7.0)], "t..g");
    }

    #[test]
    fn what_begins_again_is_said_whatever_it_is() {
        check(&[(A, 20.0), (M, 0.0), (R, 2.0), (A, 20.0), (A, 60.0)], ".r.g");
    }

    #[test]
    fn what_has_become_usual_ends_as_that_unless_it_is_strange_again() {
        check(&[(A, 2.0), (D, 2.0), (N, 2.0), (N, 0.0)], "aaa");
        check(&[(A, 2.0), (D, 2.0), (A, 2.0), (N, 0.0)], "a..");
    }

    #[test]
    fn rules_have_no_course() {
        let rule = |observed| {
            let range = Expected { low: Some(-1.0), high: Some(1.0) };
            Condition::of_rule(Member::High, A, observed, range)
        };
        let mut course = EventCourse::of(&rule(2.0));
        assert_eq!([course.note(&rule(-900.0)), course.note(&rule(900.0))], [None, None]);
    }
}
