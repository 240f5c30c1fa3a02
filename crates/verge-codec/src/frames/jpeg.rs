//! Headers of a JPEG (ITU-T T.81): its size, its orientation, and whether it is there to its end.

use std::io::Cursor;

use exif::{In, Tag};
use verge_domain::frame::Orientation;
use verge_domain::rejection::Reason;
use zune_core::bytestream::ZCursor;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::{DecodeErrors, UnsupportedSchemes};

/// Start of image, and the first byte of the marker that follows (T.81 annex B).
const START: [u8; 3] = [0xff, 0xd8, 0xff];
/// End of image.
const END: [u8; 2] = [0xff, 0xd9];
/// The sides that the format can state; what is accepted of them is a matter of pixels.
const MAX_SIDE: usize = 65_535;

/// What the headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// As stored.
    pub(super) width: u32,
    /// As stored.
    pub(super) height: u32,
    pub(super) orientation: Orientation,
}

/// Reads the headers, and looks for the end: a picture that was cut off on its way is refused, not judged by
/// the half of it.
pub(super) fn header(bytes: &[u8], max_pixels: u64) -> Result<Header, Reason> {
    if !bytes.starts_with(&START) {
        return Err(Reason::BadJpeg);
    }
    let options = DecoderOptions::default().set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| reason_of(&error))?;
    let (width, height) = decoder.dimensions().ok_or(Reason::BadJpeg)?;
    let (width, height) = (side(width)?, side(height)?);
    if u64::from(width).saturating_mul(u64::from(height)) > max_pixels {
        return Err(Reason::TooManyPixels);
    }
    if !has_end(bytes) {
        return Err(Reason::BadJpeg);
    }
    let orientation = decoder.exif().map_or(Orientation::Upright, |exif| orientation(exif));
    Ok(Header { width, height, orientation })
}

fn side(pixels: usize) -> Result<u32, Reason> {
    u32::try_from(pixels).ok().filter(|pixels| *pixels > 0).ok_or(Reason::BadJpeg)
}

fn reason_of(error: &DecodeErrors) -> Reason {
    match error {
        DecodeErrors::Unsupported(
            UnsupportedSchemes::ExtendedSequentialHuffman
            | UnsupportedSchemes::LosslessHuffman
            | UnsupportedSchemes::ExtendedSequentialDctArithmetic
            | UnsupportedSchemes::ProgressiveDctArithmetic
            | UnsupportedSchemes::LosslessArithmetic,
        ) => Reason::UnsupportedImage,
        _ => Reason::BadJpeg,
    }
}

/// Entropy-coded data holds no marker, so the last one is that of the end, whatever devices append to it. The
/// thumbnail within the headers has an end of its own, but lies in front.
fn has_end(bytes: &[u8]) -> bool {
    let start_of_scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]);
    let scan = start_of_scan.and_then(|at| bytes.get(at..)).unwrap_or_default();
    scan.windows(2).rev().any(|pair| pair == END)
}

/// A picture whose EXIF cannot be read is taken as it is stored.
fn orientation(exif: &[u8]) -> Orientation {
    let mut file = Cursor::new(exif);
    let read = exif::Reader::new().read_raw(file.get_mut().to_vec());
    let value = read.ok().and_then(|exif| exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0));
    value.map_or(Orientation::Upright, Orientation::from_exif)
}
