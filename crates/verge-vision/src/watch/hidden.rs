//! What privacy masks hide of the small grey picture: it says nothing of the camera, and is left out of all measures.

use std::ops::Range;

use crate::picture::SAMPLES;

/// With less than one pixel of this number shown, nothing can be said of a picture.
const LEAST_SHOWN: usize = 100;

/// The pixels of a grey picture that hold a hidden pixel of the frame.
#[derive(Debug, Default)]
pub(super) struct HiddenCells {
    /// Of these samples of frames of this size.
    samples: Vec<Range<usize>>,
    frame: (u32, u32),
    cells: Vec<u32>,
    around: Vec<u32>,
    total: usize,
}

impl HiddenCells {
    /// Takes in what is hidden of a frame. `true`: other pixels than before.
    pub(super) fn note(
        &mut self,
        samples: &[Range<usize>],
        frame: (u32, u32),
        (width, height): (usize, usize),
    ) -> bool {
        if self.frame == frame && self.samples == samples {
            return false;
        }
        let mut is_hidden = vec![false; width * height];
        let (columns, rows) = (frame.0 as usize, frame.1 as usize);
        // Boxes begin where their share of the side does, rounded down.
        let cell = |at: usize, of: usize, cells: usize| ((at + 1) * cells - 1) / of;
        for range in samples {
            let pixels = range.start / SAMPLES..range.end.div_ceil(SAMPLES).min(columns * rows);
            let mut at = pixels.start;
            while at < pixels.end {
                let (y, left) = (at / columns, at % columns);
                let right = (left + pixels.end - at).min(columns);
                let first = cell(y, rows, height) * width;
                is_hidden[first + cell(left, columns, width)..=first + cell(right - 1, columns, width)]
                    .fill(true);
                at += right - left;
            }
        }
        let find = |is_in: &dyn Fn(usize) -> bool| {
            (0..width * height).filter(|&at| is_in(at)).filter_map(|at| u32::try_from(at).ok()).collect()
        };
        let cells: Vec<u32> = find(&|at| is_hidden[at]);
        let is_new = self.cells != cells;
        self.around = find(&|at| {
            let (x, y) = (at % width, at / width);
            let is_inside = x > 0 && x + 1 < width && y > 0 && y + 1 < height;
            is_inside
                && (y - 1..=y + 1).any(|y| is_hidden[y * width + x - 1..=y * width + x + 1].contains(&true))
        });
        (self.cells, self.total, self.frame) = (cells, width * height, frame);
        self.samples.clear();
        self.samples.extend_from_slice(samples);
        is_new
    }

    /// The pixels that are hidden.
    pub(super) fn cells(&self) -> &[u32] {
        &self.cells
    }

    /// These, and the pixels beside them, but for those along the border: what compares a pixel with its neighbours leaves
    /// them out.
    pub(super) fn around(&self) -> &[u32] {
        &self.around
    }

    /// Share of the picture.
    pub(super) fn share(&self) -> f32 {
        if self.total == 0 { 0.0 } else { self.cells.len() as f32 / self.total as f32 }
    }

    /// Too little is shown to say anything.
    pub(super) const fn hides_all(&self) -> bool {
        !self.cells.is_empty() && (self.total - self.cells.len()) * LEAST_SHOWN < self.total
    }
}

/// What is hidden of a picture, as far as it is there.
pub(super) fn hidden_of<'a, T: Copy>(all: &'a [T], hidden: &'a [u32]) -> impl Iterator<Item = T> + 'a {
    hidden.iter().filter_map(|at| all.get(*at as usize)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_is_hidden_where_a_mask_touches_its_box() {
        let mut hidden = HiddenCells::default();
        // Frames of 8 by 6, whose boxes are 2 by 2; the last two columns of the first row, and all of the last.
        let samples = [6 * SAMPLES..8 * SAMPLES, 40 * SAMPLES..48 * SAMPLES];
        assert!(hidden.note(&samples, (8, 6), (4, 3)));
        assert_eq!(hidden.cells(), [3, 8, 9, 10, 11]);
        assert_eq!(hidden.around(), [5, 6]);
        assert!(!hidden.note(&samples, (8, 6), (4, 3)));
        assert!(hidden.note(&[], (8, 6), (4, 3)) && hidden.cells().is_empty() && !hidden.hides_all());
        let (whole, one) = (0..48 * SAMPLES, 7 * SAMPLES..8 * SAMPLES);
        assert!(hidden.note(&[whole], (8, 6), (4, 3)) && hidden.hides_all());
        assert!(hidden.note(&[one], (7, 6), (5, 4)), "boxes of unequal sizes");
        assert_eq!(hidden.cells(), [5]);
    }
}
