//! The receiver's side of the delivery contract: which sequence numbers of a lane have been seen, which
//! came twice, which are missing. `verge watch`, the demo and the fault tests count with it.

use std::collections::BTreeMap;

use crate::id::Seq;

/// What one arrival was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceArrival {
    /// Not seen before.
    New,
    /// Seen before: drop it.
    Duplicate,
    /// The bound on remembered gaps is reached, so this cannot be decided; counted as new.
    Undecided,
}

/// Seen sequence numbers of one lane of one epoch, as disjoint runs. Memory grows with the number of gaps,
/// not with the number of verdicts, and is bounded.
#[derive(Debug, Clone, Default)]
pub struct SequenceTracker {
    /// Start of each run -> its end, both inclusive; runs never touch.
    runs: BTreeMap<u64, u64>,
    seen: u64,
    duplicates: u64,
    settled: u64,
}

/// Runs remembered at most; past that the two oldest are merged, and what was missing between them is
/// given up as a gap.
const MAX_RUNS: usize = 65_536;

impl SequenceTracker {
    /// Takes note of an arrival.
    pub fn note(&mut self, seq: Seq) -> SequenceArrival {
        let seq = seq.0;
        let before = self.runs.range(..=seq).next_back().map(|(&start, &end)| (start, end));
        if before.is_some_and(|(_, end)| seq <= end) {
            self.duplicates += 1;
            return SequenceArrival::Duplicate;
        }
        self.seen += 1;
        let joins_before = before.filter(|&(_, end)| seq - end == 1);
        let after_end = seq.checked_add(1).and_then(|next| self.runs.remove(&next));
        let start = joins_before.map_or(seq, |(start, _)| start);
        self.runs.insert(start, after_end.unwrap_or(seq));
        if self.runs.len() > MAX_RUNS {
            self.merge_oldest();
            return SequenceArrival::Undecided;
        }
        SequenceArrival::New
    }

    /// Takes note that the numbers from `from` to `through`, both included, will not come: what a tombstone
    /// says. Those that came before keep counting as seen. Returns how many are settled by this alone.
    pub fn settle(&mut self, from: Seq, through: Seq) -> u64 {
        let (from, through) = (from.0, through.0);
        if from > through {
            return 0;
        }
        let (mut start, mut end, mut known) = (from, through, 0);
        // Runs that overlap the range or touch it become one with it.
        let below = self.runs.range(..from).next_back().map(|(&start, _)| start);
        let first = below.filter(|below| self.runs[below].saturating_add(1) >= from).unwrap_or(from);
        let within: Vec<u64> =
            self.runs.range(first..=through.saturating_add(1)).map(|(&start, _)| start).collect();
        for run in within {
            let Some(run_end) = self.runs.remove(&run) else { continue };
            let overlap = (run.max(from), run_end.min(through));
            known += if overlap.0 <= overlap.1 { overlap.1 - overlap.0 + 1 } else { 0 };
            (start, end) = (start.min(run), end.max(run_end));
        }
        self.runs.insert(start, end);
        if self.runs.len() > MAX_RUNS {
            self.merge_oldest();
        }
        let settled = through - from + 1 - known;
        self.settled += settled;
        settled
    }

    fn merge_oldest(&mut self) {
        let Some((first, _)) = self.runs.pop_first() else { return };
        if let Some((_, end)) = self.runs.pop_first() {
            self.runs.insert(first, end);
        }
    }

    /// Distinct sequence numbers seen.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Arrivals that had been seen before.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Numbers that were settled by [`Self::settle`] without having been seen.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.settled
    }

    /// The least number seen or settled.
    #[must_use]
    pub fn first(&self) -> Option<Seq> {
        self.runs.first_key_value().map(|(&start, _)| Seq(start))
    }

    /// The greatest number seen or settled.
    #[must_use]
    pub fn newest(&self) -> Option<Seq> {
        self.runs.last_key_value().map(|(_, &end)| Seq(end))
    }

    /// Missing ranges, both ends inclusive, from the first number seen to the last. Pass
    /// `from_start = true` to count what is missing before the first one too (a receiver that was there
    /// when the epoch began).
    pub fn gaps(&self, from_start: bool) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        let mut expected = if from_start { Some(1) } else { None };
        self.runs.iter().filter_map(move |(&start, &end)| {
            let gap = expected.filter(|&next| next < start).map(|next| (Seq(next), Seq(start - 1)));
            expected = end.checked_add(1);
            gap
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arrivals: &[u64], duplicates: u64, gaps: &[(u64, u64)]) {
        let mut tracker = SequenceTracker::default();
        for &seq in arrivals {
            tracker.note(Seq(seq));
        }
        let found: Vec<_> = tracker.gaps(true).map(|(from, to)| (from.0, to.0)).collect();
        assert_eq!(found, gaps, "gaps of {arrivals:?}");
        assert_eq!(tracker.duplicates(), duplicates, "duplicates of {arrivals:?}");
        assert_eq!(tracker.seen(), arrivals.len() as u64 - duplicates);
    }

    #[test]
    fn gaps_and_duplicates_are_distinguished() {
        check(&[], 0, &[]);
        check(&[1, 2, 3], 0, &[]);
        check(&[3, 1, 2], 0, &[]);
        check(&[1, 2, 2, 1], 2, &[]);
        check(&[2, 5, 6], 0, &[(1, 1), (3, 4)]);
        check(&[1, 10, 5, 5, 4, 6], 1, &[(2, 3), (7, 9)]);
        check(&[u64::MAX, 1], 0, &[(2, u64::MAX - 1)]);
    }

    #[test]
    fn a_tombstone_settles_what_is_missing() {
        let check = |arrivals: &[u64], from: u64, through: u64, settled: u64, gaps: &[(u64, u64)]| {
            let mut tracker = SequenceTracker::default();
            for &seq in arrivals {
                tracker.note(Seq(seq));
            }
            assert_eq!(tracker.settle(Seq(from), Seq(through)), settled, "{arrivals:?} {from}..={through}");
            let found: Vec<_> = tracker.gaps(true).map(|(from, to)| (from.0, to.0)).collect();
            assert_eq!(found, gaps, "{arrivals:?} {from}..={through}");
            assert_eq!(tracker.seen(), arrivals.len() as u64);
            assert_eq!(tracker.settle(Seq(from), Seq(through)), 0, "once is enough");
            let late = tracker.note(Seq(through));
            assert_eq!(late, SequenceArrival::Duplicate, "what is settled is not waited for");
        };
        check(&[], 1, 10, 10, &[]);
        check(&[1, 2, 9], 3, 8, 6, &[]);
        check(&[1, 2, 9], 2, 9, 6, &[]);
        check(&[1, 5, 12], 4, 8, 4, &[(2, 3), (9, 11)]);
        check(&[1, 5, 12], 2, 3, 2, &[(4, 4), (6, 11)]);
        check(&[4, 5, 6], 5, 5, 0, &[(1, 3)]);
        check(&[3], u64::MAX, u64::MAX, 1, &[(1, 2), (4, u64::MAX - 1)]);
    }

    #[test]
    fn a_late_receiver_does_not_count_what_was_before_it() {
        let mut tracker = SequenceTracker::default();
        tracker.note(Seq(100));
        tracker.note(Seq(102));
        assert_eq!(tracker.gaps(false).collect::<Vec<_>>(), [(Seq(101), Seq(101))]);
    }

    #[test]
    fn memory_is_bounded_against_a_hostile_sender() {
        let mut tracker = SequenceTracker::default();
        for seq in 0..(MAX_RUNS as u64 + 100) {
            tracker.note(Seq(seq * 2 + 1));
        }
        assert!(tracker.runs.len() <= MAX_RUNS);
    }
}
