//! Settings, actions and events of an edge node, and how far it is.

use std::time::Duration;

use verge_domain::id::{JudgeId, Lane};
use verge_domain::settable::SettableLimit;
use verge_domain::stage::Token;

#[cfg(doc)]
use super::EdgeNode;
use crate::names::NodeAddress;

/// In which order history and what is new go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryOrder {
    /// What is new goes at once, history beside it.
    Behind,
    /// All history first, and what is new after it.
    InOrder,
}

/// How an edge node behaves.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// Its place in the topics.
    pub address: NodeAddress,
    /// The primary host, without which nothing is born.
    pub host: Option<String>,
    /// Lanes whose verdicts it shows.
    pub lanes: Vec<Lane>,
    /// How often the broker is asked at most what it has read.
    pub confirm: Duration,
    /// The order of history.
    pub history: HistoryOrder,
    /// Historical metrics per second at most.
    pub history_rate: u32,
    /// Whether data says the types of metrics again.
    pub datatype_in_data: bool,
    /// What the node says of itself, by name.
    pub properties: Vec<(String, String)>,
    /// Largest payload.
    pub max_payload: usize,
    /// Whether a device that is silent has died: hosts see all of it as stale, the alarm about its silence too.
    pub silent_is_death: bool,
    /// What hosts may command, if anything.
    pub commands: Option<HostCommands>,
}

/// What hosts may command beside births: alarms of devices may be acknowledged and shelved, and these limits be set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostCommands {
    /// Limits of judges that the configuration opens.
    pub limits: Vec<(JudgeId, SettableLimit)>,
}

/// What to do on the connection, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeAction {
    /// Subscribe to these, and report the answer by [`EdgeNode::subscribed`].
    Subscribe(Vec<String>),
    /// Publish this at QoS 0, not retained.
    Publish(String, Vec<u8>),
    /// Subscribe to this once more, and report the answer by [`EdgeNode::confirmed`].
    Confirm(String),
    /// Publish this at QoS 1, not retained, and report the acknowledgement by [`EdgeNode::left`].
    Death(String, Vec<u8>),
}

/// What the caller must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeNews {
    /// From now on rows may be offered.
    Born,
    /// The broker has all of an item.
    Delivered(Token),
    /// There is room for items again.
    Room,
    /// A host commands this, in JSON as it is on the other uplinks; its answer comes by [`EdgeNode::answered`].
    Command(Vec<u8>),
    /// The node has said that it leaves: disconnect, for this reason where it is to connect again.
    Left(Option<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EdgePhase {
    Down,
    Connecting,
    Subscribing,
    Subscribed,
    WaitHost,
    /// It needs what the board says: see [`EdgeNode::begin`].
    Ready,
    Born,
    /// By a stop, or because the primary host is offline.
    Leaving {
        by_host: bool,
        said: bool,
    },
}
