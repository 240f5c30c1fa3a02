//! What cards say of what comes out: a decoder and its parameters. The set of decoders is closed; brand names are
//! [`presets`](super::presets) of them.

mod described;
mod raw;
mod words;

use serde::Deserialize;

use super::{ModelTask, Quantisation};
pub(super) use raw::RawOutput;
pub use words::{Activation, AnchorFormula, BoxForm, BoxUnits, NumbersAxis, OutputRole, RowColumn};

/// What comes out, with every parameter of its decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputCard {
    /// What the numbers mean.
    pub decoder: OutputDecoder,
    /// The brand name that stands in the card, where it is one.
    pub preset: Option<&'static str>,
    /// How the decoder reads.
    pub form: OutputForm,
    /// The outputs to read; without them the file's outputs that are no state, in order.
    pub names: Option<Vec<String>>,
    /// What elements of integer type stand for.
    pub quantisation: Option<Quantisation>,
    /// The class to leave out, where the model has one for "nothing".
    pub background: Option<Background>,
    /// Line of a label, from 0, is the class less this.
    pub label_offset: usize,
    /// Lowest score that counts, where the judge sets none; with decoder = "anomaly" lowest value of the map that counts.
    pub score: Option<f32>,
    /// Suppression of boxes that mean the same object; without it the model has done it.
    pub nms: Option<Nms>,
}

impl OutputCard {
    /// Classes of a row of scores, for a model with this number of labels.
    #[must_use]
    pub fn classes(&self, labels: usize) -> usize {
        let named = labels + self.label_offset;
        named.max(self.background_of(labels).map_or(0, |background| background + 1))
    }

    /// The class to leave out, for a model with this number of labels.
    #[must_use]
    pub fn background_of(&self, labels: usize) -> Option<usize> {
        self.background.map(|background| match background {
            Background::Class(class) => class,
            Background::Last => labels + self.label_offset,
        })
    }
}

/// The class that means "nothing".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum Background {
    /// By its index.
    Class(usize),
    /// The one behind all that have labels.
    Last,
}

impl TryFrom<toml::Value> for Background {
    type Error = &'static str;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        const EXPECTED: &str =
            "output.background: expected the index of a class from 0 to 65535, or \"last\"";
        match value {
            toml::Value::String(text) if text == "last" => Ok(Self::Last),
            toml::Value::Integer(class) => {
                u16::try_from(class).map_or(Err(EXPECTED), |class| Ok(Self::Class(class.into())))
            }
            _ => Err(EXPECTED),
        }
    }
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

macro_rules! decoders {
    ($($(#[$doc:meta])* $decoder:ident $name:literal $task:ident;)*) => {
        /// What the numbers of the outputs mean.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum OutputDecoder {
            $($(#[$doc])* $decoder,)*
        }

        impl OutputDecoder {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$decoder,)*];

            /// The stable text, as cards write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$decoder => $name,)*
                }
            }

            pub(super) const fn task(self) -> ModelTask {
                match self {
                    $(Self::$decoder => ModelTask::$task,)*
                }
            }
        }
    };
}

decoders! {
    /// One probability per class.
    Probabilities "probabilities" Classify;
    /// One logit per class, to be put through softmax; where there is one class alone, through the logistic function.
    Logits "logits" Classify;
    /// YOLOX heads as they leave the network (Ge et al. 2021): per cell centre and size relative to the cell,
    /// objectness and class scores.
    Yolox "yolox" Detect;
    /// The same with its decoding in the network (`decode_in_inference`): per cell centre and size in pixels of the
    /// input, objectness and class scores.
    YoloxDecoded "yolox_decoded" Detect;
    /// Boxes already decoded: `[boxes, scores per class]`, or `[boxes, classes, scores, count]` after TFLite's
    /// detection post-processing.
    Ssd "ssd" Detect;
    /// One tensor, one object a row.
    Rows "rows" Detect;
    /// One tensor with box and class scores of every cell.
    Grid "grid" Detect;
    /// Raw heads with anchors, a tensor per level.
    Anchors "anchors" Detect;
    /// Boxes, scores, classes and their count in tensors of their own.
    Tuple "tuple" Detect;
    /// Logits and boxes of queries, as DETR has them.
    Query "query" Detect;
    /// Centres as peaks of a map per class (Zhou et al. 2019, "Objects as Points").
    Heatmap "heatmap" Detect;
    /// Class scores and distributions of four distances (`NanoDet`).
    Nanodet "nanodet" Detect;
    /// Objectness, box and class scores of each cell of one map (`FastestDet`).
    Fastestdet "fastestdet" Detect;
    /// The input again, as far as the model knows it: the same shape.
    Reconstruction "reconstruction" Reconstruct;
    /// How unlike usual frames the frame is: a score, a map of it, or both.
    Anomaly "anomaly" Anomaly;
}

/// How a decoder reads, with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputForm {
    /// One number per class.
    Classes {
        /// They are logits.
        softmax: bool,
    },
    /// The input again.
    Image,
    /// See [`AnomalyForm`].
    Anomaly(AnomalyForm),
    /// Heads of YOLOX.
    Heads {
        /// Pixels of the input per cell, level by level.
        strides: Vec<u32>,
    },
    /// See [`GridForm`].
    Grid(GridForm),
    /// See [`RowsForm`].
    Rows(RowsForm),
    /// See [`AnchorForm`].
    Anchors(AnchorForm),
    /// See [`TupleForm`].
    Tuple(TupleForm),
    /// Peaks of a map, sizes in cells and, where there are three outputs, offsets within the cell.
    Heatmap {
        /// What the scores of the map still need.
        activation: Activation,
    },
    /// See [`NanodetForm`].
    Nanodet(NanodetForm),
    /// `[objectness, 4 numbers of a box, classes]` of each cell.
    Fastestdet,
}

/// Box and class scores of every cell in one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct GridForm {
    /// Where the numbers of a cell stand.
    pub axis: NumbersAxis,
    /// A number between box and class scores, which multiplies them.
    pub objectness: bool,
    /// Numbers of a box.
    pub boxes: BoxForm,
    /// Units of a box.
    pub units: BoxUnits,
    /// Numbers behind the class scores: coefficients of masks, keypoints, an angle.
    pub extra: usize,
    /// The first of `extra` is the box's angle in radians.
    pub angle: bool,
    /// What the scores still need.
    pub activation: Activation,
    /// Pixels of the input per cell, where they are stated: they fix the number of cells.
    pub strides: Option<Vec<u32>>,
}

/// One object a row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowsForm {
    /// What stands in a row, in order.
    pub columns: Vec<RowColumn>,
    /// More numbers may follow; they are passed over.
    pub more: bool,
    /// Units of a box.
    pub units: BoxUnits,
}

impl RowsForm {
    /// Position of a column.
    #[must_use]
    pub fn position(&self, column: RowColumn) -> Option<usize> {
        self.columns.iter().position(|one| *one == column)
    }
}

/// Raw heads with anchors, level by level.
#[derive(Debug, Clone, PartialEq)]
pub struct AnchorForm {
    /// Pixels of the input per cell.
    pub strides: Vec<u32>,
    /// Width and height of each anchor in pixels of the input.
    pub anchors: Vec<Vec<[f32; 2]>>,
    /// How numbers become a box.
    pub formula: AnchorFormula,
    /// `xy = (sigmoid(t) * scale - (scale - 1) / 2 + cell) * stride`, per level.
    pub centre_scale: Vec<f32>,
}

/// Outputs of their own for boxes, scores, classes and count.
#[derive(Debug, Clone, PartialEq)]
pub struct TupleForm {
    /// What each output is; without it `[boxes, scores]` or `[boxes, classes, scores, count]`.
    pub outputs: Option<Vec<OutputRole>>,
    /// Numbers of a box.
    pub boxes: BoxForm,
    /// Units of a box.
    pub units: BoxUnits,
    /// What the scores still need.
    pub activation: Activation,
}

impl TupleForm {
    /// What each of this number of outputs is.
    #[must_use]
    pub fn roles(&self, outputs: usize) -> &[OutputRole] {
        use OutputRole::{Boxes, Classes, Count, Scores};
        match (&self.outputs, outputs) {
            (Some(roles), _) => roles,
            (None, 2) => &[Boxes, Scores],
            (None, _) => &[Boxes, Classes, Scores, Count],
        }
    }
}

/// How unusual a frame is, as a whole and from place to place. At least one of both is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnomalyForm {
    /// Position of the score among the outputs; without it the score is the greatest value of the map.
    pub score: Option<usize>,
    /// Position of the map among the outputs; without it the frame has no places.
    pub map: Option<usize>,
}

impl AnomalyForm {
    /// Outputs that are read.
    #[must_use]
    pub fn outputs(self) -> usize {
        usize::from(self.score.is_some()) + usize::from(self.map.is_some())
    }
}

/// Class scores and distributions of distances.
#[derive(Debug, Clone, PartialEq)]
pub struct NanodetForm {
    /// Pixels of the input per cell, level by level.
    pub strides: Vec<u32>,
    /// Bins of each of four distributions.
    pub bins: usize,
    /// Where in its cell a centre lies: 0.5 in the middle, 0 at its corner (NanoDet-Plus).
    pub centre: f32,
    /// What the scores still need.
    pub activation: Activation,
}
