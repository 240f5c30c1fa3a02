//! A quantised model as one of ordinary numbers: weights become what they stand for, and nothing between them is rounded any more.

use std::collections::BTreeMap;

use super::constant::{constant, data_type};
use super::{EditError, EditableModel};
use crate::onnx::graph::{TensorProto, ValueInfo};
use crate::tensor::{ElementType, Tensor};

impl EditableModel {
    /// Leaves out what makes whole numbers of ordinary ones and back. Inputs and outputs of bytes become ordinary numbers: what
    /// the bytes stood for.
    ///
    /// # Errors
    /// [`EditError::NoTensor`] where a constant is of another type than such models have; the model is then of no use.
    pub fn dequantise(&mut self) -> Result<(), EditError> {
        let graph = self.graph_mut();
        let constants: BTreeMap<String, TensorProto> =
            graph.initializer.iter().map(|one| (one.name().to_owned(), one.clone())).collect();
        let mut replaced: BTreeMap<String, String> = BTreeMap::new();
        let mut kept = Vec::with_capacity(graph.node.len());
        for node in std::mem::take(&mut graph.node) {
            let (Some(from), Some(to)) = (node.input.first(), node.output.first()) else {
                // A `Constant` reads nothing.
                kept.push(node);
                continue;
            };
            match (node.op_type(), constants.get(from)) {
                ("DequantizeLinear", Some(whole)) => {
                    let axis = node.attribute.iter().find(|one| one.name() == "axis").and_then(|one| one.i);
                    let part =
                        |position: usize| node.input.get(position).and_then(|name| constants.get(name));
                    let numbers = numbers(whole, part(1), part(2), axis.unwrap_or(1));
                    let numbers = numbers.ok_or_else(|| EditError::NoTensor(from.clone()))?;
                    graph.initializer.push(constant(to, &whole.dims, &Tensor::F32(numbers))?);
                }
                ("QuantizeLinear" | "DequantizeLinear", _) => {
                    replaced.insert(to.clone(), from.clone());
                }
                _ => kept.push(node),
            }
        }
        let last = |name: &str| {
            let mut name = name;
            while let Some(before) = replaced.get(name) {
                name = before;
            }
            name.to_owned()
        };
        kept.iter_mut().flat_map(|node| &mut node.input).for_each(|input| *input = last(input));
        for output in &graph.output {
            let made = last(output.name());
            let names = kept.iter_mut().flat_map(|node| node.output.iter_mut().chain(&mut node.input));
            names.filter(|name| **name == made).for_each(|name| output.name().clone_into(name));
        }
        graph.node = kept;
        graph.input.iter_mut().chain(&mut graph.output).for_each(ordinary);
        graph.value_info.clear();
        self.tidy();
        Ok(())
    }
}

/// A value of bytes becomes one of ordinary numbers.
fn ordinary(value: &mut ValueInfo) {
    let tensor = value.r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut());
    let bytes = [ElementType::U8, ElementType::I8].map(data_type);
    if let Some(tensor) = tensor.filter(|tensor| bytes.contains(&tensor.elem_type())) {
        tensor.elem_type = Some(data_type(ElementType::F32));
    }
}

/// What whole numbers stand for: `(number - zero) · scale`, by channel where there is a step for each.
fn numbers(
    whole: &TensorProto,
    scale: Option<&TensorProto>,
    zero: Option<&TensorProto>,
    axis: i64,
) -> Option<Vec<f32>> {
    let elements = integers(whole)?;
    let scales = floats(scale?);
    let zeros = zero.map_or_else(|| Some(vec![0.0]), integers)?;
    let axis = usize::try_from(axis).ok()?;
    let side = |dim: &i64| usize::try_from(*dim).unwrap_or(0);
    let inner: usize = whole.dims.iter().skip(axis + 1).map(side).product();
    let channel = |place: usize| place / inner.max(1) % scales.len().max(1);
    let number = |(place, element): (usize, &f64)| {
        let channel = channel(place);
        let zero = zeros.get(channel).or(zeros.first()).copied().unwrap_or(0.0);
        #[expect(clippy::cast_possible_truncation, reason = "what comes out is of this precision")]
        let number = ((element - zero) * f64::from(*scales.get(channel)?)) as f32;
        Some(number)
    };
    elements.iter().enumerate().map(number).collect()
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    let raw = tensor.raw_data().chunks_exact(size_of::<f32>());
    let read = raw.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of four")));
    if tensor.float_data.is_empty() { read.collect() } else { tensor.float_data.clone() }
}

fn integers(tensor: &TensorProto) -> Option<Vec<f64>> {
    if !tensor.int32_data.is_empty() {
        return Some(tensor.int32_data.iter().copied().map(f64::from).collect());
    }
    let raw = tensor.raw_data();
    let four = |bytes: &[u8]| f64::from(i32::from_le_bytes(bytes.try_into().expect("chunks of four")));
    Some(match tensor.data_type() {
        of if of == data_type(ElementType::U8) => raw.iter().copied().map(f64::from).collect(),
        of if of == data_type(ElementType::I8) => {
            raw.iter().map(|byte| f64::from(i8::from_le_bytes([*byte]))).collect()
        }
        of if of == data_type(ElementType::I32) => raw.chunks_exact(4).map(four).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_become_what_they_stand_for() {
        let tensor = |dims: &[i64], numbers: &Tensor| constant("t", dims, numbers).unwrap();
        let whole = tensor(&[2, 2], &Tensor::I8(vec![-128, 127, 3, 4]));
        let one = tensor(&[], &Tensor::F32(vec![0.5]));
        assert_eq!(numbers(&whole, Some(&one), None, 1), Some(vec![-64.0, 63.5, 1.5, 2.0]));
        let each = tensor(&[2], &Tensor::F32(vec![0.5, 2.0]));
        let zeros = tensor(&[2], &Tensor::I8(vec![0, 3]));
        assert_eq!(numbers(&whole, Some(&each), Some(&zeros), 0), Some(vec![-64.0, 63.5, 0.0, 2.0]));
        let bias = tensor(&[2], &Tensor::I32(vec![-70_000, 1]));
        assert_eq!(numbers(&bias, Some(&one), None, 0), Some(vec![-35_000.0, 0.5]));
        assert_eq!(numbers(&tensor(&[1], &Tensor::F32(vec![1.0])), Some(&one), None, 0), None);
    }
}
