//! What moves in a small grey picture: a background that is learnt, corrected by how bright the camera takes the picture
//! now, and the places that differ from it.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "pixels and levels of a small picture"
)]

use verge_domain::motion::{Blob, Motion};

/// Grey levels by which what moves differs from the background.
const DIFFERENCE: f32 = 14.0;
/// A blob of a smaller share of the picture is noise to everyone. Who uses blobs has a limit of its own.
const SMALLEST: f32 = 0.001;
/// More of the picture than this does not move at once: the light has changed, or the view.
const LIGHT: f32 = 0.6;
/// Gaps in what moves are closed as far as this many pixels from both sides.
const CLOSED: usize = 4;
/// Seconds in which the background follows what does not move.
const FOLLOWS: f64 = 5.0;
/// Seconds in which what stands before the background becomes part of it.
const ABSORBS: f64 = 60.0;
/// Seconds, and frames, after which the background is learnt.
const SETTLES: (f64, u32) = (1.5, 4);
/// Pictures of that time, evenly spread, whose median the background begins with: what passes meanwhile leaves no trace.
const SAMPLES: usize = 9;
/// After this many seconds without a frame nothing is known of the background.
const FORGETS: f64 = 120.0;
/// Times that differ by no more are the same instant.
const SAME_INSTANT: f64 = 1e-3;
/// Levels of the background in steps of this part of a grey level.
const STEPS: f32 = 128.0;
/// The ratio of brightness in steps of this part, up to four.
const RATIO_STEPS: u16 = 128;
const RATIOS: usize = 4 * RATIO_STEPS as usize;
/// Pixels that are darker say nothing about the ratio of brightness.
const DARK: u16 = 16;

/// The background of one camera's small grey pictures. It keeps its buffers.
#[derive(Debug, Default)]
pub struct PixelBackground {
    size: (usize, usize),
    /// In 1/128 of a grey level.
    levels: Vec<u16>,
    frames: u32,
    since: f64,
    last: f64,
    /// Pictures of the first time, until it is learnt; and when the next one is due.
    samples: Vec<u8>,
    sample_at: f64,
    /// Of each pixel: 255 where it differs.
    mask: Vec<u8>,
    scratch: Vec<u8>,
    /// Pixels of a blob whose neighbours are still to be looked at.
    open: Vec<u32>,
    /// Pixels that are hidden: nothing moves there.
    hidden: Vec<u32>,
}

impl PixelBackground {
    /// Leaves out these pixels of all pictures that follow. The background is learnt anew.
    pub(super) fn hide(&mut self, hidden: &[u32]) {
        self.hidden.clear();
        self.hidden.extend_from_slice(hidden);
        self.frames = 0;
    }

    /// What of this picture differs from the background, which then learns from it. `pixels` are its rows from the top, `at`
    /// its time in seconds; a picture of another size or an earlier time begins anew.
    ///
    /// # Panics
    /// If there is not a byte for each pixel.
    pub fn look(&mut self, pixels: &[u8], (width, height): (usize, usize), at: f64) -> Motion {
        assert_eq!(pixels.len(), width * height, "a byte for each pixel");
        let step = at - self.last;
        if self.frames == 0
            || self.size != (width, height)
            || !(-SAME_INSTANT..=FORGETS).contains(&step)
            || width * height == 0
        {
            self.size = (width, height);
            self.begin(pixels, at);
            return Motion::default();
        }
        let ratio = self.ratio(pixels);
        self.differ(pixels, ratio);
        self.open_and_close();
        let shown = (self.mask.len() - self.hidden.len()).max(1);
        let changed = share(self.mask.iter().filter(|pixel| **pixel != 0).count(), shown);
        if changed > LIGHT {
            self.begin(pixels, at);
            return Motion { changed, light: true, ..Motion::default() };
        }
        let was_settled = self.is_settled();
        self.learn(pixels, ratio, step.max(0.0));
        self.last = at;
        let settled = self.is_settled();
        if !was_settled {
            self.sample(pixels);
            if settled {
                self.take_median();
            }
        }
        let mut motion = Motion { changed, settled, ..Motion::default() };
        if settled {
            // Takes the mask apart.
            self.collect(&mut motion);
        }
        motion
    }

    fn begin(&mut self, pixels: &[u8], at: f64) {
        self.levels.clear();
        self.levels.extend(pixels.iter().map(|pixel| u16::from(*pixel) * STEPS as u16));
        for buffer in [&mut self.mask, &mut self.scratch] {
            buffer.clear();
            buffer.resize(pixels.len(), 0);
        }
        self.open.clear();
        self.open.reserve(pixels.len());
        (self.frames, self.since, self.last) = (1, at, at);
        self.samples.clear();
        self.sample_at = at;
        self.sample(pixels);
    }

    fn is_settled(&self) -> bool {
        self.last - self.since >= SETTLES.0 && self.frames >= SETTLES.1
    }

    /// Keeps a picture of the first time where one is due.
    fn sample(&mut self, pixels: &[u8]) {
        if self.last >= self.sample_at && self.samples.len() < SAMPLES * pixels.len() {
            self.samples.extend_from_slice(pixels);
            self.sample_at = self.last + SETTLES.0 / SAMPLES as f64;
        }
    }

    /// Begins with the median of what each pixel showed in the first time.
    fn take_median(&mut self) {
        let pixels = self.levels.len();
        let count = self.samples.len() / pixels;
        let mut shown = [0_u8; SAMPLES];
        for (at, level) in self.levels.iter_mut().enumerate() {
            for (shown, picture) in shown.iter_mut().zip(self.samples.chunks_exact(pixels)) {
                *shown = picture[at];
            }
            let shown = &mut shown[..count];
            shown.sort_unstable();
            let sum = u16::from(shown[(count - 1) / 2]) + u16::from(shown[count / 2]);
            *level = sum * (STEPS as u16 / 2);
        }
        // It is needed again only where the light or the view changes.
        self.samples = Vec::new();
    }

    /// By what factor the picture is brighter than the background: the median over its pixels, which what moves hardly
    /// changes.
    fn ratio(&self, pixels: &[u8]) -> f32 {
        let mut counts = [0_u32; RATIOS];
        let mut counted = 0_u32;
        let place = |(pixel, level): (&u8, &u16)| {
            let level = level / STEPS as u16;
            let ratio = (level >= DARK).then(|| u16::from(*pixel) * RATIO_STEPS / level)?;
            Some(usize::from(ratio).min(RATIOS - 1))
        };
        for ratio in pixels.iter().zip(&self.levels).filter_map(place) {
            counts[ratio] += 1;
            counted += 1;
        }
        let hidden = self.hidden.iter().map(|at| *at as usize);
        for ratio in hidden.filter_map(|at| place((&pixels[at], &self.levels[at]))) {
            counts[ratio] -= 1;
            counted -= 1;
        }
        if (counted as usize) < pixels.len() / 8 {
            return 1.0;
        }
        let mut below = 0;
        let middle = counts.iter().position(|count| {
            below += count;
            2 * below > counted
        });
        // The middle of its step; no lens lets through nothing.
        ((middle.unwrap_or_default() as f32 + 0.5) / f32::from(RATIO_STEPS)).max(0.05)
    }

    fn differ(&mut self, pixels: &[u8], ratio: f32) {
        let scale = ratio / STEPS;
        for ((mask, pixel), level) in self.mask.iter_mut().zip(pixels).zip(&self.levels) {
            let difference = (f32::from(*pixel) - f32::from(*level) * scale).abs();
            *mask = if difference > DIFFERENCE { 255 } else { 0 };
        }
        self.hidden.iter().for_each(|at| self.mask[*at as usize] = 0);
    }

    /// Takes single pixels out, then closes gaps.
    fn open_and_close(&mut self) {
        let (mask, scratch, size) = (&mut self.mask, &mut self.scratch, self.size);
        let and = |a: u8, b: u8| a & b;
        let or = |a: u8, b: u8| a | b;
        spread(mask, scratch, size, and);
        spread(mask, scratch, size, or);
        (0..CLOSED).for_each(|_| spread(mask, scratch, size, or));
        (0..CLOSED).for_each(|_| spread(mask, scratch, size, and));
    }

    /// Follows what does not move quickly, and what does slowly. The brightness of all follows alike.
    fn learn(&mut self, pixels: &[u8], ratio: f32, step: f64) {
        let part = |of: f64| (1.0 - (-step / of).exp()) as f32;
        let (mut follows, mut absorbs) = (part(FOLLOWS), part(ABSORBS));
        if !self.is_settled() {
            // The mean of the first pictures, whatever moves in them.
            follows = follows.max(1.0 / (self.frames + 1) as f32);
            absorbs = follows;
        }
        self.frames = self.frames.saturating_add(1);
        // Brightness beyond what a pixel can be is of no use.
        let brighter = 1.0 + follows * (ratio - 1.0);
        let from_pixel = brighter / ratio * STEPS;
        for ((level, pixel), mask) in self.levels.iter_mut().zip(pixels).zip(&self.mask) {
            let part = if *mask == 0 { follows } else { absorbs };
            let known = f32::from(*level) * brighter;
            let next = known + part * (f32::from(*pixel) * from_pixel - known);
            *level = next.min(f32::from(u16::MAX)) as u16;
        }
    }

    /// The blobs of the mask.
    fn collect(&mut self, motion: &mut Motion) {
        let (width, height) = self.size;
        for first in 0..self.mask.len() {
            if self.mask[first] == 0 {
                continue;
            }
            self.mask[first] = 0;
            self.open.push(first as u32);
            let (mut pixels, mut left, mut right) = (0, width, 0);
            let (mut top, mut bottom) = (height, 0);
            while let Some(at) = self.open.pop() {
                let (x, y) = (at as usize % width, at as usize / width);
                pixels += 1;
                (left, right) = (left.min(x), right.max(x + 1));
                (top, bottom) = (top.min(y), bottom.max(y + 1));
                for row in y.saturating_sub(1)..(y + 2).min(height) {
                    for column in x.saturating_sub(1)..(x + 2).min(width) {
                        let neighbour = row * width + column;
                        if self.mask[neighbour] != 0 {
                            self.mask[neighbour] = 0;
                            self.open.push(neighbour as u32);
                        }
                    }
                }
            }
            let area = share(pixels, width * height);
            if area >= SMALLEST {
                motion.blobs.add(Blob {
                    left: share(left, width),
                    top: share(top, height),
                    right: share(right, width),
                    bottom: share(bottom, height),
                    area,
                });
            }
        }
    }

    /// Bytes it holds beside itself.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        2 * self.levels.capacity()
            + self.mask.capacity()
            + self.scratch.capacity()
            + self.samples.capacity()
            + 4 * (self.open.capacity() + self.hidden.capacity())
    }
}

fn share(part: usize, whole: usize) -> f32 {
    part as f32 / whole as f32
}

/// Joins each pixel with its eight neighbours. What lies beyond the sides changes nothing.
fn spread(
    mask: &mut [u8],
    scratch: &mut [u8],
    (width, height): (usize, usize),
    join: impl Fn(u8, u8) -> u8 + Copy,
) {
    for (from, to) in mask.chunks_exact(width).zip(scratch.chunks_exact_mut(width)) {
        to.copy_from_slice(from);
        for (to, left) in to[1..].iter_mut().zip(from) {
            *to = join(*to, *left);
        }
        for (to, right) in to.iter_mut().zip(&from[1..]) {
            *to = join(*to, *right);
        }
    }
    mask.copy_from_slice(scratch);
    let area = width * height.saturating_sub(1);
    for (to, above) in mask[width..].iter_mut().zip(&scratch[..area]) {
        *to = join(*to, *above);
    }
    for (to, below) in mask[..area].iter_mut().zip(&scratch[width..]) {
        *to = join(*to, *below);
    }
}

#[cfg(test)]
mod tests;
