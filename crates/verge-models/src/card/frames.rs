//! What cards say of models over frames: how a frame goes in, and what comes out.

use std::path::PathBuf;

use serde::Deserialize;
use verge_engine::ElementType;

use super::ModelTask;

/// What the tensors of a model over frames mean.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameCard {
    /// What it does.
    pub task: ModelTask,
    /// Names of its classes, one a line, relative to the card. None where it reconstructs.
    pub labels: Option<PathBuf>,
    /// What goes in.
    pub input: InputCard,
    /// What comes out.
    pub output: OutputCard,
    /// Tensors that are fed back from one frame of a camera to its next.
    pub state: Vec<StateCard>,
}

/// What goes in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputCard {
    /// The input's name; without it the model's only input that is no state.
    #[serde(default)]
    pub name: Option<String>,
    /// Order of its dimensions.
    pub layout: TensorLayout,
    /// Its channels.
    pub colour: Colour,
    /// Type of its elements.
    pub element: PixelElement,
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
pub enum TensorLayout {
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

/// Type of the elements that pictures go in as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelElement {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
}

impl From<PixelElement> for ElementType {
    fn from(element: PixelElement) -> Self {
        match element {
            PixelElement::F32 => Self::F32,
            PixelElement::F16 => Self::F16,
            PixelElement::U8 => Self::U8,
            PixelElement::I8 => Self::I8,
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
    pub decoder: OutputDecoder,
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
pub enum OutputDecoder {
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

impl OutputDecoder {
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

    pub(super) const fn task(self) -> ModelTask {
        match self {
            Self::Probabilities | Self::Logits => ModelTask::Classify,
            Self::Yolox | Self::YoloxDecoded | Self::Ssd => ModelTask::Detect,
            Self::Reconstruction => ModelTask::Reconstruct,
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
