//! Times. Nothing here reads a clock: `verge-pipeline` and `verge` do, and pass what they read.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// UTC in milliseconds since 1970-01-01T00:00:00Z. Leap seconds are not counted (POSIX time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UtcMillis(pub i64);

impl UtcMillis {
    /// Begin of the year -9999, the earliest time that can be written as a date.
    pub const MIN: Self = Self(-377_705_023_201_000);
    /// End of the year 9999, the latest time that can be written as a date.
    pub const MAX: Self = Self(253_402_207_200_999);

    /// The time, if it can be written as a date: the difference of two such times cannot overflow.
    #[must_use]
    pub fn in_range(millis: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&millis).then_some(Self(millis))
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Microseconds of a clock that never steps, from an arbitrary start (the start of the process).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The instant `span` later; saturates.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// One instant on both clocks: the wall clock that people read and the monotonic one that durations use,
/// because the wall clock may step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock.
    pub wall: UtcMillis,
    /// Clock for durations.
    pub mono: Monotonic,
}

impl Moment {
    /// A moment whose two clocks agree on distances: for offline judging and tests, where time comes from
    /// data. `wall` before 1970 counts as 1970 on the monotonic clock.
    #[must_use]
    pub fn from_wall(wall: UtcMillis) -> Self {
        Self { wall, mono: Monotonic(u64::try_from(wall.0).unwrap_or(0).saturating_mul(1000)) }
    }
}

/// What may be believed of the device's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceClock {
    /// The device gave no time; the time of receipt is used.
    Absent,
    /// The device's time is plausible and used.
    Trusted,
    /// The device's time is outside `[received - 24 h, received + 5 min]`, or the clock has shown a constant offset of
    /// a time zone; it is kept, and not used.
    Skewed,
}

impl DeviceClock {
    /// A device's time older than this is not believed.
    pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
    /// A device's time further ahead than this is not believed.
    pub const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

    /// Judges a device's claim against the time of receipt.
    #[must_use]
    pub fn of(captured: Option<UtcMillis>, received: UtcMillis) -> Self {
        match captured {
            None => Self::Absent,
            Some(at) if received.since(at) > Self::MAX_AGE || at.since(received) > Self::MAX_AHEAD => {
                Self::Skewed
            }
            Some(_) => Self::Trusted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_clocks_are_judged_at_both_edges() {
        let received = UtcMillis(1_700_000_000_000);
        let check = |offset_ms: i64, expected: DeviceClock| {
            let captured = UtcMillis(received.0 + offset_ms);
            assert_eq!(DeviceClock::of(Some(captured), received), expected, "{offset_ms} ms");
        };
        check(0, DeviceClock::Trusted);
        check(-86_400_000, DeviceClock::Trusted);
        check(-86_400_001, DeviceClock::Skewed);
        check(300_000, DeviceClock::Trusted);
        check(300_001, DeviceClock::Skewed);
        assert_eq!(DeviceClock::of(None, received), DeviceClock::Absent);
        assert_eq!(DeviceClock::of(Some(UtcMillis(i64::MIN)), received), DeviceClock::Skewed);
        assert_eq!(DeviceClock::of(Some(UtcMillis(i64::MAX)), received), DeviceClock::Skewed);
    }
}
