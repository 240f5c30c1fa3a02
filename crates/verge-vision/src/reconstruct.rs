//! What a model that reconstructs makes of a frame: how far that is from what it was shown.

use verge_engine::Outputs;
use verge_models::card::Quantisation;

use crate::elements::{BadOutput, reals};
use crate::viewer::InferenceError;

/// Compares what goes in with what comes out.
pub(crate) struct Comparison {
    input: Option<Quantisation>,
    output: Option<Quantisation>,
    shown: Vec<f32>,
    made: Vec<f32>,
}

impl Comparison {
    pub(crate) fn new(input: Option<Quantisation>, output: Option<Quantisation>) -> Self {
        Self { input, output, shown: Vec::new(), made: Vec::new() }
    }

    /// Mean of the squared differences over all elements, in the numbers that the model works with; finite and at
    /// least zero. What pads a frame counts like the rest of it.
    pub(crate) fn mean_square_error(&mut self, outputs: &Outputs<'_, '_>) -> Result<f64, InferenceError> {
        let (_, made) = outputs.get(0)?;
        let shown = reals(outputs.input(), self.input, &mut self.shown);
        let made = reals(made, self.output, &mut self.made);
        if shown.len() != made.len() || shown.is_empty() {
            return Err(BadOutput::Length { found: made.len(), expected: shown.len() }.into());
        }
        let squares =
            shown.iter().zip(made).map(|(one, other)| (f64::from(*one) - f64::from(*other)).powi(2));
        let mean = squares.sum::<f64>() / shown.len() as f64;
        if mean.is_finite() { Ok(mean) } else { Err(BadOutput::NotFinite.into()) }
    }
}
