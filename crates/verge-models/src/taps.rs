//! Where a new head may be put: tensors in the middle and at the end of a model, whose planes' means and deviations are features of
//! a picture. What lies behind the one that is chosen is cut off.
//!
//! Reading order: [`taps`] (which tensors), [`choices`] (which of them together), [`features`] (what is read of them).

pub mod features;

use std::collections::{BTreeMap, BTreeSet};

pub use features::add_features;
use verge_engine::{EditableModel, ElementType, NodeView};

/// Taps that are looked at, at most.
pub const MOST_TAPS: usize = 12;
/// The version in which constants of one side stretch to others in all operators that a head is made of.
pub const LEAST_OPSET: i64 = 7;

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
    /// Features that it gives: of each channel the mean, and the deviation where its plane has more than one point.
    #[must_use]
    pub fn width(&self) -> usize {
        self.channels() * if self.has_deviations() { 2 } else { 1 }
    }

    fn channels(&self) -> usize {
        let channels = if self.shape.len() == 3 { self.shape.get(2) } else { self.shape.get(1) };
        channels.and_then(|channels| usize::try_from(*channels).ok()).unwrap_or(0)
    }

    /// Whether its planes have more than one point.
    fn has_deviations(&self) -> bool {
        self.plane() != (1, 1)
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

/// The taps of a model, in its order: from the middle on the last activation before each change of the plane's size, the widest
/// inside each stage and the sums that end its blocks, and the last pool.
#[must_use]
pub fn taps(model: &EditableModel, seen: &SeenShapes) -> Vec<Tap> {
    let graph = Readers::of(model);
    let nodes: Vec<(NodeView<'_>, &str)> = graph.made().collect();
    // A pool in the first half makes planes smaller; the one that ends a model comes late.
    let last_pool = nodes.iter().rposition(|(node, _)| is_one_of(*node, &[POOLS]));
    let last_pool = last_pool.filter(|place| place * 2 >= nodes.len());
    let considered = last_pool.map_or(&nodes[..], |last| &nodes[..=last]);
    let mut found: Vec<(Tap, Kind)> = Vec::new();
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
        if fits && tap.channels() > 1 && !is_known {
            let kind = match node.operator() {
                _ if is_activation => Kind::Activation,
                "Add" if graph.adds_planes(node) => Kind::Sum,
                _ => Kind::Other,
            };
            found.push((tap, kind));
        }
    }
    let chosen = chosen(&found, last_pool.map(|place| graph.settled(nodes[place].1)));
    chosen.into_iter().map(|tap| Tap { products: graph.products(&tap.tensor, seen), ..tap }).collect()
}

/// What makes a tensor that may be a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What follows a layer with weights.
    Activation,
    /// The end of a block whose input is added to what it makes: few channels, and all that the blocks before it found.
    Sum,
    Other,
}

/// Those of all that are looked at.
fn chosen(found: &[(Tap, Kind)], last: Option<&str>) -> Vec<Tap> {
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
        let mut activations = members.iter().copied().filter(|place| found[*place].1 == Kind::Activation);
        let last = activations.next_back().or(members.last().copied());
        places.extend(last);
        // Of equally wide ones the first: it costs least.
        let others = members.iter().copied().filter(|place| Some(*place) != last && *place >= middle);
        let wider = |best: usize, place: usize| {
            if found[place].0.channels() > found[best].0.channels() { place } else { best }
        };
        places.extend(others.reduce(wider));
    }
    places.extend(found.iter().position(|(tap, _)| Some(tap.tensor.as_str()) == last));
    let end = places.iter().max().copied();
    let mut kept: BTreeSet<usize> =
        places.into_iter().filter(|place| *place >= middle || Some(*place) == end).collect();
    // Deep models have many blocks: as many of them as there is room for, evenly spread.
    let is_sum = |place: &usize| found[*place].1 == Kind::Sum && !kept.contains(place);
    let sums: Vec<usize> = (middle..found.len()).filter(is_sum).collect();
    let room = MOST_TAPS.saturating_sub(kept.len()).min(sums.len());
    kept.extend((0..room).map(|number| sums[number * sums.len() / room]));
    let surplus = kept.len().saturating_sub(MOST_TAPS);
    kept.into_iter().skip(surplus).map(|place| found[place].0.clone()).collect()
}

/// What a head may read: each tap alone, and each with one of the two before it, which cost nothing more. By their places.
#[must_use]
pub fn choices(taps: usize) -> Vec<Vec<usize>> {
    let alone = (0..taps).map(|tap| vec![tap]);
    let joined = (1..taps).flat_map(|tap| (tap.saturating_sub(2)..tap).map(move |before| vec![before, tap]));
    alone.chain(joined).collect()
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

    /// Whether all that is added up differs from picture to picture: a bias does not.
    fn adds_planes(&self, node: NodeView<'_>) -> bool {
        node.inputs().iter().all(|input| self.of_pictures.contains(input.as_str()))
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
