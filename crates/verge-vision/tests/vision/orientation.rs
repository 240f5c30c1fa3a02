//! EXIF orientations end to end: pictures that another program stored turned are seen upright, and boxes come in
//! upright coordinates.

use std::fs;

use verge_domain::frame::{EncodedFrame, Orientation};
use verge_vision::{Memory, Picture};

use crate::frames::{frame, judge, view, viewer};
use crate::support::{card, fixtures, load};

/// 48 x 32 as seen, with corners in red, green, blue and white.
fn stored(value: u32) -> EncodedFrame {
    let bytes = fs::read(fixtures("pictures").join(format!("orientation_{value}.jpg"))).unwrap();
    let (width, height) = if value >= 5 { (32, 48) } else { (48, 32) };
    EncodedFrame { orientation: Orientation::from_exif(value), ..frame(bytes, width, height) }
}

#[test]
fn pictures_are_seen_upright() {
    let mut picture = Picture::new();
    for value in 1..=8 {
        picture.decode(&stored(value)).unwrap();
        assert_eq!((picture.width(), picture.height()), (48, 32), "{value}");
        let corners = [(4, 4), (44, 4), (4, 28), (44, 28)].map(|(x, y)| {
            let pixel = &picture.rgb()[(y * 48 + x) * 3..][..3];
            [pixel[0] > 128, pixel[1] > 128, pixel[2] > 128]
        });
        let expected = [[true, false, false], [false, true, false], [false, false, true], [true; 3]];
        assert_eq!(corners, expected, "{value}");
    }
}

#[test]
fn boxes_are_upright() {
    // Objectness is the mean of red, the first class that of green: only the white corner is an object.
    let input = "layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"\n\
                 scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]";
    let output = "decoder = \"yolox\"\nstrides = [8, 16, 32]\nscore = 0.5";
    let mut viewer = viewer(load(&card("yolox", input, output), &["a", "b"]).unwrap(), judge());
    for value in 1..=8 {
        let found = view(&mut viewer, &stored(value), &mut Memory::default()).unwrap();
        // The lower right quarter: cells of 12 x 8 pixels of the frame, two by two.
        let mut places: Vec<&str> = found.iter().map(|one| one.rsplit(' ').nth(1).unwrap()).collect();
        places.sort_unstable();
        assert_eq!(places, ["24,16", "24,24", "36,16", "36,24"], "{value}: {found:?}");
        assert!(found.iter().all(|one| one.ends_with(" 12x8")), "{value}: {found:?}");
    }
}
