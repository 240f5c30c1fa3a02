//! The models that a configuration names: where their files are, and those that are loaded.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use verge_engine::{ContentDigest, Graph, GraphError, ModelLimits, Runtime};

use crate::card::{self, Card, FrameCard, LabelsCard, Meaning};
use crate::draft::draft;
use crate::error::ModelError;
use crate::frames::FrameModel;
use crate::store::{FACTORY, ModelStore};
use crate::windows::WindowModel;

/// A `[model.NAME]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// Its name in the configuration. Verdicts carry that of the card.
    pub name: String,
    /// The card.
    pub card: PathBuf,
    /// The weights, where the configuration names them: those that the card is for.
    pub weights: Option<PathBuf>,
    /// Its stored versions, where it is managed: card and weights are then those of the factory.
    pub store: Option<ModelStore>,
}

/// The files of a managed model that are in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// Card and weights.
    pub files: ModelFiles,
    /// The version; nothing for that of the factory.
    pub version: Option<String>,
    /// Versions that should be in use and are damaged, and how.
    pub damaged: Vec<String>,
}

/// Loads models over frames once each, whoever asks for them.
#[derive(Debug)]
pub struct Catalogue {
    runtime: Runtime,
    limits: ModelLimits,
    frames: BTreeMap<String, Arc<FrameModel>>,
    /// Models that are at work.
    known: Vec<Arc<FrameModel>>,
}

impl Catalogue {
    /// A catalogue of nothing yet.
    #[must_use]
    pub const fn new(runtime: Runtime, limits: ModelLimits) -> Self {
        Self { runtime, limits, frames: BTreeMap::new(), known: Vec::new() }
    }

    /// The same where models are at work: those whose files hold what they held when they were read are not loaded again.
    #[must_use]
    pub fn beside(self, known: Vec<Arc<FrameModel>>) -> Self {
        Self { known, ..self }
    }

    /// A model over frames.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn frames(&mut self, files: &ModelFiles) -> Result<Arc<FrameModel>, ModelError> {
        if let Some(model) = self.frames.get(&files.name) {
            return Ok(Arc::clone(model));
        }
        let in_use = files.in_use();
        in_use.log();
        let files = &in_use.files;
        let content = if self.known.is_empty() { None } else { files.content() };
        let known = self.known.iter().find(|known| Some(known.content()) == content);
        let model = match known {
            Some(known) => Arc::clone(known),
            None => Arc::new(FrameModel::load(&self.runtime, files, self.limits)?),
        };
        self.frames.insert(files.name.clone(), Arc::clone(&model));
        Ok(model)
    }

    /// A model over windows of readings, with a runner of its own for whoever asks.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn windows(&self, files: &ModelFiles) -> Result<WindowModel, ModelError> {
        let in_use = files.in_use();
        in_use.log();
        WindowModel::load(&self.runtime, &in_use.files, self.limits)
    }
}

impl InUse {
    fn log(&self) {
        for damaged in &self.damaged {
            tracing::error!(model = %self.files.name, version = self.version.as_deref().unwrap_or(FACTORY), "{damaged}");
        }
    }
}

impl ModelFiles {
    /// The files of a card.
    #[must_use]
    pub fn of_card(card: &Path) -> Self {
        Self { name: String::new(), card: card.to_owned(), weights: None, store: None }
    }

    /// The files that are in use: of a managed model those of the active version, of the one before where that is damaged, and
    /// last those of the factory. Every file of a stored version is read for that.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        let mut damaged = Vec::new();
        if let Some(store) = &self.store {
            let (slots, fault) = store.slots();
            let used = slots.active.as_deref().unwrap_or(FACTORY);
            damaged.extend(fault.map(|why| {
                format!("slots.json cannot be read ({why}): version {used} is taken for the one in use")
            }));
            // Without an active version that of the factory is in use, whatever was before.
            let fallen_back = slots.previous.iter().filter(|_| slots.active.is_some());
            for id in slots.active.iter().chain(fallen_back).filter(|id| *id != FACTORY) {
                match store.version(id).check() {
                    Ok(card) => {
                        let files = Self { name: self.name.clone(), card, weights: None, store: None };
                        return InUse { files, version: Some(id.clone()), damaged };
                    }
                    Err(why) => damaged.push(format!("version {id} is damaged: {why}")),
                }
            }
        }
        InUse { files: Self { store: None, ..self.clone() }, version: None, damaged }
    }

    /// The weights that the configuration names, or its card.
    #[must_use]
    pub fn factory_weights(&self) -> Option<PathBuf> {
        self.weights.clone().or_else(|| Some(self.beside(&Card::load(&self.card).ok()?.file)))
    }

    /// A file that the card names, relative to it.
    pub(crate) fn beside(&self, file: &Path) -> PathBuf {
        self.card.parent().unwrap_or(Path::new("")).join(file)
    }

    /// What its files hold: card, labels and weights. `None` where one of them cannot be read.
    #[must_use]
    pub fn content(&self) -> Option<ContentDigest> {
        if self.store.is_some() {
            return self.in_use().files.content();
        }
        if let Some(weights) = self.alone() {
            let weights = ContentDigest::of_file(weights).ok()?;
            return Some(content(ContentDigest::of(b""), None, weights));
        }
        let (card, digest) = self.read_card().ok()?;
        let labels = match &card.meaning {
            Meaning::Frames(frames) => match &frames.labels {
                Some(LabelsCard::File(labels)) => Some(labels),
                // Those that the card lists are a part of its text.
                Some(LabelsCard::List(_)) | None => None,
            },
            Meaning::Windows => None,
        };
        let labels = labels.map(|labels| ContentDigest::of_file(&self.beside(labels))).transpose().ok()?;
        let weights = ContentDigest::of_file(&self.beside(&card.file)).ok()?;
        Some(content(digest, labels, weights))
    }

    /// Its card, which must be for the weights that the configuration names, and what the file of the card holds.
    pub(crate) fn read_card(&self) -> Result<(Card, ContentDigest), ModelError> {
        let is_missing = |path: &Path| matches!(path.try_exists(), Ok(false));
        if let Some(weights) = &self.weights
            && is_missing(weights)
            && is_missing(&self.card)
        {
            return Err(ModelError::Missing { weights: weights.clone(), card: self.card.clone() });
        }
        let text = card::read_text(&self.card)?;
        let (card, digest) = (Card::parse(&text, &self.card)?, ContentDigest::of(text.as_bytes()));
        match &self.weights {
            Some(weights) if self.beside(&card.file) != *weights => Err(ModelError::OtherWeights {
                weights: weights.clone(),
                card: self.card.clone(),
                named: card.file,
            }),
            _ => Ok((card, digest)),
        }
    }

    /// The weights of a model that has no card.
    fn alone(&self) -> Option<&Path> {
        let weights = self.weights.as_deref()?;
        let is_alone =
            matches!(self.card.try_exists(), Ok(false)) && matches!(weights.try_exists(), Ok(true));
        is_alone.then_some(weights)
    }

    /// Its card, what the file of the card holds, and its weights. Weights without a card are taken where they say
    /// everything by themselves.
    pub(crate) fn read(
        &self,
        runtime: &Runtime,
        limits: ModelLimits,
    ) -> Result<(Card, ContentDigest, Graph), ModelError> {
        let Some(weights) = self.alone() else {
            let (card, digest) = self.read_card()?;
            let graph = self.read_graph(runtime, &card, limits)?;
            return Ok((card, digest, graph));
        };
        let graph = Graph::load(runtime, weights, None, limits)?;
        let draft = draft(&graph, None)?;
        if draft.guessed.is_empty() {
            return Ok((Card::parse(&draft.text, &self.card)?, ContentDigest::of(b""), graph));
        }
        let (card, weights) = (self.card.clone(), weights.to_owned());
        Err(ModelError::NoCard { card, weights, guessed: draft.guessed.join(", ") })
    }

    /// What a card says of frames.
    pub(crate) fn of_frames<'a>(&self, card: &'a Card) -> Result<&'a FrameCard, ModelError> {
        match &card.meaning {
            Meaning::Frames(frames) => Ok(frames),
            Meaning::Windows => Err(self.mistaken("windows of readings", "frames")),
        }
    }

    pub(crate) fn mistaken(&self, found: &'static str, asked: &'static str) -> ModelError {
        ModelError::Mistaken { path: self.card.clone(), found, asked }
    }

    /// The weights.
    pub(crate) fn read_graph(
        &self,
        runtime: &Runtime,
        card: &Card,
        limits: ModelLimits,
    ) -> Result<Graph, ModelError> {
        let path = self.beside(&card.file);
        Graph::load(runtime, &path, card.sha256.as_deref(), limits).map_err(|error| match error {
            GraphError::Read { path, source } if source.kind() == ErrorKind::NotFound => {
                self.missing_part(path, "file")
            }
            error => error.into(),
        })
    }

    pub(crate) fn missing_part(&self, path: PathBuf, what: &'static str) -> ModelError {
        ModelError::MissingPart { path, card: self.card.clone(), what }
    }
}

/// What the files of a model hold.
pub(crate) fn content(
    card: ContentDigest,
    labels: Option<ContentDigest>,
    weights: ContentDigest,
) -> ContentDigest {
    match labels {
        Some(labels) => ContentDigest::joined(&[card, labels, weights]),
        None => ContentDigest::joined(&[card, weights]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_those_of_card_and_weights_whatever_their_names_and_times() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let card = "name = \"w\"\nversion = \"1\"\nfile = \"w.onnx\"\ntask = \"reconstruct\"\n";
        let content = |name: &str| ModelFiles::of_card(&folder.path().join(name)).content();
        write("one.toml", card);
        assert_eq!(content("one.toml"), None, "the weights are not there");
        write("w.onnx", "weights");
        let first = content("one.toml");
        assert!(first.is_some());
        write("two.toml", card);
        write("w.onnx", "weights");
        assert_eq!(content("two.toml"), first);
        write("w.onnx", "weighty");
        assert!(content("one.toml").is_some_and(|content| Some(content) != first), "as long as before");
        write("w.onnx", "weights");
        write("one.toml", &card.replace("\"1\"", "\"2\""));
        assert!(content("one.toml").is_some_and(|content| Some(content) != first));
        assert_eq!(content("two.toml"), first);
    }
}
