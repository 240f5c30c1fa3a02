//! Traffic that is simulated from a seed and seen by a camera, what truly crossed its lines, and how the counts of a scene
//! stand to that.
//!
//! Reading order: [`road`] (what drives and walks), [`camera`] (how it is seen), [`detector`] (what a model makes of it),
//! [`scenario`] (the scenes), [`truth`] (what happened), [`score`] (counts against the truth), [`headway`] (of
//! single lanes).

pub mod camera;
pub mod detector;
pub mod headway;
pub mod road;
pub mod scenario;
pub mod score;
pub mod truth;

use std::sync::Arc;
use std::time::Duration;

use verge_domain::id::{Label, PlaceId};
use verge_domain::interval::IntervalGrid;
use verge_scene::{
    Anchor, FrameSize, Ground, Scene, SceneLine, SceneReport, SceneSettings, SceneZone, SeenBox,
};

use camera::{HEIGHT, WIDTH};
use detector::{BoxNoise, BoxSensor, Detected, Visible};
use road::STEP;
use scenario::Scenario;
use score::SceneScore;
use truth::Truth;

/// When the scenes begin: a full hour.
pub const BEGIN: f64 = 1_767_225_600.0;
/// The classes that are counted.
pub const CLASSES: [&str; 5] = ["car", "truck", "bus", "motorbike", "person"];
/// Frames a second that are tried. All divide the steps of the simulation.
pub const RATES: [u32; 6] = [30, 10, 5, 3, 2, 1];

/// The settings by which a scenario is counted.
///
/// # Panics
/// If a scenario is drawn wrong.
#[must_use]
pub fn settings_of(scenario: &Scenario) -> SceneSettings {
    const SOUND: &str = "scenarios are sound";
    let classes = CLASSES.map(|class| Label::new(class).expect(SOUND));
    let interval = IntervalGrid::new(Duration::from_secs(60)).expect(SOUND);
    let place = |name: &str| PlaceId::new(name).expect(SOUND);
    let share = |spot: (f64, f64)| scenario.camera.share(spot);
    let ground = Ground::new(scenario.ground.map(share), scenario.ground.map(|(x, y)| [x, y])).expect(SOUND);
    let mut settings = SceneSettings::new(classes.to_vec(), interval).with_ground(Some(ground));
    for (name, from, to) in &scenario.lines {
        let line = SceneLine { name: place(name), from: *from, to: *to, anchor: Anchor::Bottom };
        settings.add_line(line).expect(SOUND);
    }
    for zone in &scenario.zones {
        let drawn = SceneZone {
            polygon: zone.corners.iter().map(|&spot| share(spot)).collect(),
            origin: zone.origin.map(place),
            destination: zone.destination.map(place),
            stop_line: zone.stop.map(|ends| ends.map(share)),
            ..SceneZone::default()
        };
        settings.add_zone(place(zone.name), drawn).expect(SOUND);
    }
    settings
}

/// One detector and rate, and the scene that counts what it sees.
struct TrafficTrial {
    every: u64,
    rate: u32,
    boxes: BoxNoise,
    sensor: BoxSensor,
    scene: Scene,
    report: SceneReport,
}

/// Renders a scenario once and counts it at each rate.
#[must_use]
pub fn count(mut scenario: Scenario, boxes: &[BoxNoise], rates: &[u32], seed: u64) -> Vec<SceneScore> {
    let settings = Arc::new(settings_of(&scenario));
    let mut trials: Vec<TrafficTrial> = boxes
        .iter()
        .flat_map(|&boxes| rates.iter().map(move |&rate| (boxes, rate)))
        .map(|(boxes, rate)| TrafficTrial {
            every: u64::from(30 / rate),
            rate,
            boxes,
            sensor: BoxSensor::new(boxes, seed ^ u64::from(rate)),
            scene: Scene::new(Arc::clone(&settings)),
            report: SceneReport::default(),
        })
        .collect();
    let frame = size();
    let mut truth = Truth::new(&scenario);
    let (mut bodies, mut visible, mut found, mut seen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an hour of steps")]
    let steps = (scenario.seconds / STEP) as u64;
    for step in 0..steps {
        scenario.road.step();
        #[expect(clippy::cast_precision_loss, reason = "an hour of steps")]
        let time = step as f64 * STEP;
        scenario.road.bodies(&mut bodies);
        truth.note(&scenario, time, &bodies);
        visible.clear();
        visible.extend(bodies.iter().filter_map(|body| {
            let edges = scenario.camera.edges(&body.shape)?;
            Some(Visible { id: body.id, label: body.label, edges, distance: body.shape.at.1 })
        }));
        for trial in trials.iter_mut().filter(|trial| step % trial.every == 0) {
            trial.sensor.look(time, &mut visible, &mut found);
            seen.clear();
            seen.extend(found.iter().map(seen_box));
            trial.scene.observe(BEGIN + time, frame, &mut seen, &mut trial.report);
        }
    }
    trials
        .into_iter()
        .map(|mut trial| {
            trial.scene.finish(1.0 / f64::from(trial.rate), &mut trial.report);
            SceneScore::of(&scenario, &truth, &trial.report, (trial.boxes, trial.rate))
        })
        .collect()
}

/// The size of the pictures.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a constant")]
pub const fn size() -> FrameSize {
    FrameSize { width: WIDTH as u32, height: HEIGHT as u32 }
}

fn seen_box(found: &Detected) -> SeenBox {
    let class = CLASSES.iter().position(|class| *class == found.label).unwrap_or(0);
    let [left, top, right, bottom] = found.edges;
    SeenBox { class, score: found.score, left, top, right, bottom }
}
