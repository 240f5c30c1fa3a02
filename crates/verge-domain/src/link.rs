//! What a link reports of itself beside "connected": services that its broker forbids, and whether what the
//! broker acknowledged has also arrived.

use std::time::Duration;

/// Something that a link does beside sending verdicts, and can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// The status and the last will are retained.
    Retain,
    /// A last will is left with the broker.
    Will,
    /// The status document is published.
    Status,
    /// Commands are subscribed to.
    Commands,
    /// Own messages are read back, which proves that they arrive.
    Echo,
}

impl Service {
    /// All, in the order of their positions.
    pub const ALL: [Self; 5] = [Self::Retain, Self::Will, Self::Status, Self::Commands, Self::Echo];

    /// Its key in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retain => "retain",
            Self::Will => "will",
            Self::Status => "status",
            Self::Commands => "commands",
            Self::Echo => "echo",
        }
    }

    /// Its position in [`Service::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Retain => 0,
            Self::Will => 1,
            Self::Status => 2,
            Self::Commands => 3,
            Self::Echo => 4,
        }
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
}
