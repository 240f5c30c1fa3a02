//! How long runs of a model took of late.

use std::collections::VecDeque;
use std::time::Duration;

/// Runs that are kept.
const KEPT: usize = 400;

/// The last runs.
#[derive(Debug, Clone, Default)]
pub struct RunTimes {
    last: VecDeque<u32>,
    runs: u64,
}

impl RunTimes {
    /// One more.
    pub fn note(&mut self, took: Duration) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        self.runs += 1;
    }

    /// All that there were.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    /// What 95 of 100 of the last keep within; nothing of no run.
    #[must_use]
    pub fn p95(&self) -> Option<Duration> {
        self.p95_of(1)
    }

    /// The same where there are this many at least.
    pub(super) fn p95_of(&self, least: usize) -> Option<Duration> {
        self.within(95, least)
    }

    /// What this number of 100 of the last runs kept within, where there are as many.
    pub(super) fn within(&self, of_100: usize, least: usize) -> Option<Duration> {
        if self.last.len() < least.max(1) {
            return None;
        }
        let mut sorted: Vec<u32> = self.last.iter().copied().collect();
        let rank = (sorted.len() * of_100).div_ceil(100).saturating_sub(1);
        let (_, found, _) = sorted.select_nth_unstable(rank);
        Some(Duration::from_micros(u64::from(*found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_runs_count_and_their_95th_of_100_is_exact() {
        let mut times = RunTimes::default();
        assert_eq!(times.p95(), None);
        (1..=100).for_each(|micros| times.note(Duration::from_micros(micros)));
        assert_eq!(times.p95(), Some(Duration::from_micros(95)));
        assert_eq!(times.p95_of(101), None);
        (0..400).for_each(|_| times.note(Duration::from_micros(7)));
        assert_eq!((times.p95(), times.runs()), (Some(Duration::from_micros(7)), 500));
        times.note(Duration::from_secs(10_000));
        assert_eq!(times.p95(), Some(Duration::from_micros(7)));
    }
}
