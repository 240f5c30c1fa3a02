//! When the demo cuts its uplink, and when it restores it.

use std::time::Duration;

/// From this share of the run on it is cut, up to that one.
const CUT_AT: f64 = 0.45;
const RESTORE_AT: f64 = 0.6;

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Cut,
    Restore,
}

/// The outage of one run.
#[derive(Debug)]
pub(super) struct Wan {
    cut_at: Duration,
    restore_at: Duration,
    state: WanState,
    most_waiting: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum WanState {
    Before,
    Cut,
    Restored,
}

impl Wan {
    /// An outage in the middle of a run of this length.
    pub(super) fn over(run: Duration) -> Self {
        let (cut_at, restore_at) = (run.mul_f64(CUT_AT), run.mul_f64(RESTORE_AT));
        Self { cut_at, restore_at, state: WanState::Before, most_waiting: 0 }
    }

    /// What is to be done by now, once; and takes note of how many verdicts wait.
    pub(super) fn look(&mut self, elapsed: Duration, waiting: u64) -> Option<Change> {
        match self.state {
            WanState::Before if elapsed >= self.cut_at => {
                self.state = WanState::Cut;
                Some(Change::Cut)
            }
            WanState::Cut => {
                self.most_waiting = self.most_waiting.max(waiting);
                (elapsed >= self.restore_at).then(|| {
                    self.state = WanState::Restored;
                    Change::Restore
                })
            }
            WanState::Before | WanState::Restored => None,
        }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.state == WanState::Cut
    }

    /// How long it was cut; `None` where the run ended during the cut.
    pub(super) fn outage(&self) -> Option<Duration> {
        (self.state == WanState::Restored).then(|| self.restore_at.saturating_sub(self.cut_at))
    }

    /// Verdicts that waited at once, at most.
    pub(super) fn most_waiting(&self) -> u64 {
        self.most_waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_cut_once_and_restored_once() {
        let mut wan = Wan::over(Duration::from_secs(20));
        let at = |wan: &mut Wan, seconds: u64, waiting: u64| wan.look(Duration::from_secs(seconds), waiting);
        assert_eq!(at(&mut wan, 8, 100), None);
        assert_eq!(at(&mut wan, 9, 1), Some(Change::Cut));
        assert!(wan.is_cut() && wan.outage().is_none());
        assert_eq!(at(&mut wan, 11, 7), None);
        assert_eq!(at(&mut wan, 12, 5), Some(Change::Restore));
        assert_eq!(at(&mut wan, 19, 9), None);
        assert_eq!((wan.outage(), wan.most_waiting()), (Some(Duration::from_secs(3)), 7));
    }
}
