//! What the grey levels of one picture say: brightness, contrast, sharpness.

use std::num::Wrapping;

use super::GreyPicture;

/// A grey level that counts as saturated.
const SATURATED: usize = 248;
/// Share of pixels below `low`, and above `high`, in percent.
const TAIL_PERCENT: usize = 5;

/// Brightness and contrast.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct GreyLevels {
    pub(super) mean: f32,
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) saturated: f32,
}

impl GreyLevels {
    /// Of a picture; all zero of an empty one.
    pub(super) fn of(pixels: &[u8]) -> Self {
        let mut counts = [0_u32; 256];
        for &pixel in pixels {
            counts[usize::from(pixel)] += 1;
        }
        let count = pixels.len();
        let share = |of: u64| if count == 0 { 0.0 } else { (of as f64 / count as f64) as f32 };
        let total: u64 = (0..).zip(counts).map(|(level, of): (u64, u32)| level * u64::from(of)).sum();
        let saturated: u64 = counts[SATURATED..].iter().map(|&of| u64::from(of)).sum();
        let tail = count * TAIL_PERCENT / 100;
        let low = beyond(counts.iter(), tail);
        let high = 255 - beyond(counts.iter().rev(), tail);
        let is_empty = count == 0;
        Self {
            mean: share(total),
            low: if is_empty { 0.0 } else { low as f32 },
            high: if is_empty { 0.0 } else { high as f32 },
            saturated: share(saturated),
        }
    }
}

/// The place of the first count that takes their sum above `tail`.
fn beyond<'a>(counts: impl Iterator<Item = &'a u32>, tail: usize) -> usize {
    let mut sum = 0;
    for (place, &of) in counts.enumerate() {
        sum += of as usize;
        if sum > tail {
            return place;
        }
    }
    0
}

/// Mean absolute Laplacian as a share of the contrast, without what the noise adds: how fine the detail is, whatever the
/// light.
pub(super) fn sharpness(grey: &GreyPicture, contrast: f32, noise: f32) -> f32 {
    let (width, height, pixels) = (grey.width(), grey.height(), grey.pixels());
    if width < 3 || height < 3 {
        return 0.0;
    }
    let mut total = 0_u64;
    for y in 1..height - 1 {
        let row = |y: usize| &pixels[y * width..][..width];
        let (above, here, below) = (row(y - 1), row(y), row(y + 1));
        let sum: u32 = (1..width - 1)
            .map(|x| {
                let [above, below, left, right, here] =
                    [above[x], below[x], here[x - 1], here[x + 1], here[x]]
                        .map(|pixel| Wrapping(i16::from(pixel)));
                // At most 4 * 255, as in the gradients.
                u32::from((Wrapping(4) * here - above - below - left - right).0.unsigned_abs())
            })
            .fold(0, u32::wrapping_add);
        total += u64::from(sum);
    }
    let mean = total as f64 / ((width - 2) * (height - 2)) as f64;
    // Of normal noise alone: the root of the sum of the squared weights, and of 2 / pi.
    let noise = f64::from(noise) * 20.0_f64.sqrt() * 0.798;
    let detail = (mean * mean - noise * noise).max(0.0).sqrt();
    (detail / f64::from(contrast.max(1.0))) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_the_pixels() {
        let mut pixels = vec![100_u8; 90];
        pixels.extend([20; 5].into_iter().chain([250; 5]));
        let levels = GreyLevels::of(&pixels);
        assert_eq!((levels.low, levels.high, levels.saturated), (100.0, 100.0, 0.05));
        pixels.extend([20, 250]);
        let levels = GreyLevels::of(&pixels);
        assert_eq!((levels.low, levels.high), (20.0, 250.0));
        assert_eq!(GreyLevels::of(&[]), GreyLevels::default());
    }
}
