//! Quantising: a model of ordinary numbers becomes one of whole numbers of 8 bits, by what its tensors were seen to hold. It
//! knows no pixels: pictures come in as the model reads them.
//!
//! Reading order: [`Quantiser`] (all of it), [`plan`] (which parts of a graph), [`range`](mod@range) (which numbers the steps stand for),
//! [`weights`] (whole numbers), [`apply`] (the new graph), [`observe`] (models that are looked into), [`sensitivity`] (which
//! layers lose most), [`repair`] (means and deviations put back), [`shrink`] (weights alone: pruned, of 4 bits, of 8 bits beside
//! activations that are counted while the model runs).

pub mod apply;
mod error;
pub mod observe;
pub mod plan;
pub mod range;
pub mod repair;
pub mod sensitivity;
pub mod shrink;
pub mod weights;

use std::collections::{BTreeMap, BTreeSet};

pub use error::QuantiseError;
pub use observe::{Bench, PreparedPictures};
pub use range::RangeMethod;
use range::{Grid, ObservedRange, Range};
use verge_engine::{EditableModel, ElementType, Graph, ProcessorClass, basic};
pub use weights::Target;

/// The least number of pictures that ranges rest on.
pub const LEAST_PICTURES: usize = 16;
/// Below this number of pictures, ranges may miss what a camera shows.
pub const FEW_PICTURES: usize = 40;
/// The version of the operators from which the file is taken as it is.
const OPSET: i64 = 10;
/// Pictures on which a model that was relabelled is held against itself.
const COMPARED: usize = 3;
/// What the file says who made it.
const PRODUCER: &str = "verge";

/// A model of ordinary numbers that is quantised, and what its tensors were seen to hold.
#[derive(Debug)]
pub struct Quantiser<'a> {
    bench: Bench<'a>,
    model: EditableModel,
    target: Target,
    observed: BTreeMap<String, ObservedRange>,
    /// Tensors that keep out what is below zero: their steps have no sign.
    clamped: BTreeSet<String>,
}

/// What was made of a model.
#[derive(Debug, Clone)]
pub struct Quantised {
    /// The new file.
    pub bytes: bytes::Bytes,
    /// Nodes with weights that stayed as they were, by their names or what they make.
    pub float: Vec<String>,
}

impl<'a> Quantiser<'a> {
    /// Simplifies a model and looks at the pictures with it. `step` is called with how far it is, of how much.
    ///
    /// # Errors
    /// See [`QuantiseError`].
    pub fn new(
        graph: &Graph,
        bench: Bench<'a>,
        target: Target,
        pictures: &mut dyn PreparedPictures,
        step: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, QuantiseError> {
        let model = simplified(graph, &bench, pictures, OPSET)?;
        let planned = plan::plan(&model, &bench.contract.input.name, &BTreeSet::new());
        if planned.cores.is_empty() {
            return Err(QuantiseError::Nothing);
        }
        let clamped = planned.tensors.iter().filter(|tensor| tensor.is_clamped);
        let clamped = clamped.map(|tensor| tensor.name.clone()).collect();
        let mut tensors: Vec<String> = planned.tensors.iter().map(|tensor| tensor.seen.clone()).collect();
        let mut known = BTreeSet::new();
        tensors.retain(|tensor| known.insert(tensor.clone()));
        // Where some nodes stay as they are, what was only moved may have a range of its own.
        tensors.extend(
            planned.tensors.into_iter().map(|tensor| tensor.name).filter(|name| known.insert(name.clone())),
        );
        let observed = bench.observe(&model, &tensors, pictures, true, step)?;
        Ok(Self { bench, model, target, observed, clamped })
    }

    /// The ranges of a method.
    #[must_use]
    pub fn ranges(&self, method: RangeMethod) -> BTreeMap<String, Range> {
        let grid = |tensor: &String| {
            let is_symmetric = self.target.is_signed() && !self.clamped.contains(tensor);
            if is_symmetric { Grid::Symmetric } else { Grid::Affine }
        };
        let range = |(tensor, observed): (&String, &ObservedRange)| {
            (tensor.clone(), observed.range(method, grid(tensor)))
        };
        self.observed.iter().map(range).collect()
    }

    /// Quantises it; `float`: nodes that stay as they are, by what they make.
    ///
    /// # Errors
    /// See [`QuantiseError`].
    pub fn quantised(
        &self,
        method: RangeMethod,
        float: &BTreeSet<String>,
    ) -> Result<Quantised, QuantiseError> {
        self.applied(&self.model, &self.ranges(method), float)
    }

    /// Quantises it, and puts means and deviations of its layers back to what they were.
    ///
    /// # Errors
    /// See [`QuantiseError`].
    pub fn repaired(
        &self,
        method: RangeMethod,
        float: &BTreeSet<String>,
        pictures: &mut dyn PreparedPictures,
        step: &mut dyn FnMut(usize, usize),
    ) -> Result<Quantised, QuantiseError> {
        let ranges = self.ranges(method);
        let model = repair::repaired(&self.bench, &self.model, float, &ranges, self.target, pictures, step)?;
        self.applied(&model, &ranges, float)
    }

    /// Nodes with weights by what they make, and what is kept of the outputs where each alone is quantised, in dB; the worst first.
    ///
    /// # Errors
    /// See [`QuantiseError`].
    pub fn sensitivity(
        &self,
        method: RangeMethod,
        pictures: &mut dyn PreparedPictures,
        step: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<(String, f64)>, QuantiseError> {
        let ranges = self.ranges(method);
        sensitivity::sensitivity(&self.bench, &self.model, &ranges, self.target, pictures, step)
    }

    fn applied(
        &self,
        model: &EditableModel,
        ranges: &BTreeMap<String, Range>,
        float: &BTreeSet<String>,
    ) -> Result<Quantised, QuantiseError> {
        let planned = plan::plan(model, &self.bench.contract.input.name, float);
        let mut applied = apply::apply(model, &planned, ranges, self.target)?.model;
        applied.sign(PRODUCER, env!("CARGO_PKG_VERSION"));
        Ok(Quantised { bytes: applied.write(), float: self.names(float) })
    }

    /// Names of nodes; of one without a name, what it makes.
    fn names(&self, made: &BTreeSet<String>) -> Vec<String> {
        let name = |made: &String| {
            let node = self.model.views().find(|node| node.outputs().first() == Some(made));
            node.map(|node| node.name()).filter(|name| !name.is_empty()).unwrap_or(made).to_owned()
        };
        made.iter().map(name).collect()
    }
}

/// The operator that shows that a model works on whole numbers; nothing where it does not.
#[must_use]
pub fn whole_operator(model: &EditableModel) -> Option<&str> {
    const WHOLE: [&str; 6] = [
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "ConvInteger",
        "MatMulInteger",
        "MatMulNBits",
    ];
    let is_whole = |operator: &&str| {
        WHOLE.contains(operator) || operator.starts_with("QLinear") || operator.starts_with("QGemm")
    };
    model.views().map(|node| node.operator()).find(is_whole)
}

/// Whether products of 8 bit numbers may overflow where this kind of processor runs a model. It adds two of them in 16 bits, which
/// hold two of 255 · 64 and not two of 255 · 65.
#[must_use]
pub fn may_overflow(model: &EditableModel, processor: ProcessorClass) -> bool {
    const FITS: u8 = 64;
    let adds_in_16_bits = Target { processor }.largest_weight() < i8::MAX;
    // Weights that the library only quantises when it loads the file may use all bits.
    adds_in_16_bits
        && whole_operator(model).is_some()
        && model.largest_weight().is_none_or(|largest| largest > FITS)
}

/// A float model as it is changed: simplified, without what nothing reads, in this version of the operators or a later one.
fn simplified(
    graph: &Graph,
    bench: &Bench<'_>,
    pictures: &mut dyn PreparedPictures,
    opset: i64,
) -> Result<EditableModel, QuantiseError> {
    let original = EditableModel::read(graph.bytes())?;
    look_through(&original)?;
    let mut model = EditableModel::read(&basic::simplified(bench.runtime, graph.bytes())?)?;
    model.tidy();
    if model.opset("").is_some_and(|version| version < opset) {
        relabel(&mut model, bench, pictures)?;
    }
    let element = bench.contract.input.element;
    if element != ElementType::F32 && model.views().all(|node| node.operator() != "Cast") {
        return Err(QuantiseError::NotF32 { element: element.as_str() });
    }
    Ok(model)
}

/// Refuses what is not a model of ordinary numbers, or does not always run the same nodes.
fn look_through(model: &EditableModel) -> Result<(), QuantiseError> {
    if let Some(operator) = whole_operator(model) {
        return Err(QuantiseError::Quantised { operator: operator.to_owned() });
    }
    match model.views().find(|node| node.has_graphs()) {
        Some(node) => Err(QuantiseError::ControlFlow { operator: node.operator().to_owned() }),
        None => Ok(()),
    }
}

/// Writes an old model in a newer version of the operators, and proves on pictures that it is the same.
fn relabel(
    model: &mut EditableModel,
    bench: &Bench<'_>,
    pictures: &mut dyn PreparedPictures,
) -> Result<(), QuantiseError> {
    let mut newer = model.clone();
    newer.relabel()?;
    let outputs = &bench.contract.outputs;
    let mut answers = |model: &EditableModel| {
        let mut answers: Vec<u32> = Vec::new();
        let numbers = 0..pictures.count().min(COMPARED);
        bench.run(model, outputs, pictures, numbers, |_, _, _, numbers| {
            answers.extend(numbers.iter().map(|number| number.to_bits()));
            Ok(())
        })?;
        Ok::<_, QuantiseError>(answers)
    };
    let version = model.opset("").unwrap_or(1);
    if answers(model)? != answers(&newer)? {
        return Err(QuantiseError::Opset { version });
    }
    *model = newer;
    Ok(())
}

#[cfg(test)]
mod tests;
