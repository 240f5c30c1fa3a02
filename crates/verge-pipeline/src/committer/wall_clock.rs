//! Times that are estimated because the machine's wall clock was not set.

use verge_domain::stage::{Encoder, Source, Store};
use verge_domain::time::Monotonic;

use super::worker::CommitWorker;
use crate::clock::Clock;

/// What is known of the machine's wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WallClock {
    /// It is set, and was set when the gateway started.
    Set,
    Unset,
    /// It was not set at first; it is since this time or a little earlier.
    SetAt(Monotonic),
}

impl WallClock {
    pub(super) fn of(clock: Clock) -> Self {
        if clock.is_set() { Self::Set } else { Self::Unset }
    }
}

impl<S: Store, E: Encoder, R: Source> CommitWorker<S, E, R> {
    /// Marks verdicts that were made before the wall clock was set: their times are estimated.
    pub(super) fn mark_estimated(&mut self) {
        self.wall_clock = match (self.wall_clock, self.clock.is_set()) {
            (WallClock::Set, true) => return,
            (_, false) => WallClock::Unset,
            (WallClock::Unset, true) => WallClock::SetAt(self.clock.now().mono),
            (since, true) => since,
        };
        for request in &mut self.waiting {
            let is_estimated = match self.wall_clock {
                WallClock::Set => false,
                WallClock::Unset => true,
                WallClock::SetAt(at) => request.received < at,
            };
            for verdict in &mut request.verdicts {
                verdict.times.estimated = is_estimated;
            }
        }
    }
}
