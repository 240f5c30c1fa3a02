//! What is looked at in an ONNX file before the library sees it. A model is code-like: it may name files beside
//! it, operators of foreign libraries, or constants of any size.
//!
//! The messages below are the parts of `onnx.proto` (ONNX 1.17) that matter here; everything else is passed over.

use bytes::Bytes;
use prost::Message;

/// Domains of operators that every build of ONNX Runtime carries. `""` and `ai.onnx` are the same.
const KNOWN_DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];
/// Elements that a constant may be blown up to: 256 Mi, far beyond what a model for the edge has.
const MAX_ELEMENTS: u64 = 1 << 28;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "25")]
    functions: Vec<FunctionProto>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "7")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "10")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "15")]
    sparse_initializer: Vec<SparseTensorProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, boxed, tag = "5")]
    t: Option<Box<TensorProto>>,
    #[prost(message, optional, boxed, tag = "6")]
    g: Option<Box<GraphProto>>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<GraphProto>,
    #[prost(message, optional, boxed, tag = "22")]
    sparse_tensor: Option<Box<SparseTensorProto>>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "bytes", tag = "9")]
    raw_data: Bytes,
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<Ignored>,
    #[prost(int32, tag = "14")]
    data_location: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SparseTensorProto {
    #[prost(message, optional, tag = "1")]
    values: Option<TensorProto>,
    #[prost(int64, repeated, tag = "3")]
    dims: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Ignored {}

/// Why a file is refused before the library sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// Not the protocol buffer that ONNX files are.
    #[error("it is not an ONNX model: {0}")]
    NotOnnx(String),
    /// Something else that people take for it.
    #[error("it is not an ONNX model: it is {what}; {remedy}")]
    SomethingElse {
        /// What it is.
        what: &'static str,
        /// How to come by the model.
        remedy: &'static str,
    },
    /// No graph in it.
    #[error("it is not an ONNX model: it holds no graph")]
    NoGraph,
    /// Weights in another file, which a model could make any file of the machine.
    #[error("its tensor {name:?} lies in another file; save the model with all weights inside")]
    ExternalData {
        /// The tensor.
        name: String,
    },
    /// Operators of a foreign library.
    #[error("it needs operators of domain {domain:?}; only ai.onnx, ai.onnx.ml and com.microsoft are run")]
    Domain {
        /// The domain.
        domain: String,
    },
    /// A constant beyond all measure.
    #[error("its {what} asks for more than {MAX_ELEMENTS} numbers")]
    TooLarge {
        /// Which tensor or operator.
        what: String,
    },
}

/// Looks through a model. Domains that it only declares do no harm: programs that optimise models declare all that
/// they know.
pub(crate) fn inspect(bytes: &Bytes) -> Result<(), OnnxError> {
    let model = ModelProto::decode(bytes.clone())
        .map_err(|error| something_else(bytes).unwrap_or_else(|| OnnxError::NotOnnx(error.to_string())))?;
    let graph = model.graph.as_ref().ok_or_else(|| something_else(bytes).unwrap_or(OnnxError::NoGraph))?;
    let within = Within { functions: &model.functions };
    within.graph(graph)?;
    model.functions.iter().try_for_each(|function| within.nodes(&function.node, &[]))
}

/// What a file is that is no ONNX model, by its first bytes.
fn something_else(bytes: &[u8]) -> Option<OnnxError> {
    let begins = |text: &str| {
        let from = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(bytes.len());
        bytes[from..].get(..text.len()).is_some_and(|found| found.eq_ignore_ascii_case(text.as_bytes()))
    };
    let (what, remedy) = if begins("version https://git-lfs") {
        (
            "a Git LFS pointer, which only names the weights",
            "fetch them with `git lfs pull`, then copy the file",
        )
    } else if begins("<!doctype") || begins("<html") {
        ("a web page", "download the file itself, not the page that shows it")
    } else if bytes.starts_with(b"PK\x03\x04") {
        ("a ZIP archive, as PyTorch and Keras save models", "export the model to ONNX, or unpack the archive")
    } else if bytes.starts_with(b"\x1f\x8b") {
        ("compressed with gzip", "unpack it")
    } else if bytes.starts_with(b"\x89HDF") {
        ("an HDF5 file, as Keras saves models", "export the model to ONNX with tf2onnx")
    } else if bytes.get(4..8) == Some(b"TFL3") {
        ("a TensorFlow Lite model", "convert it with `python -m tf2onnx.convert --tflite`")
    } else if bytes.is_empty() {
        ("empty", "fetch it again")
    } else {
        return None;
    };
    Some(OnnxError::SomethingElse { what, remedy })
}

/// Where nodes stand.
struct Within<'a> {
    /// Operators that the model defines itself, out of others.
    functions: &'a [FunctionProto],
}

impl Within<'_> {
    fn graph(&self, graph: &GraphProto) -> Result<(), OnnxError> {
        graph.initializer.iter().try_for_each(inspect_tensor)?;
        graph.sparse_initializer.iter().try_for_each(inspect_sparse)?;
        self.nodes(&graph.node, &graph.initializer)
    }

    fn nodes(&self, nodes: &[NodeProto], initializers: &[TensorProto]) -> Result<(), OnnxError> {
        for node in nodes {
            self.known(node)?;
            for attribute in &node.attribute {
                attribute.t.iter().try_for_each(|tensor| inspect_tensor(tensor))?;
                attribute.tensors.iter().try_for_each(inspect_tensor)?;
                attribute.sparse_tensor.iter().try_for_each(|tensor| inspect_sparse(tensor))?;
                attribute.g.iter().try_for_each(|graph| self.graph(graph))?;
                attribute.graphs.iter().try_for_each(|graph| self.graph(graph))?;
            }
            if let Some(shape) = blown_up_to(node, nodes, initializers) {
                measured(&shape, || format!("operator {}", node.op_type))?;
            }
        }
        Ok(())
    }

    fn known(&self, node: &NodeProto) -> Result<(), OnnxError> {
        let own = |function: &FunctionProto| function.domain == node.domain && function.name == node.op_type;
        if KNOWN_DOMAINS.contains(&node.domain.as_str()) || self.functions.iter().any(own) {
            Ok(())
        } else {
            Err(OnnxError::Domain { domain: node.domain.clone() })
        }
    }
}

/// The shape of an operator's result, where the operator makes something of nothing and the shape is a constant.
fn blown_up_to(node: &NodeProto, nodes: &[NodeProto], initializers: &[TensorProto]) -> Option<Vec<i64>> {
    let constant = |name: &String| {
        let initializer = initializers.iter().find(|tensor| tensor.name == *name).map(integers);
        let made =
            || nodes.iter().find(|made| made.op_type == "Constant" && made.output.first() == Some(name));
        let of_node = || {
            made()?.attribute.iter().find_map(|attribute| match attribute.name.as_str() {
                "value_ints" => Some(attribute.ints.clone()),
                _ => attribute.t.as_deref().map(integers),
            })
        };
        initializer.or_else(of_node)
    };
    match node.op_type.as_str() {
        "ConstantOfShape" => constant(node.input.first()?),
        "Expand" | "Tile" => constant(node.input.get(1)?),
        "RandomNormal" | "RandomUniform" => {
            node.attribute.iter().find(|attribute| attribute.name == "shape").map(|shape| shape.ints.clone())
        }
        _ => None,
    }
}

/// The numbers of a tensor of 64 bit integers.
fn integers(tensor: &TensorProto) -> Vec<i64> {
    if !tensor.int64_data.is_empty() {
        return tensor.int64_data.clone();
    }
    let whole = tensor.raw_data.chunks_exact(8);
    whole.map(|bytes| i64::from_le_bytes(bytes.try_into().expect("chunks of eight"))).collect()
}

fn inspect_tensor(tensor: &TensorProto) -> Result<(), OnnxError> {
    const EXTERNAL: i32 = 1;
    if tensor.data_location == EXTERNAL || !tensor.external_data.is_empty() {
        return Err(OnnxError::ExternalData { name: tensor.name.clone() });
    }
    measured(&tensor.dims, || format!("tensor {:?}", tensor.name))
}

fn inspect_sparse(tensor: &SparseTensorProto) -> Result<(), OnnxError> {
    tensor.values.iter().try_for_each(inspect_tensor)?;
    measured(&tensor.dims, || "sparse tensor".to_owned())
}

fn measured(dims: &[i64], what: impl Fn() -> String) -> Result<(), OnnxError> {
    let elements = dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(u64::try_from(*dim).ok()?));
    match elements {
        Some(elements) if elements <= MAX_ELEMENTS => Ok(()),
        _ => Err(OnnxError::TooLarge { what: what() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(change: impl FnOnce(&mut GraphProto)) -> Bytes {
        let mut graph = GraphProto::default();
        change(&mut graph);
        Bytes::from(ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec())
    }

    fn tensor(name: &str, dims: &[i64]) -> TensorProto {
        TensorProto { name: name.to_owned(), dims: dims.to_vec(), ..Default::default() }
    }

    #[test]
    fn models_are_refused_for_what_they_reach_for() {
        assert_eq!(inspect(&model(|_| ())), Ok(()));
        assert_eq!(inspect(&Bytes::from_static(b"\x08\x08")), Err(OnnxError::NoGraph));
        assert!(matches!(inspect(&Bytes::from_static(b"\xff\xff")), Err(OnnxError::NotOnnx(_))));

        let external = |tensor: TensorProto| TensorProto { data_location: 1, ..tensor };
        let outside = Err(OnnxError::ExternalData { name: "w".to_owned() });
        assert_eq!(inspect(&model(|g| g.initializer.push(external(tensor("w", &[2]))))), outside);
        let in_attribute =
            AttributeProto { t: Some(Box::new(external(tensor("w", &[2])))), ..Default::default() };
        let in_subgraph = AttributeProto {
            g: Some(Box::new(GraphProto {
                node: vec![NodeProto { attribute: vec![in_attribute.clone()], ..Default::default() }],
                ..Default::default()
            })),
            ..Default::default()
        };
        for attribute in [in_attribute, in_subgraph] {
            let node = NodeProto { attribute: vec![attribute], ..Default::default() };
            assert_eq!(inspect(&model(|g| g.node.push(node))), outside);
        }

        let foreign = NodeProto { domain: "evil".to_owned(), ..Default::default() };
        assert_eq!(
            inspect(&model(|g| g.node.push(foreign))),
            Err(OnnxError::Domain { domain: "evil".to_owned() })
        );
        let call = |name: &str| NodeProto {
            domain: "own".to_owned(),
            op_type: name.to_owned(),
            ..Default::default()
        };
        let with_function = |node: NodeProto, inner: NodeProto| {
            let function =
                FunctionProto { name: "f".to_owned(), node: vec![inner], domain: "own".to_owned() };
            let graph = GraphProto { node: vec![node], ..Default::default() };
            inspect(&ModelProto { graph: Some(graph), functions: vec![function] }.encode_to_vec().into())
        };
        assert_eq!(with_function(call("f"), NodeProto::default()), Ok(()), "the model's own function");
        let own = Err(OnnxError::Domain { domain: "own".to_owned() });
        assert_eq!(with_function(call("g"), NodeProto::default()), own);
        assert_eq!(with_function(call("f"), call("g")), own);
    }

    #[test]
    fn few_bytes_cannot_ask_for_gigabytes() {
        let refused = |bytes: &Bytes| matches!(inspect(bytes), Err(OnnxError::TooLarge { .. }));
        assert!(refused(&model(|g| g.initializer.push(tensor("w", &[1 << 20, 1 << 20])))));
        assert!(refused(&model(|g| g.initializer.push(tensor("w", &[-1])))));
        let shape = TensorProto { int64_data: vec![1 << 15, 1 << 15], ..tensor("shape", &[2]) };
        let node = NodeProto {
            op_type: "ConstantOfShape".to_owned(),
            input: vec!["shape".to_owned()],
            ..Default::default()
        };
        let bomb = model(|g| {
            g.initializer.push(shape.clone());
            g.node.push(node.clone());
        });
        assert!(bomb.len() < 77, "{} bytes", bomb.len());
        assert!(refused(&bomb));
        let constant = NodeProto {
            op_type: "Constant".to_owned(),
            output: vec!["shape".to_owned()],
            attribute: vec![AttributeProto { t: Some(Box::new(shape)), ..Default::default() }],
            ..Default::default()
        };
        assert!(refused(&model(|g| g.node.extend([constant.clone(), node.clone()]))));
        let as_list =
            AttributeProto { name: "value_ints".to_owned(), ints: vec![1 << 15; 2], ..Default::default() };
        let constant = NodeProto { attribute: vec![as_list], ..constant };
        assert!(refused(&model(|g| g.node.extend([constant, node]))));
    }

    #[test]
    fn what_people_take_for_a_model_is_named() {
        let check = |bytes: &[u8], expected: &str| {
            let error = inspect(&Bytes::copy_from_slice(bytes)).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("not an ONNX model"), "{error}");
        };
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345678\n";
        check(pointer.as_bytes(), "git lfs pull");
        check(b"\n<!DOCTYPE html><html>", "web page");
        check(b"<HTML>", "web page");
        check(b"PK\x03\x04\x00\x00", "ZIP archive");
        check(b"\x1f\x8b\x08", "gzip");
        check(b"\x89HDF\r\n\x1a\n", "HDF5");
        check(b"\x1c\0\0\0TFL3", "TensorFlow Lite");
        check(b"", "empty");
        check(b"\xff\xff", "failed to decode");
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            drop(inspect(&Bytes::from(bytes)));
        }
    }
}
