//! Models that reconstruct windows of numbers: numbers in, the same numbers out as far as the model knows them. What it
//! cannot reconstruct it has not seen.
//!
//! Their card is short, since the file says all of the tensors:
//!
//! ```toml
//! name = "bearing-sound"
//! version = "3"
//! file = "bearing-sound.onnx"
//! task = "reconstruct"
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use verge_engine::{
    ContentDigest, Contract, ElementType, Feed, Graph, ModelLimits, Port, RecurrentState, RunError, Runner,
    Runtime, Tensor, TensorView, f16,
};

use crate::card::{Card, Meaning};
use crate::catalogue::{ModelFiles, content};
use crate::error::ModelError;

/// Numbers of one window at most.
pub const MAX_WIDTH: usize = 1 << 20;

/// A model that reconstructs windows, with a runner of its own.
#[derive(Debug)]
pub struct WindowModel {
    card: Card,
    runner: Runner,
    width: usize,
    content: ContentDigest,
}

impl WindowModel {
    /// Loads the model that a card describes.
    ///
    /// # Errors
    /// The card or the file cannot be used, or the file has other tensors than one input of floating point, a row of
    /// numbers such as `[1 or free, width]`, `[1, 1, width]` or `[1, width, 1]`, and one output of as many.
    pub fn load(runtime: &Runtime, files: &ModelFiles, limits: ModelLimits) -> Result<Self, ModelError> {
        let (card, digest) = files.read_card()?;
        if card.meaning != Meaning::Windows {
            return Err(files.mistaken("frames", "windows of readings"));
        }
        let graph = files.read_graph(runtime, &card, limits)?;
        let contract = agreed(&graph)?;
        let width = contract.input.shape.iter().product::<i64>();
        let width = usize::try_from(width).expect("a million at most");
        let runner = graph.runner(Arc::new(contract))?;
        let content = content(digest, None, graph.digest());
        Ok(Self { card, runner, width, content })
    }

    /// What its files held when they were read, see [`ModelFiles::content`].
    #[must_use]
    pub const fn content(&self) -> ContentDigest {
        self.content
    }

    /// Its card.
    #[must_use]
    pub const fn card(&self) -> &Card {
        &self.card
    }

    /// Numbers of one window.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Mean of the squared differences between a window of [`WindowModel::width`] numbers and what the model makes of
    /// it. The run is ended when `until` passes.
    ///
    /// # Errors
    /// See [`RunError`]; a window of another width, or a result that is NaN or an infinity.
    pub fn mean_square_error(&mut self, window: &[f32], until: Option<Instant>) -> Result<f64, RunError> {
        if window.len() != self.width {
            let found = format!("it takes {} numbers, and {} went in", self.width, window.len());
            return Err(RunError::unexpected_output(&self.runner.contract().outputs[0], found));
        }
        let numbers = window.iter().copied();
        match self.runner.input() {
            Tensor::F32(input) => input.copy_from_slice(window),
            Tensor::F64(input) => input.iter_mut().zip(numbers).for_each(|(to, from)| *to = from.into()),
            Tensor::F16(input) => {
                input.iter_mut().zip(numbers).for_each(|(to, from)| *to = f16::from_f32(from));
            }
            _ => unreachable!("the file was found to take floating point"),
        }
        self.runner.run(&mut RecurrentState::default(), until, |outputs| {
            let (_, made) = outputs.get(0)?;
            let wrong = |found: String| Err(RunError::unexpected_output(outputs.name(0), found));
            if made.len() != window.len() {
                return wrong(format!("{} numbers where {} went in", made.len(), window.len()));
            }
            let shown = window.iter().copied().map(f64::from);
            let squares: f64 = match made {
                TensorView::F32(made) => {
                    shown.zip(made).map(|(one, other)| (one - f64::from(*other)).powi(2)).sum()
                }
                TensorView::F16(made) => {
                    shown.zip(made).map(|(one, other)| (one - other.to_f64()).powi(2)).sum()
                }
                TensorView::F64(made) => shown.zip(made).map(|(one, other)| (one - other).powi(2)).sum(),
                other => return wrong(other.element().as_str().to_owned()),
            };
            let mean = squares / made.len() as f64;
            if mean.is_finite() { Ok(mean) } else { wrong("NaN or an infinity".to_owned()) }
        })
    }

    /// Lets it reconstruct one window of no meaning, a gentle wave around one half, and says how long that took. A
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

/// What goes in and comes out: one row of floating point each.
fn agreed(graph: &Graph) -> Result<Contract, ModelError> {
    let differs = |what: &str, file: String, hint: &str| {
        ModelError::Contract {
        path: graph.path().to_owned(),
        what: what.to_owned(),
        card: "task = \"reconstruct\": one, f32, f64 or f16, as many numbers out as go in, in a row: [1 or free, width], \
               with further sides of 1"
            .to_owned(),
        file,
        hint: hint.to_owned(),
    }
    };
    let ([input], [output]) = (graph.inputs(), graph.outputs()) else {
        let file = format!("{} and {}", graph.inputs().len(), graph.outputs().len());
        return Err(differs("inputs and outputs", file, ""));
    };
    let feed = feed(input).ok_or_else(|| differs("its input", input.described(), input_hint(input)))?;
    let width = feed.shape.iter().product();
    if !gives(output, width) {
        return Err(differs("its output", format!("{}, and {width} go in", output.described()), ""));
    }
    Ok(Contract {
        input: feed,
        fixed: Vec::new(),
        batch: 1,
        divided: true,
        outputs: vec![output.name.clone()],
        states: Vec::new(),
    })
}

/// An input of floating point: a batch of one, and a row of numbers within sides of 1. `None` for another one.
fn feed(port: &Port) -> Option<Feed> {
    let element = port.element.filter(|element| is_floating(*element))?;
    let mut shape = port.shape.clone()?;
    if let [batch @ -1, _, ..] = &mut shape[..] {
        *batch = 1;
    }
    let width = shape.iter().copied().try_fold(1_i64, |product, side| match (product, side) {
        (product, 1) => Some(product),
        (1, side) if side > 0 => Some(side),
        _ => None,
    })?;
    let is_small = usize::try_from(width).is_ok_and(|width| width <= MAX_WIDTH);
    is_small.then(|| Feed { name: port.name.clone(), element, shape })
}

const fn is_floating(element: ElementType) -> bool {
    matches!(element, ElementType::F32 | ElementType::F64 | ElementType::F16)
}

/// What to do about an input that is none of those; begins with its separator.
fn input_hint(port: &Port) -> &'static str {
    let Some(shape) = &port.shape else { return "" };
    let behind_batch = shape.get(1..).unwrap_or_default();
    if shape.len() == 1 && shape[0] < 0 || behind_batch.iter().any(|side| *side < 0) {
        ": the width of a window must stand in the file, so export the model with a fixed one, such as [n, 64] \
         (torch.onnx.export with the batch alone in dynamic_axes, tf2onnx --inputs NAME:0[1,64])"
    } else if behind_batch.iter().filter(|side| **side > 1).count() > 1 {
        ": a window is of one signal; models of several signals, or of pictures, have another card (docs/models.md)"
    } else {
        ": export the model with one input of floating point"
    }
}

/// Whether an output may give this many numbers, as far as the file says it.
fn gives(port: &Port, width: i64) -> bool {
    let (Some(element), Some(shape)) = (port.element, &port.shape) else { return false };
    let known = shape.iter().copied().filter(|side| *side >= 0);
    let product = known.clone().try_fold(1_i64, i64::checked_mul);
    is_floating(element)
        && match known.count() == shape.len() {
            true => product == Some(width),
            // What is left free makes up for the rest.
            false => product.is_some_and(|product| product > 0 && width % product == 0),
        }
}
