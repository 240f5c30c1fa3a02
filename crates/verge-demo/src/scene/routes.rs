//! The roads' axes: where lanes lie, and the lines that vehicles follow. Traffic keeps to the right.

use std::f32::consts::{FRAC_PI_2, PI};

/// From the middle of the junction to the middle of each lane of the main road (east-west), in metres.
pub(super) const INNER_LANE: f32 = 1.75;
pub(super) const OUTER_LANE: f32 = 5.25;
pub(super) const BICYCLE_LANE: f32 = 7.9;
/// The same for the only lane in each direction of the side road (north-south).
pub(super) const SIDE_LANE: f32 = 1.9;
/// From a road's axis to its kerb.
pub(super) const MAIN_HALF_WIDTH: f32 = 8.8;
pub(super) const SIDE_HALF_WIDTH: f32 = 4.0;
/// From the middle of the junction to the stop lines.
pub(super) const MAIN_STOP: f32 = 12.0;
pub(super) const SIDE_STOP: f32 = 17.0;
/// From the middle of the junction to where vehicles come from and vanish: out of sight, or too far to be seen.
const MAIN_END: f32 = 80.0;
const SIDE_END: f32 = 120.0;
const TURN_RADIUS: f32 = 5.0;

/// Which road a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Road {
    Main,
    Side,
}

/// Where something is and where it is headed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pose {
    pub(super) x: f32,
    pub(super) y: f32,
    /// Radians from east towards north.
    pub(super) heading: f32,
}

#[derive(Debug, Clone)]
struct PathPiece {
    from: Pose,
    length: f32,
    /// Radians per metre: 0 is straight on, below it a turn to the right.
    curvature: f32,
}

impl PathPiece {
    fn at(&self, distance: f32) -> Pose {
        let Pose { x, y, heading } = self.from;
        if self.curvature == 0.0 {
            return Pose { x: x + heading.cos() * distance, y: y + heading.sin() * distance, heading };
        }
        let turned = heading + distance * self.curvature;
        let radius = 1.0 / self.curvature;
        Pose {
            x: x + (turned.sin() - heading.sin()) * radius,
            y: y - (turned.cos() - heading.cos()) * radius,
            heading: turned,
        }
    }

    /// How far along the piece a point lies, and how far beside it.
    fn nearest(&self, [px, py]: [f32; 2]) -> (f32, f32) {
        let Pose { x, y, heading } = self.from;
        let along = if self.curvature == 0.0 {
            (px - x) * heading.cos() + (py - y) * heading.sin()
        } else {
            let radius = 1.0 / self.curvature;
            let (centre_x, centre_y) = (x - heading.sin() * radius, y + heading.cos() * radius);
            let from_start = (py - centre_y).atan2(px - centre_x) - (y - centre_y).atan2(x - centre_x);
            // The shorter turn.
            let from_start = (from_start + PI).rem_euclid(2.0 * PI) - PI;
            from_start * radius
        };
        let along = along.clamp(0.0, self.length);
        let on_it = self.at(along);
        (along, (px - on_it.x).hypot(py - on_it.y))
    }
}

/// A line through the junction from one end of the site to another.
#[derive(Debug, Clone)]
pub(super) struct VehiclePath {
    pieces: Vec<PathPiece>,
    /// The road it comes from, whose signal it obeys.
    pub(super) road: Road,
    /// From its start to the stop line.
    pub(super) stop: f32,
    /// Where it bends, if it does: from its start to the bend's start and end.
    pub(super) bend: Option<[f32; 2]>,
    pub(super) length: f32,
}

impl VehiclePath {
    /// Straight on, `offset` to the right of the road's axis.
    fn straight(road: Road, offset: f32) -> Self {
        let (end, stop) = match road {
            Road::Main => (MAIN_END, MAIN_STOP),
            Road::Side => (SIDE_END, SIDE_STOP),
        };
        let piece = PathPiece { from: start(road, offset), length: 2.0 * end, curvature: 0.0 };
        Self { pieces: vec![piece], road, stop: end - stop, bend: None, length: 2.0 * end }
    }

    /// To the right, into a lane `into` beside the other road's axis.
    fn right_turn(road: Road, offset: f32, into: f32) -> Self {
        let (end, stop, other_end) = match road {
            Road::Main => (MAIN_END, MAIN_STOP, SIDE_END),
            Road::Side => (SIDE_END, SIDE_STOP, MAIN_END),
        };
        let first = PathPiece { from: start(road, offset), length: end - into - TURN_RADIUS, curvature: 0.0 };
        let turn = PathPiece {
            from: first.at(first.length),
            length: TURN_RADIUS * FRAC_PI_2,
            curvature: -1.0 / TURN_RADIUS,
        };
        let last = PathPiece {
            from: turn.at(turn.length),
            length: other_end - offset - TURN_RADIUS,
            curvature: 0.0,
        };
        let bend = [first.length, first.length + turn.length];
        let length = bend[1] + last.length;
        Self { pieces: vec![first, turn, last], road, stop: end - stop, bend: Some(bend), length }
    }

    /// The same, from the opposite direction.
    fn opposite(&self) -> Self {
        let pieces = self.pieces.iter().map(|piece| {
            let Pose { x, y, heading } = piece.from;
            PathPiece { from: Pose { x: -x, y: -y, heading: heading + PI }, ..piece.clone() }
        });
        Self { pieces: pieces.collect(), ..self.clone() }
    }

    /// The position at this distance from its start.
    pub(super) fn at(&self, mut distance: f32) -> Pose {
        let last = self.pieces.len() - 1;
        for piece in &self.pieces[..last] {
            if distance < piece.length {
                return piece.at(distance);
            }
            distance -= piece.length;
        }
        self.pieces[last].at(distance)
    }

    /// How far from its start it comes closest to a point, and how close.
    pub(super) fn nearest(&self, point: [f32; 2]) -> (f32, f32) {
        let mut before = 0.0;
        let mut best = (0.0, f32::INFINITY);
        for piece in &self.pieces {
            let (along, beside) = piece.nearest(point);
            if beside < best.1 {
                best = (before + along, beside);
            }
            before += piece.length;
        }
        best
    }
}

fn start(road: Road, offset: f32) -> Pose {
    match road {
        Road::Main => Pose { x: -MAIN_END, y: -offset, heading: 0.0 },
        Road::Side => Pose { x: offset, y: -SIDE_END, heading: FRAC_PI_2 },
    }
}

/// A lane by which vehicles enter the site.
#[derive(Debug, Clone)]
pub(super) struct EntryLane {
    /// Straight on, then to the right where that is allowed.
    pub(super) routes: Vec<VehiclePath>,
    pub(super) for_bicycles: bool,
    /// Seconds from one vehicle to the next, on average.
    pub(super) headway: f32,
}

/// All lanes by which vehicles enter.
pub(super) fn entries() -> Vec<EntryLane> {
    let inner = EntryLane {
        routes: vec![VehiclePath::straight(Road::Main, INNER_LANE)],
        for_bicycles: false,
        headway: 10.0,
    };
    let outer = EntryLane {
        routes: vec![
            VehiclePath::straight(Road::Main, OUTER_LANE),
            VehiclePath::right_turn(Road::Main, OUTER_LANE, SIDE_LANE),
        ],
        for_bicycles: false,
        headway: 10.0,
    };
    let bicycles = EntryLane {
        routes: vec![VehiclePath::straight(Road::Main, BICYCLE_LANE)],
        for_bicycles: true,
        headway: 11.0,
    };
    let side = EntryLane {
        routes: vec![
            VehiclePath::straight(Road::Side, SIDE_LANE),
            VehiclePath::right_turn(Road::Side, SIDE_LANE, OUTER_LANE),
        ],
        for_bicycles: false,
        headway: 14.0,
    };
    let ways = [inner, outer, bicycles, side];
    let opposite = ways
        .clone()
        .map(|entry| EntryLane { routes: entry.routes.iter().map(VehiclePath::opposite).collect(), ..entry });
    ways.into_iter().chain(opposite).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_without_gaps_and_end_in_a_lane() {
        for route in entries().iter().flat_map(|entry| &entry.routes) {
            let mut last = route.at(0.0);
            let mut way = 0.5;
            while way < route.length {
                let here = route.at(way);
                let step = (here.x - last.x).hypot(here.y - last.y);
                assert!((0.45..0.51).contains(&step), "{step} at {way}");
                let (along, beside) = route.nearest([here.x, here.y]);
                assert!((along - way).abs() < 0.01 && beside < 0.01, "{along} {beside} at {way}");
                last = here;
                way += 0.5;
            }
            let beside_axis = if last.x.abs() < last.y.abs() { last.x.abs() } else { last.y.abs() };
            assert!(
                [INNER_LANE, OUTER_LANE, BICYCLE_LANE, SIDE_LANE]
                    .iter()
                    .any(|lane| (lane - beside_axis).abs() < 0.01)
            );
        }
    }
}
