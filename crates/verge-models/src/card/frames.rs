//! What cards say of models over frames: how a frame goes in, and what comes out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use verge_engine::ElementType;

use super::{ModelTask, OutputCard};

/// What the tensors of a model over frames mean.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameCard {
    /// What it does.
    pub task: ModelTask,
    /// Names of its classes. None where it reconstructs, or says how unusual a frame is.
    pub labels: Option<LabelsCard>,
    /// What goes in.
    pub input: InputCard,
    /// What comes out.
    pub output: OutputCard,
    /// Tensors that are fed back from one frame of a camera to its next.
    pub state: Vec<StateCard>,
}

/// Names of classes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum LabelsCard {
    /// A file with one a line, relative to the card.
    File(PathBuf),
    /// The names themselves.
    List(Vec<String>),
}

impl TryFrom<toml::Value> for LabelsCard {
    type Error = &'static str;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "labels: expected a file in quotes, or a list of names in quotes";
        let name = |value: toml::Value| value.as_str().map(str::to_owned).ok_or(EXPECTED);
        match value {
            toml::Value::String(file) => Ok(Self::File(file.into())),
            toml::Value::Array(names) => {
                names.into_iter().map(name).collect::<Result<_, _>>().map(Self::List)
            }
            _ => Err(EXPECTED),
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
    /// `letterbox`: the sides that the frame is fitted into, where they are less than the input's.
    #[serde(default)]
    pub longest_side: Option<u32>,
    /// `letterbox`: a frame smaller than the input is made larger.
    #[serde(default = "default_enlarge")]
    pub enlarge: bool,
    /// `letterbox`: how the sides of the frame become whole pixels.
    #[serde(default)]
    pub rounding: SideRounding,
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
    /// What inputs beside the picture are fed, by their names. Boxes come in pixels of the input where a model that asks
    /// for the size of the picture is given that of its input.
    #[serde(default)]
    pub values: BTreeMap<String, Vec<FedNumber>>,
}

const fn default_pad() -> u8 {
    114
}

const fn default_enlarge() -> bool {
    true
}

/// How a side of a letterboxed frame becomes whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SideRounding {
    /// Downwards, as YOLOX does.
    #[default]
    Down,
    /// To the nearest, halves to even, as ultralytics does.
    Nearest,
}

/// What an input beside the picture is fed: a number, or a side of the input in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum FedNumber {
    /// Width of the input.
    Width,
    /// Height of the input.
    Height,
    /// This number.
    Number(f64),
}

impl TryFrom<toml::Value> for FedNumber {
    type Error = &'static str;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        match value {
            toml::Value::String(text) if text == "width" => Ok(Self::Width),
            toml::Value::String(text) if text == "height" => Ok(Self::Height),
            #[expect(clippy::cast_precision_loss, reason = "numbers of people")]
            toml::Value::Integer(number) => Ok(Self::Number(number as f64)),
            toml::Value::Float(number) if number.is_finite() => Ok(Self::Number(number)),
            _ => Err("input.values: expected a list of numbers, \"width\" and \"height\""),
        }
    }
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

/// A tensor that is fed back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateCard {
    /// The input it goes into; zeros at a camera's first frame.
    pub input: String,
    /// The output it comes from.
    pub output: String,
}
