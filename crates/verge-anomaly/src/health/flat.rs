//! Flat: the noise from reading to reading has collapsed to an eighth of the least that was usual, though not to nothing.
//!
//! The noise is that of [`BlockNoise`]; less than the resolution of the sensor shows counts as that. Blocks that only rise,
//! only fall or do not change at all are ignored: counters and slow ramps have slopes, not noise, and what does not change
//! at all is for the cause *stuck*. Four blocks in a row must agree.

use verge_domain::finding::{Condition, FARTHEST, Member};

use super::levels::BlockNoise;
use super::record::{HealthRecord, NOTHING};
use super::sample::{Circumstances, Grain, condition, mean_step, shown};
use serde::{Deserialize, Serialize};

/// An eighth.
const OCTAVES: f64 = 3.0;

/// Watches for a collapse of noise.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Flat {
    /// What earlier versions knew of the present block.
    unused: (f64, f64, bool, bool),
    pub(super) record: HealthRecord,
}

impl Flat {
    pub(super) fn close(&mut self, block: BlockNoise, grain: Grain, around: Circumstances) {
        let Some(half_step) = grain.half().filter(|_| block.turned && block.noise > 0.0) else {
            return self.record.pass_over();
        };
        // One reading of a part that flickers by a step: see `quarter_bend`.
        let shown = half_step / 2.0;
        self.record.enter(-block.noise.max(shown).log2(), (OCTAVES, NOTHING), block.elsewhere, around);
    }

    pub(super) fn condition(&self, around: Circumstances) -> Option<Condition> {
        let (standing, octaves) = self.record.reported()?;
        let expected = (Some((-OCTAVES).exp2()), None);
        let condition = condition(Member::Flat, standing, (-octaves).exp2(), expected, None);
        // As many times less as others are more.
        let distance = (octaves - OCTAVES).clamp(-64.0, 64.0).exp2().min(FARTHEST);
        let (now, usual) = self.record.lasting();
        let shown = shown(mean_step(-now), (Some(mean_step(-usual)), None));
        Some(Condition { distance: Some(distance), learning: around.young, shown, ..condition })
    }
}
