//! A model file held against its card: read once, hashed, looked through, and refused with both sides in the
//! message where they differ.

mod agreement;
mod fitting;
mod refusal;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ort::session::Session as OrtSession;
use ort::session::builder::GraphOptimizationLevel;
use sha2::{Digest, Sha256};

use agreement::Agreement;
pub(crate) use refusal::refused;

use crate::card::{Card, CardError, Colour, Element};
use crate::onnx::{self, OnnxError};
use crate::quote::quoted;
use crate::runtime::Runtime;
use crate::session::Session;

/// What is accepted of model files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelLimits {
    /// Largest file, in bytes.
    pub max_file_bytes: u64,
    /// Threads within one run. More than one makes single frames faster and the whole slower.
    pub threads: usize,
}

impl Default for ModelLimits {
    fn default() -> Self {
        Self { max_file_bytes: 512 << 20, threads: 1 }
    }
}

/// What goes in and comes out, after card and file were found to agree.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Name of the input.
    pub input: String,
    /// Frames in one run; beyond the first they are padding.
    pub batch: usize,
    /// Width of the input in pixels.
    pub width: u32,
    /// Height of the input in pixels.
    pub height: u32,
    /// Outputs to read.
    pub outputs: Vec<OutputShape>,
    /// Tensors fed back.
    pub states: Vec<StateContract>,
}

/// Name and dimensions of an output; a dimension that the file leaves free is `None`.
pub type OutputShape = (String, Vec<Option<usize>>);

/// One tensor that is fed back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateContract {
    /// Input it goes into.
    pub input: String,
    /// Output it comes from.
    pub output: String,
    /// Type of its elements.
    pub element: Element,
    /// Its shape.
    pub shape: Vec<i64>,
}

/// A model, checked and ready for sessions.
pub struct Model {
    card: Card,
    contract: Contract,
    labels: Vec<String>,
    bytes: Bytes,
    runtime: Runtime,
    threads: usize,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("card", &self.card)
            .field("contract", &self.contract)
            .finish_non_exhaustive()
    }
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Its card cannot be used.
    #[error(transparent)]
    Card(#[from] CardError),
    /// A file that the card names cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than the configuration allows.
    #[error("{path}: {actual} bytes, and engine.max_model is {limit}", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        actual: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Another file than the one the card was written for.
    #[error("{path}: its SHA-256 is {actual}, the card says {expected}", path = path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// Digits of the card.
        expected: String,
        /// Digits found.
        actual: String,
    },
    /// Refused before the library saw it.
    #[error("{path}: {source}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: OnnxError,
    },
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
    /// Neither the file nor its card says how large a picture is.
    #[error(
        "{path}: it leaves the size of its input free, {shape}: write input.size = [width, height] into its card {card}, the \
         size that the model was trained with",
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
    /// Made for a newer library.
    #[error(
        "{path}: its {what} is {found}, and {library} takes {newest} at most: {remedy}",
        path = path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Which of its versions.
        what: String,
        /// The version.
        found: i64,
        /// The library and its version.
        library: String,
        /// The newest that it takes.
        newest: i64,
        /// What to do.
        remedy: String,
    },
    /// The library refused it.
    #[error("{path}: {library} refuses it, and says: {reason}", path = path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// The library and its version.
        library: String,
        /// The library's words, quoted.
        reason: String,
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
    /// A label that cannot be a name.
    #[error("{path}, line {line}: a label has 1 to 128 bytes and no control characters", path = path.display())]
    Label {
        /// The file of labels.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
}

impl Model {
    /// Loads the model that a card describes.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn load(runtime: &Runtime, card_path: &Path, limits: ModelLimits) -> Result<Self, ModelError> {
        let card = Card::load(card_path)?;
        let folder = card_path.parent().unwrap_or(Path::new(""));
        let path = folder.join(&card.file);
        let bytes = read_bounded(&path, card_path, limits.max_file_bytes)?;
        check_hash(card.sha256.as_deref(), &path, &bytes)?;
        let stamp =
            onnx::inspect(&bytes).map_err(|source| ModelError::Refused { path: path.clone(), source })?;
        let labels = match &card.labels {
            Some(labels) => read_labels(&folder.join(labels), card_path)?,
            None => Vec::new(),
        };
        let session = commit(runtime, &bytes, limits.threads)
            .map_err(|reason| refused(runtime, &path, &stamp, &reason))?;
        let agreement = Agreement { card: &card, card_path, path: &path, session: &session };
        let contract = agreement.contract(labels.len())?;
        drop(session);
        Ok(Self { card, contract, labels, bytes, runtime: runtime.clone(), threads: limits.threads })
    }

    /// Its card.
    #[must_use]
    pub const fn card(&self) -> &Card {
        &self.card
    }

    /// What goes in and comes out.
    #[must_use]
    pub const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Names of its classes, by line.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// A session of its own for one worker, with weights of its own: ONNX Runtime shares only those that are handed
    /// to it one by one.
    ///
    /// # Errors
    /// The library refuses what it accepted before (no memory).
    pub fn session(self: &Arc<Self>) -> Result<Session, ModelError> {
        let session =
            commit(&self.runtime, &self.bytes, self.threads).map_err(|reason| ModelError::Load {
                path: self.card.file.clone(),
                library: self.runtime.described(),
                reason: quoted(&reason),
            })?;
        Ok(Session::new(session, Arc::clone(self)))
    }
}

pub(crate) fn commit(runtime: &Runtime, bytes: &Bytes, threads: usize) -> Result<OrtSession, String> {
    let commit = || -> ort::Result<OrtSession> {
        let mut builder = OrtSession::builder(runtime.environment())?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            // Spinning burns energy, and loses where other programs want the cores.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?;
        builder.commit_from_memory(bytes)
    };
    commit().map_err(|error| error.to_string())
}

/// Tells where neither the card nor the weights that the configuration names are there.
///
/// # Errors
/// [`ModelError::Missing`].
pub fn check_there(card: &Path, weights: Option<&Path>) -> Result<(), ModelError> {
    let is_missing = |path: &Path| matches!(path.try_exists(), Ok(false));
    match weights {
        Some(weights) if is_missing(weights) && is_missing(card) => {
            Err(ModelError::Missing { weights: weights.to_owned(), card: card.to_owned() })
        }
        _ => Ok(()),
    }
}

/// A file that a card names cannot be read.
fn unread(path: &Path, card: &Path, what: &'static str, source: std::io::Error) -> ModelError {
    match source.kind() {
        std::io::ErrorKind::NotFound => {
            ModelError::MissingPart { path: path.to_owned(), card: card.to_owned(), what }
        }
        _ => ModelError::Read { path: path.to_owned(), source },
    }
}

pub(crate) fn read_bounded(path: &Path, card: &Path, limit: u64) -> Result<Bytes, ModelError> {
    let read = |source| ModelError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(|source| unread(path, card, "file", source))?;
    let too_large = |actual| ModelError::TooLarge { path: path.to_owned(), actual, limit };
    let actual = file.metadata().map_err(read)?.len();
    if actual > limit {
        return Err(too_large(actual));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(actual).unwrap_or(0));
    // A file that grows meanwhile is not read beyond the limit.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
    let actual = bytes.len() as u64;
    if actual > limit { Err(too_large(actual)) } else { Ok(Bytes::from(bytes)) }
}

pub(crate) fn check_hash(expected: Option<&str>, path: &Path, bytes: &Bytes) -> Result<(), ModelError> {
    let Some(expected) = expected else { return Ok(()) };
    let actual = crate::runtime::hex(&Sha256::digest(bytes));
    if actual.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(ModelError::Hash { path: path.to_owned(), expected: expected.to_owned(), actual })
}

fn read_labels(path: &Path, card: &Path) -> Result<Vec<String>, ModelError> {
    let text = std::fs::read_to_string(path).map_err(|source| unread(path, card, "labels", source))?;
    let labels: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    let wrong = |label: &String| label.is_empty() || label.len() > 128 || label.chars().any(char::is_control);
    let first_wrong = if labels.is_empty() { Some(0) } else { labels.iter().position(wrong) };
    match first_wrong {
        Some(line) => Err(ModelError::Label { path: path.to_owned(), line: line + 1 }),
        None => Ok(labels),
    }
}

impl Contract {
    /// Elements of the input, padding of a batch included.
    #[must_use]
    pub fn input_elements(&self, colour: Colour) -> usize {
        self.batch * self.width as usize * self.height as usize * colour.channels()
    }
}
