//! What moves in a camera's picture, in shares of its sides. No pixels.

use std::ops::Deref;

/// A place that differs from the background of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Blob {
    /// Left edge, a share of the picture's width.
    pub left: f32,
    /// Top edge, a share of its height.
    pub top: f32,
    /// Right edge, beyond `left`.
    pub right: f32,
    /// Bottom edge, beyond `top`.
    pub bottom: f32,
    /// Share of the picture that differs.
    pub area: f32,
}

impl Blob {
    /// Whether it reaches into a part of the picture: its left, top, right and bottom edge.
    #[must_use]
    pub fn reaches(&self, [left, top, right, bottom]: [f32; 4]) -> bool {
        self.left < right && self.right > left && self.top < bottom && self.bottom > top
    }
}

/// Blobs of a picture at most: the smallest are left out.
pub const MAX_BLOBS: usize = 16;

/// The blobs of a picture, largest first.
#[derive(Clone, Copy, PartialEq)]
pub struct Blobs {
    blobs: [Blob; MAX_BLOBS],
    count: usize,
}

impl Blobs {
    /// None.
    pub const NONE: Self = Self {
        blobs: [Blob { left: 0.0, top: 0.0, right: 0.0, bottom: 0.0, area: 0.0 }; MAX_BLOBS],
        count: 0,
    };

    /// Adds one in its place; where there is no room the smallest is left out.
    pub fn add(&mut self, blob: Blob) {
        let at = self.iter().position(|known| known.area < blob.area).unwrap_or(self.count);
        if at == MAX_BLOBS {
            return;
        }
        self.count = (self.count + 1).min(MAX_BLOBS);
        self.blobs[at..self.count].rotate_right(1);
        self.blobs[at] = blob;
    }

    /// Keeps those of which this holds.
    pub fn retain(&mut self, keeps: impl Fn(&Blob) -> bool) {
        let all = *self;
        *self = Self::NONE;
        all.iter().filter(|blob| keeps(blob)).for_each(|blob| self.add(*blob));
    }
}

impl Default for Blobs {
    fn default() -> Self {
        Self::NONE
    }
}

impl Deref for Blobs {
    type Target = [Blob];

    fn deref(&self) -> &[Blob] {
        &self.blobs[..self.count]
    }
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

/// What of a picture differs from its background.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Motion {
    /// Where it differs.
    pub blobs: Blobs,
    /// Share of all pixels that differ.
    pub changed: f32,
    /// So much differs at once that it is the light, or another view; the background is learnt anew.
    pub light: bool,
    /// The background is learnt: what differs from it moves.
    pub settled: bool,
}

impl Motion {
    /// Whether something moves that covers at least this share of the picture and reaches into a part of it (left, top, right
    /// and bottom edge), as far as can be said: while the background is not known, something may.
    #[must_use]
    pub fn moves(&self, least: f32, within: [f32; 4]) -> bool {
        let counts = |blob: &Blob| blob.area >= least && blob.reaches(within);
        self.light || !self.settled || self.blobs.iter().any(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_blobs_are_kept_in_order() {
        let mut blobs = Blobs::default();
        for number in [3_u8, 9, 1, 7] {
            blobs.add(Blob { area: f32::from(number), ..Blob::default() });
        }
        assert_eq!(blobs.iter().map(|blob| blob.area).collect::<Vec<_>>(), [9.0, 7.0, 3.0, 1.0]);
        for number in 10..40_u8 {
            blobs.add(Blob { area: f32::from(number), ..Blob::default() });
        }
        blobs.add(Blob { area: 0.5, ..Blob::default() });
        let areas: Vec<f32> = blobs.iter().map(|blob| blob.area).collect();
        let expected: Vec<f32> = (24..40_u8).rev().map(f32::from).collect();
        assert_eq!(areas, expected);
    }

    #[test]
    fn what_is_not_known_may_move() {
        let all = [0.0, 0.0, 1.0, 1.0];
        let blob = Blob { left: 0.1, top: 0.1, right: 0.2, bottom: 0.2, area: 0.01 };
        let mut motion = Motion::default();
        assert!(motion.moves(0.5, all), "the background is not learnt");
        motion.settled = true;
        assert!(!motion.moves(0.004, all));
        motion.blobs.add(blob);
        assert!(motion.moves(0.004, all) && !motion.moves(0.02, all));
        assert!(motion.moves(0.004, [0.15, 0.0, 1.0, 1.0]) && !motion.moves(0.004, [0.2, 0.0, 1.0, 1.0]));
        motion.light = true;
        assert!(motion.moves(0.02, all));
    }
}
