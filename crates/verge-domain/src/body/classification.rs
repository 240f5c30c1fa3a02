//! What a frame shows as a whole.

use crate::frame::Score;
use crate::id::Label;

/// One class and how sure the model is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scored {
    /// The class.
    pub label: Label,
    /// How sure the model is.
    pub score: Score,
}

/// What a frame, or a part of it, shows as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// The most probable classes, best first; empty where none reaches the judge's threshold.
    pub labels: Vec<Scored>,
}
