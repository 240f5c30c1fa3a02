//! Which scores and boxes are believed: a model under a wrong card makes no verdict.

use verge_models::card::{Activation, BoxForm, BoxUnits};

use super::{CandidateBox, DEFAULT_SCORE};
use crate::elements::{BadOutput, Probabilities};

/// Boxes are not larger than this many inputs.
const MOST_INPUTS: f32 = 4.0;

/// An output's shape, the batch included, and its numbers as real ones.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Numbers<'a> {
    pub(super) shape: &'a [i64],
    pub(super) of: &'a [f32],
}

impl Numbers<'_> {
    /// A side of its shape, counted from the last, which is 1; 0 where there is none.
    pub(super) fn side(&self, from_end: usize) -> usize {
        let at = self.shape.len().checked_sub(from_end);
        let side = at.and_then(|at| self.shape.get(at)).copied().unwrap_or_default();
        usize::try_from(side).unwrap_or_default()
    }
}

/// What is believed of one model's outputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Believed {
    /// Of the input, in pixels.
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) probabilities: Probabilities,
    /// What a box far beyond the input may be.
    pub(super) advice: &'static str,
}

impl Believed {
    /// The length of an output that must hold this number of elements.
    pub(super) const fn length(numbers: &[f32], expected: usize) -> Result<(), BadOutput> {
        if numbers.len() == expected {
            Ok(())
        } else {
            Err(BadOutput::Length { found: numbers.len(), expected })
        }
    }

    /// A score as a probability, after what it still needs. Softmax is a matter of a whole row.
    pub(super) fn score(&self, found: f32, activation: Activation) -> Result<f32, BadOutput> {
        match activation {
            Activation::Sigmoid if found.is_nan() => Err(BadOutput::NotFinite),
            Activation::Sigmoid => Ok(sigmoid(found)),
            Activation::None | Activation::Softmax => self.probabilities.check(found).map(|()| found),
        }
    }

    /// Takes a box by its four numbers.
    pub(super) fn take(
        &self,
        numbers: [f32; 4],
        (form, units): (BoxForm, BoxUnits),
        object: (usize, f32),
        out: &mut Vec<CandidateBox>,
    ) -> Result<(), BadOutput> {
        let (across, down) = match units {
            BoxUnits::Pixels => (1.0, 1.0),
            BoxUnits::Share => (self.width, self.height),
        };
        let [a, b, c, d] = numbers;
        match form {
            BoxForm::Xyxy => self.corners([a * across, b * down, c * across, d * down], object, out),
            BoxForm::Yxyx => self.corners([b * across, a * down, d * across, c * down], object, out),
            BoxForm::Cxcywh => self.centred([a * across, b * down], [c * across, d * down], object, out),
        }
    }

    /// Takes a box whose corners lie within a picture's size of the picture: what is cut off at its edge reaches beyond
    /// it, by less. One far beyond it is refused, or left out where the model is hardly sure.
    pub(super) fn corners(
        &self,
        corners: [f32; 4],
        object: (usize, f32),
        out: &mut Vec<CandidateBox>,
    ) -> Result<(), BadOutput> {
        let is_near = |at: usize| self.is_near(corners[at], at % 2);
        self.near(corners, is_near, corners, object, out)
    }

    /// The same of its centre, width and height.
    pub(super) fn centred(
        &self,
        [x, y]: [f32; 2],
        [width, height]: [f32; 2],
        object: (usize, f32),
        out: &mut Vec<CandidateBox>,
    ) -> Result<(), BadOutput> {
        let numbers = [x, y, width, height];
        let is_sized = |at: usize| (0.0..=MOST_INPUTS * self.side(at % 2)).contains(&numbers[at]);
        let is_good = |at: usize| if at < 2 { self.is_near(numbers[at], at) } else { is_sized(at) };
        let (right, bottom) = (width / 2.0, height / 2.0);
        self.near(numbers, is_good, [x - right, y - bottom, x + right, y + bottom], object, out)
    }

    const fn side(&self, axis: usize) -> f32 {
        if axis == 0 { self.width } else { self.height }
    }

    fn is_near(&self, number: f32, axis: usize) -> bool {
        let side = self.side(axis);
        (-side..=2.0 * side).contains(&number)
    }

    fn near(
        &self,
        numbers: [f32; 4],
        is_good: impl Fn(usize) -> bool,
        corners: [f32; 4],
        (label, score): (usize, f32),
        out: &mut Vec<CandidateBox>,
    ) -> Result<(), BadOutput> {
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(BadOutput::NotFinite);
        }
        match (0..4).find(|at| !is_good(*at)) {
            None => {
                out.push(CandidateBox { corners, label, score });
                Ok(())
            }
            Some(_) if score < DEFAULT_SCORE => Ok(()),
            Some(at) => Err(BadOutput::Beyond { found: numbers[at], advice: self.advice }),
        }
    }
}

/// The logistic function.
pub(super) fn sigmoid(number: f32) -> f32 {
    1.0 / (1.0 + (-number).exp())
}

/// The best class and its score; `None` where one is no number, or there is none.
pub(super) fn best(scores: &[f32]) -> Option<(usize, f32)> {
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

/// A class by its number; `None` where it is negative, as rows that only pad have it.
pub(super) fn class_of(number: f32) -> Result<Option<usize>, BadOutput> {
    if !number.is_finite() {
        return Err(BadOutput::NotFinite);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let class = (number >= 0.0).then(|| number.round() as usize);
    Ok(class)
}

#[expect(clippy::cast_precision_loss, reason = "cells and pixels of an input, 4096 at most")]
pub(super) const fn real(whole: usize) -> f32 {
    whole as f32
}
