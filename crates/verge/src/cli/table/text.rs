//! The text of a file, whatever its encoding.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Bytes that decide which encoding a file without a byte order mark has.
const LOOKED_AT: usize = 4096;

/// The text of a file, and what it was read as where that is worth a line.
pub(in crate::cli) fn decode<'a>(
    bytes: &'a [u8],
    named: Option<&'static Encoding>,
) -> (Cow<'a, str>, Option<String>) {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        let (text, _) = encoding.decode_without_bom_handling(&bytes[length..]);
        return (text, (encoding != UTF_8).then(|| format!("read as {}", encoding.name())));
    }
    let found =
        named.or_else(|| utf_16(bytes)).or_else(|| std::str::from_utf8(bytes).is_ok().then_some(UTF_8));
    let encoding = found.unwrap_or(WINDOWS_1252);
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    let note = match (named, found) {
        (Some(_), _) | (None, Some(_)) if encoding == UTF_8 || named.is_some() => None,
        (_, Some(_)) => Some(format!("read as {}, which has no byte order mark", encoding.name())),
        (_, None) => Some(format!(
            "not UTF-8: read as {} (Latin-1), with `{}` in line {}; --encoding names another",
            encoding.name(),
            odd_word(&text),
            odd_line(&text)
        )),
    };
    (text, note)
}

/// Whether a file is in UTF-16, with a byte order mark or without.
pub(in crate::cli) fn is_utf_16(head: &[u8]) -> bool {
    let marked = Encoding::for_bom(head).map(|(encoding, _)| encoding);
    marked.or_else(|| utf_16(head)).is_some_and(|encoding| encoding != UTF_8)
}

/// Every other byte of text in UTF-16 is zero, as far as it is of Latin letters.
fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let pairs = bytes[..bytes.len().min(LOOKED_AT)].chunks_exact(2);
    let (mut big, mut little, all) = (0_usize, 0_usize, pairs.len());
    for pair in pairs {
        big += usize::from(pair[0] == 0 && pair[1] != 0);
        little += usize::from(pair[1] == 0 && pair[0] != 0);
    }
    match () {
        () if all == 0 => None,
        () if little * 2 > all => Some(UTF_16LE),
        () if big * 2 > all => Some(UTF_16BE),
        () => None,
    }
}

/// The first word with a letter beyond ASCII: it shows whether the encoding fits.
fn odd_word(text: &str) -> String {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter.is_ascii());
    words.into_iter().find(|word| !word.is_ascii()).unwrap_or_default().chars().take(24).collect()
}

fn odd_line(text: &str) -> usize {
    let before = text.split(|letter: char| !letter.is_ascii()).next().unwrap_or_default();
    before.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_of_exports_is_read() {
        let check = |bytes: &[u8], expected: &str, noted: Option<&str>| {
            let (text, note) = decode(bytes, None);
            assert_eq!(text, expected, "{bytes:?}");
            match noted {
                None => assert_eq!(note, None, "{bytes:?}"),
                Some(words) => assert!(note.as_ref().is_some_and(|note| note.contains(words)), "{note:?}"),
            }
        };
        let wide =
            |text: &str, swap: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(swap).collect::<Vec<u8>>();
        check("Zähler;°C".as_bytes(), "Zähler;°C", None);
        check("\u{feff}Zähler".as_bytes(), "Zähler", None);
        check(&wide("\u{feff}Zähler;1", u16::to_le_bytes), "Zähler;1", Some("read as UTF-16LE"));
        check(&wide("\u{feff}Zähler;1", u16::to_be_bytes), "Zähler;1", Some("read as UTF-16BE"));
        check(
            &wide("time;a\r\n1;2", u16::to_le_bytes),
            "time;a\r\n1;2",
            Some("UTF-16LE, which has no byte order"),
        );
        check(
            &wide("time;a\r\n1;2", u16::to_be_bytes),
            "time;a\r\n1;2",
            Some("UTF-16BE, which has no byte order"),
        );
        check(b"time;x\n1;Z\xe4hler \xb0C", "time;x\n1;Zähler °C", Some("with `Zähler` in line 2"));
        check(b"", "", None);
        let cyrillic = Encoding::for_label(b"windows-1251");
        assert_eq!(decode(b"\xd2\xee\xea", cyrillic), (Cow::from("Ток"), None));
    }
}
