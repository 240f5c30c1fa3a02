//! Intervals that are aligned to the wall clock in UTC, so that daylight saving never bends one and two
//! gateways cut time at the same places.

use std::time::Duration;

use crate::time::UtcMillis;

/// Cuts time into equal intervals counted from 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntervalGrid {
    length_ms: i64,
}

/// Why a duration cannot be the length of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an interval lasts from 1 s to 24 h in whole milliseconds and divides a day evenly")]
pub struct IntervalError;

const DAY_MS: i64 = 86_400_000;

impl IntervalGrid {
    /// A grid of intervals of this length.
    ///
    /// # Errors
    /// Shorter than a second, longer than a day, or not an even part of a day (its cuts would wander).
    pub fn new(length: Duration) -> Result<Self, IntervalError> {
        let length_ms = i64::try_from(length.as_millis()).map_err(|_| IntervalError)?;
        let whole = Duration::from_millis(length.as_millis().try_into().unwrap_or(u64::MAX)) == length;
        if !whole || !(1000..=DAY_MS).contains(&length_ms) || DAY_MS % length_ms != 0 {
            return Err(IntervalError);
        }
        Ok(Self { length_ms })
    }

    /// Length in milliseconds.
    #[must_use]
    pub fn length_ms(self) -> u64 {
        self.length_ms.unsigned_abs()
    }

    /// Start of the interval that `at` falls into. A start belongs to its own interval.
    #[must_use]
    pub fn start_of(self, at: UtcMillis) -> UtcMillis {
        UtcMillis(at.0 - at.0.rem_euclid(self.length_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_multiples_of_the_length() {
        let grid = IntervalGrid::new(Duration::from_secs(60)).unwrap();
        let check = |at: i64, start: i64| assert_eq!(grid.start_of(UtcMillis(at)), UtcMillis(start), "{at}");
        check(0, 0);
        check(59_999, 0);
        check(60_000, 60_000);
        check(-1, -60_000);
    }

    #[test]
    fn lengths_that_would_wander_are_refused() {
        let check = |millis: u64, good: bool| {
            assert_eq!(IntervalGrid::new(Duration::from_millis(millis)).is_ok(), good, "{millis}");
        };
        check(999, false);
        check(1000, true);
        check(7000, false);
        check(900_000, true);
        check(86_400_000, true);
        check(172_800_000, false);
        assert!(IntervalGrid::new(Duration::from_micros(1_000_500)).is_err());
    }
}
