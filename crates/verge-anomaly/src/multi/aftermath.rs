//! What remains of a fault that is over.
//!
//! A machine that ran hot is not cold at once when the fault has ended. Where an event has come back by more than half of
//! its usual distance, and stays there, the fault is over: what is still off is the machine on its way back, and no
//! fault. The way back may take as long as the fault lasted. What is off for longer, or goes as far out again, is a
//! fault anew.

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;

/// A row is back where it is nearer than this part of the mean distance of its event…
const BACK: f64 = 0.5;
/// …of which this many rows were abnormal at least: a mean of fewer says little, since rows share their running mean.
const KNOWN: u32 = 40;
/// Rows in a row that must be back before the fault is over, and usual before nothing remains of it.
const SETTLED: u32 = 10;

/// The event that goes on, or what remains of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Aftermath {
    /// Mean distance of its abnormal rows, and how many there were.
    distance: f64,
    rows: u32,
    /// Rows in a row that were back, and that were usual.
    back: u32,
    usual: u32,
    /// Rows since the fault was over; zero before.
    over: u32,
}

impl Aftermath {
    /// Notes one row; says whether it is only what remains of a fault that is over.
    pub(super) fn remains(&mut self, distance: f64, is_abnormal: bool) -> bool {
        self.usual = if is_abnormal { 0 } else { self.usual.saturating_add(1) };
        if self.usual >= SETTLED {
            *self = Self { usual: SETTLED, ..Self::default() };
            return false;
        }
        let is_back = self.rows >= KNOWN && distance < BACK * self.distance;
        self.back = if is_back { self.back.saturating_add(1) } else { 0 };
        if self.over > 0 || self.back >= SETTLED {
            self.over = self.over.saturating_add(1);
            if is_back && self.over <= self.rows {
                return is_abnormal;
            }
            *self = Self::default();
        }
        if is_abnormal && !is_back {
            self.rows = self.rows.saturating_add(1);
            self.distance += (distance - self.distance) / f64::from(self.rows);
        }
        false
    }

    /// Whether this can be what was saved.
    pub(super) fn check(&self) -> Result<(), RestoreError> {
        let sound = self.distance.is_finite() && self.distance >= 0.0;
        if sound { Ok(()) } else { Err(RestoreError::Misfit { part: "what remains of its last event" }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of which each stretch has a distance; a distance above one is abnormal. How many of each stretch are faults.
    fn faults<const N: usize>(stretches: [(u32, f64); N]) -> [u32; N] {
        let mut aftermath = Aftermath::default();
        stretches.map(|(rows, distance)| {
            let is_abnormal = distance > 1.0;
            (0..rows).map(|_| u32::from(!aftermath.remains(distance, is_abnormal) && is_abnormal)).sum()
        })
    }

    #[test]
    fn what_is_back_by_half_is_no_fault_for_as_long_as_the_fault_lasted() {
        assert_eq!(faults([(100, 8.0), (60, 3.9)]), [100, 9], "over with the tenth row");
        assert_eq!(faults([(100, 8.0), (60, 4.1)]), [100, 60], "not half of the way");
        assert_eq!(faults([(100, 8.0), (200, 3.0)]), [100, 9 + 91], "off for longer than the fault");
        assert_eq!(faults([(20, 8.0), (60, 3.0)]), [20, 60], "too short to be known");
    }

    #[test]
    fn what_goes_as_far_out_again_is_a_fault_at_once() {
        assert_eq!(faults([(100, 8.0), (30, 3.0), (50, 5.0)]), [100, 9, 50]);
        // Nothing remains once all was usual.
        assert_eq!(faults([(100, 8.0), (30, 3.0), (10, 0.5), (50, 3.0)]), [100, 9, 0, 50]);
        assert_eq!(
            faults([(100, 8.0), (30, 3.0), (9, 0.5), (50, 3.0)]),
            [100, 9, 0, 0],
            "it may be usual for a moment"
        );
    }
}
