//! The layout of a picture: where it is bright and where dark, in a few large parts. Blur leaves it, a cover does not.

use super::GreyPicture;

/// Parts across and down.
const ACROSS: usize = 16;
const DOWN: usize = 9;

/// Mean grey level of each part.
#[derive(Debug, Clone, Copy)]
pub(super) struct PictureLayout([f32; ACROSS * DOWN]);

impl PictureLayout {
    /// Of a picture; flat where the picture is smaller than its parts.
    pub(super) fn of(grey: &GreyPicture) -> Self {
        let mut sums = [(0_u32, 0_u32); ACROSS * DOWN];
        let (width, height) = (grey.width().max(1), grey.height().max(1));
        for (y, row) in grey.pixels().chunks_exact(width).enumerate() {
            let parts = &mut sums[y * DOWN / height * ACROSS..][..ACROSS];
            for (part, of) in parts.iter_mut().enumerate() {
                let (left, right) = (part * width / ACROSS, (part + 1) * width / ACROSS);
                of.0 += row[left..right].iter().map(|&pixel| u32::from(pixel)).sum::<u32>();
                of.1 += (right - left) as u32;
            }
        }
        Self(sums.map(|(sum, count)| sum as f32 / count.max(1) as f32))
    }

    /// Takes in another with this weight, `0..=1`.
    pub(super) fn learn(&mut self, now: &Self, weight: f32) {
        self.0.iter_mut().zip(now.0).for_each(|(mean, now)| *mean += weight * (now - *mean));
    }

    /// Correlation of two layouts, `-1..=1`; zero where one is flat.
    pub(super) fn correlation(&self, other: &Self) -> f32 {
        let mean = |of: &Self| of.0.iter().sum::<f32>() / of.0.len() as f32;
        let (mine, its) = (mean(self), mean(other));
        let (mut both, mut own, mut others) = (0.0, 0.0, 0.0);
        for (a, b) in self.0.iter().zip(other.0) {
            let (a, b) = (a - mine, b - its);
            both += a * b;
            own += a * a;
            others += b * b;
        }
        let scale = (own * others).sqrt();
        // A flat picture has no layout, only rounding.
        if scale < 1.0 { 0.0 } else { (both / scale).clamp(-1.0, 1.0) }
    }
}
