//! A version of a model on trial beside the one in use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use verge_domain::frame::{EncodedFrame, GivenUp, Shortfall, View};
use verge_domain::id::{DeviceId, JudgeIndex};
use verge_domain::observation::Camera;
use verge_domain::stage::{Seen, ViewRequest, Viewer};
use verge_models::FrameModel;
use verge_models::trial::{LookKind, Trial, TrialDesk, TrialPhase, TrialRules, TrialSide, chosen};
use verge_vision::picture::MAX_BYTES;
use verge_vision::preprocess::Region;
use verge_vision::{Candidate, FrameViewer, Memory, SourceMasks, ViewerSettings, VisionJudge, WatchedModel};

use crate::frames::{NOW, camera, frame, judge, plain};
use crate::judging::{GREY, SHARES, input, patch, yolox};
use crate::support::{card, load};

const ID: &str = "2-0123456789ab";

/// The same network under these labels.
fn model(labels: [&str; 2]) -> Arc<FrameModel> {
    Arc::new(load(&yolox(""), &labels).unwrap())
}

fn desk(phase: TrialPhase) -> Arc<TrialDesk> {
    Arc::new(TrialDesk::new(Trial::new(phase, TrialRules::default(), None)))
}

fn settings(models: Vec<Arc<FrameModel>>, watched: WatchedModel, judges: Vec<VisionJudge>) -> ViewerSettings {
    ViewerSettings {
        models,
        looks: vec![false; judges.len()],
        names: vec![None; judges.len()],
        judges: judges.into_iter().map(Some).collect(),
        masks: SourceMasks::default(),
        max_picture_bytes: MAX_BYTES,
        watched: vec![watched],
    }
}

fn beside(share: Option<u32>, desk: &Arc<TrialDesk>) -> WatchedModel {
    let candidate = Candidate { model: 1, id: ID.to_owned(), share };
    WatchedModel { active: 0, candidate: Some(candidate), desk: Arc::clone(desk) }
}

/// What one judge sees of a frame of a camera, and whether the version on trial has looked.
fn look(viewer: &mut FrameViewer, camera: &Camera, frame: &EncodedFrame) -> (String, bool) {
    let (judges, mut seen) = ([JudgeIndex(0)], Seen::default());
    let shortfall = Shortfall { given_up: GivenUp::Nothing, passed_over: 0 };
    let request = ViewRequest { camera, frame, received: NOW, judges: &judges, until: None, shortfall };
    viewer.view(request, &mut Memory::default(), &mut seen).unwrap();
    let label = match &seen.views[0].1 {
        View::Detections(view) => view.objects[0].label.to_string(),
        other => panic!("{other:?}"),
    };
    (label, seen.by_candidate == judges)
}

fn again(viewer: &mut FrameViewer, camera: &Camera) {
    viewer.look_again((camera, &[JudgeIndex(0)]), Instant::now() + Duration::from_secs(10));
}

/// Runs of the active version and of the candidate, for verdicts and once more.
fn counts(desk: &TrialDesk) -> [[u64; 2]; 2] {
    let of =
        |side| [LookKind::First, LookKind::Again].map(|kind| desk.with(|trial| trial.runs(side).count(kind)));
    [TrialSide::Active, TrialSide::Candidate].map(of)
}

#[test]
fn a_shadow_looks_once_more_and_nothing_is_reported_of_it() {
    for (labels, share) in [(["a", "b"], 100.0), (["b", "a"], 0.0)] {
        let desk = desk(TrialPhase::Shadow);
        let models = vec![model(["a", "b"]), model(labels)];
        let mut viewer = FrameViewer::new(&settings(models, beside(None, &desk), vec![judge()])).unwrap();
        let (camera, frame) = (camera(), frame(patch(8, (1, 1), [255, 255, 0]), 32, 32));
        assert!(!viewer.has_trial(), "nothing was looked at");
        assert_eq!(look(&mut viewer, &camera, &frame), ("a".to_owned(), false));
        assert!(viewer.has_trial());
        again(&mut viewer, &camera);
        assert!(!viewer.has_trial(), "once is enough");
        again(&mut viewer, &camera);
        let figures = desk.with(|trial| trial.agreement());
        assert_eq!((figures.frames, figures.share), (1, share));
        assert_eq!(counts(&desk), [[1, 0], [0, 1]]);
    }
}

#[test]
fn a_canary_looks_for_its_cameras_and_idle_workers_look_with_the_active_version() {
    let desk = desk(TrialPhase::Canary);
    let models = vec![model(["a", "b"]), model(["b", "a"])];
    let mut viewer = FrameViewer::new(&settings(models, beside(Some(50), &desk), vec![judge()])).unwrap();
    let frame = frame(patch(8, (1, 1), [255, 255, 0]), 32, 32);
    let mut own = 0;
    for number in 0..20 {
        let name = format!("camera-{number}");
        let is_own = chosen(&name, ID, 50);
        let camera = Camera { device: DeviceId::new(&name).unwrap(), ..camera() };
        let expected = if is_own { "b" } else { "a" };
        assert_eq!(look(&mut viewer, &camera, &frame), (expected.to_owned(), is_own), "{name}");
        assert_eq!(viewer.has_trial(), is_own);
        again(&mut viewer, &camera);
        own += u64::from(is_own);
    }
    assert!((1..20).contains(&own));
    let figures = desk.with(|trial| trial.agreement());
    assert_eq!((figures.frames, figures.share), (own, 0.0));
    // What idle workers take with the active version is no measure of what it takes for verdicts.
    assert_eq!(counts(&desk), [[20 - own, own], [own, 0]]);
}

#[test]
fn judges_that_look_with_the_same_model_make_one_look_of_a_frame() {
    let desk = desk(TrialPhase::Shadow);
    let models = vec![model(["a", "b"]), model(["a", "b"])];
    let part = VisionJudge { region: Region::new([0.0, 0.0, 0.9, 0.9]).unwrap(), ..judge() };
    let judges = vec![judge(), judge(), part];
    let mut viewer = FrameViewer::new(&settings(models, beside(None, &desk), judges)).unwrap();
    let (camera, frame) = (camera(), frame(patch(8, (1, 1), [255, 255, 0]), 32, 32));
    let all = [JudgeIndex(0), JudgeIndex(1), JudgeIndex(2)];
    for frames in 1..4 {
        let mut seen = Seen::default();
        let shortfall = Shortfall { given_up: GivenUp::Nothing, passed_over: 0 };
        let request = ViewRequest {
            camera: &camera,
            frame: &frame,
            received: NOW,
            judges: &all,
            until: None,
            shortfall,
        };
        viewer.view(request, &mut Memory::default(), &mut seen).unwrap();
        assert_eq!(seen.views.len(), 3);
        viewer.look_again((&camera, &all), Instant::now() + Duration::from_secs(10));
        assert_eq!(desk.with(|trial| (trial.agreement().frames, trial.frames())), (frames, frames));
    }
}

#[test]
fn a_canary_beyond_its_deadline_costs_no_verdict() {
    let desk = desk(TrialPhase::Canary);
    let slow = card("slow", GREY, "decoder = \"probabilities\"");
    let quick = card("mean_f32", &input("nchw", "rgb", "f32", SHARES), "decoder = \"probabilities\"");
    let models = vec![
        Arc::new(load(&quick, &["red", "green", "blue"]).unwrap()),
        Arc::new(load(&slow, &["a", "b"]).unwrap()),
    ];
    let judges = vec![judge(), judge()];
    let mut viewer = FrameViewer::new(&settings(models, beside(Some(100), &desk), judges)).unwrap();
    let (camera, frame) = (camera(), plain(40, 30, [51, 204, 102]));
    let (all, mut seen) = ([JudgeIndex(0), JudgeIndex(1)], Seen::default());
    let shortfall = Shortfall { given_up: GivenUp::Nothing, passed_over: 0 };
    let (received, until) = (NOW, Some(Instant::now() + Duration::from_millis(400)));
    let request = ViewRequest { camera: &camera, frame: &frame, received, judges: &all, until, shortfall };
    viewer.view(request, &mut Memory::default(), &mut seen).unwrap();
    let best = |view: &View| match view {
        View::Classification(view) => view.labels[0].label.to_string(),
        other => panic!("{other:?}"),
    };
    let found: Vec<String> = seen.views.iter().map(|(_, view)| best(view)).collect();
    assert_eq!((found, seen.by_candidate.len()), (vec!["green".to_owned(); 2], 0));
    // Both of its looks had the same time, and are counted.
    assert_eq!(desk.with(|trial| (trial.failures(), trial.frames())), ((0, 2), 0));
    assert_eq!(counts(&desk), [[2, 0], [2, 0]]);
    assert!(!viewer.has_trial(), "there is nothing to compare");
}

#[test]
fn an_active_version_that_has_to_prove_itself_is_counted_and_runs_move_to_the_next_viewer() {
    let [shadow, active] = [TrialPhase::Shadow, TrialPhase::Unconfirmed].map(desk);
    let models = vec![model(["a", "b"]), model(["b", "a"])];
    let first = settings(models.clone(), beside(None, &shadow), vec![judge()]);
    let mut former = FrameViewer::new(&first).unwrap();
    // The candidate is in use now.
    let watched = WatchedModel { active: 0, candidate: None, desk: Arc::clone(&active) };
    let next = settings(vec![Arc::clone(&models[1])], watched, vec![judge()]);
    let mut viewer = FrameViewer::beside(&next, |_| true).unwrap();
    let (camera, frame) = (camera(), frame(patch(8, (1, 1), [255, 255, 0]), 32, 32));
    look(&mut former, &camera, &frame);
    assert!(viewer.take_over(former), "nothing is loaded again");
    assert_eq!(look(&mut viewer, &camera, &frame), ("b".to_owned(), false));
    assert!(!viewer.has_trial());
    assert_eq!((active.with(|trial| trial.frames()), shadow.with(|trial| trial.frames())), (1, 0));
}
