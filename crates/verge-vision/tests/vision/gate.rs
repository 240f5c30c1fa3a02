//! A gate spares the model frames in which nothing moves.

use std::sync::Arc;
use std::time::Duration;

use verge_domain::frame::{EncodedFrame, Shortfall, View};
use verge_domain::id::JudgeIndex;
use verge_domain::stage::{GateCount, Seen, ViewRequest, Viewer};
use verge_domain::time::{Moment, Monotonic};
use verge_vision::picture::MAX_BYTES;
use verge_vision::{FrameViewer, GateSettings, Memory, SourceMasks, ViewerSettings, VisionJudge};

use crate::frames::{NOW, camera, frame, jpeg, plain};
use crate::support::{card, load};

const GATE: GateSettings =
    GateSettings { heartbeat: Duration::from_secs(2), after: Duration::from_secs(1), least: 0.004 };

fn viewer(gate: Option<GateSettings>, looks: bool) -> FrameViewer {
    let input = "layout = \"nchw\"\ncolour = \"rgb\"\nelement = \"f32\"\nresize = \"stretch\"\n\
                 scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]";
    let card = card("yolox", input, "decoder = \"yolox\"\nstrides = [8, 16, 32]\nscore = 0.25");
    let settings = ViewerSettings {
        models: vec![Arc::new(load(&card, &["a", "b"]).unwrap())],
        judges: vec![Some(VisionJudge { gate, ..VisionJudge::of(0) })],
        looks: vec![looks],
        masks: SourceMasks::default(),
        names: Vec::new(),
        max_picture_bytes: MAX_BYTES,
        watched: Vec::new(),
    };
    FrameViewer::new(&settings).unwrap()
}

/// A frame with a bright patch in the dark, at this cell of 4 x 4.
fn patch(column: u16) -> EncodedFrame {
    let bytes =
        jpeg(64, 64, |x, y| if (x / 16, y / 16) == (column, 1) { [255, 255, 0] } else { [20, 20, 20] });
    frame(bytes, 64, 64)
}

/// Ten frames a second: what was seen in each, and what the gate did.
fn watch(viewer: &mut FrameViewer, frames: &[EncodedFrame]) -> (Vec<Option<usize>>, GateCount, usize) {
    let (mut memory, mut seen) = (Memory::default(), Seen::default());
    let (mut found, mut gates, mut still) = (Vec::new(), GateCount::default(), 0);
    for (number, frame) in (0..).zip(frames) {
        seen.clear();
        let received = Moment { mono: Monotonic(number * 100_000), ..NOW };
        let (camera, judges) = (&camera(), &[JudgeIndex(0)]);
        viewer
            .view(
                ViewRequest { camera, frame, received, judges, until: None, shortfall: Shortfall::default() },
                &mut memory,
                &mut seen,
            )
            .unwrap();
        gates.passed += seen.gates.passed;
        gates.skipped += seen.gates.skipped;
        still += seen.views.iter().filter(|(_, view)| *view == View::Still).count();
        found.push(seen.views.iter().find_map(|(_, view)| match view {
            View::Detections(view) => Some(view.objects.len()),
            _ => None,
        }));
    }
    (found, gates, still)
}

fn scene() -> Vec<EncodedFrame> {
    let dark = plain(64, 64, [20, 20, 20]);
    let mut frames = vec![dark.clone(); 40];
    frames.extend([0, 1, 2, 3].map(patch));
    frames.extend(vec![dark; 60]);
    frames
}

#[test]
fn a_still_scene_costs_a_look_per_heartbeat_and_motion_is_seen_at_once() {
    let (found, gates, still) = watch(&mut viewer(Some(GATE), false), &scene());
    // The background is learnt after a second and a half; until then anything may move.
    assert!(found[..15].iter().all(|view| *view == Some(0)), "{found:?}");
    let looked: Vec<usize> = (25..40).filter(|&frame| found[frame].is_some()).collect();
    assert!(looked.len() <= 2, "{looked:?}");
    assert_eq!(found[40..44], [Some(1); 4], "what moves is seen");
    assert!(found[44..60].iter().all(|view| *view == Some(0)), "its track may live");
    assert!(found[80..].iter().filter(|view| view.is_some()).count() <= 2, "{found:?}");
    let passed = u64::try_from(found.iter().flatten().count()).unwrap();
    assert_eq!((gates.passed, gates.passed + gates.skipped), (passed, 104));
    assert_eq!(still, 0, "nobody asks what stands still");
}

#[test]
fn a_judge_that_knows_of_the_camera_learns_of_each_frame_that_was_not_looked_at() {
    let (found, gates, still) = watch(&mut viewer(Some(GATE), true), &scene());
    assert_eq!(found.iter().flatten().count() + still, 104);
    assert_eq!(u64::try_from(still).unwrap(), gates.skipped);
    // Without a gate every frame is looked at.
    let (found, gates, still) = watch(&mut viewer(None, true), &scene());
    assert_eq!((found.iter().flatten().count(), gates, still), (104, GateCount::default(), 0));
}
