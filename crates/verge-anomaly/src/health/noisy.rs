//! Noisy: the noise from reading to reading has grown to four times the most that was usual, and stays.
//!
//! The noise of a block is the median over its five parts of the mean second difference: level and slope do not
//! enter, steps and spikes spoil one part, not the median. Four blocks in a row must agree. A signal that toggles
//! between neighbouring steps of its resolution is not noisy: noise within one step counts as usual.
//! Growth over many days is followed, not reported.

use verge_domain::finding::{Condition, Member};

use super::record::{HealthRecord, NOTHING};
use super::sample::{BLOCK, Grain, HealthSample, PART, condition};
use serde::{Deserialize, Serialize};

/// Four times.
const OCTAVES: f64 = 2.0;

const PARTS: usize = (BLOCK / PART) as usize;

/// Watches for a growth of noise.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Noisy {
    /// Mean bends (see [`HealthSample::quarter_bend`]) of the parts of this block.
    parts: [f64; PARTS],
    record: HealthRecord,
}

impl Noisy {
    #[inline]
    pub(super) fn enter(&mut self, sample: &HealthSample) {
        let part = &mut self.parts[usize::from(sample.place / PART) % PARTS];
        if sample.place.is_multiple_of(PART) {
            *part = 0.0;
        }
        *part = (*part + sample.quarter_bend().unwrap_or(0.0) / f64::from(PART)).min(f64::MAX);
    }

    pub(super) fn close(&mut self, grain: Grain, patience: u16) {
        // A constant has no noise to compare with.
        let Some(half_step) = grain.half() else { return };
        let mut parts = self.parts;
        parts.sort_unstable_by(f64::total_cmp);
        let noise = parts[PARTS / 2];
        let statistic = if noise > 0.0 { noise.log2() } else { NOTHING };
        self.record.enter(statistic, OCTAVES, (half_step / 2.0).max(f64::MIN_POSITIVE).log2(), patience);
    }

    pub(super) fn condition(&self) -> Option<Condition> {
        let (standing, octaves) = self.record.reported()?;
        Some(condition(Member::Noisy, standing, octaves.exp2(), (None, Some(OCTAVES.exp2())), None))
    }
}
