//! Objects in a frame: one file per family of outputs, then suppression, then back to the frame's own pixels.

mod anchors;
mod believed;
mod choice;
mod fastestdet;
mod grid;
mod heatmap;
mod nanodet;
mod nms;
mod rows;
mod tiles;
mod tuple;
mod yolox;

use believed::{Believed, Numbers};
pub(crate) use choice::ObjectChoice;
pub(crate) use nms::overlap;
pub use tiles::SIDE as TILE_SIDE;
pub(crate) use tiles::Tile;
use verge_domain::frame::{Detection, Detections, PixelBox, Score};
use verge_domain::id::Label;
use verge_engine::{Outputs, RunError, TensorView};
use verge_models::card::{BoxUnits, Nms, OutputCard, OutputDecoder, OutputForm, OutputRole};

use crate::elements::{BadOutput, Probabilities, reals};
use crate::preprocess::InputPlacement;

/// Candidates that go into suppression at most, the surest: its cost grows with their square.
const MAX_CANDIDATES: usize = 1000;
/// Outputs that any family has at most.
const MAX_OUTPUTS: usize = 10;
/// Lowest score that counts where neither the judge nor the card sets one.
pub const DEFAULT_SCORE: f32 = 0.25;
/// Objects reported of one frame at most.
pub const MAX_OBJECTS: usize = 100;

/// A box in pixels, its class and score. Corners may lie beyond the frame before they are clipped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CandidateBox {
    /// Left, top, right, bottom.
    pub corners: [f32; 4],
    /// Index among the labels.
    pub label: usize,
    /// How sure the model is.
    pub score: f32,
}

/// Why detections could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The library's outputs cannot be read.
    #[error(transparent)]
    Output(#[from] RunError),
    /// They can, and mean nothing.
    #[error(transparent)]
    Bad(#[from] BadOutput),
}

/// Reads detections of one model. It keeps its buffers; one per worker and model.
#[derive(Debug)]
pub struct ObjectDetector {
    output: OutputCard,
    believed: Believed,
    labels: Vec<Label>,
    /// Of the model's input, in pixels.
    width: u32,
    height: u32,
    scratch: [Vec<f32>; MAX_OUTPUTS],
    best: grid::BestClasses,
    row: Vec<f32>,
    candidates: Vec<CandidateBox>,
    kept: Vec<CandidateBox>,
    /// Of the tiles of a frame so far.
    of_tiles: Vec<CandidateBox>,
}

impl ObjectDetector {
    /// Prepares for outputs of this card, from inputs of this size.
    #[must_use]
    pub fn new(output: OutputCard, labels: Vec<Label>, width: u32, height: u32) -> Self {
        let (advice, beyond) = advice(&output);
        let probabilities = Probabilities::new(output.quantisation, advice);
        #[expect(clippy::cast_precision_loss, reason = "sides of inputs, 4096 at most")]
        let believed = Believed { width: width as f32, height: height as f32, probabilities, advice: beyond };
        let (scratch, best, row, candidates, kept, of_tiles) = Default::default();
        Self { output, believed, labels, width, height, scratch, best, row, candidates, kept, of_tiles }
    }

    /// The objects from `least` on, surest first, in pixels of the frame.
    ///
    /// # Errors
    /// See [`DetectError`].
    pub fn find(
        &mut self,
        outputs: &Outputs<'_, '_>,
        placement: InputPlacement,
        least: f32,
    ) -> Result<&[CandidateBox], DetectError> {
        let mut tensors = [(&[][..], TensorView::F32(&[])); MAX_OUTPUTS];
        let count = outputs.count().min(MAX_OUTPUTS);
        for (index, tensor) in tensors[..count].iter_mut().enumerate() {
            *tensor = outputs.get(index)?;
        }
        Ok(self.find_in(&tensors[..count], placement, least)?)
    }

    /// The same, in shapes and elements of outputs in the order of the card.
    ///
    /// # Errors
    /// They mean nothing.
    pub fn find_in(
        &mut self,
        outputs: &[(&[i64], TensorView<'_>)],
        placement: InputPlacement,
        least: f32,
    ) -> Result<&[CandidateBox], BadOutput> {
        self.candidates.clear();
        let (quantisation, count) = (self.output.quantisation, outputs.len());
        let classes = self.output.classes(self.labels.len());
        let mut numbers = [Numbers::default(); MAX_OUTPUTS];
        for ((into, (shape, elements)), scratch) in numbers.iter_mut().zip(outputs).zip(&mut self.scratch) {
            *into = Numbers { shape, of: reals(*elements, quantisation, scratch) };
        }
        let (believed, background) = (self.believed, self.output.background_of(self.labels.len()));
        let (each, out) = ((classes, least), &mut self.candidates);
        match (&self.output.form, &numbers[..count.min(MAX_OUTPUTS)]) {
            (OutputForm::Heads { strides }, [one]) => {
                heads(strides, believed, (self.width, self.height), classes).decode(one.of, least, out)?;
            }
            (OutputForm::Grid(form), [one]) => grid::decode(form, *one, each, believed, &mut self.best, out)?,
            (OutputForm::Rows(form), [one]) => rows::decode(form, *one, least, believed, out)?,
            (OutputForm::Anchors(form), levels) if levels.len() == form.strides.len() => {
                anchors::decode(form, levels, each, believed, &mut self.row, out)?;
            }
            (OutputForm::Tuple(form), all) => {
                tuple::Boxes { form, background, classes, believed }.decode(all, least, out)?;
            }
            (OutputForm::Heatmap { activation }, all) => {
                heatmap::decode(all, *activation, each, believed, out)?
            }
            (OutputForm::Nanodet(form), all) => nanodet::decode(form, all, each, believed, out)?,
            (OutputForm::Fastestdet, [one]) => fastestdet::decode(*one, each, believed, out)?,
            // The card's check leaves these to others, and no other number of outputs.
            (
                OutputForm::Classes { .. }
                | OutputForm::Image
                | OutputForm::Anomaly(_)
                | OutputForm::Heads { .. }
                | OutputForm::Grid(_)
                | OutputForm::Rows(_)
                | OutputForm::Anchors(_)
                | OutputForm::Fastestdet,
                _,
            ) => return Err(BadOutput::Outputs { found: count }),
        }
        let (offset, labels) = (self.output.label_offset, self.labels.len());
        self.candidates.retain_mut(|candidate| {
            let label = candidate.label.checked_sub(offset).filter(|label| *label < labels);
            let label = label.filter(|_| Some(candidate.label) != background);
            candidate.label = label.unwrap_or_default();
            label.is_some()
        });
        select(&mut self.candidates, self.output.nms);
        for candidate in &mut self.candidates {
            candidate.corners = placement.frame_corners(candidate.corners);
        }
        // What lies wholly beyond what was seen is none.
        self.candidates
            .retain(|CandidateBox { corners: [left, top, right, bottom], .. }| left < right && top < bottom);
        Ok(&self.candidates)
    }

    /// Keeps what was found, for other judges.
    pub(crate) fn keep(&mut self) {
        self.kept.clone_from(&self.candidates);
    }

    /// Finds again what was kept.
    pub(crate) fn recall(&mut self) {
        self.candidates.clone_from(&self.kept);
    }

    /// What a judge reports of what was found last, as findings.
    pub(crate) fn report(&mut self, choice: &ObjectChoice, (width, height): (u32, u32)) -> Detections {
        choice.apply(&mut self.candidates);
        let names = choice.names().unwrap_or(&self.labels);
        let object = |candidate: &CandidateBox| Detection {
            label: names[candidate.label].clone(),
            score: Score::new(candidate.score.clamp(0.0, 1.0)).expect("finite and clamped"),
            area: pixel_box(candidate.corners, width, height),
            track: None,
        };
        let objects = self.candidates.iter().map(object).collect();
        Detections { width, height, objects }
    }

    /// What boxes show against their card's word, whatever the model is sure of.
    pub(crate) fn contradicts(
        &mut self,
        outputs: &Outputs<'_, '_>,
    ) -> Result<Option<Contradiction>, RunError> {
        let classes = self.output.classes(self.labels.len());
        let index = match &self.output.form {
            OutputForm::Tuple(form) => form
                .roles(outputs.count())
                .iter()
                .position(|role| *role == OutputRole::Boxes)
                .unwrap_or_default(),
            _ => 0,
        };
        let boxes = reals(outputs.get(index)?.1, self.output.quantisation, &mut self.scratch[0]);
        let look =
            |strides| heads(strides, self.believed, (self.width, self.height), classes).look_decoded(boxes);
        Ok(match &self.output.form {
            OutputForm::Heads { strides } => (look(strides) == Some(true)).then_some(Contradiction::Decoded),
            OutputForm::Grid(form) if self.output.decoder == OutputDecoder::YoloxDecoded => {
                let is_raw = form.strides.as_ref().is_some_and(|strides| look(strides) == Some(false));
                is_raw.then_some(Contradiction::Raw)
            }
            OutputForm::Tuple(form) if form.roles(outputs.count()).contains(&OutputRole::Scores) => {
                tuple::look_otherwise(boxes, form.units).then_some(match form.units {
                    BoxUnits::Share => Contradiction::Pixels,
                    BoxUnits::Pixels => Contradiction::Shares,
                })
            }
            _ => None,
        })
    }
}

/// What outputs show that their card does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// Boxes of YOLOX in pixels.
    #[error(
        "the card says decoder = \"yolox\", and the boxes look decoded (decode_in_inference): use \"yolox_decoded\""
    )]
    Decoded,
    /// Boxes of YOLOX relative to their cells.
    #[error(
        "the card says decoder = \"yolox_decoded\", and the boxes look as they leave the network: use \"yolox\" with \
         strides"
    )]
    Raw,
    /// Boxes in pixels.
    #[error("the card says that boxes are shares of the sides from 0 to 1, and they look like pixels")]
    Pixels,
    /// Boxes in shares.
    #[error(
        "the card says output.units = \"pixels\", and the boxes look like shares of the sides from 0 to 1"
    )]
    Shares,
}

/// What scores beyond 0 to 1, and boxes far beyond the input, may be.
const fn advice(output: &OutputCard) -> (&'static str, &'static str) {
    match &output.form {
        OutputForm::Heads { .. } => (yolox::ADVICE, yolox::RAW_ADVICE),
        OutputForm::Grid(_) if matches!(output.decoder, OutputDecoder::YoloxDecoded) => {
            (yolox::ADVICE, yolox::DECODED_ADVICE)
        }
        OutputForm::Grid(_) => (grid::ADVICE, grid::BEYOND),
        OutputForm::Rows(_) => (rows::ADVICE, rows::BEYOND),
        OutputForm::Tuple(form) if matches!(form.units, BoxUnits::Share) => (tuple::ADVICE, tuple::IN_PIXELS),
        OutputForm::Tuple(_) => (tuple::ADVICE, tuple::BEYOND),
        OutputForm::Heatmap { .. } => (heatmap::ADVICE, heatmap::BEYOND),
        OutputForm::Nanodet(_) => (nanodet::ADVICE, nanodet::BEYOND),
        OutputForm::Fastestdet => (fastestdet::ADVICE, fastestdet::BEYOND),
        OutputForm::Anchors(_) | OutputForm::Classes { .. } | OutputForm::Image | OutputForm::Anomaly(_) => {
            ("", anchors::BEYOND)
        }
    }
}

/// Heads with these strides, for inputs of this size.
const fn heads(
    strides: &[u32],
    believed: Believed,
    (width, height): (u32, u32),
    classes: usize,
) -> yolox::Heads<'_> {
    yolox::Heads { strides, width, height, classes, believed }
}

/// The surest, without those that mean the same object.
pub fn select(candidates: &mut Vec<CandidateBox>, nms: Option<Nms>) {
    let surest = |a: &CandidateBox, b: &CandidateBox| b.score.total_cmp(&a.score);
    if candidates.len() > MAX_CANDIDATES {
        candidates.select_nth_unstable_by(MAX_CANDIDATES, surest);
        candidates.truncate(MAX_CANDIDATES);
    }
    candidates.sort_by(surest);
    if let Some(nms) = nms {
        nms::suppress(candidates, nms);
    }
    candidates.truncate(MAX_OBJECTS);
}

impl InputPlacement {
    /// Corners in the input to corners in the frame, clipped to what was seen of it.
    pub(crate) fn frame_corners(&self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        let [seen_left, seen_top, seen_right, seen_bottom] = self.seen;
        let across = |x: f32| (x * self.scale_x + self.offset_x).clamp(seen_left, seen_right);
        let down = |y: f32| (y * self.scale_y + self.offset_y).clamp(seen_top, seen_bottom);
        [across(left), down(top), across(right), down(bottom)]
    }
}

/// Whole pixels, at least one, within the frame.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clipped to the frame")]
pub(crate) fn pixel_box([left, top, right, bottom]: [f32; 4], width: u32, height: u32) -> PixelBox {
    let x = (left.round() as u32).min(width.saturating_sub(1));
    let y = (top.round() as u32).min(height.saturating_sub(1));
    let right = (right.round() as u32).clamp(x + 1, width.max(x + 1));
    let bottom = (bottom.round() as u32).clamp(y + 1, height.max(y + 1));
    PixelBox { x, y, width: right - x, height: bottom - y }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_come_back_to_the_frame_and_stay_within_it() {
        // A 200x100 part at (50, 20) of a frame, seen at half its size with 10 pixels of padding in front.
        let placement = InputPlacement {
            scale_x: 2.0,
            scale_y: 2.0,
            offset_x: 50.0 - 20.0,
            offset_y: 20.0,
            seen: [50.0, 20.0, 250.0, 120.0],
        };
        assert_eq!(placement.frame_corners([10.0, 0.0, 60.0, 25.0]), [50.0, 20.0, 150.0, 70.0]);
        assert_eq!(placement.frame_corners([-5.0, -5.0, 999.0, 999.0]), [50.0, 20.0, 250.0, 120.0]);
        let check = |corners, x, y, width, height| {
            assert_eq!(pixel_box(corners, 300, 200), PixelBox { x, y, width, height });
        };
        check([50.4, 19.6, 150.0, 70.0], 50, 20, 100, 50);
        check([299.9, 199.9, 300.0, 200.0], 299, 199, 1, 1);
        check([10.0, 10.0, 10.2, 10.2], 10, 10, 1, 1);
    }
}
