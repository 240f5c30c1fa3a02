//! Objects in a frame: one file per family of outputs, then suppression, then back to the frame's own pixels.

mod nms;
mod ssd;
mod yolox;

use verge_domain::frame::{Detection, Detections, PixelBox, Score};
use verge_domain::id::Label;
use verge_engine::{Outputs, RunError, TensorView};
use verge_models::card::{Corners, Nms, OutputCard, OutputDecoder};

use crate::elements::{BadOutput, Probabilities, reals};
use crate::preprocess::InputPlacement;

/// Candidates that go into suppression at most, the surest: its cost grows with their square.
const MAX_CANDIDATES: usize = 1000;
/// Outputs that any family has at most.
const MAX_OUTPUTS: usize = 4;
/// Lowest score that counts where neither the judge nor the card sets one.
pub const DEFAULT_SCORE: f32 = 0.25;
/// Objects reported of one frame at most.
pub const MAX_OBJECTS: usize = 100;

/// A box in pixels, its class and score. Corners may lie beyond the frame before they are clipped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
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
    believed: Probabilities,
    labels: Vec<Label>,
    /// Of the model's input, in pixels.
    width: u32,
    height: u32,
    scratch: [Vec<f32>; MAX_OUTPUTS],
    candidates: Vec<Candidate>,
}

impl ObjectDetector {
    /// Prepares for outputs of this card, from inputs of this size.
    #[must_use]
    pub fn new(output: OutputCard, labels: Vec<Label>, width: u32, height: u32) -> Self {
        let advice = if output.decoder == OutputDecoder::Ssd { ssd::ADVICE } else { yolox::ADVICE };
        let believed = Probabilities::new(output.quantisation, advice);
        let (scratch, candidates) = Default::default();
        Self { output, believed, labels, width, height, scratch, candidates }
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
    ) -> Result<&[Candidate], DetectError> {
        let mut tensors = [TensorView::F32(&[]); MAX_OUTPUTS];
        let count = outputs.count().min(MAX_OUTPUTS);
        for (index, tensor) in tensors[..count].iter_mut().enumerate() {
            *tensor = outputs.get(index)?.1;
        }
        Ok(self.find_in(&tensors[..count], placement, least)?)
    }

    /// The same, in the elements of outputs in the order of the card.
    ///
    /// # Errors
    /// They mean nothing.
    pub fn find_in(
        &mut self,
        outputs: &[TensorView<'_>],
        placement: InputPlacement,
        least: f32,
    ) -> Result<&[Candidate], BadOutput> {
        self.candidates.clear();
        let quantisation = self.output.quantisation;
        let classes = self.labels.len() + self.output.label_offset;
        let [first, second, third, fourth] = &mut self.scratch;
        match (self.output.decoder, outputs) {
            (OutputDecoder::Yolox | OutputDecoder::YoloxDecoded, [elements]) => {
                let heads = heads(&self.output, self.believed, (self.width, self.height), classes);
                heads.decode(reals(*elements, quantisation, first), least, &mut self.candidates)?;
            }
            (OutputDecoder::Ssd, [corners, rest @ ..]) => {
                let boxes = ssd::Boxes {
                    corners: self.output.corners.unwrap_or(Corners::Xyxy),
                    background: self.output.background,
                    classes,
                    believed: self.believed,
                };
                let corners = reals(*corners, quantisation, first);
                match rest {
                    [scores] => {
                        let scores = reals(*scores, quantisation, second);
                        boxes.scored(corners, scores, least, &mut self.candidates)?;
                    }
                    [classes, scores, count] => {
                        let classes = reals(*classes, quantisation, second);
                        let scores = reals(*scores, quantisation, third);
                        let count = reals(*count, quantisation, fourth);
                        boxes.selected(corners, classes, scores, count, least, &mut self.candidates)?;
                    }
                    _ => return Err(BadOutput::Outputs { found: outputs.len() }),
                }
                for candidate in &mut self.candidates {
                    candidate.corners = scaled(candidate.corners, self.width, self.height);
                }
            }
            // The card's check leaves these to others, and no other number of outputs.
            (
                OutputDecoder::Probabilities
                | OutputDecoder::Logits
                | OutputDecoder::Yolox
                | OutputDecoder::YoloxDecoded
                | OutputDecoder::Ssd
                | OutputDecoder::Reconstruction,
                _,
            ) => return Err(BadOutput::Outputs { found: outputs.len() }),
        }
        let (offset, labels) = (self.output.label_offset, self.labels.len());
        self.candidates.retain_mut(|candidate| {
            let label = candidate.label.checked_sub(offset).filter(|label| *label < labels);
            candidate.label = label.unwrap_or_default();
            label.is_some()
        });
        select(&mut self.candidates, self.output.nms);
        for candidate in &mut self.candidates {
            candidate.corners = placement.frame_corners(candidate.corners);
        }
        // What lies wholly beyond what was seen is none.
        self.candidates
            .retain(|Candidate { corners: [left, top, right, bottom], .. }| left < right && top < bottom);
        Ok(&self.candidates)
    }

    /// The same, as findings.
    ///
    /// # Errors
    /// See [`DetectError`].
    pub fn detect(
        &mut self,
        outputs: &Outputs<'_, '_>,
        placement: InputPlacement,
        least: f32,
        (width, height): (u32, u32),
    ) -> Result<Detections, DetectError> {
        self.find(outputs, placement, least)?;
        let object = |candidate: &Candidate| Detection {
            label: self.labels[candidate.label].clone(),
            score: Score::new(candidate.score.clamp(0.0, 1.0)).expect("finite and clamped"),
            area: pixel_box(candidate.corners, width, height),
            track: None,
        };
        let objects = self.candidates.iter().map(object).collect();
        Ok(Detections { width, height, objects })
    }

    /// What boxes, the first output, show against their card's word, whatever the model is sure of.
    pub(crate) fn contradicts(&mut self, boxes: TensorView<'_>) -> Option<Contradiction> {
        let classes = self.labels.len() + self.output.label_offset;
        let heads = heads(&self.output, self.believed, (self.width, self.height), classes);
        let boxes = reals(boxes, self.output.quantisation, &mut self.scratch[0]);
        match self.output.decoder {
            OutputDecoder::Yolox => {
                (heads.look_decoded(boxes) == Some(true)).then_some(Contradiction::Decoded)
            }
            OutputDecoder::YoloxDecoded => {
                (heads.look_decoded(boxes) == Some(false)).then_some(Contradiction::Raw)
            }
            OutputDecoder::Ssd => ssd::look_like_pixels(boxes).then_some(Contradiction::Pixels),
            OutputDecoder::Probabilities | OutputDecoder::Logits | OutputDecoder::Reconstruction => None,
        }
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
    /// Boxes of SSD in pixels.
    #[error(
        "the card says decoder = \"ssd\", whose corners are shares of the sides from 0 to 1, and the boxes look like pixels"
    )]
    Pixels,
}

/// The heads of a card, for inputs of this size.
fn heads(
    output: &OutputCard,
    believed: Probabilities,
    (width, height): (u32, u32),
    classes: usize,
) -> yolox::Heads<'_> {
    let strides = output.strides.as_deref().unwrap_or_default();
    yolox::Heads {
        strides,
        width,
        height,
        classes,
        is_decoded: output.decoder == OutputDecoder::YoloxDecoded,
        believed,
    }
}

/// The surest, without those that mean the same object.
pub fn select(candidates: &mut Vec<Candidate>, nms: Option<Nms>) {
    let surest = |a: &Candidate, b: &Candidate| b.score.total_cmp(&a.score);
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

/// Shares of the input's sides to its pixels.
fn scaled([left, top, right, bottom]: [f32; 4], width: u32, height: u32) -> [f32; 4] {
    #[expect(clippy::cast_precision_loss, reason = "sides of inputs, 4096 at most")]
    let (width, height) = (width as f32, height as f32);
    [left * width, top * height, right * width, bottom * height]
}

impl InputPlacement {
    /// Corners in the input to corners in the frame, clipped to what was seen of it.
    fn frame_corners(&self, [left, top, right, bottom]: [f32; 4]) -> [f32; 4] {
        let [seen_left, seen_top, seen_right, seen_bottom] = self.seen;
        let across = |x: f32| (x * self.scale_x + self.offset_x).clamp(seen_left, seen_right);
        let down = |y: f32| (y * self.scale_y + self.offset_y).clamp(seen_top, seen_bottom);
        [across(left), down(top), across(right), down(bottom)]
    }
}

/// Whole pixels, at least one, within the frame.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clipped to the frame")]
fn pixel_box([left, top, right, bottom]: [f32; 4], width: u32, height: u32) -> PixelBox {
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
