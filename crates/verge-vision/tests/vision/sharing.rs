//! Judges that look with one detector at the same part of frames.

use std::sync::Arc;

use verge_domain::frame::{EncodedFrame, GivenUp, Shortfall, View};
use verge_domain::id::JudgeIndex;
use verge_domain::observation::Camera;
use verge_domain::stage::{Seen, ViewRequest, Viewer};
use verge_vision::picture::MAX_BYTES;
use verge_vision::preprocess::Region;
use verge_vision::{FrameViewer, Memory, SourceMasks, ViewerError, ViewerSettings, VisionJudge};

use crate::frames::{NOW, camera, frame, judge};
use crate::judging::{patch, yolox};
use crate::support::load;

fn request<'a>(
    camera: &'a Camera,
    frame: &'a EncodedFrame,
    judges: &'a [JudgeIndex],
    given_up: GivenUp,
) -> ViewRequest<'a> {
    let shortfall = Shortfall { given_up, passed_over: 0 };
    ViewRequest { camera, frame, received: NOW, judges, until: None, shortfall }
}

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
            watched: Vec::new(),
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
            viewer.view(request(&camera, &frame, indices, GivenUp::Nothing), memory, &mut seen).unwrap();
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

/// Two judges with a smaller model each look with it, in one run, while models are given up; one without goes on as before.
#[test]
fn under_overload_smaller_models_look() {
    // The same network, whose classes are called otherwise.
    let models = [["a", "b"], ["b", "a"]].map(|labels| Arc::new(load(&yolox(""), &labels).unwrap()));
    let small = VisionJudge { smaller: Some(1), ..judge() };
    let settings = |judges: Vec<VisionJudge>| ViewerSettings {
        models: models.to_vec(),
        looks: vec![false; judges.len()],
        names: vec![None; judges.len()],
        judges: judges.into_iter().map(Some).collect(),
        masks: SourceMasks::default(),
        max_picture_bytes: MAX_BYTES,
        watched: Vec::new(),
    };
    let mut viewer =
        FrameViewer::new(&settings(vec![small.clone(), judge(), VisionJudge { score: Some(0.3), ..small }]))
            .unwrap();
    let (camera, frame) = (camera(), frame(patch(8, (1, 1), [255, 255, 0]), 32, 32));
    let indices: Vec<JudgeIndex> = (0..3).map(JudgeIndex).collect();
    let mut memory = Memory::default();
    for (given_up, expected, runs) in [
        (GivenUp::Gates, ["a", "a", "a"], 1),
        (GivenUp::Models, ["b", "a", "b"], 2),
        (GivenUp::Coverage, ["b", "a", "b"], 2),
        (GivenUp::Nothing, ["a", "a", "a"], 1),
    ] {
        let (mut seen, before) = (Seen::default(), viewer.runs());
        viewer.view(request(&camera, &frame, &indices, given_up), &mut memory, &mut seen).unwrap();
        let label = |view: &View| match view {
            View::Detections(view) => view.objects[0].label.to_string(),
            other => panic!("{other:?}"),
        };
        let found: Vec<String> = seen.views.iter().map(|(_, view)| label(view)).collect();
        assert_eq!(
            (found, viewer.runs() - before),
            (expected.map(str::to_owned).to_vec(), runs),
            "{given_up}"
        );
    }
    // What the judge asks for, the smaller one must know too.
    let wanting = VisionJudge { labels: vec!["a".to_owned()], smaller: Some(1), ..judge() };
    let other = Arc::new(load(&yolox(""), &["c", "d"]).unwrap());
    let settings = ViewerSettings { models: vec![Arc::clone(&models[0]), other], ..settings(vec![wanting]) };
    assert!(
        matches!(FrameViewer::new(&settings), Err(ViewerError::UnknownLabel { label, .. }) if label == "a")
    );
}
