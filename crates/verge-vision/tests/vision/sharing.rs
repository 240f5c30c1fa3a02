//! Judges that look with one detector at the same part of frames.

use std::sync::Arc;

use verge_domain::frame::View;
use verge_domain::id::JudgeIndex;
use verge_domain::stage::{Seen, ViewRequest, Viewer};
use verge_vision::picture::MAX_BYTES;
use verge_vision::preprocess::Region;
use verge_vision::{FrameViewer, Memory, SourceMasks, ViewerSettings, VisionJudge};

use crate::frames::{NOW, camera, frame, judge};
use crate::judging::{patch, yolox};
use crate::support::load;

/// One run of a model serves all judges that look with it at the same part of a frame; each reports what it would alone.
#[test]
fn judges_share_the_run_of_a_detector_where_they_look_at_the_same_part() {
    let model = Arc::new(load(&yolox(""), &["a", "b"]).unwrap());
    let half = Region::new([0.0, 0.0, 1.0, 0.5]).unwrap();
    let judges = [
        VisionJudge { score: Some(0.95), ..judge() },
        VisionJudge { score: Some(0.05), ..judge() },
        VisionJudge { region: half, ..judge() },
        VisionJudge { labels: vec!["b".to_owned()], ..judge() },
    ];
    let of = |judges: Vec<Option<VisionJudge>>| {
        let settings = ViewerSettings {
            models: vec![Arc::clone(&model)],
            looks: vec![false; judges.len()],
            names: vec![None; judges.len()],
            judges,
            masks: SourceMasks::default(),
            max_picture_bytes: MAX_BYTES,
        };
        FrameViewer::new(&settings).unwrap()
    };
    let mut all = of(judges.iter().cloned().map(Some).collect());
    let mut alone: Vec<FrameViewer> = judges.iter().map(|judge| of(vec![Some(judge.clone())])).collect();
    let (mut memory, mut runs) = (Memory::default(), 0);
    let mut found = 0;
    // Bright, dim, dark, and of the other class.
    for colour in [[255, 255, 0], [120, 110, 0], [0, 0, 0], [250, 0, 255]] {
        let seen = |viewer: &mut FrameViewer, indices: &[JudgeIndex], memory: &mut Memory| {
            let mut seen = Seen::default();
            let frame = frame(patch(8, (1, 1), colour), 32, 32);
            let camera = camera();
            let request =
                ViewRequest { camera: &camera, frame: &frame, received: NOW, judges: indices, until: None };
            viewer.view(request, memory, &mut seen).unwrap();
            seen.views.into_iter().map(|(_, view)| view).collect::<Vec<View>>()
        };
        let indices: Vec<JudgeIndex> = (0..4).map(JudgeIndex).collect();
        let together = seen(&mut all, &indices, &mut memory);
        let one_by_one: Vec<View> =
            alone.iter_mut().flat_map(|viewer| seen(viewer, &indices[..1], &mut Memory::default())).collect();
        assert_eq!(together, one_by_one, "{colour:?}");
        runs += 2;
        assert_eq!(all.runs(), runs, "one for the whole frame, one for its upper half");
        found += together
            .iter()
            .filter(|view| matches!(view, View::Detections(view) if !view.objects.is_empty()))
            .count();
    }
    assert!((1..16).contains(&found), "the judges differ: {found}");
}
