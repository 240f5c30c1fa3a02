//! What became of reloads.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use verge_domain::configured::ReloadOutcome;
use verge_domain::time::UtcMillis;

/// Reloads since the start, without those that only say what would change.
#[derive(Debug, Default)]
pub struct Reloads(Mutex<Option<ReloadsStatus>>);

/// The same at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ReloadsStatus {
    /// Carried out.
    pub done: u64,
    /// Refused, as something needs a restart.
    pub needs_restart: u64,
    /// Refused, as the file is wrong.
    pub faulty: u64,
    /// Refused for another reason.
    pub failed: u64,
    /// What became of the last one.
    pub last: &'static str,
    /// When (UTC ms).
    pub last_at: i64,
}

impl Reloads {
    /// One has ended.
    pub fn note(&self, outcome: ReloadOutcome, now: UtcMillis) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = known.get_or_insert_default();
        let count = match outcome {
            ReloadOutcome::Done => &mut counts.done,
            ReloadOutcome::NeedsRestart => &mut counts.needs_restart,
            ReloadOutcome::Faulty => &mut counts.faulty,
            ReloadOutcome::Failed => &mut counts.failed,
        };
        *count += 1;
        (counts.last, counts.last_at) = (outcome.as_str(), now.0);
    }

    /// `None` before the first.
    #[must_use]
    pub fn status(&self) -> Option<ReloadsStatus> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_count_and_the_last_is_known() {
        let reloads = Reloads::default();
        assert_eq!(reloads.status(), None);
        for (outcome, at) in ReloadOutcome::ALL.into_iter().chain([ReloadOutcome::Faulty]).zip(1..) {
            reloads.note(outcome, UtcMillis(at));
        }
        let expected =
            ReloadsStatus { done: 1, needs_restart: 1, faulty: 2, failed: 1, last: "faulty", last_at: 5 };
        assert_eq!(reloads.status(), Some(expected));
    }
}
