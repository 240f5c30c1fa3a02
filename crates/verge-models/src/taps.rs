//! Where a new head may be put: tensors in the middle and at the end of a model, whose planes' means are features of a picture.
//! What lies behind the one that is chosen is cut off.

use std::collections::{BTreeMap, BTreeSet};

use verge_engine::{EditError, EditableModel, ElementType, NewNode, NodeView, Tensor};

/// Taps that are looked at, at most.
pub const MOST_TAPS: usize = 12;
/// The version of ONNX's operators from which the sides to reduce are an input.
const AXES_ARE_INPUT: i64 = 18;
/// The version in which constants of one side stretch to others in all operators that a head is made of.
pub const LEAST_OPSET: i64 = 7;

/// Means are this far from zero at least when their root is taken: a division by nothing would make NaN.
const ROOT_LEAST: f32 = 1e-6;

/// Operators behind which a plane is as the next layer reads it.
const ACTIVATIONS: &[&str] =
    &["Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "Elu", "Selu", "Gelu", "Mish", "Mul", "Min", "Max"];
/// Operators that leave a plane without an activation.
const OTHERS: &[&str] = &["Add", "Concat", "Conv", "BatchNormalization", "LayerNormalization"];
const POOLS: &[&str] = &["GlobalAveragePool", "AveragePool", "GlobalMaxPool", "MaxPool", "ReduceMean"];
/// Operators that multiply.
const PRODUCTS: &[&str] = &["Conv", "Gemm", "MatMul"];

/// A tensor that a head may be put behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Tap {
    /// Its name in the graph.
    pub tensor: String,
    /// Its elements.
    pub element: ElementType,
    /// Its sides: `[batch, channels, height, width]`, `[batch, tokens, channels]` or `[batch, channels]`.
    pub shape: Vec<i64>,
    /// Products of two numbers that it takes to compute it.
    pub products: u64,
}

/// What a run showed of a tensor.
pub type SeenShapes = BTreeMap<String, (ElementType, Vec<i64>)>;

impl Tap {
    /// Features that it gives.
    #[must_use]
    pub fn width(&self) -> usize {
        let channels = if self.shape.len() == 3 { self.shape.get(2) } else { self.shape.get(1) };
        channels.and_then(|channels| usize::try_from(*channels).ok()).unwrap_or(0)
    }

    /// Items of a run.
    pub(crate) fn batch(&self) -> i64 {
        self.shape.first().copied().unwrap_or(-1)
    }

    /// Height and width of its planes; tokens count as a column.
    fn plane(&self) -> (i64, i64) {
        match self.shape[..] {
            [_, _, height, width] => (height, width),
            [_, tokens, _] => (tokens, 1),
            _ => (1, 1),
        }
    }
}

/// Tensors whose shapes are to be found out by a run: those that may be taps, and those that are made by products.
#[must_use]
pub fn asked(model: &EditableModel) -> Vec<String> {
    let graph = Readers::of(model);
    let mut asked: Vec<String> = Vec::new();
    for (node, made) in graph.made() {
        let is_asked = is_one_of(node, &[ACTIVATIONS, OTHERS, POOLS, PRODUCTS]);
        asked.extend(
            is_asked.then(|| [made.to_owned(), graph.settled(made).to_owned()]).into_iter().flatten(),
        );
    }
    let mut known = BTreeSet::new();
    asked.retain(|tensor| known.insert(tensor.clone()));
    asked
}

/// The taps of a model, in its order: the last activation before each change of the plane's size and the widest inside each stage,
/// from the middle on, and the last pool.
#[must_use]
pub fn taps(model: &EditableModel, seen: &SeenShapes) -> Vec<Tap> {
    let graph = Readers::of(model);
    let nodes: Vec<(NodeView<'_>, &str)> = graph.made().collect();
    // A pool in the first half makes planes smaller; the one that ends a model comes late.
    let last_pool = nodes.iter().rposition(|(node, _)| is_one_of(*node, &[POOLS]));
    let last_pool = last_pool.filter(|place| place * 2 >= nodes.len());
    let considered = last_pool.map_or(&nodes[..], |last| &nodes[..=last]);
    let mut found: Vec<(Tap, bool)> = Vec::new();
    for (place, (node, made)) in considered.iter().copied().enumerate() {
        let is_last_pool = Some(place) == last_pool;
        let is_activation = is_one_of(node, &[ACTIVATIONS]);
        if !(is_activation || is_last_pool || is_one_of(node, &[OTHERS])) {
            continue;
        }
        if !is_activation && !is_last_pool && graph.is_activated(made) {
            continue;
        }
        let tensor = graph.settled(made);
        let Some((element, shape)) = seen.get(tensor) else { continue };
        if !matches!(element, ElementType::F32 | ElementType::F16) {
            continue;
        }
        let tap = Tap { tensor: tensor.to_owned(), element: *element, shape: shape.clone(), products: 0 };
        let fits = match shape.len() {
            // Gates of channels have planes of one point; only the last pool is a feature of the picture.
            4 => tap.plane() != (1, 1) || is_last_pool,
            3 => true,
            2 => is_last_pool,
            _ => false,
        };
        let is_known = found.iter().any(|(known, _)| known.tensor == tap.tensor);
        if fits && tap.width() > 1 && !is_known {
            found.push((tap, is_activation));
        }
    }
    let chosen = chosen(&found, last_pool.map(|place| graph.settled(nodes[place].1)));
    chosen.into_iter().map(|tap| Tap { products: graph.products(&tap.tensor, seen), ..tap }).collect()
}

/// Those of all that are looked at.
fn chosen(found: &[(Tap, bool)], last: Option<&str>) -> Vec<Tap> {
    let middle = found.len() / 2;
    let mut places = BTreeSet::new();
    let mut stages: Vec<((i64, i64), Vec<usize>)> = Vec::new();
    for (place, (tap, _)) in found.iter().enumerate() {
        match stages.iter_mut().find(|(plane, _)| *plane == tap.plane()) {
            Some((_, members)) => members.push(place),
            None => stages.push((tap.plane(), vec![place])),
        }
    }
    for (_, members) in &stages {
        let mut activations = members.iter().copied().filter(|place| found[*place].1);
        let last = activations.next_back().or(members.last().copied());
        places.extend(last);
        // Of equally wide ones the first: it costs least.
        let others = members.iter().copied().filter(|place| Some(*place) != last && *place >= middle);
        let wider = |best: usize, place: usize| {
            if found[place].0.width() > found[best].0.width() { place } else { best }
        };
        places.extend(others.reduce(wider));
    }
    places.extend(found.iter().position(|(tap, _)| Some(tap.tensor.as_str()) == last));
    let end = places.iter().max().copied();
    let kept: Vec<usize> =
        places.into_iter().filter(|place| *place >= middle || Some(*place) == end).collect();
    let surplus = kept.len().saturating_sub(MOST_TAPS);
    kept[surplus..].iter().map(|place| found[*place].0.clone()).collect()
}

/// What a head may read: each tap alone, and each with one of the two before it, which cost nothing more. By their places.
#[must_use]
pub fn choices(taps: usize) -> Vec<Vec<usize>> {
    let alone = (0..taps).map(|tap| vec![tap]);
    let joined = (1..taps).flat_map(|tap| (tap.saturating_sub(2)..tap).map(move |before| vec![before, tap]));
    alone.chain(joined).collect()
}

/// Adds the mean of the planes of each tap as an output, behind those that there are; names of these outputs.
///
/// # Errors
/// See [`EditError`].
pub fn add_features(model: &mut EditableModel, taps: &[Tap]) -> Result<Vec<String>, EditError> {
    let outputs = taps.iter().map(|tap| mean_of_planes(model, tap)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
    // What no head reads is not computed.
    model.cut_at(&names)?;
    Ok(outputs)
}

/// A tensor with the mean of each plane of a tap, as f32, and of each mean its root: what few planes show strongly would drown what
/// the others say. Below zero roots are those of the opposite, below zero.
///
/// **Source**: Perronnin et al. (2010), power normalisation.
pub(crate) fn mean_of_planes(model: &mut EditableModel, tap: &Tap) -> Result<String, EditError> {
    const FLOAT: i64 = 1;
    let mut tensor = tap.tensor.clone();
    if tap.element != ElementType::F32 {
        tensor = node(model, "Cast", &[&tensor], "head_cast", &[("to", FLOAT)])?;
    }
    let means = match tap.shape.len() {
        4 => reduced(model, "ReduceMean", &tensor, &[2, 3], false, "head_means")?,
        3 => reduced(model, "ReduceMean", &tensor, &[1], false, "head_means")?,
        _ => tensor,
    };
    let least = model.fresh("head_least_root");
    model.add_initializer(&least, &[1], &Tensor::F32(vec![ROOT_LEAST]))?;
    let size = node(model, "Abs", &[&means], "head_sizes", &[])?;
    let size = node(model, "Add", &[&size, &least], "head_sizes_above_zero", &[])?;
    let root = node(model, "Sqrt", &[&size], "head_roots", &[])?;
    node(model, "Div", &[&means, &root], "head_features", &[])
}

pub(crate) fn node(
    model: &mut EditableModel,
    operator: &str,
    inputs: &[&str],
    stem: &str,
    integers: &[(&str, i64)],
) -> Result<String, EditError> {
    let output = model.fresh(stem);
    model.insert(&NewNode { operator, inputs, outputs: &[&output], integers, ..NewNode::default() })?;
    Ok(output)
}

/// A tensor with some sides reduced, written as the model's version of the operators has it.
pub(crate) fn reduced(
    model: &mut EditableModel,
    operator: &str,
    tensor: &str,
    axes: &[i64],
    keeps: bool,
    stem: &str,
) -> Result<String, EditError> {
    let output = model.fresh(stem);
    let keepdims = [("keepdims", i64::from(keeps))];
    let node = NewNode { operator, outputs: &[&output], integers: &keepdims, ..NewNode::default() };
    if model.opset("").is_some_and(|version| version >= AXES_ARE_INPUT) {
        let sides = model.fresh("head_axes");
        model.add_initializer(
            &sides,
            &[i64::try_from(axes.len()).unwrap_or(0)],
            &Tensor::I64(axes.to_vec()),
        )?;
        model.insert(&NewNode { inputs: &[tensor, &sides], ..node })?;
    } else {
        model.insert(&NewNode { inputs: &[tensor], lists: &[("axes", axes)], ..node })?;
    }
    Ok(output)
}

fn is_one_of(node: NodeView<'_>, kinds: &[&[&str]]) -> bool {
    node.domain().is_empty() && kinds.iter().any(|kind| kind.contains(&node.operator()))
}

/// Who makes and who reads what.
struct Readers<'a> {
    nodes: Vec<NodeView<'a>>,
    makers: BTreeMap<&'a str, usize>,
    readers: BTreeMap<&'a str, Vec<usize>>,
    /// Tensors that differ from picture to picture.
    of_pictures: BTreeSet<&'a str>,
    model: &'a EditableModel,
}

impl<'a> Readers<'a> {
    fn of(model: &'a EditableModel) -> Self {
        let nodes: Vec<NodeView<'a>> = model.views().collect();
        let mut makers = BTreeMap::new();
        let mut readers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut of_pictures: BTreeSet<&str> = model.inputs().collect();
        for (place, node) in nodes.iter().enumerate() {
            for input in node.inputs() {
                readers.entry(input).or_default().push(place);
            }
            let is_of_pictures = node.inputs().iter().any(|input| of_pictures.contains(input.as_str()));
            for output in node.outputs().iter().filter(|output| !output.is_empty()) {
                makers.insert(output.as_str(), place);
                if is_of_pictures {
                    of_pictures.insert(output);
                }
            }
        }
        Self { nodes, makers, readers, of_pictures, model }
    }

    /// Nodes and the first tensor that each makes, in order, as far as pictures change it.
    fn made(&self) -> impl DoubleEndedIterator<Item = (NodeView<'a>, &'a str)> + '_ {
        let first = |node: &NodeView<'a>| Some((*node, node.outputs().first()?.as_str()));
        self.nodes.iter().filter_map(first).filter(|(_, made)| self.of_pictures.contains(made))
    }

    /// What is read in a tensor's place where it is quantised: the same numbers as integers allow them, and kernels of integers
    /// stay where they are.
    fn settled(&self, tensor: &'a str) -> &'a str {
        let read_by = |tensor: &str, operator: &str| {
            let readers = self.readers.get(tensor)?;
            let found = readers.iter().find(|place| self.nodes[**place].operator() == operator)?;
            self.nodes[*found].outputs().first().map(String::as_str)
        };
        read_by(tensor, "QuantizeLinear")
            .and_then(|whole| read_by(whole, "DequantizeLinear"))
            .unwrap_or(tensor)
    }

    /// Whether nothing but activations reads a tensor: what they make of it is what the next layer sees.
    fn is_activated(&self, tensor: &str) -> bool {
        let readers = self.readers.get(tensor).map_or(&[][..], Vec::as_slice);
        !readers.is_empty() && readers.iter().all(|place| is_one_of(self.nodes[*place], &[ACTIVATIONS]))
    }

    /// Products that it takes to compute a tensor.
    fn products(&self, tensor: &str, seen: &SeenShapes) -> u64 {
        let mut open: Vec<usize> = self.makers.get(tensor).copied().into_iter().collect();
        let mut needed: BTreeSet<usize> = open.iter().copied().collect();
        while let Some(place) = open.pop() {
            let before =
                self.nodes[place].inputs().iter().filter_map(|input| self.makers.get(input.as_str()));
            open.extend(before.filter(|place| needed.insert(**place)));
        }
        needed.into_iter().map(|place| self.products_of(self.nodes[place], seen)).sum()
    }

    fn products_of(&self, node: NodeView<'_>, seen: &SeenShapes) -> u64 {
        let made = node.outputs().first().and_then(|made| seen.get(made.as_str()));
        let (true, Some((_, shape))) = (is_one_of(node, &[PRODUCTS]), made) else { return 0 };
        let size =
            |sides: &[i64]| sides.iter().map(|side| u64::try_from(*side).unwrap_or(1)).product::<u64>();
        let Some(weights) = node.inputs().get(1).and_then(|weights| self.weight_dims(weights)) else {
            return size(shape);
        };
        let each = if node.operator() == "Conv" {
            // Of each number that comes out: the weights of its channel.
            size(weights.get(1..).unwrap_or_default())
        } else {
            let columns = shape.last().and_then(|last| u64::try_from(*last).ok()).unwrap_or(1);
            size(weights) / columns.max(1)
        };
        size(shape).saturating_mul(each)
    }

    /// Sides of weights, which may stand there as integers.
    fn weight_dims(&self, weights: &str) -> Option<&[i64]> {
        let maker = self.makers.get(weights).map(|place| self.nodes[*place]);
        let behind = maker.filter(|node| node.operator() == "DequantizeLinear");
        self.model.dims(behind.and_then(|node| node.inputs().first()).map_or(weights, String::as_str))
    }
}
