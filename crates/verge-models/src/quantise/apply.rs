//! A plan carried out: quantised weights in the place of the old ones, and around them what makes whole numbers of ordinary
//! ones and back, which the library puts together to operators on whole numbers.

use std::collections::BTreeMap;

use verge_engine::{EditError, EditableModel, NewNode, Tensor};

use super::plan::{Core, Plan};
use super::range::Range;
use super::weights::{Steps, Target, whole, whole_bias};

/// The version from which the standard operators take a step for each channel. Before it those of another domain do the same.
const PER_CHANNEL: i64 = 13;
const OTHER_DOMAIN: &str = "com.microsoft";

/// A quantised model.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The model.
    pub model: EditableModel,
    /// What makes each quantised tensor gives it under another name, before it is quantised.
    pub raw: BTreeMap<String, String>,
}

/// Carries a plan out. `ranges`: of each tensor whose range is [seen](super::plan::PlannedTensor::seen).
///
/// # Errors
/// The plan is of another model.
pub fn apply(
    model: &EditableModel,
    plan: &Plan,
    ranges: &BTreeMap<String, Range>,
    target: Target,
) -> Result<Applied, EditError> {
    let mut applying = Applying::new(model.clone(), plan, ranges, target);
    plan.folded.iter().try_for_each(|activated| applying.model.leave_out(activated))?;
    plan.cores.iter().try_for_each(|core| applying.core(core))?;
    for (made, position, constant) in &plan.constants {
        applying.constant(made, *position, constant)?;
    }
    for tensor in &plan.tensors {
        applying.tensor(&tensor.name)?;
    }
    applying.model.tidy();
    Ok(Applied { model: applying.model, raw: applying.raw })
}

struct Applying {
    model: EditableModel,
    target: Target,
    domain: &'static str,
    steps: BTreeMap<String, Steps>,
    raw: BTreeMap<String, String>,
    /// Weights that several nodes read: by name and side, their steps and what makes them.
    weights: BTreeMap<(String, usize), (Vec<f32>, String)>,
}

impl Applying {
    fn new(mut model: EditableModel, plan: &Plan, ranges: &BTreeMap<String, Range>, target: Target) -> Self {
        let is_standard = model.opset("").is_some_and(|version| version >= PER_CHANNEL);
        let domain = if is_standard { "" } else { OTHER_DOMAIN };
        if !is_standard {
            model.import(OTHER_DOMAIN, 1);
        }
        const NOTHING: Range = Range { low: 0.0, high: 0.0 };
        const SHARE: Range = Range { low: 0.0, high: 1.0 };
        let clamped = |name: &str| plan.tensors.iter().any(|tensor| tensor.name == name && tensor.is_clamped);
        let steps = plan.tensors.iter().map(|tensor| {
            let range = if tensor.is_share { SHARE } else { *ranges.get(&tensor.seen).unwrap_or(&NOTHING) };
            (tensor.name.clone(), target.steps(range, clamped(&tensor.seen)))
        });
        let steps = steps.collect();
        Self { model, target, domain, steps, raw: BTreeMap::new(), weights: BTreeMap::new() }
    }

    fn core(&mut self, core: &Core) -> Result<(), EditError> {
        let missing = |name: &str| EditError::NoTensor(name.to_owned());
        let input = self.steps.get(&core.input).ok_or_else(|| missing(&core.input))?.scale;
        let (dims, numbers) = self.model.floats(&core.weights).ok_or_else(|| missing(&core.weights))?;
        let bias = core.bias.as_ref().and_then(|bias| self.model.floats(bias)).map(|(_, numbers)| numbers);
        let weights = whole((&dims, &numbers), core.axis, self.target, bias.as_deref(), input);
        let key = (core.weights.clone(), core.axis);
        let known = self.weights.get(&key).filter(|(scales, _)| *scales == weights.scales);
        let read = match known {
            Some((_, read)) => read.clone(),
            None => {
                let zero = Tensor::I8(vec![0; weights.scales.len()]);
                let elements = Tensor::I8(weights.elements);
                let read = self.dequantised(
                    &core.weights,
                    (&dims, &elements),
                    &weights.scales,
                    &zero,
                    Some(core.axis),
                )?;
                self.weights.insert(key, (weights.scales.clone(), read.clone()));
                read
            }
        };
        self.model.read_instead(&core.output, 1, &read)?;
        if let (Some(name), Some(bias)) = (&core.bias, bias) {
            let (elements, products) = whole_bias(&bias, input, &weights.scales);
            let (dims, zero) = ([length(elements.len())], Tensor::I32(vec![0; elements.len()]));
            let read = self.dequantised(name, (&dims, &Tensor::I32(elements)), &products, &zero, Some(0))?;
            self.model.read_instead(&core.output, 2, &read)?;
        }
        Ok(())
    }

    fn constant(&mut self, made: &str, position: usize, constant: &str) -> Result<(), EditError> {
        let Some((dims, numbers)) = self.model.floats(constant) else { return Ok(()) };
        let (low, high) =
            numbers.iter().fold((0.0_f32, 0.0_f32), |(low, high), one| (low.min(*one), high.max(*one)));
        let steps = self.target.steps(Range { low, high }, false);
        let elements = steps.elements(&numbers);
        let read =
            self.dequantised(constant, (&dims, &elements), &[steps.scale], &steps.zero_point(), None)?;
        self.model.read_instead(made, position, &read)
    }

    /// A constant of whole numbers, and what makes ordinary ones of them, which is given back.
    fn dequantised(
        &mut self,
        stem: &str,
        (dims, elements): (&[i64], &Tensor),
        scales: &[f32],
        zero: &Tensor,
        axis: Option<usize>,
    ) -> Result<String, EditError> {
        let whole = self.model.fresh(&format!("{stem}_quantized"));
        self.model.add_initializer(&whole, dims, elements)?;
        let sides: &[i64] = if axis.is_some() { &[length(scales.len())] } else { &[] };
        let [scale, zero] = self.scale_and_zero(stem, sides, scales, zero)?;
        let made = self.model.fresh(&format!("{stem}_dequantized"));
        let axis: Vec<(&str, i64)> = axis.map(|axis| ("axis", length(axis))).into_iter().collect();
        self.model.insert(&NewNode {
            operator: "DequantizeLinear",
            domain: self.domain,
            inputs: &[&whole, &scale, &zero],
            outputs: &[&made],
            integers: &axis,
            ..NewNode::default()
        })?;
        Ok(made)
    }

    fn scale_and_zero(
        &mut self,
        stem: &str,
        sides: &[i64],
        scales: &[f32],
        zero: &Tensor,
    ) -> Result<[String; 2], EditError> {
        let names = ["scale", "zero_point"].map(|what| self.model.fresh(&format!("{stem}_{what}")));
        self.model.add_initializer(&names[0], sides, &Tensor::F32(scales.to_vec()))?;
        self.model.add_initializer(&names[1], sides, zero)?;
        Ok(names)
    }

    /// Whoever reads a tensor reads it out of whole numbers from now on.
    fn tensor(&mut self, name: &str) -> Result<(), EditError> {
        let steps = self.steps[name];
        let [scale, zero] = self.scale_and_zero(name, &[], &[steps.scale], &steps.zero_point())?;
        let is_input = self.model.inputs().any(|input| input == name);
        let (from, to) = if is_input {
            (name.to_owned(), self.model.fresh(&format!("{name}_dequantized")))
        } else {
            let raw = self.model.remake(name, &format!("{name}_float"))?;
            self.raw.insert(name.to_owned(), raw.clone());
            (raw, name.to_owned())
        };
        let whole = self.model.fresh(&format!("{name}_quantized"));
        for (operator, input, output) in
            [("QuantizeLinear", &from, &whole), ("DequantizeLinear", &whole, &to)]
        {
            self.model.insert(&NewNode {
                operator,
                domain: self.domain,
                inputs: &[input, &scale, &zero],
                outputs: &[output],
                ..NewNode::default()
            })?;
        }
        if is_input { self.model.redirect(name, &to) } else { Ok(()) }
    }
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
