//! A scene as a whole: what it counts of boxes that are given to it.

use std::sync::Arc;
use std::time::Duration;

use verge_domain::id::{Label, PlaceId};
use verge_domain::interval::IntervalGrid;
use verge_domain::time::UtcMillis;
use verge_scene::{
    Anchor, FrameSize, Ground, Scene, SceneLine, SceneMisfit, SceneReport, SceneSettings, SceneZone, SeenBox,
    ZoneEventKind,
};

const FRAME: FrameSize = FrameSize { width: 1000, height: 1000 };
/// A full minute.
const BEGIN: f64 = 1_767_225_600.0;

fn place(name: &str) -> PlaceId {
    PlaceId::new(name).expect("a name")
}

fn settings() -> SceneSettings {
    let classes = ["car", "person"].map(|class| Label::new(class).expect("a name"));
    let mut settings =
        SceneSettings::new(classes.to_vec(), IntervalGrid::new(Duration::from_secs(60)).expect("a minute"));
    let line = SceneLine { name: place("middle"), from: [0.1, 0.5], to: [0.9, 0.5], anchor: Anchor::Bottom };
    settings.add_line(line).expect("a line");
    settings
}

fn scene(settings: SceneSettings) -> Scene {
    Scene::new(Arc::new(settings))
}

/// A box of 60 x 40 pixels whose lower edge has its middle here.
fn at(x: f64, y: f64) -> SeenBox {
    SeenBox { class: 0, score: 0.9, left: x - 30.0, top: y - 40.0, right: x + 30.0, bottom: y }
}

/// A frame at each time.
fn watch(
    scene: &mut Scene,
    report: &mut SceneReport,
    times: impl Iterator<Item = f64>,
    boxes: impl Fn(f64) -> Vec<SeenBox>,
) {
    for time in times {
        scene.observe(BEGIN + time, FRAME, &mut boxes(time), report);
    }
}

fn tenths(from: u32, to: u32) -> impl Iterator<Item = f64> {
    (from..to).map(|tenth| f64::from(tenth) / 10.0)
}

/// A car goes down, another up beside it.
fn two_cars(time: f64) -> Vec<SeenBox> {
    vec![at(300.0, 100.0 + 80.0 * time), at(600.0, 900.0 - 80.0 * time)]
}

#[test]
fn each_direction_counts_and_the_interval_is_the_sum_of_its_crossings() {
    let (mut scene, mut report) = (scene(settings()), SceneReport::default());
    watch(&mut scene, &mut report, tenths(0, 100), two_cars);
    scene.finish(0.1, &mut report);
    let mut found: Vec<(bool, f64)> =
        report.crossings.iter().map(|one| (one.forward, one.at - BEGIN)).collect();
    found.sort_by_key(|(forward, _)| *forward);
    let near = |a: f64, b: f64| (a - b).abs() < 1e-3;
    assert!(!found[0].0 && near(found[0].1, 5.0) && found[1].0 && near(found[1].1, 5.0), "{found:?}");
    let [only] = report.intervals.as_slice() else { panic!("{:?}", report.intervals) };
    assert_eq!((only.lines[0].forward.total(), only.lines[0].backward.total()), (1, 1));
    assert_eq!((only.lines[0].unresolved, only.frames, only.from), (0, 100, UtcMillis(1_767_225_600_000)));
    assert!(only.partial.start && !only.partial.gap, "it ended after ten seconds");
    assert_eq!(scene.followed(), 2);
}

#[test]
fn lost_frames_and_a_late_one_cost_no_count() {
    let (mut scene, mut report) = (scene(settings()), SceneReport::default());
    let irregular = tenths(0, 100).filter(|time| (time * 10.0) as u32 % 7 < 3);
    watch(&mut scene, &mut report, irregular, two_cars);
    scene.finish(0.1, &mut report);
    assert_eq!(report.crossings.len(), 2);
    assert_eq!(scene.followed(), 2);
}

#[test]
fn a_loss_at_the_line_is_unresolved() {
    let (mut scene, mut report) = (scene(settings()), SceneReport::default());
    let lost = |time: f64| if time < 4.5 { vec![at(300.0, 100.0 + 80.0 * time)] } else { Vec::new() };
    watch(&mut scene, &mut report, tenths(0, 100), lost);
    scene.finish(0.1, &mut report);
    assert_eq!(report.crossings, []);
    assert_eq!(report.intervals[0].lines[0].unresolved, 1);
}

#[test]
fn what_a_detector_is_never_sure_of_does_not_count_and_what_it_is_sure_of_later_does() {
    let score_of = |scores: fn(f64) -> f64| {
        let (mut scene, mut report) = (scene(settings()), SceneReport::default());
        let boxes = |time: f64| {
            two_cars(time).into_iter().map(|one| SeenBox { score: scores(time), ..one }).collect()
        };
        watch(&mut scene, &mut report, tenths(0, 100), boxes);
        scene.finish(0.1, &mut report);
        (report.crossings.len(), report.intervals[0].lines[0].unresolved, scene.followed())
    };
    assert_eq!(score_of(|_| 0.45), (0, 0, 0));
    assert_eq!(score_of(|time| if time < 5.3 { 0.35 } else { 0.8 }), (2, 0, 2), "its whole history counts");
    assert_eq!(score_of(|time| if time < 0.3 { 0.8 } else { 0.15 }), (2, 0, 2));
}

#[test]
fn a_car_that_is_called_something_else_for_a_while_is_a_car() {
    let (mut scene, mut report) = (scene(settings()), SceneReport::default());
    let named = |time: f64| {
        let class = usize::from(((time * 10.0) as u32).is_multiple_of(4));
        two_cars(time).into_iter().map(|one| SeenBox { class, ..one }).collect()
    };
    watch(&mut scene, &mut report, tenths(0, 100), named);
    scene.finish(0.1, &mut report);
    assert_eq!(report.crossings.iter().map(|one| one.class).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn time_that_stands_still_is_one_frame_and_time_that_runs_back_is_said() {
    let (mut scene, mut report) = (scene(settings()), SceneReport::default());
    let doubled = tenths(0, 50).flat_map(|time| [time, time]);
    watch(&mut scene, &mut report, doubled, two_cars);
    watch(&mut scene, &mut report, tenths(20, 100), two_cars);
    scene.finish(0.1, &mut report);
    let [only] = report.intervals.as_slice() else { panic!("{:?}", report.intervals) };
    assert!(only.partial.clock);
    assert_eq!(only.frames, 50 + 80);
    // Numbers that no clock gives change nothing.
    let before = format!("{:?}", scene.state());
    scene.observe(f64::NAN, FRAME, &mut vec![at(1.0, 1.0)], &mut report);
    scene.observe(BEGIN, FrameSize { width: 0, height: 10 }, &mut vec![at(1.0, 1.0)], &mut report);
    assert_eq!(format!("{:?}", scene.state()), before);
}

#[test]
fn a_saved_scene_goes_on_and_says_that_it_did_not_see_all() {
    let (mut first, mut report) = (scene(settings()), SceneReport::default());
    watch(&mut first, &mut report, tenths(0, 49), two_cars);
    let saved = first.state().clone();
    let mut second = scene(settings());
    second.restore(saved.clone()).unwrap();
    watch(&mut second, &mut report, tenths(50, 100), two_cars);
    second.finish(0.1, &mut report);
    assert_eq!(report.crossings.len(), 2, "tracks and sides go on");
    assert!(report.intervals[0].partial.gap);
    let mut other = settings();
    other
        .add_line(SceneLine { name: place("more"), from: [0.1, 0.2], to: [0.9, 0.2], anchor: Anchor::Bottom })
        .unwrap();
    assert_eq!(scene(other).restore(saved), Err(SceneMisfit::OtherPlaces));
}

#[test]
fn after_a_restart_only_the_time_to_the_first_frame_is_unobserved() {
    for (pause, is_blind) in [(0.5, false), (20.0, false), (0.5, true), (20.0, true)] {
        let (mut first, mut report) = (scene(settings()), SceneReport::default());
        watch(&mut first, &mut report, tenths(0, 50), two_cars);
        let mut second = scene(settings());
        second.restore(first.state().clone()).unwrap();
        if is_blind {
            second.observe_blind(BEGIN + 4.9 + pause, &mut report);
        }
        watch(&mut second, &mut report, tenths(0, 50).map(|time| 5.0 + pause + time), |_| Vec::new());
        second.finish(0.0, &mut report);
        let [only] = report.intervals.as_slice() else { panic!("{:?}", report.intervals) };
        // With a blind frame the time from that to the first that shows something is observed, too.
        let expected = 4.9 + 4.9 + if is_blind { 0.1 } else { 0.0 };
        assert!((only.observed - expected).abs() < 1e-6, "{pause} {is_blind}: {}", only.observed);
    }
}

/// A road of 14 m, 42 m deep.
fn with_ground() -> SceneSettings {
    let picture = [[0.3, 0.3], [0.7, 0.3], [0.7, 0.9], [0.3, 0.9]];
    let metres = [[-7.0, 60.0], [7.0, 60.0], [7.0, 18.0], [-7.0, 18.0]];
    settings().with_ground(Some(Ground::new(picture, metres).expect("a ground")))
}

#[test]
fn speed_is_measured_at_the_line() {
    let (mut scene, mut report) = (scene(with_ground()), SceneReport::default());
    watch(&mut scene, &mut report, tenths(0, 100), two_cars);
    scene.finish(0.1, &mut report);
    // 600 pixels are 42 m here: 80 pixels a second are 5.6 m/s.
    for crossing in &report.crossings {
        let speed = crossing.speed.unwrap();
        assert!((speed - 5.6).abs() < 0.05, "{speed}");
    }
    let speeds = report.intervals[0].lines[0].speeds();
    assert!(speeds.space_mean() <= speeds.time_mean());
}

#[test]
fn what_stops_in_a_zone_is_an_event_and_a_person_is_one() {
    let mut settings = with_ground();
    let polygon = vec![[0.2, 0.4], [0.8, 0.4], [0.8, 0.8], [0.2, 0.8]];
    let zone = SceneZone { polygon, stopped_after: Some(5.0), forbidden: vec![1], ..SceneZone::default() };
    settings.add_zone(place("road"), zone).unwrap();
    let (mut scene, mut report) = (scene(settings), SceneReport::default());
    // It drives into the zone, stands from 5 s to 15 s, and drives on. A person is there for a while.
    let y = |time: f64| 100.0 + 80.0 * (time.min(5.0) + (time - 15.0).max(0.0));
    let boxes = |time: f64| {
        let mut all = vec![at(400.0, y(time))];
        if (3.0..6.0).contains(&time) {
            all.push(SeenBox { class: 1, ..at(700.0, 600.0) });
        }
        all
    };
    watch(&mut scene, &mut report, tenths(0, 200), boxes);
    scene.finish(0.1, &mut report);
    let ended: Vec<_> = report.events.iter().filter(|event| event.until.is_some()).collect();
    let of = |kind| ended.iter().find(|event| event.kind == kind).unwrap();
    let stopped = of(ZoneEventKind::Stopped);
    assert!((stopped.from - BEGIN - 10.0).abs() < 1.0, "{stopped:?}");
    assert!((stopped.until.unwrap() - BEGIN - 15.2).abs() < 1.0, "{stopped:?}");
    assert_eq!(of(ZoneEventKind::Person).track.unwrap().1, 1);
    assert_eq!(ended.len(), 2, "{ended:?}");
}

#[test]
fn against_the_lane_is_the_wrong_way_with_a_ground_and_without() {
    for mut settings in [with_ground(), settings()] {
        let polygon = vec![[0.1, 0.2], [0.9, 0.2], [0.9, 0.8], [0.1, 0.8]];
        let zone = SceneZone { polygon, lane: Some([[0.5, 0.2], [0.5, 0.8]]), ..SceneZone::default() };
        settings.add_zone(place("road"), zone).unwrap();
        let (mut scene, mut report) = (scene(settings), SceneReport::default());
        watch(&mut scene, &mut report, tenths(0, 100), two_cars);
        scene.finish(0.1, &mut report);
        let ended: Vec<_> = report.events.iter().filter(|event| event.until.is_some()).collect();
        // The one that goes up is in the zone from 1.3 s on.
        let [only] = &ended[..] else { panic!("{ended:?}") };
        assert_eq!(only.kind, ZoneEventKind::WrongWay);
        assert!((only.from - BEGIN - 1.8).abs() < 0.5, "{only:?}");
    }
}

#[test]
fn a_camera_that_is_silent_is_not_an_empty_road() {
    let (mut scene, mut report) = (scene(settings()), SceneReport::default());
    watch(&mut scene, &mut report, tenths(0, 100), two_cars);
    scene.tick(BEGIN + 64.9, &mut report);
    assert_eq!(report.intervals, []);
    scene.tick(BEGIN + 65.0, &mut report);
    assert!(report.intervals[0].partial.gap);
    assert!((report.intervals[0].observed - 9.9).abs() < 1e-6);
    // Ten minutes later: no interval of what nobody saw.
    watch(&mut scene, &mut report, tenths(6_000, 6_700), two_cars);
    assert_eq!(report.intervals.len(), 2);
    assert_eq!(report.intervals[1].from, UtcMillis(1_767_226_200_000));
}

#[test]
fn trips_run_from_arm_to_arm() {
    let mut settings = settings();
    let zone = |low: f64, high: f64| vec![[0.1, low], [0.9, low], [0.9, high], [0.1, high]];
    let from = SceneZone { polygon: zone(0.1, 0.3), origin: Some(place("north")), ..SceneZone::default() };
    let to = SceneZone { polygon: zone(0.6, 0.8), destination: Some(place("south")), ..SceneZone::default() };
    settings.add_zone(place("in"), from).unwrap();
    settings.add_zone(place("out"), to).unwrap();
    let (mut scene, mut report) = (scene(settings), SceneReport::default());
    watch(&mut scene, &mut report, tenths(0, 120), two_cars);
    scene.finish(0.1, &mut report);
    let arms: Vec<&str> = scene.settings().arms().iter().map(PlaceId::as_str).collect();
    assert_eq!(arms, ["north", "south"]);
    // The one that goes up ends where trips begin.
    assert_eq!(report.intervals[0].trips, [0, 1, 0, 0]);
    assert_eq!(report.intervals[0].zones[0].entered, 2);
}

#[test]
fn what_waits_on_the_line_crossed_when_it_came_there() {
    let (mut scene, mut report) = (scene(with_ground()), SceneReport::default());
    // It comes at 10 s to 3 pixels beyond the line and stands there until 30 s, in boxes whose edges tremble by 4.
    let tremble = |time: f64| 4.0 * (time * 37.0).sin();
    let y = |time: f64| 100.0 + 40.3 * (time.min(10.0) + (time - 30.0).max(0.0));
    watch(&mut scene, &mut report, tenths(0, 450), |time| vec![at(400.0, y(time) + tremble(time))]);
    scene.finish(0.1, &mut report);
    let [only] = report.crossings.as_slice() else { panic!("{:?}", report.crossings) };
    assert!((only.at - BEGIN - 9.9).abs() < 1.0, "{only:?}");
    assert!((only.speed.unwrap() - 2.8).abs() < 1.5, "as it came: {only:?}");
}

/// A bus that stands in front of what passes.
fn bus(score: f64) -> SeenBox {
    SeenBox { class: 1, score, left: 300.0, top: 430.0, right: 600.0, bottom: 600.0 }
}

#[test]
fn what_slows_down_behind_a_bus_comes_out_as_itself() {
    let mut settings = settings();
    let line = SceneLine { name: place("down"), from: [0.45, 0.1], to: [0.45, 0.9], anchor: Anchor::Bottom };
    settings.add_line(line).unwrap();
    let (mut scene, mut report) = (scene(settings), SceneReport::default());
    // To the right at 90 pixels a second, slower behind the bus, where it stands for five seconds.
    let x = |time: f64| match time {
        t if t < 4.0 => 50.0 + 90.0 * t,
        t if t < 6.0 => 410.0 + 45.0 * (t - 4.0),
        t if t < 11.0 => 500.0,
        t => 500.0 + 60.0 * (t - 11.0),
    };
    let boxes = |time: f64| {
        let mut all = vec![bus(0.9)];
        if !(3.5..13.0).contains(&time) {
            all.push(at(x(time), 480.0));
        }
        all
    };
    watch(&mut scene, &mut report, tenths(0, 170), boxes);
    scene.finish(0.1, &mut report);
    assert_eq!(scene.followed(), 2);
    assert_eq!(report.crossings.iter().filter(|one| one.line == 1).count(), 1, "{:?}", report.crossings);
}

#[test]
fn a_box_of_another_size_or_place_does_not_continue_what_stands() {
    let (mut scene, mut report) = (scene(settings()), SceneReport::default());
    let small = SeenBox { class: 0, score: 0.8, left: 420.0, top: 490.0, right: 540.0, bottom: 600.0 };
    // The bus is missed for a second, in which something else is seen where it stands.
    let boxes = |time: f64| if (3.0..4.0).contains(&time) { vec![small] } else { vec![bus(0.9)] };
    watch(&mut scene, &mut report, tenths(0, 60), boxes);
    scene.finish(0.1, &mut report);
    assert_eq!((scene.followed(), report.crossings.len()), (2, 0), "{:?}", report.crossings);
}

#[test]
fn what_comes_the_other_way_does_not_continue_what_drove_on() {
    let (mut scene, mut report) = (scene(settings()), SceneReport::default());
    // One is lost in full motion to the left; two seconds later another one begins there and goes to the right beside its way.
    let boxes = |time: f64| match time {
        t if t < 2.0 => vec![at(960.0 - 180.0 * t, 400.0)],
        t if t < 3.9 => vec![],
        t => vec![at(600.0 + 180.0 * (t - 3.9), 420.0)],
    };
    watch(&mut scene, &mut report, tenths(0, 55), boxes);
    scene.finish(0.1, &mut report);
    assert_eq!(scene.followed(), 2);
}

#[test]
fn what_is_taken_for_an_object_for_a_second_does_not_occupy_a_zone_for_long() {
    let mut settings = settings();
    let polygon = vec![[0.2, 0.4], [0.8, 0.4], [0.8, 0.8], [0.2, 0.8]];
    settings.add_zone(place("loop"), SceneZone { polygon, ..SceneZone::default() }).unwrap();
    let (mut scene, mut report) = (scene(settings), SceneReport::default());
    // An error of the detector for one second, then what stands for ten and is missed for ten.
    let boxes = |time: f64| match time {
        t if (5.0..6.0).contains(&t) || (20.0..30.0).contains(&t) || t >= 40.0 => vec![at(500.0, 600.0)],
        _ => vec![],
    };
    watch(&mut scene, &mut report, tenths(0, 500), boxes);
    scene.finish(0.1, &mut report);
    let occupied = report.intervals[0].zones[0].occupied;
    assert!((31.0..34.0).contains(&occupied), "{occupied}");
}

#[test]
fn what_stands_in_boxes_that_tremble_has_stopped() {
    let mut settings = with_ground();
    let polygon = vec![[0.2, 0.4], [0.8, 0.4], [0.8, 0.8], [0.2, 0.8]];
    settings
        .add_zone(place("road"), SceneZone { polygon, stopped_after: Some(15.0), ..SceneZone::default() })
        .unwrap();
    let (mut scene, mut report) = (scene(settings), SceneReport::default());
    // It stands from 5 s to 35 s, 5 frames a second, in boxes whose lower edges lie up to .7 m off either way.
    let y = |time: f64| 100.0 + 80.0 * (time.min(5.0) + (time - 35.0).max(0.0));
    let off = |time: f64| (time * 5.0).round() * 0.618_034 % 1.0 * 20.0 - 10.0;
    let fifths = (0..200).map(|fifth| f64::from(fifth) / 5.0);
    watch(&mut scene, &mut report, fifths, |time| vec![at(400.0, y(time) + off(time))]);
    scene.finish(0.2, &mut report);
    let from: Vec<f64> =
        report.events.iter().filter(|one| one.until.is_none()).map(|one| one.from - BEGIN).collect();
    let [only] = from[..] else { panic!("{:?}", report.events) };
    assert!((19.5..21.0).contains(&only), "{only}");
}
