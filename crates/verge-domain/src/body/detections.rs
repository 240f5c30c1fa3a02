//! The objects in a frame.

use crate::frame::{PixelBox, Score};
use crate::id::Label;

/// One object in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    /// What it is.
    pub label: Label,
    /// How sure the model is.
    pub score: Score,
    /// Where it is.
    pub area: PixelBox,
    /// The same object over many frames, where it is tracked.
    pub track: Option<u64>,
}

/// The objects in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detections {
    /// Width of the frame as it is seen, in pixels.
    pub width: u32,
    /// Height of the frame as it is seen, in pixels.
    pub height: u32,
    /// The objects, surest first; empty where there is none.
    pub objects: Vec<Detection>,
}
