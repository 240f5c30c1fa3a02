//! Sets of sequence numbers as intervals, both ends included.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;

use verge_domain::id::Seq;

/// Numbers, kept as the fewest intervals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// The interval with the least numbers.
    pub(super) fn first(&self) -> Option<(Seq, Seq)> {
        self.0.first_key_value().map(|(&from, &to)| (Seq(from), Seq(to)))
    }

    /// Whether a number is one of them.
    pub(super) fn contains(&self, number: Seq) -> bool {
        self.0.range(..=number.0).next_back().is_some_and(|(_, &to)| to >= number.0)
    }

    /// How many intervals there are.
    pub(super) fn intervals(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        self.0.iter().map(|(&from, &to)| (Seq(from), Seq(to)))
    }

    /// Adds an interval; an empty one (`from` after `to`) adds nothing.
    pub(super) fn insert(&mut self, from: Seq, to: Seq) {
        let (mut from, mut to) = (from.0, to.0);
        if from > to {
            return;
        }
        // Intervals that touch it on either side merge with it.
        if let Some((&before, &end)) = self.0.range(..from).next_back()
            && end.saturating_add(1) >= from
        {
            from = before;
            to = to.max(end);
        }
        while let Some((&start, &end)) = self.0.range(from..=to.saturating_add(1)).next() {
            to = to.max(end);
            self.0.remove(&start);
        }
        self.0.insert(from, to);
    }

    /// Removes an interval.
    pub(super) fn remove(&mut self, from: Seq, to: Seq) {
        let (from, to) = (from.0, to.0);
        if from > to {
            return;
        }
        if let Some((&start, &end)) = self.0.range(..from).next_back()
            && end >= from
        {
            self.0.insert(start, from - 1);
            if end > to {
                self.0.insert(to + 1, end);
            }
        }
        while let Some((&start, &end)) = self.within(from, to).next() {
            self.0.remove(&start);
            if end > to {
                self.0.insert(to + 1, end);
            }
        }
    }

    /// Removes everything that `other` holds.
    pub(super) fn remove_all(&mut self, other: &Self) {
        for (from, to) in other.iter() {
            self.remove(from, to);
        }
    }

    /// Adds everything that `other` holds.
    pub(super) fn insert_all(&mut self, other: &Self) {
        for (from, to) in other.iter() {
            self.insert(from, to);
        }
    }

    /// The part of this that lies in an interval.
    pub(super) fn clipped(&self, from: Seq, to: Seq) -> Self {
        let before = self.0.range(..from.0).next_back().filter(|&(_, &end)| end >= from.0);
        let mut clipped = Self::default();
        for (&start, &end) in before.into_iter().chain(self.within(from.0, to.0)) {
            clipped.insert(Seq(start.max(from.0)), Seq(end.min(to.0)));
        }
        clipped
    }

    /// Bridges gaps until there are at most `most` intervals: numbers are added, none is removed.
    pub(super) fn bridge(&mut self, most: usize) {
        while self.0.len() > most.max(1) {
            let mut gaps: Vec<(u64, u64, u64)> = Vec::with_capacity(self.0.len());
            let mut last: Option<u64> = None;
            for (&from, &to) in &self.0 {
                if let Some(end) = last {
                    gaps.push((from - end, end, from));
                }
                last = Some(to);
            }
            gaps.sort_unstable();
            let surplus = self.0.len() - most.max(1);
            for &(_, end, from) in gaps.iter().take(surplus) {
                self.insert(Seq(end), Seq(from));
            }
        }
    }

    fn within(&self, from: u64, to: u64) -> Range<'_, u64, u64> {
        // A map's range must not end before it begins.
        self.0.range(from..=to.max(from))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn numbers(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.iter().flat_map(|(from, to)| from.0..=to.0).collect()
    }

    proptest! {
        #[test]
        fn they_are_sets_of_numbers(
            steps in prop::collection::vec((any::<bool>(), 1_u64..60, 0_u64..12), 0..60),
            cut in (1_u64..60, 0_u64..30),
            most in 1_usize..5,
        ) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (add, from, length) in steps {
                let to = from + length;
                if add {
                    ranges.insert(Seq(from), Seq(to));
                    model.extend(from..=to);
                } else {
                    ranges.remove(Seq(from), Seq(to));
                    model.retain(|number| !(from..=to).contains(number));
                }
                prop_assert_eq!(&numbers(&ranges), &model);
                let ends: Vec<_> = ranges.iter().collect();
                prop_assert!(ends.windows(2).all(|pair| pair[0].1.0 + 1 < pair[1].0.0), "as few as can be");
            }
            let (from, to) = (cut.0, cut.0 + cut.1);
            let clipped = numbers(&ranges.clipped(Seq(from), Seq(to)));
            let expected: BTreeSet<u64> = model.range(from..=to).copied().collect();
            prop_assert_eq!(clipped, expected);
            ranges.bridge(most);
            prop_assert!(ranges.intervals() <= most && numbers(&ranges).is_superset(&model));
        }
    }

    #[test]
    fn an_empty_interval_changes_nothing() {
        let mut ranges = Ranges::default();
        ranges.insert(Seq(5), Seq(4));
        assert_eq!(ranges.first(), None);
        ranges.insert(Seq(1), Seq(9));
        ranges.remove(Seq(6), Seq(5));
        assert_eq!(ranges.first(), Some((Seq(1), Seq(9))));
    }
}
