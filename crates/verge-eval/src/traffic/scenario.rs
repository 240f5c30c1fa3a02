//! The scenes that are rendered: their roads, cameras, lines and zones.

use std::f64::consts::{FRAC_PI_2, PI};

use super::camera::{HEIGHT, RoadCamera, Spot, WIDTH};
use super::road::{RoadLane, RoadSignal, SimulatedRoad};

/// Which scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrafficCase {
    /// Two lanes in each direction, seen along the road.
    Road,
    /// Vehicles wait at a light, on lines and in zones.
    Queue,
    /// A junction of four arms with lanes for each movement.
    Turning,
    /// People who pace over a line, and stand on it.
    Pacing,
    /// Traffic over lines at 36 angles.
    Angles,
    /// A line for each lane of the road, for headways and gaps.
    Lanes,
}

impl TrafficCase {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Road, Self::Queue, Self::Turning, Self::Pacing, Self::Angles, Self::Lanes];

    /// The stable text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Road => "road",
            Self::Queue => "queue",
            Self::Turning => "turning",
            Self::Pacing => "pacing",
            Self::Angles => "angles",
            Self::Lanes => "lanes",
        }
    }
}

/// A zone on the ground.
#[derive(Debug, Clone)]
pub struct ZonePlan {
    /// Its name.
    pub name: &'static str,
    /// Its corners; convex.
    pub corners: Vec<Spot>,
    /// The arm that trips begin or end at.
    pub origin: Option<&'static str>,
    /// See `origin`.
    pub destination: Option<&'static str>,
    /// Where queues begin.
    pub stop: Option<[Spot; 2]>,
}

/// A scene that is rendered.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// The camera.
    pub camera: RoadCamera,
    /// What moves.
    pub road: SimulatedRoad,
    /// Lines by name, in shares of the picture's sides.
    pub lines: Vec<(String, [f64; 2], [f64; 2])>,
    /// Zones.
    pub zones: Vec<ZonePlan>,
    /// Four spots that the camera sees.
    pub ground: [Spot; 4],
    /// Origin and destination of each lane, where it has them.
    pub trips: Vec<Option<(&'static str, &'static str)>>,
    /// Each line is one lane: headways and gaps mean something.
    pub has_line_per_lane: bool,
    /// Seconds that are rendered.
    pub seconds: f64,
}

fn line(camera: &RoadCamera, name: &str, from: Spot, to: Spot) -> (String, [f64; 2], [f64; 2]) {
    (name.to_owned(), camera.share(from), camera.share(to))
}

fn rectangle(left: f64, right: f64, near: f64, far: f64) -> Vec<Spot> {
    vec![(left, near), (right, near), (right, far), (left, far)]
}

fn plain(name: &'static str, corners: Vec<Spot>) -> ZonePlan {
    ZonePlan { name, corners, origin: None, destination: None, stop: None }
}

impl Scenario {
    /// The scenes of a case; `share` shortens them.
    #[must_use]
    pub fn of(case: TrafficCase, seed: u64, share: f64) -> Vec<Self> {
        let mut made = match case {
            TrafficCase::Road => vec![road(seed)],
            TrafficCase::Queue => vec![queue(seed)],
            TrafficCase::Turning => vec![turning(seed)],
            TrafficCase::Pacing => vec![pacing(seed)],
            TrafficCase::Angles => (0..36).map(|number| angle(seed, number)).collect(),
            TrafficCase::Lanes => vec![lanes(seed)],
        };
        for one in &mut made {
            one.seconds *= share;
        }
        made
    }
}

fn road(seed: u64) -> Scenario {
    let camera = RoadCamera { height: 9.0, tilt: 0.36, focal: 0.9 };
    let towards = |x: f64| RoadLane::new(vec![(x, 95.0), (x, 1.0)], 550.0, 13.0, None);
    let away = |x: f64| RoadLane::new(vec![(x, 1.0), (x, 95.0)], 550.0, 13.0, None);
    let lanes = vec![towards(-5.25), towards(-1.75), away(1.75), away(5.25)];
    Scenario {
        name: "road".to_owned(),
        camera,
        lines: vec![
            line(&camera, "near", (-8.5, 28.0), (8.5, 28.0)),
            line(&camera, "far", (-8.5, 42.0), (8.5, 42.0)),
        ],
        zones: vec![plain("loop", rectangle(-3.0, -0.5, 27.0, 29.0))],
        ground: [(-7.0, 18.0), (7.0, 18.0), (7.0, 60.0), (-7.0, 60.0)],
        trips: vec![None; lanes.len()],
        road: SimulatedRoad::new(lanes, seed),
        has_line_per_lane: false,
        seconds: 1200.0,
    }
}

/// The same road with lines end to end, one for each lane.
fn lanes(seed: u64) -> Scenario {
    let Scenario { camera, road, ground, trips, seconds, .. } = road(seed);
    let lane = |name: &str, left: f64, right: f64| line(&camera, name, (left, 28.0), (right, 28.0));
    Scenario {
        name: "lanes".to_owned(),
        camera,
        lines: vec![
            lane("left outer", -8.5, -3.5),
            lane("left inner", -3.5, 0.0),
            lane("right inner", 0.0, 3.5),
            lane("right outer", 3.5, 8.5),
        ],
        zones: Vec::new(),
        ground,
        trips,
        road,
        has_line_per_lane: true,
        seconds,
    }
}

fn queue(seed: u64) -> Scenario {
    let camera = RoadCamera { height: 9.0, tilt: 0.36, focal: 0.9 };
    let light = RoadSignal { at: 95.0 - 23.0, cycle: 60.0, green_from: 5.0, green: 26.0 };
    let towards = |x: f64| RoadLane::new(vec![(x, 95.0), (x, 1.0)], 560.0, 12.0, Some(light));
    let lanes = vec![towards(-5.25), towards(-1.75)];
    let stop = [(-7.5, 22.5), (0.5, 22.5)];
    Scenario {
        name: "queue".to_owned(),
        camera,
        lines: vec![
            line(&camera, "stop", (-8.0, 22.5), (1.0, 22.5)),
            line(&camera, "upstream", (-8.0, 38.0), (1.0, 38.0)),
        ],
        zones: vec![
            ZonePlan { stop: Some(stop), ..plain("approach", rectangle(-7.5, 0.5, 22.5, 65.0)) },
            plain("loop", rectangle(-3.0, -0.5, 26.0, 28.0)),
        ],
        ground: [(-7.0, 18.0), (7.0, 18.0), (7.0, 60.0), (-7.0, 60.0)],
        trips: vec![None; lanes.len()],
        road: SimulatedRoad::new(lanes, seed),
        has_line_per_lane: false,
        seconds: 2000.0,
    }
}

/// The middle of the junction.
const MIDDLE: Spot = (0.0, 42.0);

fn turning(seed: u64) -> Scenario {
    let camera = RoadCamera { height: 18.0, tilt: 0.46, focal: 0.6 };
    let arms = [("south", (0.0, 1.0)), ("west", (1.0, 0.0)), ("north", (0.0, -1.0)), ("east", (-1.0, 0.0))];
    let (mut lanes, mut trips, mut lines, mut zones) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let right = |(x, y): Spot| (y, -x);
    let at = |way: Spot, along: f64, side: f64| {
        let across = right(way);
        (MIDDLE.0 + way.0 * along + across.0 * side, MIDDLE.1 + way.1 * along + across.1 * side)
    };
    for (number, (arm, way)) in (0_u32..).zip(arms) {
        let green_from = 20.0 * f64::from(number);
        let light = RoadSignal { at: 44.0 - 14.5, cycle: 80.0, green_from, green: 14.0 };
        let left = (-way.1, way.0);
        for (offset, exit, flow) in [(1.75, left, 100.0), (5.25, way, 180.0), (8.75, right(way), 100.0)] {
            let (begin, corner) = (at(way, -44.0, offset), at(way, -13.0, offset));
            let (leave, end) = (at(exit, 13.0, offset), at(exit, 44.0, offset));
            // The two straight parts meet, or run on.
            let control = if exit == way {
                (f64::midpoint(corner.0, leave.0), f64::midpoint(corner.1, leave.1))
            } else {
                (if way.0 == 0.0 { corner.0 } else { leave.0 }, if way.0 == 0.0 { leave.1 } else { corner.1 })
            };
            let mut path = vec![begin];
            for step in 0..=12_u32 {
                let share = f64::from(step) / 12.0;
                let blend = |a: f64, b: f64, c: f64| {
                    (1.0 - share).powi(2) * a + 2.0 * share * (1.0 - share) * b + share * share * c
                };
                path.push((blend(corner.0, control.0, leave.0), blend(corner.1, control.1, leave.1)));
            }
            path.push(end);
            lanes.push(RoadLane::new(path, flow, 9.0, Some(light)));
            let to = arms.iter().find(|(_, into)| (-into.0, -into.1) == exit).map_or(arm, |(name, _)| name);
            trips.push(Some((arm, to)));
        }
        let (from, to) = (at(way, -20.0, -11.0), at(way, -20.0, 11.0));
        lines.push(line(&camera, arm, from, to));
        let box_of = |low: f64, high: f64| {
            vec![at(way, -27.0, low), at(way, -27.0, high), at(way, -15.0, high), at(way, -15.0, low)]
        };
        let names = [
            ["south in", "west in", "north in", "east in"],
            ["south out", "west out", "north out", "east out"],
        ];
        let number = usize::try_from(number).unwrap_or(0);
        zones.push(ZonePlan { origin: Some(arm), ..plain(names[0][number], box_of(0.2, 11.0)) });
        zones.push(ZonePlan { destination: Some(arm), ..plain(names[1][number], box_of(-11.0, -0.2)) });
    }
    Scenario {
        name: "turning".to_owned(),
        camera,
        lines,
        zones,
        ground: [(-10.0, 24.0), (10.0, 24.0), (16.0, 64.0), (-16.0, 64.0)],
        trips,
        road: SimulatedRoad::new(lanes, seed),
        has_line_per_lane: false,
        seconds: 2600.0,
    }
}

fn pacing(seed: u64) -> Scenario {
    let camera = RoadCamera { height: 6.0, tilt: 0.42, focal: 0.8 };
    let mut road = SimulatedRoad::new(Vec::new(), seed);
    for number in 0..7_u32 {
        let x = -6.0 + 2.0 * f64::from(number);
        road.add_walker((x, 13.0), FRAC_PI_2 + 0.1 * (f64::from(number) - 3.0));
    }
    Scenario {
        name: "pacing".to_owned(),
        camera,
        lines: vec![line(&camera, "gate", (-8.0, 13.0), (8.0, 13.0))],
        zones: Vec::new(),
        ground: [(-5.0, 9.0), (5.0, 9.0), (6.0, 24.0), (-6.0, 24.0)],
        trips: Vec::new(),
        road,
        has_line_per_lane: false,
        seconds: 1500.0,
    }
}

fn angle(seed: u64, number: u32) -> Scenario {
    let camera = RoadCamera { height: 22.0, tilt: 1.05, focal: 0.8 };
    let turn = f64::from(number) * PI / 18.0;
    // In the picture, y down; on the ground the traffic runs across it, some 15° off the square.
    let way = (turn.cos(), turn.sin());
    let end = |sign: f64| {
        [(WIDTH / 2.0 + sign * 270.0 * way.0) / WIDTH, (HEIGHT / 2.0 + sign * 270.0 * way.1) / HEIGHT]
    };
    let middle = (0.0, camera.height / camera.tilt.tan());
    let heading = -turn + FRAC_PI_2 + 0.26;
    let spot = |along: f64, side: f64| {
        let (sin, cos) = heading.sin_cos();
        (middle.0 + along * cos - side * sin, middle.1 + along * sin + side * cos)
    };
    let lanes = vec![
        RoadLane::new(vec![spot(-40.0, -2.0), spot(40.0, -2.0)], 900.0, 9.0, None),
        RoadLane::new(vec![spot(40.0, 2.0), spot(-40.0, 2.0)], 900.0, 9.0, None),
    ];
    Scenario {
        name: format!("angle {}", number * 10),
        camera,
        lines: vec![("line".to_owned(), end(-1.0), end(1.0))],
        zones: Vec::new(),
        ground: [(-6.0, 8.0), (6.0, 8.0), (6.0, 18.0), (-6.0, 18.0)],
        trips: vec![None; lanes.len()],
        road: SimulatedRoad::new(lanes, seed.wrapping_mul(97).wrapping_add(u64::from(number))),
        has_line_per_lane: false,
        seconds: 260.0,
    }
}
