//! What operators do about alarms, in the terms of ISA-18.2.

use serde::{Deserialize, Serialize};

use crate::id::OperatorText;
use crate::time::UtcMillis;

/// What operators have done about an open event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AlarmHandling {
    /// When it was acknowledged. What gets worse afterwards waits to be acknowledged anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<UtcMillis>,
    /// Until when it is shelved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shelved: Option<UtcMillis>,
}

impl AlarmHandling {
    /// Nothing was done.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

crate::words! {
    /// What an operator did.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum ActionKind {
        /// Took note of an alarm.
        Acknowledged = "acknowledged",
        /// Took an alarm off the list for a limited time.
        Shelved = "shelved",
        /// Put it back on the list, or its time was over.
        Unshelved = "unshelved",
        /// Moved a limit of the judge.
        Set = "set",
        /// Labelled the event; the note is the label.
        Labelled = "labelled",
    }
}

/// An operator's action, in the verdict that it caused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OperatorAction {
    /// What was done.
    pub kind: ActionKind,
    /// Who did it: where the command came in, and the person where that is known.
    pub by: OperatorText,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<OperatorText>,
}
