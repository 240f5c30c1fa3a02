//! How noisy a picture is: by how much most of its pixels differ from those of the frame before, though nothing changed.

use std::time::Duration;

/// Steps of a grey level that differences are counted in, and how many of them are distinguished.
pub(super) const STEPS: u16 = 64;
const COUNTED: usize = 512;
/// The noise follows the picture with this time constant, in seconds.
const FOLLOWS: f32 = 10.0;
/// A picture whose mean changes by more, in grey levels, has another light: that is no noise.
const STEADY: f32 = 2.0;
/// A picture with a larger share of equal blocks is the same one again.
const SAME: f32 = 0.99;
/// Of normal noise: from the median of absolute differences to the standard deviation.
const FROM_MEDIAN: f32 = 1.0 / (0.6745 * std::f32::consts::SQRT_2);

/// The noise of one camera.
#[derive(Debug, Default)]
pub(super) struct PictureNoise {
    before: Vec<u16>,
    mean: f32,
    /// Standard deviation, in grey levels.
    deviation: f32,
    frames: u32,
}

impl PictureNoise {
    /// Standard deviation of a pixel, in grey levels.
    pub(super) const fn deviation(&self) -> f32 {
        self.deviation
    }

    /// Takes in a picture but for what is hidden, in steps of a grey level, `step` after the one before.
    pub(super) fn enter(
        &mut self,
        (fine, hidden): (&[u16], &[u32]),
        mean: f32,
        equal: Option<f32>,
        step: Duration,
    ) {
        let is_steady = (mean - self.mean).abs() <= STEADY;
        if is_steady && self.before.len() == fine.len() && equal.is_some_and(|equal| equal < SAME) {
            let now = self.median(fine, hidden) * FROM_MEDIAN / f32::from(STEPS);
            self.frames = self.frames.saturating_add(1);
            let lasting = 1.0 - (-step.as_secs_f32() / FOLLOWS).exp();
            self.deviation += lasting.max(1.0 / self.frames as f32) * (now - self.deviation);
        }
        self.mean = mean;
        self.before.clear();
        self.before.extend_from_slice(fine);
    }

    /// The median of the differences, in steps.
    fn median(&self, fine: &[u16], hidden: &[u32]) -> f32 {
        let mut counts = [0_u32; COUNTED];
        let place = |(before, now): (&u16, &u16)| usize::from(before.abs_diff(*now)).min(COUNTED - 1);
        self.before.iter().zip(fine).for_each(|both| counts[place(both)] += 1);
        for at in hidden.iter().map(|at| *at as usize) {
            counts[place((&self.before[at], &fine[at]))] -= 1;
        }
        let half = (fine.len() - hidden.len()) as u32 / 2;
        let mut below = 0;
        let middle = counts.iter().position(|count| {
            below += count;
            below > half
        });
        middle.unwrap_or_default() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_and_what_is_lit_otherwise_is_no_noise() {
        let mut random = 7_u32;
        let mut noise = PictureNoise::default();
        let picture = |light: u16, random: &mut u32| -> Vec<u16> {
            let mut level = |at: u16| {
                // The sum of four: a standard deviation of 2.31 levels.
                let sum: u32 = (0..4)
                    .map(|_| {
                        *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        (*random >> 24) % 256
                    })
                    .sum();
                at * STEPS + (sum / 4) as u16
            };
            (0..14_400_u16).map(|at| level(if at % 5 == 0 { light / 2 + at % 100 } else { light })).collect()
        };
        for frame in 0..60_u16 {
            let light = if frame < 30 { 100 } else { 160 };
            let fine = picture(light, &mut random);
            let mean = fine.iter().map(|&one| f32::from(one)).sum::<f32>() / 64.0 / 14_400.0;
            noise.enter((&fine, &[]), mean, Some(0.1), Duration::from_millis(200));
        }
        let expected = 256.0 / 12.0_f32.sqrt() / 2.0 / 64.0;
        assert!((noise.deviation() - expected).abs() < 0.15 * expected, "{} {expected}", noise.deviation());
        let before = noise.deviation();
        (0..20).for_each(|_| noise.enter((&[6400; 14_400], &[]), 100.0, Some(1.0), Duration::from_secs(1)));
        assert!(noise.deviation() >= before, "one picture again and again has no less");
    }
}
