//! Noisy: the noise from reading to reading has grown to four times the most that was usual, and stays.
//!
//! The noise is that of [`BlockNoise`]. Four blocks in a row must agree. A signal that toggles between neighbouring steps
//! of its resolution is not noisy: noise within one step counts as usual. A block that stands still says nothing: the noise
//! of a machine that stood so far is learnt once it runs. Growth over many days is followed, not reported.

use verge_domain::finding::{Condition, Member};

use super::levels::BlockNoise;
use super::record::{HealthRecord, NOTHING};
use super::sample::{Circumstances, Grain, condition, mean_step, shown};
use serde::{Deserialize, Serialize};

/// Four times.
const OCTAVES: f64 = 2.0;

/// Watches for a growth of noise.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Noisy {
    /// What earlier versions knew of the present block.
    unused: [f64; 5],
    pub(super) record: HealthRecord,
}

impl Noisy {
    pub(super) fn close(&mut self, block: BlockNoise, grain: Grain, around: Circumstances) {
        // A constant has no noise to compare with.
        let Some(half_step) = grain.half().filter(|_| block.moved) else { return };
        let statistic = if block.noise > 0.0 { block.noise.log2() } else { NOTHING };
        let floor = (half_step / 2.0).max(f64::MIN_POSITIVE).log2();
        self.record.enter(statistic, (OCTAVES, floor), block.elsewhere, around);
    }

    pub(super) fn condition(&self, around: Circumstances) -> Option<Condition> {
        let (standing, octaves) = self.record.reported()?;
        let expected = (None, Some(OCTAVES.exp2()));
        let condition = condition(Member::Noisy, standing, octaves.exp2(), expected, None);
        let (now, usual) = self.record.lasting();
        let shown = shown(mean_step(now), (None, Some(mean_step(usual))));
        Some(Condition { learning: around.young, shown, ..condition })
    }
}
