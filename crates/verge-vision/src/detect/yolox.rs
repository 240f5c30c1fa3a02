//! YOLOX heads (Ge et al., "YOLOX: Exceeding YOLO Series in 2021"), exported without their decoding: per cell of
//! each level x, y, width and height relative to the cell, objectness, and one score per class, both after sigmoid.

use super::Candidate;
use crate::classify::BadOutput;

/// Numbers of a cell before its class scores.
const BOX_AND_OBJECTNESS: usize = 5;
/// `exp` beyond this is larger than any frame.
const MAX_EXPONENT: f32 = 12.0;

/// Levels of a model and what stands in their cells.
#[derive(Debug)]
pub(super) struct Heads<'a> {
    pub(super) strides: &'a [u32],
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) classes: usize,
}

impl Heads<'_> {
    /// Decodes `[cells, 5 + classes]`, level by level, row by row: corners in pixels of the input. Of each cell the
    /// best class counts.
    pub(super) fn decode(
        &self,
        elements: &[f32],
        least: f32,
        out: &mut Vec<Candidate>,
    ) -> Result<(), BadOutput> {
        let length = BOX_AND_OBJECTNESS + self.classes;
        let along = |side: u32, stride: u32| (side / stride) as usize;
        let expected: usize =
            self.strides.iter().map(|stride| along(self.width, *stride) * along(self.height, *stride)).sum();
        if elements.len() != expected * length {
            return Err(BadOutput);
        }
        let mut cells = elements.chunks_exact(length);
        for stride in self.strides {
            #[expect(clippy::cast_precision_loss, reason = "pixels of an input, 4096 at most")]
            let step = *stride as f32;
            for y in 0..self.height / stride {
                for x in 0..self.width / stride {
                    let cell = cells.next().ok_or(BadOutput)?;
                    let objectness = cell[4];
                    // Also true of a number that is none: the score could not be reckoned.
                    if objectness.is_nan() {
                        return Err(BadOutput);
                    }
                    // No class can lift the product above it.
                    if objectness < least {
                        continue;
                    }
                    let Some((label, class)) = best(&cell[BOX_AND_OBJECTNESS..]) else {
                        return Err(BadOutput);
                    };
                    let score = objectness * class;
                    if score < least {
                        continue;
                    }
                    #[expect(clippy::cast_precision_loss, reason = "cells of an input")]
                    let (column, row) = (x as f32, y as f32);
                    let centre_x = (cell[0] + column) * step;
                    let centre_y = (cell[1] + row) * step;
                    let half_width = cell[2].min(MAX_EXPONENT).exp() * step / 2.0;
                    let half_height = cell[3].min(MAX_EXPONENT).exp() * step / 2.0;
                    let corners = [
                        centre_x - half_width,
                        centre_y - half_height,
                        centre_x + half_width,
                        centre_y + half_height,
                    ];
                    if !score.is_finite()
                        || cell[..4].iter().any(|number| number.is_nan())
                        || corners.iter().any(|corner| !corner.is_finite())
                    {
                        return Err(BadOutput);
                    }
                    out.push(Candidate { corners, label, score });
                }
            }
        }
        Ok(())
    }
}

/// The best class and its score; `None` where one is no number, or there is none.
fn best(scores: &[f32]) -> Option<(usize, f32)> {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, score) in scores.iter().enumerate() {
        if score.is_nan() {
            return None;
        }
        if *score > best.1 {
            best = (class, *score);
        }
    }
    (best.1 > f32::NEG_INFINITY).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One level of 2 x 1 cells of 8 pixels, two classes.
    const HEADS: Heads<'_> = Heads { strides: &[8], width: 16, height: 8, classes: 2 };
    const EMPTY: [f32; 7] = [0.0, 0.0, 0.0, 0.0, 0.01, 0.5, 0.5];

    fn decode(cells: [[f32; 7]; 2]) -> Result<Vec<Candidate>, BadOutput> {
        let mut out = Vec::new();
        HEADS.decode(&cells.concat(), 0.25, &mut out).map(|()| out)
    }

    #[test]
    fn cells_become_boxes() {
        let found = decode([EMPTY, [0.5, 0.5, 0.0, 2.0_f32.ln(), 0.8, 0.2, 0.9]]).unwrap();
        let [one] = found[..] else { panic!("one object: {found:?}") };
        assert_eq!(one.label, 1);
        assert!((one.score - 0.72).abs() < 1e-6);
        // Centre (0.5 + 1) * 8, 4; width 8, height 16.
        let expected = [8.0, -4.0, 16.0, 12.0];
        assert!(one.corners.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-4));
        assert_eq!(decode([EMPTY, EMPTY]).unwrap(), []);
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let sure = [0.5, 0.5, 0.0, 0.0, 0.9, 0.9, 0.1];
        for position in 0..7 {
            let mut bad = sure;
            bad[position] = f32::NAN;
            assert_eq!(decode([EMPTY, bad]), Err(BadOutput), "at {position}");
        }
        let mut huge = sure;
        huge[2] = f32::INFINITY;
        assert!(decode([EMPTY, huge]).unwrap()[0].corners.iter().all(|corner| corner.is_finite()));
        let mut out = Vec::new();
        assert_eq!(HEADS.decode(&[0.0; 7], 0.25, &mut out), Err(BadOutput), "a cell is missing");
        assert_eq!(HEADS.decode(&[0.0; 21], 0.25, &mut out), Err(BadOutput), "there is one too many");
    }
}
