//! The layout of a picture: where it is bright and where dark, in a few large parts. Blur leaves it, a cover does not.

use super::GreyPicture;

/// Parts across and down.
const ACROSS: usize = 16;
const DOWN: usize = 9;
/// One part of this number may be another than usual.
const OUTLIERS: usize = 5;
/// How often the worst are looked for.
const ROUNDS: usize = 2;

/// Mean grey level of each part; of one that is hidden, no number.
#[derive(Debug, Clone, Copy)]
pub(super) struct PictureLayout([f32; ACROSS * DOWN]);

impl PictureLayout {
    /// Of a picture but for what is hidden; flat where the picture is smaller than its parts.
    pub(super) fn of(grey: &GreyPicture, hidden: &[u32]) -> Self {
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
        let is_small = sums.iter().any(|(_, count)| *count == 0);
        for at in hidden.iter().map(|at| *at as usize) {
            let (x, y) = (at % width, at / width);
            // The last part of those that begin at or before it.
            let part = ((x + 1) * ACROSS - 1) / width;
            let of = &mut sums[y * DOWN / height * ACROSS + part];
            of.0 = of.0.saturating_sub(u32::from(grey.pixels()[at]));
            of.1 = of.1.saturating_sub(1);
        }
        let level = |(sum, count): (u32, u32)| match count {
            0 if is_small => 0.0,
            _ => sum as f32 / count as f32,
        };
        Self(sums.map(level))
    }

    /// Takes in another with this weight, `0..=1`.
    pub(super) fn learn(&mut self, now: &Self, weight: f32) {
        self.0.iter_mut().zip(now.0).for_each(|(mean, now)| *mean += weight * (now - *mean));
    }

    /// Correlation of two layouts, `-1..=1`; zero where one is flat. The fifth of the parts that fits worst is left out, since
    /// headlights and what passes change some.
    pub(super) fn correlation(&self, other: &Self) -> f32 {
        let mut parts = [(0.0, 0.0); ACROSS * DOWN];
        let shown = self.0.iter().zip(other.0).filter(|(a, b)| !a.is_nan() && !b.is_nan());
        let mut count = 0;
        for (part, (&a, b)) in parts.iter_mut().zip(shown) {
            *part = (a, b);
            count += 1;
        }
        let (parts, least) = (&mut parts[..count], count - count / OUTLIERS);
        let mut fit = LayoutFit::of(parts);
        for _ in 0..ROUNDS {
            if let Some(last) = least.checked_sub(1) {
                parts.select_nth_unstable_by(last, |a, b| fit.residual(*a).total_cmp(&fit.residual(*b)));
            }
            fit = LayoutFit::of(&parts[..least]);
        }
        fit.correlation()
    }
}

/// How one layout follows from another.
struct LayoutFit {
    means: (f32, f32),
    /// Sums of products of deviations.
    both: f32,
    own: f32,
    others: f32,
}

impl LayoutFit {
    fn of(parts: &[(f32, f32)]) -> Self {
        let sums = parts.iter().fold((0.0, 0.0), |(a, b), part| (a + part.0, b + part.1));
        let count = parts.len().max(1) as f32;
        let means = (sums.0 / count, sums.1 / count);
        let (mut both, mut own, mut others) = (0.0, 0.0, 0.0);
        for part in parts {
            let (a, b) = (part.0 - means.0, part.1 - means.1);
            both += a * b;
            own += a * a;
            others += b * b;
        }
        Self { means, both, own, others }
    }

    fn residual(&self, (a, b): (f32, f32)) -> f32 {
        let slope = if self.own > 0.0 { self.both / self.own } else { 0.0 };
        (b - self.means.1 - slope * (a - self.means.0)).abs()
    }

    fn correlation(&self) -> f32 {
        let scale = (self.own * self.others).sqrt();
        // A flat picture has no layout, only rounding.
        if scale < 1.0 { 0.0 } else { (self.both / scale).clamp(-1.0, 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A street of many shades, as its parts show it.
    fn street(at: usize) -> f32 {
        40.0 + (at / ACROSS * 31 + at % ACROSS * 17) as f32 % 90.0
    }

    fn layout(shade: impl Fn(usize) -> f32) -> PictureLayout {
        PictureLayout(std::array::from_fn(shade))
    }

    #[test]
    fn headlights_leave_the_layout_and_a_cover_does_not() {
        let usual = layout(street);
        // Less contrast, and lights in an eighth of the parts.
        let lit = layout(|at| 50.0 + 0.4 * street(at) + if at % 8 == 3 { 150.0 } else { 0.0 });
        assert!(usual.correlation(&lit) > 0.99);
        let half = layout(|at| if at % ACROSS < ACROSS / 2 { 90.0 } else { street(at) });
        assert!(usual.correlation(&half) < 0.9, "{}", usual.correlation(&half));
        let other = layout(|at| street(at + 37));
        assert!(usual.correlation(&other) < 0.7, "{}", usual.correlation(&other));
        let covered = layout(|at| 90.0 + (at % 3) as f32);
        assert!(usual.correlation(&covered) < 0.6 && usual.correlation(&layout(|_| 90.0)) == 0.0);
        // Parts that are hidden say nothing.
        let masked = layout(|at| if at < 70 { f32::NAN } else { street(at) });
        assert!(usual.correlation(&masked) > 0.99);
        assert_eq!(usual.correlation(&layout(|_| f32::NAN)), 0.0);
    }
}
