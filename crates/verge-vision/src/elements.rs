//! Elements of outputs as real numbers, and what of them is believed.

use verge_engine::TensorView;
use verge_models::card::Quantisation;

/// An output that means nothing under its card.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum BadOutput {
    /// As many numbers as its card cannot mean.
    #[error("the output holds {found} numbers, its card means {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many its card means.
        expected: usize,
    },
    /// More or fewer outputs than the decoder reads.
    #[error("{found} outputs, which the decoder does not read")]
    Outputs {
        /// How many there are.
        found: usize,
    },
    /// NaN or an infinity.
    #[error("the output holds NaN or an infinity")]
    NotFinite,
    /// Beyond 0 to 1.
    #[error("the output holds {found} where a probability from 0 to 1 is expected: {advice}")]
    NotProbability {
        /// What stands there.
        found: f32,
        /// What may be meant.
        advice: &'static str,
    },
    /// A score of how unusual a frame is, below zero.
    #[error(
        "the output holds {found}, and how unusual a frame is begins at 0: shift it with output.quantisation = \
         {{ scale = 1.0, zero_point = -1 }} (FastFlow without normalisation lies from -1 to 0)"
    )]
    Negative {
        /// What stands there.
        found: f32,
    },
    /// A box far beyond the input.
    #[error("the output places a box at {found}, far beyond the picture: {advice}")]
    Beyond {
        /// What stands there.
        found: f32,
        /// What may be meant.
        advice: &'static str,
    },
}

/// How far a probability may pass 0 or 1: as far as half precision does after a softmax.
const ROUNDING: f32 = 1e-3;

/// Which numbers an output's card takes for probabilities.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probabilities {
    slack: f32,
    advice: &'static str,
}

impl Probabilities {
    /// Those of an output quantised like this; `advice` says what other numbers may be.
    pub(crate) fn new(quantisation: Option<Quantisation>, advice: &'static str) -> Self {
        // Quantised ones may pass 1 by a step.
        Self { slack: quantisation.map_or(0.0, |q| q.scale).max(ROUNDING), advice }
    }

    /// Checks one; NaN is none.
    pub(crate) fn check(&self, found: f32) -> Result<(), BadOutput> {
        if (-self.slack..=1.0 + self.slack).contains(&found) {
            return Ok(());
        }
        if found.is_finite() {
            return Err(BadOutput::NotProbability { found, advice: self.advice });
        }
        Err(BadOutput::NotFinite)
    }
}

/// The elements as single-precision numbers: borrowed where they are, else written to `scratch`.
pub(crate) fn reals<'a>(
    view: TensorView<'a>,
    quantisation: Option<Quantisation>,
    scratch: &'a mut Vec<f32>,
) -> &'a [f32] {
    #[expect(clippy::cast_precision_loss, reason = "zero points of bytes")]
    let (scale, zero) = quantisation.map_or((1.0, 0.0), |q| (q.scale, q.zero_point as f32));
    let real = |element: f32| (element - zero) * scale;
    scratch.clear();
    match view {
        TensorView::F32(data) if quantisation.is_none() => return data,
        TensorView::F32(data) => scratch.extend(data.iter().map(|element| real(*element))),
        TensorView::F16(data) => scratch.extend(data.iter().map(|element| real(element.to_f32()))),
        TensorView::U8(data) => scratch.extend(data.iter().map(|element| real(f32::from(*element)))),
        TensorView::I8(data) => scratch.extend(data.iter().map(|element| real(f32::from(*element)))),
        TensorView::F64(data) => scratch.extend(data.iter().map(|element| real(single(*element)))),
        TensorView::I32(data) => scratch.extend(data.iter().map(|element| real(single(f64::from(*element))))),
        #[expect(
            clippy::cast_precision_loss,
            reason = "classes and counts are small; others need not be exact"
        )]
        TensorView::I64(data) => scratch.extend(data.iter().map(|element| real(*element as f32))),
    }
    scratch
}

/// The nearest number of single precision; an infinity beyond all of them.
#[expect(clippy::cast_possible_truncation, reason = "what is beyond becomes an infinity, which is refused")]
const fn single(element: f64) -> f32 {
    element as f32
}
