//! What bytes look like that were not what was expected: a guess, from a closed list, with what to do about it.

use std::fmt;

mod guess;

/// What bytes look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Looks {
    /// A PNG.
    Png,
    /// A GIF.
    Gif,
    /// A BMP.
    Bmp,
    /// A WebP.
    WebP,
    /// A TIFF.
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
    /// gzip (RFC 1952).
    Gzip,
    /// zlib (RFC 1950).
    Zlib,
    /// Zstandard (RFC 8878).
    Zstd,
    /// Also the newer spreadsheets.
    Zip,
    /// The older spreadsheets.
    OldOffice,
    /// Columns on disk.
    Parquet,
    /// ELF, PE, Mach-O, WebAssembly.
    Program,
    /// 7z, xz, bzip2, RAR.
    Archive,
    /// A PDF.
    Pdf,
    /// SQLite.
    Database,
    /// HDF5, also of MATLAB; NumPy.
    Arrays,
    /// WAV, FLAC, Ogg, MP3.
    Sound,
    /// Packets as Wireshark records them.
    Capture,
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
    /// What it is, with an article.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.words().0
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
            Self::Program => ("a program or a library", "name the file that holds the values"),
            Self::Archive => ("an archive", "unpack it"),
            Self::Pdf => ("a PDF", "save the values as CSV"),
            Self::Database => ("an SQLite database", "save the table as CSV"),
            Self::Arrays => ("a file of arrays (HDF5, MATLAB, NumPy)", "save them as CSV"),
            Self::Sound => ("a sound file", "save its samples as CSV, or send them as numbers"),
            Self::Capture => ("a capture of network packets", "record the messages with mosquitto_sub"),
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

#[cfg(test)]
mod tests;
