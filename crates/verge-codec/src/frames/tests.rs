//! One message in, the frame or the rejections out.

use ::base64::Engine as _;
use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder};
use verge_domain::frame::Orientation;
use verge_domain::id::DeviceId;
use verge_domain::stage::Decoder as _;
use verge_domain::time::UtcMillis;

use super::*;
use crate::settings::Compression;
use crate::settings::{DeviceRule, JsonImageSettings, TimeFormat, TimeRule};
use crate::testing::{RECEIVED, inbound};
use verge_lz4::Packer;

fn picture(width: u16, height: u16, colour: ColorType, samples: usize) -> Vec<u8> {
    let count = usize::from(width).saturating_mul(usize::from(height)).saturating_mul(samples);
    let pixels: Vec<u8> = (0..=u8::MAX).rev().step_by(7).cycle().take(count).collect();
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, 80).encode(&pixels, width, height, colour).unwrap();
    bytes
}

fn sample() -> Vec<u8> {
    picture(40, 24, ColorType::Rgb, 3)
}

fn source(codec: FrameCodec) -> FrameSourceSettings {
    FrameSourceSettings {
        codec,
        compression: Compression::None,
        device: DeviceRule::TopicLevel(0),
        max_payload_bytes: 100_000,
        max_pixels: 4096,
        accept_retained: false,
    }
}

fn decode(settings: &FrameSourceSettings, payload: &[u8]) -> Decoded<EncodedFrame> {
    let mut decoders = FrameDecoders::new(vec![Some(settings.clone())]).unwrap();
    let mut decoded = Decoded::default();
    decoders.decode(&inbound("cam", payload), &mut decoded);
    decoded
}

/// `device WxH` of the frame and the rejections, in words.
#[track_caller]
fn check(settings: &FrameSourceSettings, payload: &[u8], expected: &[&str]) {
    let decoded = decode(settings, payload);
    let frames = decoded.items.iter().map(|f| format!("{} {}x{}", f.device, f.width, f.height));
    let found: Vec<String> = frames.chain(decoded.rejections.iter().map(ToString::to_string)).collect();
    assert_eq!(found, expected);
}

/// An EXIF segment that says how to turn the picture, behind the start of image.
fn with_orientation(jpeg: &[u8], value: u8) -> Vec<u8> {
    let tiff =
        [&b"Exif\0\0MM\0*\0\0\0\x08"[..], &[0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, value, 0, 0, 0, 0, 0, 0]]
            .concat();
    let length = u16::try_from(tiff.len().saturating_add(2)).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &tiff, &jpeg[2..]].concat()
}

#[test]
fn a_jpeg_comes_as_it_is_or_wrapped() {
    let jpeg = sample();
    let text = ::base64::engine::general_purpose::STANDARD.encode(&jpeg);
    check(&source(FrameCodec::Jpeg), &jpeg, &["cam 40x24"]);
    check(&source(FrameCodec::Base64), text.as_bytes(), &["cam 40x24"]);
    check(&source(FrameCodec::Base64), format!("data:image/jpeg;base64,{text}").as_bytes(), &["cam 40x24"]);
    for (codec, payload) in [(FrameCodec::Jpeg, jpeg.as_slice()), (FrameCodec::Base64, text.as_bytes())] {
        let packed = FrameSourceSettings { compression: Compression::Lz4, ..source(codec) };
        check(&packed, Packer::default().pack(payload).unwrap(), &["cam 40x24"]);
        check(&packed, payload, &["lz4_too_large"]);
    }
    let decoded = decode(&source(FrameCodec::Jpeg), &jpeg);
    assert_eq!(decoded.items[0].bytes, Bytes::from(jpeg));
}

#[test]
fn the_payload_is_not_copied() {
    let message = inbound("cam", &sample());
    let mut decoders = FrameDecoders::new(vec![Some(source(FrameCodec::Jpeg))]).unwrap();
    let mut decoded = Decoded::default();
    decoders.decode(&message, &mut decoded);
    assert!(std::ptr::eq(decoded.items[0].bytes.as_ptr(), message.payload.as_ptr()));
}

#[test]
fn pictures_in_json_bring_their_device_and_time() {
    let json_image = |device| FrameSourceSettings {
        device,
        ..source(FrameCodec::Json(JsonImageSettings {
            image: "/frame/image".to_owned(),
            time: Some(TimeRule { pointer: "/ts".to_owned(), format: TimeFormat::UnixMs, zone: None }),
        }))
    };
    let text = ::base64::engine::general_purpose::STANDARD.encode(sample());
    let escaped = text.replace('/', "\\/");
    let settings = json_image(DeviceRule::Pointer("/dev/0".to_owned()));
    let message = format!(r#"{{"dev":["esp-7"],"ts":1700000000001,"frame":{{"w":40,"image":"{escaped}"}}}}"#);
    check(&settings, message.as_bytes(), &["esp-7 40x24"]);
    assert_eq!(decode(&settings, message.as_bytes()).items[0].captured_at, Some(UtcMillis(RECEIVED.0 + 1)));

    let fixed = json_image(DeviceRule::Fixed(DeviceId::new("d").unwrap()));
    let part = |rest: &str| format!(r#"{{{rest}"frame":{{"image":"{text}"}}}}"#);
    check(&fixed, part(r#""ts":"x","#).as_bytes(), &["d 40x24", "bad_time at /ts"]);
    check(&fixed, part("").as_bytes(), &["d 40x24", "missing_field at /ts"]);
    check(&settings, part("").as_bytes(), &["missing_device at /dev/0"]);
    check(&fixed, br#"{"frame":{}}"#, &["missing_field at /frame/image"]);
    check(&fixed, br#"{"frame":{"image":7}}"#, &["bad_base64 at /frame/image"]);
    check(&fixed, br#"{"frame":{"image":"!"}}"#, &["bad_base64 at /frame/image"]);
    check(&fixed, br#"{"frame":{"image":"AAAA"}}"#, &["bad_jpeg"]);
    check(&fixed, br#"{"frame":{"image":"AA"#, &["bad_json"]);
    check(&fixed, b"\xff\xd8", &["not_utf8"]);
}

#[test]
fn bytes_that_node_red_has_turned_to_json_are_a_picture() {
    let jpeg = sample();
    let buffer = format!(r#"{{"type":"Buffer","data":{:?}}}"#, jpeg).replace(' ', "");
    let json =
        |image: &str| source(FrameCodec::Json(JsonImageSettings { image: image.to_owned(), time: None }));
    for codec in [FrameCodec::Jpeg, FrameCodec::Base64] {
        check(&source(codec), buffer.as_bytes(), &["cam 40x24"]);
    }
    check(&json(""), buffer.as_bytes(), &["cam 40x24"]);
    let inside = |image: &str| format!(r#"{{"n":nan,"image":{image}}}"#);
    check(&json("/image"), inside(&buffer).replace("nan", "1").as_bytes(), &["cam 40x24"]);
    check(&json("/image"), inside(&buffer).as_bytes(), &["cam 40x24"]);
    let spaced = buffer.replace(',', ", ");
    check(&json("/image"), inside(&spaced).as_bytes(), &["cam 40x24"]);
    for other in [r#"{"type":"Buffer","data":[256]}"#, r#"{"type":"Buffer"}"#, "[1,2]", "17"] {
        check(&json("/image"), inside(other).as_bytes(), &["bad_base64 at /image"]);
    }
}

#[test]
fn a_picture_that_is_refused_says_what_it_looks_like() {
    use verge_domain::looks::Looks;
    let text = ::base64::engine::general_purpose::STANDARD.encode(sample());
    let check = |codec: FrameCodec, payload: &[u8], shown: &str, looks: Option<Looks>| {
        let decoded = decode(&source(codec), payload);
        let [rejection] = &decoded.rejections[..] else { panic!("{:?}", decoded.rejections) };
        assert!(rejection.came.to_string().starts_with(shown), "{}", rejection.came);
        assert_eq!(rejection.looks(), looks);
    };
    check(FrameCodec::Jpeg, text.as_bytes(), "`/9j/", Some(Looks::JpegInBase64));
    check(FrameCodec::Base64, &sample(), "ff d8 ff", Some(Looks::Jpeg));
    check(FrameCodec::Jpeg, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "89 50 4e 47", Some(Looks::Png));
    // In base64 or not.
    check(FrameCodec::Base64, b"iVBORw0KGgoAAAANSUhEUg==", "89 50 4e 47", Some(Looks::Png));
    check(FrameCodec::Jpeg, br#"{"image":"/9j/"}"#, "`{\"image\"", Some(Looks::JsonImage));
    check(FrameCodec::Base64, br#"{"image":"/9j/"}"#, "`{\"image\"", Some(Looks::JsonImage));
    check(FrameCodec::Jpeg, &sample()[..60], "ff d8 ff", Some(Looks::CutJpeg));
}

#[test]
fn a_cut_picture_is_refused_at_every_offset() {
    let jpeg = sample();
    let mut decoders = FrameDecoders::new(vec![Some(source(FrameCodec::Jpeg))]).unwrap();
    let mut decoded = Decoded::default();
    for end in 0..jpeg.len() {
        decoders.decode(&inbound("cam", &jpeg[..end]), &mut decoded);
        let expected = if end == 0 { Reason::Empty } else { Reason::BadJpeg };
        assert!(decoded.items.is_empty() && decoded.rejections[0].reason == expected, "cut at {end}");
    }
    // The end of a thumbnail in the headers is not that of the picture.
    let thumbnail = u16::try_from(jpeg.len().saturating_add(2)).unwrap().to_be_bytes();
    let nested = [&jpeg[..2], &[0xff, 0xe2], &thumbnail, &jpeg, &jpeg[2..]].concat();
    check(&source(FrameCodec::Jpeg), &nested, &["cam 40x24"]);
    check(&source(FrameCodec::Jpeg), &nested[..nested.len().saturating_sub(2)], &["bad_jpeg"]);
    // What devices append does no harm.
    check(&source(FrameCodec::Jpeg), &[&jpeg[..], b"\0\0\0trailer"].concat(), &["cam 40x24"]);
}

#[test]
fn a_cut_picture_is_refused_though_it_was_closed() {
    let closed = |jpeg: &[u8], end: usize| {
        let decoded = decode(&source(FrameCodec::Jpeg), &[&jpeg[..end], &[0xff, 0xd9]].concat());
        (decoded.items.len(), decoded.rejections.len())
    };
    let jpeg = sample();
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    // Within the headers it is seen here; within the data of the scan where that is decoded.
    for end in 3..scan.saturating_add(2) {
        assert_eq!(closed(&jpeg, end), (0, 1), "cut at {end}");
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/pictures/");
    let progressive = std::fs::read(format!("{folder}progressive.jpg")).unwrap();
    let segments = |marker: u8| {
        let found = move |pair: &[u8]| pair == [0xff, marker];
        progressive.windows(2).enumerate().filter(move |(_, pair)| found(pair)).map(|(at, _)| at)
    };
    let first_scan = segments(0xda).next().unwrap();
    for tables in segments(0xc4).filter(|at| *at > first_scan) {
        let length = u16::from_be_bytes([progressive[tables + 2], progressive[tables + 3]]);
        for end in tables + 3..=tables + 2 + usize::from(length) {
            assert_eq!(closed(&progressive, end), (0, 1), "tables cut at {end}");
        }
    }
}

#[test]
fn what_is_appended_is_cut_off() {
    let jpeg = sample();
    let check = |appended: &[u8]| {
        let decoded = decode(&source(FrameCodec::Jpeg), &[&jpeg[..], appended].concat());
        assert_eq!(decoded.items[0].bytes, Bytes::from(jpeg.clone()), "{appended:?}");
    };
    check(b"\0\0\0trailer");
    check(&jpeg);
    check(&[0xff, 0xd9]);
    // Fill in front of the end, and a comment, are part of it.
    let end = jpeg.len().saturating_sub(2);
    for inside in [&[0xff, 0xff][..], &[0xff, 0xfe, 0, 4, 0xff, 0xd9]] {
        let whole = [&jpeg[..end], inside, &jpeg[end..]].concat();
        let decoded = decode(&source(FrameCodec::Jpeg), &whole);
        assert_eq!(decoded.items[0].bytes, Bytes::from(whole), "{inside:?}");
    }
}

#[test]
fn each_component_has_a_scan() {
    let jpeg = sample();
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    // The header of a scan of the first component alone, in place of that of three.
    let single = |identifiers: &[u8]| -> Vec<u8> {
        let scans =
            identifiers.iter().flat_map(|identifier| [0xff, 0xda, 0, 8, 1, *identifier, 0, 0, 63, 0, 0x55]);
        [&jpeg[..scan], &scans.collect::<Vec<u8>>(), &[0xff, 0xd9]].concat()
    };
    let first = jpeg[scan + 5];
    let of = |last: u8| (first..=last).collect::<Vec<u8>>();
    check(&source(FrameCodec::Jpeg), &single(&of(first + 2)), &["cam 40x24"]);
    check(&source(FrameCodec::Jpeg), &single(&of(first + 1)), &["bad_jpeg"]);
    check(&source(FrameCodec::Jpeg), &single(&of(first)), &["bad_jpeg"]);
}

#[test]
fn announced_pixels_are_bounded_before_any_is_decoded() {
    let codec = || source(FrameCodec::Jpeg);
    let jpeg = sample();
    check(&FrameSourceSettings { max_pixels: 960, ..codec() }, &jpeg, &["cam 40x24"]);
    check(&FrameSourceSettings { max_pixels: 959, ..codec() }, &jpeg, &["too_many_pixels"]);
    // A header that announces 65,535 x 65,535 pixels.
    let sof = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let mut bomb = jpeg.clone();
    bomb[sof + 5..sof + 9].fill(0xff);
    check(&codec(), &bomb, &["too_many_pixels"]);
    let mut flat = jpeg.clone();
    flat[sof + 5..sof + 7].fill(0);
    check(&codec(), &flat, &["bad_jpeg"]);
    let mut deep = jpeg.clone();
    deep[sof + 4] = 12;
    check(&codec(), &deep, &["unsupported_image"]);
    // Lossless, hierarchical, arithmetic.
    for marker in [0xc3, 0xc5, 0xc9, 0xcf] {
        let mut other = jpeg.clone();
        other[sof + 1] = marker;
        check(&codec(), &other, &["unsupported_image"]);
    }
    check(&codec(), b"\x89PNG\r\n\x1a\n", &["bad_jpeg"]);
    check(&FrameSourceSettings { max_payload_bytes: 99, ..codec() }, &sample(), &["too_large"]);
    assert!(FrameDecoders::new(vec![Some(FrameSourceSettings { max_pixels: 0, ..codec() })]).is_err());
}

#[test]
fn grey_and_cmyk_pictures_are_pictures() {
    check(&source(FrameCodec::Jpeg), &picture(16, 8, ColorType::Luma, 1), &["cam 16x8"]);
    check(&source(FrameCodec::Jpeg), &picture(16, 8, ColorType::Cmyk, 4), &["cam 16x8"]);
}

#[test]
fn orientation_is_read_from_exif() {
    for value in 0..10 {
        let decoded = decode(&source(FrameCodec::Jpeg), &with_orientation(&sample(), value));
        assert_eq!(decoded.items[0].orientation, Orientation::from_exif(u32::from(value)), "{value}");
    }
}

#[test]
fn pictures_of_another_program_are_read() {
    let file = |name: String| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/pictures/");
        std::fs::read(format!("{folder}{name}.jpg")).unwrap()
    };
    for value in 1..=8 {
        let decoded = decode(&source(FrameCodec::Jpeg), &file(format!("orientation_{value}")));
        let [frame] = &decoded.items[..] else { panic!("{:?}", decoded.rejections) };
        assert_eq!(frame.orientation, Orientation::from_exif(value));
        let stored = if value >= 5 { (32, 48) } else { (48, 32) };
        assert_eq!((frame.width, frame.height), stored, "{value}");
    }
    for name in ["progressive", "subsampled", "cmyk", "grey"] {
        let whole = file(name.to_owned());
        check(&source(FrameCodec::Jpeg), &whole, &["cam 24x16"]);
        for end in 1..whole.len() {
            let decoded = decode(&source(FrameCodec::Jpeg), &whole[..end]);
            assert!(decoded.items.is_empty() && decoded.rejections.len() == 1, "{name} cut at {end}");
        }
    }
}

#[test]
fn what_the_broker_kept_is_not_news() {
    let kept = Inbound { retained: true, ..inbound("cam", &sample()) };
    let tolerant = FrameSourceSettings { accept_retained: true, ..source(FrameCodec::Jpeg) };
    for (settings, frames) in [(source(FrameCodec::Jpeg), 0), (tolerant, 1)] {
        let mut decoders = FrameDecoders::new(vec![Some(settings)]).unwrap();
        let mut decoded = Decoded::default();
        decoders.decode(&kept, &mut decoded);
        assert_eq!(decoded.items.len(), frames);
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_and_damaged_bytes_never_panic(at in 0usize..700, value: u8, junk in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut jpeg = sample();
        let at = at.min(jpeg.len().saturating_sub(1));
        jpeg[at] = value;
        for codec in [FrameCodec::Jpeg, FrameCodec::Base64] {
            decode(&source(codec.clone()), &jpeg);
            decode(&source(codec), &junk);
        }
        let json = || FrameCodec::Json(JsonImageSettings { image: "/image".to_owned(), time: None });
        let text = ::base64::engine::general_purpose::STANDARD.encode(&jpeg);
        decode(&source(json()), format!(r#"{{"image":"{text}"}}"#).as_bytes());
        decode(&source(json()), &[&br#"{"image":""#[..], &junk, br#""}"#].concat());
    }
}
