//! What memory a frame of a scene costs once its buffers have grown: none but for what is counted. One test, because allocations of other threads
//! would be counted too.

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use verge_domain::id::{Label, PlaceId};
use verge_domain::interval::IntervalGrid;
use verge_scene::{Anchor, FrameSize, Scene, SceneLine, SceneReport, SceneSettings, SeenBox};

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FRAME: FrameSize = FrameSize { width: 1920, height: 1080 };
/// Ten objects in each of five rows; each crosses the line in its turn and comes again from the other side.
const OBJECTS: u32 = 50;

fn boxes(number: u32, seen: &mut Vec<SeenBox>) {
    seen.clear();
    seen.extend((0..OBJECTS).map(|at| {
        let (row, column) = (f64::from(at / 10), f64::from(at % 10));
        // To and fro over 400 pixels.
        let step = number % 80;
        let moved = 10.0 * f64::from(if step < 40 { step } else { 80 - step });
        let (left, top) = (20.0 + 185.0 * column, 40.0 + 100.0 * row + moved);
        SeenBox { class: 0, score: 0.9, left, top, right: left + 90.0, bottom: top + 60.0 }
    }));
}

#[test]
fn a_frame_of_a_known_scene_allocates_nothing() {
    let interval = IntervalGrid::new(Duration::from_secs(3600)).unwrap();
    let mut settings = SceneSettings::new(vec![Label::new("car").unwrap()], interval);
    let name = PlaceId::new("line").unwrap();
    settings.add_line(SceneLine { name, from: [0.0, 0.5], to: [1.0, 0.5], anchor: Anchor::Bottom }).unwrap();
    let mut scene = Scene::new(Arc::new(settings));
    let (mut report, mut seen, mut crossings) = (SceneReport::default(), Vec::new(), 0);
    let mut frame = |number: u32| {
        boxes(number, &mut seen);
        let region = Region::new(MEMORY);
        scene.observe(1_767_225_600.0 + f64::from(number) / 10.0, FRAME, &mut seen, &mut report);
        let change = region.change();
        crossings += report.crossings.len();
        report.crossings.clear();
        report.intervals.clear();
        change.allocations + change.reallocations
    };
    let learning: usize = (0..400).map(&mut frame).sum();
    assert!(learning > 0, "the counter counts");
    // What an interval keeps of each crossing doubles its room now and then.
    let cost: usize = (400..1200).map(&mut frame).sum();
    assert!(cost <= 4, "{cost} allocations in 800 frames");
    assert!(crossings > 1_000, "{crossings}");
}
