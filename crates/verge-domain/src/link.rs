//! What a link reports of itself beside "connected": services that its broker forbids, and whether what the
//! broker acknowledged has also arrived.

use std::time::Duration;

crate::words! {
    /// Something that a link does beside sending verdicts, and can do without.
    #[derive(PartialOrd, Ord)]
    pub enum Service {
        /// The status and the last will are retained.
        Retain = "retain",
        /// A last will is left with the broker.
        Will = "will",
        /// The status document is published.
        Status = "status",
        /// Commands are subscribed to.
        Commands = "commands",
        /// Own messages are read back, which proves that they arrive.
        Echo = "echo",
    }
}

impl Service {
    /// Its position in [`Service::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A service that a link goes without because its broker does not allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Degraded {
    /// Which.
    pub service: Service,
    /// What was observed, in words.
    pub reason: String,
}

/// Whether what is published on a topic arrives there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A message of ours came back.
    Proven {
        /// How long ago.
        ago: Duration,
    },
    /// Not known: acknowledgements are believed, or nothing was sent yet.
    Unproven {
        /// Why, in words.
        why: String,
    },
    /// Messages were acknowledged and did not come back: nothing counts as delivered.
    Dead {
        /// What was observed, in words.
        why: String,
    },
}

/// The arrival on one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicReport {
    /// The topic.
    pub topic: String,
    /// What is known.
    pub arrival: Arrival,
}

/// What a link reports of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkReport {
    /// Services it goes without.
    pub degraded: Vec<Degraded>,
    /// The topics that verdicts go to.
    pub topics: Vec<TopicReport>,
    /// Longer messages were acknowledged and did not arrive, so that messages are cut to this many bytes.
    pub largest_message: Option<usize>,
    /// Why the files with its credentials cannot be used any more, in words: the last good ones are.
    pub credentials_fault: Option<String>,
    /// What an edge node of Sparkplug reports.
    pub edge_node: Option<EdgeNodeReport>,
    /// What an RSMP site reports.
    pub site: Option<SiteReport>,
    /// What became of verdicts in publications of DATEX II.
    pub publications: Option<PublicationReport>,
}

/// What became of verdicts in publications of DATEX II, each counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublicationReport {
    /// Places in the table.
    pub sites: u64,
    /// Intervals of places.
    pub measurements: u64,
    /// Versions of situations.
    pub situations: u64,
    /// Verdicts about no place, or of a kind that is not published.
    pub left_out: u64,
    /// Tombstones, of which nothing is published.
    pub withdrawn: u64,
}

crate::words! {
    /// How far a connection of an edge node of Sparkplug has come.
    #[derive(Default)]
    pub enum EdgeNodeState {
        /// There is no connection.
        #[default]
        Down = "down",
        /// A connection is being made.
        Connecting = "connecting",
        /// It stands, and the primary host is awaited.
        WaitHost = "wait_host",
        /// Births are out, and data follows.
        Born = "born",
        /// It says that it leaves.
        Leaving = "leaving",
    }
}

/// What an edge node of Sparkplug reports of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EdgeNodeReport {
    /// How far its connection has come.
    pub state: EdgeNodeState,
    /// Devices of which a birth is out.
    pub devices: u64,
    /// Metrics of these.
    pub metrics: u64,
    /// Births of the node since the start.
    pub births: u64,
    /// Of these, those that a host asked for.
    pub rebirths: u64,
    /// Messages with verdicts that were sent, and of which it is not known yet whether the broker has them.
    pub unconfirmed: u64,
    /// Verdicts at hand that are still to be sent as history.
    pub history_left: u64,
    /// What came from hosts and was not taken: unknown metrics, wrong types, bytes that are no payload.
    pub refused: u64,
    /// Verdicts about devices or metrics for which there is no room.
    pub left_out: u64,
}

crate::words! {
    /// How far a connection of an RSMP site has come.
    #[derive(Default)]
    pub enum SiteState {
        /// There is no connection.
        #[default]
        Down = "down",
        /// The versions are being exchanged.
        Version = "version",
        /// The first watchdogs are being exchanged.
        Watchdog = "watchdog",
        /// Everything is sent.
        Up = "up",
    }
}

/// What an RSMP site reports of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiteReport {
    /// How far its connection has come.
    pub state: SiteState,
    /// Components that it has, the main one included.
    pub components: u64,
    /// Alarms that are active, as the supervisor has them.
    pub active_alarms: u64,
    /// Alarms that are suspended.
    pub suspended_alarms: u64,
    /// Series of measurements that the supervisor has subscribed to.
    pub subscriptions: u64,
    /// Messages since the start.
    pub sent: u64,
    /// Messages that the supervisor has not acknowledged yet.
    pub unacknowledged: u64,
    /// Messages that it has refused.
    pub refused_by_supervisor: u64,
    /// What came from the supervisor and was refused: an unknown code or component, a command that does not exist.
    pub refused: u64,
    /// What came from it and could not be read: broken JSON, a packet without an end.
    pub unreadable: u64,
    /// Critical events that are not among the alarms of the signal exchange list.
    pub left_out: u64,
}
