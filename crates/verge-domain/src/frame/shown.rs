//! A frame as people may see it. No pixels: a picture here is a JPEG.

use bytes::Bytes;

use crate::frame::View;
use crate::id::JudgeId;

/// A frame that was looked at, for people who watch its camera.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownFrame {
    /// As the camera sent it; where masks hide parts of its pictures, without those parts.
    pub jpeg: Bytes,
    /// Width in pixels, as it is seen.
    pub width: u32,
    /// Height in pixels, as it is seen.
    pub height: u32,
    /// Masks hide parts of it.
    pub masked: bool,
    /// What the model of each judge saw.
    pub views: Vec<(JudgeId, View)>,
}
