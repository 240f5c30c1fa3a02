//! Whatever arrives: a picture or a counted refusal, never a panic.

use std::fs;

use jpeg_encoder::{ColorType, SamplingFactor as Factor};
use proptest::prelude::*;
use verge_domain::frame::{EncodedFrame, Orientation};
use verge_domain::rejection::Reason;
use verge_vision::picture::MAX_BYTES;
use verge_vision::{Picture, PictureError};

use crate::frames::{frame, jpeg};
use crate::support::fixtures;

fn sample() -> Vec<u8> {
    jpeg(24, 16, |x, y| [(x * 10) as u8, (y * 15) as u8, (x * y) as u8])
}

/// Every kind there is, each of 24 x 16 pixels.
fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    let file = |name| (name, fs::read(fixtures("pictures").join(name)).unwrap());
    let pixels: Vec<u8> = (0..24 * 16).map(|at| (at % 251) as u8).collect();
    let mut grey = Vec::new();
    let encoder = Encoder::new(&mut grey, 80);
    encoder.encode(&pixels, 24, 16, ColorType::Luma).unwrap();
    vec![
        ("baseline", sample()),
        ("grey of our encoder", grey),
        file("grey.jpg"),
        file("subsampled.jpg"),
        file("progressive.jpg"),
        file("cmyk.jpg"),
    ]
}

#[test]
fn every_kind_is_decoded() {
    let mut picture = Picture::new();
    let mut at = |name: &str, x: usize| {
        let bytes = fs::read(fixtures("pictures").join(name)).unwrap();
        picture.decode(&frame(bytes, 24, 16)).unwrap();
        let pixel = &picture.rgb()[(8 * 24 + x) * 3..][..3];
        [pixel[0], pixel[1], pixel[2]]
    };
    let is_near = |found: [u8; 3], expected: [u8; 3]| {
        let near = found.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) < 24);
        assert!(near, "{found:?} is not {expected:?}");
    };
    for name in ["subsampled.jpg", "progressive.jpg", "cmyk.jpg"] {
        is_near(at(name, 3), [200, 30, 30]);
        is_near(at(name, 20), [30, 30, 200]);
    }
    // Luma of both.
    is_near(at("grey.jpg", 3), [81; 3]);
    is_near(at("grey.jpg", 20), [49; 3]);
}

#[test]
fn a_cut_picture_is_refused_at_every_offset() {
    let mut picture = Picture::new();
    for (kind, bytes) in kinds() {
        picture.decode(&frame(bytes.clone(), 24, 16)).unwrap();
        for end in 0..bytes.len() {
            let error = picture.decode(&frame(bytes[..end].to_vec(), 24, 16)).unwrap_err();
            assert_eq!(error.reason(), Reason::BadJpeg, "{kind} cut at {end}: {error}");
        }
    }
}

type Encoder<'a> = jpeg_encoder::Encoder<&'a mut Vec<u8>>;

/// A picture of 320 x 240 pixels with something in each block, by these settings of the encoder.
fn coded(colour: ColorType, set: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let samples = 320 * 240 * if colour == ColorType::Luma { 1 } else { 3 };
    let pixels: Vec<u8> = (0..samples).map(|at: u32| (at.wrapping_mul(at) % 251) as u8).collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 60);
    set(&mut encoder);
    encoder.encode(&pixels, 320, 240, colour).unwrap();
    bytes
}

/// Structures that encoders make, each with its number for messages.
fn structures() -> Vec<(String, Vec<u8>)> {
    let mut found = vec![("grey".to_owned(), coded(ColorType::Luma, |_| {}))];
    for factor in [Factor::F_1_1, Factor::F_2_1, Factor::F_1_2, Factor::F_2_2, Factor::F_4_1] {
        // Restarts after a number of units that divides theirs, and one that does not. (zune-jpeg 0.5.15 loses its way in
        // pictures of 4:1:1 with restarts after 7 units, which the check below refuses.)
        for (is_progressive, restarts) in [(false, 0), (false, 1), (false, 6), (true, 0), (true, 5)] {
            let coded = coded(ColorType::Rgb, |encoder| {
                encoder.set_sampling_factor(factor);
                encoder.set_progressive(is_progressive);
                encoder.set_restart_interval(restarts);
            });
            found.push((format!("{factor:?}, progressive: {is_progressive}, restarts: {restarts}"), coded));
        }
    }
    // With Huffman codes of its own this encoder makes a scan for each component.
    for factor in [Factor::F_1_1, Factor::F_2_1] {
        let coded = coded(ColorType::Rgb, |encoder| {
            encoder.set_sampling_factor(factor);
            encoder.set_optimized_huffman_tables(true);
        });
        found.push((format!("{factor:?} by component"), coded));
    }
    found
}

#[test]
fn data_that_ends_early_is_refused_though_it_was_closed() {
    let mut picture = Picture::new();
    for (kind, bytes) in structures() {
        picture.decode(&frame(bytes.clone(), 320, 240)).unwrap_or_else(|error| panic!("{kind}: {error}"));
        // Behind the headers of the first scan, where all that follows is data.
        let last = bytes.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap() + 14;
        let left = bytes.len() - last;
        for cut in [0, left / 3, left / 2, left * 2 / 3, left - 8] {
            let closed = [&bytes[..last + cut], &[0xff, 0xd9]].concat();
            let error = picture.decode(&frame(closed, 320, 240)).expect_err(&kind);
            assert_eq!(error.reason(), Reason::BadJpeg, "{kind}, cut at {cut} of {left}");
        }
    }
}

#[test]
fn what_stands_before_the_end_does_no_harm() {
    let mut picture = Picture::new();
    for (kind, bytes) in structures() {
        let end = bytes.len() - 2;
        for between in [&[0xff; 3][..], &[0; 5], &[0xff, 0xfe, 0, 4, 0xff, 0xd9]] {
            let whole = [&bytes[..end], between, &bytes[end..]].concat();
            picture
                .decode(&frame(whole, 320, 240))
                .unwrap_or_else(|error| panic!("{kind} {between:?}: {error}"));
        }
    }
}

/// Webcams leave out the Huffman codes that all of them use.
#[test]
fn usual_huffman_codes_may_be_left_out() {
    let mut picture = Picture::new();
    for (kind, mut bytes) in structures() {
        if kind.contains("progressive: true") || kind.contains("by component") {
            continue;
        }
        picture.decode(&frame(bytes.clone(), 320, 240)).unwrap();
        let expected = picture.rgb().to_vec();
        while let Some(at) = bytes.windows(2).position(|pair| pair == [0xff, 0xc4]) {
            let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
            bytes.drain(at..at + 2 + length);
        }
        picture.decode(&frame(bytes, 320, 240)).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert!(picture.rgb() == expected, "{kind}");
    }
}

#[test]
fn what_the_decoder_would_mistake_is_refused() {
    let coded = fs::read(fixtures("pictures").join("by_component.jpg")).unwrap();
    let error = Picture::new().decode(&frame(coded, 24, 16)).unwrap_err();
    assert!(matches!(error, PictureError::ByComponent), "{error}");
    assert_eq!(error.reason(), Reason::UnsupportedImage);
}

/// Sixteen megapixels in some kilobytes, as a progressive picture and turned by its headers.
#[test]
fn memory_is_bounded_before_it_is_taken() {
    const SIDE: u16 = 4096;
    let pixels = vec![99; usize::from(SIDE) * usize::from(SIDE) * 3];
    let coded = |is_progressive: bool| {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 50);
        encoder.set_sampling_factor(Factor::F_2_2);
        encoder.set_progressive(is_progressive);
        encoder.encode(&pixels, SIDE, SIDE, ColorType::Rgb).unwrap();
        frame(bytes, SIDE.into(), SIDE.into())
    };
    let (plain, progressive) = (coded(false), coded(true));
    let mut picture = Picture::new();
    let error = picture.decode(&progressive).unwrap_err();
    assert!(matches!(error, PictureError::Memory { limit: MAX_BYTES, .. }), "{error}");
    assert_eq!(error.reason(), Reason::TooManyPixels);
    assert!(picture.rgb().is_empty());
    Picture::within(1 << 30).decode(&progressive).unwrap();
    // There is no room for a second buffer to turn it into.
    picture.decode(&EncodedFrame { orientation: Orientation::Turned90, ..plain.clone() }).unwrap();
    assert_eq!(picture.rgb().len(), pixels.len());
    picture.decode(&plain).unwrap();
}

#[test]
fn only_the_size_that_was_stated_is_decoded() {
    let mut picture = Picture::new();
    let bytes = sample();
    for (width, height) in [(16, 24), (24, 17), (0, 0), (0, 16), (400, 400)] {
        let error = picture.decode(&frame(bytes.clone(), width, height)).unwrap_err();
        assert!(matches!(error, PictureError::Size { .. }), "{width}x{height}: {error}");
        assert_eq!(error.reason(), Reason::BadJpeg);
    }
    // The file itself claims 65,535 x 65,535 pixels.
    let mut bomb = bytes.clone();
    let size = bomb.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap() + 5;
    bomb[size..size + 4].fill(0xff);
    assert!(matches!(picture.decode(&frame(bomb, 24, 16)), Err(PictureError::Size { .. })));
    // Twelve bits a sample.
    let mut deep = bytes.clone();
    deep[size - 1] = 12;
    assert!(picture.decode(&frame(deep, 24, 16)).is_err());
    // Lossless and arithmetic coding.
    for marker in [0xc3, 0xc9] {
        let mut other = bytes.clone();
        other[size - 4] = marker;
        assert!(picture.decode(&frame(other, 24, 16)).is_err(), "{marker:x}");
    }
    // What was there before does no harm to what comes next.
    picture.decode(&frame(bytes, 24, 16)).unwrap();
    assert_eq!(picture.rgb().len(), 24 * 16 * 3);
}

#[test]
fn scans_without_end_are_refused() {
    let bytes = fs::read(fixtures("pictures").join("progressive.jpg")).unwrap();
    let last = bytes.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let (front, scan) = (&bytes[..last], &bytes[last..bytes.len() - 2]);
    let with = |scans: usize| [front, &scan.repeat(scans), &[0xff, 0xd9]].concat();
    let mut picture = Picture::new();
    picture.decode(&frame(with(1), 24, 16)).unwrap();
    let error = picture.decode(&frame(with(100), 24, 16)).unwrap_err();
    assert_eq!(error.reason(), Reason::BadJpeg);
}

proptest! {
    #[test]
    fn damaged_pictures_never_panic(
        kind in 0usize..6,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (_, mut bytes) = kinds().swap_remove(kind);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        drop(Picture::new().decode(&frame(bytes, 24, 16)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let whole = [&[0xff, 0xd8, 0xff][..], &bytes, &[0xff, 0xd9]].concat();
        prop_assert!(Picture::new().decode(&frame(bytes, 24, 16)).is_err());
        drop(Picture::new().decode(&frame(whole, 24, 16)));
    }
}
