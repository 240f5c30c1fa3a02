//! What the members see in one reading.

use verge_domain::finding::{Expected, Member};

use super::MEMBERS;
use super::novelty::Quantiser;

/// What each member saw in one reading.
pub(super) struct Views {
    /// The range of values before it.
    pub(super) range: Quantiser,
    /// The step from the reading before, where it counts.
    pub(super) step: Option<f64>,
    /// Absent where a member has no basis yet.
    pub(super) scores: [Option<f64>; MEMBERS.len()],
    /// What it observed, and around what it expected that.
    pub(super) observed: [(f64, Centre); MEMBERS.len()],
}

/// What a member's score is measured from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Centre {
    /// The score is the distance from this value.
    Around(f64),
    /// The score is the logarithm of the ratio to this value, less a little.
    Times,
    /// The score is what is observed.
    Itself,
}

/// What one member saw in a reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemberView {
    pub(super) member: Member,
    pub(super) observed: f64,
    /// What does not alarm.
    pub(super) expected: Expected,
    /// It is about one step, not about the mean of many.
    pub(super) is_single_step: bool,
}
