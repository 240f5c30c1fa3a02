//! Whatever arrives: a picture or a counted refusal, never a panic.

use std::fs;

use proptest::prelude::*;
use verge_domain::rejection::Reason;
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
    let encoder = jpeg_encoder::Encoder::new(&mut grey, 80);
    encoder.encode(&pixels, 24, 16, jpeg_encoder::ColorType::Luma).unwrap();
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
fn a_cut_picture_never_panics() {
    let mut picture = Picture::new();
    for (kind, bytes) in kinds() {
        picture.decode(&frame(bytes.clone(), 24, 16)).unwrap();
        let scan = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
        for end in 0..bytes.len() {
            match picture.decode(&frame(bytes[..end].to_vec(), 24, 16)) {
                Err(error) => assert_eq!(error.reason(), Reason::BadJpeg, "{kind} cut at {end}: {error}"),
                // The codec has looked for the end before; the decoder notices its lack only between rows of blocks.
                Ok(()) => assert!(end > scan, "{kind} cut at {end} of {}", bytes.len()),
            }
        }
    }
}

#[test]
fn only_the_size_that_was_stated_is_decoded() {
    let mut picture = Picture::new();
    let bytes = sample();
    for (width, height) in [(16, 24), (24, 17), (0, 0), (0, 16), (65_535, 65_535)] {
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
        let whole = [&[0xff, 0xd8, 0xff][..], &bytes].concat();
        prop_assert!(Picture::new().decode(&frame(bytes, 24, 16)).is_err());
        drop(Picture::new().decode(&frame(whole, 24, 16)));
    }
}
