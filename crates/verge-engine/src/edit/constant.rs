//! Numbers as a constant of a graph.

use bytes::Bytes;
use half::f16;

use super::{EditError, EditableModel};
use crate::onnx::graph::TensorProto;
use crate::tensor::{ElementType, Tensor};

/// The number of an element's type.
///
/// **Source**: `TensorProto.DataType` of `onnx.proto`.
pub(super) const fn data_type(element: ElementType) -> i32 {
    match element {
        ElementType::F32 => 1,
        ElementType::U8 => 2,
        ElementType::I8 => 3,
        ElementType::I32 => 6,
        ElementType::I64 => 7,
        ElementType::F16 => 10,
        ElementType::F64 => 11,
    }
}

/// The number of a signed whole number of 4 bits.
const INT4: i32 = 22;
/// The version of the file format that numbers of 4 bits came with.
const INT4_IR_VERSION: i64 = 10;

impl EditableModel {
    /// Adds a constant of numbers from -8 to 7, two in a byte, under a name of its own, see [`Self::fresh`].
    ///
    /// # Errors
    /// [`EditError::Shape`]; nothing is changed then.
    pub fn add_four_bits(&mut self, name: &str, dims: &[i64], numbers: &[i8]) -> Result<(), EditError> {
        filled(name, dims, numbers.len())?;
        // The first of two stands in the lower half.
        let pair = |pair: &[i8]| {
            let [low, high] =
                [pair[0], pair.get(1).copied().unwrap_or(0)].map(|one| one.to_le_bytes()[0] & 15);
            low | high << 4
        };
        let tensor = TensorProto {
            dims: dims.to_vec(),
            data_type: Some(INT4),
            name: Some(name.to_owned()),
            raw_data: Some(numbers.chunks(2).map(pair).collect::<Vec<u8>>().into()),
            ..Default::default()
        };
        self.names.insert(name.to_owned());
        self.graph_mut().initializer.push(tensor);
        self.model.ir_version = Some(self.model.ir_version().max(INT4_IR_VERSION));
        Ok(())
    }
}

/// Whether this many numbers fill the shape.
fn filled(name: &str, dims: &[i64], count: usize) -> Result<(), EditError> {
    let expected = dims.iter().try_fold(1_i64, |product, dim| product.checked_mul(*dim));
    if expected.and_then(|expected| usize::try_from(expected).ok()) == Some(count) {
        return Ok(());
    }
    Err(EditError::Shape { name: name.to_owned(), dims: dims.to_vec(), numbers: count })
}

pub(super) fn constant(name: &str, dims: &[i64], numbers: &Tensor) -> Result<TensorProto, EditError> {
    let (element, count, raw): (ElementType, usize, Vec<u8>) = match numbers {
        Tensor::F32(data) => {
            (ElementType::F32, data.len(), data.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        Tensor::F16(data) => {
            (ElementType::F16, data.len(), data.iter().copied().flat_map(f16::to_le_bytes).collect())
        }
        Tensor::F64(data) => {
            (ElementType::F64, data.len(), data.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        Tensor::U8(data) => (ElementType::U8, data.len(), data.clone()),
        Tensor::I8(data) => {
            (ElementType::I8, data.len(), data.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        Tensor::I32(data) => {
            (ElementType::I32, data.len(), data.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        Tensor::I64(data) => {
            (ElementType::I64, data.len(), data.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
    };
    filled(name, dims, count)?;
    Ok(TensorProto {
        dims: dims.to_vec(),
        data_type: Some(data_type(element)),
        name: Some(name.to_owned()),
        raw_data: Some(Bytes::from(raw)),
        ..Default::default()
    })
}
