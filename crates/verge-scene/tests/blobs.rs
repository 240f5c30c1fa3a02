//! What moves, as a last means to follow what a detector misses.

use std::sync::Arc;
use std::time::Duration;

use verge_domain::id::{Label, PlaceId};
use verge_domain::interval::IntervalGrid;
use verge_domain::motion::Blob;
use verge_scene::{Anchor, BlobUse, FrameSize, Scene, SceneLine, SceneReport, SceneSettings, SeenBox};

const FRAME: FrameSize = FrameSize { width: 1000, height: 1000 };
const BEGIN: f64 = 1_767_225_600.0;

fn scene(blobs: BlobUse, classes: &[&str], rest: Option<usize>) -> Scene {
    let classes = classes.iter().map(|class| Label::new(class).expect("a name")).collect();
    let mut settings =
        SceneSettings::new(classes, IntervalGrid::new(Duration::from_secs(60)).expect("a minute"))
            .with_blobs(blobs, rest);
    let name = PlaceId::new("middle").expect("a name");
    let line = SceneLine { name, from: [0.0, 0.5], to: [1.0, 0.5], anchor: Anchor::Bottom };
    settings.add_line(line).expect("a line");
    Scene::new(Arc::new(settings))
}

/// A box of 60 x 40 pixels whose lower edge has its middle here.
fn seen(x: f64, y: f64) -> SeenBox {
    SeenBox { class: 0, score: 0.9, left: x - 30.0, top: y - 40.0, right: x + 30.0, bottom: y }
}

/// A blob around such boxes, with their shadows.
fn blob(around: &[SeenBox]) -> Blob {
    let edge = |of: fn(&SeenBox) -> f64, join: fn(f64, f64) -> f64| {
        around.iter().map(of).reduce(join).expect("a box")
    };
    let (left, right) = (edge(|one| one.left, f64::min) - 10.0, edge(|one| one.right, f64::max) + 10.0);
    let (top, bottom) = (edge(|one| one.top, f64::min) - 5.0, edge(|one| one.bottom, f64::max) + 5.0);
    let [left, top, right, bottom] =
        [left, top, right, bottom].map(|edge| (edge / 1000.0).clamp(0.0, 1.0) as f32);
    Blob { left, top, right, bottom, area: (right - left) * (bottom - top) }
}

/// Twenty seconds at ten frames a second.
fn watch(scene: &mut Scene, each: impl Fn(f64) -> (Vec<SeenBox>, Vec<Blob>)) -> SceneReport {
    let mut report = SceneReport::default();
    for tenth in 0..200_u32 {
        let time = f64::from(tenth) / 10.0;
        let (mut boxes, blobs) = each(time);
        scene.observe_moving(BEGIN + time, FRAME, (&mut boxes, &blobs), &mut report);
    }
    scene.finish(0.1, &mut report);
    report
}

fn directions(report: &SceneReport) -> (usize, usize) {
    let forward = report.crossings.iter().filter(|one| one.forward).count();
    (forward, report.crossings.len() - forward)
}

/// Goes down the picture in ten seconds.
fn down(time: f64) -> SeenBox {
    seen(300.0, 100.0 + 80.0 * time)
}

/// A detector sees a car for two seconds, then no more until it is across the line.
fn seen_for_a_while(time: f64) -> (Vec<SeenBox>, Vec<Blob>) {
    let car = down(time);
    let boxes = if time < 2.0 { vec![car] } else { vec![] };
    (boxes, if time < 10.0 { vec![blob(&[car])] } else { vec![] })
}

#[test]
fn what_a_detector_once_saw_is_followed_by_its_motion() {
    let counts = |blobs| {
        let mut scene = scene(blobs, &["car"], None);
        let report = watch(&mut scene, seen_for_a_while);
        (directions(&report), scene.followed())
    };
    assert_eq!(counts(BlobUse::Off), ((0, 0), 1));
    assert_eq!(counts(BlobUse::Continue), ((1, 0), 1));
    assert_eq!(counts(BlobUse::Count), ((1, 0), 1), "its blob is no other object");
}

#[test]
fn what_no_detector_sees_counts_where_blobs_count_as_the_class_for_the_rest() {
    let unseen = |time| (vec![], if time < 10.0 { vec![blob(&[down(time)])] } else { vec![] });
    let mut following = scene(BlobUse::Continue, &["car"], None);
    assert_eq!((directions(&watch(&mut following, unseen)), following.followed()), ((0, 0), 0));
    let class = |classes: &[&str], rest| {
        let mut scene = scene(BlobUse::Count, classes, rest);
        let report = watch(&mut scene, unseen);
        let [crossing] = report.crossings[..] else { panic!("{:?}", report.crossings) };
        assert!(crossing.forward && (crossing.at - BEGIN - 5.0).abs() < 0.3, "{crossing:?}");
        scene.settings().classes()[crossing.class].to_string()
    };
    assert_eq!(class(&["car"], None), "other");
    assert_eq!(class(&["car", "other"], None), "other");
    assert_eq!(class(&["thing", "car"], Some(0)), "thing");
}

#[test]
fn a_box_names_what_blobs_follow() {
    // It crosses after 5 s; the detector knows it for a third of a second before.
    let named = |time: f64| {
        let car = SeenBox { class: 1, ..down(time) };
        let boxes = if (4.0..4.35).contains(&time) { vec![car] } else { vec![] };
        (boxes, if time < 10.0 { vec![blob(&[car])] } else { vec![] })
    };
    let mut scene = scene(BlobUse::Count, &["other", "car"], Some(0));
    let report = watch(&mut scene, named);
    assert_eq!(report.crossings.iter().map(|one| one.class).collect::<Vec<_>>(), [1]);
    assert_eq!(scene.followed(), 1);
}

#[test]
fn two_that_become_one_blob_and_two_again_are_two() {
    let pair = |time: f64| {
        let cars = [down(time), seen(380.0, 900.0 - 80.0 * time)];
        if time >= 10.0 {
            return (vec![], vec![]);
        }
        let is_one = (cars[0].bottom - cars[1].bottom).abs() < 120.0;
        (vec![], if is_one { vec![blob(&cars)] } else { cars.map(|car| blob(&[car])).to_vec() })
    };
    let mut scene = scene(BlobUse::Count, &["thing"], Some(0));
    let report = watch(&mut scene, pair);
    assert_eq!((directions(&report), scene.followed()), ((1, 1), 2));
}

#[test]
fn small_blobs_begin_nothing() {
    let mut scene = scene(BlobUse::Count, &["thing"], Some(0));
    let speck = |time: f64| {
        let at = down(time);
        (vec![], vec![Blob { area: 0.003, ..blob(&[at]) }])
    };
    let report = watch(&mut scene, speck);
    assert_eq!((directions(&report), scene.followed()), ((0, 0), 0));
}
