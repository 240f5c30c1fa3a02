//! Elements of tensors: those that go in, and those that come out where the library left them.

use half::f16;
use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorRef};

use crate::port::Port;
use crate::run::{RunError, failed};

/// Types of elements that are fed and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
    /// IEEE 754 double precision.
    F64,
    /// Integers of 32 bits, as counts have them.
    I32,
    /// Integers of 64 bits, as classes have them in exports of PyTorch.
    I64,
}

impl ElementType {
    /// All of them, in words.
    pub const ALL: &str = "f32, f16, f64, u8, i8, i32 or i64";

    /// Its name in cards and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::F64 => "f64",
            Self::I32 => "i32",
            Self::I64 => "i64",
        }
    }
}

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
    /// Double precision.
    F64(Vec<f64>),
    /// Integers of 32 bits.
    I32(Vec<i32>),
    /// Integers of 64 bits.
    I64(Vec<i64>),
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
    /// Integers of 32 bits.
    I32(&'a [i32]),
    /// Integers of 64 bits.
    I64(&'a [i64]),
}

/// The same expression for the elements of each type; `wrap` is the variant that they came out of.
macro_rules! of_each {
    ($from:ident, $tensor:expr, |$data:ident, $wrap:ident| $body:expr) => {
        of_each!(@ $from, $tensor, $data, $wrap, $body, F32 F16 U8 I8 F64 I32 I64)
    };
    (@ $from:ident, $tensor:expr, $data:ident, $wrap:ident, $body:expr, $($kind:ident)*) => {
        match $tensor {
            $($from::$kind($data) => {
                #[allow(unused_imports, reason = "some expressions give no tensor")]
                use TensorView::$kind as $wrap;
                $body
            })*
        }
    };
}

impl Tensor {
    pub(crate) fn zeros(element: ElementType, elements: usize) -> Self {
        match element {
            ElementType::F32 => Self::F32(vec![0.0; elements]),
            ElementType::F16 => Self::F16(vec![f16::ZERO; elements]),
            ElementType::U8 => Self::U8(vec![0; elements]),
            ElementType::I8 => Self::I8(vec![0; elements]),
            ElementType::F64 => Self::F64(vec![0.0; elements]),
            ElementType::I32 => Self::I32(vec![0; elements]),
            ElementType::I64 => Self::I64(vec![0; elements]),
        }
    }

    pub(crate) fn borrow<'a>(&'a self, shape: &'a [i64]) -> ort::Result<SessionInputValue<'a>> {
        Ok(of_each!(Self, self, |data, _wrap| TensorRef::from_array_view((shape, &data[..]))?.into()))
    }

    /// Takes over an output that was found to [fit](TensorView::fits).
    pub(crate) fn copy_from(&mut self, view: TensorView<'_>) {
        match (self, view) {
            (Self::F32(to), TensorView::F32(from)) => to.copy_from_slice(from),
            (Self::F16(to), TensorView::F16(from)) => to.copy_from_slice(from),
            (Self::U8(to), TensorView::U8(from)) => to.copy_from_slice(from),
            (Self::I8(to), TensorView::I8(from)) => to.copy_from_slice(from),
            (Self::F64(to), TensorView::F64(from)) => to.copy_from_slice(from),
            (Self::I32(to), TensorView::I32(from)) => to.copy_from_slice(from),
            (Self::I64(to), TensorView::I64(from)) => to.copy_from_slice(from),
            _ => unreachable!("the types were compared before"),
        }
    }
}

impl<'a> From<&'a Tensor> for TensorView<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        of_each!(Tensor, tensor, |data, wrap| wrap(data))
    }
}

impl<'a> TensorView<'a> {
    /// The elements of a value.
    pub(crate) fn of(name: &str, value: &'a DynValue) -> Result<(&'a [i64], Self), RunError> {
        macro_rules! extract {
            ($type:ty, $variant:ident) => {{
                let (shape, data) = value.try_extract_tensor::<$type>().map_err(failed)?;
                Ok((&shape[..], Self::$variant(data)))
            }};
        }
        let port = || Port::new(name, value.dtype());
        match value.dtype().tensor_type().and_then(crate::port::element_of) {
            Some(ElementType::F32) => extract!(f32, F32),
            Some(ElementType::F16) => extract!(f16, F16),
            Some(ElementType::U8) => extract!(u8, U8),
            Some(ElementType::I8) => extract!(i8, I8),
            Some(ElementType::F64) => extract!(f64, F64),
            Some(ElementType::I32) => extract!(i32, I32),
            Some(ElementType::I64) => extract!(i64, I64),
            None => Err(RunError::unexpected_output(name, port().described())),
        }
    }

    /// The first of `parts` equal parts.
    pub(crate) fn first_of(self, parts: usize) -> Self {
        let length = self.len() / parts.max(1);
        of_each!(Self, self, |data, wrap| wrap(&data[..length]))
    }

    /// The type of its elements.
    #[must_use]
    pub const fn element(&self) -> ElementType {
        match self {
            Self::F32(_) => ElementType::F32,
            Self::F16(_) => ElementType::F16,
            Self::U8(_) => ElementType::U8,
            Self::I8(_) => ElementType::I8,
            Self::F64(_) => ElementType::F64,
            Self::I32(_) => ElementType::I32,
            Self::I64(_) => ElementType::I64,
        }
    }

    /// The least and the greatest element; `None` where there is none, or one is NaN.
    #[must_use]
    pub fn range(&self) -> Option<(f64, f64)> {
        match self {
            Self::F16(data) => range(data.iter().map(|x| x.to_f64())),
            Self::F32(data) => range(data.iter().map(|x| f64::from(*x))),
            Self::U8(data) => range(data.iter().map(|x| f64::from(*x))),
            Self::I8(data) => range(data.iter().map(|x| f64::from(*x))),
            Self::F64(data) => range(data.iter().copied()),
            Self::I32(data) => range(data.iter().map(|x| f64::from(*x))),
            #[expect(clippy::cast_precision_loss, reason = "for people to read")]
            Self::I64(data) => range(data.iter().map(|x| *x as f64)),
        }
    }

    /// Whether `state` can take this over, or in words why not.
    pub(crate) fn fits(&self, state: &Tensor) -> Result<(), &'static str> {
        let other = TensorView::from(state);
        let is_finite = match self {
            Self::F32(data) => data.iter().all(|x| x.is_finite()),
            Self::F16(data) => data.iter().all(|x| x.is_finite()),
            Self::F64(data) => data.iter().all(|x| x.is_finite()),
            Self::U8(_) | Self::I8(_) | Self::I32(_) | Self::I64(_) => true,
        };
        if self.element() != other.element() {
            Err("another type")
        } else if self.len() != other.len() {
            Err("another shape")
        } else if !is_finite {
            // Fed back, it would spoil every frame to come.
            Err("NaN or an infinity")
        } else {
            Ok(())
        }
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        of_each!(Self, self, |data, _wrap| data.len())
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn range(mut elements: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let first = elements.next()?;
    elements.try_fold((first, first), |(least, most), one| {
        (!one.is_nan()).then(|| (least.min(one), most.max(one)))
    })
}
