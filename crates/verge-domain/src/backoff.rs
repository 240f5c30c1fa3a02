//! Pauses before something that failed is tried again.

use std::time::Duration;

/// Pauses between attempts. Each failure in a row doubles the range a pause is drawn from, beginning with
/// `min` to twice `min`, up to half of `max` to `max`: a thousand gateways do not return in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Shortest pause.
    pub min: Duration,
    /// Longest pause.
    pub max: Duration,
}

impl Backoff {
    /// One second to one minute: never more than one attempt a second.
    pub const DEFAULT: Self = Self { min: Duration::from_secs(1), max: Duration::from_secs(60) };

    /// The pause after this many failures in a row; `random` is uniform over all of `u16`.
    #[must_use]
    pub fn pause(&self, failures: u32, random: u16) -> Duration {
        let high = self.min.saturating_mul(1 << failures.clamp(1, 16)).min(self.max).max(self.min);
        let low = (high / 2).max(self.min);
        low + (high - low).mul_f64(f64::from(random) / f64::from(u16::MAX))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_bounds() {
        let backoff = Backoff::DEFAULT;
        let check = |failures: u32, random: u16, expected: u64| {
            assert_eq!(
                backoff.pause(failures, random),
                Duration::from_secs(expected),
                "{failures}, {random}"
            );
        };
        check(1, 0, 1);
        check(1, u16::MAX, 2);
        check(2, 0, 2);
        check(3, u16::MAX, 8);
        check(30, 0, 30);
        check(30, u16::MAX, 60);
        let fixed = Backoff { min: Duration::from_millis(5), max: Duration::from_millis(1) };
        assert_eq!(fixed.pause(9, u16::MAX), fixed.min, "min wins over a max below it");
    }
}
