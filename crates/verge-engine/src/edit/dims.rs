//! Sides of constants and of outputs.

use bytes::Bytes;
use prost::Message;

use super::{EditError, EditableModel};
use crate::onnx::graph::{TensorType, TypeProto};
use crate::tensor::ElementType;

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
