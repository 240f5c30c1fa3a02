//! An old model as one of a newer version of the operators, where that is the same model.
//!
//! **Source**: `docs/Changelog.md` of ONNX. Listed are operators that mean the same from version 7 to 12; of three the numbers
//! that stood beside a node became tensors.

use super::{EditError, EditableModel};
use crate::onnx::graph::AttributeProto;
use crate::tensor::Tensor;

/// The oldest version that is taken over.
const OLDEST: i64 = 7;
/// What old models become.
pub const RELABELLED: i64 = 12;
/// The version of the file format that version 12 of the operators came with.
const IR_VERSION: i64 = 7;
/// Those that mean the same.
const SAME: [&str; 44] = [
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Concat",
    "Constant",
    "Conv",
    "Div",
    "Elu",
    "Exp",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "Identity",
    "LRN",
    "LeakyRelu",
    "Log",
    "MatMul",
    "MaxPool",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Shape",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

impl EditableModel {
    /// Writes the model in version [`RELABELLED`] of the operators, where all of them are known to mean the same there.
    ///
    /// # Errors
    /// [`EditError::Operator`]; nothing is changed then.
    pub fn relabel(&mut self) -> Result<(), EditError> {
        let version = self.opset("").unwrap_or(1);
        if version >= RELABELLED {
            return Ok(());
        }
        let mut changed = self.clone();
        for position in 0..changed.graph().node.len() {
            changed.relabel_node(position, version)?;
        }
        for set in &mut changed.model.opset_import {
            if matches!(set.domain(), "" | "ai.onnx") {
                set.version = Some(RELABELLED);
            }
        }
        changed.model.ir_version = Some(changed.model.ir_version().max(IR_VERSION));
        *self = changed;
        Ok(())
    }

    fn relabel_node(&mut self, position: usize, version: i64) -> Result<(), EditError> {
        let node = &self.graph().node[position];
        let operator = node.op_type().to_owned();
        let refused = || EditError::Operator { operator: operator.clone(), version };
        if !matches!(node.domain(), "" | "ai.onnx") {
            return Ok(());
        }
        let is_attribute = |name: &str| node.attribute.iter().any(|one| one.name() == name);
        let is_same = SAME.contains(&operator.as_str());
        if version < OLDEST || operator == "BatchNormalization" && is_attribute("spatial") {
            return Err(refused());
        }
        match operator.as_str() {
            _ if is_same => Ok(()),
            "Clip" if version < 11 => self.numbers_to_inputs(position, &[("min", &[]), ("max", &[])]),
            "Slice" if version < 10 => self.lists_to_inputs(position, &["starts", "ends", "axes"]),
            "Pad" if version < 11 => {
                self.lists_to_inputs(position, &["pads"])?;
                self.numbers_to_inputs(position, &[("value", &[0.0])])
            }
            "Clip" | "Pad" | "Slice" => Ok(()),
            _ => Err(refused()),
        }
    }

    /// Numbers beside a node become its next inputs; in the place of one that is not there stands its default, or nothing.
    fn numbers_to_inputs(&mut self, position: usize, names: &[(&str, &[f32])]) -> Result<(), EditError> {
        for (name, default) in names {
            let number = self.take(position, name).and_then(|one| one.f);
            let input = match number.or(default.first().copied()) {
                Some(number) => self.constant_beside(name, &[], &Tensor::F32(vec![number]))?,
                None => String::new(),
            };
            self.graph_mut().node[position].input.push(input);
        }
        Ok(())
    }

    fn lists_to_inputs(&mut self, position: usize, names: &[&str]) -> Result<(), EditError> {
        for name in names {
            let Some(list) = self.take(position, name) else { continue };
            let dims = [i64::try_from(list.ints.len()).unwrap_or(i64::MAX)];
            let input = self.constant_beside(name, &dims, &Tensor::I64(list.ints))?;
            self.graph_mut().node[position].input.push(input);
        }
        Ok(())
    }

    fn constant_beside(&mut self, stem: &str, dims: &[i64], numbers: &Tensor) -> Result<String, EditError> {
        let name = self.fresh(&format!("verge_{stem}"));
        self.add_initializer(&name, dims, numbers)?;
        Ok(name)
    }

    fn take(&mut self, position: usize, name: &str) -> Option<AttributeProto> {
        let attributes = &mut self.graph_mut().node[position].attribute;
        let found = attributes.iter().position(|one| one.name() == name)?;
        Some(attributes.remove(found))
    }
}
