//! What was abnormal last, so that an alarm ends when that does.

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Expected, Member};

use super::beside::SeenBeside;
use super::views::{MemberView, Views};
use super::{AutoDetector, MEAN, MEMBERS, VOLATILITY};

/// In place of a member: a single step, of which the limit is another than that of mean steps.
const SINGLE_STEP: usize = MEMBERS.len();

/// The member that found it, and what it expected then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct EventCause {
    low: f64,
    high: f64,
    /// How probable that was.
    p: f32,
    /// Its position, or [`SINGLE_STEP`]; one beyond all where nothing was abnormal yet.
    member: u8,
}

impl EventCause {
    pub(super) const NONE: Self =
        Self { low: f64::NEG_INFINITY, high: f64::INFINITY, p: 1.0, member: u8::MAX };

    pub(super) fn new(member: usize, by_beside: Option<&SeenBeside>, expected: Expected, p: f64) -> Self {
        let is_step = by_beside.is_some_and(|seen| seen.is_single_step());
        let member = if is_step { SINGLE_STEP } else { member };
        let (low, high) = (expected.low.unwrap_or(f64::NEG_INFINITY), expected.high.unwrap_or(f64::INFINITY));
        Self { low, high, p: p as f32, member: member as u8 }
    }

    /// The member, and what it observes now beside what it expected then.
    pub(super) fn now(&self, views: &Views) -> Option<MemberView> {
        let place = usize::from(self.member);
        let is_single_step = place == SINGLE_STEP;
        let (member, observed) = if is_single_step {
            // A machine that starts or stops has none that counts.
            (MEMBERS[VOLATILITY], views.step.unwrap_or_default())
        } else {
            (*MEMBERS.get(place)?, views.observed.get(place)?.0)
        };
        Some(MemberView { member, observed, expected: self.expected(), is_single_step })
    }

    /// Whether the member still observes what it did not expect then.
    pub(super) fn still_off(&self, views: &Views) -> bool {
        self.now(views).is_some_and(|view| !(self.low..=self.high).contains(&view.observed))
    }

    /// Whether what the member observes is where the signal is. The others learn within some readings what lasts, or are about its
    /// begin alone: that the signal is back is another question then.
    fn is_place(&self) -> bool {
        let member = MEMBERS.get(usize::from(self.member));
        member.is_none_or(|member| matches!(member, Member::Level | Member::Mean | Member::Median))
            && usize::from(self.member) != SINGLE_STEP
    }

    fn expected(&self) -> Expected {
        let end = |end: f64| end.is_finite().then_some(end);
        Expected { low: end(self.low), high: end(self.high) }
    }

    pub(super) fn p(&self) -> f64 {
        f64::from(self.p)
    }
}

/// Where values usually lay before the open event taught anything, at its present hour: an event is not over while the
/// signal stays outside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct UsualBefore {
    low: f64,
    high: f64,
    hour: u32,
}

impl Default for UsualBefore {
    fn default() -> Self {
        Self::of(None, 0)
    }
}

impl UsualBefore {
    pub(super) fn of(usual: Option<Expected>, hour: u32) -> Self {
        let Expected { low, high } = usual.unwrap_or_default();
        Self { low: low.unwrap_or(f64::NEG_INFINITY), high: high.unwrap_or(f64::INFINITY), hour }
    }

    pub(super) fn is_sound(&self) -> bool {
        !self.low.is_nan() && !self.high.is_nan()
    }
}

impl AutoDetector {
    /// Whether what the last event is about still lasts: what its member observes, or, while it is open, where the signal stays.
    pub(super) fn still_off(&mut self, views: &Views, is_open: bool) -> bool {
        let by_member = self.cause.still_off(views);
        if by_member || !is_open || self.cause.is_place() {
            return by_member;
        }
        let hour = self.profile.now().0;
        if hour != self.usual_before.hour {
            self.usual_before = UsualBefore::of(self.usual_by(&views.range), hour);
        }
        let UsualBefore { low, high, .. } = self.usual_before;
        !(low..=high).contains(&views.observed[MEAN].0)
    }
}
