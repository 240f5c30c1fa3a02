//! One session per worker and model: a pooled input buffer that the library borrows, a deadline, and outputs that
//! are read where the library left them.

use std::sync::Arc;
use std::time::Instant;

use half::f16;
use ort::session::{RunOptions, Session as OrtSession, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, TensorElementType, TensorRef};

use crate::card::Element;
use crate::model::{Contract, Model};
use crate::watchdog;

/// Elements of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    /// Single precision.
    F32(Vec<f32>),
    /// Half precision.
    F16(Vec<f16>),
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Signed bytes.
    I8(Vec<i8>),
}

/// Elements of an output, where the library left them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TensorView<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [f16]),
    /// Unsigned bytes.
    U8(&'a [u8]),
    /// Signed bytes.
    I8(&'a [i8]),
}

impl Tensor {
    fn zeros(element: Element, elements: usize) -> Self {
        match element {
            Element::F32 => Self::F32(vec![0.0; elements]),
            Element::F16 => Self::F16(vec![f16::ZERO; elements]),
            Element::U8 => Self::U8(vec![0; elements]),
            Element::I8 => Self::I8(vec![0; elements]),
        }
    }

    fn borrow(&self, shape: &[i64]) -> ort::Result<SessionInputValue<'_>> {
        let shape = || shape.to_vec();
        Ok(match self {
            Self::F32(data) => TensorRef::from_array_view((shape(), &data[..]))?.into(),
            Self::F16(data) => TensorRef::from_array_view((shape(), &data[..]))?.into(),
            Self::U8(data) => TensorRef::from_array_view((shape(), &data[..]))?.into(),
            Self::I8(data) => TensorRef::from_array_view((shape(), &data[..]))?.into(),
        })
    }

    /// Takes over an output of the same type and length.
    fn copy_from(&mut self, view: TensorView<'_>) -> bool {
        match (self, view) {
            (Self::F32(to), TensorView::F32(from)) if to.len() == from.len() => to.copy_from_slice(from),
            (Self::F16(to), TensorView::F16(from)) if to.len() == from.len() => to.copy_from_slice(from),
            (Self::U8(to), TensorView::U8(from)) if to.len() == from.len() => to.copy_from_slice(from),
            (Self::I8(to), TensorView::I8(from)) if to.len() == from.len() => to.copy_from_slice(from),
            _ => return false,
        }
        true
    }
}

impl TensorView<'_> {
    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F16(data) => data.len(),
            Self::U8(data) => data.len(),
            Self::I8(data) => data.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is fed back from one frame of a camera to its next.
#[derive(Debug, Clone, Default)]
pub struct State {
    tensors: Vec<Tensor>,
}

/// Why a run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was ended at its deadline.
    #[error("the model was still at work when the deadline came")]
    Deadline,
    /// The library failed.
    #[error("ONNX Runtime: {0}")]
    Failed(String),
    /// An output of another type or shape than before.
    #[error("output {name:?} is of a type that is not read: {found}")]
    Output {
        /// The output.
        name: String,
        /// What it is.
        found: String,
    },
}

/// A session of one worker.
pub struct Session {
    session: OrtSession,
    model: Arc<Model>,
    options: Arc<RunOptions>,
    input: Tensor,
    shape: Vec<i64>,
}

/// The outputs of one run, in the order of the contract.
pub struct Outputs<'a, 'r> {
    contract: &'a Contract,
    values: &'a SessionOutputs<'r>,
}

impl Outputs<'_, '_> {
    /// Shape and elements of an output, by its position in the contract.
    ///
    /// # Errors
    /// The output is of another type than cards know, or there is none at this position.
    pub fn get(&self, index: usize) -> Result<(&[i64], TensorView<'_>), RunError> {
        let name = self.contract.outputs.get(index).map_or("", |(name, _)| name.as_str());
        let missing = || RunError::Output { name: name.to_owned(), found: "nothing".to_owned() };
        view(name, self.values.get(name).ok_or_else(missing)?)
    }
}

impl Session {
    pub(crate) fn new(session: OrtSession, model: Arc<Model>) -> Self {
        use crate::card::Layout;
        let card = &model.card().input;
        let contract = model.contract();
        let channels = i64::try_from(card.colour.channels()).expect("3 at most");
        let (width, height) = (i64::from(contract.width), i64::from(contract.height));
        let batch = i64::try_from(contract.batch).expect("64 at most");
        let shape = match card.layout {
            Layout::Nchw => vec![batch, channels, height, width],
            Layout::Nhwc => vec![batch, height, width, channels],
        };
        let input = Tensor::zeros(card.element, contract.input_elements(card.colour));
        let options = Arc::new(RunOptions::new().expect("options need memory only"));
        Self { session, model, options, input, shape }
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The input, to be filled before a run. Of a batch, the first frame is read; the rest stays as it is.
    pub const fn input(&mut self) -> &mut Tensor {
        &mut self.input
    }

    /// Runs the model on the input and gives its outputs to `read`. It is ended where `until` passes. The state is
    /// advanced only where everything went well.
    ///
    /// # Errors
    /// See [`RunError`].
    pub fn run<R>(
        &mut self,
        state: &mut State,
        until: Option<Instant>,
        read: impl FnOnce(&Outputs<'_, '_>) -> R,
    ) -> Result<R, RunError> {
        let contract = self.model.contract();
        if state.tensors.len() != contract.states.len() {
            let zeros = |one: &crate::model::StateContract| {
                let elements = one.shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).product();
                Tensor::zeros(one.element, elements)
            };
            state.tensors = contract.states.iter().map(zeros).collect();
        }
        let failed = |error: ort::Error| RunError::Failed(error.to_string());
        let guard = until.map(|until| watchdog::watch(until, Arc::clone(&self.options)));
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(1 + contract.states.len());
        inputs.push((&contract.input, self.input.borrow(&self.shape).map_err(failed)?));
        for (one, tensor) in contract.states.iter().zip(&state.tensors) {
            inputs.push((&one.input, tensor.borrow(&one.shape).map_err(failed)?));
        }
        let result = self.session.run_with_options(inputs, &self.options);
        drop(guard);
        let values = match result {
            Ok(values) => values,
            Err(error) => {
                let ended = until.is_some_and(|until| Instant::now() >= until);
                let reason = error.to_string();
                // The options stay terminated until they are told otherwise.
                drop(error);
                self.options.unterminate().map_err(failed)?;
                return Err(if ended && reason.contains("terminate") {
                    RunError::Deadline
                } else {
                    RunError::Failed(reason)
                });
            }
        };
        let result = read(&Outputs { contract, values: &values });
        for (one, tensor) in contract.states.iter().zip(&mut state.tensors) {
            let found = values.get(one.output.as_str()).map(|value| view(&one.output, value)).transpose()?;
            if !found.is_some_and(|(_, elements)| tensor.copy_from(elements)) {
                return Err(RunError::Output { name: one.output.clone(), found: "another shape".to_owned() });
            }
        }
        drop(values);
        if until.is_some_and(|until| Instant::now() >= until) {
            // The deadline may have come just after the run had ended.
            self.options.unterminate().map_err(failed)?;
        }
        Ok(result)
    }
}

fn view<'v>(name: &str, value: &'v DynValue) -> Result<(&'v [i64], TensorView<'v>), RunError> {
    let other = |found: String| RunError::Output { name: name.to_owned(), found };
    let failed = |error: ort::Error| RunError::Failed(error.to_string());
    macro_rules! extract {
        ($type:ty, $variant:ident) => {{
            let (shape, data) = value.try_extract_tensor::<$type>().map_err(failed)?;
            Ok((&shape[..], TensorView::$variant(data)))
        }};
    }
    match value.dtype().tensor_type() {
        Some(TensorElementType::Float32) => extract!(f32, F32),
        Some(TensorElementType::Float16) => extract!(f16, F16),
        Some(TensorElementType::Uint8) => extract!(u8, U8),
        Some(TensorElementType::Int8) => extract!(i8, I8),
        Some(found) => Err(other(found.to_string())),
        None => Err(other("no tensor".to_owned())),
    }
}
