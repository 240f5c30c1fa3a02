//! What truly crossed the lines, stood in the zones and went from arm to arm.

use std::collections::BTreeMap;

use super::camera::{Cuboid, HEIGHT, Spot, WIDTH};
use super::road::{STEP, VehicleBody};
use super::scenario::Scenario;

/// A true crossing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrueCrossing {
    /// Who.
    pub id: u32,
    /// Seconds since the start.
    pub at: f64,
    /// Position of the line.
    pub line: usize,
    /// From its left to its right.
    pub forward: bool,
    /// Its class.
    pub label: &'static str,
    /// Metres per second.
    pub speed: f64,
}

/// What happened.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// All crossings, in order of time.
    pub crossings: Vec<TrueCrossing>,
    /// Of each zone: seconds in which something was over it, and objects that waited in it times seconds.
    pub zones: Vec<(f64, f64)>,
    /// Trips from arm to arm.
    pub trips: BTreeMap<(&'static str, &'static str), u32>,
    /// Of each vehicle and line: seconds in which it drove its own length behind the line.
    pub passing: BTreeMap<(u32, usize), f64>,
    sides: BTreeMap<(u32, usize), LineSide>,
    present: BTreeMap<u32, usize>,
}

#[derive(Debug, Clone, Copy)]
struct LineSide {
    right: Option<bool>,
    last: f64,
    at: f64,
    flipped: Option<(f64, f64)>,
    /// Since when it drives its own length behind the line, and how far it is.
    passing: Option<(f64, f64)>,
}

impl Truth {
    /// Nothing yet.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self { zones: vec![(0.0, 0.0); scenario.zones.len()], ..Self::default() }
    }

    /// Looks at the bodies of one step.
    pub fn note(&mut self, scenario: &Scenario, time: f64, bodies: &[VehicleBody]) {
        for body in bodies {
            let Some(edges) = scenario.camera.edges(&body.shape) else { continue };
            let foot = (f64::midpoint(edges[0], edges[2]), edges[3]);
            let smaller = (edges[2] - edges[0]).min(edges[3] - edges[1]);
            for (number, (_, from, to)) in scenario.lines.iter().enumerate() {
                self.note_line(number, (*from, *to), time, body, foot, smaller);
            }
        }
        for (zone, tally) in scenario.zones.iter().zip(&mut self.zones) {
            let over = |body: &&VehicleBody| meets(&zone.corners, &body.shape.corners());
            let waits = |body: &&VehicleBody| body.speed < 1.4 && holds(&zone.corners, nearest(&body.shape));
            tally.0 += if bodies.iter().any(|body| over(&body)) { STEP } else { 0.0 };
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            let waiting = bodies.iter().filter(waits).count() as f64;
            tally.1 += waiting * STEP;
        }
        let gone: Vec<u32> =
            self.present.keys().copied().filter(|id| bodies.iter().all(|body| body.id != *id)).collect();
        for id in gone {
            if let Some(lane) = self.present.remove(&id)
                && let Some(Some(trip)) = scenario.trips.get(lane)
            {
                *self.trips.entry(*trip).or_default() += 1;
            }
        }
        self.present.extend(bodies.iter().map(|body| (body.id, body.lane)));
    }

    fn note_line(
        &mut self,
        line: usize,
        (from, to): ([f64; 2], [f64; 2]),
        time: f64,
        body: &VehicleBody,
        foot: Spot,
        smaller: f64,
    ) {
        let (a, b) = ((from[0] * WIDTH, from[1] * HEIGHT), (to[0] * WIDTH, to[1] * HEIGHT));
        let length = (b.0 - a.0).hypot(b.1 - a.1);
        let off = ((b.0 - a.0) * (foot.1 - a.1) - (b.1 - a.1) * (foot.0 - a.0)) / length;
        let along = ((b.0 - a.0) * (foot.0 - a.0) + (b.1 - a.1) * (foot.1 - a.1)) / (length * length);
        let side = self.sides.entry((body.id, line)).or_insert(LineSide {
            right: None,
            last: off,
            at: time,
            flipped: None,
            passing: None,
        });
        if let Some((since, run)) = &mut side.passing {
            *run += body.speed * (time - side.at);
            if *run >= body.shape.size[0] {
                let over = (*run - body.shape.size[0]) / body.speed.max(0.1);
                self.passing.insert((body.id, line), time - over - *since);
                side.passing = None;
            }
        }
        if (side.last > 0.0) != (off > 0.0) && time > side.at {
            let share = side.last / (side.last - off);
            let at = side.at + share * (time - side.at);
            side.flipped = (0.0..1.0).contains(&along).then_some((at, body.speed));
            side.passing = side.flipped.map(|_| (at, body.speed * (time - at)));
        }
        (side.last, side.at) = (off, time);
        let is_beyond = off.abs() > 0.2 * smaller;
        if is_beyond {
            let right = off > 0.0;
            let before = side.right.replace(right);
            if before.is_some_and(|before| before != right)
                && let Some((at, speed)) = side.flipped
                && foot.1 < HEIGHT - 2.0
            {
                self.crossings.push(TrueCrossing {
                    id: body.id,
                    at,
                    line,
                    forward: right,
                    label: body.label,
                    speed,
                });
            }
            side.flipped = None;
        }
    }
}

/// The middle of the side that the camera is nearest to.
fn nearest(body: &Cuboid) -> Spot {
    let corners = body.corners();
    let near = corners.iter().map(|corner| corner.1).fold(f64::MAX, f64::min);
    (body.at.0, near)
}

fn turn(a: Spot, b: Spot, point: Spot) -> f64 {
    (b.0 - a.0) * (point.1 - a.1) - (b.1 - a.1) * (point.0 - a.0)
}

fn sides(corners: &[Spot]) -> impl Iterator<Item = (Spot, Spot)> {
    corners.iter().copied().zip(corners.iter().copied().cycle().skip(1))
}

/// Whether a convex zone holds a point.
fn holds(corners: &[Spot], point: Spot) -> bool {
    let left = sides(corners).filter(|&(a, b)| turn(a, b, point) > 0.0).count();
    left == 0 || left == corners.len()
}

/// Whether two convex polygons meet: no side of either has all of the other beyond it.
fn meets(first: &[Spot], second: &[Spot]) -> bool {
    let parts = |own: &[Spot], other: &[Spot]| {
        sides(own).any(|(a, b)| {
            let inner = own
                .iter()
                .map(|&corner| turn(a, b, corner))
                .fold(0.0, |most: f64, one| if one.abs() > most.abs() { one } else { most });
            other.iter().all(|&corner| turn(a, b, corner) * inner < 0.0)
        })
    };
    !parts(first, second) && !parts(second, first)
}
