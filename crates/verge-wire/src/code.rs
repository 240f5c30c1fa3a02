//! Keys of the CBOR maps and the numbers that stand for names. They never change and are never used again
//! for anything else; new ones are added.

use verge_domain::finding::Member;
use verge_domain::verdict::{Detector, EventState, Severity};

use super::WireError;

/// Keys of a message.
pub(super) mod message {
    pub(crate) const VERSION: u64 = 0;
    pub(crate) const GATEWAY: u64 = 1;
    pub(crate) const EPOCH: u64 = 2;
    pub(crate) const LANE: u64 = 3;
    pub(crate) const SENT: u64 = 4;
    pub(crate) const VERDICTS: u64 = 5;
    pub(crate) const AGE: u64 = 6;
    pub(crate) const VOLATILE: u64 = 7;
    pub(crate) const TOMBSTONES: u64 = 8;
}

/// Keys of a tombstone.
pub(super) mod tombstone {
    pub(crate) const FROM: u64 = 0;
    pub(crate) const THROUGH: u64 = 1;
    pub(crate) const REASON: u64 = 2;
    pub(crate) const AT: u64 = 3;
    pub(crate) const SUMMARY: u64 = 4;
}

/// Keys of a summary. It is stored before anything else of its tombstone is known, so its times stand by
/// themselves and are not counted from another.
pub(super) mod summary {
    pub(crate) const JUDGE: u64 = 0;
    pub(crate) const DEVICE: u64 = 1;
    pub(crate) const SIGNAL: u64 = 2;
    pub(crate) const COUNT: u64 = 3;
    pub(crate) const FIRST: u64 = 4;
    pub(crate) const LAST: u64 = 5;
    pub(crate) const LOW: u64 = 6;
    pub(crate) const HIGH: u64 = 7;
}

/// Keys of a verdict.
pub(super) mod verdict {
    pub(crate) const SEQ: u64 = 0;
    pub(crate) const JUDGE: u64 = 1;
    pub(crate) const SOURCE: u64 = 2;
    pub(crate) const DEVICE: u64 = 3;
    pub(crate) const SIGNAL: u64 = 4;
    pub(crate) const RECEIVED: u64 = 5;
    pub(crate) const DECIDED: u64 = 6;
    pub(crate) const CAPTURED: u64 = 7;
    pub(crate) const CLOCK: u64 = 8;
    pub(crate) const DETECTOR: u64 = 9;
    pub(crate) const SEVERITY: u64 = 10;
    pub(crate) const EVENT: u64 = 11;
    pub(crate) const MODEL: u64 = 12;
    pub(crate) const ESTIMATED: u64 = 13;
    pub(crate) const ANOMALY: u64 = 20;
    pub(crate) const COUNTS: u64 = 21;
    pub(crate) const HEALTH: u64 = 22;
    pub(crate) const CLASSIFICATION: u64 = 23;
    pub(crate) const DETECTIONS: u64 = 24;
}

/// Keys of a classification.
pub(super) mod classification {
    pub(crate) const LABELS: u64 = 0;
}

/// Keys of detections.
pub(super) mod detections {
    pub(crate) const WIDTH: u64 = 0;
    pub(crate) const HEIGHT: u64 = 1;
    pub(crate) const OBJECTS: u64 = 2;
}

/// Keys of an event.
pub(super) mod event {
    pub(crate) const ID: u64 = 0;
    pub(crate) const STATE: u64 = 1;
    pub(crate) const SINCE: u64 = 2;
    pub(crate) const LASTED: u64 = 3;
}

/// Keys of an anomaly; those of a health body are the first four.
pub(super) mod anomaly {
    pub(crate) const MEMBER: u64 = 0;
    pub(crate) const OBSERVED: u64 = 1;
    pub(crate) const LOW: u64 = 2;
    pub(crate) const HIGH: u64 = 3;
    pub(crate) const P_VALUE: u64 = 4;
    pub(crate) const UNIT: u64 = 5;
    pub(crate) const CONTRIBUTIONS: u64 = 6;
    pub(crate) const FEEDBACK: u64 = 7;
}

/// Keys of counts.
pub(super) mod counts {
    pub(crate) const FROM: u64 = 0;
    pub(crate) const LENGTH: u64 = 1;
    pub(crate) const OBSERVED: u64 = 2;
    pub(crate) const PARTIAL: u64 = 3;
    pub(crate) const READINGS: u64 = 4;
    pub(crate) const VEHICLES: u64 = 5;
    pub(crate) const FLOW: u64 = 6;
    pub(crate) const OCCUPANCY: u64 = 7;
    pub(crate) const MEAN_SPEED: u64 = 8;
}

/// `clock`: the device's time is believed.
pub(super) const TRUSTED: u8 = 1;
/// `clock`: the device's time is kept and not believed.
pub(super) const SKEWED: u8 = 2;

pub(super) const fn of_member(member: Member) -> u8 {
    match member {
        Member::High => 0,
        Member::Low => 1,
        Member::Rise => 2,
        Member::Fall => 3,
        Member::Silent => 4,
        Member::Stuck => 5,
        Member::Flat => 6,
        Member::Noisy => 7,
        Member::Saturated => 8,
        Member::ClockSkewed => 9,
        Member::Duplicate => 10,
        Member::Level => 11,
        Member::Mean => 12,
        Member::Profile => 13,
        Member::Median => 14,
        Member::Volatility => 15,
        Member::Context => 16,
        Member::TimeOfDay => 17,
        Member::Shift => 18,
        Member::Machine => 19,
        Member::Pattern => 20,
        Member::Vibration => 21,
        Member::Reconstruction => 22,
    }
}

pub(super) const fn of_state(state: EventState) -> u8 {
    match state {
        EventState::Raised => 0,
        EventState::Updated => 1,
        EventState::Cleared => 2,
    }
}

pub(super) const fn of_detector(detector: Detector) -> u8 {
    match detector {
        Detector::Threshold => 0,
        Detector::Rate => 1,
        Detector::Silence => 2,
        Detector::Loop => 3,
        Detector::Classify => 4,
        Detector::Detect => 5,
        Detector::Health => 6,
        Detector::Auto => 7,
        Detector::Multi => 8,
        Detector::Pattern => 9,
        Detector::Vibration => 10,
        Detector::Cusum => 11,
        Detector::Autoencoder => 12,
    }
}

pub(super) const fn of_severity(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 0,
        Severity::Warning => 1,
        Severity::Critical => 2,
    }
}

/// Everything a code may stand for, in the order of the codes.
pub(super) const MEMBERS: [Member; 23] = Member::ALL;
/// See [`MEMBERS`].
pub(super) const STATES: [EventState; 3] = [EventState::Raised, EventState::Updated, EventState::Cleared];
/// See [`MEMBERS`].
pub(super) const DETECTORS: [Detector; 13] = [
    Detector::Threshold,
    Detector::Rate,
    Detector::Silence,
    Detector::Loop,
    Detector::Classify,
    Detector::Detect,
    Detector::Health,
    Detector::Auto,
    Detector::Multi,
    Detector::Pattern,
    Detector::Vibration,
    Detector::Cusum,
    Detector::Autoencoder,
];
/// See [`MEMBERS`].
pub(super) const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

/// What a code stands for.
pub(super) fn meaning<T: Copy>(all: &[T], found: u64, field: &'static str) -> Result<T, WireError> {
    let index = usize::try_from(found).ok();
    index.and_then(|index| all.get(index)).copied().ok_or(WireError::UnknownCode { field, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_agree() {
        fn check<T: Copy + PartialEq + std::fmt::Debug>(all: &[T], code: fn(T) -> u8) {
            for (index, value) in all.iter().enumerate() {
                assert_eq!(usize::from(code(*value)), index, "{value:?}");
            }
            assert!(meaning(all, u64::MAX, "code").is_err());
        }
        check(&MEMBERS, of_member);
        check(&STATES, of_state);
        check(&DETECTORS, of_detector);
        check(&SEVERITIES, of_severity);
    }
}
