//! Matrix products on whole numbers whose activations are quantised while the model runs: the operators that
//! `onnxruntime.quantization.quantize_dynamic` writes, which the library puts together to one.

use std::collections::BTreeMap;

use verge_engine::{EditError, EditableModel, NewNode, Tensor};

use super::super::plan::Core;
use super::super::weights::{Target, whole};
use super::{length, turned};

/// The number of f32 in `Cast`.
const F32: i64 = 1;

pub(super) fn dynamic(model: &mut EditableModel, cores: &[Core], target: Target) -> Result<(), EditError> {
    // What several products read is quantised once: element, step, zero.
    let mut activations: BTreeMap<String, [String; 3]> = BTreeMap::new();
    let mut weights: BTreeMap<(String, usize), [String; 2]> = BTreeMap::new();
    for core in cores {
        let Some((dims, numbers)) = model.floats(&core.weights) else { continue };
        let key = (core.weights.clone(), core.axis);
        let [elements, scales] = match weights.get(&key) {
            Some(names) => names.clone(),
            None => weights.entry(key).or_insert(written(model, core, (&dims, &numbers), target)?).clone(),
        };
        let [input, step, zero] = match activations.get(&core.input) {
            Some(names) => names.clone(),
            None => activations.entry(core.input.clone()).or_insert(counted(model, &core.input)?).clone(),
        };
        model.remake(&core.made, &format!("{}_float", core.made))?;
        let name = |model: &mut EditableModel, what: &str| model.fresh(&format!("{}_{what}", core.made));
        let [product, as_float, steps] = ["integer", "counted", "steps"].map(|what| name(model, what));
        model.insert(&node("MatMulInteger", &[&input, &elements, &zero], &[&product]))?;
        model.insert(&NewNode { integers: &[("to", F32)], ..node("Cast", &[&product], &[&as_float]) })?;
        model.insert(&node("Mul", &[&step, &scales], &[&steps]))?;
        match &core.bias {
            None => model.insert(&node("Mul", &[&as_float, &steps], &[&core.made]))?,
            Some(bias) => {
                let scaled = name(model, "scaled");
                model.insert(&node("Mul", &[&as_float, &steps], &[&scaled]))?;
                model.insert(&node("Add", &[&scaled, bias], &[&core.made]))?;
            }
        }
    }
    Ok(())
}

fn node<'a>(operator: &'a str, inputs: &'a [&'a str], outputs: &'a [&'a str]) -> NewNode<'a> {
    NewNode { operator, inputs, outputs, ..NewNode::default() }
}

/// Weights with a step for each column.
fn written(
    model: &mut EditableModel,
    core: &Core,
    (dims, numbers): (&[i64], &[f32]),
    target: Target,
) -> Result<[String; 2], EditError> {
    let side = |place: usize| usize::try_from(dims[place]).unwrap_or(0);
    let weights = whole((dims, numbers), core.axis, target, None, 1.0);
    let (elements, sides) = if core.axis == 0 {
        (turned(side(0), side(1), &weights.elements), [dims[1], dims[0]])
    } else {
        (weights.elements, [dims[0], dims[1]])
    };
    let names = ["quantized", "scale"].map(|what| model.fresh(&format!("{}_{what}", core.weights)));
    model.add_initializer(&names[0], &sides, &Tensor::I8(elements))?;
    model.add_initializer(&names[1], &[length(weights.scales.len())], &Tensor::F32(weights.scales))?;
    Ok(names)
}

fn counted(model: &mut EditableModel, input: &str) -> Result<[String; 3], EditError> {
    let names = ["quantized", "scale", "zero_point"].map(|what| model.fresh(&format!("{input}_{what}")));
    model.insert(&NewNode {
        operator: "DynamicQuantizeLinear",
        inputs: &[input],
        outputs: &[&names[0], &names[1], &names[2]],
        ..NewNode::default()
    })?;
    Ok(names)
}
