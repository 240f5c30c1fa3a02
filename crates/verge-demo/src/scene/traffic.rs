//! Vehicles that enter, keep their distance, stop at red and leave. A function of the seed and the time alone.

use std::time::Duration;

use super::routes::{EntryLane, Pose, Road, VehiclePath, entries};

/// Length of a step of the simulation, in seconds.
const STEP: f32 = 0.1;
const STEPS_PER_SECOND: u32 = 10;
/// Steps before time zero, so that the roads are not empty then.
const WARM_UP: u32 = 60 * STEPS_PER_SECOND;
/// Steps of a cycle of the signals, and the second of it in which each phase ends.
const CYCLE: u32 = 40 * STEPS_PER_SECOND;
const MAIN_GREEN: f32 = 20.0;
const MAIN_YELLOW: f32 = 23.0;
const SIDE_GREEN_FROM: f32 = 25.0;
const SIDE_GREEN: f32 = 35.0;
const SIDE_YELLOW: f32 = 38.0;
/// The intelligent driver model (Treiber, Hennecke, Helbing 2000), in metres and seconds.
const ACCELERATION: f32 = 1.8;
const BRAKING: f32 = 2.5;
const STANDSTILL_GAP: f32 = 2.2;
const TIME_GAP: f32 = 1.2;
/// No driver brakes harder than this.
const HARDEST_BRAKING: f32 = 7.0;
/// A vehicle turns to the right no faster than this.
const TURN_SPEED: f32 = 4.5;
/// A vehicle closer than this to the line of another blocks it.
const IN_THE_WAY: f32 = 1.7;
/// How many of those who may turn right do.
const TURNS_RIGHT: f32 = 0.3;

/// What a signal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrafficLight {
    Green,
    Yellow,
    Red,
}

/// What a detector is to call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VehicleKind {
    Car,
    Truck,
    Bicycle,
}

impl VehicleKind {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Car => "car",
            Self::Truck => "truck",
            Self::Bicycle => "bicycle",
        }
    }
}

/// A moving vehicle.
#[derive(Debug, Clone)]
pub(super) struct Vehicle {
    pub(super) kind: VehicleKind,
    /// In metres.
    pub(super) length: f32,
    pub(super) width: f32,
    pub(super) height: f32,
    /// Picks colours and shape; it stays the same for as long as the vehicle is there.
    pub(super) looks: u64,
    pub(super) braking: bool,
    /// Indices of the lane it came by and of its route from there.
    entry: usize,
    route: usize,
    /// From the route's start to its middle.
    way: f32,
    speed: f32,
    desired_speed: f32,
}

impl Vehicle {
    fn enter(entry: usize, for_bicycles: bool, rng: &mut fastrand::Rng) -> Self {
        let kind = match (for_bicycles, rng.f32()) {
            (true, _) => VehicleKind::Bicycle,
            (false, share) if share < 0.22 => VehicleKind::Truck,
            _ => VehicleKind::Car,
        };
        let mut between = |low: f32, high: f32| low + (high - low) * rng.f32();
        let (length, width, height, desired_speed) = match kind {
            VehicleKind::Car => {
                (between(3.9, 4.8), between(1.72, 1.9), between(1.42, 1.58), between(10.5, 13.5))
            }
            VehicleKind::Truck => {
                (between(7.0, 9.5), between(2.35, 2.55), between(3.1, 3.8), between(9.0, 11.5))
            }
            VehicleKind::Bicycle => {
                (between(1.7, 1.85), between(0.5, 0.6), between(1.65, 1.85), between(4.0, 6.0))
            }
        };
        Self {
            kind,
            length,
            width,
            height,
            looks: rng.u64(..),
            braking: false,
            entry,
            route: 0,
            way: 0.0,
            speed: desired_speed * 0.9,
            desired_speed,
        }
    }

    /// Metres since it entered: turns wheels and pedals.
    pub(super) const fn way(&self) -> f32 {
        self.way
    }
}

/// All vehicles of the site.
#[derive(Debug, Clone)]
pub(super) struct RenderedTraffic {
    entries: Vec<EntryLane>,
    rng: fastrand::Rng,
    vehicles: Vec<Vehicle>,
    /// By lane: seconds until the next one comes.
    until_next: Vec<f32>,
    steps: u32,
}

impl RenderedTraffic {
    /// At time zero.
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let entries = entries();
        let until_next = entries.iter().map(|entry| entry.headway * rng.f32()).collect();
        let mut traffic = Self { entries, rng, vehicles: Vec::new(), until_next, steps: 0 };
        traffic.run_to(WARM_UP);
        traffic
    }

    /// Whether this state lies after the time: it cannot go back.
    pub(super) fn is_past(&self, at: Duration) -> bool {
        self.steps > steps_at(at)
    }

    /// Continues to the last step before a time.
    pub(super) fn advance(&mut self, at: Duration) {
        self.run_to(steps_at(at));
    }

    /// Every vehicle and where it is at a time at most one step on.
    pub(super) fn placed(&self, at: Duration) -> impl Iterator<Item = (&Vehicle, Pose)> {
        let rest = (at.as_millis() % u128::from(1000 / STEPS_PER_SECOND)) as f32 / 1000.0;
        self.vehicles
            .iter()
            .map(move |vehicle| (vehicle, self.route(vehicle).at(vehicle.way + vehicle.speed * rest)))
    }

    /// What the signals of a road show.
    pub(super) fn signal(&self, road: Road) -> TrafficLight {
        let second = (self.steps % CYCLE) as f32 * STEP;
        match road {
            Road::Main if second < MAIN_GREEN => TrafficLight::Green,
            Road::Main if second < MAIN_YELLOW => TrafficLight::Yellow,
            Road::Side if (SIDE_GREEN_FROM..SIDE_GREEN).contains(&second) => TrafficLight::Green,
            Road::Side if (SIDE_GREEN..SIDE_YELLOW).contains(&second) => TrafficLight::Yellow,
            Road::Main | Road::Side => TrafficLight::Red,
        }
    }

    fn route(&self, vehicle: &Vehicle) -> &VehiclePath {
        &self.entries[vehicle.entry].routes[vehicle.route]
    }

    fn run_to(&mut self, steps: u32) {
        while self.steps < steps {
            self.enter();
            self.step();
            self.steps += 1;
        }
    }

    fn enter(&mut self) {
        for (index, entry) in self.entries.iter().enumerate() {
            self.until_next[index] -= STEP;
            let tail = self.vehicles.iter().filter(|one| one.entry == index).map(|one| one.way - one.length);
            if self.until_next[index] > 0.0 || tail.fold(f32::INFINITY, f32::min) < 12.0 {
                continue;
            }
            let mut vehicle = Vehicle::enter(index, entry.for_bicycles, &mut self.rng);
            if entry.routes.len() > 1 && self.rng.f32() < TURNS_RIGHT {
                vehicle.route = 1;
            }
            self.vehicles.push(vehicle);
            // Exponential, as independent arrivals are.
            self.until_next[index] = -entry.headway * (1.0 - self.rng.f32()).ln();
        }
    }

    fn step(&mut self) {
        let poses: Vec<Pose> =
            self.vehicles.iter().map(|vehicle| self.route(vehicle).at(vehicle.way)).collect();
        let accelerations: Vec<f32> =
            (0..self.vehicles.len()).map(|index| self.acceleration(index, &poses)).collect();
        for (vehicle, acceleration) in self.vehicles.iter_mut().zip(accelerations) {
            vehicle.braking = acceleration < -0.4 || vehicle.speed < 0.2;
            vehicle.way += vehicle.speed * STEP;
            vehicle.speed = (vehicle.speed + acceleration * STEP).max(0.0);
        }
        let entries = &self.entries;
        self.vehicles.retain(|vehicle| vehicle.way < entries[vehicle.entry].routes[vehicle.route].length);
    }

    fn acceleration(&self, index: usize, poses: &[Pose]) -> f32 {
        let vehicle = &self.vehicles[index];
        let route = self.route(vehicle);
        let front = vehicle.way + vehicle.length / 2.0;
        let mut limit = vehicle.desired_speed;
        if let Some([from, to]) = route.bend
            && vehicle.way < to
        {
            // As fast as still lets it slow down before the bend.
            let before = (from - vehicle.way).max(0.0);
            limit = limit.min((TURN_SPEED * TURN_SPEED + 2.0 * 1.5 * before).sqrt());
        }
        let free = 1.0 - (vehicle.speed / limit).powi(4);
        let mut worst = 0.0_f32;
        let mut keep_behind = |gap: f32, speed: f32| {
            let closing = vehicle.speed * (vehicle.speed - speed) / (2.0 * (ACCELERATION * BRAKING).sqrt());
            let wanted = STANDSTILL_GAP + (vehicle.speed * TIME_GAP + closing).max(0.0);
            worst = worst.max(wanted / gap.max(0.3));
        };
        let to_stop = route.stop - front;
        let must_stop = match self.signal(route.road) {
            TrafficLight::Green => false,
            // A vehicle too close to stop in comfort continues.
            TrafficLight::Yellow => to_stop > vehicle.speed * vehicle.speed / (2.0 * BRAKING),
            TrafficLight::Red => to_stop > vehicle.speed * vehicle.speed / (2.0 * HARDEST_BRAKING),
        };
        if must_stop && to_stop > -0.5 {
            keep_behind(to_stop + STANDSTILL_GAP - 0.5, 0.0);
        }
        for (other_index, (other, pose)) in self.vehicles.iter().zip(poses).enumerate() {
            let own = poses[index];
            if other_index == index || (pose.x - own.x).hypot(pose.y - own.y) > 60.0 {
                continue;
            }
            let (at, beside) = route.nearest([pose.x, pose.y]);
            let ahead = at - vehicle.way;
            // Of two that block each other, the one that came first goes first.
            if beside < IN_THE_WAY && ahead > 0.0 && (ahead > 3.0 || other_index < index) {
                let turned = (pose.heading - route.at(at).heading).cos();
                let half = if turned.abs() > 0.7 { other.length } else { other.width } / 2.0;
                keep_behind(at - half - front, other.speed * turned.max(0.0));
            }
        }
        (ACCELERATION * (free - worst * worst)).clamp(-HARDEST_BRAKING, ACCELERATION)
    }
}

fn steps_at(at: Duration) -> u32 {
    // A demo does not run for years; if it did, traffic would stand still.
    let steps = at.as_millis() * u128::from(STEPS_PER_SECOND) / 1000;
    u32::try_from(steps).unwrap_or(u32::MAX - WARM_UP).saturating_add(WARM_UP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vehicles_flow_and_do_not_run_into_each_other() {
        let mut traffic = RenderedTraffic::new(3);
        let (mut most, mut touching, mut seen) = (0, 0, 0);
        for second in 0..240 {
            let at = Duration::from_secs(second);
            traffic.advance(at);
            let placed: Vec<_> = traffic.placed(at).collect();
            most = most.max(placed.len());
            for (index, (one, a)) in placed.iter().enumerate() {
                seen += 1;
                let near = |b: &Pose, room: f32| (a.x - b.x).hypot(a.y - b.y) < room;
                touching +=
                    placed[..index].iter().filter(|(two, b)| near(b, (one.width + two.width) / 2.0)).count();
            }
        }
        assert!((8..70).contains(&most), "{most} vehicles at once");
        assert!(touching * 500 < seen, "{touching} of {seen} are within each other");
    }

    #[test]
    fn a_later_state_is_the_same_however_it_is_reached() {
        let mut steps = RenderedTraffic::new(9);
        for millis in (0..=20_000).step_by(130) {
            steps.advance(Duration::from_millis(millis));
        }
        let at = Duration::from_millis(20_000);
        let mut leap = RenderedTraffic::new(9);
        leap.advance(at);
        steps.advance(at);
        let places = |traffic: &RenderedTraffic| traffic.placed(at).map(|(_, pose)| pose).collect::<Vec<_>>();
        assert_eq!(places(&steps), places(&leap));
        assert!(steps.is_past(Duration::from_secs(1)));
    }
}
