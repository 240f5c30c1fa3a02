//! What is looked at in an ONNX file before the library sees it. A model is code-like: it may name files beside
//! it, operators of foreign libraries, or constants of any size.

mod bound;
pub(crate) mod graph;
mod labelled;
mod lookalike;
mod stamp;

use bytes::Bytes;
use graph::{FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};
pub(crate) use labelled::{LabelledOutput, exposed};
use prost::Message;
pub(crate) use stamp::{Stamp, probe};

/// Domains of operators that every build of ONNX Runtime carries. `""` and `ai.onnx` are the same.
const KNOWN_DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];
/// Elements that a constant may be blown up to: 256 Mi, far beyond what a model for the edge has.
const MAX_ELEMENTS: u64 = 1 << 28;

/// Why a file is refused before the library sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// Not the protocol buffer that ONNX files are.
    #[error(
        "it is not an ONNX model: it begins with {begin}; export the model to ONNX, or fetch the file again"
    )]
    NotOnnx {
        /// Its first bytes, for people.
        begin: String,
    },
    /// A model that breaks off.
    #[error("it is cut: the file has {actual} bytes, its parts say at least {least}; fetch or copy it again")]
    Cut {
        /// Bytes of the file.
        actual: usize,
        /// Bytes that it must have.
        least: u64,
    },
    /// Something else that people take for it.
    #[error("it is not an ONNX model: it is {what}; {remedy}")]
    SomethingElse {
        /// What it is.
        what: &'static str,
        /// How to come by the model.
        remedy: &'static str,
    },
    /// No graph in it.
    #[error(
        "it is not an ONNX model: it holds no graph, as a file that was cut or a protocol buffer of another program \
         (saved_model.pb of TensorFlow); export the model to ONNX, or fetch the file again"
    )]
    NoGraph,
    /// Weights in another file, which a model could make any file of the machine.
    #[error(
        "its tensor {name:?} lies in another file{}, which is not read: save the model with all weights inside, in Python \
         onnx.save(onnx.load(\"this.onnx\"), \"whole.onnx\"), with the other file beside it",
        named(location)
    )]
    ExternalData {
        /// The tensor.
        name: String,
        /// The other file, as the model names it.
        location: String,
    },
    /// Operators of a foreign library.
    #[error(
        "it needs operators of domain {domain:?}; only ai.onnx, ai.onnx.ml and com.microsoft are run: {}",
        without(domain)
    )]
    Domain {
        /// The domain.
        domain: String,
    },
    /// More parts than a model of its size has.
    #[error(
        "its parts would take far more memory than a model of {bytes} bytes does: it is damaged, or made to do harm"
    )]
    Bomb {
        /// Bytes of the file.
        bytes: usize,
    },
    /// A constant beyond all measure.
    #[error("its {what} asks for more than {MAX_ELEMENTS} numbers")]
    TooLarge {
        /// Which tensor or operator.
        what: String,
    },
}

/// How to export a model without the operators of a domain.
fn without(domain: &str) -> &'static str {
    match domain {
        "TRT" => "they are TensorRT's: export it for ONNX Runtime (YOLOv7's export.py: --max-wh)",
        "mmdeploy" => {
            "export it with a deploy configuration for the backend onnxruntime (detection_onnxruntime_*.py)"
        }
        "ai.onnx.contrib" => {
            "they are those of onnxruntime-extensions: export it without its steps before and after"
        }
        "com.microsoft.nchwc" => {
            "they are made when a model is optimised for one machine: take the model before that, or optimise it at a \
             lower level"
        }
        _ => "export it without them",
    }
}

/// Where a tensor lies, in words.
fn named(location: &str) -> String {
    if location.is_empty() { String::new() } else { format!(", {location:?}") }
}

/// Looks through a model, and says which versions it is made for. Domains that it only declares do no harm: programs that
/// optimise models declare all that they know.
pub(crate) fn inspect(bytes: &Bytes) -> Result<Stamp, OnnxError> {
    read(bytes).map(|model| Stamp::of(&model))
}

/// Reads a model and looks through it.
pub(crate) fn read(bytes: &Bytes) -> Result<ModelProto, OnnxError> {
    if !bound::holds(bytes) {
        return Err(OnnxError::Bomb { bytes: bytes.len() });
    }
    let model = ModelProto::decode(bytes.clone()).map_err(|_| lookalike::of(bytes))?;
    let graph = model.graph.as_ref().ok_or_else(|| match lookalike::of(bytes) {
        known @ (OnnxError::SomethingElse { .. } | OnnxError::Cut { .. }) => known,
        _ => OnnxError::NoGraph,
    })?;
    let within = Within { functions: &model.functions };
    within.graph(graph)?;
    model.functions.iter().try_for_each(|function| within.nodes(&function.node, &[]))?;
    Ok(model)
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
                attribute.sparse_tensors.iter().try_for_each(inspect_sparse)?;
                attribute.g.iter().try_for_each(|graph| self.graph(graph))?;
                attribute.graphs.iter().try_for_each(|graph| self.graph(graph))?;
            }
            if let Some(shape) = blown_up_to(node, nodes, initializers) {
                measured(&shape, || format!("operator {}", node.op_type()))?;
            }
        }
        Ok(())
    }

    fn known(&self, node: &NodeProto) -> Result<(), OnnxError> {
        let own = |function: &FunctionProto| {
            function.domain() == node.domain() && function.name() == node.op_type()
        };
        if KNOWN_DOMAINS.contains(&node.domain()) || self.functions.iter().any(own) {
            Ok(())
        } else {
            Err(OnnxError::Domain { domain: node.domain().to_owned() })
        }
    }
}

/// The shape of an operator's result, where the operator makes something of nothing and the shape is a constant.
fn blown_up_to(node: &NodeProto, nodes: &[NodeProto], initializers: &[TensorProto]) -> Option<Vec<i64>> {
    let constant = |name: &String| {
        let initializer = initializers.iter().find(|tensor| tensor.name() == *name).map(integers);
        let made =
            || nodes.iter().find(|made| made.op_type() == "Constant" && made.output.first() == Some(name));
        let of_node = || {
            made()?.attribute.iter().find_map(|attribute| match attribute.name() {
                "value_ints" => Some(attribute.ints.clone()),
                _ => attribute.t.as_deref().map(integers),
            })
        };
        initializer.or_else(of_node)
    };
    match node.op_type() {
        "ConstantOfShape" => constant(node.input.first()?),
        "Expand" | "Tile" => constant(node.input.get(1)?),
        "RandomNormal" | "RandomUniform" => node
            .attribute
            .iter()
            .find(|attribute| attribute.name() == "shape")
            .map(|shape| shape.ints.clone()),
        _ => None,
    }
}

/// The numbers of a tensor of 64 bit integers.
fn integers(tensor: &TensorProto) -> Vec<i64> {
    if !tensor.int64_data.is_empty() {
        return tensor.int64_data.clone();
    }
    let whole = tensor.raw_data().chunks_exact(8);
    whole.map(|bytes| i64::from_le_bytes(bytes.try_into().expect("chunks of eight"))).collect()
}

fn inspect_tensor(tensor: &TensorProto) -> Result<(), OnnxError> {
    const EXTERNAL: i32 = 1;
    if tensor.data_location() == EXTERNAL || !tensor.external_data.is_empty() {
        let location = tensor.external_data.iter().find(|entry| entry.key() == "location");
        let location = location.map(|entry| entry.value().to_owned()).unwrap_or_default();
        return Err(OnnxError::ExternalData { name: tensor.name().to_owned(), location });
    }
    measured(&tensor.dims, || format!("tensor {:?}", tensor.name()))
}

fn inspect_sparse(tensor: &SparseTensorProto) -> Result<(), OnnxError> {
    tensor.values.iter().chain(&tensor.indices).try_for_each(inspect_tensor)?;
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
    use super::graph::{AttributeProto, StringEntry};
    use super::*;

    fn model(change: impl FnOnce(&mut GraphProto)) -> Bytes {
        let mut graph = GraphProto::default();
        change(&mut graph);
        Bytes::from(ModelProto { graph: Some(graph), ..Default::default() }.encode_to_vec())
    }

    fn tensor(name: &str, dims: &[i64]) -> TensorProto {
        TensorProto { name: Some(name.to_owned()), dims: dims.to_vec(), ..Default::default() }
    }

    #[test]
    fn models_are_refused_for_what_they_reach_for() {
        assert!(inspect(&model(|_| ())).is_ok());
        assert_eq!(inspect(&Bytes::from_static(b"\x08\x08")), Err(OnnxError::NoGraph));
        assert!(matches!(inspect(&Bytes::from_static(b"\xff\xff")), Err(OnnxError::NotOnnx { .. })));

        let location =
            StringEntry { key: Some("location".to_owned()), value: Some("weights.bin".to_owned()) };
        let external = |tensor: TensorProto| TensorProto {
            data_location: Some(1),
            external_data: vec![location.clone()],
            ..tensor
        };
        let outside =
            Err(OnnxError::ExternalData { name: "w".to_owned(), location: "weights.bin".to_owned() });
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
            assert_eq!(inspect(&model(|g| g.node.push(node))), outside.clone());
        }

        let foreign = NodeProto { domain: Some("evil".to_owned()), ..Default::default() };
        assert_eq!(
            inspect(&model(|g| g.node.push(foreign))),
            Err(OnnxError::Domain { domain: "evil".to_owned() })
        );
        // How to export it is said, where that is known.
        for (domain, flag) in [("TRT", "--max-wh"), ("mmdeploy", "detection_onnxruntime_")] {
            let words = OnnxError::Domain { domain: domain.to_owned() }.to_string();
            assert!(words.contains(domain) && words.contains(flag), "{words}");
        }
        let call = |name: &str| NodeProto {
            domain: Some("own".to_owned()),
            op_type: Some(name.to_owned()),
            ..Default::default()
        };
        let with_function = |node: NodeProto, inner: NodeProto| {
            let function = FunctionProto {
                name: Some("f".to_owned()),
                node: vec![inner],
                domain: Some("own".to_owned()),
                ..Default::default()
            };
            let graph = GraphProto { node: vec![node], ..Default::default() };
            let model = ModelProto { graph: Some(graph), functions: vec![function], ..ModelProto::default() };
            inspect(&model.encode_to_vec().into()).map(drop)
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
            op_type: Some("ConstantOfShape".to_owned()),
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
            op_type: Some("Constant".to_owned()),
            output: vec!["shape".to_owned()],
            attribute: vec![AttributeProto { t: Some(Box::new(shape)), ..Default::default() }],
            ..Default::default()
        };
        assert!(refused(&model(|g| g.node.extend([constant.clone(), node.clone()]))));
        let as_list = AttributeProto {
            name: Some("value_ints".to_owned()),
            ints: vec![1 << 15; 2],
            ..Default::default()
        };
        let constant = NodeProto { attribute: vec![as_list], ..constant };
        assert!(refused(&model(|g| g.node.extend([constant, node]))));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            drop(inspect(&Bytes::from(bytes)));
        }
    }
}
