//! Flat: the variation has collapsed to an eighth of the least that was usual, though not to nothing.
//!
//! The variation of a block is the distance of its greatest and least value. Blocks that only rise, only fall or
//! do not change at all are ignored: counters and slow ramps have slopes, not variation, and what does not
//! change at all is for the cause *stuck*. Four blocks in a row must agree.

use verge_domain::finding::{Condition, FARTHEST, Member};

use super::record::HealthRecord;
use super::sample::{HealthSample, condition};
use serde::{Deserialize, Serialize};

/// An eighth.
const OCTAVES: f64 = 3.0;

/// Watches for a collapse of variation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Flat {
    low: f64,
    high: f64,
    /// In this block it has risen, it has fallen.
    rose: bool,
    fell: bool,
    record: HealthRecord,
}

impl Flat {
    #[inline]
    pub(super) fn enter(&mut self, sample: &HealthSample) {
        let value = sample.value;
        if sample.place == 0 {
            (self.low, self.high, self.rose, self.fell) = (value, value, false, false);
            return;
        }
        self.low = self.low.min(value);
        self.high = self.high.max(value);
        if let Some(before) = sample.past[0] {
            self.rose |= value > before;
            self.fell |= value < before;
        }
    }

    pub(super) fn close(&mut self, patience: u16) {
        let half_range = self.high / 2.0 - self.low / 2.0;
        if self.rose && self.fell && half_range > 0.0 {
            self.record.enter(-half_range.log2(), OCTAVES, super::record::NOTHING, patience);
        } else {
            self.record.pass_over();
        }
    }

    pub(super) fn condition(&self) -> Option<Condition> {
        let (standing, octaves) = self.record.reported()?;
        let expected = (Some((-OCTAVES).exp2()), None);
        let condition = condition(Member::Flat, standing, (-octaves).exp2(), expected, None);
        // As many times less as others are more.
        let distance = (octaves - OCTAVES).clamp(-64.0, 64.0).exp2().min(FARTHEST);
        Some(Condition { distance: Some(distance), ..condition })
    }
}
