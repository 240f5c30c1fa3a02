//! A model as the library simplifies it: constants folded, batch norms folded into convolutions, what does nothing left out;
//! its operators stay standard ones, its opset stays. Whoever edits a model finds the same few shapes of it that way.

use bytes::Bytes;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use crate::onnx::{self, OnnxError};
use crate::quote::quoted;
use crate::runtime::Runtime;
use crate::staged::TrialFolder;

/// Why a model was not simplified.
#[derive(Debug, thiserror::Error)]
pub enum BasicError {
    /// It is refused before the library sees it.
    #[error(transparent)]
    Refused(#[from] OnnxError),
    /// The library refuses it.
    #[error("ONNX Runtime refuses it, and says: {0}")]
    Library(String),
    /// The simplified model goes through a file.
    #[error("{0}, in the folder for temporary files")]
    File(#[from] std::io::Error),
}

/// Simplifies a model.
///
/// # Errors
/// See [`BasicError`].
pub fn simplified(runtime: &Runtime, bytes: &Bytes) -> Result<Bytes, BasicError> {
    onnx::inspect(bytes)?;
    let folder = TrialFolder::new()?;
    let path = folder.path().join("simplified.onnx");
    let commit = || -> ort::Result<Session> {
        let mut builder = Session::builder(runtime.environment())?
            // Beyond this level operators of other domains come in, and those of this machine.
            .with_optimization_level(GraphOptimizationLevel::Level1)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_optimized_model_path(&path)?;
        builder.commit_from_memory(bytes)
    };
    commit().map_err(|error| BasicError::Library(quoted(&error.to_string())))?;
    Ok(Bytes::from(std::fs::read(&path)?))
}
