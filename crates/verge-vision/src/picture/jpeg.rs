//! From a coded frame to rows of red, green and blue.

use std::cell::Cell;

use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::scan::Scan;
use super::{PictureError, SAMPLES, resize};

/// Marks a JPEG without Huffman codes as Motion JPEG, whose codes the decoder knows: by the segment that stands in the
/// frames of AVI files.
pub(super) fn as_motion_jpeg(jpeg: &[u8], out: &mut Vec<u8>) {
    const START: usize = 2;
    out.clear();
    out.extend_from_slice(&jpeg[..START]);
    out.extend_from_slice(b"\xff\xe0\0\x07AVI1\0");
    out.extend_from_slice(&jpeg[START..]);
}

/// Decodes a JPEG of this size in place of what was in `out`.
pub(super) fn decode(
    jpeg: &[u8],
    (width, height): (u32, u32),
    out: &mut Vec<u8>,
) -> Result<(), PictureError> {
    const MAX_SIDE: usize = 65_535;
    /// Encoders write ten or so; each passes over the whole picture, however few bytes it has.
    const MAX_SCANS: usize = 32;
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        // What the decoder sees to be damaged is an error, not a picture in grey.
        .set_strict_mode(true)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let behind = Cell::new(0);
    let scan = Scan::new(jpeg, &behind).ok_or(PictureError::EndsEarly)?;
    let mut decoder = JpegDecoder::new_with_options(scan, options);
    decoder.decode_headers().map_err(PictureError::Damaged)?;
    // What was allowed for is what the frame states; nothing else is decoded.
    let found = decoder.dimensions().unwrap_or_default();
    if found != (width as usize, height as usize) || width == 0 || height == 0 {
        return Err(PictureError::Size { expected: (width, height), found });
    }
    let size = width as usize * height as usize * SAMPLES;
    let found = decoder.output_buffer_size().unwrap_or(0);
    if found != size && found * SAMPLES != size {
        return Err(PictureError::Samples { bytes: found });
    }
    resize(out, size);
    let decoded = decoder.decode_into(&mut out[..found]);
    if Scan::ended_early(&behind) {
        return Err(PictureError::EndsEarly);
    }
    decoded.map_err(PictureError::Damaged)?;
    // One sample per pixel: grey, which becomes three from the back to the front.
    if found < size {
        for at in (0..found).rev() {
            let grey = out[at];
            out[at * SAMPLES..][..SAMPLES].fill(grey);
        }
    }
    Ok(())
}
