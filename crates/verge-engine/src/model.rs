//! A model file held against its card: read once, hashed, looked through, and refused with both sides in the
//! message where they differ.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ort::session::Session as OrtSession;
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights};
use ort::value::{Outlet, TensorElementType};
use sha2::{Digest, Sha256};

use crate::card::{Card, CardError, Colour, Decoder, Element, Layout};
use crate::onnx::{self, OnnxError};
use crate::runtime::Runtime;
use crate::session::Session;

/// Longest side of an input, in pixels: see [`Card`].
const MAX_SIDE: i64 = 4096;
/// Most elements of a tensor of state.
const MAX_STATE_ELEMENTS: usize = 1 << 24;

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
    weights: PrepackedWeights,
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
    /// The library refused it.
    #[error("{path}: ONNX Runtime refuses it: {reason}", path = path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// The library's words.
        reason: String,
    },
    /// Card and file differ.
    #[error("{path}: {what}: the card says {card}, the file has {file}", path = path.display())]
    Contract {
        /// The file.
        path: PathBuf,
        /// What about.
        what: String,
        /// The card's side.
        card: String,
        /// The file's side.
        file: String,
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
        let bytes = read_bounded(&path, limits.max_file_bytes)?;
        check_hash(&card, &path, &bytes)?;
        onnx::inspect(&bytes).map_err(|source| ModelError::Refused { path: path.clone(), source })?;
        let labels = match &card.labels {
            Some(labels) => read_labels(&folder.join(labels))?,
            None => Vec::new(),
        };
        let weights = PrepackedWeights::new();
        let session = commit(runtime, &bytes, &weights, limits.threads)
            .map_err(|reason| ModelError::Load { path: path.clone(), reason })?;
        let contract = Agreement { card: &card, path: &path, session: &session }.contract(labels.len())?;
        drop(session);
        Ok(Self { card, contract, labels, bytes, weights, runtime: runtime.clone(), threads: limits.threads })
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

    /// A session of its own for one worker; the weights are shared.
    ///
    /// # Errors
    /// The library refuses what it accepted before (no memory).
    pub fn session(self: &Arc<Self>) -> Result<Session, ModelError> {
        let session = commit(&self.runtime, &self.bytes, &self.weights, self.threads)
            .map_err(|reason| ModelError::Load { path: self.card.file.clone(), reason })?;
        Ok(Session::new(session, Arc::clone(self)))
    }
}

fn commit(
    runtime: &Runtime,
    bytes: &Bytes,
    weights: &PrepackedWeights,
    threads: usize,
) -> Result<OrtSession, String> {
    let commit = || -> ort::Result<OrtSession> {
        let mut builder = OrtSession::builder(runtime.environment())?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            // Spinning burns energy, and loses where other programs want the cores.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_prepacked_weights(weights)?;
        builder.commit_from_memory(bytes)
    };
    commit().map_err(|error| error.to_string())
}

fn read_bounded(path: &Path, limit: u64) -> Result<Bytes, ModelError> {
    let read = |source| ModelError::Read { path: path.to_owned(), source };
    let actual = std::fs::metadata(path).map_err(read)?.len();
    if actual > limit {
        return Err(ModelError::TooLarge { path: path.to_owned(), actual, limit });
    }
    Ok(Bytes::from(std::fs::read(path).map_err(read)?))
}

fn check_hash(card: &Card, path: &Path, bytes: &Bytes) -> Result<(), ModelError> {
    let Some(expected) = &card.sha256 else { return Ok(()) };
    let actual = crate::runtime::hex(&Sha256::digest(bytes));
    if actual.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(ModelError::Hash { path: path.to_owned(), expected: expected.clone(), actual })
}

fn read_labels(path: &Path) -> Result<Vec<String>, ModelError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
    let labels: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
    let wrong = |label: &String| label.is_empty() || label.len() > 128 || label.chars().any(char::is_control);
    match labels.iter().position(wrong) {
        Some(line) => Err(ModelError::Label { path: path.to_owned(), line: line + 1 }),
        None => Ok(labels),
    }
}

/// Compares a card with the tensors of the file.
struct Agreement<'a> {
    card: &'a Card,
    path: &'a Path,
    session: &'a OrtSession,
}

impl<'a> Agreement<'a> {
    fn differ(
        &self,
        what: impl Into<String>,
        card: impl Into<String>,
        file: impl Into<String>,
    ) -> ModelError {
        ModelError::Contract {
            path: self.path.to_owned(),
            what: what.into(),
            card: card.into(),
            file: file.into(),
        }
    }

    fn contract(&self, labels: usize) -> Result<Contract, ModelError> {
        let input = self.input()?;
        let (batch, width, height) = self.size(input)?;
        let states = self.states()?;
        let outputs = self.outputs()?;
        self.classes(&outputs, labels)?;
        self.decodable(&outputs, width, height)?;
        Ok(Contract { input: input.name().to_owned(), batch, width, height, outputs, states })
    }

    fn input(&self) -> Result<&Outlet, ModelError> {
        let is_state = |outlet: &&Outlet| !self.card.state.iter().any(|state| state.input == outlet.name());
        let inputs: Vec<&Outlet> = self.session.inputs().iter().filter(is_state).collect();
        let names = || names(&inputs);
        match (&self.card.input.name, &inputs[..]) {
            (Some(name), _) => inputs
                .iter()
                .find(|outlet| outlet.name() == name)
                .copied()
                .ok_or_else(|| self.differ("input.name", format!("{name:?}"), names())),
            (None, [only]) => Ok(only),
            (None, _) => {
                Err(self.differ("input.name", "nothing", format!("more than one input: {}", names())))
            }
        }
    }

    /// Batch, width and height.
    fn size(&self, input: &Outlet) -> Result<(usize, u32, u32), ModelError> {
        let card = &self.card.input;
        let shape = input.dtype().tensor_shape().map(|shape| shape.to_vec()).unwrap_or_default();
        self.element("input.element", card.element, input)?;
        let channels = i64::try_from(card.colour.channels()).expect("3 at most");
        let (batch, found_channels, height, width, order) = match (card.layout, &shape[..]) {
            (Layout::Nchw, &[n, c, h, w]) => (n, c, h, w, "[batch, channel, height, width]"),
            (Layout::Nhwc, &[n, h, w, c]) => (n, c, h, w, "[batch, height, width, channel]"),
            (layout, _) => {
                return Err(self.differ("shape of the input", format!("{layout:?}"), format!("{shape:?}")));
            }
        };
        let whole = || {
            let [width, height] =
                card.size.map_or(["?".to_owned(), "?".to_owned()], |s| s.map(|x| x.to_string()));
            match card.layout {
                Layout::Nchw => format!("{order} = [1, {channels}, {height}, {width}]"),
                Layout::Nhwc => format!("{order} = [1, {height}, {width}, {channels}]"),
            }
        };
        let differ = || self.differ("shape of the input", whole(), format!("{shape:?}"));
        if found_channels >= 0 && found_channels != channels {
            return Err(differ());
        }
        let side = |found: i64, stated: Option<u32>| match (found, stated) {
            (found, Some(stated)) if found < 0 || found == i64::from(stated) => Ok(stated),
            (1..=MAX_SIDE, None) => u32::try_from(found).map_err(|_| differ()),
            _ => Err(differ()),
        };
        let width = side(width, card.size.map(|[width, _]| width))?;
        let height = side(height, card.size.map(|[_, height]| height))?;
        // A free batch is one frame; a fixed one is fed padded.
        let batch = usize::try_from(batch.max(1)).ok().filter(|batch| *batch <= 64).ok_or_else(differ)?;
        Ok((batch, width, height))
    }

    fn element(&self, what: &str, element: Element, outlet: &Outlet) -> Result<(), ModelError> {
        let found = outlet.dtype().tensor_type();
        if found.and_then(element_of) == Some(element) {
            return Ok(());
        }
        let found = found.map_or_else(|| "no tensor".to_owned(), |found| format!("{found}"));
        Err(self.differ(what, element.as_str(), found))
    }

    fn states(&self) -> Result<Vec<StateContract>, ModelError> {
        let states = self.card.state.iter().map(|state| {
            let find = |all: &'a [Outlet], name: &str, what: &str| {
                let outlet = all.iter().find(|outlet| outlet.name() == name);
                outlet.ok_or_else(|| {
                    self.differ(what, format!("{name:?}"), names(&all.iter().collect::<Vec<_>>()))
                })
            };
            let input = find(self.session.inputs(), &state.input, "state.input")?;
            let output = find(self.session.outputs(), &state.output, "state.output")?;
            let shape_of =
                |outlet: &Outlet| outlet.dtype().tensor_shape().map(|s| s.to_vec()).unwrap_or_default();
            let (shape, back) = (shape_of(input), shape_of(output));
            let elements = shape.iter().try_fold(1_usize, |product, dim| {
                usize::try_from(*dim).ok().and_then(|dim| product.checked_mul(dim))
            });
            let element = input.dtype().tensor_type().and_then(element_of);
            match (element, elements) {
                (Some(element), Some(1..=MAX_STATE_ELEMENTS))
                    if shape == back
                        && output.dtype().tensor_type().and_then(element_of) == Some(element) =>
                {
                    Ok(StateContract {
                        input: state.input.clone(),
                        output: state.output.clone(),
                        element,
                        shape,
                    })
                }
                _ => Err(self.differ(
                    format!("state {:?}", state.input),
                    "an input and an output of one fixed shape and type",
                    format!("{} and {}", input.dtype(), output.dtype()),
                )),
            }
        });
        states.collect()
    }

    fn outputs(&self) -> Result<Vec<OutputShape>, ModelError> {
        let is_state = |outlet: &&Outlet| !self.card.state.iter().any(|state| state.output == outlet.name());
        let all: Vec<&Outlet> = self.session.outputs().iter().filter(is_state).collect();
        let wanted: Vec<&Outlet> = match &self.card.output.names {
            None => all.clone(),
            Some(wanted) => wanted
                .iter()
                .map(|name| {
                    let outlet = all.iter().find(|outlet| outlet.name() == name).copied();
                    outlet.ok_or_else(|| self.differ("output.names", format!("{name:?}"), names(&all)))
                })
                .collect::<Result<_, _>>()?,
        };
        let counts: &[usize] = match self.card.output.decoder {
            Decoder::Probabilities | Decoder::Logits | Decoder::Yolox => &[1],
            Decoder::Ssd => &[2, 4],
        };
        if !counts.contains(&wanted.len()) {
            let card = format!("decoder {}, which reads {counts:?}", self.card.output.decoder.as_str());
            return Err(self.differ("number of outputs", card, names(&wanted)));
        }
        let described = wanted.into_iter().map(|outlet| {
            let shape = outlet.dtype().tensor_shape().map(|shape| shape.to_vec()).unwrap_or_default();
            let shape = shape.into_iter().map(|dim| usize::try_from(dim).ok()).collect();
            (outlet.name().to_owned(), shape)
        });
        Ok(described.collect())
    }

    /// The number of labels against the number of classes, where the file states it.
    fn classes(&self, outputs: &[OutputShape], labels: usize) -> Result<(), ModelError> {
        let last = |index: usize| outputs.get(index).and_then(|(_, shape)| shape.last().copied().flatten());
        let classes = match self.card.output.decoder {
            Decoder::Probabilities | Decoder::Logits => last(0),
            Decoder::Yolox => last(0).map(|channels| channels.saturating_sub(5)),
            Decoder::Ssd if outputs.len() == 2 => last(1),
            Decoder::Ssd => None,
        };
        let Some(classes) = classes else { return Ok(()) };
        let expected = classes.checked_sub(self.card.output.label_offset);
        if expected == Some(labels) {
            return Ok(());
        }
        let offset = self.card.output.label_offset;
        Err(self.differ(
            "number of labels",
            format!("{labels} and label_offset {offset}"),
            format!("{classes} classes"),
        ))
    }

    /// Whether the decoder can read tensors of these shapes.
    fn decodable(&self, outputs: &[OutputShape], width: u32, height: u32) -> Result<(), ModelError> {
        if self.card.output.decoder != Decoder::Yolox {
            return Ok(());
        }
        let strides = self.card.output.strides.as_deref().unwrap_or_default();
        let cells: usize = strides.iter().map(|stride| cells(width, *stride) * cells(height, *stride)).sum();
        let shape = &outputs[0].1;
        match shape[..] {
            [_, rows, _] if rows.is_none_or(|rows| rows == cells) => Ok(()),
            _ => Err(self.differ(
                "shape of the output",
                format!("[1, {cells}, 5 + classes] for strides {strides:?}"),
                format!("{shape:?}"),
            )),
        }
    }
}

/// Cells along a side.
const fn cells(side: u32, stride: u32) -> usize {
    (side / stride) as usize
}

fn names(outlets: &[&Outlet]) -> String {
    let names: Vec<String> = outlets.iter().map(|outlet| format!("{:?}", outlet.name())).collect();
    names.join(", ")
}

fn element_of(element: TensorElementType) -> Option<Element> {
    match element {
        TensorElementType::Float32 => Some(Element::F32),
        TensorElementType::Float16 => Some(Element::F16),
        TensorElementType::Uint8 => Some(Element::U8),
        TensorElementType::Int8 => Some(Element::I8),
        _ => None,
    }
}

impl Contract {
    /// Elements of the input, padding of a batch included.
    #[must_use]
    pub fn input_elements(&self, colour: Colour) -> usize {
        self.batch * self.width as usize * self.height as usize * colour.channels()
    }
}
