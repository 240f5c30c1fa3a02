//! Classifiers that end in a map from labels to numbers (`ZipMap`), as converters of scikit-learn and `CoreML` make them and
//! Custom Vision exports them. The numbers that go into the map are read in its place: they are a tensor like any other.

use bytes::Bytes;
use prost::Message;

use super::graph::{GraphProto, ModelProto, NodeProto, TypeProto, ValueInfo};

/// An output that maps labels to numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelledOutput {
    /// The output.
    pub(crate) name: String,
    /// The tensor that goes into the map.
    pub(crate) numbers: String,
    /// The labels in the order of the numbers; none where the map has whole numbers in their place.
    pub(crate) labels: Vec<String>,
    /// The tensor is an output of the file by itself.
    is_output: bool,
}

impl LabelledOutput {
    /// Those of a graph.
    pub(super) fn of(graph: &GraphProto) -> Vec<Self> {
        let is_output = |name: &String| graph.output.iter().any(|output| output.name() == *name);
        let is_made = |name: &String| graph.node.iter().any(|node| node.output.contains(name));
        let labelled = |node: &NodeProto| {
            let (name, numbers) = (node.output.first()?, node.input.first()?);
            let is_map = node.op_type() == "ZipMap" && node.domain() == "ai.onnx.ml";
            (is_map && is_output(name) && is_made(numbers)).then(|| Self {
                name: name.clone(),
                numbers: numbers.clone(),
                labels: labels(node),
                is_output: is_output(numbers),
            })
        };
        graph.node.iter().filter_map(labelled).collect()
    }

    /// Whether the library gives its numbers only because they were [exposed].
    pub(crate) fn is_added(&self) -> bool {
        !self.is_output
    }
}

fn labels(node: &NodeProto) -> Vec<String> {
    let strings = node.attribute.iter().find(|attribute| attribute.name() == "classlabels_strings");
    let text = |label: &Bytes| String::from_utf8_lossy(label).into_owned();
    strings.map(|attribute| attribute.strings.iter().map(text).collect()).unwrap_or_default()
}

/// A model that gives the numbers of its maps, too.
///
/// **Source**: a message that stands twice in a protocol buffer is merged, its repeated fields are appended (Protocol Buffers,
/// "Last One Wins"). So outputs are added without writing anew what is not understood.
pub(crate) fn exposed(bytes: Bytes, labelled: &[LabelledOutput]) -> Bytes {
    const FLOAT: i32 = 1;
    let output = labelled.iter().filter(|one| one.is_added()).map(|one| ValueInfo {
        name: Some(one.numbers.clone()),
        // By the definition of the operator.
        r#type: Some(TypeProto::of_tensor(FLOAT)),
        ..Default::default()
    });
    let output: Vec<ValueInfo> = output.collect();
    if output.is_empty() {
        return bytes;
    }
    let added = ModelProto { graph: Some(GraphProto { output, ..Default::default() }), ..Default::default() };
    let mut whole = Vec::with_capacity(bytes.len() + added.encoded_len());
    whole.extend_from_slice(&bytes);
    added.encode(&mut whole).expect("a Vec takes everything");
    Bytes::from(whole)
}
