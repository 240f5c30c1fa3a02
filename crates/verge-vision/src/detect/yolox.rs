//! YOLOX heads (Ge et al., "YOLOX: Exceeding YOLO Series in 2021"): per cell of each level centre and size, objectness,
//! and one score per class, both after sigmoid; centre and size are relative to the cell. Exported with their decoding
//! (`decode_in_inference`) they are a [grid](super::grid).

use verge_models::card::Activation;

use super::CandidateBox;
use super::believed::{Believed, best};
use crate::elements::BadOutput;

/// Numbers of a cell before its class scores.
const BOX_AND_OBJECTNESS: usize = 5;
/// `exp` beyond this is larger than any frame.
const MAX_EXPONENT: f32 = 12.0;

/// What numbers beyond 0 to 1 may be.
pub(super) const ADVICE: &str =
    "objectness and scores of yolox are read after sigmoid, so export the model with it";
/// What boxes far beyond the input may be.
pub(super) const RAW_ADVICE: &str =
    "if the model was exported with its decoding (decode_in_inference), its decoder is \"yolox_decoded\"";
pub(super) const DECODED_ADVICE: &str =
    "if the model was exported without its decoding, its decoder is \"yolox\", with strides";

/// Levels of a model and what stands in their cells.
#[derive(Debug)]
pub(super) struct Heads<'a> {
    pub(super) strides: &'a [u32],
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) classes: usize,
    pub(super) believed: Believed,
}

/// Where a cell lies: its column and row, and its side in pixels.
struct Cell {
    column: f32,
    row: f32,
    side: f32,
}

impl Heads<'_> {
    /// Decodes `[cells, 5 + classes]`, level by level, row by row: corners in pixels of the input. Of each cell the
    /// best class counts.
    pub(super) fn decode(
        &self,
        elements: &[f32],
        least: f32,
        out: &mut Vec<CandidateBox>,
    ) -> Result<(), BadOutput> {
        let length = BOX_AND_OBJECTNESS + self.classes;
        Believed::length(elements, self.cells().count() * length)?;
        let rows = elements.chunks_exact(length);
        for (numbers, cell) in rows.zip(self.cells()) {
            if let Some((label, score)) = self.surest(numbers, least)? {
                let centre = [(numbers[0] + cell.column) * cell.side, (numbers[1] + cell.row) * cell.side];
                let size = [numbers[2], numbers[3]].map(|side| side.min(MAX_EXPONENT).exp() * cell.side);
                // `min` passes over NaN.
                if numbers[2].is_nan() || numbers[3].is_nan() {
                    return Err(BadOutput::NotFinite);
                }
                self.believed.centred(centre, size, (label, score), out)?;
            }
        }
        Ok(())
    }

    /// All cells in the order in which they stand.
    fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.strides.iter().flat_map(|stride| {
            let (columns, rows) = (self.width / stride, self.height / stride);
            #[expect(clippy::cast_precision_loss, reason = "cells and pixels of an input, 4096 at most")]
            let cell = move |column: u32, row: u32| Cell {
                column: column as f32,
                row: row as f32,
                side: *stride as f32,
            };
            (0..rows).flat_map(move |row| (0..columns).map(move |column| cell(column, row)))
        })
    }

    /// Class and score of a cell, where it is sure enough.
    fn surest(&self, numbers: &[f32], least: f32) -> Result<Option<(usize, f32)>, BadOutput> {
        let objectness = self.believed.score(numbers[4], Activation::None)?;
        // No class can lift the product above it.
        if objectness < least {
            return Ok(None);
        }
        let (label, class) = best(&numbers[BOX_AND_OBJECTNESS..]).ok_or(BadOutput::NotFinite)?;
        let score = objectness * self.believed.score(class, Activation::None)?;
        Ok((score >= least).then_some((label, score)))
    }

    /// Whether the centres look as if they were pixels of the input, whatever the card says; `None` where that is
    /// not known. Of any picture, centres lie near their cells: in cells from 0 to 1, in pixels where the cell is.
    pub(super) fn look_decoded(&self, elements: &[f32]) -> Option<bool> {
        /// A centre may be as far off as this, in cells.
        const FAR: f32 = 8.0;
        /// Fewer cells say nothing.
        const LEAST: usize = 16;
        /// The better fit is better by this.
        const BETTER: f32 = 4.0;
        let length = BOX_AND_OBJECTNESS + self.classes;
        let (mut count, mut raw, mut decoded) = (0, 0.0, 0.0);
        for (numbers, cell) in elements.chunks_exact(length).zip(self.cells()) {
            // What a network leaves empty.
            if numbers[..4].iter().all(|number| *number == 0.0) {
                continue;
            }
            let off = |found: f32, expected: f32| (found - expected).abs().min(FAR);
            raw += off(numbers[0], 0.5) + off(numbers[1], 0.5);
            decoded += off(numbers[0] / cell.side, cell.column + 0.5);
            decoded += off(numbers[1] / cell.side, cell.row + 0.5);
            count += 1;
        }
        match (raw, decoded) {
            _ if count < LEAST => None,
            (raw, decoded) if BETTER * decoded < raw => Some(true),
            (raw, decoded) if BETTER * raw < decoded => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::Probabilities;

    /// One level of 2 x 1 cells of 8 pixels, two classes.
    fn heads() -> Heads<'static> {
        let probabilities = Probabilities::new(None, ADVICE);
        let believed = Believed { width: 16.0, height: 8.0, probabilities, advice: RAW_ADVICE };
        Heads { strides: &[8], width: 16, height: 8, classes: 2, believed }
    }

    const EMPTY: [f32; 7] = [0.0, 0.0, 0.0, 0.0, 0.01, 0.5, 0.5];

    fn decode(cells: [[f32; 7]; 2]) -> Result<Vec<CandidateBox>, BadOutput> {
        let mut out = Vec::new();
        heads().decode(&cells.concat(), 0.25, &mut out).map(|()| out)
    }

    #[track_caller]
    fn one_box(found: &[CandidateBox], expected: [f32; 4]) {
        let [one] = found else { panic!("one object: {found:?}") };
        assert_eq!(one.label, 1);
        assert!((one.score - 0.72).abs() < 1e-6);
        let is_near = |(found, expected): (&f32, f32)| (found - expected).abs() < 1e-4;
        assert!(one.corners.iter().zip(expected).all(is_near), "{one:?}");
    }

    #[test]
    fn cells_become_boxes() {
        // Centre (0.5 + 1) * 8, 4; width 8, height 16.
        let found = decode([EMPTY, [0.5, 0.5, 0.0, 2.0_f32.ln(), 0.8, 0.2, 0.9]]).unwrap();
        one_box(&found, [8.0, -4.0, 16.0, 12.0]);
        assert_eq!(decode([EMPTY, EMPTY]).unwrap(), []);
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let sure = [0.5, 0.5, 0.0, 0.0, 0.9, 0.9, 0.1];
        for position in 0..7 {
            let mut bad = sure;
            bad[position] = f32::NAN;
            assert_eq!(decode([EMPTY, bad]), Err(BadOutput::NotFinite), "at {position}");
        }
        let mut out = Vec::new();
        for length in [7, 21] {
            let short = heads().decode(&vec![0.0; length], 0.25, &mut out);
            assert_eq!(short, Err(BadOutput::Length { found: length, expected: 14 }));
        }
    }

    #[test]
    fn numbers_out_of_range_are_not_believed() {
        let beyond = |bad: [f32; 7]| decode([EMPTY, bad]).unwrap_err().to_string();
        // Pixels where cells are expected.
        let pixels = beyond([32.0, 32.0, 20.0, 20.0, 0.9, 0.9, 0.1]);
        assert!(pixels.contains("\"yolox_decoded\""), "{pixels}");
        let huge = beyond([0.5, 0.5, f32::INFINITY, 0.0, 0.9, 0.9, 0.1]);
        assert!(huge.contains("far beyond"), "{huge}");
        // A box that the model is hardly sure of is none.
        assert_eq!(decode([EMPTY, [32.0, 0.5, 0.0, 0.0, 0.5, 0.45, 0.1]]), Ok(vec![]));
        // Before sigmoid.
        for bad in [
            [0.5, 0.5, 0.0, 0.0, 4.0, 0.9, 0.1],
            [0.5, 0.5, 0.0, 0.0, -8.0, 0.9, 0.1],
            [0.5, 0.5, 0.0, 0.0, 0.9, 3.0, 0.1],
        ] {
            let logits = beyond(bad);
            assert!(logits.contains("after sigmoid"), "{logits}");
        }
    }

    #[test]
    fn centres_say_whether_they_were_decoded() {
        let heads = Heads { strides: &[8, 16], width: 64, height: 64, ..heads() };
        let numbers = |number: &dyn Fn(&Cell) -> [f32; 2]| -> Vec<f32> {
            heads
                .cells()
                .flat_map(|cell| {
                    let [x, y] = number(&cell);
                    [x, y, 1.0, 1.0, 0.01, 0.5, 0.5]
                })
                .collect()
        };
        let raw = numbers(&|cell| [0.3 + cell.row * 0.05, 0.7]);
        assert_eq!(heads.look_decoded(&raw), Some(false));
        let decoded = numbers(&|cell| [(cell.column + 0.3) * cell.side, (cell.row + 0.8) * cell.side]);
        assert_eq!(heads.look_decoded(&decoded), Some(true));
        assert_eq!(heads.look_decoded(&numbers(&|_| [300.0, -90.0])), None);
        assert_eq!(heads.look_decoded(&[0.0; 70 * 7]), None);
    }
}
