//! Sides of constants and of outputs.

use bytes::Bytes;
use prost::Message;

use super::{EditError, EditableModel};
use crate::onnx::graph::{TensorProto, TensorType, TypeProto};
use crate::tensor::{ElementType, Tensor};

/// `TensorShapeProto` of `onnx.proto`.
#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Side>,
}

/// One without a value is free.
#[derive(Clone, PartialEq, Message)]
struct Side {
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
}

impl EditableModel {
    /// The sides of a constant, whatever its elements are; `None` where there is none of the name.
    #[must_use]
    pub fn dims(&self, constant: &str) -> Option<&[i64]> {
        let found = self.graph().initializer.iter().find(|known| known.name() == constant)?;
        Some(&found.dims)
    }

    /// How far from zero the weights of signed 8 bit numbers reach; `None` where there are none. Weights have two sides or more, what
    /// stands for zero has fewer.
    #[must_use]
    pub fn largest_weight(&self) -> Option<u8> {
        let reach = |tensor: &TensorProto| {
            let listed =
                tensor.int32_data.iter().map(|one| u8::try_from(one.unsigned_abs()).unwrap_or(u8::MAX));
            let raw = tensor.raw_data().iter().map(|one| i8::from_le_bytes([*one]).unsigned_abs());
            listed.chain(raw).max()
        };
        let is_weight = |tensor: &&TensorProto| {
            tensor.data_type() == super::data_type(ElementType::I8) && tensor.dims.len() >= 2
        };
        self.graph().initializer.iter().filter(is_weight).filter_map(reach).max()
    }

    /// Sides and numbers of a constant of whole numbers of 8 bits; `None` where there is none of the name.
    #[must_use]
    pub fn bytes_of(&self, constant: &str) -> Option<(Vec<i64>, Tensor)> {
        let tensor = self.graph().initializer.iter().find(|known| known.name() == constant)?;
        let (listed, raw) = (tensor.int32_data.iter(), tensor.raw_data().iter());
        let is = |element| tensor.data_type() == super::data_type(element);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "listed as integers of 32 bits"
        )]
        let numbers = if is(ElementType::I8) {
            Tensor::I8(listed.map(|one| *one as i8).chain(raw.map(|one| i8::from_le_bytes([*one]))).collect())
        } else if is(ElementType::U8) {
            Tensor::U8(listed.map(|one| *one as u8).chain(raw.copied()).collect())
        } else {
            return None;
        };
        Some((tensor.dims.clone(), numbers))
    }

    /// States type and sides of an output; a side below zero is free.
    ///
    /// # Errors
    /// [`EditError::NoTensor`] where it is no output.
    pub fn describe_output(
        &mut self,
        output: &str,
        element: ElementType,
        sides: &[i64],
    ) -> Result<(), EditError> {
        let dim = sides.iter().map(|side| Side { dim_value: (*side >= 0).then_some(*side) }).collect();
        let shape = Bytes::from(Shape { dim }.encode_to_vec());
        let tensor = TensorType { elem_type: Some(super::data_type(element)), shape: Some(shape) };
        let found = self.graph_mut().output.iter_mut().find(|known| known.name() == output);
        let found = found.ok_or_else(|| EditError::NoTensor(output.to_owned()))?;
        found.r#type = Some(TypeProto { tensor_type: Some(tensor), ..TypeProto::default() });
        Ok(())
    }
}
