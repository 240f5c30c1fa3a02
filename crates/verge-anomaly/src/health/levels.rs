//! Levels that a signal has been at. Noise belongs to a level: what a machine's sensor fluctuates by while it stands says
//! nothing of what it does while it runs.

use serde::{Deserialize, Serialize};

use super::sample::{BLOCK, HealthSample, PART};

/// Parts of a block.
const PARTS: usize = (BLOCK / PART) as usize;

/// Blocks at a new level from which its noise is learnt.
const SETTLES: u8 = 8;

/// This many times the noise (see [`HealthSample::quarter_bend`]) beside what is known is no other level…
const NOISES: f64 = 4.0;
/// …nor is this part of the range that is known.
const RANGE_PART: f64 = 8.0;

/// A block as the causes see it that look at noise.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockNoise {
    /// The median over its parts of their median quarter bend: level and slope do not enter, and neither do steps and
    /// spikes, unless there are many.
    pub(super) noise: f64,
    /// It rose and fell: a slow ramp has a slope, not noise.
    pub(super) turned: bool,
    /// It changed.
    pub(super) moved: bool,
    /// The signal has not been at this level for long.
    pub(super) elsewhere: bool,
}

/// Noise and level of blocks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Levels {
    /// See [`HealthSample::quarter_bend`]: of this part.
    bends: [f64; PART as usize],
    /// Their medians, of the parts of this block.
    noises: [f64; PARTS],
    /// Mean halved values of the parts of this block.
    means: [f64; PARTS],
    rose: bool,
    fell: bool,
    /// Halved means that are known.
    low: f64,
    high: f64,
    settling: u8,
}

impl Default for Levels {
    fn default() -> Self {
        let (low, high) = (f64::MAX, f64::MIN);
        let (bends, noises) = ([0.0; PART as usize], [0.0; PARTS]);
        Self { bends, noises, means: [0.0; PARTS], rose: false, fell: false, low, high, settling: 0 }
    }
}

impl Levels {
    #[inline]
    pub(super) fn enter(&mut self, sample: &HealthSample) {
        let part = usize::from(sample.place / PART) % PARTS;
        let at = usize::from(sample.place % PART);
        if at == 0 {
            self.means[part] = 0.0;
        }
        self.means[part] += sample.value / 2.0 / f64::from(PART);
        self.bends[at] = sample.quarter_bend().unwrap_or(0.0);
        if at + 1 == usize::from(PART) {
            self.bends.sort_unstable_by(f64::total_cmp);
            let middle = usize::from(PART / 2);
            self.noises[part] = self.bends[middle - 1] / 2.0 + self.bends[middle] / 2.0;
        }
        if sample.place == 0 {
            (self.rose, self.fell) = (false, false);
        } else if let Some(before) = sample.past[0] {
            self.rose |= sample.value > before;
            self.fell |= sample.value < before;
        }
    }

    /// A block has ended.
    pub(super) fn close(&mut self) -> BlockNoise {
        self.noises.sort_unstable_by(f64::total_cmp);
        let noise = self.noises[PARTS / 2];
        let (least, most) = self
            .means
            .iter()
            .fold((f64::MAX, f64::MIN), |(least, most), mean| (least.min(*mean), most.max(*mean)));
        // Halves and quarters, so that the largest numbers do not overflow.
        let beside = NOISES / 2.0 * noise + (self.high / RANGE_PART - self.low / RANGE_PART).max(0.0);
        if self.low > self.high || least - beside > self.high || most + beside < self.low {
            self.settling = SETTLES;
        }
        (self.low, self.high) = (self.low.min(least), self.high.max(most));
        let elsewhere = self.settling > 0;
        self.settling = self.settling.saturating_sub(1);
        BlockNoise { noise, turned: self.rose && self.fell, moved: self.rose || self.fell, elsewhere }
    }
}
