//! What a judge says about an observation, before policy makes verdicts of it.

use serde::{Deserialize, Serialize};

use crate::frame::{Classification, Detections};
use crate::verdict::Counts;

/// What a judge found.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// How a watched condition stands now. Judges report it at every observation, normal or not; policy
    /// turns the changes into events.
    Condition(Condition),
    /// A finished interval of counts.
    Counts(Counts),
    /// What a frame shows as a whole.
    Classification(Classification),
    /// The objects in a frame.
    Detections(Detections),
}

/// Which rule or detector of a judge speaks. Events of different members live side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Member {
    /// Value above its upper limit.
    High,
    /// Value below its lower limit.
    Low,
    /// Value rising faster than its limit.
    Rise,
    /// Value falling faster than its limit.
    Fall,
    /// No reading for longer than its limit, or than its own history makes plausible. Health; observed and
    /// expected in seconds.
    Silent,
    /// The same value, bit by bit, for longer than its own history makes plausible. Health; in readings.
    Stuck,
    /// The variation has collapsed, though not to nothing. Health; the variation now as a ratio to the least
    /// that was usual.
    Flat,
    /// The noise from reading to reading has grown and stays. Health; the noise now as a ratio to the most
    /// that was usual.
    Noisy,
    /// Many readings at exactly the greatest or the least value. Health; share of readings, `0..=1`.
    Saturated,
    /// The device's clock is not believed, or has left its usual distance from ours. Health; seconds by which
    /// it is ahead of the receipt of its readings (negative: behind).
    ClockSkewed,
    /// Two publishers speak under one name. Health; share of readings, `0..=1`, that jump between the two.
    Duplicate,
}

impl Member {
    /// All of them, in the order of their numbers on the wire.
    pub const ALL: [Self; 11] = [
        Self::High,
        Self::Low,
        Self::Rise,
        Self::Fall,
        Self::Silent,
        Self::Stuck,
        Self::Flat,
        Self::Noisy,
        Self::Saturated,
        Self::ClockSkewed,
        Self::Duplicate,
    ];

    /// The stable text, in JSON and on terminals.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
            Self::Rise => "rise",
            Self::Fall => "fall",
            Self::Silent => "silent",
            Self::Stuck => "stuck",
            Self::Flat => "flat",
            Self::Noisy => "noisy",
            Self::Saturated => "saturated",
            Self::ClockSkewed => "clock_skewed",
            Self::Duplicate => "duplicate",
        }
    }

    /// Whether it speaks of the sensor itself (a health verdict) rather than of what the sensor measures.
    #[must_use]
    pub const fn is_health(self) -> bool {
        match self {
            Self::High | Self::Low | Self::Rise | Self::Fall => false,
            Self::Silent
            | Self::Stuck
            | Self::Flat
            | Self::Noisy
            | Self::Saturated
            | Self::ClockSkewed
            | Self::Duplicate => true,
        }
    }

    /// The unit of `observed` and `expected` where it belongs to the member: `None` where it is the signal's
    /// (limits and rates), empty for ratios and shares.
    #[must_use]
    pub const fn own_unit(self) -> Option<&'static str> {
        match self {
            Self::High | Self::Low | Self::Rise | Self::Fall => None,
            Self::Silent | Self::ClockSkewed => Some("s"),
            Self::Stuck => Some("readings"),
            Self::Flat | Self::Noisy | Self::Saturated | Self::Duplicate => Some(""),
        }
    }
}

/// Where an observation stands with respect to a limit and its hysteresis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Beyond the limit.
    Abnormal,
    /// Between the clearing limit and the limit: whatever held before still holds.
    Margin,
    /// Within the clearing limit.
    Normal,
}

/// Closed range of what was expected; an open side is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Expected {
    /// Lowest expected value.
    pub low: Option<f64>,
    /// Highest expected value.
    pub high: Option<f64>,
}

/// How one watched condition stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    /// Who speaks.
    pub member: Member,
    /// Where the observation stands.
    pub standing: Standing,
    /// What was observed: the value, the rate, the seconds of silence. Finite.
    pub observed: f64,
    /// What was expected.
    pub expected: Expected,
    /// Probability of an observation at least this extreme while all is well; `None` for explicit rules.
    pub p_value: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_apart_and_health_has_units_of_its_own() {
        for (index, member) in Member::ALL.into_iter().enumerate() {
            assert_eq!(member.is_health(), member.own_unit().is_some(), "{member:?}");
            assert!(Member::ALL[..index].iter().all(|other| other.as_str() != member.as_str()));
        }
    }
}
