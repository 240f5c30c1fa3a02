//! Bounds of a paired difference by drawing the pictures again and again.
//!
//! **Source**: Efron (1979). Whole groups are drawn: frames of one camera in a row say the same thing many times over, and a
//! bound that took them for as many pictures would be too narrow.

use fastrand::Rng;

/// How often the pictures are drawn.
pub const DRAWS: usize = 2_000;
/// The same figures for the same pictures, whenever they are asked for.
const SEED: u64 = 0x5645_5247;
/// Each bound holds by itself with a probability of one minus this.
pub const ALPHA: f64 = 0.05;

/// What draws say of a difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// One draw in twenty lies below.
    pub low: f64,
    /// One draw in twenty lies above.
    pub high: f64,
    /// The share of the draws that are zero or below.
    pub none: f64,
}

/// Draws `groups` groups with replacement, [`DRAWS`] times; `of` gives the difference of a draw from how often each group is in
/// it, or nothing where that has no meaning.
#[must_use]
pub fn bounds(groups: usize, mut of: impl FnMut(&[u32]) -> Option<f64>) -> Option<Bounds> {
    if groups == 0 {
        return None;
    }
    let mut random = Rng::with_seed(SEED);
    let mut drawn = vec![0_u32; groups];
    let mut found: Vec<f64> = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        drawn.fill(0);
        for _ in 0..groups {
            drawn[random.usize(0..groups)] += 1;
        }
        found.extend(of(&drawn));
    }
    found.sort_by(f64::total_cmp);
    let (first, last) = (*found.first()?, *found.last()?);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "2,000 draws"
    )]
    let place = |share: f64| (share * found.len() as f64) as usize;
    let low = found.get(place(ALPHA)).copied().unwrap_or(first);
    let high = found.get(place(1.0 - ALPHA)).copied().unwrap_or(last);
    #[expect(clippy::cast_precision_loss, reason = "2,000 draws")]
    let none = (found.partition_point(|one| *one <= 0.0) + 1) as f64 / (found.len() + 1) as f64;
    Some(Bounds { low, high, none })
}
