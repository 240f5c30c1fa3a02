//! Single pictures that are requested from upstream. No pixels: a picture here is the JPEG that is sent.

use crate::id::{DeviceId, JudgeId, SourceId};

/// Which picture is requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotOrder {
    /// The source of frames.
    pub source: SourceId,
    /// The camera.
    pub device: DeviceId,
    /// The judge whose view is drawn; `None` draws those of all.
    pub judge: Option<JudgeId>,
    /// Whether anything is drawn.
    pub annotate: bool,
    /// Bytes of the JPEG at most.
    pub max_bytes: usize,
}

/// A picture as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameSnapshot {
    /// The JPEG.
    pub jpeg: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// Why a picture could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// No judge of this name looks at the camera.
    #[error("no judge {judge} looks at the frames of this camera; there are {known:?}")]
    UnknownJudge {
        /// The name.
        judge: JudgeId,
        /// The judges that do.
        known: Vec<String>,
    },
    /// Even as small as can be read it has more bytes.
    #[error("max_bytes is {limit}; the picture has {bytes} bytes where it is {width} pixels wide, the least")]
    TooLarge {
        /// Bytes that it has.
        bytes: usize,
        /// Its width then.
        width: u32,
        /// Bytes that it may have.
        limit: usize,
    },
    /// It is larger than the format can say.
    #[error("the picture has {width} x {height} pixels, more than a JPEG can have")]
    TooWide {
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
    /// The viewer failed on it.
    #[error("drawing the picture failed; the gateway's log says why")]
    Failed,
}
