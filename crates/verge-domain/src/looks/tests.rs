use super::*;

#[track_caller]
fn check(bytes: &[u8], expected: Option<Looks>) {
    assert_eq!(Looks::of(bytes, true), expected, "{:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn formats_are_distinguished_by_their_start() {
    let known: [(&[u8], Looks); 41] = [
        (b"\x7fELF\x02\x01\x01\0", Looks::Program),
        (b"MZ\x90\0\x03\0\0\0", Looks::Program),
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01", Looks::Program),
        (b"\0asm\x01\0\0\0", Looks::Program),
        (b"7z\xbc\xaf\x27\x1c\0\x04", Looks::Archive),
        (b"BZh91AY&SY", Looks::Archive),
        (b"%PDF-1.7\n", Looks::Pdf),
        (b"SQLite format 3\0\x10\0", Looks::Database),
        (b"\x89HDF\r\n\x1a\n", Looks::Arrays),
        (b"\x93NUMPY\x01\0v\0", Looks::Arrays),
        (b"RIFF\x24\0\0\0WAVEfmt ", Looks::Sound),
        (b"OggS\0\x02\0\0", Looks::Sound),
        (b"\xd4\xc3\xb2\xa1\x02\0\x04\0", Looks::Capture),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Looks::Png),
        (b"GIF89a\x01\0", Looks::Gif),
        (b"BM\x36\x84\x03\0\0\0\0\0\x36\0", Looks::Bmp),
        (b"RIFF\x10\0\0\0WEBPVP8 ", Looks::WebP),
        (b"\0\0\0\x18ftypheic\0\0", Looks::HeicOrAvif),
        (b"\0\0\0\x18ftypisom\0\0", Looks::Video),
        (b"\0\0\0\x01\x67\x42\0\x1f", Looks::Video),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", Looks::Jpeg),
        (b"/9j/4AAQSkZJRg", Looks::JpegInBase64),
        (b"\"/9j/4AAQSkZJRg\"", Looks::JpegInBase64),
        (b"ffd8ffe000104a464946", Looks::JpegInHex),
        (b"data:image/jpeg;base64,/9j/", Looks::DataUri),
        (b"--frame\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8", Looks::Multipart),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", Looks::GitLfsPointer),
        (b"\x1f\x8b\x08\0\0\0\0\0", Looks::Gzip),
        (b"\x78\x9c\xab\x56\x2a\x53", Looks::Zlib),
        (b"\x28\xb5\x2f\xfd\x04\x00", Looks::Zstd),
        (b"\x04\x22\x4d\x18\x64\x40", Looks::Lz4Frame),
        (b"PK\x03\x04\x14\0", Looks::Zip),
        (b"\xff\xfe1\x008\x00,\x004\x00", Looks::Utf16),
        (b"1\x008\x00.\x004\x00", Looks::Utf16),
        (b"\0{\0\"\0v\0\"", Looks::Utf16),
        (b"<Reading v=\"18.4\"/>", Looks::Xml),
        (b"<!DOCTYPE html><html>", Looks::Html),
        (br#"{"type":"Buffer","data":[49,56]}"#, Looks::NodeRedBuffer),
        (br#"{ "type": "Buffer", "data": [ 49 ] }"#, Looks::NodeRedBuffer),
        (br#"[{"n":"t","v":18.4}]"#, Looks::Senml),
        (br#"{"t":18.4}"#, Looks::Json),
    ];
    for (bytes, looks) in known {
        check(bytes, Some(looks));
    }
    check(b"{\"t\":1}\n{\"t\":2}\n", Some(Looks::JsonLines));
    check(b"{'t': 18.4, 'on': True}", Some(Looks::PythonDict));
    check(b"pump,host=a t=18.4 1700000000", Some(Looks::LineProtocol));
    check(b"pump t=18.4,u=2i", Some(Looks::LineProtocol));
    check(b"t;18,4;19,1", Some(Looks::Csv));
    check(b"18.4,18.6,18.9", Some(Looks::Csv));
    check(b"time,t\n2026,18.4", Some(Looks::Csv));
    check(b"MZ", Some(Looks::Word));
    check(b"VGhlIHF1aWNrIGJyb3duIGZveCA0Mg==", Some(Looks::Base64));
}

#[test]
fn binary_forms_are_guessed_from_their_first_items() {
    // {"t": 18.5}, in both.
    check(b"\xa1\x61t\xf9\x4c\xa0", Some(Looks::Cbor));
    check(b"\x81\xa1t\xcb\x40\x32\x80\0\0\0\0\0", Some(Looks::MessagePack));
    // [{0: "t", 2: 18.5}], as SenML has it.
    check(b"\x81\xa2\x00\x61t\x02\xf9\x4c\xa0", Some(Looks::Cbor));
    // A timestamp, a metric and a sequence number.
    check(b"\x08\xb0\xe5\xd2\xba\xac\x33\x12\x04\x0a\x02ab\x18\x07", Some(Looks::SparkplugB));
    check(b"\x0a\x03abc\x15\0\0\x94\x41", Some(Looks::Protobuf));
    check(&[0xc3, 0x28, 0xa0, 0xa1], None);
    // Cut off within a field: it may continue.
    assert_eq!(Looks::of(b"\x0a\x03abc\x12\x80\x01abc\xff\xfe", false), Some(Looks::Protobuf));
    assert_eq!(Looks::of(b"\x0a\x03abc\x12\x80\x01abc\xff\xfe", true), None);
}

#[test]
fn numbers_that_are_none_are_explained() {
    for (text, looks) in [
        ("18,4", Looks::DecimalComma),
        ("-0,125", Looks::DecimalComma),
        ("\"18,4\"", Looks::DecimalComma),
        ("18,4 °C", Looks::DecimalComma),
        ("1,234", Looks::CommaOrThousands),
        ("1,234.5", Looks::Thousands),
        ("1.234,5", Looks::Thousands),
        ("1,234,567", Looks::Thousands),
        ("1.234.567", Looks::Thousands),
        ("1 234", Looks::Thousands),
        ("1'234.5", Looks::Thousands),
        ("1\u{202f}234,5", Looks::Thousands),
        ("18.4 °C", Looks::NumberWithUnit),
        ("45%", Looks::NumberWithUnit),
        ("1.2 kW", Looks::NumberWithUnit),
        ("0x1F", Looks::Hexadecimal),
        ("nan", Looks::NotFinite),
        ("-Infinity", Looks::NotFinite),
        ("18.4", Looks::Number),
        ("\"18.4\"", Looks::Number),
        ("2026-11-28T00:00:00", Looks::LocalTime),
        ("2026-11-28 00:00", Looks::LocalTime),
        ("28.11.2026 00:00:00", Looks::OtherDate),
        ("11/28/2026 12:00 AM", Looks::OtherDate),
        ("open", Looks::Word),
        ("\"door open\"", Looks::Word),
        ("\"\"", Looks::EmptyText),
    ] {
        check(text.as_bytes(), Some(looks));
    }
    check(b"12:30", None);
    check("?".repeat(20).as_bytes(), None);
    check(b"", None);
}

#[test]
fn faults_of_json_are_explained() {
    let check = |around: &str, expected: Option<Looks>| {
        assert_eq!(Looks::of_bad_json(around, true), expected, "{around}");
    };
    check(r#"{"t":18,4}"#, Some(Looks::DecimalCommaInJson));
    check(r#"{"t": -18,4, "h":40}"#, Some(Looks::DecimalCommaInJson));
    check(r#"{"t":,"h":40}"#, Some(Looks::MemberWithoutValue));
    check(r#"{"t": }"#, Some(Looks::MemberWithoutValue));
    check(r#"{"t":18,}"#, Some(Looks::CommaTooMany));
    check(r#"{"t":18,"h"#, Some(Looks::CutJson));
    check(r#"{"t":18 "h":4}"#, None);
}

#[test]
fn each_guess_is_a_thing_and_what_to_do() {
    assert_eq!(Looks::Png.to_string(), "a PNG (only JPEG is read: let the camera send JPEG)");
    assert_eq!(Looks::Number.to_string(), "a number");
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..state % 65)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        for whole in [true, false] {
            let looks = Looks::of(&bytes, whole);
            assert!(looks.is_none_or(|looks| !looks.as_str().is_empty()));
        }
    }
}
