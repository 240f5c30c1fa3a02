//! A condition of the process.

use crate::finding::{Contribution, Expected, Feedback, Member};
use crate::frame::PixelBox;
use crate::id::Unit;

/// A condition of the process out of its expected range.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    /// Which rule or detector fired.
    pub member: Member,
    /// What was observed, in `unit` (rates: `unit` per second).
    pub observed: f64,
    /// What was expected.
    pub expected: Expected,
    /// Probability of an observation at least this extreme while all is well, in (0, 1]; `None` for
    /// explicit rules, which have none.
    pub p_value: Option<f64>,
    /// Unit of the signal, if known.
    pub unit: Option<Unit>,
    /// The signals that make it so, the strangest first; empty where there is but one.
    pub contributions: Vec<Contribution>,
    /// What people said about alarms of this signal so far.
    pub feedback: Feedback,
    /// How far out it lies, in usual widths of its signal: 1 is the edge of what is usual.
    pub distance: Option<f64>,
    /// What the signal shows, where the member observes something else than its value.
    pub value: Option<f64>,
    /// Where `value` lies while all is well.
    pub usual: Expected,
    /// Unit of `value`, if known.
    pub value_unit: Option<Unit>,
    /// Where in a frame it is unusual, where a model of frames says so.
    pub regions: Regions,
}

/// Parts of a frame that are unusual.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Regions {
    /// Width of the frame in pixels, as it is seen.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    /// The most unusual first; bounded by whoever makes them.
    pub boxes: Vec<RegionBox>,
}

/// One part of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegionBox {
    /// Where it is.
    pub area: PixelBox,
    /// Highest value of the model's map within it, in the model's own numbers; finite.
    pub peak: f64,
}
