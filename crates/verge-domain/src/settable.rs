//! Limits of judges that operators may move while a gateway runs, within bounds that its configuration gives.

use serde::{Deserialize, Serialize};

use crate::id::{JudgeId, OperatorText};
use crate::time::UtcMillis;

crate::words! {
    /// A limit.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum LimitKey {
        /// What lies above it is abnormal.
        Above = "above",
        /// What lies below it is abnormal.
        Below = "below",
    }
}

/// A limit that may be moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SettableLimit {
    /// Which.
    pub key: LimitKey,
    /// What the configuration says.
    pub configured: f64,
    /// The least that it may be set to.
    pub lowest: f64,
    /// The most.
    pub highest: f64,
}

impl SettableLimit {
    /// Whether it may be set to a value.
    #[must_use]
    pub fn admits(&self, value: f64) -> bool {
        (self.lowest..=self.highest).contains(&value)
    }
}

/// A limit that an operator has moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetLimit {
    /// The judge.
    pub judge: JudgeId,
    /// Which of its limits.
    pub key: LimitKey,
    /// Where it is now.
    pub value: f64,
    /// Who moved it.
    pub by: OperatorText,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<OperatorText>,
    /// When.
    pub at: UtcMillis,
}
