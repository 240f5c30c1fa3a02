//! Weights of 4 bits. Matrix products become `MatMulNBits` of com.microsoft, which reads them as they are; weights of convolutions
//! are constants of int4, out of which the model makes ordinary ones whenever it runs.

use std::collections::BTreeMap;

use verge_engine::{EditError, EditableModel, NewNode, ProcessorClass, Tensor};

use super::super::plan::Core;
use super::super::weights::{self, Target};
use super::{length, turned};

/// Weights that share a step.
const BLOCK: usize = 32;
/// What stands for zero in `MatMulNBits`, whose numbers have no sign.
const ZERO: i8 = 8;
const DOMAIN: &str = "com.microsoft";
/// The version from which the standard operator reads numbers of 4 bits. That of the other domain does in any.
const STANDARD: i64 = 21;
/// The version from which it takes a step for each channel.
const PER_CHANNEL: i64 = 13;

pub(super) fn four_bits(model: &mut EditableModel, cores: &[Core]) -> Result<(), EditError> {
    // Weights that several layers read in one way are written once.
    let mut known: BTreeMap<(String, usize), [String; 2]> = BTreeMap::new();
    let mut made: BTreeMap<String, String> = BTreeMap::new();
    for core in cores {
        let Some((dims, numbers)) = model.floats(&core.weights) else { continue };
        if core.is_spatial {
            let read = match made.get(&core.weights) {
                Some(read) => read.clone(),
                None => made
                    .entry(core.weights.clone())
                    .or_insert(dequantised(model, core, (&dims, &numbers))?)
                    .clone(),
            };
            model.read_instead(&core.made, 1, &read)?;
            continue;
        }
        let (Ok(first), Ok(second)) = (usize::try_from(dims[0]), usize::try_from(dims[1])) else { continue };
        // Rows of what is written are the columns that come out.
        let (columns, depth, rows) = if core.axis == 0 {
            (first, second, numbers)
        } else {
            (second, first, turned(first, second, &numbers))
        };
        let key = (core.weights.clone(), core.axis);
        let [whole, scale] = match known.get(&key) {
            Some(names) => names.clone(),
            None => {
                known.entry(key).or_insert(blocks(model, &core.weights, (columns, depth, &rows))?).clone()
            }
        };
        model.remake(&core.made, &format!("{}_float", core.made))?;
        let mut inputs = vec![core.input.as_str(), &whole, &scale];
        if let Some(bias) = &core.bias {
            inputs.extend(["", "", bias]);
        }
        model.import(DOMAIN, 1);
        model.insert(&NewNode {
            operator: "MatMulNBits",
            domain: DOMAIN,
            inputs: &inputs,
            outputs: &[&core.made],
            integers: &[
                ("K", length(depth)),
                ("N", length(columns)),
                ("bits", 4),
                ("block_size", length(BLOCK)),
            ],
            ..NewNode::default()
        })?;
    }
    Ok(())
}

/// Weights for `MatMulNBits`: two numbers in a byte, row by row and block by block, and the step of each block.
fn blocks(
    model: &mut EditableModel,
    stem: &str,
    (columns, depth, rows): (usize, usize, &[f32]),
) -> Result<[String; 2], EditError> {
    let (mut bytes, mut scales) = (Vec::new(), Vec::new());
    for row in rows.chunks(depth.max(1)) {
        for block in row.chunks(BLOCK) {
            let (mut elements, scale) = whole(block);
            elements.resize(BLOCK, 0);
            let byte = |pair: &[i8]| {
                let [low, high] = [pair[0], pair[1]].map(|one| (one + ZERO).to_le_bytes()[0]);
                low | high << 4
            };
            bytes.extend(elements.chunks(2).map(byte));
            scales.push(scale);
        }
    }
    let names = ["four_bits", "scale"].map(|what| model.fresh(&format!("{stem}_{what}")));
    let sides = [length(columns), length(depth.div_ceil(BLOCK)), length(BLOCK / 2)];
    model.add_initializer(&names[0], &sides, &Tensor::U8(bytes))?;
    model.add_initializer(&names[1], &sides[..2], &Tensor::F32(scales))?;
    Ok(names)
}

/// Weights of a convolution: blocks within a channel, as long as fits and at most [`BLOCK`]; what makes ordinary numbers of the
/// shape of before out of them is given back.
fn dequantised(
    model: &mut EditableModel,
    core: &Core,
    (dims, numbers): (&[i64], &[f32]),
) -> Result<String, EditError> {
    let depth = usize::try_from(dims.iter().skip(1).product::<i64>()).unwrap_or(1).max(1);
    let block = (1..=BLOCK).rev().find(|block| depth.is_multiple_of(*block)).unwrap_or(1);
    // Of a prime depth a block would be one number.
    let block = if block * 4 < BLOCK.min(depth) { depth } else { block };
    let (elements, scales): (Vec<Vec<i8>>, Vec<f32>) = numbers.chunks(block).map(whole).unzip();
    let stem = &core.weights;
    let mut name = |what: &str| model.fresh(&format!("{stem}_{what}"));
    let [packed, scale, shape, flat, made] =
        ["four_bits", "scale", "shape", "flat", "dequantized"].map(&mut name);
    model.add_four_bits(&packed, &[length(scales.len()), length(block)], &elements.concat())?;
    model.add_initializer(&scale, &[length(scales.len())], &Tensor::F32(scales))?;
    model.add_initializer(&shape, &[length(dims.len())], &Tensor::I64(dims.to_vec()))?;
    unpacked(model, STANDARD, [&packed, &scale], &flat)?;
    model.insert(&NewNode {
        operator: "Reshape",
        inputs: &[&flat, &shape],
        outputs: &[&made],
        ..NewNode::default()
    })?;
    Ok(made)
}

/// Weights of convolutions of 8 bits with a step for each channel.
pub(super) fn eight_bits(model: &mut EditableModel, cores: &[Core]) -> Result<(), EditError> {
    // Nothing is added up in them: they are ordinary numbers before they are multiplied.
    const WHOLE: Target = Target { processor: ProcessorClass::X86Vnni };
    let mut known: BTreeMap<&str, String> = BTreeMap::new();
    for core in cores {
        let Some((dims, numbers)) = model.floats(&core.weights) else { continue };
        if !known.contains_key(core.weights.as_str()) {
            let weights = weights::whole((&dims, &numbers), core.axis, WHOLE, None, 1.0);
            let mut name = |what: &str| model.fresh(&format!("{}_{what}", core.weights));
            let [elements, scale, made] = ["quantized", "scale", "dequantized"].map(&mut name);
            model.add_initializer(&elements, &dims, &Tensor::I8(weights.elements))?;
            model.add_initializer(&scale, &[length(weights.scales.len())], &Tensor::F32(weights.scales))?;
            unpacked(model, PER_CHANNEL, [&elements, &scale], &made)?;
            known.insert(&core.weights, made);
        }
        model.read_instead(&core.made, 1, &known[core.weights.as_str()])?;
    }
    Ok(())
}

/// What makes ordinary numbers of whole ones, with a step for each of the first side; `standard`: the version from which the standard
/// operator does.
fn unpacked(
    model: &mut EditableModel,
    standard: i64,
    inputs: [&str; 2],
    made: &str,
) -> Result<(), EditError> {
    let is_standard = model.opset("").is_some_and(|version| version >= standard);
    if !is_standard {
        model.import(DOMAIN, 1);
    }
    model.insert(&NewNode {
        operator: "DequantizeLinear",
        domain: if is_standard { "" } else { DOMAIN },
        inputs: &inputs,
        outputs: &[made],
        integers: &[("axis", 0)],
        ..NewNode::default()
    })
}

/// A block in steps: the number that is furthest from zero stands at -8, whatever its sign, so that all 16 steps are used.
fn whole(block: &[f32]) -> (Vec<i8>, f32) {
    let furthest =
        block.iter().copied().fold(0.0_f32, |far, one| if one.abs() > far.abs() { one } else { far });
    let scale = furthest / f32::from(-ZERO);
    let scale = if scale.abs() > f32::MIN_POSITIVE && scale.is_finite() { scale } else { 1.0 };
    #[expect(clippy::cast_possible_truncation, reason = "from -8 to 7")]
    let nearest = |number: &f32| (number / scale).round_ties_even().clamp(-8.0, 7.0) as i8;
    (block.iter().map(nearest).collect(), scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_furthest_from_zero_is_kept() {
        let (elements, scale) = whole(&[0.8, -0.4, 0.1, 0.0]);
        assert_eq!((elements, scale), (vec![-8, 4, -1, 0], -0.1));
        assert_eq!(whole(&[-1.6, 1.6]), (vec![-8, 7], 0.2));
        assert_eq!(whole(&[0.0, 0.0]), (vec![0, 0], 1.0));
    }
}
