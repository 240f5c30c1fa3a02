//! The newest verdicts in the order of their commits, for followers. Nothing is kept before there is one.

use std::collections::VecDeque;
use std::sync::Arc;

use verge_domain::board::{CommittedWords, LastWord};
use verge_domain::id::{Lane, Seq};

/// Verdicts kept at most: a follower that is further behind misses some.
pub(super) const RECENT: usize = 4_096;
/// Verdicts handed out at once.
const AT_ONCE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct RecentWords {
    followed: bool,
    words: VecDeque<Arc<LastWord>>,
    /// How many have been kept so far: the place behind the last of them.
    end: u64,
}

impl RecentWords {
    pub(super) fn push(&mut self, word: &Arc<LastWord>) {
        if !self.followed {
            return;
        }
        if self.words.len() == RECENT {
            self.words.pop_front();
        }
        self.words.push_back(Arc::clone(word));
        self.end += 1;
    }

    pub(super) fn follow(&mut self) -> u64 {
        self.followed = true;
        self.end
    }

    pub(super) fn place_behind(&self, lane: Lane, seq: Seq) -> Option<u64> {
        let is_it = |word: &Arc<LastWord>| word.verdict.lane == lane && word.seq == Some(seq);
        let newer = self.words.iter().rev().position(is_it)?;
        Some(self.end - newer as u64)
    }

    /// What stands behind a place, if anything does; advances the place.
    pub(super) fn behind(&self, place: &mut u64) -> Option<CommittedWords> {
        let oldest = self.end - self.words.len() as u64;
        let missed = oldest.saturating_sub(*place);
        let skipped = usize::try_from(place.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let words: Vec<_> = self.words.iter().skip(skipped).take(AT_ONCE).map(Arc::clone).collect();
        if words.is_empty() {
            return None;
        }
        *place = place.saturating_add(missed).saturating_add(words.len() as u64);
        Some(CommittedWords { missed, words })
    }
}
