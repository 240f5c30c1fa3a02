//! Names and identities. Each is its own type, so that a device can never be passed for a signal.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name accepted, in bytes. Names travel in every verdict, so a longer one is a cost on each.
pub const MAX_NAME_BYTES: usize = 128;

/// Why a text cannot be a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Names identify; an empty one cannot.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("a name has at most {MAX_NAME_BYTES} bytes, this one has {actual}")]
    TooLong {
        /// Bytes found.
        actual: usize,
    },
    /// Control characters would break logs and terminals.
    #[error("a name must not contain control characters")]
    Control,
}

/// Checks a text against the rules every name follows.
///
/// # Errors
/// Empty, longer than [`MAX_NAME_BYTES`], or with control characters.
pub fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong { actual: text.len() });
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    Ok(())
}

/// Index of a judge in the order of the checked settings. It means the judge within one run; what is saved names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JudgeIndex(pub u16);

impl JudgeIndex {
    /// Its place in a list of all judges.
    #[must_use]
    pub const fn position(self) -> usize {
        self.0 as usize
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and takes a name; cloning it afterwards costs a reference count.
            ///
            /// # Errors
            /// See [`check_name`].
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_name(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(
    /// This gateway, as its configuration names it.
    GatewayId
);
name!(
    /// A `[source.NAME]` of the configuration.
    SourceId
);
name!(
    /// A `[judge.NAME]` of the configuration.
    JudgeId
);
name!(
    /// A class that a model distinguishes, as its labels name it.
    Label
);

impl Label {
    /// The name of a kind of this class, `CLASS/KIND`.
    ///
    /// # Errors
    /// The two are too long together.
    pub fn kind(&self, kind: &Self) -> Result<Self, NameError> {
        Self::new(&format!("{self}/{kind}"))
    }
}

name!(
    /// A model, as its card names it; also a version of one.
    ModelName
);
name!(
    /// The device that a reading came from, as the device or its topic names it.
    DeviceId
);
name!(
    /// One measured quantity of a device.
    SignalId
);
name!(
    /// A line, a zone or an arm of a scene, as the configuration names it.
    PlaceId
);
name!(
    /// A durable route with marks of its own: the links of one or several `[uplink.NAME]`.
    RouteId
);
name!(
    /// One connection of a route: one `[uplink.NAME]`.
    LinkId
);
name!(
    /// What a list of tags says of a signal: its description, its machine, its group.
    TagText
);
name!(
    /// What is said of an operator's action: who did it, and why.
    OperatorText
);
name!(
    /// Unit of a value, as the device or the configuration states it (UCUM or SenML symbol by preference).
    Unit
);

/// What a judge observes for others bears its name.
impl From<&JudgeId> for SignalId {
    fn from(judge: &JudgeId) -> Self {
        Self(Arc::clone(&judge.0))
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Life of a store: 128 random bits, new whenever a store is created, restored or cut back. Sequence
/// numbers count within one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub [u8; 16]);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// Identity of one event over its whole life (raised, updated, cleared): 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventId(pub [u8; 16]);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// Number of an event, short enough for a person to type: from 1, and never given twice in the life of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventNumber(pub u64);

impl fmt::Display for EventNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of a verdict in its lane: dense, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// "Before the first": the mark of a route that has delivered nothing yet.
    pub const ZERO: Self = Self(0);

    /// The sequence number that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

crate::words! {
    /// The three lanes of the delivery contract, in order of precedence.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Lane {
        /// Overtakes everything; each verdict is sent alone, at once.
        Alarm = "alarm",
        /// Routine results, sent in batches.
        Verdict = "verdict",
        /// May wait to fill a batch; evicted first when the store is full.
        Telemetry = "telemetry",
    }
}

impl Lane {
    /// Position in [`Lane::ALL`]; also the number on the wire and in the store.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The lane with this number, if there is one.
    #[must_use]
    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }
}

/// What makes a verdict unique in the world: a receiver drops duplicates by it and sees gaps in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The gateway that decided.
    pub gateway: GatewayId,
    /// The life of its store.
    pub epoch: Epoch,
    /// The lane.
    pub lane: Lane,
    /// Position in the lane.
    pub seq: Seq,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let check = |text: &str, expected: Result<(), NameError>| {
            assert_eq!(DeviceId::new(text).map(|_| ()), expected, "{text:?}");
        };
        check("pump-1", Ok(()));
        check("Prüfstand 3", Ok(()));
        check("", Err(NameError::Empty));
        check("a\nb", Err(NameError::Control));
        check(&"x".repeat(128), Ok(()));
        check(&"x".repeat(129), Err(NameError::TooLong { actual: 129 }));
    }

    #[test]
    fn lanes_keep_their_numbers() {
        for (index, lane) in Lane::ALL.into_iter().enumerate() {
            assert_eq!(lane.index(), index);
            assert_eq!(Lane::from_index(index), Some(lane));
        }
        assert_eq!(Lane::from_index(3), None);
    }
}
