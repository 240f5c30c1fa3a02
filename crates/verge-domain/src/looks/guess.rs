//! The guess itself: first by signatures of formats, then as text, then as binary formats without one.

use super::Looks;

impl Looks {
    /// Guesses from the first bytes; `whole` says that there are no others.
    #[must_use]
    pub fn of(head: &[u8], whole: bool) -> Option<Self> {
        if let Some((_, looks)) = SIGNATURES.iter().find(|(start, _)| head.starts_with(start)) {
            return Some(*looks);
        }
        match head {
            // Two letters, the size, four bytes that are reserved.
            [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => return Some(Self::Bmp),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => return Some(Self::WebP),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => return Some(Self::Sound),
            // Two letters alone are a word as well: the header of a program of DOS has zeros in it.
            [b'M', b'Z', rest @ ..] if rest.contains(&0) => return Some(Self::Program),
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => {
                let still =
                    [b"heic", b"mif1", b"avif", b"msf1"].iter().any(|known| brand.starts_with(*known));
                return Some(if still { Self::HeicOrAvif } else { Self::Video });
            }
            [b'-', b'-', ..] if head.windows(2).any(|pair| pair == b"\r\n") => return Some(Self::Multipart),
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]
                if !head.is_ascii() || head.len() > 8 && head[2..].contains(&0) =>
            {
                return Some(Self::Zlib);
            }
            [0, one, 0, two, ..] | [one, 0, two, 0, ..]
                if one.is_ascii_graphic() && two.is_ascii_graphic() =>
            {
                return Some(Self::Utf16);
            }
            _ => {}
        }
        let end = std::str::from_utf8(head).map_or_else(
            |error| if error.error_len().is_none() && !whole { error.valid_up_to() } else { 0 },
            str::len,
        );
        let text = std::str::from_utf8(head.get(..end)?).unwrap_or_default();
        let is_text = !text.is_empty()
            && !text.chars().any(|letter| letter.is_control() && !letter.is_whitespace() && letter != '\0');
        if is_text {
            of_text(
                text.trim_matches(|letter: char| {
                    letter.is_whitespace() || letter == '\0' || letter == '\u{feff}'
                }),
                whole,
            )
        } else {
            of_binary(head, whole)
        }
    }

    /// What is wrong with JSON, from what stands around the fault; `ends` says that the message does there.
    #[must_use]
    pub fn of_bad_json(around: &str, ends: bool) -> Option<Self> {
        let follows = |mark: char| {
            let behind = around.split(mark).skip(1);
            behind.map(|rest| rest.trim_start())
        };
        let closes = |rest: &str| rest.starts_with(['}', ']']);
        if follows(':').any(|rest| rest.starts_with(',') || closes(rest)) {
            return Some(Self::MemberWithoutValue);
        }
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        // A number behind a comma that no bracket opened is no member.
        let is_split = follows(':').any(|rest| {
            let Some((whole, rest)) = rest.split_once(',') else { return false };
            let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
            digits(whole.trim_start_matches('-')) && digits(rest[..end].trim())
        });
        if is_split {
            return Some(Self::DecimalCommaInJson);
        }
        if follows(',').any(closes) {
            return Some(Self::CommaTooMany);
        }
        (ends && !around.trim_end().ends_with(['}', ']'])).then_some(Self::CutJson)
    }
}

/// First bytes that identify a format by themselves.
const SIGNATURES: [(&[u8], Looks); 44] = [
    (b"\x7fELF", Looks::Program),
    (b"\xcf\xfa\xed\xfe", Looks::Program),
    (b"\xca\xfe\xba\xbe", Looks::Program),
    (b"\0asm", Looks::Program),
    (b"7z\xbc\xaf\x27\x1c", Looks::Archive),
    (b"\xfd7zXZ\0", Looks::Archive),
    (b"BZh91AY", Looks::Archive),
    (b"Rar!\x1a\x07", Looks::Archive),
    (b"%PDF-", Looks::Pdf),
    (b"SQLite format 3\0", Looks::Database),
    (b"\x89HDF\r\n", Looks::Arrays),
    (b"\x93NUMPY", Looks::Arrays),
    (b"MATLAB 5.0 MAT-file", Looks::Arrays),
    (b"fLaC", Looks::Sound),
    (b"OggS\0", Looks::Sound),
    (b"ID3\x03", Looks::Sound),
    (b"ID3\x04", Looks::Sound),
    (b"\xd4\xc3\xb2\xa1", Looks::Capture),
    (b"\x4d\x3c\xb2\xa1", Looks::Capture),
    (b"\x0a\x0d\x0d\x0a", Looks::Capture),
    (b"\x89PNG\r\n", Looks::Png),
    (b"GIF87a", Looks::Gif),
    (b"GIF89a", Looks::Gif),
    (b"II*\0", Looks::Tiff),
    (b"MM\0*", Looks::Tiff),
    (b"\xff\xd8\xff", Looks::Jpeg),
    (b"\0\0\0\x01", Looks::Video),
    (b"\x1f\x8b", Looks::Gzip),
    (b"\x28\xb5\x2f\xfd", Looks::Zstd),
    (b"\x04\x22\x4d\x18", Looks::Lz4Frame),
    (b"PK\x03\x04", Looks::Zip),
    (b"\xd0\xcf\x11\xe0", Looks::OldOffice),
    (b"PAR1", Looks::Parquet),
    (b"\xff\xfe", Looks::Utf16),
    (b"\xfe\xff", Looks::Utf16),
    (b"version https://git-lfs", Looks::GitLfsPointer),
    (b"data:", Looks::DataUri),
    (b"/9j/", Looks::JpegInBase64),
    (b"ffd8ff", Looks::JpegInHex),
    (b"FFD8FF", Looks::JpegInHex),
    (b"iVBORw0KGgo", Looks::Base64),
    (b"R0lGOD", Looks::Base64),
    (b"\xef\xbb\xbfversion https://git-lfs", Looks::GitLfsPointer),
    (b"\r\n--", Looks::Multipart),
];

fn of_text(text: &str, whole: bool) -> Option<Looks> {
    let lower = |start: &str| text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    if text.starts_with('<') {
        return Some(if lower("<!doctype html") || lower("<html") { Looks::Html } else { Looks::Xml });
    }
    if text.starts_with(['{', '[']) {
        return Some(of_json(text));
    }
    let bare = text.strip_prefix('"').map_or(text, |inner| inner.strip_suffix('"').unwrap_or(inner)).trim();
    if bare.is_empty() {
        return whole.then_some(Looks::EmptyText);
    }
    if bare.starts_with("/9j/") {
        return Some(Looks::JpegInBase64);
    }
    of_number(bare, whole).or_else(|| of_words(bare, whole))
}

fn of_json(text: &str) -> Looks {
    let dense = |count: usize| text.bytes().filter(|byte| !byte.is_ascii_whitespace()).take(count);
    let starts = |start: &str| dense(start.len()).eq(start.bytes());
    if starts("{\"type\":\"Buffer\"") {
        return Looks::NodeRedBuffer;
    }
    if ["[{\"bn\":", "[{\"n\":", "[{\"bt\":", "[{\"bver\":"].into_iter().any(starts) {
        return Looks::Senml;
    }
    if starts("{'") || starts("[{'") || starts("['") {
        return Looks::PythonDict;
    }
    if text.contains("}\n{") || text.contains("}\r\n{") || text.contains("}{") {
        return Looks::JsonLines;
    }
    Looks::Json
}

/// What is wrong with a number, as people and devices write them.
fn of_number(text: &str, whole: bool) -> Option<Looks> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if text.parse::<f64>().is_ok() {
        let figure = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        return Some(if figure { Looks::Number } else { Looks::NotFinite });
    }
    if digits.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x")) {
        return digits.get(2..)?.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(Looks::Hexadecimal);
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Some(time) = of_time(digits) {
        return Some(time);
    }
    let end = digits.find(|letter: char| !is_of_number(letter)).unwrap_or(digits.len());
    let (figure, rest) = digits.split_at(end);
    let (figure, rest) = (figure.trim_end(), rest.trim());
    if rest.contains([',', ';', '=', '\n', '|']) || figure.contains(", ") {
        return None;
    }
    let count = |mark: char| figure.matches(mark).count();
    let groups = |mark: char| figure.split(mark).skip(1).all(|group| group.len() == 3);
    let found = match (count(','), count('.'), count(' ') + count('\'') + count('\u{a0}') + count('\u{202f}'))
    {
        (0, 0 | 1, 0) if whole && is_unit(rest) => Looks::NumberWithUnit,
        (1, 0, 0) if groups(',') && !figure.starts_with('0') && figure.len() <= 7 => Looks::CommaOrThousands,
        (1, 0, 0) => Looks::DecimalComma,
        (1, 1, 0) => Looks::Thousands,
        (commas, points, 0)
            if commas > 1
                && points <= 1
                && figure.split('.').next()?.split(',').skip(1).all(|group| group.len() == 3) =>
        {
            Looks::Thousands
        }
        (commas, points, 0)
            if points > 1
                && commas <= 1
                && figure.split(',').next()?.split('.').skip(1).all(|group| group.len() == 3) =>
        {
            Looks::Thousands
        }
        (0 | 1, 0 | 1, spaces) if spaces > 0 => Looks::Thousands,
        _ => return None,
    };
    Some(found)
}

fn is_unit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || matches!(first, '°' | '%')) && !text.contains(':')
}

fn is_of_number(letter: char) -> bool {
    letter.is_ascii_digit() || matches!(letter, ',' | '.' | ' ' | '\'' | '\u{a0}' | '\u{202f}')
}

/// `2026-11-28 00:00:00`, `28.11.2026`, `11/28/2026`.
fn of_time(text: &str) -> Option<Looks> {
    let shape = |start: &str| {
        text.len() >= start.len()
            && text.bytes().zip(start.bytes()).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                b' ' => matches!(byte, b' ' | b'T' | b't'),
                shape => byte == shape,
            })
    };
    if shape("0000-00-00 00:00") {
        return Some(Looks::LocalTime);
    }
    [
        "0000-00-00",
        "00.00.0000",
        "00/00/0000",
        "0/00/0000",
        "0.00.0000",
        "00-00-0000",
        "0000/00/00",
        "0/0/0000",
    ]
    .into_iter()
    .any(shape)
    .then_some(Looks::OtherDate)
}

/// Text that is no number.
fn of_words(text: &str, whole: bool) -> Option<Looks> {
    let first = text.lines().next()?;
    if let Some((series, fields)) = first.split_once(' ')
        && !series.contains(['=', '{']) | series.contains(',')
        && fields.split([',', ' ']).next().is_some_and(|field| {
            field.split_once('=').is_some_and(|(_, value)| {
                value.starts_with(|first: char| {
                    first.is_ascii_digit() || matches!(first, '-' | '"' | 't' | 'f' | 'T' | 'F')
                })
            })
        })
    {
        return Some(Looks::LineProtocol);
    }
    let separators = |mark: char| first.matches(mark).count();
    if separators(';') > 0
        || separators('\t') > 0
        || separators(',') > 1
        || text.contains('\n') && separators(',') > 0
    {
        return Some(Looks::Csv);
    }
    if is_base64(text.as_bytes()) {
        return Some(Looks::Base64);
    }
    let word =
        text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' ' | '/'));
    (whole && word && text.chars().count() <= 32).then_some(Looks::Word)
}

/// Long, of its letters alone, and of all kinds of them: a word is not.
fn is_base64(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
    let (letters, padding) = text.split_at(end);
    let any = |kind: fn(&u8) -> bool| letters.iter().any(kind);
    letters.len() >= 24
        && padding.len() <= 2
        && letters.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && any(u8::is_ascii_uppercase)
        && any(u8::is_ascii_lowercase)
        && any(u8::is_ascii_digit)
}

fn of_binary(head: &[u8], whole: bool) -> Option<Looks> {
    let printable = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_graphic());
    // A text of this many bytes behind a map's head, as a name is.
    let name = |at: usize, length: u8| head.get(at..at + usize::from(length)).is_some_and(printable);
    match *head {
        [0x81..=0x8f, text @ 0xa1..=0xbf, ..] if name(2, text & 0x1f) => return Some(Looks::MessagePack),
        [0x91..=0x9f, 0x81..=0x8f, text @ 0xa1..=0xbf, ..] if name(3, text & 0x1f) => {
            return Some(Looks::MessagePack);
        }
        [0xde, _, _, text @ 0xa1..=0xbf, ..] if name(4, text & 0x1f) => return Some(Looks::MessagePack),
        [0xa1..=0xb7 | 0xbf, text @ 0x61..=0x77, ..] if name(2, text & 0x1f) => return Some(Looks::Cbor),
        [0x81..=0x97 | 0x9f, 0xa1..=0xb7 | 0xbf, _, ..] | [0xd9, 0xd9, 0xf7, ..] => return Some(Looks::Cbor),
        [0xa1..=0xb7 | 0xbf, 0x00..=0x17 | 0x20..=0x37, _, ..] => return Some(Looks::Cbor),
        _ => {}
    }
    let fields = protobuf_fields(head, whole)?;
    // Timestamp, then metrics or the sequence number (Sparkplug 3.0, section 6.4).
    Some(if head[0] == 0x08 && matches!(fields, [1, 2 | 3, ..]) {
        Looks::SparkplugB
    } else {
        Looks::Protobuf
    })
}

/// The numbers of the first fields, if it is a message from its beginning to its end.
fn protobuf_fields(head: &[u8], whole: bool) -> Option<[u64; 3]> {
    let mut fields = [0; 3];
    let mut count = 0;
    let mut at = 0;
    let cut = |fields, count| (!whole && count >= 2).then_some(fields);
    let varint = |at: &mut usize| {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *head.get(*at)?;
            *at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    while at < head.len() {
        let tag = varint(&mut at);
        let Some(tag) = tag else { return cut(fields, count) };
        if tag >> 3 == 0 || tag >> 3 > 100 {
            return None;
        }
        let length = match tag & 7 {
            0 => varint(&mut at).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut at),
            5 => Some(4),
            _ => return None,
        };
        let Some(length) = length else { return cut(fields, count) };
        if let Some(field) = fields.get_mut(count) {
            *field = tag >> 3;
        }
        count += 1;
        at = at.checked_add(usize::try_from(length).ok()?)?;
    }
    let ends = !whole || at == head.len();
    (ends && count >= 2).then_some(fields)
}
