//! When a detector sends: with every look at its inputs, or when something has changed.

use verge_domain::time::UtcMillis;

/// When a vehicle detector sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoopReports {
    /// When a vehicle comes or goes: silence is an empty road.
    Change,
    /// Over and over, also while nothing passes: silence is a fault.
    Always,
}

/// This many readings that each say something new, at uneven times, show that a detector reports on change.
const CONVINCED_AFTER: u32 = 8;
/// This many readings that say nothing new show that it does not. A connection that is made again repeats one.
const REPEATS: u8 = 3;

/// What the readings show of it, where the settings do not say.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LoopManner {
    on_change: bool,
    last: Option<UtcMillis>,
    last_pause_ms: u64,
    news: u32,
    /// Pauses that differ from the one before by half or more.
    uneven: u32,
    repeats: u8,
}

impl LoopManner {
    pub(super) fn restored(on_change: bool) -> Self {
        Self { on_change, ..Self::default() }
    }

    pub(super) const fn is_on_change(&self) -> bool {
        self.on_change
    }

    /// Takes note of a reading of the role that counts. `is_news`: it counts a vehicle, or the presence has changed.
    pub(super) fn note(&mut self, at: UtcMillis, is_news: bool) {
        if !is_news {
            self.repeats = self.repeats.saturating_add(1);
            self.on_change &= self.repeats < REPEATS;
            *self = Self { on_change: self.on_change, repeats: self.repeats, ..Self::default() };
            return;
        }
        if let Some(last) = self.last {
            let pause_ms = at.0.saturating_sub(last.0).unsigned_abs();
            let (shorter, longer) = (pause_ms.min(self.last_pause_ms), pause_ms.max(self.last_pause_ms));
            self.uneven += u32::from(shorter.saturating_mul(3) < longer.saturating_mul(2));
            self.last_pause_ms = pause_ms;
        }
        self.last = Some(at);
        self.news += 1;
        if self.news >= CONVINCED_AFTER {
            // Reports of a busy detector at a fixed rate are all news as well, but they are even.
            if self.uneven * 2 >= self.news {
                (self.on_change, self.repeats) = (true, 0);
            }
            (self.news, self.uneven) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(readings: impl IntoIterator<Item = (u32, bool)>, expected: bool) {
        let mut manner = LoopManner::default();
        for (at, is_news) in readings {
            manner.note(UtcMillis(i64::from(at)), is_news);
        }
        assert_eq!(manner.is_on_change(), expected);
    }

    /// On for 400 ms, with headways that differ.
    fn vehicles(count: u32) -> impl Iterator<Item = (u32, bool)> {
        (0..count).flat_map(|vehicle| {
            let at = vehicle * 9000 + vehicle % 3 * 2000;
            [(at, true), (at + 400, true)]
        })
    }

    #[test]
    fn reports_on_change_are_recognised_by_their_uneven_times() {
        check(vehicles(2), false);
        check(vehicles(5), true);
        // Pulses alone, one vehicle each.
        check([0, 3, 4, 11, 12, 30, 31, 36, 60].map(|second| (second * 1000, true)), true);
    }

    #[test]
    fn reports_at_a_fixed_rate_are_not_however_busy_the_road() {
        check((0..100).map(|second| (second * 1000, true)), false);
        // One message is lost.
        check((0..100).filter(|second| *second != 5).map(|second| (second * 1000, true)), false);
        check((0..1000).map(|step| (step * 20, step % 50 < 2)), false);
    }

    #[test]
    fn a_repeated_report_after_a_new_connection_changes_nothing_but_three_do() {
        let repeat = |count| (0..count).map(|second| (100_000 + second * 1000, false));
        check(vehicles(5).chain(repeat(1)), true);
        check(vehicles(5).chain(repeat(3)), false);
    }
}
