//! Models that reconstruct windows of numbers: numbers in, the same numbers out as far as the model knows them. What it
//! cannot reconstruct it has not seen.
//!
//! Their card is an [`AutoencoderCard`]; models that reconstruct frames have a [`Card`](crate::Card), which says how a
//! frame is laid into their input.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ort::session::{RunOptions, Session as OrtSession};
use ort::value::{TensorElementType, TensorRef, ValueType};

use crate::card::AutoencoderCard;
use crate::model::{ModelError, ModelLimits, check_hash, commit, read_bounded};
use crate::runtime::Runtime;
use crate::session::{RunError, failed, not};
use crate::{onnx, watchdog};

/// Numbers of one window at most.
pub const MAX_WIDTH: usize = 1 << 20;

/// A model that reconstructs, with a session of its own.
pub struct Autoencoder {
    card: AutoencoderCard,
    session: OrtSession,
    options: Arc<RunOptions>,
    output: String,
    shape: [i64; 2],
}

impl fmt::Debug for Autoencoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Autoencoder")
            .field("card", &self.card)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl Autoencoder {
    /// Loads the model that a card describes.
    ///
    /// # Errors
    /// The card or the file cannot be used, or the file has other tensors than one input and one output of single
    /// precision and the same shape, `[1 or free, width]`.
    pub fn load(runtime: &Runtime, card_path: &Path, limits: ModelLimits) -> Result<Self, ModelError> {
        let card = AutoencoderCard::load(card_path)?;
        let path = card_path.parent().unwrap_or(Path::new("")).join(&card.file);
        let bytes = read_bounded(&path, limits.max_file_bytes)?;
        check_hash(card.sha256.as_deref(), &path, &bytes)?;
        onnx::inspect(&bytes).map_err(|source| ModelError::Refused { path: path.clone(), source })?;
        let session = commit(runtime, &bytes, limits.threads)
            .map_err(|reason| ModelError::Load { path: path.clone(), reason })?;
        let differs = |what: &str, file: String| ModelError::Contract {
            path: path.clone(),
            what: what.to_owned(),
            card: "task = \"reconstruct\": one, f32 [1 or free, width]".to_owned(),
            file,
        };
        let ([input], [output]) = (session.inputs(), session.outputs()) else {
            let file = format!("{} and {}", session.inputs().len(), session.outputs().len());
            return Err(differs("inputs and outputs", file));
        };
        let width =
            width(input.dtype()).ok_or_else(|| differs("its input", format!("{:?}", input.dtype())))?;
        if width_of(output.dtype()).is_none_or(|found| found.is_some_and(|found| found != width)) {
            return Err(differs("its output", format!("{:?}, and {width} go in", output.dtype())));
        }
        let output = output.name().to_owned();
        let options = Arc::new(RunOptions::new().expect("options need memory only"));
        let shape = [1, i64::try_from(width).expect("a million at most")];
        Ok(Self { card, session, options, output, shape })
    }

    /// Its card.
    #[must_use]
    pub const fn card(&self) -> &AutoencoderCard {
        &self.card
    }

    /// Numbers of one window.
    #[must_use]
    pub fn width(&self) -> usize {
        self.shape[1] as usize
    }

    /// Mean of the squared differences between a window and what the model makes of it. It is ended where `until`
    /// passes.
    ///
    /// # Errors
    /// See [`RunError`]; a window of another width, or a result that is no number.
    pub fn mean_square_error(&mut self, window: &[f32], until: Option<Instant>) -> Result<f64, RunError> {
        let input = TensorRef::from_array_view((&self.shape[..], window)).map_err(failed)?;
        let guard = until.map(|until| watchdog::watch(until, Arc::clone(&self.options)));
        let result = self.session.run_with_options(ort::inputs![input], &*self.options);
        drop(guard);
        let is_late = until.is_some_and(|until| Instant::now() >= until);
        if is_late {
            self.options.unterminate().map_err(failed)?;
        }
        let values = result.map_err(|error| {
            let reason = error.to_string();
            if is_late && reason.contains("terminate") {
                RunError::Deadline
            } else {
                RunError::Failed(reason)
            }
        })?;
        let value = values.get(&self.output).ok_or_else(|| not(&self.output, "nothing"))?;
        let (_, made) = value.try_extract_tensor::<f32>().map_err(failed)?;
        if made.len() != window.len() {
            return Err(not(&self.output, &format!("{} numbers where {} went in", made.len(), window.len())));
        }
        let squares =
            window.iter().zip(made).map(|(one, other)| (f64::from(*one) - f64::from(*other)).powi(2));
        let mean = squares.sum::<f64>() / window.len() as f64;
        if mean.is_finite() { Ok(mean) } else { Err(not(&self.output, "numbers that are none")) }
    }
}

/// Width of an input `[1 or free, width]` of single precision.
fn width(kind: &ValueType) -> Option<usize> {
    width_of(kind)?.filter(|&width| (1..=MAX_WIDTH).contains(&width))
}

/// Width of such a tensor, as far as the file tells it; `None` for another tensor.
fn width_of(kind: &ValueType) -> Option<Option<usize>> {
    match kind {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => match shape[..] {
            [-1 | 1, width] => Some(usize::try_from(width).ok()),
            _ => None,
        },
        _ => None,
    }
}
