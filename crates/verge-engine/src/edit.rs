//! A model that is changed and written again. What is not changed stays as it was, byte for byte.

mod change;
mod constant;
mod dequantise;
mod dims;
pub mod opset;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use constant::{constant, data_type};
use prost::Message;
pub use view::NodeView;

use crate::onnx::graph::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetId, SparseTensorProto, TensorProto,
    ValueInfo,
};
use crate::onnx::{self, OnnxError};
use crate::tensor::{ElementType, Tensor};

/// Why a model is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Not a model that is run.
    #[error(transparent)]
    Refused(#[from] OnnxError),
    /// Written in a way that is not kept when it is written again.
    #[error(
        "it holds parts that this version of Verge does not know and would lose: save it again with the onnx package, in \
         Python onnx.save(onnx.load(\"this.onnx\"), \"again.onnx\")"
    )]
    NotKept,
    /// A tensor that is not in the graph.
    #[error("it has no tensor {0:?}")]
    NoTensor(String),
    /// An operator that may mean something else in a newer version.
    #[error(
        "operator {operator} of opset {version} may mean something else in opset {}: export the model again with opset 13",
        opset::RELABELLED
    )]
    Operator {
        /// The operator.
        operator: String,
        /// The version that the model is written in.
        version: i64,
    },
    /// Numbers that do not fill their shape.
    #[error("tensor {name:?} of shape {dims:?} has {numbers} numbers")]
    Shape {
        /// The tensor.
        name: String,
        /// Its sides.
        dims: Vec<i64>,
        /// The numbers that it was to have.
        numbers: usize,
    },
}

/// A node to be put into a graph.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewNode<'a> {
    /// The operator.
    pub operator: &'a str,
    /// Its domain; empty for `ai.onnx`.
    pub domain: &'a str,
    /// Tensors that it reads; each is in the graph.
    pub inputs: &'a [&'a str],
    /// Tensors that it makes; none of them is in the graph yet, see [`EditableModel::fresh`].
    pub outputs: &'a [&'a str],
    /// Whole numbers that it is given.
    pub integers: &'a [(&'a str, i64)],
    /// Lists of whole numbers that it is given.
    pub lists: &'a [(&'a str, &'a [i64])],
}

/// A model that is changed.
#[derive(Debug, Clone, PartialEq)]
pub struct EditableModel {
    model: ModelProto,
    /// Of tensors and nodes, in subgraphs too.
    names: BTreeSet<String>,
}

impl EditableModel {
    /// Reads one that is run by the gateway too.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn read(bytes: &Bytes) -> Result<Self, EditError> {
        let model = onnx::read(bytes)?;
        // What is not known is not counted, so that the length says whether all is there.
        if model.encoded_len() != bytes.len() {
            return Err(EditError::NotKept);
        }
        let mut names = BTreeSet::new();
        collect_names(graph_of(&model), &mut names);
        Ok(Self { model, names })
    }

    /// The model as it is now.
    #[must_use]
    pub fn write(&self) -> Bytes {
        Bytes::from(self.model.encode_to_vec())
    }

    /// The version of a domain's operators that it is written in; `""` is `ai.onnx`.
    #[must_use]
    pub fn opset(&self, domain: &str) -> Option<i64> {
        let is_it =
            |set: &&OperatorSetId| set.domain() == domain || domain.is_empty() && set.domain() == "ai.onnx";
        self.model.opset_import.iter().find(is_it).map(OperatorSetId::version)
    }

    /// Declares a domain that nodes are added from.
    pub fn import(&mut self, domain: &str, version: i64) {
        if self.opset(domain).is_none() {
            let set = OperatorSetId { domain: Some(domain.to_owned()), version: Some(version) };
            self.model.opset_import.push(set);
        }
    }

    /// Names of its outputs, in their order.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.graph().output.iter().map(ValueInfo::name)
    }

    /// Operators and the tensors that they make, in their order.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.graph().node.iter().map(|node| (node.op_type(), &node.output[..]))
    }

    /// A name that neither a tensor nor a node has.
    pub fn fresh(&mut self, stem: &str) -> String {
        let numbered = (0_u64..).map(|number| match number {
            0 => stem.to_owned(),
            number => format!("{stem}_{number}"),
        });
        let free = numbered.into_iter().find(|name| !name.is_empty() && !self.names.contains(name));
        let name = free.expect("a model has fewer names than there are numbers");
        self.names.insert(name.clone());
        name
    }

    /// Makes tensors outputs, behind those that there are.
    ///
    /// # Errors
    /// [`EditError::NoTensor`]; nothing is changed then.
    pub fn add_outputs(&mut self, tensors: &[&str]) -> Result<(), EditError> {
        let added = tensors.iter().map(|tensor| self.described(tensor)).collect::<Result<Vec<_>, _>>()?;
        for output in added {
            if !self.outputs().any(|known| known == output.name()) {
                self.graph_mut().output.push(output);
            }
        }
        Ok(())
    }

    /// Makes these tensors the only outputs, and leaves out what no output needs.
    ///
    /// # Errors
    /// [`EditError::NoTensor`]; nothing is changed then.
    pub fn cut_at(&mut self, tensors: &[&str]) -> Result<(), EditError> {
        let outputs = tensors.iter().map(|tensor| self.described(tensor)).collect::<Result<Vec<_>, _>>()?;
        let graph = self.graph_mut();
        graph.output = outputs;
        let makers: BTreeMap<&str, usize> = graph
            .node
            .iter()
            .enumerate()
            .flat_map(|(index, node)| node.output.iter().map(move |output| (output.as_str(), index)))
            .collect();
        let mut needed: BTreeSet<String> = BTreeSet::new();
        let mut kept = vec![false; graph.node.len()];
        let mut open: Vec<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
        while let Some(tensor) = open.pop() {
            if let Some(&maker) = makers.get(tensor.as_str())
                && !std::mem::replace(&mut kept[maker], true)
            {
                open.extend(reads(&graph.node[maker]).into_iter().map(str::to_owned));
            }
            needed.insert(tensor);
        }
        let mut kept = kept.into_iter();
        graph.node.retain(|_| kept.next().unwrap_or(false));
        let made: BTreeSet<&String> = graph.node.iter().flat_map(|node| &node.output).collect();
        let is_made = |name: &str| needed.contains(name) || made.contains(&name.to_owned());
        graph.value_info.retain(|value| is_made(value.name()));
        graph.initializer.retain(|tensor| needed.contains(tensor.name()));
        graph
            .sparse_initializer
            .retain(|sparse| sparse.values.as_ref().is_none_or(|values| needed.contains(values.name())));
        // Of old files the initializers stand among the inputs, and would be asked for where they are left out.
        graph.input.retain(|input| needed.contains(input.name()));
        Ok(())
    }

    /// Puts a node behind all that makes what it reads.
    ///
    /// # Errors
    /// [`EditError::NoTensor`]; nothing is changed then.
    pub fn insert(&mut self, node: &NewNode<'_>) -> Result<(), EditError> {
        node.inputs.iter().filter(|input| !input.is_empty()).try_for_each(|input| self.has(input))?;
        const INT: i32 = 2;
        const INTS: i32 = 7;
        let single = node.integers.iter().map(|(name, value)| AttributeProto {
            name: Some((*name).to_owned()),
            i: Some(*value),
            r#type: Some(INT),
            ..Default::default()
        });
        let lists = node.lists.iter().map(|(name, values)| AttributeProto {
            name: Some((*name).to_owned()),
            ints: values.to_vec(),
            r#type: Some(INTS),
            ..Default::default()
        });
        let attribute = single.chain(lists).collect();
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let name = self.fresh(&format!("verge_{}", node.operator));
        let new = NodeProto {
            input: owned(node.inputs),
            output: owned(node.outputs),
            name: Some(name),
            op_type: Some(node.operator.to_owned()),
            attribute,
            domain: (!node.domain.is_empty()).then(|| node.domain.to_owned()),
            ..Default::default()
        };
        self.names.extend(new.output.iter().cloned());
        let nodes = &mut self.graph_mut().node;
        let makes = |earlier: &NodeProto| earlier.output.iter().any(|output| new.input.contains(output));
        let behind = nodes.iter().rposition(makes).map_or(0, |last| last + 1);
        nodes.insert(behind, new);
        Ok(())
    }

    /// Lets all that reads one tensor read another, in subgraphs too, except for what makes that. Outputs keep their tensors.
    ///
    /// # Errors
    /// [`EditError::NoTensor`]; nothing is changed then.
    pub fn redirect(&mut self, from: &str, to: &str) -> Result<(), EditError> {
        self.has(from)?;
        self.has(to)?;
        let graph = self.graph_mut();
        // Whatever `to` is made of, back to `from`.
        let mut makers = vec![false; graph.node.len()];
        let mut open = vec![to.to_owned()];
        while let Some(tensor) = open.pop() {
            let found = graph.node.iter().position(|node| node.output.contains(&tensor));
            if let Some(index) = found.filter(|_| tensor != from)
                && !std::mem::replace(&mut makers[index], true)
            {
                open.extend(reads(&graph.node[index]).into_iter().map(str::to_owned));
            }
        }
        let readers = graph.node.iter_mut().zip(makers).filter(|(_, makes)| !makes);
        readers.for_each(|(node, _)| redirect_node(node, from, to));
        Ok(())
    }

    /// Gives a constant other numbers, and where they are of another type or shape, these.
    ///
    /// # Errors
    /// [`EditError::NoTensor`], [`EditError::Shape`]; nothing is changed then.
    pub fn replace_initializer(
        &mut self,
        name: &str,
        dims: &[i64],
        numbers: &Tensor,
    ) -> Result<(), EditError> {
        let tensor = constant(name, dims, numbers)?;
        let graph = self.graph_mut();
        let found = graph.initializer.iter_mut().find(|known| known.name() == name);
        let known = found.ok_or_else(|| EditError::NoTensor(name.to_owned()))?;
        let (doc_string, metadata_props) =
            (known.doc_string.take(), std::mem::take(&mut known.metadata_props));
        let is_another = known.data_type != tensor.data_type || known.dims != tensor.dims;
        *known = TensorProto { doc_string, metadata_props, ..tensor };
        if is_another {
            self.let_constants_stand_alone();
            let graph = self.graph_mut();
            // What is said elsewhere of its type and shape holds no longer; a constant says both itself.
            graph.value_info.retain(|value| value.name() != name);
            graph.input.retain(|input| input.name() != name);
        }
        Ok(())
    }

    /// Adds a constant under a name of its own, see [`Self::fresh`].
    ///
    /// # Errors
    /// [`EditError::Shape`]; nothing is changed then.
    pub fn add_initializer(&mut self, name: &str, dims: &[i64], numbers: &Tensor) -> Result<(), EditError> {
        let tensor = constant(name, dims, numbers)?;
        self.names.insert(name.to_owned());
        self.let_constants_stand_alone();
        self.graph_mut().initializer.push(tensor);
        Ok(())
    }

    /// Shape and numbers of a constant of floating point; `None` where there is none of the name.
    #[must_use]
    pub fn floats(&self, name: &str) -> Option<(Vec<i64>, Vec<f32>)> {
        let tensor = self.graph().initializer.iter().find(|known| known.name() == name)?;
        if tensor.data_type() != data_type(ElementType::F32) {
            return None;
        }
        let raw = tensor.raw_data().chunks_exact(size_of::<f32>());
        let numbers = if tensor.float_data.is_empty() {
            raw.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of four"))).collect()
        } else {
            tensor.float_data.clone()
        };
        Some((tensor.dims.clone(), numbers))
    }

    fn graph(&self) -> &GraphProto {
        graph_of(&self.model)
    }

    fn graph_mut(&mut self) -> &mut GraphProto {
        self.model.graph.as_mut().expect("a model without a graph is not read")
    }

    /// A tensor as an output; without a type the library finds it out.
    fn described(&self, tensor: &str) -> Result<ValueInfo, EditError> {
        self.has(tensor)?;
        let graph = self.graph();
        let mut known = graph.output.iter().chain(&graph.value_info).chain(&graph.input);
        let found = known.find(|value| value.name() == tensor).cloned();
        Ok(found.unwrap_or_else(|| ValueInfo { name: Some(tensor.to_owned()), ..Default::default() }))
    }

    fn has(&self, tensor: &str) -> Result<(), EditError> {
        let graph = self.graph();
        let is_made = graph.node.iter().any(|node| node.output.iter().any(|output| output == tensor));
        let is_given = graph.input.iter().any(|input| input.name() == tensor);
        let is_constant = graph.initializer.iter().any(|constant| constant.name() == tensor);
        if !tensor.is_empty() && (is_made || is_given || is_constant) {
            Ok(())
        } else {
            Err(EditError::NoTensor(tensor.to_owned()))
        }
    }
}

fn graph_of(model: &ModelProto) -> &GraphProto {
    model.graph.as_ref().expect("a model without a graph is not read")
}

fn collect_names(graph: &GraphProto, names: &mut BTreeSet<String>) {
    let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    names.extend(values.map(|value| value.name().to_owned()));
    names.extend(graph.initializer.iter().map(|tensor| tensor.name().to_owned()));
    names.extend(graph.sparse_initializer.iter().filter_map(|one| one.values.as_ref()?.name.clone()));
    for node in &graph.node {
        names.extend(node.name.iter().chain(&node.input).chain(&node.output).cloned());
        subgraphs(node).for_each(|graph| collect_names(graph, names));
    }
}

fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|one| one.g.iter().map(|graph| &**graph).chain(&one.graphs))
}

fn redirect_node(node: &mut NodeProto, from: &str, to: &str) {
    node.input.iter_mut().filter(|input| *input == from).for_each(|input| to.clone_into(input));
    let inner =
        node.attribute.iter_mut().flat_map(|one| one.g.as_deref_mut().into_iter().chain(&mut one.graphs));
    // Where a subgraph has a tensor of that name itself, it reads that.
    for graph in inner.filter(|graph| !defines(graph, from)) {
        graph.node.iter_mut().for_each(|node| redirect_node(node, from, to));
        let outputs = graph.output.iter_mut().filter(|output| output.name() == from);
        outputs.for_each(|output| output.name = Some(to.to_owned()));
    }
}

fn defines(graph: &GraphProto, name: &str) -> bool {
    let is_sparse = |sparse: &SparseTensorProto| sparse.values.as_ref().is_some_and(|one| one.name() == name);
    graph.input.iter().any(|input| input.name() == name)
        || graph.initializer.iter().any(|constant| constant.name() == name)
        || graph.sparse_initializer.iter().any(is_sparse)
        || graph.node.iter().any(|node| node.output.iter().any(|output| output == name))
}

/// What a node reads, and what its subgraphs read from outside or inside.
fn reads(node: &NodeProto) -> Vec<&str> {
    let inner = subgraphs(node).flat_map(|graph| {
        let outputs = graph.output.iter().map(ValueInfo::name);
        graph.node.iter().flat_map(reads).chain(outputs)
    });
    node.input.iter().map(String::as_str).chain(inner).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests;
