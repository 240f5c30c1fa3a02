//! Vehicles that follow each other along lanes, stop at lights and never touch: an intelligent driver (Treiber, Hennecke and
//! Helbing 2000) on each.

use fastrand::Rng;

use super::camera::{Cuboid, Spot};

/// Seconds of a step of the simulation.
pub const STEP: f64 = 1.0 / 30.0;

/// A light at a lane.
#[derive(Debug, Clone, Copy)]
pub struct RoadSignal {
    /// Metres along the lane at which vehicles stop.
    pub at: f64,
    /// Seconds from one green to the next.
    pub cycle: f64,
    /// Seconds after the start of the cycle at which it turns green.
    pub green_from: f64,
    /// Seconds of green.
    pub green: f64,
}

impl RoadSignal {
    fn is_green(&self, time: f64) -> bool {
        (time - self.green_from).rem_euclid(self.cycle) < self.green
    }
}

/// One lane: a way on the ground, and what drives on it.
#[derive(Debug, Clone)]
pub struct RoadLane {
    path: Vec<Spot>,
    /// Metres from the begin to each point.
    along: Vec<f64>,
    /// Vehicles an hour.
    pub flow: f64,
    /// Metres per second that drivers wish to drive.
    pub speed: f64,
    /// Its light, if it has one.
    pub light: Option<RoadSignal>,
}

impl RoadLane {
    /// Along these points.
    #[must_use]
    pub fn new(path: Vec<Spot>, flow: f64, speed: f64, light: Option<RoadSignal>) -> Self {
        let mut along = vec![0.0];
        for pair in path.windows(2) {
            let step = (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1);
            along.push(along.last().copied().unwrap_or(0.0) + step);
        }
        Self { path, along, flow, speed, light }
    }

    fn length(&self) -> f64 {
        self.along.last().copied().unwrap_or(0.0)
    }

    /// Where a vehicle is whose middle has come so far, and where it points.
    fn place(&self, at: f64) -> (Spot, f64) {
        let next = self.along.partition_point(|&along| along <= at).clamp(1, self.path.len() - 1);
        let (a, b) = (self.path[next - 1], self.path[next]);
        let share = (at - self.along[next - 1]) / (self.along[next] - self.along[next - 1]);
        let spot = (a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1));
        (spot, (b.1 - a.1).atan2(b.0 - a.0))
    }
}

/// What drives: name, size in metres, and its share of the traffic.
pub const KINDS: [(&str, [f64; 3], f64); 4] = [
    ("car", [4.5, 1.8, 1.5], 0.78),
    ("truck", [8.5, 2.4, 3.0], 0.10),
    ("bus", [11.5, 2.5, 3.0], 0.05),
    ("motorbike", [2.1, 0.8, 1.4], 0.07),
];

/// The name of those who walk, and their size.
pub const WALKER: (&str, [f64; 3]) = ("person", [0.5, 0.6, 1.75]);

#[derive(Debug, Clone)]
struct SimulatedVehicle {
    id: u32,
    kind: usize,
    /// Metres of its middle along the lane.
    at: f64,
    speed: f64,
    wish: f64,
}

/// One body at a time.
#[derive(Debug, Clone, Copy)]
pub struct VehicleBody {
    /// It keeps it.
    pub id: u32,
    /// Its name.
    pub label: &'static str,
    /// Where it is.
    pub shape: Cuboid,
    /// Metres per second.
    pub speed: f64,
    /// Its lane.
    pub lane: usize,
}

/// Who paces to and fro, or stands about.
#[derive(Debug, Clone)]
struct Walker {
    id: u32,
    middle: Spot,
    heading: f64,
    at: f64,
    speed: f64,
    until: f64,
    to: f64,
}

/// Lanes with their vehicles, and walkers.
#[derive(Debug, Clone)]
pub struct SimulatedRoad {
    lanes: Vec<(RoadLane, Vec<SimulatedVehicle>, f64)>,
    walkers: Vec<Walker>,
    random: Rng,
    next: u32,
    time: f64,
}

impl SimulatedRoad {
    /// Empty lanes.
    #[must_use]
    pub fn new(lanes: Vec<RoadLane>, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let lanes = lanes.into_iter().map(|lane| {
            let first = wait(&lane, &mut random);
            (lane, Vec::new(), first)
        });
        let lanes = lanes.collect();
        Self { lanes, walkers: Vec::new(), random, next: 0, time: 0.0 }
    }

    /// Somebody who paces through `middle` in this direction, some metres to each side.
    pub fn add_walker(&mut self, middle: Spot, heading: f64) {
        let id = self.next;
        self.next += 1;
        self.walkers.push(Walker { id, middle, heading, at: -2.0, speed: 1.2, until: 0.0, to: 2.0 });
    }

    /// Lets one [`STEP`] pass.
    pub fn step(&mut self) {
        self.time += STEP;
        let Self { lanes, walkers, random, next, time } = self;
        for (lane, vehicles, due) in lanes {
            drive(lane, vehicles, *time);
            vehicles.retain(|vehicle| vehicle.at < lane.length());
            let free = vehicles.last().is_none_or(|last| last.at - KINDS[last.kind].1[0] / 2.0 > 16.0);
            if *time >= *due && free {
                let kind = kind(random);
                let wish = lane.speed * random_between(random, 0.85, 1.15);
                let room = vehicles.last().map_or(f64::MAX, |last| last.speed + 2.0);
                vehicles.push(SimulatedVehicle { id: *next, kind, at: 0.0, speed: wish.min(room), wish });
                *next += 1;
                *due = *time + wait(lane, random);
            }
        }
        for walker in walkers {
            walk(walker, *time, random);
        }
    }

    /// Who is where now.
    pub fn bodies(&self, bodies: &mut Vec<VehicleBody>) {
        bodies.clear();
        for (number, (lane, vehicles, _)) in self.lanes.iter().enumerate() {
            bodies.extend(vehicles.iter().map(|vehicle| {
                let (at, heading) = lane.place(vehicle.at);
                let (label, size, _) = KINDS[vehicle.kind];
                let shape = Cuboid { at, heading, size };
                VehicleBody { id: vehicle.id, label, shape, speed: vehicle.speed, lane: number }
            }));
        }
        bodies.extend(self.walkers.iter().map(|walker| {
            let (sin, cos) = walker.heading.sin_cos();
            let at = (walker.middle.0 + walker.at * cos, walker.middle.1 + walker.at * sin);
            let shape = Cuboid { at, heading: walker.heading, size: WALKER.1 };
            VehicleBody { id: walker.id, label: WALKER.0, shape, speed: walker.speed, lane: usize::MAX }
        }));
    }
}

fn drive(lane: &RoadLane, vehicles: &mut [SimulatedVehicle], time: f64) {
    /// Metres per second squared: how drivers accelerate and brake.
    const PUSH: f64 = 1.8;
    const BRAKE: f64 = 2.5;
    /// Metres that they leave when they stand, seconds when they drive.
    const DISTANCE: f64 = 2.0;
    const HEADWAY: f64 = 1.3;
    for number in 0..vehicles.len() {
        let own = vehicles[number].clone();
        let front = own.at + KINDS[own.kind].1[0] / 2.0;
        let ahead = number.checked_sub(1).map(|leader| {
            let leader = &vehicles[leader];
            (leader.at - KINDS[leader.kind].1[0] / 2.0 - front, leader.speed)
        });
        let light = lane.light.filter(|light| !light.is_green(time)).map(|light| light.at - front);
        // Who cannot stop any more drives on.
        let red = light.filter(|&left| left > own.speed * own.speed / (2.0 * 4.5) && left > 0.0);
        let nearest = match (ahead, red) {
            (Some(ahead), Some(red)) if red < ahead.0 => Some((red, 0.0)),
            (Some(ahead), _) => Some(ahead),
            (None, red) => red.map(|red| (red, 0.0)),
        };
        let free = 1.0 - (own.speed / own.wish).powi(4);
        let close = nearest.map_or(0.0, |(gap, speed)| {
            let closing = own.speed * (own.speed - speed) / (2.0 * (PUSH * BRAKE).sqrt());
            let wished = DISTANCE + (own.speed * HEADWAY + closing).max(0.0);
            (wished / gap.max(0.1)).powi(2)
        });
        let vehicle = &mut vehicles[number];
        vehicle.speed = (own.speed + PUSH * (free - close) * STEP).max(0.0);
        let mut step = vehicle.speed * STEP;
        if let Some((gap, _)) = nearest {
            step = step.min((gap - 0.5).max(0.0));
        }
        vehicle.at += step;
    }
}

fn walk(walker: &mut Walker, time: f64, random: &mut Rng) {
    if time < walker.until {
        return;
    }
    let left = walker.to - walker.at;
    let step = walker.speed * STEP;
    if left.abs() > step {
        walker.at += step * left.signum();
        return;
    }
    // Further to the other side, sometimes after a while on the line.
    let side = if walker.at.abs() < 0.5 { -walker.to.signum() } else { -walker.at.signum() };
    walker.until = time + random_between(random, 0.0, 3.0);
    walker.speed = random_between(random, 0.8, 1.6);
    walker.to = if random.u8(..10) == 0 && walker.at.abs() > 0.5 {
        0.0
    } else {
        side * random_between(random, 1.5, 4.0)
    };
}

/// Seconds to the next vehicle.
fn wait(lane: &RoadLane, random: &mut Rng) -> f64 {
    -(1.0 - random.f64()).ln() * 3600.0 / lane.flow
}

fn kind(random: &mut Rng) -> usize {
    let mut left = random.f64();
    KINDS
        .iter()
        .position(|(_, _, share)| {
            left -= share;
            left < 0.0
        })
        .unwrap_or(0)
}

/// Evenly between two numbers.
pub fn random_between(random: &mut Rng, low: f64, high: f64) -> f64 {
    low + random.f64() * (high - low)
}
