//! A card held against the tensors of its file: where they differ, both sides stand in the message.

mod fitting;
mod inputs;
mod outputs;

use std::path::Path;

use fitting::decoder_for;
use verge_domain::id::Label;
use verge_engine::{Contract, Graph, Port};

use crate::card::{FrameCard, OutputForm, RowColumn};
use crate::error::ModelError;

/// Name and dimensions of an output; a dimension that the file leaves free is `None`.
pub type OutputShape = (String, Vec<Option<usize>>);

/// Compares a card of frames with the tensors of the file.
pub(crate) struct Agreement<'a> {
    pub(crate) card: &'a FrameCard,
    pub(crate) card_path: &'a Path,
    pub(crate) graph: &'a Graph,
}

/// What card and file agreed on.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) contract: Contract,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) outputs: Vec<OutputShape>,
}

impl<'a> Agreement<'a> {
    fn differ(
        &self,
        what: impl Into<String>,
        card: impl Into<String>,
        file: impl Into<String>,
    ) -> ModelError {
        ModelError::Contract {
            path: self.graph.path().to_owned(),
            what: what.into(),
            card: card.into(),
            file: file.into(),
            hint: String::new(),
        }
    }

    /// The same, with what would fit.
    fn hinted(&self, error: ModelError, hint: Option<String>) -> ModelError {
        match (error, hint) {
            (ModelError::Contract { path, what, card, file, hint: known }, Some(hint))
                if known.is_empty() =>
            {
                ModelError::Contract { path, what, card, file, hint: format!(": {hint}") }
            }
            (error, _) => error,
        }
    }

    /// What goes in and comes out, for a model with these labels.
    pub(crate) fn reach(&self, labels: &[Label]) -> Result<Agreed, ModelError> {
        let states = self.states()?;
        let (picture, others) = self.input()?;
        let size = self.size(picture)?;
        let fixed = self.fixed(picture, &others, &size)?;
        let (batch, width, height) = (size.batch, size.width, size.height);
        let classes = self.card.output.classes(labels.len());
        let outputs = self.outputs(classes)?;
        self.classes(&outputs, labels.len())
            .and_then(|()| self.decodable(&outputs, width, height))
            .map_err(|error| self.hinted(error, decoder_for(&outputs, classes)))?;
        self.order(&outputs, labels)?;
        let names = outputs.iter().map(|(name, _)| name.clone()).collect();
        let divided = !matches!(&self.card.output.form, OutputForm::Rows(rows) if rows.position(RowColumn::Batch).is_some());
        let contract = Contract { input: size.feed, fixed, batch, divided, outputs: names, states };
        Ok(Agreed { contract, width, height, outputs })
    }

    /// Labels in the order of the file, where it has the same ones: other names for its classes are the card's right.
    fn order(&self, outputs: &[OutputShape], labels: &[Label]) -> Result<(), ModelError> {
        let [(output, _)] = outputs else { return Ok(()) };
        let Some(known) = self.graph.labels(output) else { return Ok(()) };
        let offset = self.card.output.label_offset;
        let in_file = |at: usize| known.get(at + offset).map(String::as_str);
        let other = (0..).zip(labels).find(|(at, label)| in_file(*at) != Some(label.as_str()));
        match other {
            Some((at, label)) if known.iter().any(|name| name == label.as_str()) => {
                let card = format!("{:?} at place {}", label.as_str(), at + 1);
                let error = self.differ("order of labels", card, format!("{known:?} at output {output:?}"));
                Err(self.hinted(error, Some("list them in the order of the file".to_owned())))
            }
            _ => Ok(()),
        }
    }
}

fn shape_of(port: &Port) -> OutputShape {
    let shape = port.sides().iter().map(|side| usize::try_from(*side).ok()).collect();
    (port.name.clone(), shape)
}

/// Names and shapes.
fn described_all(ports: &[&Port]) -> String {
    let all = ports.iter().map(|port| format!("{:?} {}", port.name, port.described()));
    format!("{}: {}", ports.len(), all.collect::<Vec<_>>().join(", "))
}

/// A shape, with `?` for what the file leaves free.
fn dimensions(shape: &[Option<usize>]) -> String {
    let dims: Vec<String> =
        shape.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

fn names(ports: &[&Port]) -> String {
    let names: Vec<String> = ports.iter().map(|port| format!("{:?}", port.name)).collect();
    names.join(", ")
}
