//! What bytes look like that were not what was expected: a guess, from a closed list, with what to do about it.

use std::fmt;

/// What bytes look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Looks {
    /// Pictures that are not JPEG.
    Png,
    /// See above.
    Gif,
    /// See above.
    Bmp,
    /// See above.
    WebP,
    /// See above.
    Tiff,
    /// HEIC, AVIF.
    HeicOrAvif,
    /// A JPEG.
    Jpeg,
    /// A JPEG that does not end as one.
    CutJpeg,
    /// JSON where a picture was expected.
    JsonImage,
    /// A JPEG as a data URI.
    DataUri,
    /// A JPEG in base64.
    JpegInBase64,
    /// Any other base64.
    Base64,
    /// A JPEG in hexadecimal digits.
    JpegInHex,
    /// MP4, H.264.
    Video,
    /// A stream of JPEGs as cameras serve it over HTTP.
    Multipart,
    /// What Node-RED makes of bytes in JSON.
    NodeRedBuffer,
    /// It stands in for a file.
    GitLfsPointer,
    /// Compressed forms.
    Gzip,
    /// See above.
    Zlib,
    /// See above.
    Zstd,
    /// Also the newer spreadsheets.
    Zip,
    /// The older spreadsheets.
    OldOffice,
    /// Columns on disk.
    Parquet,
    /// An LZ4 frame, which is not an LZ4 block.
    Lz4Frame,
    /// Text of 16 bits a character.
    Utf16,
    /// SenML in JSON.
    Senml,
    /// Several JSON documents.
    JsonLines,
    /// JSON.
    Json,
    /// Text that is nearly JSON, with single quotation marks.
    PythonDict,
    /// XML.
    Xml,
    /// HTML.
    Html,
    /// Sparkplug B.
    SparkplugB,
    /// Protocol buffers.
    Protobuf,
    /// CBOR.
    Cbor,
    /// MessagePack.
    MessagePack,
    /// InfluxDB line protocol.
    LineProtocol,
    /// Columns of text.
    Csv,
    /// `{"t":18,4}`.
    DecimalCommaInJson,
    /// `{"t":}`.
    MemberWithoutValue,
    /// `{"t":1,}`.
    CommaTooMany,
    /// `{"t":1`.
    CutJson,
    /// `18,4`.
    DecimalComma,
    /// `18.4` where a comma is expected.
    DecimalPoint,
    /// `1,234` is 1.234 or 1234.
    CommaOrThousands,
    /// `1,234.5`, `1.234,5`, `1 234`.
    Thousands,
    /// `18.4 °C`.
    NumberWithUnit,
    /// `0x1f`.
    Hexadecimal,
    /// NaN or an infinity.
    NotFinite,
    /// A number as JSON or a string has it.
    Number,
    /// A date and time without zone.
    LocalTime,
    /// A date whose parts stand in another order.
    OtherDate,
    /// A word.
    Word,
    /// `""`.
    EmptyText,
}

impl Looks {
    /// Guesses from the first bytes; `whole` says that there are no others.
    #[must_use]
    pub fn of(head: &[u8], whole: bool) -> Option<Self> {
        if let Some((_, looks)) = SIGNATURES.iter().find(|(start, _)| head.starts_with(start)) {
            return Some(*looks);
        }
        match head {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => return Some(Self::WebP),
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

    /// What it is, with an article.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.words().0
    }

    /// What to do about it; empty where nothing is known.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        self.words().1
    }

    const fn words(self) -> (&'static str, &'static str) {
        const ONLY_JPEG: &str = "only JPEG is read: let the camera send JPEG";
        const AS_TEXT: &str = "let the sender write text or JSON in UTF-8";
        match self {
            Self::Png => ("a PNG", ONLY_JPEG),
            Self::Gif => ("a GIF", ONLY_JPEG),
            Self::Bmp => ("a BMP picture", ONLY_JPEG),
            Self::WebP => ("a WebP picture", ONLY_JPEG),
            Self::Tiff => ("a TIFF", ONLY_JPEG),
            Self::HeicOrAvif => ("a HEIC or AVIF picture", ONLY_JPEG),
            Self::Jpeg => ("a JPEG", "codec = \"jpeg\" reads it"),
            Self::CutJpeg => (
                "a JPEG that is cut off or damaged",
                "the sender's buffer or its MQTT library is too small for it, or its camera had no time to write it",
            ),
            Self::JsonImage => ("JSON", "codec = \"json_image\" with image = \"/…\" reads a picture in it"),
            Self::DataUri => ("a data URI", "codec = \"jpeg_b64\" reads it"),
            Self::JpegInBase64 => ("a JPEG in base64", "codec = \"jpeg_b64\" reads it"),
            Self::Base64 => ("base64", "jpeg_b64 reads pictures; other contents must be sent as they are"),
            Self::JpegInHex => ("a JPEG in hexadecimal digits", "let the camera send bytes or base64"),
            Self::Video => ("a video", ONLY_JPEG),
            Self::Multipart => ("a multipart stream", "let the camera send one JPEG a message"),
            Self::NodeRedBuffer => (
                "a Node-RED Buffer",
                "send msg.payload itself, or use codec json or json_image with a pointer to the Buffer",
            ),
            Self::GitLfsPointer => ("a Git LFS pointer", "fetch the file with git lfs pull"),
            Self::Gzip => ("gzip", "send it uncompressed, or as an LZ4 block with compression = \"lz4\""),
            Self::Zlib => ("zlib", "send it uncompressed, or as an LZ4 block with compression = \"lz4\""),
            Self::Zstd => {
                ("Zstandard", "send it uncompressed, or as an LZ4 block with compression = \"lz4\"")
            }
            Self::Zip => ("a ZIP archive or an Excel file", "save it as CSV"),
            Self::OldOffice => ("an Excel file (.xls)", "save it as CSV"),
            Self::Parquet => ("a Parquet file", "save it as CSV"),
            Self::Lz4Frame => (
                "an LZ4 frame",
                "compression = \"lz4\" takes a block with its size in front (32 bits, little-endian)",
            ),
            Self::Utf16 => ("UTF-16", "let the sender write UTF-8"),
            Self::Senml => ("SenML", "codec = \"senml\" reads it"),
            Self::JsonLines => ("several JSON documents", "send an array, or one document a message"),
            Self::Json => ("JSON", "codec = \"json\" reads it"),
            Self::PythonDict => {
                ("JSON with single quotation marks", "JSON takes double ones: write it with json.dumps")
            }
            Self::Xml => ("XML", "let the sender write JSON"),
            Self::Html => ("HTML", "the sender got a page instead of its data"),
            Self::SparkplugB => {
                ("Sparkplug B", "it is not read: let the edge node publish JSON or SenML as well")
            }
            Self::Protobuf => ("protobuf", AS_TEXT),
            Self::Cbor => {
                ("CBOR", "SenML in CBOR is read by codec = \"senml\"; else let the sender write JSON")
            }
            Self::MessagePack => ("MessagePack", AS_TEXT),
            Self::LineProtocol => ("InfluxDB line protocol", "codec = \"line\" reads it"),
            Self::Csv => ("CSV", "send one value a message, or JSON"),
            Self::DecimalCommaInJson => {
                ("a decimal comma in JSON", "JSON takes a point, or the number in quotation marks")
            }
            Self::MemberWithoutValue => ("a member without a value", "null says that there is none"),
            Self::CommaTooMany => ("a comma too many", "behind the last member or element stands none"),
            Self::CutJson => {
                ("JSON that is cut off", "the sender's buffer or its MQTT library is too small for it")
            }
            Self::DecimalComma => ("a decimal comma", "decimal = \",\" in the source reads it"),
            Self::DecimalPoint => ("a number with a point", "decimal = \",\" takes a comma alone"),
            Self::CommaOrThousands => (
                "a decimal comma or a thousands separator",
                "decimal = \",\" in the source reads it as a decimal comma; thousands are written without a separator",
            ),
            Self::Thousands => {
                ("a number with a thousands separator", "thousands are written without a separator")
            }
            Self::NumberWithUnit => (
                "a number with a unit",
                "unit = \"…\" with the same text reads it; else let the sender leave the unit out",
            ),
            Self::Hexadecimal => ("a hexadecimal number", "let the sender write decimal digits"),
            Self::NotFinite => ("NaN or an infinity", "the sensor has no value"),
            Self::Number => ("a number", ""),
            Self::LocalTime => {
                ("a time without zone", "time.zone = \"Europe/Berlin\", or where the device is, reads it")
            }
            Self::OtherDate => {
                ("a date in another order", "write 2026-11-28T00:00:00Z, or a number since 1970")
            }
            Self::Word => ("a word", "words = { WORD = 1 } gives it a number"),
            Self::EmptyText => ("an empty text", "null, or no member, says that there is no value"),
        }
    }
}

/// `a PNG (only JPEG is read: …)`.
impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, remedy) = self.words();
        if remedy.is_empty() { f.write_str(what) } else { write!(f, "{what} ({remedy})") }
    }
}

/// Starts that tell a format apart by themselves.
const SIGNATURES: [(&[u8], Looks); 25] = [
    (b"\x89PNG\r\n", Looks::Png),
    (b"GIF87a", Looks::Gif),
    (b"GIF89a", Looks::Gif),
    (b"BM\0", Looks::Bmp),
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

#[cfg(test)]
mod tests;
