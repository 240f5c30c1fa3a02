//! Models that reconstruct windows of numbers: numbers in, the same numbers out as far as the model knows them. What it
//! cannot reconstruct it has not seen.
//!
//! Their card is an [`AutoencoderCard`]; models that reconstruct frames have a [`Card`](crate::Card), which says how a
//! frame is laid into their input.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ort::session::{RunOptions, Session as OrtSession};
use ort::value::{TensorElementType, TensorRef, ValueType};

use crate::card::AutoencoderCard;
use crate::model::{ModelError, ModelLimits, check_hash, commit, read_bounded};
use crate::runtime::Runtime;
use crate::session::{RunError, TensorView, failed, not, view};
use crate::{onnx, watchdog};

/// Numbers of one window at most.
pub const MAX_WIDTH: usize = 1 << 20;

/// A model that reconstructs, with a session of its own.
pub struct Autoencoder {
    card: AutoencoderCard,
    session: OrtSession,
    options: Arc<RunOptions>,
    output: String,
    shape: Vec<i64>,
    width: usize,
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
    /// The card or the file cannot be used, or the file has other tensors than one input of single precision, a row of
    /// numbers such as `[1 or free, width]`, `[1, 1, width]` or `[1, width, 1]`, and one output of as many.
    pub fn load(runtime: &Runtime, card_path: &Path, limits: ModelLimits) -> Result<Self, ModelError> {
        let card = AutoencoderCard::load(card_path)?;
        let path = card_path.parent().unwrap_or(Path::new("")).join(&card.file);
        let bytes = read_bounded(&path, limits.max_file_bytes)?;
        check_hash(card.sha256.as_deref(), &path, &bytes)?;
        onnx::inspect(&bytes).map_err(|source| ModelError::Refused { path: path.clone(), source })?;
        let session = commit(runtime, &bytes, limits.threads)
            .map_err(|reason| ModelError::Load { path: path.clone(), reason })?;
        let differs = |what: &str, file: String| {
            ModelError::Contract {
            path: path.clone(),
            what: what.to_owned(),
            card: "task = \"reconstruct\": one, f32, as many numbers out as go in, in a row: [1 or free, width], with \
                   further sides of 1"
                .to_owned(),
            file,
        }
        };
        let ([input], [output]) = (session.inputs(), session.outputs()) else {
            let file = format!("{} and {}", session.inputs().len(), session.outputs().len());
            return Err(differs("inputs and outputs", file));
        };
        let shape =
            input_shape(input.dtype()).ok_or_else(|| differs("its input", described(input.dtype())))?;
        let width = shape.iter().product::<i64>();
        if !gives(output.dtype(), width) {
            return Err(differs("its output", format!("{}, and {width} go in", described(output.dtype()))));
        }
        let output = output.name().to_owned();
        let options = Arc::new(RunOptions::new().expect("options need memory only"));
        let width = usize::try_from(width).expect("a million at most");
        Ok(Self { card, session, options, output, shape, width })
    }

    /// Its card.
    #[must_use]
    pub const fn card(&self) -> &AutoencoderCard {
        &self.card
    }

    /// Numbers of one window.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
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
        let (_, made) = view(&self.output, value)?;
        if made.len() != window.len() {
            return Err(not(&self.output, &format!("{} numbers where {} went in", made.len(), window.len())));
        }
        let window = window.iter().copied().map(f64::from);
        let squares: f64 = match made {
            TensorView::F32(made) => {
                window.zip(made).map(|(one, other)| (one - f64::from(*other)).powi(2)).sum()
            }
            TensorView::F64(made) => window.zip(made).map(|(one, other)| (one - other).powi(2)).sum(),
            other => return Err(not(&self.output, other.element())),
        };
        let mean = squares / made.len() as f64;
        if mean.is_finite() { Ok(mean) } else { Err(not(&self.output, "numbers that are none")) }
    }

    /// Lets it reconstruct one window of no meaning, a gentle wave around one half, and tells how long that took. A
    /// constant would be no number to models that divide by the window's deviation.
    ///
    /// # Errors
    /// See [`RunError`].
    pub fn try_out(&mut self, until: Option<Instant>) -> Result<Duration, RunError> {
        #[expect(clippy::cast_precision_loss, reason = "a million at most")]
        let window: Vec<f32> = (0..self.width).map(|at| 0.5 + 0.1 * (at as f32).sin()).collect();
        let began = Instant::now();
        self.mean_square_error(&window, until)?;
        Ok(began.elapsed())
    }
}

/// Shape of one run of an input of single precision: a batch of one, and a row of numbers within sides of 1. `None` for
/// another tensor.
fn input_shape(kind: &ValueType) -> Option<Vec<i64>> {
    let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = kind else { return None };
    let mut shape = shape.to_vec();
    if let [batch @ -1, _, ..] = &mut shape[..] {
        *batch = 1;
    }
    let width = shape.iter().copied().try_fold(1_i64, |product, side| match (product, side) {
        (product, 1) => Some(product),
        (1, side) if side > 0 => Some(side),
        _ => None,
    })?;
    usize::try_from(width).is_ok_and(|width| width <= MAX_WIDTH).then_some(shape)
}

/// Whether an output may give so many numbers, as far as the file tells it.
fn gives(kind: &ValueType, width: i64) -> bool {
    let ValueType::Tensor { ty: TensorElementType::Float32 | TensorElementType::Float64, shape, .. } = kind
    else {
        return false;
    };
    let known = shape.iter().copied().filter(|side| *side >= 0);
    let product = known.clone().try_fold(1_i64, i64::checked_mul);
    match known.count() == shape.len() {
        true => product == Some(width),
        // What is left free makes up for the rest.
        false => product.is_some_and(|product| product > 0 && width % product == 0),
    }
}

/// A tensor as messages name it: `f32 [?, 16]`.
fn described(kind: &ValueType) -> String {
    let Some(element) = kind.tensor_type() else { return "no tensor".to_owned() };
    let side = |side: &i64| if *side < 0 { "?".to_owned() } else { side.to_string() };
    let sides: Vec<String> =
        kind.tensor_shape().into_iter().flat_map(|shape| shape.iter().map(side)).collect();
    format!("{element} [{}]", sides.join(", "))
}
