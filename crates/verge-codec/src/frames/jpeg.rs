//! Headers of a JPEG (ITU-T T.81): its size, its orientation, and whether it is there to its end.

use exif::{In, Tag};
use verge_domain::frame::Orientation;
use verge_domain::rejection::Reason;
use zune_core::bytestream::ZCursor;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

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
    let is_whole = is_whole(bytes)?;
    let options = DecoderOptions::default().set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|_| Reason::BadJpeg)?;
    let (width, height) = decoder.dimensions().ok_or(Reason::BadJpeg)?;
    let (width, height) = (side(width)?, side(height)?);
    if u64::from(width).saturating_mul(u64::from(height)) > max_pixels {
        return Err(Reason::TooManyPixels);
    }
    if !is_whole {
        return Err(Reason::BadJpeg);
    }
    let orientation = decoder.exif().map_or(Orientation::Upright, |exif| orientation(exif));
    Ok(Header { width, height, orientation })
}

fn side(pixels: usize) -> Result<u32, Reason> {
    u32::try_from(pixels).ok().filter(|pixels| *pixels > 0).ok_or(Reason::BadJpeg)
}

/// Looks through the segments: whether the picture is of a kind that is decoded, and there to its end.
///
/// Entropy-coded data holds no marker, so behind the start of the scan there is an end, whatever devices append to
/// it. A thumbnail within the headers has an end of its own, so they are passed over one by one.
fn is_whole(bytes: &[u8]) -> Result<bool, Reason> {
    const START_OF_SCAN: u8 = 0xda;
    const BITS: u8 = 8;
    let mut at = START.len().saturating_sub(1);
    loop {
        let Some(&[0xff, marker, ref rest @ ..]) = bytes.get(at..) else { return Ok(false) };
        let length = match (marker, rest) {
            (START_OF_SCAN, _) => return Ok(rest.windows(2).rev().any(|pair| pair == END)),
            // A byte of fill.
            (0xff, _) => 1,
            // Markers that stand alone.
            (0x01 | 0xd0..=0xd7, _) => 2,
            // Frame headers: baseline, extended and progressive with Huffman codes are decoded, of 8 bits a sample;
            // lossless, hierarchical and arithmetic ones are not. Among them stand tables that are no headers.
            (0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _) => return Err(Reason::UnsupportedImage),
            (0xc0..=0xc2, &[_, _, bits, ..]) if bits != BITS => return Err(Reason::UnsupportedImage),
            (_, &[high, low, ..]) => usize::from(u16::from_be_bytes([high, low])).saturating_add(2),
            _ => return Ok(false),
        };
        at = at.saturating_add(length);
    }
}

/// A picture whose EXIF cannot be read is taken as it is stored.
fn orientation(exif: &[u8]) -> Orientation {
    let read = exif::Reader::new().read_raw(exif.to_vec());
    let value = read.ok().and_then(|exif| exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0));
    value.map_or(Orientation::Upright, Orientation::from_exif)
}
