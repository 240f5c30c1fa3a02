//! Why a model cannot be used.

use std::path::PathBuf;

use verge_engine::GraphError;

use crate::card::CardError;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Its card cannot be used.
    #[error(transparent)]
    Card(#[from] CardError),
    /// Its file cannot be used.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Neither the weights nor their card are there.
    #[error(
        "neither the weights {weights} nor their card {card} is there: copy both into one folder; docs/models.md says what \
         stands in a card",
        weights = weights.display(),
        card = card.display()
    )]
    Missing {
        /// The weights.
        weights: PathBuf,
        /// The card.
        card: PathBuf,
    },
    /// The card is for other weights than the configuration names.
    #[error(
        "the configuration names {weights}, but its card {card} is for {named}",
        weights = weights.display(),
        card = card.display(),
        named = named.display()
    )]
    OtherWeights {
        /// The weights of the configuration.
        weights: PathBuf,
        /// The card.
        card: PathBuf,
        /// The weights of the card.
        named: PathBuf,
    },
    /// A file that a card names is not there.
    #[error("{path}: No such file; the card {card} names it as its {what}", path = path.display(), card = card.display())]
    MissingPart {
        /// The file.
        path: PathBuf,
        /// The card.
        card: PathBuf,
        /// What it is to the card.
        what: &'static str,
    },
    /// The labels cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file of labels.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A label that cannot be a name.
    #[error("{path}, line {line}: a label has 1 to 128 bytes and no control characters", path = path.display())]
    Label {
        /// The file of labels.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// A file of labels that is none.
    #[error("{path}: no list of labels; expected one name a line, 1 to 128 bytes each, and at most 1 MiB", path = path.display())]
    NoLabels {
        /// The file.
        path: PathBuf,
    },
    /// A model without an input for pictures.
    #[error(
        "{path}: none of its inputs takes a picture, which has three or four sides: {inputs}; a model over windows of \
         readings has a card of its own, see docs/models.md",
        path = path.display()
    )]
    NoPicture {
        /// The file.
        path: PathBuf,
        /// Its inputs.
        inputs: String,
    },
    /// Weights without a card that do not say all by themselves.
    #[error(
        "{card}: there is no model card, and {weights} does not say everything by itself ({guessed}): \
         `verge model card {weights}` drafts one",
        card = card.display(),
        weights = weights.display()
    )]
    NoCard {
        /// The card.
        card: PathBuf,
        /// The weights.
        weights: PathBuf,
        /// What is not known.
        guessed: String,
    },
    /// A name in a card's list of labels that cannot be one.
    #[error("{path}: labels: {name:?}: a label has 1 to 128 bytes and no control characters", path = path.display())]
    Name {
        /// The card.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A good card for something else.
    #[error("{path}: the card of a model over {found}, where one over {asked} is asked for", path = path.display())]
    Mistaken {
        /// The card.
        path: PathBuf,
        /// What its model looks at.
        found: &'static str,
        /// What it is asked to look at.
        asked: &'static str,
    },
    /// Neither the file nor its card says how large a picture is.
    #[error(
        "{path}: it leaves the size of its input free, {shape}: write input.size = [width, height] into its card {card}, the \
         size that the model was trained with, or export it without free sides (torch.onnx.export without dynamic_axes, \
         ultralytics dynamic=False)",
        path = path.display(),
        card = card.display()
    )]
    NoSize {
        /// The file.
        path: PathBuf,
        /// The card.
        card: PathBuf,
        /// The input's shape.
        shape: String,
    },
    /// Card and file differ.
    #[error("{path}: {what}: the card says {card}, the file has {file}{hint}", path = path.display())]
    Contract {
        /// The file.
        path: PathBuf,
        /// What about.
        what: String,
        /// The card's side.
        card: String,
        /// The file's side.
        file: String,
        /// What would fit, or nothing; begins with its separator.
        hint: String,
    },
}
