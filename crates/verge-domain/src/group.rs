//! Alarms that are reported as one.

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, EventId, JudgeId, SignalId};

/// What an event stands for, beside itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AlarmGroup {
    /// What they have in common.
    pub kind: GroupKind,
    /// Number of the other events, those included that are over.
    pub others: u32,
    /// The first of them, [`AlarmGroup::MOST_LISTED`] at most.
    pub members: Vec<GroupMember>,
}

impl AlarmGroup {
    /// Events that are listed at most; the others are counted.
    pub const MOST_LISTED: usize = 16;
}

crate::words! {
    /// What the events of a group have in common.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum GroupKind {
        /// They are of one machine, and began within a short time.
        Machine = "machine",
        /// More alarms began within ten minutes than people can look at.
        Flood = "flood",
    }
}

/// One event of a group. Its own verdicts are for the record, and name the event of the group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupMember {
    /// The device.
    pub device: DeviceId,
    /// The signal; `None` where the event concerns the device as a whole.
    pub signal: Option<SignalId>,
    /// Who reports it.
    pub judge: JudgeId,
    /// The event.
    pub event: EventId,
}
