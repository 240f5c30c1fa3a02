//! Words that cards use of outputs: what stands where, in which form.

use serde::Deserialize;

macro_rules! named {
    ($($(#[$doc:meta])* $type:ident { $($(#[$one:meta])* $variant:ident $name:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub enum $type {
            $($(#[$one])* #[serde(rename = $name)] $variant,)*
        }

        impl $type {
            /// The stable text, as cards write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    )*};
}

named! {
    /// Where the numbers of a cell stand.
    NumbersAxis {
        /// `[1, cells, numbers]`.
        Last "last",
        /// `[1, numbers, cells]`.
        First "first",
    }

    /// The four numbers of a box.
    BoxForm {
        /// Left, top, right, bottom.
        Xyxy "xyxy",
        /// Top, left, bottom, right.
        Yxyx "yxyx",
        /// Centre x, centre y, width, height.
        Cxcywh "cxcywh",
    }

    /// Units of a box.
    BoxUnits {
        /// Pixels of the input.
        Pixels "pixels",
        /// 0 to 1 of the input's sides.
        Share "share",
    }

    /// What a score still needs.
    Activation {
        /// Nothing: it is a probability.
        None "none",
        /// The logistic function.
        Sigmoid "sigmoid",
        /// Softmax over the classes.
        Softmax "softmax",
    }

    /// How numbers of an anchor become a box.
    AnchorFormula {
        /// Sides are `exp(t) * anchor`.
        Yolov3 "yolov3",
        /// Sides are `(2 sigmoid(t))^2 * anchor`, and `centre_scale` is 2.
        Yolov5 "yolov5",
    }

    /// What an output is.
    OutputRole {
        /// Four numbers a box; five without an output of scores, the last being the score.
        Boxes "boxes",
        /// One per box, or one per box and class where there is no output of classes.
        Scores "scores",
        /// The class of each box.
        Classes "classes",
        /// How many boxes hold.
        Count "count",
        /// Rows of batch, class and box, as NonMaxSuppression gives them; the scores are `[classes, boxes]` then.
        Indices "indices",
        /// How unusual a frame is: one number, with decoder = "anomaly".
        Score "score",
        /// How unusual each place of a frame is, with decoder = "anomaly".
        Map "map",
    }

    /// What a number of a row is.
    RowColumn {
        /// Left edge.
        X0 "x0",
        /// Top edge.
        Y0 "y0",
        /// Right edge.
        X1 "x1",
        /// Bottom edge.
        Y1 "y1",
        /// Centre, across.
        Cx "cx",
        /// Centre, down.
        Cy "cy",
        /// Width.
        W "w",
        /// Height.
        H "h",
        /// Angle in radians, of centre, width and height.
        Angle "angle",
        /// Score.
        Score "score",
        /// Class.
        Class "class",
        /// Picture of the batch; rows of others than the first are left out.
        Batch "batch",
        /// Passed over.
        Unread "-",
        /// More numbers follow, which are passed over; stands last.
        More "...",
    }
}
