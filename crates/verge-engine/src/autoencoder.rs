//! Models that reconstruct windows of numbers: numbers in, the same numbers out as far as the model knows them. What it
//! cannot reconstruct it has not seen.
//!
//! Their card is an [`AutoencoderCard`]; models that reconstruct frames have a [`Card`](crate::Card), which says how a
//! frame is laid into their input.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use half::f16;
use ort::session::{RunOptions, Session as OrtSession, SessionInputValue};
use ort::value::{TensorElementType, TensorRef, ValueType};

use crate::card::AutoencoderCard;
use crate::model::{ModelError, ModelLimits, check_hash, commit, read_bounded, refused};
use crate::runtime::Runtime;
use crate::session::{RunError, TensorView, described, failed, not, view};
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
    converted: Converted,
}

/// A window in the type of numbers that the model takes.
enum Converted {
    /// As it is.
    Single,
    Double(Vec<f64>),
    Half(Vec<f16>),
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
    /// The card or the file cannot be used, or the file has other tensors than one input of floating point, a row of
    /// numbers such as `[1 or free, width]`, `[1, 1, width]` or `[1, width, 1]`, and one output of as many.
    pub fn load(runtime: &Runtime, card_path: &Path, limits: ModelLimits) -> Result<Self, ModelError> {
        let card = AutoencoderCard::load(card_path)?;
        let path = card_path.parent().unwrap_or(Path::new("")).join(&card.file);
        let bytes = read_bounded(&path, card_path, limits.max_file_bytes)?;
        check_hash(card.sha256.as_deref(), &path, &bytes)?;
        let stamp =
            onnx::inspect(&bytes).map_err(|source| ModelError::Refused { path: path.clone(), source })?;
        let session = commit(runtime, &bytes, limits.threads)
            .map_err(|reason| refused(runtime, &path, &stamp, &reason))?;
        let differs = |what: &str, file: String, hint: &str| {
            ModelError::Contract {
            path: path.clone(),
            what: what.to_owned(),
            card: "task = \"reconstruct\": one, f32, f64 or f16, as many numbers out as go in, in a row: [1 or free, width], \
                   with further sides of 1"
                .to_owned(),
            file,
            hint: hint.to_owned(),
        }
        };
        let ([input], [output]) = (session.inputs(), session.outputs()) else {
            let file = format!("{} and {}", session.inputs().len(), session.outputs().len());
            return Err(differs("inputs and outputs", file, ""));
        };
        let (converted, shape) = input_of(input.dtype())
            .ok_or_else(|| differs("its input", described(input.dtype()), input_hint(input.dtype())))?;
        let width = shape.iter().product::<i64>();
        if !gives(output.dtype(), width) {
            let file = format!("{}, and {width} go in", described(output.dtype()));
            return Err(differs("its output", file, ""));
        }
        let output = output.name().to_owned();
        let options = Arc::new(RunOptions::new().expect("options need memory only"));
        let width = usize::try_from(width).expect("a million at most");
        Ok(Self { card, session, options, output, shape, width, converted })
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
        let shape = &self.shape[..];
        let input: SessionInputValue<'_> = match &mut self.converted {
            Converted::Single => TensorRef::from_array_view((shape, window)).map_err(failed)?.into(),
            Converted::Double(numbers) => {
                numbers.clear();
                numbers.extend(window.iter().copied().map(f64::from));
                TensorRef::from_array_view((shape, &numbers[..])).map_err(failed)?.into()
            }
            Converted::Half(numbers) => {
                numbers.clear();
                numbers.extend(window.iter().copied().map(f16::from_f32));
                TensorRef::from_array_view((shape, &numbers[..])).map_err(failed)?.into()
            }
        };
        let guard = until.map(|until| watchdog::watch(until, Arc::clone(&self.options)));
        let result = self.session.run_with_options([input], &*self.options);
        drop(guard);
        let is_late = until.is_some_and(|until| Instant::now() >= until);
        if is_late {
            self.options.unterminate().map_err(failed)?;
        }
        let values = result.map_err(|error| {
            // Beyond its deadline it was told to end: whatever it says, that is why.
            if is_late { RunError::Deadline } else { failed(error) }
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
            TensorView::F16(made) => {
                window.zip(made).map(|(one, other)| (one - other.to_f64()).powi(2)).sum()
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

/// Type and shape of one run of an input of floating point: a batch of one, and a row of numbers within sides of 1.
/// `None` for another tensor.
fn input_of(kind: &ValueType) -> Option<(Converted, Vec<i64>)> {
    let ValueType::Tensor { ty, shape, .. } = kind else { return None };
    let converted = match ty {
        TensorElementType::Float32 => Converted::Single,
        TensorElementType::Float64 => Converted::Double(Vec::new()),
        TensorElementType::Float16 => Converted::Half(Vec::new()),
        _ => return None,
    };
    let mut shape = shape.to_vec();
    if let [batch @ -1, _, ..] = &mut shape[..] {
        *batch = 1;
    }
    let width = shape.iter().copied().try_fold(1_i64, |product, side| match (product, side) {
        (product, 1) => Some(product),
        (1, side) if side > 0 => Some(side),
        _ => None,
    })?;
    usize::try_from(width).is_ok_and(|width| width <= MAX_WIDTH).then_some((converted, shape))
}

/// What to do about an input that is none of those; begins with its separator.
fn input_hint(kind: &ValueType) -> &'static str {
    let ValueType::Tensor { shape, .. } = kind else { return "" };
    let behind_batch = shape.get(1..).unwrap_or_default();
    if shape.len() == 1 && shape[0] < 0 || behind_batch.iter().any(|side| *side < 0) {
        ": the width of a window must stand in the file, so export the model with a fixed one, such as [n, 64]"
    } else if behind_batch.iter().filter(|side| **side > 1).count() > 1 {
        ": a window is of one signal; models of several signals, or of pictures, have another card (docs/models.md)"
    } else {
        ": export the model with one input of floating point"
    }
}

/// Whether an output may give so many numbers, as far as the file tells it.
fn gives(kind: &ValueType, width: i64) -> bool {
    use TensorElementType as T;
    let ValueType::Tensor { ty: T::Float32 | T::Float64 | T::Float16, shape, .. } = kind else {
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
