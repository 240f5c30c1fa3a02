//! What the members see in one reading.

use super::MEMBERS;

/// What each member saw in one reading.
pub(super) struct Views {
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
