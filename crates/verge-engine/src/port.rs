//! What a model file says of its inputs and outputs, and what a run feeds and reads of them.

use ort::value::{TensorElementType, ValueType};

use crate::tensor::{ElementType, Tensor};

/// An input or an output, as the file declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its sides, below zero where the file leaves them free; `None` where it is no tensor.
    pub shape: Option<Vec<i64>>,
    /// The type of its elements; `None` where it is no tensor, or one of elements that are neither fed nor read.
    pub element: Option<ElementType>,
    /// Whether it is a sequence or a map, as converters of scikit-learn make them.
    pub is_collection: bool,
    /// The type in a word or two: `f32`, `bool`, `a sequence of maps`.
    pub type_name: &'static str,
}

impl Port {
    pub(crate) fn new(name: &str, kind: &ValueType) -> Self {
        let (element, shape, type_name) = match kind {
            ValueType::Tensor { ty, shape, .. } => (element_of(*ty), Some(shape.to_vec()), element_name(*ty)),
            ValueType::Sequence(of) if matches!(**of, ValueType::Map { .. }) => {
                (None, None, "a sequence of maps")
            }
            ValueType::Sequence(_) => (None, None, "a sequence"),
            ValueType::Map { .. } => (None, None, "a map"),
            ValueType::Optional(_) => (None, None, "an optional value"),
        };
        let is_collection = matches!(kind, ValueType::Sequence(_) | ValueType::Map { .. });
        Self { name: name.to_owned(), shape, element, is_collection, type_name }
    }

    /// Its sides; none where it is no tensor.
    #[must_use]
    pub fn sides(&self) -> &[i64] {
        self.shape.as_deref().unwrap_or_default()
    }

    /// Type and shape, as messages name them: `f32 [?, 16]`.
    #[must_use]
    pub fn described(&self) -> String {
        match &self.shape {
            Some(shape) => format!("{} {}", self.type_name, shape_words(shape)),
            None => self.type_name.to_owned(),
        }
    }
}

/// A shape, with `?` for what the file leaves free.
#[must_use]
pub fn shape_words(shape: &[i64]) -> String {
    let side = |side: &i64| if *side < 0 { "?".to_owned() } else { side.to_string() };
    format!("[{}]", shape.iter().map(side).collect::<Vec<_>>().join(", "))
}

/// What one run feeds and reads, after the file and whoever uses the model agreed on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// The input that is filled for each run.
    pub input: Feed,
    /// Inputs of the same numbers in every run.
    pub fixed: Vec<FixedInput>,
    /// Items in one run; beyond the first they are padding.
    pub batch: usize,
    /// Outputs whose first side is the batch hold one part for each item. Without it they name the item in their numbers.
    pub divided: bool,
    /// Names of the outputs to read.
    pub outputs: Vec<String>,
    /// Tensors that are fed back from one run to the next.
    pub states: Vec<FeedBack>,
}

/// An input that is fed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// Its name.
    pub name: String,
    /// Type of its elements.
    pub element: ElementType,
    /// Its shape, with every side known.
    pub shape: Vec<i64>,
}

/// An input of the same numbers in every run.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedInput {
    /// The input.
    pub input: Feed,
    /// Its elements, as many as its shape has.
    pub numbers: Vec<f64>,
}

/// One tensor that is fed back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedBack {
    /// The input it goes into.
    pub input: Feed,
    /// Output it comes from.
    pub output: String,
}

impl Feed {
    pub(crate) fn zeros(&self) -> Tensor {
        let elements = self.shape.iter().map(|side| usize::try_from(*side).unwrap_or(0)).product();
        Tensor::zeros(self.element, elements)
    }
}

/// `None` for elements that are neither fed nor read.
pub(crate) const fn element_of(element: TensorElementType) -> Option<ElementType> {
    use TensorElementType as T;
    Some(match element {
        T::Float32 => ElementType::F32,
        T::Float16 => ElementType::F16,
        T::Uint8 => ElementType::U8,
        T::Int8 => ElementType::I8,
        T::Float64 => ElementType::F64,
        T::Int32 => ElementType::I32,
        T::Int64 => ElementType::I64,
        _ => return None,
    })
}

const fn element_name(element: TensorElementType) -> &'static str {
    use TensorElementType as T;
    match (element_of(element), element) {
        (Some(element), _) => element.as_str(),
        (None, T::Bfloat16) => "bf16",
        (None, T::Uint16) => "u16",
        (None, T::Int16) => "i16",
        (None, T::Uint32) => "u32",
        (None, T::Uint64) => "u64",
        (None, T::Bool) => "bool",
        (None, T::String) => "text",
        (None, _) => "numbers of an unusual type",
    }
}
