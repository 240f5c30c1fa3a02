//! Model cards: what a model's tensors mean, as data in `NAME.toml` beside the weights. Nothing is taken from a
//! position or by guess.

mod check;
mod error;
mod frames;
mod made;
mod output;
mod presets;
mod successor;
mod words;
mod written;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use verge_domain::id::ModelName;
use verge_domain::verdict;

pub use error::CardError;
pub use frames::{
    Colour, FedNumber, FrameCard, InputCard, LabelsCard, PixelElement, Quantisation, Resize, SideRounding,
    StateCard, TensorLayout,
};
pub use made::{ANY_PROCESSOR, Provenance};
use output::RawOutput;
pub use output::{
    Activation, AnchorForm, AnchorFormula, AnomalyForm, Background, BoxForm, BoxUnits, GridForm, NanodetForm,
    Nms, NumbersAxis, OutputCard, OutputDecoder, OutputForm, OutputRole, RowColumn, RowsForm, TupleForm,
};
pub use successor::Successor;
pub use written::quoted;

/// A card is a page of text; a larger file is something else.
const MAX_CARD_BYTES: u64 = 64 * 1024;

/// A model's card.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// What verdicts call it.
    pub identity: verdict::Model,
    /// Licence of the weights, for people.
    pub licence: Option<String>,
    /// Where the weights come from, for people.
    pub source: Option<String>,
    /// SHA-256 of the file in hexadecimal digits; checked when it is loaded.
    pub sha256: Option<String>,
    /// The weights, relative to the card.
    pub file: PathBuf,
    /// How the file came to be, where Verge made it.
    pub made: Option<Provenance>,
    /// What its tensors mean.
    pub meaning: Meaning,
}

/// What a model looks at, and what its tensors mean.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// Frames.
    Frames(Box<FrameCard>),
    /// Windows of readings, which it reconstructs: the file says all of the tensors.
    Windows,
}

verge_domain::words! {
    /// What a model does.
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum ModelTask {
        /// Says what a frame shows.
        Classify = "classify",
        /// Finds objects in a frame.
        Detect = "detect",
        /// Makes of a frame, or of a window of readings, what it knows of such.
        Reconstruct = "reconstruct",
        /// Says how unlike usual frames a frame is.
        Anomaly = "anomaly",
    }
}

/// The text of a card, key by key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCard {
    name: String,
    version: String,
    licence: Option<String>,
    source: Option<String>,
    sha256: Option<String>,
    file: PathBuf,
    made: Option<Provenance>,
    task: ModelTask,
    labels: Option<LabelsCard>,
    input: Option<InputCard>,
    output: Option<RawOutput>,
    #[serde(default)]
    state: Vec<StateCard>,
}

/// A value that cannot be: its key or keys, what would do.
type Wrong = (&'static str, &'static str);

impl Card {
    /// Reads and checks a card.
    ///
    /// # Errors
    /// See [`CardError`].
    pub fn load(path: &Path) -> Result<Self, CardError> {
        Self::parse(&read_text(path)?, path)
    }

    /// Checks the text of a card; `path` is for messages alone.
    ///
    /// # Errors
    /// See [`CardError`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, CardError> {
        let path = || path.to_owned();
        let raw: RawCard = toml::from_str(text).map_err(|error| {
            let (line, reason) = words::explain(text, &error);
            CardError::Parse { path: path(), line, reason }
        })?;
        raw.checked().map_err(|(key, expected)| {
            let (line, found) = words::find(text, key);
            CardError::Value { path: path(), line, key, found, expected }
        })
    }
}

impl RawCard {
    fn checked(self) -> Result<Card, Wrong> {
        let name = |key, text: &str| {
            let expected = "1 to 128 bytes without control characters";
            ModelName::new(text).map_err(|_| (key, expected))
        };
        let (name, version) = (name("name", &self.name)?, name("version", &self.version)?);
        if let Some(digits) = &self.sha256
            && (digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        {
            return Err(("sha256", "64 hexadecimal digits"));
        }
        self.made.as_ref().and_then(Provenance::fault).map_or(Ok(()), Err)?;
        let meaning = match (self.task, self.input, self.output) {
            (task, Some(input), Some(output)) => {
                let output = output.resolved()?;
                let card = FrameCard { task, labels: self.labels, input, output, state: self.state };
                check::fault(&card).map_or(Ok(Meaning::Frames(Box::new(card))), Err)?
            }
            (ModelTask::Reconstruct, None, None) if self.labels.is_some() => {
                return Err(("labels", "nothing with task = \"reconstruct\", which has no classes"));
            }
            (ModelTask::Reconstruct, None, None) if !self.state.is_empty() => {
                return Err(("state", "nothing without [input] and [output]"));
            }
            (ModelTask::Reconstruct, None, None) => Meaning::Windows,
            (_, None, _) => {
                return Err((
                    "input",
                    "a table [input] that says how a frame goes in; task = \"reconstruct\" over windows of readings \
                     alone has neither [input] nor [output]",
                ));
            }
            (_, Some(_), None) => {
                return Err((
                    "output",
                    "a table [output] that says what comes out, such as decoder = \"logits\"",
                ));
            }
        };
        Ok(Card {
            identity: verdict::Model { name, version },
            licence: self.licence,
            source: self.source,
            sha256: self.sha256,
            file: self.file,
            made: self.made,
            meaning,
        })
    }
}

/// The text of a card, whatever it says.
pub(crate) fn read_text(path: &Path) -> Result<String, CardError> {
    let read = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => CardError::Missing { path: path.to_owned() },
        _ => CardError::Read { path: path.to_owned(), source },
    };
    let actual = std::fs::metadata(path).map_err(read)?.len();
    if actual > MAX_CARD_BYTES {
        return Err(CardError::TooLarge { path: path.to_owned(), actual });
    }
    std::fs::read_to_string(path).map_err(read)
}

#[cfg(test)]
mod tests;
