//! How long runs of a model took of late, by the kind of look.

use std::collections::VecDeque;
use std::time::Duration;

use crate::gate::share::wilson;

/// Runs that are kept.
const KEPT: usize = 400;

/// How a version has looked at a frame. Each kind has times of its own: what a run takes depends on what runs before it, and how
/// often it looks at what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookKind {
    /// For a verdict, at the whole of what its judge looks at.
    First,
    /// For a verdict, at parts of a frame around what was found before.
    Parts,
    /// Once more, on a worker that has nothing else to do, for a comparison.
    Again,
}

impl LookKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::First, Self::Parts, Self::Again];
}

/// Runs of one version.
#[derive(Debug, Clone, Default)]
pub struct SideRuns {
    by_kind: [KindRuns; 3],
}

/// Its runs in looks of one kind.
#[derive(Debug, Clone, Default)]
pub(super) struct KindRuns {
    pub(super) times: RunTimes,
    since_start: u64,
    /// Of these, those that a deadline ended.
    overruns: u64,
}

impl SideRuns {
    /// One more.
    pub(super) fn note(&mut self, kind: LookKind, took: Duration, is_overrun: bool) {
        let runs = &mut self.by_kind[kind as usize];
        runs.times.note(took);
        runs.since_start += 1;
        runs.overruns += u64::from(is_overrun);
    }

    pub(super) const fn of(&self, kind: LookKind) -> &KindRuns {
        &self.by_kind[kind as usize]
    }

    /// What runs in looks of this kind are compared with: with their like, where there are this many; else, of looks at the whole,
    /// with those of the other kind. The active version does not look once more at what a shadow looks at.
    pub(super) fn base_of(&self, kind: LookKind, least: usize) -> &KindRuns {
        let own = self.of(kind);
        let other = match kind {
            LookKind::First => LookKind::Again,
            LookKind::Again => LookKind::First,
            LookKind::Parts => return own,
        };
        if own.times.runs() >= least as u64 { own } else { self.of(other) }
    }

    /// Runs of the same time by which lateness is judged: of looks of this kind. The active version mostly does not look once more;
    /// then it is that of its looks for verdicts, which are late more often, as their frames have waited.
    pub(super) fn beside(&self, kind: LookKind) -> &KindRuns {
        let own = self.of(kind);
        if kind == LookKind::Again && own.since_start == 0 { self.of(LookKind::First) } else { own }
    }

    /// How many there were in looks of this kind.
    #[must_use]
    pub const fn count(&self, kind: LookKind) -> u64 {
        self.of(kind).times.runs()
    }

    /// Those that a deadline ended.
    pub(super) fn overruns(&self) -> u64 {
        self.by_kind.iter().map(|runs| runs.overruns).sum()
    }

    /// The same without those that a deadline ended.
    pub(super) fn times_alone(&self) -> Self {
        Self { by_kind: self.by_kind.clone().map(|runs| KindRuns { since_start: 0, overruns: 0, ..runs }) }
    }
}

impl KindRuns {
    /// Share of the runs since the start that a deadline ended, 0 to 1, of this many runs at least.
    pub(super) fn overrun_share(&self, least: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "numbers of runs")]
        let share = self.overruns as f64 / self.since_start.max(least).max(1) as f64;
        share
    }

    /// Between which shares it lies if it went on for ever. Each bound holds but with this probability.
    pub(super) fn overrun_bounds(&self, alpha: f64) -> (f64, f64) {
        wilson(self.overruns, self.since_start, alpha)
    }
}

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
