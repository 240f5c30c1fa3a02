//! What is usual at each time of a working day, and of a day of the weekend.

use serde::{Deserialize, Serialize};
use verge_domain::time::UtcMillis;

/// Minutes for which one value is usual.
const BIN_MINUTES: i64 = 15;
const BINS_A_DAY: usize = 96;
const DAY_MS: i64 = 86_400_000;
/// What one day counts at least of what is usual.
const DAILY_RATE: f64 = 0.3;

/// Means by time of day, of working days and then of Saturdays and Sundays, in UTC.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct UsualDay {
    /// Mean, and how many values it is of. Empty before the first.
    bins: Vec<(f32, u8)>,
}

/// The bin that a time belongs to.
fn bin_of(at: UtcMillis) -> usize {
    // 1970 began on a Thursday.
    let is_weekend = (at.0.div_euclid(DAY_MS) + 3).rem_euclid(7) >= 5;
    let bin = at.0.rem_euclid(DAY_MS) / (BIN_MINUTES * 60_000);
    usize::try_from(bin).unwrap_or(0) + if is_weekend { BINS_A_DAY } else { 0 }
}

impl UsualDay {
    /// What is usual then, where that time of such a day was seen before.
    pub(super) fn usual(&self, at: UtcMillis) -> Option<f64> {
        self.bins.get(bin_of(at)).filter(|(_, count)| *count > 0).map(|(mean, _)| f64::from(*mean))
    }

    #[expect(clippy::cast_possible_truncation, reason = "single precision is enough for what is usual")]
    pub(super) fn take(&mut self, at: UtcMillis, value: f64, minutes: f64) {
        self.bins.resize(2 * BINS_A_DAY, (0.0, 0));
        #[expect(clippy::cast_precision_loss, reason = "a quarter of an hour")]
        let slowest = DAILY_RATE * (minutes / BIN_MINUTES as f64).min(1.0);
        let (mean, count) = &mut self.bins[bin_of(at)];
        *count = count.saturating_add(1);
        let rate = slowest.max(1.0 / f64::from(*count));
        *mean += (rate * (value - f64::from(*mean))) as f32;
    }

    pub(super) fn is_sound(&self) -> bool {
        [0, 2 * BINS_A_DAY].contains(&self.bins.len()) && self.bins.iter().all(|(mean, _)| mean.is_finite())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bins.capacity() * size_of::<(f32, u8)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_days_and_weekends_are_apart() {
        let day = |days: i64, hour: i64| UtcMillis(days * DAY_MS + hour * 3_600_000);
        let mut usual = UsualDay::default();
        assert_eq!(usual.usual(day(0, 8)), None);
        // Thursday and Friday, then Saturday and Sunday.
        for (days, value) in [(0, 100.0), (1, 200.0), (2, 10.0), (3, 20.0)] {
            usual.take(day(days, 8), value, 60.0);
        }
        assert_eq!((usual.usual(day(4, 8)), usual.usual(day(9, 8))), (Some(150.0), Some(15.0)));
        assert_eq!(usual.usual(day(4, 9)), None);
        assert_eq!(usual.usual(UtcMillis(day(4, 8).0 + 14 * 60_000)), Some(150.0));
        assert!(usual.is_sound());
    }
}
