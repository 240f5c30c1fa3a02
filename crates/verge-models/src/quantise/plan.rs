//! What of a graph is quantised: which nodes work on whole numbers, and between which tensors they do.
//!
//! The library runs a node on whole numbers where all that it reads and makes is quantised. So the tensors around every node
//! with weights are quantised, and those of the nodes between them; what leads to no further such node stays as it is, since it
//! gains nothing and costs accuracy.

use std::collections::{BTreeMap, BTreeSet};

use verge_engine::{EditableModel, NodeView};

/// Operators that work on whole numbers where all that they read is quantised.
const FOLLOWING: [&str; 19] = [
    "Add",
    "AveragePool",
    "Concat",
    "DepthToSpace",
    "Flatten",
    "Gather",
    "GlobalAveragePool",
    "LeakyRelu",
    "MaxPool",
    "Mul",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];
/// Those that only move numbers: what they make has the range of what they read.
const MOVING: [&str; 11] = [
    "DepthToSpace",
    "Flatten",
    "Gather",
    "MaxPool",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// A node with weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    /// The tensor that it makes, which names it.
    pub made: String,
    /// The tensor that it makes once the activation behind it is left out.
    pub output: String,
    /// What it reads.
    pub input: String,
    /// Its weights.
    pub weights: String,
    /// The side of the weights that counts channels.
    pub axis: usize,
    /// What it adds.
    pub bias: Option<String>,
    /// Its channels are the second side of what it makes, else the last.
    pub is_spatial: bool,
    /// It may be given something to add.
    pub takes_bias: bool,
}

/// A tensor that is quantised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTensor {
    /// Its name.
    pub name: String,
    /// The tensor whose range it has: its own name, but for what was only moved.
    pub seen: String,
    /// It keeps out what is below zero, in the place of an activation that is left out.
    pub is_clamped: bool,
    /// It holds shares: its range is known to be 0 to 1.
    pub is_share: bool,
}

/// A constant that an Add or Mul reads: what the node makes, the position, the constant.
pub type PlannedConstant = (String, usize, String);

/// What is quantised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Nodes with weights, in their order.
    pub cores: Vec<Core>,
    /// Tensors, in their order.
    pub tensors: Vec<PlannedTensor>,
    /// Constants beside quantised tensors.
    pub constants: Vec<PlannedConstant>,
    /// Tensors of activations that are left out.
    pub folded: Vec<String>,
}

/// All nodes with weights, whether they are quantised or not. `picture`: the input that is quantised; others are not.
#[must_use]
pub fn cores(model: &EditableModel, picture: &str) -> Vec<Core> {
    let inputs: BTreeSet<&str> = model.inputs().filter(|input| *input != picture).collect();
    model
        .views()
        .filter_map(|node| core(model, node))
        .filter(|core| !inputs.contains(core.input.as_str()))
        .collect()
}

fn core(model: &EditableModel, node: NodeView<'_>) -> Option<Core> {
    let [input, weights, ..] = node.inputs() else { return None };
    let (dims, numbers) = model.floats(weights).filter(|_| node.domain().is_empty())?;
    let bias = node.inputs().get(2).filter(|bias| !bias.is_empty());
    let of_bias = |bias: &String| model.floats(bias).map(|(dims, numbers)| (dims.len(), numbers.len()));
    let axis = match (node.operator(), dims.len()) {
        ("Conv", 3..=5) => 0,
        ("Gemm", 2) => {
            let is_one = |name| node.number(name).is_none_or(|factor| (factor - 1.0).abs() < f32::EPSILON);
            let is_plain = node.integer("transA").unwrap_or(0) == 0 && is_one("alpha") && is_one("beta");
            is_plain.then(|| usize::from(node.integer("transB").unwrap_or(0) == 0))?
        }
        ("MatMul", 2) => 1,
        _ => return None,
    };
    let channels = usize::try_from(*dims.get(axis)?).ok()?;
    let is_usable = numbers.iter().all(|number| number.is_finite()) && !model.is_constant(input);
    let fits = bias.is_none_or(|bias| of_bias(bias) == Some((1, channels)));
    let made = node.outputs().first()?.clone();
    (is_usable && fits).then(|| Core {
        output: made.clone(),
        made,
        input: input.clone(),
        weights: weights.clone(),
        axis,
        bias: bias.cloned(),
        is_spatial: node.operator() == "Conv",
        takes_bias: node.operator() != "MatMul",
    })
}

/// What is quantised of a model; `float`: nodes with weights, by what they make, that stay as they are.
#[must_use]
pub fn plan(model: &EditableModel, picture: &str, float: &BTreeSet<String>) -> Plan {
    let cores: Vec<Core> =
        cores(model, picture).into_iter().filter(|core| !float.contains(&core.made)).collect();
    let mut planner = Planner::new(model, picture, &cores);
    planner.spread(&cores);
    planner.finish(cores, picture)
}

struct Planner<'a> {
    nodes: Vec<NodeView<'a>>,
    model: &'a EditableModel,
    readers: BTreeMap<&'a str, Vec<usize>>,
    outputs: BTreeSet<&'a str>,
    /// Inputs beside the picture.
    not_quantised: BTreeSet<&'a str>,
    /// Whether something with weights reads what comes of a node.
    leads_on: Vec<bool>,
    quantised: BTreeSet<&'a str>,
    /// What makes each activation that is left out.
    folded: BTreeMap<&'a str, &'a str>,
}

impl<'a> Planner<'a> {
    fn new(model: &'a EditableModel, picture: &str, cores: &[Core]) -> Self {
        let nodes: Vec<NodeView<'a>> = model.views().collect();
        let mut readers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, node) in nodes.iter().enumerate() {
            for input in node.inputs() {
                readers.entry(input).or_default().push(index);
            }
        }
        let made: BTreeSet<&str> = cores.iter().map(|core| core.made.as_str()).collect();
        let is_core = |node: &NodeView<'_>| {
            node.outputs().first().is_some_and(|made_by| made.contains(made_by.as_str()))
        };
        let mut leads_on = vec![false; nodes.len()];
        for (index, node) in nodes.iter().enumerate().rev() {
            let read_by =
                node.outputs().iter().flat_map(|output| readers.get(output.as_str()).into_iter().flatten());
            leads_on[index] = read_by.into_iter().any(|reader| leads_on[*reader] || is_core(&nodes[*reader]));
        }
        Self {
            nodes,
            model,
            readers,
            outputs: model.outputs().collect(),
            not_quantised: model.inputs().filter(|input| *input != picture).collect(),
            leads_on,
            quantised: BTreeSet::new(),
            folded: BTreeMap::new(),
        }
    }

    /// What a node makes once the activation behind it is left out.
    fn activated(&self, index: usize) -> Option<&'a str> {
        let node = self.nodes[index];
        let made = node.outputs().first()?.as_str();
        let [reader] = self.readers.get(made)?[..] else { return None };
        let behind = self.nodes[reader];
        let is_alone = node.outputs().len() == 1 && !self.outputs.contains(made);
        let clamps = behind.operator() == "Relu" || self.is_clip_from_zero(behind);
        let is_followed = matches!(node.operator(), "Conv" | "Gemm" | "Add");
        (is_alone && clamps && is_followed).then(|| behind.outputs().first().map(String::as_str))?
    }

    fn is_clip_from_zero(&self, node: NodeView<'_>) -> bool {
        if node.operator() != "Clip" {
            return false;
        }
        let of_input = |position: usize| {
            let constant = node.inputs().get(position).filter(|name| !name.is_empty())?;
            self.model.floats(constant)?.1.first().copied()
        };
        node.number("min").or_else(|| of_input(1)) == Some(0.0)
    }

    fn spread(&mut self, cores: &[Core]) {
        let position: BTreeMap<&str, usize> = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| Some((node.outputs().first()?.as_str(), index)))
            .collect();
        for core in cores {
            let Some(&index) = position.get(core.made.as_str()) else { continue };
            self.quantised.insert(self.nodes[index].inputs()[0].as_str());
            // The library reads whole numbers into a Gemm or MatMul and makes ordinary ones of them, a Conv it does not.
            if self.leads_on[index] || core.is_spatial {
                self.make(index);
            }
        }
        loop {
            let before = self.quantised.len();
            for index in 0..self.nodes.len() {
                if self.follows(index) {
                    self.make(index);
                }
            }
            for index in (0..self.nodes.len()).rev() {
                self.reach_back(index);
            }
            if self.quantised.len() == before {
                return;
            }
        }
    }

    /// Quantises what a node makes.
    fn make(&mut self, index: usize) {
        let node = self.nodes[index];
        match (self.activated(index), node.outputs()) {
            (Some(activated), [made]) => {
                self.folded.insert(activated, made);
                self.quantised.insert(activated);
            }
            (_, outputs) => {
                self.quantised.extend(outputs.iter().map(String::as_str).filter(|output| !output.is_empty()));
            }
        }
    }

    /// What a node reads as numbers, not as shapes.
    fn read(node: NodeView<'a>) -> &'a [String] {
        match node.operator() {
            "Add" | "Mul" | "Concat" => node.inputs(),
            _ => node.inputs().get(..1).unwrap_or_default(),
        }
    }

    fn follows(&self, index: usize) -> bool {
        let node = self.nodes[index];
        let may_be_constant = matches!(node.operator(), "Add" | "Mul");
        let is_quantised = |input: &String| self.quantised.contains(input.as_str());
        let fits =
            |input: &String| is_quantised(input) || may_be_constant && self.model.floats(input).is_some();
        FOLLOWING.contains(&node.operator())
            && node.domain().is_empty()
            && self.leads_on[index]
            && Self::read(node).iter().any(is_quantised)
            && Self::read(node).iter().all(fits)
    }

    /// What was only moved is quantised before that: bytes are moved in the place of ordinary numbers.
    fn reach_back(&mut self, index: usize) {
        let node = self.nodes[index];
        let moves = MOVING.contains(&node.operator()) || node.operator() == "Concat";
        let is_wanted = node.outputs().iter().any(|output| self.quantised.contains(output.as_str()));
        if moves && is_wanted && node.domain().is_empty() {
            let inputs: Vec<&str> = Self::read(node).iter().map(String::as_str).collect();
            let may_be = |input: &&str| !self.model.is_constant(input) && !self.not_quantised.contains(input);
            let wanted: Vec<&str> = inputs.into_iter().filter(may_be).collect();
            self.quantised.extend(wanted);
            self.make(index);
        }
    }

    fn finish(self, mut cores: Vec<Core>, picture: &str) -> Plan {
        let behind: BTreeMap<&str, &str> =
            self.folded.iter().map(|(activated, made)| (*made, *activated)).collect();
        for core in &mut cores {
            if let Some(activated) = behind.get(core.made.as_str()) {
                core.output = (*activated).to_owned();
            }
        }
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        let mut shares = BTreeSet::new();
        let mut constants = Vec::new();
        let mut order: Vec<&str> = vec![picture];
        for node in &self.nodes {
            let outputs = || node.outputs().iter().map(String::as_str);
            order.extend(outputs());
            let from = node.inputs().first().filter(|input| self.quantised.contains(input.as_str()));
            if let Some(from) = from.filter(|_| MOVING.contains(&node.operator())) {
                let root = seen.get(from.as_str()).copied().unwrap_or(from);
                seen.extend(
                    outputs().filter(|output| self.quantised.contains(output)).map(|output| (output, root)),
                );
            }
            if node.operator() == "Softmax" {
                shares.extend(outputs());
            }
            let made = node.outputs().first().map_or("", String::as_str);
            let made = behind.get(made).copied().unwrap_or(made);
            if matches!(node.operator(), "Add" | "Mul") && self.quantised.contains(made) {
                let beside =
                    node.inputs().iter().enumerate().filter(|(_, input)| self.model.floats(input).is_some());
                constants.extend(beside.map(|(position, input)| (made.to_owned(), position, input.clone())));
            }
        }
        let planned = |name: &&str| self.quantised.contains(name);
        let tensor = |name: &str| {
            let seen = seen.get(name).copied().unwrap_or(name);
            PlannedTensor {
                name: name.to_owned(),
                seen: seen.to_owned(),
                is_clamped: self.folded.contains_key(name),
                is_share: shares.contains(seen),
            }
        };
        let tensors: Vec<PlannedTensor> = order.into_iter().filter(planned).map(tensor).collect();
        let folded = self.folded.keys().map(|name| (*name).to_owned()).collect();
        Plan { cores, tensors, constants, folded }
    }
}

#[cfg(test)]
mod tests;
