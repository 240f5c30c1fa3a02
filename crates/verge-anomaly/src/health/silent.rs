//! Silent: no reading for longer than the history of arrivals makes plausible.
//!
//! Gaps are measured on the monotonic clock between receipts; the readings of one message are one arrival.
//! What happened while the gateway was away is not a gap.

use std::time::Duration;

use verge_domain::finding::{Condition, Member, Standing};

use super::lengths::Lengths;
use super::sample::{Circumstances, condition};
use serde::{Deserialize, Serialize};

/// Less than a second is never a silence: time is checked twice a second. In microseconds.
const LEAST_US: u64 = 1_000_000;

/// Watches for absence.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Silent {
    pub(super) gaps: Lengths,
    /// The silence that lasts now has been reported.
    reported: bool,
}

impl Silent {
    /// Takes in an arrival after `gap_us`. Reports a silence that fitted between two ticks, then its end.
    #[inline]
    pub(super) fn enter(&mut self, gap_us: u64, around: Circumstances, mut say: impl FnMut(Condition)) {
        let Circumstances { patience, week, .. } = around;
        if gap_us > 0 {
            // The first test suffices for most signals.
            let beyond = gap_us > LEAST_US && self.gaps.ready(0) && gap_us > self.limit_us(patience);
            if beyond && !self.reported {
                say(self.reported(Standing::Abnormal, gap_us, self.limit_us(patience)));
            }
            self.gaps.enter(gap_us, beyond, week);
        }
        self.reported = false;
        if self.gaps.ready(0) {
            say(self.reported(Standing::Normal, 0, self.limit_us(patience)));
        }
    }

    /// Reports nothing while all is well: only a reading ends a silence.
    /// `is_away`: the device has said that nothing comes, so there is no limit to wait for.
    pub(super) fn tick(&mut self, silent_for: Duration, patience: f64, is_away: bool) -> Option<Condition> {
        let silent_us = u64::try_from(silent_for.as_micros()).unwrap_or(u64::MAX);
        let limit_us = self.limit_us(patience);
        if !self.gaps.ready(0) || silent_us <= limit_us && !is_away {
            return None;
        }
        self.reported = true;
        Some(self.reported(Standing::Abnormal, silent_us, limit_us))
    }

    /// For how long it was watched.
    pub(super) const fn observed_us(&self) -> u64 {
        self.gaps.sum()
    }

    fn limit_us(&self, patience: f64) -> u64 {
        // Saturates.
        (self.gaps.limit(LEAST_US) as f64 * patience) as u64
    }

    fn reported(&self, standing: Standing, silent_us: u64, limit_us: u64) -> Condition {
        let p_value = (standing == Standing::Abnormal).then(|| self.gaps.record_p_value());
        let expected = (None, Some(limit_us as f64 / 1e6));
        condition(Member::Silent, standing, silent_us as f64 / 1e6, expected, p_value)
    }
}
