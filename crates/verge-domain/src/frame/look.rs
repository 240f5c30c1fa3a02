//! What one frame says of its camera, in numbers: whether it sees, and where something moves. No model is asked.

use super::Shortfall;
use crate::motion::Motion;

/// How a picture is shifted against what the camera used to see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureShift {
    /// To the right, as a share of the picture's width.
    pub x: f32,
    /// Down, as a share of the picture's height.
    pub y: f32,
    /// Correlation of the gradients with those that are usual, after the shift is undone; `-1..=1`.
    pub correlation: f32,
    /// The same without the shift undone.
    pub unshifted: f32,
}

/// What can be said of the edges that a camera usually sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeLook {
    /// Share of the picture's pixels that are usually edges.
    pub usual: f32,
    /// Share of these that are no edges in this frame, outside what moves; `0..=1`.
    pub missing: f32,
    /// The same as the mean of the parts of the picture that usually have edges, so that each part counts alike.
    pub missing_area: f32,
    /// Correlation of the picture with the usual one in a few large parts, `-1..=1`: blur leaves it, a cover does not.
    pub layout: f32,
}

/// Parts of a picture, across and down.
pub const EDGE_PARTS: (usize, usize) = (16, 9);

/// The share of pixels that are edges in each part of a picture, row by row; 255 is all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeParts(pub [u8; EDGE_PARTS.0 * EDGE_PARTS.1]);

/// What one frame says of its camera. All numbers are finite; grey levels are from 0 to 255.
///
/// Measured on a grey picture 160 pixels wide, whatever the size of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraLook {
    /// Width of the frame in pixels, as seen.
    pub width: u32,
    /// Height of the frame in pixels, as seen.
    pub height: u32,
    /// Mean grey level.
    pub mean: f32,
    /// Grey level that 5 % of the pixels are below.
    pub low: f32,
    /// Grey level that 5 % of the pixels are above.
    pub high: f32,
    /// Share of pixels at 248 or more.
    pub saturated: f32,
    /// Share of blocks that equal those of the frame before, bit by bit; `None` where there is no frame before of this
    /// size.
    pub equal: Option<f32>,
    /// Mean absolute Laplacian as a share of the contrast.
    pub sharpness: f32,
    /// Share of pixels that are edges.
    pub edges: f32,
    /// Where they are.
    pub parts: EdgeParts,
    /// The edges that are usually there; `None` while too few are known to tell.
    pub known: Option<EdgeLook>,
    /// How the picture is shifted; `None` where nothing suggests that it is, or it is not known.
    pub shift: Option<PictureShift>,
    /// What moves.
    pub motion: Motion,
    /// Share of the picture that privacy masks hide: it is left out of everything else.
    pub hidden: f32,
    /// How far the judging of the camera falls short.
    pub shortfall: Shortfall,
}

impl CameraLook {
    /// The distance of the bright parts from the dark ones, in grey levels.
    #[must_use]
    pub fn contrast(&self) -> f32 {
        self.high - self.low
    }
}
