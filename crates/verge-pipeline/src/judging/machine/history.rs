//! In which state a machine was, and since when.

use serde::{Deserialize, Serialize};
use verge_domain::time::UtcMillis;

/// Changes that are remembered. What is older than all of them is not known.
const KEPT: usize = 8;
/// This many late reports in a row mean that a clock stepped back.
const STEP_AFTER: u8 = 16;

/// The last changes of one state, in the order of the reports' own times: what is late finds the state that held then.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct StateHistory {
    /// Since when the machine was in which state.
    changes: Vec<(UtcMillis, u8)>,
    /// The newest report.
    newest: Option<UtcMillis>,
    #[serde(skip)]
    late: u8,
}

impl StateHistory {
    /// Takes note of a report. Returns whether the present state has changed.
    pub(super) fn note(&mut self, at: UtcMillis, state: u8) -> bool {
        let late = self.newest.filter(|newest| at < *newest);
        self.late = if late.is_some() { self.late + 1 } else { 0 };
        if self.late >= STEP_AFTER {
            *self = Self::default();
        }
        let (before, late) = (self.current(), late.filter(|_| self.newest.is_some()));
        self.newest = self.newest.max(Some(at));
        let after = self.changes.partition_point(|&(since, _)| since <= at);
        let held = after.checked_sub(1).and_then(|index| self.changes.get(index)).map(|&(_, held)| held);
        if held != Some(state) {
            match self.changes.get_mut(after).filter(|(_, next)| *next == state) {
                // It was so earlier than was known.
                Some((since, _)) => *since = at,
                None => self.changes.insert(after, (at, state)),
            }
            // What is late changes nothing of what was reported after it.
            if let (Some(newest), Some(present)) = (late, before)
                && self.current() != Some(present)
            {
                self.changes.push((newest, present));
            }
            let excess = self.changes.len().saturating_sub(KEPT);
            self.changes.drain(..excess);
        }
        self.current() != before
    }

    /// The present state.
    pub(super) fn current(&self) -> Option<u8> {
        self.changes.last().map(|&(_, state)| state)
    }

    /// The state at this time and since when, as far as it is known.
    pub(super) fn at(&self, time: UtcMillis) -> Option<(u8, UtcMillis)> {
        self.changes.iter().rev().find(|(since, _)| *since <= time).map(|&(since, state)| (state, since))
    }

    /// Whether saved changes are such as this makes.
    pub(super) fn is_sound(&self, states: usize) -> bool {
        self.changes.len() <= KEPT
            && self.changes.is_sorted_by_key(|&(since, _)| since)
            && self.changes.iter().all(|&(_, state)| usize::from(state) < states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(reports: &[(i64, u8)]) -> StateHistory {
        let mut history = StateHistory::default();
        for &(at, state) in reports {
            history.note(UtcMillis(at), state);
        }
        history
    }

    #[track_caller]
    fn check(reports: &[(i64, u8)], expected: &[(i64, Option<(u8, i64)>)]) {
        let history = history(reports);
        for &(time, held) in expected {
            let found = history.at(UtcMillis(time)).map(|(state, since)| (state, since.0));
            assert_eq!(found, held, "at {time} after {reports:?}");
        }
    }

    #[test]
    fn the_state_is_the_one_that_held_at_that_time() {
        let reports = [(10, 1), (15, 1), (20, 0), (30, 1)];
        check(&reports, &[(9, None), (10, Some((1, 10))), (19, Some((1, 10))), (20, Some((0, 20)))]);
        check(&reports, &[(29, Some((0, 20))), (1000, Some((1, 30)))]);
    }

    #[test]
    fn reports_out_of_order_take_their_place() {
        check(&[(10, 1), (30, 1), (20, 0)], &[(15, Some((1, 10))), (25, Some((0, 20)))]);
        check(&[(10, 1), (30, 1), (20, 0)], &[(30, Some((1, 30))), (99, Some((1, 30)))]);
        let mut running = history(&[(10, 1), (30, 1)]);
        assert!(!running.note(UtcMillis(20), 0), "the newest report says that it runs");
        // Earlier than known, and twice the same.
        check(&[(20, 1), (15, 1), (15, 1)], &[(14, None), (15, Some((1, 15)))]);
        check(&[(20, 1), (15, 0)], &[(16, Some((0, 15))), (20, Some((1, 20)))]);
    }

    #[test]
    fn memory_is_bounded_and_a_clock_that_steps_back_is_followed() {
        let many: Vec<(i64, u8)> = (0..1000).map(|at| (at, u8::from(at % 2 == 0))).collect();
        let mut history = history(&many);
        assert_eq!((history.changes.len(), history.at(UtcMillis(900))), (KEPT, None));
        for at in 0..16 {
            history.note(UtcMillis(500 + at), 1);
        }
        assert_eq!(history.at(UtcMillis(520)), Some((1, UtcMillis(515))));
    }
}
