//! What privacy masks hide is seen by no judge.

use std::sync::Arc;

use verge_domain::frame::{EncodedFrame, Orientation};
use verge_domain::id::DeviceId;
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_vision::picture::MAX_BYTES;
use verge_vision::{FrameViewer, Memory, PrivacyMask, ViewerSettings};
use wildmatch::WildMatch;

use crate::frames::{camera, frame, jpeg, judge, view_of};
use crate::support::{card, load};

const INPUT: &str = "layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"\n\
                     scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]";
/// The left half.
const HIDDEN: [[f64; 2]; 4] = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]];

fn viewer_with(mask: PrivacyMask) -> FrameViewer {
    let model = load(&card("mean_f32", INPUT, "decoder = \"probabilities\""), &["red", "green", "blue"]);
    let settings = ViewerSettings {
        models: vec![Arc::new(model.unwrap())],
        judges: vec![Some(judge())],
        looks: Vec::new(),
        masks: [vec![mask]].into_iter().collect(),
        names: Vec::new(),
        max_picture_bytes: MAX_BYTES,
        watched: Vec::new(),
    };
    FrameViewer::new(&settings).unwrap()
}

fn mask(devices: &[&str]) -> PrivacyMask {
    let devices = devices.iter().map(|pattern| WildMatch::new(pattern)).collect();
    PrivacyMask { name: "window".to_owned(), corners: HIDDEN.to_vec(), devices }
}

/// A frame with this colour in what is the left half of the picture as it is seen.
fn showing(hidden: [u8; 3], exif: u32) -> EncodedFrame {
    let (width, height) = (64, 32);
    let is_hidden = |x: u16, y: u16| match exif {
        2 | 3 => x >= width / 2,
        5 | 8 => y < height / 2,
        6 | 7 => y >= height / 2,
        _ => x < width / 2,
    };
    let bytes = jpeg(width, height, |x, y| if is_hidden(x, y) { hidden } else { [51, 204, 102] });
    EncodedFrame { orientation: Orientation::from_exif(exif), ..frame(bytes, width.into(), height.into()) }
}

#[test]
fn no_judge_sees_what_is_hidden_however_the_picture_is_turned() {
    for exif in 1..=8 {
        let seen = |viewer: &mut FrameViewer, colour| {
            let mut memory = Memory::default();
            let found = view_of(viewer, &camera(), &showing(colour, exif), &mut memory).unwrap();
            (found, viewer.picture().rgb().to_vec())
        };
        let mut masked = viewer_with(mask(&[]));
        let (red, blue) = (seen(&mut masked, [255, 0, 0]), seen(&mut masked, [0, 0, 255]));
        assert_eq!(red, blue, "EXIF {exif}");
        let mut open = viewer_with(mask(&["other"]));
        let (red, blue) = (seen(&mut open, [255, 0, 0]), seen(&mut open, [0, 0, 255]));
        assert_ne!(red.0, blue.0, "EXIF {exif}: the judge sees what is not hidden");
    }
}

#[test]
fn a_mask_is_of_its_source_and_of_the_devices_it_names() {
    let mut viewer = viewer_with(mask(&["gate-*"]));
    let mut first = |source: u16, device: &str| {
        let camera = Camera { source: SourceIndex(source), device: DeviceId::new(device).unwrap() };
        view_of(&mut viewer, &camera, &showing([255, 0, 0], 1), &mut Memory::default()).unwrap();
        viewer.picture().rgb()[0]
    };
    assert_eq!(first(0, "gate-1"), 114);
    assert!(first(0, "yard-1") > 250, "another device");
    assert!(first(1, "gate-1") > 250, "another source");
}

#[test]
fn a_camera_that_changes_size_or_orientation_stays_hidden() {
    let mut viewer = viewer_with(mask(&[]));
    let mut memory = Memory::default();
    for (width, height, exif) in [(64, 32, 1), (32, 64, 1), (64, 32, 6), (48, 48, 3), (64, 32, 1)] {
        let bytes = jpeg(width, height, |_, _| [255, 0, 0]);
        let orientation = Orientation::from_exif(exif);
        let frame = EncodedFrame { orientation, ..frame(bytes, width.into(), height.into()) };
        view_of(&mut viewer, &camera(), &frame, &mut memory).unwrap();
        let picture = viewer.picture();
        let columns = picture.width() as usize;
        let is_grey = |pixel: &[u8]| pixel == [114; 3];
        for (at, pixel) in picture.rgb().chunks_exact(3).enumerate() {
            assert_eq!(
                is_grey(pixel),
                at % columns < columns / 2,
                "{width}x{height} EXIF {exif}, pixel {at}"
            );
        }
    }
}
