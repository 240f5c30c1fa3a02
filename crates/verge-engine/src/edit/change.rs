//! Changes of single nodes.

use std::collections::BTreeSet;

use super::{EditError, EditableModel};
use crate::onnx::graph::NodeProto;

/// From this version of the file format on, constants need not stand among the inputs as well.
///
/// **Source**: `docs/IR.md` of ONNX.
const CONSTANTS_ALONE: i64 = 4;

impl EditableModel {
    /// Lets constants stand where they are alone: files of older versions want each of them among the inputs.
    pub(super) fn let_constants_stand_alone(&mut self) {
        self.model.ir_version = Some(self.model.ir_version().max(CONSTANTS_ALONE));
    }

    /// Has what makes a tensor make another in its place, under a name of its own, which is given back. Whoever reads the
    /// tensor goes on reading it: something else is to make it.
    ///
    /// # Errors
    /// [`EditError::NoTensor`]; nothing is changed then.
    pub fn remake(&mut self, tensor: &str, stem: &str) -> Result<String, EditError> {
        self.maker(tensor)?;
        let name = self.fresh(stem);
        let outputs = self.graph_mut().node.iter_mut().flat_map(|node| &mut node.output);
        outputs.filter(|output| *output == tensor).for_each(|output| output.clone_from(&name));
        Ok(name)
    }

    /// Has the node that makes `made` read a tensor at this position.
    ///
    /// # Errors
    /// [`EditError::NoTensor`]; nothing is changed then.
    pub fn read_instead(&mut self, made: &str, position: usize, tensor: &str) -> Result<(), EditError> {
        self.has(tensor)?;
        let maker = self.maker(made)?;
        let inputs = &mut self.graph_mut().node[maker].input;
        // Those before it that it does without have no name.
        inputs.resize(inputs.len().max(position + 1), String::new());
        tensor.clone_into(&mut inputs[position]);
        Ok(())
    }

    /// Leaves out the node that makes a tensor: what makes its first input makes the tensor in its place.
    ///
    /// # Errors
    /// [`EditError::NoTensor`]; nothing is changed then.
    pub fn leave_out(&mut self, output: &str) -> Result<(), EditError> {
        let maker = self.maker(output)?;
        let before = self.graph().node[maker].input.first().cloned().unwrap_or_default();
        let earlier = self.maker(&before)?;
        let graph = self.graph_mut();
        let outputs = graph.node[earlier].output.iter_mut().filter(|made| **made == before);
        outputs.for_each(|made| output.clone_into(made));
        graph.node.remove(maker);
        graph.value_info.retain(|value| value.name() != before);
        Ok(())
    }

    /// Leaves out constants that nothing reads, and domains that no node is of. Constants are no longer listed among the
    /// inputs: whoever runs the model could give others there.
    pub fn tidy(&mut self) {
        let outputs: Vec<String> = self.outputs().map(str::to_owned).collect();
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        self.cut_at(&outputs).expect("its own outputs");
        let constants: BTreeSet<String> = self.constants().map(str::to_owned).collect();
        self.graph_mut().input.retain(|input| !constants.contains(input.name()));
        let used: BTreeSet<String> = self.views().map(|node| node.domain().to_owned()).collect();
        let functions: BTreeSet<String> =
            self.model.functions.iter().map(|function| function.domain().to_owned()).collect();
        self.model.opset_import.retain(|set| {
            let domain = if set.domain() == "ai.onnx" { "" } else { set.domain() };
            domain.is_empty() || used.contains(domain) || functions.contains(domain)
        });
        // Since this version constants need not be listed among the inputs.
        const ALONE: i64 = 4;
        self.model.ir_version = Some(self.model.ir_version().max(ALONE));
    }

    /// Says what program made the model, and forgets what another wrote about itself.
    pub fn sign(&mut self, producer: &str, version: &str) {
        self.model.producer_name = Some(producer.to_owned());
        self.model.producer_version = Some(version.to_owned().into());
    }

    /// Position of the node that makes a tensor.
    fn maker(&self, tensor: &str) -> Result<usize, EditError> {
        let makes = |node: &NodeProto| node.output.iter().any(|output| output == tensor);
        let found = self.graph().node.iter().position(makes).filter(|_| !tensor.is_empty());
        found.ok_or_else(|| EditError::NoTensor(tensor.to_owned()))
    }
}
