//! Kinds of a class that a second model tells apart: elected by the crops of a track, and counted.

use std::sync::Arc;
use std::time::Duration;

use verge_domain::id::{Label, PlaceId};
use verge_domain::interval::IntervalGrid;
use verge_scene::{Anchor, FrameSize, Scene, SceneLine, SceneReport, SceneSettings, SceneZone, SeenBox};

const FRAME: FrameSize = FrameSize { width: 1000, height: 1000 };
const BEGIN: f64 = 1_767_225_600.0;
/// Positions of the classes below.
const CAR: usize = 0;
const RED: usize = 2;
const BLUE: usize = 3;

fn settings() -> SceneSettings {
    let label = |name: &str| Label::new(name).expect("a name");
    let minute = IntervalGrid::new(Duration::from_secs(60)).expect("a minute");
    let mut settings = SceneSettings::new(vec![label("car"), label("person")], minute);
    settings.add_kinds(CAR, &[label("red"), label("blue")]).expect("short names");
    let name = PlaceId::new("middle").expect("a name");
    let line = SceneLine { name, from: [0.1, 0.5], to: [0.9, 0.5], anchor: Anchor::Bottom };
    settings.add_line(line).expect("a line");
    let polygon = vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
    let zone = SceneZone { polygon, forbidden: vec![CAR], ..SceneZone::default() };
    settings.add_zone(PlaceId::new("all").expect("a name"), zone).expect("a zone");
    settings
}

/// A box that goes down the picture, of this class at each tenth of a second, and of this side.
fn drive(scene: &mut Scene, from: u32, seen: &[(usize, f64)]) -> SceneReport {
    let mut report = SceneReport::default();
    for (number, &(class, side)) in (from..).zip(seen) {
        let (time, y) = (f64::from(number) / 10.0, 300.0 + 20.0 * f64::from(number));
        let (left, right) = (500.0 - side / 2.0, 500.0 + side / 2.0);
        let mut boxes = vec![SeenBox { class, score: 0.9, left, right, top: y - side, bottom: y }];
        scene.observe(BEGIN + time, FRAME, &mut boxes, &mut report);
    }
    report
}

fn class_of_track(scene: &Scene) -> usize {
    let classes: Vec<usize> = scene.tracks().map(|(_, seen)| seen.class).collect();
    let [only] = classes[..] else { panic!("one track: {classes:?}") };
    only
}

#[test]
fn the_kind_of_the_larger_crops_is_elected_and_counted() {
    let names: Vec<String> = settings().classes().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["car", "person", "car/red", "car/blue"]);
    let mut scene = Scene::new(Arc::new(settings()));
    drive(&mut scene, 0, &[(CAR, 100.0), (BLUE, 100.0), (CAR, 100.0)]);
    assert_eq!(class_of_track(&scene), BLUE, "one crop decides until there is another");
    drive(&mut scene, 3, &[(RED, 105.0), (CAR, 105.0)]);
    assert_eq!(class_of_track(&scene), BLUE, "a crop of about the same size changes nothing");
    drive(&mut scene, 5, &[(CAR, 110.0), (RED, 110.0), (CAR, 110.0), (CAR, 110.0)]);
    assert_eq!(class_of_track(&scene), RED);
    let report = drive(&mut scene, 9, &[(CAR, 110.0); 12]);
    let crossed: Vec<usize> = report.crossings.iter().map(|crossing| crossing.class).collect();
    assert_eq!(crossed, [RED]);
    // What is forbidden to a class is forbidden to its kinds.
    assert_eq!(scene.open_events().len(), 1);
}

#[test]
fn votes_are_saved_with_the_track() {
    let mut scene = Scene::new(Arc::new(settings()));
    drive(&mut scene, 0, &[(CAR, 100.0), (RED, 100.0), (RED, 100.0)]);
    let mut next = Scene::new(Arc::new(settings()));
    next.restore(scene.state().clone()).expect("of the same places");
    // Two crops said red before; one that says blue does not change that.
    drive(&mut next, 4, &[(CAR, 100.0), (BLUE, 100.0), (CAR, 100.0)]);
    assert_eq!(class_of_track(&next), RED);
}
