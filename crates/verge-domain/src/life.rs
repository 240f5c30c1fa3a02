//! The life of a store: its epoch, the runs in it, and how another life that goes on from a copy is recognised.
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
    /// Identifiers of the last of them, newest first.
    pub ids: Vec<u64>,
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
        RunId { count: self.count, id: self.ids.first().copied().unwrap_or(0) }
    }

    /// Whether a claim is of another life in the same epoch. `last`: the newest numbers of this one.
    #[must_use]
    pub fn is_overtaken_by(&self, claim: &Claim, last: [u64; 3]) -> bool {
        let now = (claim.epoch, claim.run, claim.last);
        let earlier = claim.earlier.iter().map(|earlier| (earlier.epoch, Some(earlier.run), earlier.last));
        std::iter::once(now).chain(earlier).filter(|(epoch, ..)| *epoch == self.epoch).any(
            |(_, run, claimed)| {
                run.is_some_and(|run| !self.may_have_had(run))
                    || claimed.iter().zip(last).any(|(claimed, last)| *claimed > last)
            },
        )
    }

    /// Whether a run was one of this store. Of one that is too long ago nobody knows.
    fn may_have_had(&self, run: RunId) -> bool {
        let Some(back) = self.count.checked_sub(run.count) else { return false };
        let known = usize::try_from(back).ok().and_then(|back| self.ids.get(back));
        known.is_none_or(|id| *id == run.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_life_of_an_epoch_is_recognised() {
        let epoch = Epoch([1; 16]);
        let life = Life { epoch, count: 5, ids: vec![50, 40, 30], earlier: Vec::new() };
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
        check(&clone(7), false);
        check(&clone(8), true);
    }
}
