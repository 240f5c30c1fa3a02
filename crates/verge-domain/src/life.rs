//! The life of a store: its epoch, the runs in it, and how another life that continues from a copy is recognised.
//!
//! Where a copy of a store is put back (a restored snapshot of a disk, say), two lives share an epoch and its numbers up
//! to the copy. Each opening of a store is a run, counted and with an identifier drawn at random, and upstream holds what
//! the gateway said last. A claim about our epoch by a run that is not ours, or of numbers that we never gave, is of
//! another life: numbers that we would give next may be taken.

use crate::id::Epoch;

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId {
    /// How many there have been, this one included.
    pub count: u64,
    /// Drawn at random.
    pub id: u64,
}

/// A run of this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Its identifier.
    pub id: u64,
    /// The newest numbers when it began, by lane: those of the run before ended with them.
    pub began: [u64; 3],
}

/// An epoch that a store had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierEpoch {
    /// The epoch.
    pub epoch: Epoch,
    /// The last run in it.
    pub run: RunId,
    /// The last number given in it, by lane.
    pub last: [u64; 3],
}

/// What a store knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Its epoch.
    pub epoch: Epoch,
    /// How many runs there have been, the present one included.
    pub count: u64,
    /// The last of them, newest first.
    pub runs: Vec<Run>,
    /// Epochs before, newest first.
    pub earlier: Vec<EarlierEpoch>,
}

/// What upstream holds of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its epoch.
    pub epoch: Epoch,
    /// The run that said so; older releases do not say.
    pub run: Option<RunId>,
    /// Numbers that were given, by lane.
    pub last: [u64; 3],
    /// Epochs before.
    pub earlier: Vec<EarlierEpoch>,
}

impl Life {
    /// The present run.
    #[must_use]
    pub fn run(&self) -> RunId {
        RunId { count: self.count, id: self.runs.first().map_or(0, |run| run.id) }
    }

    /// Whether a claim is of another life in the same epoch. `last`: the newest numbers of this one.
    #[must_use]
    pub fn is_overtaken_by(&self, claim: &Claim, last: [u64; 3]) -> bool {
        let now = (claim.epoch, claim.run, claim.last);
        let earlier = claim.earlier.iter().map(|earlier| (earlier.epoch, Some(earlier.run), earlier.last));
        std::iter::once(now).chain(earlier).filter(|(epoch, ..)| *epoch == self.epoch).any(
            |(_, run, claimed)| {
                let ended = run.map_or(Some(last), |run| self.ended(run, last));
                ended.is_none_or(|ended| claimed.iter().zip(ended).any(|(claimed, ended)| *claimed > ended))
            },
        )
    }

    /// The numbers with which a run ended; `None` if it was none of this store. Of one that is too long ago nobody knows
    /// more than that these are not beyond the newest.
    fn ended(&self, run: RunId, last: [u64; 3]) -> Option<[u64; 3]> {
        let back = usize::try_from(self.count.checked_sub(run.count)?).unwrap_or(usize::MAX);
        let Some(known) = self.runs.get(back) else { return Some(last) };
        let next = back.checked_sub(1).and_then(|next| self.runs.get(next));
        (known.id == run.id).then(|| next.map_or(last, |next| next.began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_life_of_an_epoch_is_recognised() {
        let epoch = Epoch([1; 16]);
        let run = |id, began| Run { id, began: [began, 0, 0] };
        let runs = vec![run(50, 5), run(40, 3), run(30, 1)];
        let life = Life { epoch, count: 5, runs, earlier: Vec::new() };
        let claim = |count, id, last| Claim {
            epoch,
            run: Some(RunId { count, id }),
            last: [last, 0, 0],
            earlier: Vec::new(),
        };
        let check = |claim: &Claim, expected| {
            assert_eq!(life.is_overtaken_by(claim, [7, 0, 0]), expected, "{claim:?}");
        };
        check(&claim(5, 50, 7), false);
        check(&claim(4, 40, 3), false);
        check(&claim(5, 50, 8), true);
        check(&claim(4, 40, 5), false);
        // Numbers that this life gave later, in a run of its own.
        check(&claim(4, 40, 6), true);
        check(&claim(3, 30, 4), true);
        check(&claim(4, 40, 8), true);
        check(&claim(4, 41, 3), true);
        check(&claim(6, 60, 3), true);
        check(&claim(1, 99, 7), false);
        check(&claim(1, 99, 8), true);
        check(&Claim { run: None, ..claim(0, 0, 7) }, false);
        check(&Claim { run: None, ..claim(0, 0, 8) }, true);
        let other = Epoch([2; 16]);
        check(&Claim { epoch: other, ..claim(9, 9, 99) }, false);
        // A clone that took another epoch before it gave numbers, and one that gave some in ours first.
        let clone = |last| Claim {
            epoch: other,
            earlier: vec![EarlierEpoch { epoch, run: RunId { count: 4, id: 40 }, last: [last, 0, 0] }],
            ..claim(9, 9, 99)
        };
        check(&clone(5), false);
        check(&clone(6), true);
    }
}
