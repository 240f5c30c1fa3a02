//! Frames and viewers for the other modules.

use std::sync::Arc;

use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder};
use verge_domain::frame::{EncodedFrame, ImageFormat, Orientation, Shortfall, View};
use verge_domain::id::{DeviceId, JudgeIndex};
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_domain::rejection::Reason;
use verge_domain::stage::{Seen, ViewRequest, Viewer};
use verge_domain::time::{DeviceClock, Moment, Monotonic, UtcMillis};
use verge_models::FrameModel;
use verge_vision::picture::MAX_BYTES;
use verge_vision::{FrameViewer, Memory, SourceMasks, ViewerSettings, VisionJudge};

pub(crate) fn frame(bytes: impl Into<Bytes>, width: u32, height: u32) -> EncodedFrame {
    EncodedFrame {
        device: DeviceId::new("cam").unwrap(),
        format: ImageFormat::Jpeg,
        bytes: bytes.into(),
        width,
        height,
        orientation: Orientation::Upright,
        captured_at: None,
        clock: DeviceClock::Absent,
    }
}

/// A picture as a JPEG of high quality, without subsampling.
pub(crate) fn jpeg(width: u16, height: u16, colour_at: impl Fn(u16, u16) -> [u8; 3]) -> Vec<u8> {
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels: Vec<u8> = rows.flat_map(|(x, y)| colour_at(x, y)).collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 95);
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_1_1);
    encoder.encode(&pixels, width, height, ColorType::Rgb).unwrap();
    bytes
}

/// A frame of one colour.
pub(crate) fn plain(width: u16, height: u16, colour: [u8; 3]) -> EncodedFrame {
    frame(jpeg(width, height, |_, _| colour), width.into(), height.into())
}

pub(crate) fn judge() -> VisionJudge {
    VisionJudge { top: 5, ..VisionJudge::of(0) }
}

pub(crate) fn viewer(model: FrameModel, judge: VisionJudge) -> FrameViewer {
    let (models, judges) = (vec![Arc::new(model)], vec![Some(judge)]);
    let (looks, masks) = (Vec::new(), SourceMasks::default());
    let settings = ViewerSettings {
        models,
        judges,
        looks,
        masks,
        names: Vec::new(),
        max_picture_bytes: MAX_BYTES,
        watched: Vec::new(),
    };
    FrameViewer::new(&settings).unwrap()
}

/// A camera of the first source.
pub(crate) fn camera() -> Camera {
    Camera { source: SourceIndex(0), device: DeviceId::new("camera").unwrap() }
}

/// When all frames are received.
pub(crate) const NOW: Moment = Moment { wall: UtcMillis(0), mono: Monotonic(0) };

/// What the judge finds, in words: `label thousandths` of classes, `label thousandths x,y wxh` of objects.
pub(crate) fn view(
    viewer: &mut FrameViewer,
    frame: &EncodedFrame,
    memory: &mut Memory,
) -> Result<Vec<String>, Reason> {
    view_of(viewer, &camera(), frame, memory)
}

/// The same of one camera.
pub(crate) fn view_of(
    viewer: &mut FrameViewer,
    camera: &Camera,
    frame: &EncodedFrame,
    memory: &mut Memory,
) -> Result<Vec<String>, Reason> {
    let mut seen = Seen::default();
    let judges = &[JudgeIndex(0)];
    let request =
        ViewRequest { camera, frame, received: NOW, judges, until: None, shortfall: Shortfall::default() };
    viewer.view(request, memory, &mut seen)?;
    let views = seen.views;
    let [(JudgeIndex(0), view)] = &views[..] else { panic!("one view: {views:?}") };
    Ok(match view {
        View::Classification(view) => {
            view.labels.iter().map(|one| format!("{} {}", one.label, one.score.thousandths())).collect()
        }
        View::Detections(view) => view
            .objects
            .iter()
            .map(|one| {
                let (area, score) = (one.area, one.score.thousandths());
                format!("{} {score} {},{} {}x{}", one.label, area.x, area.y, area.width, area.height)
            })
            .collect(),
        other => panic!("{other:?}"),
    })
}

/// Whether two views say the same. JPEG changes colours by a step or two, and scores with them.
#[track_caller]
pub(crate) fn assert_near(found: &[String], expected: &[&str]) {
    let parts = |text: &str| {
        let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let score: i32 = words.remove(1).parse().unwrap();
        (words, score)
    };
    let same = |(found, expected): (&String, &&str)| {
        let ((found, score), (expected, near)) = (parts(found), parts(expected));
        found == expected && score.abs_diff(near) <= 10
    };
    let all = found.len() == expected.len() && found.iter().zip(expected).all(same);
    assert!(all, "{found:?} is not {expected:?}");
}
