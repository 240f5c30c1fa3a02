//! Which numbers of a lane were sent on this connection ahead of their turn.

/// Intervals at most. Past that the lowest go, and what they stood for is sent once more, as history.
const MAX_INTERVALS: usize = 1024;

/// A bounded set of numbers.
#[derive(Debug, Default)]
pub(crate) struct SentNumbers(Vec<(u64, u64)>);

impl SentNumbers {
    pub(crate) fn insert(&mut self, seq: u64) {
        let at = self.0.partition_point(|&(_, to)| to < seq.saturating_sub(1));
        match self.0.get_mut(at) {
            Some((from, to)) if *from <= seq && seq <= *to => {}
            Some((_, to)) if *to + 1 == seq => {
                *to = seq;
                let to = seq;
                if let Some(&(next, end)) = self.0.get(at + 1)
                    && next == to + 1
                {
                    self.0[at].1 = end;
                    self.0.remove(at + 1);
                }
            }
            Some((from, _)) if seq + 1 == *from => *from = seq,
            _ => self.0.insert(at, (seq, seq)),
        }
        if self.0.len() > MAX_INTERVALS {
            self.0.remove(0);
        }
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        let at = self.0.partition_point(|&(_, to)| to < seq);
        self.0.get(at).is_some_and(|&(from, _)| from <= seq)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_holds_what_was_put_in() {
        let (mut numbers, mut model) = (SentNumbers::default(), BTreeSet::new());
        let mut state = 7_u64;
        for _ in 0..400 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let seq = state >> 33 & 0xff;
            numbers.insert(seq);
            model.insert(seq);
            assert!((0..=256).all(|seq| numbers.contains(seq) == model.contains(&seq)), "{:?}", numbers.0);
        }
        assert!(numbers.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "neighbours are joined");
    }

    #[test]
    fn it_is_bounded() {
        let mut numbers = SentNumbers::default();
        (0..10_000).for_each(|seq| numbers.insert(seq * 2));
        assert_eq!(numbers.0.len(), MAX_INTERVALS);
        assert!(numbers.contains(19_998) && !numbers.contains(0));
    }
}
