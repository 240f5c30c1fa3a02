//! The size of frames, and what their sides cut.

use serde::{Deserialize, Serialize};

use super::SeenBox;

/// Size of a frame as it is seen, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameSize {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl FrameSize {
    /// Whether the sides of the picture cut a box on the left or right, and above or below.
    pub(super) fn cuts(self, seen: &SeenBox) -> (bool, bool) {
        let (width, height) = (f64::from(self.width), f64::from(self.height));
        (seen.left <= 1.0 || seen.right >= width - 1.0, seen.top <= 1.0 || seen.bottom >= height - 1.0)
    }

    /// Whether a box lies outside the picture.
    pub(super) fn is_left_by(self, area: &SeenBox) -> bool {
        let (width, height) = (f64::from(self.width), f64::from(self.height));
        area.right < 0.0 || area.left > width || area.bottom < 0.0 || area.top > height
    }

    /// Whether the lower side of the picture cuts a box, so that nobody sees where the object stands.
    pub(crate) fn cuts_foot(self, seen: &SeenBox) -> bool {
        seen.bottom >= f64::from(self.height) - 1.0
    }
}
