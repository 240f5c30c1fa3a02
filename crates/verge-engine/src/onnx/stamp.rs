//! Which versions of ONNX a model is made for, and models that ask a library which versions it takes.

use prost::Message;

use super::KNOWN_DOMAINS;
use super::graph::{GraphProto, ModelProto, NodeProto, OperatorSetId, StringEntry, TypeProto, ValueInfo};
use super::labelled::LabelledOutput;

/// What a model says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Version of the file format.
    pub(crate) ir_version: i64,
    /// Domains of operators and their versions; `""` is `ai.onnx`.
    pub(crate) opsets: Vec<(String, i64)>,
    /// The program that wrote it.
    pub(crate) producer: String,
    /// Keys and values that its exporter wrote into it.
    pub(crate) metadata: Vec<(String, String)>,
    /// Outputs that map labels to numbers.
    pub(crate) labelled: Vec<LabelledOutput>,
    /// Tensors that come out of a softmax.
    pub(crate) softmaxes: Vec<String>,
}

impl Stamp {
    pub(super) fn of(model: &ModelProto) -> Self {
        let known = model.opset_import.iter().filter(|set| KNOWN_DOMAINS.contains(&set.domain()));
        let nodes = model.graph.iter().flat_map(|graph| &graph.node);
        let softmaxes = nodes.filter(|node| node.op_type() == "Softmax").flat_map(|node| node.output.clone());
        let entry = |entry: &StringEntry| (entry.key().to_owned(), entry.value().to_owned());
        Self {
            ir_version: model.ir_version(),
            opsets: known.map(|set| (set.domain().to_owned(), set.version())).collect(),
            producer: model.producer_name().to_owned(),
            metadata: model.metadata_props.iter().map(entry).collect(),
            labelled: model.graph.as_ref().map(LabelledOutput::of).unwrap_or_default(),
            softmaxes: softmaxes.collect(),
        }
    }
}

/// A model of these versions that does nothing: what comes in goes out.
pub(crate) fn probe(ir_version: i64, opsets: &[(String, i64)]) -> Vec<u8> {
    const FLOAT: i32 = 1;
    let value = |name: &str| ValueInfo {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto::of_tensor(FLOAT)),
        ..Default::default()
    };
    let identity = NodeProto {
        input: vec!["x".to_owned()],
        output: vec!["y".to_owned()],
        op_type: Some("Identity".to_owned()),
        ..Default::default()
    };
    let graph = GraphProto {
        name: Some("probe".to_owned()),
        node: vec![identity],
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    let opset_import = opsets
        .iter()
        .map(|(domain, version)| OperatorSetId { domain: Some(domain.clone()), version: Some(*version) })
        .collect();
    ModelProto { ir_version: Some(ir_version), opset_import, graph: Some(graph), ..Default::default() }
        .encode_to_vec()
}
