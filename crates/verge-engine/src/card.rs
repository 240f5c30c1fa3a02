//! Model cards: what a model's tensors mean, as data in `NAME.toml` beside the weights. Nothing is taken from a
//! position or by guess.

mod check;
mod error;
mod windows;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use error::CardError;
pub use windows::{AutoencoderCard, Reconstruct};

/// A card is a page of text; a larger file is something else.
const MAX_CARD_BYTES: u64 = 64 * 1024;

/// A model's contract, as its card states it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Its name in verdicts.
    pub name: String,
    /// Its version in verdicts.
    pub version: String,
    /// Licence of the weights, for people.
    #[serde(default)]
    pub licence: Option<String>,
    /// Where the weights come from, for people.
    #[serde(default)]
    pub source: Option<String>,
    /// SHA-256 of the file in hexadecimal digits; checked when it is loaded.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The weights, relative to the card.
    pub file: PathBuf,
    /// What it does.
    pub task: Task,
    /// Names of its classes, one a line, relative to the card. None where it reconstructs.
    #[serde(default)]
    pub labels: Option<PathBuf>,
    /// What goes in.
    pub input: InputCard,
    /// What comes out.
    pub output: OutputCard,
    /// Tensors that are fed back from one frame of a camera to its next.
    #[serde(default)]
    pub state: Vec<StateCard>,
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Tells what a frame shows.
    Classify,
    /// Finds objects in a frame.
    Detect,
    /// Makes of a frame what it knows of such frames.
    Reconstruct,
}

impl Task {
    /// The stable text, as cards write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Detect => "detect",
            Self::Reconstruct => "reconstruct",
        }
    }
}

/// What goes in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputCard {
    /// The input's name; without it the model's only input that is no state.
    #[serde(default)]
    pub name: Option<String>,
    /// Order of its dimensions.
    pub layout: Layout,
    /// Its channels.
    pub colour: Colour,
    /// Type of its elements.
    pub element: Element,
    /// Width and height in pixels, where the file leaves them free.
    #[serde(default)]
    pub size: Option<[u32; 2]>,
    /// How a frame of another size is made to fit.
    pub resize: Resize,
    /// `central-crop`: this part of width and height is cut from the middle.
    #[serde(default)]
    pub crop_fraction: Option<f64>,
    /// `shorter-side-crop`: the shorter side is resized to this.
    #[serde(default)]
    pub shorter_side: Option<u32>,
    /// `letterbox`: value of the pixels around the frame.
    #[serde(default = "default_pad")]
    pub pad: u8,
    /// `x = (pixel - mean) * scale`, in the order of `colour`.
    #[serde(default)]
    pub mean: Option<Vec<f32>>,
    /// See `mean`.
    #[serde(default)]
    pub scale: Option<Vec<f32>>,
    /// What elements of integer type stand for, where they are not the pixels themselves.
    #[serde(default)]
    pub quantisation: Option<Quantisation>,
}

const fn default_pad() -> u8 {
    114
}

/// Order of dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, height, width.
    Nchw,
    /// Batch, height, width, channel.
    Nhwc,
}

/// Channels and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel of luma.
    Grey,
}

impl Colour {
    /// How many channels there are.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

/// Type of the elements of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
}

impl Element {
    /// The stable text, as cards write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U8 => "u8",
            Self::I8 => "i8",
        }
    }
}

/// How a frame of another size is made to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Both sides on their own.
    Stretch,
    /// Both sides alike, in the middle, the rest padded.
    Letterbox,
    /// Both sides alike, in the top left corner, the rest padded.
    LetterboxTopleft,
    /// The middle is cut out, then stretched.
    CentralCrop,
    /// The shorter side is resized, then the middle is cut out.
    ShorterSideCrop,
}

/// `real = (element - zero_point) * scale`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantisation {
    /// Step between two elements.
    pub scale: f32,
    /// The element that stands for 0.
    pub zero_point: i32,
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputCard {
    /// What the numbers mean.
    pub decoder: Decoder,
    /// The outputs to read; without them the file's outputs that are no state, in order.
    #[serde(default)]
    pub names: Option<Vec<String>>,
    /// `yolox`: pixels of the input per cell, level by level; `yolox_decoded` works without.
    #[serde(default)]
    pub strides: Option<Vec<u32>>,
    /// `ssd`: order of a box's four numbers, each 0 to 1 of the input's side.
    #[serde(default)]
    pub corners: Option<Corners>,
    /// What elements of integer type stand for.
    #[serde(default)]
    pub quantisation: Option<Quantisation>,
    /// The class to leave out, where the model has one for "nothing".
    #[serde(default)]
    pub background: Option<usize>,
    /// Line of a label, from 0, is the class less this.
    #[serde(default)]
    pub label_offset: usize,
    /// Lowest score that counts, where the judge sets none.
    #[serde(default)]
    pub score: Option<f32>,
    /// Suppression of boxes that mean the same object; without it the model has done it.
    #[serde(default)]
    pub nms: Option<Nms>,
}

/// What the numbers of the outputs mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoder {
    /// One probability per class.
    Probabilities,
    /// One logit per class, to be put through softmax; where there is one class alone, through the logistic function.
    Logits,
    /// YOLOX heads as they leave the network (Ge et al. 2021): per cell centre and size relative to the cell,
    /// objectness and class scores.
    Yolox,
    /// The same with its decoding in the network (`decode_in_inference`): per cell centre and size in pixels of the
    /// input, objectness and class scores.
    #[serde(rename = "yolox_decoded")]
    YoloxDecoded,
    /// Boxes already decoded: `[boxes, scores per class]`, or `[boxes, classes, scores, count]` after TFLite's
    /// detection post-processing.
    Ssd,
    /// The input again, as far as the model knows it: the same shape.
    Reconstruction,
}

impl Decoder {
    /// The stable text, as cards write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probabilities => "probabilities",
            Self::Logits => "logits",
            Self::Yolox => "yolox",
            Self::YoloxDecoded => "yolox_decoded",
            Self::Ssd => "ssd",
            Self::Reconstruction => "reconstruction",
        }
    }

    const fn task(self) -> Task {
        match self {
            Self::Probabilities | Self::Logits => Task::Classify,
            Self::Yolox | Self::YoloxDecoded | Self::Ssd => Task::Detect,
            Self::Reconstruction => Task::Reconstruct,
        }
    }
}

/// Order of a box's corners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Corners {
    /// Left, top, right, bottom.
    Xyxy,
    /// Top, left, bottom, right.
    Yxyx,
}

/// Greedy non-maximum suppression.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nms {
    /// Boxes that overlap a surer one by more than this (intersection over union) are dropped.
    pub iou: f32,
    /// Only boxes of the same class suppress each other.
    pub per_class: bool,
}

/// A tensor that is fed back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateCard {
    /// The input it goes into; zeros at a camera's first frame.
    pub input: String,
    /// The output it comes from.
    pub output: String,
}

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
        let card: Self =
            toml::from_str(text).map_err(|error| match toml::from_str::<AutoencoderCard>(text) {
                Ok(_) => CardError::Mistaken {
                    path: path.to_owned(),
                    found: "windows of readings",
                    asked: "frames",
                },
                Err(_) => CardError::of_text(text, path, &error),
            })?;
        match card.fault() {
            None => Ok(card),
            Some((key, found, expected)) => {
                Err(CardError::Value { path: path.to_owned(), key, found, expected })
            }
        }
    }
}

/// The text of a card, whatever it says.
fn read_text(path: &Path) -> Result<String, CardError> {
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
