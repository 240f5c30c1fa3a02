//! Codec `jpeg_b64`: base64 (RFC 4648 section 4) with or without its padding and with white space anywhere, bare
//! or as a data URI (RFC 2397).

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use verge_domain::rejection::Reason;

use crate::input::bare_text;

/// Devices leave the padding out, or get it wrong.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes text to the picture it holds.
pub(crate) fn decode(text: &[u8]) -> Result<Bytes, Reason> {
    let text = bare_text(text).trim_ascii();
    let text = match text.strip_prefix(b"data:") {
        Some(uri) => data_of(uri)?,
        None => text,
    };
    let decoded = if text.iter().any(u8::is_ascii_whitespace) {
        let dense: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        ENGINE.decode(dense)
    } else {
        ENGINE.decode(text)
    };
    decoded.map(Bytes::from).map_err(|_| Reason::BadBase64)
}

/// What follows `data:image/jpeg;base64,`.
fn data_of(uri: &[u8]) -> Result<&[u8], Reason> {
    let comma = uri.iter().position(|byte| *byte == b',').ok_or(Reason::BadBase64)?;
    let (kind, data) = uri.split_at_checked(comma).ok_or(Reason::BadBase64)?;
    let kind = kind.to_ascii_lowercase();
    let media = kind.strip_suffix(b";base64").ok_or(Reason::BadBase64)?;
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default();
    match media {
        b"image/jpeg" | b"image/jpg" | b"" => Ok(data.get(1..).unwrap_or_default()),
        _ => Err(Reason::UnsupportedImage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_however_devices_write_it() {
        let check = |text: &str, expected: Result<&[u8], Reason>| {
            assert_eq!(decode(text.as_bytes()).as_deref().map_err(|reason| *reason), expected, "{text:?}");
        };
        check("/9j/4A==", Ok(b"\xff\xd8\xff\xe0"));
        check("/9j/4A", Ok(b"\xff\xd8\xff\xe0"));
        check(" /9j/\r\n4A==\n", Ok(b"\xff\xd8\xff\xe0"));
        check("data:image/jpeg;base64,/9j/4A==", Ok(b"\xff\xd8\xff\xe0"));
        check("data:image/JPG;charset=x;base64,/9j/4A==", Ok(b"\xff\xd8\xff\xe0"));
        check("data:image/png;base64,/9j/4A==", Err(Reason::UnsupportedImage));
        check("data:image/jpeg,/9j/4A==", Err(Reason::BadBase64));
        check("data:image/jpeg;base64", Err(Reason::BadBase64));
        check("_9j-4A==", Err(Reason::BadBase64));
        check("/9j/4", Err(Reason::BadBase64));
        check("\u{feff}/9j/4A==\r\n\0", Ok(b"\xff\xd8\xff\xe0"));
        check("no base64!", Err(Reason::BadBase64));
        check("", Ok(b""));
    }
}
