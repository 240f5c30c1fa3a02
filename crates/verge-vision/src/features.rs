//! What the layers of a model make of a picture, for a new head: pictures go through the decoder and the preparation of the gateway,
//! so that training and serving cannot differ.

use verge_engine::{GraphError, RecurrentState, RunError, Runner, TensorView};
use verge_models::FrameModel;

use crate::Picture;
use crate::preprocess::{Preprocess, Region};

/// Reads features. It keeps its buffers; one per worker.
pub struct FeatureReader {
    preprocess: Preprocess,
    runner: Runner,
}

/// Why there are no features.
#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    /// The model did not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A number that is none.
    #[error("tensor {0:?} holds NaN or an infinity")]
    NotFinite(String),
}

impl FeatureReader {
    /// Of a model, and a runner of a copy of it whose outputs are the features.
    ///
    /// # Errors
    /// The library refuses the copy.
    pub fn new(model: &FrameModel, runner: Runner) -> Result<Self, GraphError> {
        Ok(Self { preprocess: Preprocess::new(&model.frames().input, model.width(), model.height()), runner })
    }

    /// The features of a picture, output by output.
    ///
    /// # Errors
    /// See [`FeatureError`].
    pub fn read(&mut self, picture: &Picture) -> Result<Vec<Vec<f32>>, FeatureError> {
        self.preprocess.fill(picture, Region::WHOLE, self.runner.input());
        self.runner.run(&mut RecurrentState::default(), None, |outputs| {
            (0..outputs.count())
                .map(|place| -> Result<Vec<f32>, FeatureError> {
                    let TensorView::F32(numbers) = outputs.get(place)?.1 else {
                        return Err(RunError::unexpected_output(outputs.name(place), "not f32").into());
                    };
                    if numbers.iter().all(|number| number.is_finite()) {
                        Ok(numbers.to_vec())
                    } else {
                        Err(FeatureError::NotFinite(outputs.name(place).to_owned()))
                    }
                })
                .collect()
        })
    }
}

impl std::fmt::Debug for FeatureReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FeatureReader").field("runner", &self.runner).finish_non_exhaustive()
    }
}
