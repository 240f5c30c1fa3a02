//! Under what events of one instance live.

use super::{Condition, Member};
use crate::id::SignalId;

/// Under what an event of an instance lives: one event at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strand {
    /// See [`Member::strand`].
    pub member: Member,
    /// See [`Condition::part`].
    pub part: Option<SignalId>,
}

impl Strand {
    /// Whether a condition belongs to it.
    #[must_use]
    pub fn holds(&self, condition: &Condition) -> bool {
        self.member == condition.member.strand() && self.part == condition.part
    }
}
