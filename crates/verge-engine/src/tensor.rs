//! Elements of tensors: those that go in, and those that come out where the library left them.

use half::f16;
use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorRef};

use crate::port::{Port, element_of};
use crate::run::{RunError, failed};

/// One row for each type of elements: its variant, Rust's type, its name in cards and messages, how one becomes a real
/// number, and how it is made of one.
macro_rules! elements {
    ($($(#[$doc:meta])* $kind:ident $type:ty, $name:literal, $real:expr, $made:expr;)*) => {
        /// Types of elements that are fed and read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ElementType {
            $($(#[$doc])* $kind,)*
        }

        impl ElementType {
            /// Its name in cards and messages.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }

        /// Elements of a tensor.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Tensor {
            $($(#[$doc])* $kind(Vec<$type>),)*
        }

        impl Tensor {
            pub(crate) fn zeros(element: ElementType, elements: usize) -> Self {
                match element {
                    $(ElementType::$kind => Self::$kind(vec![<$type>::default(); elements]),)*
                }
            }

            /// Of these numbers, as near as its elements come.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "numbers of a card; what is beyond an element's range saturates"
            )]
            pub(crate) fn of(element: ElementType, numbers: &[f64]) -> Self {
                match element {
                    $(ElementType::$kind => Self::$kind(numbers.iter().map(|number| $made(*number)).collect()),)*
                }
            }

            pub(crate) fn borrow<'a>(&'a self, shape: &'a [i64]) -> ort::Result<SessionInputValue<'a>> {
                Ok(match self {
                    $(Self::$kind(data) => TensorRef::from_array_view((shape, &data[..]))?.into(),)*
                })
            }

            /// Takes over an output that was found to [fit](TensorView::fits).
            pub(crate) fn copy_from(&mut self, view: TensorView<'_>) {
                match (self, view) {
                    $((Self::$kind(to), TensorView::$kind(from)) => to.copy_from_slice(from),)*
                    _ => unreachable!("the types were compared before"),
                }
            }
        }

        impl<'a> From<&'a Tensor> for TensorView<'a> {
            fn from(tensor: &'a Tensor) -> Self {
                match tensor {
                    $(Tensor::$kind(data) => Self::$kind(data),)*
                }
            }
        }

        /// Elements of an output, where the library left them.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum TensorView<'a> {
            $($(#[$doc])* $kind(&'a [$type]),)*
        }

        impl<'a> TensorView<'a> {
            /// The elements of a value.
            pub(crate) fn of(name: &str, value: &'a DynValue) -> Result<(&'a [i64], Self), RunError> {
                match value.dtype().tensor_type().and_then(element_of) {
                    $(Some(ElementType::$kind) => {
                        let (shape, data) = value.try_extract_tensor::<$type>().map_err(failed)?;
                        Ok((&shape[..], Self::$kind(data)))
                    })*
                    None => {
                        Err(RunError::unexpected_output(name, Port::new(name, value.dtype()).described()))
                    }
                }
            }

            /// The first of `parts` equal parts.
            pub(crate) fn first_of(self, parts: usize) -> Self {
                let length = self.len() / parts.max(1);
                match self {
                    $(Self::$kind(data) => Self::$kind(&data[..length]),)*
                }
            }

            /// The type of its elements.
            #[must_use]
            pub const fn element(&self) -> ElementType {
                match self {
                    $(Self::$kind(_) => ElementType::$kind,)*
                }
            }

            /// How many elements there are.
            #[must_use]
            pub const fn len(&self) -> usize {
                match self {
                    $(Self::$kind(data) => data.len(),)*
                }
            }

            /// The least and the greatest element; `None` where there is none, or one is NaN.
            #[must_use]
            pub fn range(&self) -> Option<(f64, f64)> {
                match self {
                    $(Self::$kind(data) => range(data.iter().copied().map($real)),)*
                }
            }
        }
    };
}

elements! {
    /// IEEE 754 single precision.
    F32 f32, "f32", f64::from, |x: f64| x as f32;
    /// IEEE 754 half precision.
    F16 f16, "f16", f16::to_f64, f16::from_f64;
    /// Unsigned bytes.
    U8 u8, "u8", f64::from, |x: f64| x as u8;
    /// Signed bytes.
    I8 i8, "i8", f64::from, |x: f64| x as i8;
    /// IEEE 754 double precision.
    F64 f64, "f64", f64::from, |x: f64| x;
    /// Integers of 32 bits, as counts have them.
    I32 i32, "i32", f64::from, |x: f64| x as i32;
    /// Integers of 64 bits, as classes have them in exports of PyTorch.
    I64 i64, "i64", nearly, |x: f64| x as i64;
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
const fn nearly(whole: i64) -> f64 {
    whole as f64
}

impl ElementType {
    /// All of them, in words.
    pub const ALL: &str = "f32, f16, f64, u8, i8, i32 or i64";
}

impl TensorView<'_> {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
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
}

fn range(mut elements: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let first = elements.next()?;
    elements.try_fold((first, first), |(least, most), one| {
        (!one.is_nan()).then(|| (least.min(one), most.max(one)))
    })
}
