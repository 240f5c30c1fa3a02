//! From a coded frame to pixels as they are seen, in buffers that are kept from frame to frame.

use verge_domain::frame::{EncodedFrame, ImageFormat, Orientation};
use verge_domain::rejection::Reason;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

/// Bytes of a pixel: red, green, blue.
pub const SAMPLES: usize = 3;

/// A decoded picture: rows from the top, pixels from the left, red, green and blue in turn, sRGB as stored.
#[derive(Debug, Default, Clone)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
    stored: Vec<u8>,
}

/// Why a frame has no pixels.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Damaged behind its headers.
    #[error("the JPEG is damaged: {0:?}")]
    Damaged(DecodeErrors),
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
            Self::Damaged(DecodeErrors::Unsupported(_)) | Self::Samples { .. } => Reason::UnsupportedImage,
            Self::Damaged(_) | Self::Size { .. } => Reason::BadJpeg,
        }
    }
}

impl Picture {
    /// An empty picture, whose buffers grow with the first frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A picture of given pixels; for drawing and tests.
    ///
    /// # Panics
    /// If there are not three bytes for each pixel.
    #[must_use]
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Self {
        assert_eq!(rgb.len(), width as usize * height as usize * SAMPLES, "three bytes for each pixel");
        Self { width, height, rgb, stored: Vec::new() }
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
        if frame.orientation == Orientation::Upright {
            decode_jpeg(&frame.bytes, size, &mut self.rgb)?;
            (self.width, self.height) = (frame.width, frame.height);
            return Ok(());
        }
        decode_jpeg(&frame.bytes, size, &mut self.stored)?;
        self.turn(frame.width, frame.height, frame.orientation);
        Ok(())
    }

    /// Brings the stored pixels into the place where they are seen.
    fn turn(&mut self, width: u32, height: u32, orientation: Orientation) {
        let (seen_width, seen_height) =
            if orientation.swaps_sides() { (height, width) } else { (width, height) };
        self.rgb.resize(self.stored.len(), 0);
        let (right, bottom) = (width as usize - 1, height as usize - 1);
        let rows = self.rgb.chunks_exact_mut(seen_width as usize * SAMPLES);
        for (y, row) in rows.enumerate() {
            for (x, pixel) in row.chunks_exact_mut(SAMPLES).enumerate() {
                // Where the pixel seen at (x, y) is stored (EXIF 2.32, table of orientations).
                let (column, line) = match orientation {
                    Orientation::Upright => (x, y),
                    Orientation::Mirrored => (right - x, y),
                    Orientation::Turned180 => (right - x, bottom - y),
                    Orientation::MirroredTurned180 => (x, bottom - y),
                    Orientation::MirroredTurned270 => (y, x),
                    Orientation::Turned90 => (y, bottom - x),
                    Orientation::MirroredTurned90 => (right - y, bottom - x),
                    Orientation::Turned270 => (right - y, x),
                };
                let at = (line * width as usize + column) * SAMPLES;
                pixel.copy_from_slice(&self.stored[at..at + SAMPLES]);
            }
        }
        (self.width, self.height) = (seen_width, seen_height);
    }
}

fn decode_jpeg(bytes: &[u8], (width, height): (u32, u32), out: &mut Vec<u8>) -> Result<(), PictureError> {
    const MAX_SIDE: usize = 65_535;
    /// Encoders write ten or so; each passes over the whole picture, however few bytes it has.
    const MAX_SCANS: usize = 32;
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        // Data that breaks off is an error where the decoder notices, which is once per row of blocks. Whether the
        // picture is there to its end was seen by whoever read its headers.
        .set_strict_mode(true)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(PictureError::Damaged)?;
    // What was allowed for is what the frame states; nothing else is decoded.
    let found = decoder.dimensions().unwrap_or_default();
    if found != (width as usize, height as usize) || width == 0 || height == 0 {
        return Err(PictureError::Size { expected: (width, height), found });
    }
    let size = width as usize * height as usize * SAMPLES;
    let found = decoder.output_buffer_size().unwrap_or(0);
    // Not cleared first: every byte is written anew.
    out.resize(size, 0);
    if found == size {
        return decoder.decode_into(out).map_err(PictureError::Damaged);
    }
    if found * SAMPLES != size {
        return Err(PictureError::Samples { bytes: found });
    }
    // One sample per pixel: grey, which becomes three from the back to the front.
    decoder.decode_into(&mut out[..found]).map_err(PictureError::Damaged)?;
    for at in (0..found).rev() {
        let grey = out[at];
        out[at * SAMPLES..][..SAMPLES].fill(grey);
    }
    Ok(())
}
