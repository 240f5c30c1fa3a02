//! Camera frames as they arrive, and what judges see in them. No pixels: those live in `verge-vision` alone.

mod look;
mod shortfall;
mod shown;
mod sketch;
mod snapshot;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use crate::body::{Classification, Detection, Detections, RegionBox, Regions, Scored};
use crate::id::DeviceId;
use crate::observation::Captured;
use crate::time::{DeviceClock, UtcMillis};
pub use look::{CameraLook, EDGE_PARTS, EdgeLook, EdgeParts, PictureShift};
pub use shortfall::{GivenUp, Shortfall};
pub use shown::ShownFrame;
pub use sketch::{SceneSketch, SketchedLine, SketchedTrack, SketchedZone};
pub use snapshot::{FrameSnapshot, SnapshotError, SnapshotOrder};

/// How the bytes of a picture are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// JPEG (ITU-T T.81), baseline or progressive, 8 bits.
    Jpeg,
}

/// How a stored picture must be turned to be seen as it was taken (EXIF 2.32, tag 0x0112).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Orientation {
    /// 1: as it is stored.
    #[default]
    Upright,
    /// 2: mirrored left to right.
    Mirrored,
    /// 3: turned by 180°.
    Turned180,
    /// 4: mirrored top to bottom.
    MirroredTurned180,
    /// 5: mirrored, then turned by 270° clockwise.
    MirroredTurned270,
    /// 6: to be turned by 90° clockwise.
    Turned90,
    /// 7: mirrored, then turned by 90° clockwise.
    MirroredTurned90,
    /// 8: to be turned by 270° clockwise.
    Turned270,
}

impl Orientation {
    /// From the value of the EXIF tag; values that it does not define count as upright.
    #[must_use]
    pub const fn from_exif(value: u32) -> Self {
        match value {
            2 => Self::Mirrored,
            3 => Self::Turned180,
            4 => Self::MirroredTurned180,
            5 => Self::MirroredTurned270,
            6 => Self::Turned90,
            7 => Self::MirroredTurned90,
            8 => Self::Turned270,
            _ => Self::Upright,
        }
    }

    /// Whether width and height change places.
    #[must_use]
    pub const fn swaps_sides(self) -> bool {
        matches!(self, Self::MirroredTurned270 | Self::Turned90 | Self::MirroredTurned90 | Self::Turned270)
    }
}

/// What a judge over frames sees in one.
#[derive(Debug, Clone, PartialEq)]
pub enum View {
    /// What the frame shows as a whole.
    Classification(Classification),
    /// The objects in it.
    Detections(Detections),
    /// Mean square error between the frame and what a model makes of it; finite, at least zero.
    Reconstruction(f64),
    /// How unlike usual frames it is.
    Appearance(Appearance),
    /// Nothing moves and nothing was there when the model looked last: it did not look again.
    Still,
}

/// What a model of usual frames makes of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Appearance {
    /// How unusual the frame is, in the model's own numbers; finite, at least zero.
    pub score: f64,
    /// Where it is most unusual; none where the model does not say.
    pub regions: Regions,
}

/// A picture as a camera sent it, unwrapped and with its headers read.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// Which camera.
    pub device: DeviceId,
    /// How `bytes` are coded.
    pub format: ImageFormat,
    /// The coded picture, from its start marker to its end marker: without what devices append to it.
    pub bytes: Bytes,
    /// Width in pixels, as stored.
    pub width: u32,
    /// Height in pixels, as stored.
    pub height: u32,
    /// How to turn it.
    pub orientation: Orientation,
    /// The camera's own time, as it claims it.
    pub captured_at: Option<UtcMillis>,
    /// What may be believed of `captured_at`.
    pub clock: DeviceClock,
}

impl EncodedFrame {
    /// When it was captured, as its camera claims it.
    #[must_use]
    pub const fn captured(&self) -> Captured {
        Captured { at: self.captured_at, clock: self.clock }
    }
}

/// How sure a model is: `0..=1` in steps of a thousandth, which is more than any model's score means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u16);

impl Score {
    /// The highest number of thousandths.
    pub const MAX_THOUSANDTHS: u16 = 1000;

    /// The nearest score; `None` where the number is not finite or not within `0..=1`.
    #[must_use]
    pub fn new(score: f32) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000 fits")]
        (0.0..=1.0).contains(&score).then(|| Self((score * 1000.0).round() as u16))
    }

    /// From thousandths; `None` above 1000.
    #[must_use]
    pub const fn from_thousandths(thousandths: u16) -> Option<Self> {
        if thousandths <= Self::MAX_THOUSANDTHS { Some(Self(thousandths)) } else { None }
    }

    /// In thousandths.
    #[must_use]
    pub const fn thousandths(self) -> u16 {
        self.0
    }

    /// As a number from 0 to 1.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(Self::MAX_THOUSANDTHS)
    }
}

/// A box in whole pixels of the original frame, as it is seen (after its orientation), from its top left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PixelBox {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_within_zero_and_one_or_none() {
        let check = |score: f32, thousandths: Option<u16>| {
            assert_eq!(Score::new(score).map(Score::thousandths), thousandths, "{score}");
        };
        check(0.0, Some(0));
        check(0.8764, Some(876));
        check(0.9996, Some(1000));
        check(1.0, Some(1000));
        check(1.001, None);
        check(-0.001, None);
        check(f32::NAN, None);
        check(f32::INFINITY, None);
        assert_eq!(Score::from_thousandths(1001), None);
    }

    #[test]
    fn orientations_follow_exif() {
        let swapping: Vec<u32> =
            (0..10).filter(|&value| Orientation::from_exif(value).swaps_sides()).collect();
        assert_eq!(swapping, [5, 6, 7, 8]);
        assert_eq!(Orientation::from_exif(0), Orientation::Upright);
        assert_eq!(Orientation::from_exif(1), Orientation::Upright);
    }
}
