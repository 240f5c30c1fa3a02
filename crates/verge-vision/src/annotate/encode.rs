//! Pictures as JPEG, also within a number of bytes.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use jpeg_encoder::{ColorType, EncodingError};

use super::{AnnotatedShape, draw};
use crate::picture::{Picture, SAMPLES};

/// Quality of annotated pictures: good to look at, and small.
const QUALITY: u8 = 90;
/// Qualities that are tried in turn before the picture is made smaller.
const TRIED: [u8; 2] = [85, 60];
/// No picture is made narrower: nothing could be read in it.
const NARROWEST: u32 = 160;

/// A picture as a JPEG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The JPEG.
    pub jpeg: Vec<u8>,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
}

/// Why there is no JPEG.
#[derive(Debug, thiserror::Error)]
pub enum SizeError {
    /// It is larger than the format can say: 65,535 pixels a side.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// Even as small as can be read it has more bytes.
    #[error(
        "the picture has {bytes} bytes at {width} pixels of width, the least; at most {limit} are allowed"
    )]
    TooLarge {
        /// Bytes that it has.
        bytes: usize,
        /// Its width then.
        width: u32,
        /// Bytes that it may have.
        limit: usize,
    },
}

/// The picture as a JPEG.
///
/// # Errors
/// It is larger than the format can say: 65,535 pixels a side.
pub fn encode(picture: &Picture) -> Result<Vec<u8>, EncodingError> {
    encode_at(picture, QUALITY)
}

/// The picture with shapes in it as a JPEG within a number of bytes: of lower quality, then smaller. The shapes are drawn
/// into the smaller picture, so that they can be read in it.
///
/// # Errors
/// See [`SizeError`].
pub fn encode_within(
    picture: &Picture,
    shapes: &[AnnotatedShape],
    max_bytes: usize,
) -> Result<Encoded, SizeError> {
    let mut width = picture.width();
    loop {
        let mut drawn = resized(picture, width);
        draw(&mut drawn, shapes);
        let mut bytes = 0;
        for quality in TRIED {
            let jpeg = encode_at(&drawn, quality)?;
            if jpeg.len() <= max_bytes {
                return Ok(Encoded { jpeg, width: drawn.width(), height: drawn.height() });
            }
            bytes = jpeg.len();
        }
        if width <= NARROWEST {
            return Err(SizeError::TooLarge { bytes, width, limit: max_bytes });
        }
        // Bytes go with the area; a little less, as letters and strokes do not.
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the width"
        )]
        let next = (f64::from(width) * (0.9 * max_bytes as f64 / bytes as f64).sqrt().min(0.9)) as u32;
        width = next.max(NARROWEST);
    }
}

pub(crate) fn encode_at(picture: &Picture, quality: u8) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    // Beyond 65,535 the encoder is asked for no pixels at all, and refuses.
    let side = |side: u32| u16::try_from(side).unwrap_or(0);
    jpeg_encoder::Encoder::new(&mut bytes, quality).encode(
        picture.rgb(),
        side(picture.width()),
        side(picture.height()),
        ColorType::Rgb,
    )?;
    Ok(bytes)
}

/// A copy of this width.
fn resized(picture: &Picture, width: u32) -> Picture {
    if width >= picture.width() {
        return picture.clone();
    }
    let height = (u64::from(picture.height()) * u64::from(width) / u64::from(picture.width())).max(1);
    let height = u32::try_from(height).unwrap_or(u32::MAX);
    let mut bytes = vec![0; width as usize * height as usize * SAMPLES];
    let from = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.rgb())
        .expect("a picture has three bytes for each pixel");
    let mut to = TypedImage::<U8x3>::from_buffer(width, height, &mut bytes).expect("made for it above");
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
    // For one type of pixel: `resize` compiles its code for all thirteen.
    Resizer::new().resize_typed(&from, &mut to, &options).expect("nothing is cut out");
    Picture::from_rgb(width, height, bytes)
}
