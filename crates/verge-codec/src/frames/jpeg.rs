//! Headers of a JPEG (ITU-T T.81): its size, its orientation, and whether it is there to its end.

use std::io::BufRead as _;

use exif::{In, Tag};
use verge_domain::frame::Orientation;
use verge_domain::rejection::Reason;
use zune_core::bytestream::ZCursor;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Start of image, and the first byte of the marker that follows (T.81 annex B).
const START: [u8; 3] = [0xff, 0xd8, 0xff];
/// Second byte of the marker at the end of an image.
const END_OF_IMAGE: u8 = 0xd9;
/// The same of the header of a scan.
const START_OF_SCAN: u8 = 0xda;
/// Components of a frame that are decoded: CMYK has four.
const MAX_COMPONENTS: usize = 4;
/// The sides that the format can state; what is accepted of them is a matter of pixels.
const MAX_SIDE: usize = 65_535;

/// What the headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JpegHeader {
    /// As stored.
    pub(super) width: u32,
    /// As stored.
    pub(super) height: u32,
    pub(super) orientation: Orientation,
    /// Bytes of the picture, its end marker included; what follows was appended.
    pub(super) end: usize,
}

/// Reads the headers, and looks for the end: a picture that was cut off in transit is refused, not judged by
/// the half of it.
pub(super) fn header(bytes: &[u8], max_pixels: u64) -> Result<JpegHeader, Reason> {
    if !bytes.starts_with(&START) {
        return Err(Reason::BadJpeg);
    }
    let end = end(bytes)?;
    let options = DecoderOptions::default().set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|_| Reason::BadJpeg)?;
    let (width, height) = decoder.dimensions().ok_or(Reason::BadJpeg)?;
    let (width, height) = (side(width)?, side(height)?);
    if u64::from(width).saturating_mul(u64::from(height)) > max_pixels {
        return Err(Reason::TooManyPixels);
    }
    let end = end.ok_or(Reason::BadJpeg)?;
    let orientation = decoder.exif().map_or(Orientation::Upright, |exif| orientation(exif));
    Ok(JpegHeader { width, height, orientation, end })
}

fn side(pixels: usize) -> Result<u32, Reason> {
    u32::try_from(pixels).ok().filter(|pixels| *pixels > 0).ok_or(Reason::BadJpeg)
}

/// Looks through the segments and scans: whether the picture is of a kind that is decoded, and where it ends. `None`
/// where it does not, or where a component has no scan, or tables have none: then the rest of it was cut off.
///
/// The first end marker that stands neither in a segment (a thumbnail has one) nor behind the picture (devices append
/// what they like) is its own: entropy-coded data holds no marker but those of restarts.
fn end(bytes: &[u8]) -> Result<Option<usize>, Reason> {
    const BITS: u8 = 8;
    let mut at = START.len().saturating_sub(1);
    let mut components = Components::default();
    let mut are_tables_used = true;
    loop {
        let Some(&[0xff, marker, ref rest @ ..]) = bytes.get(at..) else { return Ok(None) };
        let (is_scan, length) = match (marker, rest) {
            (END_OF_IMAGE, _) => {
                let is_whole = are_tables_used && components.are_whole();
                return Ok(is_whole.then_some(at.saturating_add(2)));
            }
            // A byte of fill.
            (0xff, _) => (false, 1),
            // Markers that stand alone.
            (0x01 | 0xd0..=0xd7, _) => (false, 2),
            // Frame headers: baseline, extended and progressive with Huffman codes are decoded, of 8 bits a sample;
            // lossless, hierarchical and arithmetic ones are not. Among them stand tables that are no headers.
            (0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _) => return Err(Reason::UnsupportedImage),
            (0xc0..=0xc2, &[_, _, bits, ..]) if bits != BITS => return Err(Reason::UnsupportedImage),
            (_, &[high, low, ref content @ ..]) => {
                let length = usize::from(u16::from_be_bytes([high, low])).saturating_add(2);
                match marker {
                    0xc0..=0xc2 => components = Components::of_frame(content),
                    // Huffman codes.
                    0xc4 => are_tables_used = false,
                    START_OF_SCAN => {
                        are_tables_used = true;
                        components.note_scan(content);
                    }
                    _ => {}
                }
                (marker == START_OF_SCAN, length)
            }
            _ => return Ok(None),
        };
        at = at.saturating_add(length);
        if is_scan {
            let Some(length) = bytes.get(at..).and_then(scan_length) else { return Ok(None) };
            at = at.saturating_add(length);
        }
    }
}

/// Bytes of entropy-coded data up to the marker that ends them; `None` where none does. A byte 0xff within it is
/// followed by zero (stuffing) or belongs to the marker of a restart.
fn scan_length(data: &[u8]) -> Option<usize> {
    let mut rest = data;
    loop {
        // Of a slice it cannot fail, and it is as quick as memory.
        rest.skip_until(0xff).ok()?;
        match rest.first()? {
            0x00 | 0xd0..=0xd7 => {}
            _ => return data.len().checked_sub(rest.len())?.checked_sub(1),
        }
    }
}

/// The components of a frame, and which of them a scan has brought.
#[derive(Debug, Default)]
struct Components {
    /// Identifier, and whether it came.
    known: [Option<(u8, bool)>; MAX_COMPONENTS],
}

impl Components {
    /// From a frame header behind its length: bits, height, width, number, then three bytes each.
    fn of_frame(content: &[u8]) -> Self {
        let mut known = [None; MAX_COMPONENTS];
        let identifiers = content.get(6..).unwrap_or_default().chunks(3).filter_map(|one| one.first());
        let count = content.get(5).copied().map_or(0, usize::from);
        for (place, identifier) in known.iter_mut().zip(identifiers.take(count)) {
            *place = Some((*identifier, false));
        }
        Self { known }
    }

    /// From a scan header behind its length: number, then two bytes each, then the first coefficient.
    fn note_scan(&mut self, content: &[u8]) {
        let count = content.first().copied().map_or(0, usize::from);
        let selected = content.get(1..).unwrap_or_default().chunks(2).take(count);
        // Scans of further coefficients refine what has come.
        let first = content.get(count.saturating_mul(2).saturating_add(1));
        if first != Some(&0) {
            return;
        }
        for identifier in selected.filter_map(|one| one.first()) {
            for (known, came) in self.known.iter_mut().flatten() {
                *came |= known == identifier;
            }
        }
    }

    fn are_whole(&self) -> bool {
        self.known.iter().flatten().all(|(_, came)| *came) && self.known.iter().any(Option::is_some)
    }
}

/// A picture whose EXIF cannot be read is taken as it is stored.
fn orientation(exif: &[u8]) -> Orientation {
    let read = exif::Reader::new().read_raw(exif.to_vec());
    let value = read.ok().and_then(|exif| exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0));
    value.map_or(Orientation::Upright, Orientation::from_exif)
}
