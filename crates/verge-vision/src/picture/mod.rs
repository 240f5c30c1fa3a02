//! From a coded frame to pixels as they are seen, in buffers that are kept from frame to frame.

mod jpeg;
mod layout;
mod scan;
mod turn;

use layout::JpegLayout;
use verge_domain::frame::{EncodedFrame, ImageFormat, Orientation};
use verge_domain::rejection::Reason;
use zune_jpeg::errors::DecodeErrors;

/// Bytes of a pixel: red, green, blue.
pub const SAMPLES: usize = 3;

/// Bytes that decoding one picture may take, unless its user allows for more: 16 megapixels as most cameras code them.
pub const MAX_BYTES: usize = 64 << 20;
/// Buffers up to this are kept whatever comes: a picture of 4K is not allocated anew after each smaller one.
const KEPT_BYTES: usize = 32 << 20;
/// A larger one is kept for this many smaller pictures, in case another large one comes.
const KEPT_PICTURES: u32 = 8;

/// A decoded picture: rows from the top, pixels from the left, red, green and blue in turn, sRGB as stored.
#[derive(Debug, Clone)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
    stored: Vec<u8>,
    /// A coded picture that is marked as one of Motion JPEG.
    marked: Vec<u8>,
    max_bytes: usize,
    /// Pictures since one that needed a buffer of more than [`KEPT_BYTES`].
    small: u32,
}

impl Default for Picture {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a frame has no pixels.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Damaged behind its headers.
    #[error("the JPEG is damaged: {0:?}")]
    Damaged(DecodeErrors),
    /// Its data ends before its last row, whatever marker stands behind it.
    #[error("the data of the JPEG ends before its last row")]
    EndsEarly,
    /// Sequential, a scan for each component, and fewer rows of colour than of luma: the decoder mistakes them.
    #[error(
        "the JPEG is sequential with a scan for each component, which is not decoded with vertical subsampling"
    )]
    ByComponent,
    /// Decoding it takes more memory than one picture may have.
    #[error(
        "decoding the JPEG of {width}x{height} pixels takes {needed} bytes of memory, {limit} are allowed (progressive \
         pictures take twice as much as others); max_pixels = {} in its source, at four bytes a pixel, lets it in",
        .needed.div_ceil(4)
    )]
    Memory {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes that it takes at most.
        needed: usize,
        /// Bytes that it may take.
        limit: usize,
    },
    /// It is of another size than was read from its headers before.
    #[error("the JPEG has {found:?} pixels, its frame says {expected:?}")]
    Size {
        /// Width and height that the frame states.
        expected: (u32, u32),
        /// Width and height of the JPEG.
        found: (usize, usize),
    },
    /// Its samples are neither one nor three per pixel.
    #[error("the JPEG has {bytes} bytes decoded, which are neither one nor three per pixel")]
    Samples {
        /// Bytes that the decoder would write.
        bytes: usize,
    },
}

impl PictureError {
    /// The reason it is counted under.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Damaged(DecodeErrors::Unsupported(_)) | Self::Samples { .. } | Self::ByComponent => {
                Reason::UnsupportedImage
            }
            Self::Damaged(_) | Self::EndsEarly | Self::Size { .. } => Reason::BadJpeg,
            Self::Memory { .. } => Reason::TooManyPixels,
        }
    }
}

impl Picture {
    /// An empty picture, whose buffers grow with the first frame.
    #[must_use]
    pub const fn new() -> Self {
        Self::within(MAX_BYTES)
    }

    /// The same; decoding a frame takes at most `max_bytes` of memory, the picture's own included.
    #[must_use]
    pub const fn within(max_bytes: usize) -> Self {
        Self {
            width: 0,
            height: 0,
            rgb: Vec::new(),
            stored: Vec::new(),
            marked: Vec::new(),
            max_bytes,
            small: 0,
        }
    }

    /// A picture of given pixels; for drawing and tests.
    ///
    /// # Panics
    /// If there are not three bytes for each pixel.
    #[must_use]
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Self {
        assert_eq!(rgb.len(), width as usize * height as usize * SAMPLES, "three bytes for each pixel");
        Self { width, height, rgb, ..Self::default() }
    }

    /// Width in pixels, as seen.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, as seen.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The pixels.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The pixels, taken out.
    #[must_use]
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// The pixels, to draw on.
    pub fn rgb_mut(&mut self) -> &mut [u8] {
        &mut self.rgb
    }

    /// Decodes a frame in place of what was there.
    ///
    /// # Errors
    /// See [`PictureError`]; what is there then is of no use.
    pub fn decode(&mut self, frame: &EncodedFrame) -> Result<(), PictureError> {
        let ImageFormat::Jpeg = frame.format;
        let size = (frame.width, frame.height);
        let pixels = frame.width as usize * frame.height as usize * SAMPLES;
        self.give_back(pixels);
        // The decoder says what is wrong with headers that break off.
        let layout = JpegLayout::of(&frame.bytes).unwrap_or_default();
        if layout.is_mistaken() {
            return Err(PictureError::ByComponent);
        }
        let working = layout.working_bytes();
        if pixels + working > self.max_bytes {
            let (width, height) = size;
            return Err(PictureError::Memory {
                width,
                height,
                needed: pixels + working,
                limit: self.max_bytes,
            });
        }
        // A second buffer makes turning quick; where there is no room for it, the picture is turned within its own.
        let is_turned = frame.orientation != Orientation::Upright && 2 * pixels + working <= self.max_bytes;
        let stored = if is_turned { pixels } else { 0 };
        if self.rgb.capacity().max(pixels) + self.stored.capacity().max(stored) + working > self.max_bytes {
            self.rest();
        }
        let bytes = if layout.lacks_codes() {
            jpeg::as_motion_jpeg(&frame.bytes, &mut self.marked);
            &self.marked[..]
        } else {
            &frame.bytes[..]
        };
        if is_turned {
            jpeg::decode(bytes, size, &mut self.stored)?;
            resize(&mut self.rgb, pixels);
            turn::into(&self.stored, &mut self.rgb, size, frame.orientation);
        } else {
            jpeg::decode(bytes, size, &mut self.rgb)?;
            turn::within(&mut self.rgb, size, frame.orientation);
        }
        (self.width, self.height) = turn::seen(size, frame.orientation);
        Ok(())
    }

    /// Gives large buffers back that the pictures of this time do not need.
    fn give_back(&mut self, needed: usize) {
        self.small = if needed > KEPT_BYTES { 0 } else { self.small.saturating_add(1) };
        if self.small >= KEPT_PICTURES && self.rgb.capacity().max(self.stored.capacity()) > KEPT_BYTES {
            self.rest();
        }
    }

    /// Gives its buffers back. The picture is then empty.
    pub fn rest(&mut self) {
        *self = Self::within(self.max_bytes);
    }
}

/// The pixels of a JPEG that was made here.
pub(crate) fn decoded(bytes: &[u8], size: (u32, u32)) -> Result<Vec<u8>, PictureError> {
    let mut rgb = Vec::new();
    jpeg::decode(bytes, size, &mut rgb)?;
    Ok(rgb)
}

/// Gives a buffer this length. What is in it is not cleared first: every byte is written anew. It never gets more
/// memory than that, as growing it by the usual steps would.
fn resize(buffer: &mut Vec<u8>, length: usize) {
    if buffer.capacity() < length {
        *buffer = Vec::new();
        *buffer = vec![0; length];
    } else {
        buffer.resize(length, 0);
    }
}
