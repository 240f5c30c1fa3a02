//! What stands in a graph, for those who decide what is changed in it.

use super::EditableModel;
use crate::onnx::graph::{AttributeProto, NodeProto, TensorProto, ValueInfo};

/// A node of a graph.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a>(&'a NodeProto);

impl<'a> NodeView<'a> {
    /// Its operator.
    #[must_use]
    pub fn operator(self) -> &'a str {
        self.0.op_type()
    }

    /// The domain of its operator; empty for `ai.onnx`.
    #[must_use]
    pub fn domain(self) -> &'a str {
        match self.0.domain() {
            "ai.onnx" => "",
            domain => domain,
        }
    }

    /// Its own name, which may be empty.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.0.name()
    }

    /// Tensors that it reads, by position; an empty name is one that it does without.
    #[must_use]
    pub fn inputs(self) -> &'a [String] {
        &self.0.input
    }

    /// Tensors that it makes.
    #[must_use]
    pub fn outputs(self) -> &'a [String] {
        &self.0.output
    }

    /// A whole number that it is given.
    #[must_use]
    pub fn integer(self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    /// A number that it is given.
    #[must_use]
    pub fn number(self, name: &str) -> Option<f32> {
        self.attribute(name)?.f
    }

    /// A word that it is given.
    #[must_use]
    pub fn word(self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.attribute(name)?.s.as_deref()?).ok()
    }

    /// Whether it holds graphs of its own, which run or do not run by what it reads.
    #[must_use]
    pub fn has_graphs(self) -> bool {
        self.0.attribute.iter().any(|one| one.g.is_some() || !one.graphs.is_empty())
    }

    fn attribute(self, name: &str) -> Option<&'a AttributeProto> {
        self.0.attribute.iter().find(|one| one.name() == name)
    }
}

impl EditableModel {
    /// Its nodes, in their order: each reads what those before it make.
    pub fn views(&self) -> impl DoubleEndedIterator<Item = NodeView<'_>> + ExactSizeIterator {
        self.graph().node.iter().map(NodeView)
    }

    /// Names of its inputs, without the constants that old files list there too.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.graph().input.iter().map(ValueInfo::name).filter(|name| !self.is_constant(name))
    }

    /// Whether a tensor is a constant.
    #[must_use]
    pub fn is_constant(&self, name: &str) -> bool {
        self.graph().initializer.iter().any(|constant| constant.name() == name)
    }

    /// Names of its constants.
    pub fn constants(&self) -> impl Iterator<Item = &str> {
        self.graph().initializer.iter().map(TensorProto::name)
    }
}
