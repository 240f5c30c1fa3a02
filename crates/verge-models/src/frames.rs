//! Models over frames: a file held against its card, and refused with both sides in the message where they differ.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use verge_domain::id::Label;
use verge_engine::{ContentDigest, ElementType, Graph, GraphError, ModelLimits, Runner, Runtime};

use crate::agreement::{Agreed, Agreement, OutputShape};
use crate::card::{Card, FrameCard, LabelsCard, Meaning};
use crate::catalogue::{ModelFiles, content};
use crate::error::ModelError;

/// A model over frames, checked and ready for runners.
#[derive(Debug)]
pub struct FrameModel {
    card: Card,
    labels: Vec<Label>,
    graph: Graph,
    contract: Arc<verge_engine::Contract>,
    size: (u32, u32),
    outputs: Vec<OutputShape>,
    content: ContentDigest,
}

impl FrameModel {
    /// Loads the model that a card describes.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn load(runtime: &Runtime, files: &ModelFiles, limits: ModelLimits) -> Result<Self, ModelError> {
        let (card, digest, graph) = files.read(runtime, limits)?;
        let frames = files.of_frames(&card)?;
        let (labels, listed) = match &frames.labels {
            Some(LabelsCard::File(labels)) => {
                let (labels, digest) = read_labels(files.beside(labels), files)?;
                (labels, Some(digest))
            }
            Some(LabelsCard::List(names)) => (listed_labels(names, files)?, None),
            None => (Vec::new(), None),
        };
        let agreement = Agreement { card: frames, card_path: &files.card, graph: &graph };
        let Agreed { contract, width, height, outputs } = agreement.reach(&labels)?;
        let content = content(digest, listed, graph.digest());
        Ok(Self {
            labels,
            contract: Arc::new(contract),
            size: (width, height),
            outputs,
            graph,
            card,
            content,
        })
    }

    /// What its files held when they were read, see [`ModelFiles::content`].
    #[must_use]
    pub const fn content(&self) -> ContentDigest {
        self.content
    }

    /// Its card.
    #[must_use]
    pub const fn card(&self) -> &Card {
        &self.card
    }

    /// What its card says of frames.
    ///
    /// # Panics
    /// Never: a card over windows is refused when the model is loaded.
    #[must_use]
    pub fn frames(&self) -> &FrameCard {
        match &self.card.meaning {
            Meaning::Frames(frames) => frames,
            Meaning::Windows => unreachable!("such a card was refused"),
        }
    }

    /// Names of its classes, by line.
    #[must_use]
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Name of the input.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.contract.input.name
    }

    /// Width of the input in pixels.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.size.0
    }

    /// Height of the input in pixels.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.size.1
    }

    /// Outputs that its card reads.
    #[must_use]
    pub fn outputs(&self) -> &[OutputShape] {
        &self.outputs
    }

    /// What goes in, in words.
    #[must_use]
    pub fn input_words(&self) -> String {
        let element = ElementType::from(self.frames().input.element).as_str();
        format!("{}x{} {element} into {}", self.width(), self.height(), self.input())
    }

    /// What comes out, in words: the name and shape of each output.
    #[must_use]
    pub fn output_words(&self) -> Vec<String> {
        let dim = |dim: &Option<usize>| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string());
        let shape = |dims: &[Option<usize>]| dims.iter().map(dim).collect::<Vec<_>>().join(", ");
        self.outputs.iter().map(|(name, dims)| format!("{name} [{}]", shape(dims))).collect()
    }

    /// The graph of its file.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What a run feeds and reads.
    #[must_use]
    pub fn contract(&self) -> &verge_engine::Contract {
        &self.contract
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        self.graph.path()
    }

    /// What its file holds.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        self.graph.bytes()
    }

    /// SHA-256 of its weights.
    #[must_use]
    pub const fn digest(&self) -> ContentDigest {
        self.graph.digest()
    }

    /// A runner of a changed copy of its file, which is fed as it is and gives these outputs.
    ///
    /// # Errors
    /// The library refuses the copy.
    pub fn runner_of(
        &self,
        changed: Bytes,
        outputs: Vec<String>,
        limits: ModelLimits,
    ) -> Result<Runner, GraphError> {
        let graph = Graph::of_bytes(self.graph.runtime(), self.graph.path(), changed, limits)?;
        let contract = verge_engine::Contract { outputs, ..verge_engine::Contract::clone(&self.contract) };
        graph.runner(Arc::new(contract))
    }

    /// A runner for one worker.
    ///
    /// # Errors
    /// See [`Graph::runner`].
    pub fn runner(&self) -> Result<Runner, GraphError> {
        self.graph.runner(Arc::clone(&self.contract))
    }
}

impl ModelFiles {
    /// The labels of a model over frames, in order; nothing where there are none or they cannot be read.
    #[must_use]
    pub fn labels(&self) -> Option<Vec<Label>> {
        let (card, _) = self.read_card().ok()?;
        let Meaning::Frames(frames) = &card.meaning else { return None };
        match frames.labels.as_ref()? {
            LabelsCard::File(labels) => read_labels(self.beside(labels), self).ok().map(|(labels, _)| labels),
            LabelsCard::List(names) => listed_labels(names, self).ok(),
        }
    }
}

/// Labels that the card lists itself.
fn listed_labels(names: &[String], files: &ModelFiles) -> Result<Vec<Label>, ModelError> {
    let label = |name: &String| {
        Label::new(name).map_err(|_| ModelError::Name { path: files.card.clone(), name: name.clone() })
    };
    names.iter().map(label).collect()
}

fn read_labels(path: PathBuf, files: &ModelFiles) -> Result<(Vec<Label>, ContentDigest), ModelError> {
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == ErrorKind::NotFound => {
            return Err(files.missing_part(path, "labels"));
        }
        Err(source) => return Err(ModelError::Read { path, source }),
    };
    // A file of nothing has one line, which is no label.
    let label = |(line, text): (usize, &str)| {
        Label::new(text.trim()).map_err(|_| ModelError::Label { path: path.clone(), line: line + 1 })
    };
    let labels = text.trim_end().split('\n').enumerate().map(label).collect::<Result<_, _>>()?;
    Ok((labels, ContentDigest::of(text.as_bytes())))
}
