//! Whether frames come often enough for a line, at several rates.

use std::sync::Arc;
use std::time::Duration;

use verge_domain::countable::{Countability, LineSightings};
use verge_domain::id::{Label, PlaceId};
use verge_domain::interval::IntervalGrid;
use verge_scene::{Anchor, FrameSize, Scene, SceneLine, SceneReport, SceneSettings, SeenBox};

const FRAME: FrameSize = FrameSize { width: 1000, height: 1000 };
const BEGIN: f64 = 1_767_225_600.0;

/// A scene with lines across the picture.
fn scene(lines: &[(&str, f64)]) -> Scene {
    let classes = vec![Label::new("car").expect("a name")];
    let grid = IntervalGrid::new(Duration::from_secs(60)).expect("a minute");
    let mut settings = SceneSettings::new(classes, grid);
    for &(name, y) in lines {
        let name = PlaceId::new(name).expect("a name");
        let line = SceneLine { name, from: [0.1, y], to: [0.9, y], anchor: Anchor::Bottom };
        settings.add_line(line).expect("a line");
    }
    Scene::new(Arc::new(settings))
}

const MIDDLE: (&str, f64) = ("middle", 0.5);
const BORDER: (&str, f64) = ("border", 0.93);

/// What drives down the picture.
#[derive(Clone, Copy)]
struct Vehicle {
    width: f64,
    height: f64,
    /// Seconds from the upper border to the lower one.
    takes: f64,
}

const CAR: Vehicle = Vehicle { width: 160.0, height: 90.0, takes: 2.4 };
const BUS: Vehicle = Vehicle { width: 300.0, height: 260.0, takes: 3.0 };

/// One after the other drives down the picture.
fn drive(scene: &mut Scene, vehicle: Vehicle, frames_per_s: f64, seconds: f64) -> SceneReport {
    let mut report = SceneReport::default();
    let frames = (1..).map(|number| f64::from(number) / frames_per_s).take_while(|at| *at < seconds);
    for at in frames {
        let foot = 60.0 + 980.0 * (at % 4.7) / vehicle.takes;
        let (left, top) = (500.0 - vehicle.width / 2.0, foot - vehicle.height);
        let (right, bottom) = (500.0 + vehicle.width / 2.0, foot.min(1000.0));
        let seen = SeenBox { class: 0, score: 0.9, left, right, top, bottom };
        let mut boxes = if top < 990.0 { vec![seen] } else { Vec::new() };
        scene.observe(BEGIN + at, FRAME, &mut boxes, &mut report);
    }
    report
}

/// The line in the middle after four minutes at this rate, and whether its intervals say that frames come too seldom.
fn middle(vehicle: Vehicle, frames_per_s: f64) -> (LineSightings, bool) {
    let mut scene = scene(&[MIDDLE]);
    let report = drive(&mut scene, vehicle, frames_per_s, 240.0);
    let pace = scene.frames_per_s().expect("frames came");
    assert!((pace - frames_per_s).abs() < 0.05, "{pace} of {frames_per_s}");
    let seen = scene.line_sightings().find(|seen| seen.line.as_str() == "middle");
    let partial = report.intervals.last().expect("an interval").partial.rate;
    (seen.unwrap_or_else(|| panic!("nothing crossed at {frames_per_s}/s")), partial)
}

#[test]
fn sightings_on_both_sides_decide_at_five_three_two_and_one_frames_a_second() {
    let check = |vehicle: Vehicle, rate: f64, expected: Countability, is_partial: bool| {
        let (seen, partial) = middle(vehicle, rate);
        assert_eq!((seen.verdict, partial), (expected, is_partial), "{rate}/s: {seen:?}");
    };
    check(CAR, 5.0, Countability::Good, false);
    check(CAR, 3.0, Countability::Good, false);
    check(CAR, 2.0, Countability::Few, false);
    check(BUS, 1.0, Countability::TooFew, true);
}

#[test]
fn a_line_near_the_border_sees_too_little_behind_it() {
    let mut scene = scene(&[MIDDLE, BORDER]);
    drive(&mut scene, CAR, 5.0, 240.0);
    let seen = scene.line_sightings().find(|seen| seen.line.as_str() == "border").expect("it was crossed");
    assert!(seen.after <= 2 && seen.before > 5 && seen.verdict != Countability::Good, "{seen:?}");
}

#[test]
fn tallies_outlive_a_restart_and_belong_to_their_lines() {
    let both = || scene(&[MIDDLE, BORDER]);
    let mut before = both();
    drive(&mut before, CAR, 5.0, 60.0);
    let tallies = before.sighting_tallies().to_vec();
    let mut after = both();
    after.restore_sightings(tallies.clone());
    let words = |scene: &Scene| scene.line_sightings().collect::<Vec<_>>();
    assert_eq!(words(&after), words(&before));
    assert!(words(&after).iter().any(|seen| seen.crossings > 10), "{:?}", words(&after));
    let mut other = both();
    other.restore_sightings(tallies[..1].to_vec());
    assert_eq!(words(&other), []);
}
