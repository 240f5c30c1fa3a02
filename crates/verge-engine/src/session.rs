//! One session per worker and model: a pooled input buffer that the library borrows, a deadline, and outputs that
//! are read where the library left them.

use std::sync::Arc;
use std::time::Instant;

use half::f16;
use ort::session::{RunOptions, Session as OrtSession, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, TensorElementType, TensorRef, ValueType};

use crate::card::Element;
use crate::model::{Contract, Model, StateContract};
use crate::quote::quoted;
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
    /// Double precision.
    F64(&'a [f64]),
    /// Integers of 32 bits, as counts have them.
    I32(&'a [i32]),
    /// Integers of 64 bits, as classes have them in exports of PyTorch.
    I64(&'a [i64]),
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

    fn borrow<'a>(&'a self, shape: &'a [i64]) -> ort::Result<SessionInputValue<'a>> {
        Ok(match self {
            Self::F32(data) => TensorRef::from_array_view((shape, &data[..]))?.into(),
            Self::F16(data) => TensorRef::from_array_view((shape, &data[..]))?.into(),
            Self::U8(data) => TensorRef::from_array_view((shape, &data[..]))?.into(),
            Self::I8(data) => TensorRef::from_array_view((shape, &data[..]))?.into(),
        })
    }

    /// Takes over an output that was found to [fit](TensorView::fits).
    fn copy_from(&mut self, view: TensorView<'_>) {
        match (self, view) {
            (Self::F32(to), TensorView::F32(from)) => to.copy_from_slice(from),
            (Self::F16(to), TensorView::F16(from)) => to.copy_from_slice(from),
            (Self::U8(to), TensorView::U8(from)) => to.copy_from_slice(from),
            (Self::I8(to), TensorView::I8(from)) => to.copy_from_slice(from),
            _ => unreachable!("the types were compared before"),
        }
    }
}

impl<'a> From<&'a Tensor> for TensorView<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        match tensor {
            Tensor::F32(data) => Self::F32(data),
            Tensor::F16(data) => Self::F16(data),
            Tensor::U8(data) => Self::U8(data),
            Tensor::I8(data) => Self::I8(data),
        }
    }
}

impl<'a> TensorView<'a> {
    /// The first of so many equal parts.
    fn first_of(self, parts: usize) -> Self {
        let length = self.len() / parts.max(1);
        match self {
            Self::F32(data) => Self::F32(&data[..length]),
            Self::F16(data) => Self::F16(&data[..length]),
            Self::U8(data) => Self::U8(&data[..length]),
            Self::I8(data) => Self::I8(&data[..length]),
            Self::F64(data) => Self::F64(&data[..length]),
            Self::I32(data) => Self::I32(&data[..length]),
            Self::I64(data) => Self::I64(&data[..length]),
        }
    }

    /// The type of its elements, as cards write it.
    #[must_use]
    pub const fn element(&self) -> &'static str {
        match self {
            Self::F32(_) => Element::F32.as_str(),
            Self::F16(_) => Element::F16.as_str(),
            Self::U8(_) => Element::U8.as_str(),
            Self::I8(_) => Element::I8.as_str(),
            Self::F64(_) => "f64",
            Self::I32(_) => "i32",
            Self::I64(_) => "i64",
        }
    }

    /// The least and the greatest element; `None` where there is none, or one is NaN.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        match self {
            Self::F32(data) => range(data.iter().map(|x| f64::from(*x))),
            Self::F16(data) => range(data.iter().map(|x| x.to_f64())),
            Self::U8(data) => range(data.iter().map(|x| f64::from(*x))),
            Self::I8(data) => range(data.iter().map(|x| f64::from(*x))),
            Self::F64(data) => range(data.iter().copied()),
            Self::I32(data) => range(data.iter().map(|x| f64::from(*x))),
            Self::I64(data) => range(data.iter().map(|x| *x as f64)),
        }
    }

    /// Whether `state` can take this over, or in words why not.
    fn fits(&self, state: &Tensor) -> Result<(), &'static str> {
        let (same_length, is_finite) = match (self, state) {
            (Self::F32(from), Tensor::F32(to)) => {
                (from.len() == to.len(), from.iter().all(|x| x.is_finite()))
            }
            (Self::F16(from), Tensor::F16(to)) => {
                (from.len() == to.len(), from.iter().all(|x| x.is_finite()))
            }
            (Self::U8(from), Tensor::U8(to)) => (from.len() == to.len(), true),
            (Self::I8(from), Tensor::I8(to)) => (from.len() == to.len(), true),
            _ => return Err("another type"),
        };
        match (same_length, is_finite) {
            (false, _) => Err("another shape"),
            // Fed back, it would spoil every frame to come.
            (true, false) => Err("numbers that are none"),
            (true, true) => Ok(()),
        }
    }
    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F16(data) => data.len(),
            Self::U8(data) => data.len(),
            Self::I8(data) => data.len(),
            Self::F64(data) => data.len(),
            Self::I32(data) => data.len(),
            Self::I64(data) => data.len(),
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
    #[error("ONNX Runtime fails, and says: {0}")]
    Failed(String),
    /// An output that cannot be read, or a state that cannot be fed back.
    #[error("output {name:?} is not what the card says: {found}")]
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
    input: &'a Tensor,
    values: &'a SessionOutputs<'r>,
}

impl Outputs<'_, '_> {
    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.contract.outputs.len()
    }

    /// What went in; of a batch, the first frame.
    #[must_use]
    pub fn input(&self) -> TensorView<'_> {
        TensorView::from(self.input).first_of(self.contract.batch)
    }

    /// Shape and elements of an output, by its position in the contract. Of a batch, the elements are those of the
    /// first frame.
    ///
    /// # Errors
    /// The output is of another type than cards know, or there is none at this position.
    pub fn get(&self, index: usize) -> Result<(&[i64], TensorView<'_>), RunError> {
        let name = self.contract.outputs.get(index).map_or("", |(name, _)| name.as_str());
        let value = self.values.get(name).ok_or_else(|| not(name, "nothing"))?;
        let (shape, elements) = view(name, value)?;
        let batch = self.contract.batch;
        let is_batched = batch > 1 && shape.first().is_some_and(|first| usize::try_from(*first) == Ok(batch));
        Ok((shape, if is_batched { elements.first_of(batch) } else { elements }))
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
    /// advanced only where everything went well, `read` included.
    ///
    /// # Errors
    /// See [`RunError`]; and those of `read`.
    pub fn run<R, E: From<RunError>>(
        &mut self,
        state: &mut State,
        until: Option<Instant>,
        read: impl FnOnce(&Outputs<'_, '_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let contract = self.model.contract();
        if state.tensors.len() != contract.states.len() {
            state.tensors = contract.states.iter().map(StateContract::zeros).collect();
        }
        let frame = self.input.borrow(&self.shape).map_err(failed)?;
        let guard;
        let result = if contract.states.is_empty() && self.session.inputs().len() == 1 {
            guard = until.map(|until| watchdog::watch(until, Arc::clone(&self.options)));
            // The usual case, without a list.
            self.session.run_with_options([frame], &*self.options)
        } else {
            let mut inputs = Vec::with_capacity(1 + contract.states.len());
            inputs.push((contract.input.as_str(), frame));
            for (one, tensor) in contract.states.iter().zip(&state.tensors) {
                inputs.push((&one.input, tensor.borrow(&one.shape).map_err(failed)?));
            }
            guard = until.map(|until| watchdog::watch(until, Arc::clone(&self.options)));
            self.session.run_with_options(inputs, &*self.options)
        };
        drop(guard);
        // The deadline may also come just after the run has ended. Whichever it was: the next run begins afresh.
        let is_late = until.is_some_and(|until| Instant::now() >= until);
        if is_late {
            self.options.unterminate().map_err(failed)?;
        }
        let values = result.map_err(|error| {
            // Beyond its deadline it was told to end: whatever it says, that is why.
            if is_late { RunError::Deadline } else { failed(error) }
        })?;
        let result = read(&Outputs { contract, input: &self.input, values: &values })?;
        let fed_back = |one: &StateContract| {
            let value = values.get(&one.output).ok_or_else(|| not(&one.output, "nothing"))?;
            view(&one.output, value).map(|(_, elements)| elements)
        };
        for (one, tensor) in contract.states.iter().zip(&state.tensors) {
            fed_back(one)?.fits(tensor).map_err(|found| not(&one.output, found))?;
        }
        for (one, tensor) in contract.states.iter().zip(&mut state.tensors) {
            tensor.copy_from(fed_back(one)?);
        }
        Ok(result)
    }
}

impl StateContract {
    fn zeros(&self) -> Tensor {
        let elements = self.shape.iter().map(|dim| usize::try_from(*dim).unwrap_or(0)).product();
        Tensor::zeros(self.element, elements)
    }
}

fn range(mut elements: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let first = elements.next()?;
    elements.try_fold((first, first), |(least, most), one| {
        (!one.is_nan()).then(|| (least.min(one), most.max(one)))
    })
}

/// A type of elements, as cards and messages name it.
pub(crate) const fn element_name(element: TensorElementType) -> &'static str {
    use TensorElementType as T;
    match element {
        T::Float32 => "f32",
        T::Float16 => "f16",
        T::Float64 => "f64",
        T::Bfloat16 => "bf16",
        T::Uint8 => "u8",
        T::Int8 => "i8",
        T::Uint16 => "u16",
        T::Int16 => "i16",
        T::Uint32 => "u32",
        T::Int32 => "i32",
        T::Uint64 => "u64",
        T::Int64 => "i64",
        T::Bool => "bool",
        T::String => "text",
        _ => "numbers of an unusual type",
    }
}

/// An input, an output or a value, as messages name it: `f32 [?, 16]`.
pub(crate) fn described(kind: &ValueType) -> String {
    match kind {
        ValueType::Tensor { ty, shape, .. } => format!("{} {}", element_name(*ty), shape_words(shape)),
        ValueType::Sequence(of) if matches!(**of, ValueType::Map { .. }) => "a sequence of maps".to_owned(),
        ValueType::Sequence(_) => "a sequence".to_owned(),
        ValueType::Map { .. } => "a map".to_owned(),
        ValueType::Optional(_) => "an optional value".to_owned(),
    }
}

/// A shape, with `?` for what the file leaves free.
pub(crate) fn shape_words(shape: &[i64]) -> String {
    let side = |side: &i64| if *side < 0 { "?".to_owned() } else { side.to_string() };
    format!("[{}]", shape.iter().map(side).collect::<Vec<_>>().join(", "))
}

/// Types of outputs that are read.
pub(crate) const READ_TYPES: &str = "f32, f16, f64, u8, i8, i32 or i64";

/// Whether outputs of this type are read.
pub(crate) const fn is_read(element: TensorElementType) -> bool {
    use TensorElementType as T;
    matches!(element, T::Float32 | T::Float16 | T::Float64 | T::Uint8 | T::Int8 | T::Int32 | T::Int64)
}

pub(crate) fn failed(error: ort::Error) -> RunError {
    RunError::Failed(quoted(&error.to_string()))
}

pub(crate) fn not(name: &str, found: &str) -> RunError {
    RunError::Output { name: name.to_owned(), found: found.to_owned() }
}

pub(crate) fn view<'v>(name: &str, value: &'v DynValue) -> Result<(&'v [i64], TensorView<'v>), RunError> {
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
        Some(TensorElementType::Float64) => extract!(f64, F64),
        Some(TensorElementType::Int32) => extract!(i32, I32),
        Some(TensorElementType::Int64) => extract!(i64, I64),
        _ => Err(not(name, &described(value.dtype()))),
    }
}
