//! Zones: what is in them, and what of it is an event.

use serde::{Deserialize, Serialize};

use crate::geometry::{Point, contains};
use crate::ground::Ground;
use crate::settings::SceneZone;
use crate::track::FrameSize;

/// Slower than this many metres a second it waits.
pub(crate) const WAITING: f64 = 1.4;
/// Against its lane at least this many metres a second it goes the wrong way.
const AGAINST: f64 = 2.0;
/// For this many seconds.
const AGAINST_FOR: f64 = 0.5;
/// Metres within which something has not moved.
const UNMOVED: f64 = 1.0;
/// Seconds for which what stops may still roll to where it then stands, slower than this: metres, or heights of its box, a second.
const ROLLS_OUT: f64 = 2.0;
const ROLLING: (f64, f64) = (0.7, 0.2);
/// Metres of a gap that ends a queue.
const QUEUE_GAP: f64 = 20.0;
/// As many that wait together are a queue, and no single one of them has stopped.
const QUEUE_OF: usize = 2;

/// What can be an event in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ZoneEventKind {
    /// Something does not move any more, and no queue holds it.
    Stopped,
    /// Something goes against its lane.
    WrongWay,
    /// Something is where its class must not be.
    Person,
    /// As many wait as are worth an event.
    Queue,
}

impl ZoneEventKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Stopped, Self::WrongWay, Self::Person, Self::Queue];

    /// The stable text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::WrongWay => "wrong_way",
            Self::Person => "person",
            Self::Queue => "queue",
        }
    }
}

/// A zone in pixels of the frame and in metres on the ground.
#[derive(Debug, Clone)]
pub(crate) struct PlacedZone {
    pub(crate) corners: Vec<Point>,
    /// On the ground, where there is one.
    pub(crate) ground: Option<Vec<Point>>,
    /// A point of the line where queues begin and the direction from it against the traffic, on the ground.
    stop: Option<(Point, Point)>,
    /// The direction of traffic: metres on the ground, else pixels.
    lane: Option<Point>,
}

/// How one object moves with respect to one zone.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct ZoneCourse {
    pub(crate) inside: bool,
    /// It has entered, and that is not counted yet.
    pub(crate) uncounted: bool,
    /// Where it has not moved away from, and since when.
    still: Option<(f64, Point)>,
    against_since: Option<f64>,
}

/// One object in a zone, for its queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueWait {
    /// Nearest and farthest metres from the stop line.
    near: f64,
    far: f64,
}

/// An object as zones look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    pub(crate) at: f64,
    /// Where it stands, in pixels.
    pub(crate) foot: Point,
    /// Where it is on the ground by its latest boxes.
    pub(crate) place: Option<Point>,
    /// Metres per second, where there is a ground; else heights of its box per second.
    pub(crate) velocity: Option<Point>,
    /// Height of its box in pixels.
    pub(crate) height: f64,
    /// One box alone may be an error of the detector.
    pub(crate) is_confirmed: bool,
}

impl PlacedZone {
    pub(crate) fn new(zone: &SceneZone, frame: FrameSize, ground: Option<&Ground>) -> Self {
        let pixels = |[x, y]: [f64; 2]| Point::new(x * f64::from(frame.width), y * f64::from(frame.height));
        let metres = |[x, y]: [f64; 2]| ground.and_then(|ground| ground.place(Point::new(x, y)));
        let on_ground: Option<Vec<Point>> = zone.polygon.iter().map(|&corner| metres(corner)).collect();
        let middle = on_ground.as_ref().map(|corners| {
            let sum = corners.iter().fold(Point::default(), |sum, &corner| sum.plus(corner));
            #[expect(clippy::cast_precision_loss, reason = "at most 64 corners")]
            sum.times(1.0 / corners.len() as f64)
        });
        let stop = zone.stop_line.and_then(|[from, to]| {
            let (from, to) = (metres(from)?, metres(to)?);
            let along = to.minus(from).unit()?;
            let across = Point::new(-along.y, along.x);
            let back = if across.dot(middle?.minus(from)) < 0.0 { across.times(-1.0) } else { across };
            Some((from, back))
        });
        let lane = zone.lane.and_then(|[from, to]| {
            let ends = match ground {
                Some(_) => (metres(from)?, metres(to)?),
                None => (pixels(from), pixels(to)),
            };
            ends.1.minus(ends.0).unit()
        });
        Self {
            corners: zone.polygon.iter().map(|&corner| pixels(corner)).collect(),
            ground: on_ground,
            stop,
            lane,
        }
    }

    /// Follows an object; whether it has entered, which is answered once.
    pub(crate) fn follow(&self, course: &mut ZoneCourse, object: &Located) -> bool {
        let inside = contains(&self.corners, object.foot);
        course.uncounted |= inside && !course.inside;
        course.inside = inside;
        let entered = object.is_confirmed && std::mem::take(&mut course.uncounted);
        if !inside {
            course.still = None;
            course.against_since = None;
            return entered;
        }
        let (point, reach) = match object.place {
            Some(place) => (place, UNMOVED),
            None => (object.foot, object.height / 4.0),
        };
        let most = if object.place.is_some() { ROLLING.0 } else { ROLLING.1 };
        let rolls = object.velocity.is_some_and(|velocity| velocity.length() < most);
        course.still = match course.still.filter(|(_, known)| point.minus(*known).length() <= reach) {
            Some((since, _)) if rolls && object.at - since <= ROLLS_OUT => Some((since, point)),
            Some(still) => Some(still),
            None => Some((object.at, point)),
        };
        let limit = if object.place.is_some() { AGAINST } else { 0.5 };
        let is_against = match (self.lane, object.velocity) {
            (Some(lane), Some(velocity)) => velocity.dot(lane) < -limit,
            _ => false,
        };
        course.against_since = if is_against { course.against_since.or(Some(object.at)) } else { None };
        entered
    }

    /// How far from the stop line an object reaches.
    pub(crate) fn waiting(&self, footprint: &[Point; 4]) -> Option<QueueWait> {
        let (stop, back) = self.stop?;
        let distances = footprint.map(|corner| corner.minus(stop).dot(back));
        let near = distances.iter().copied().fold(f64::MAX, f64::min);
        let far = distances.iter().copied().fold(f64::MIN, f64::max);
        Some(QueueWait { near, far })
    }
}

impl ZoneCourse {
    /// For how many seconds it has not moved.
    pub(crate) fn stands_for(&self, at: f64) -> Option<f64> {
        self.still.map(|(since, _)| at - since)
    }

    /// Whether it has stopped, at this time.
    pub(crate) fn has_stopped(&self, at: f64, after: f64, waiting: usize) -> bool {
        self.inside && waiting < QUEUE_OF && self.still.is_some_and(|(since, _)| at - since >= after)
    }

    pub(crate) fn goes_wrong_way(&self, at: f64) -> bool {
        self.inside && self.against_since.is_some_and(|since| at - since >= AGAINST_FOR)
    }

    pub(crate) fn is_finite(&self) -> bool {
        let still = self.still.into_iter().flat_map(|(at, point)| [at, point.x, point.y]);
        still.chain(self.against_since).all(f64::is_finite)
    }
}

/// Metres from the stop line to the rear of the last one that waits, over gaps that are none.
pub(crate) fn queue_length(waiting: &mut [QueueWait]) -> f64 {
    waiting.sort_by(|a, b| a.near.total_cmp(&b.near));
    let mut rear = 0.0_f64;
    for one in waiting.iter() {
        if one.near - rear > QUEUE_GAP {
            break;
        }
        rear = rear.max(one.far);
    }
    rear
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: FrameSize = FrameSize { width: 100, height: 100 };

    fn zone() -> PlacedZone {
        let polygon = vec![[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]];
        let lane = Some([[0.5, 0.2], [0.5, 0.8]]);
        PlacedZone::new(&SceneZone { polygon, lane, ..SceneZone::default() }, FRAME, None)
    }

    fn located(at: f64, y: f64, down: f64) -> Located {
        let velocity = Some(Point::new(0.0, down));
        Located { at, foot: Point::new(50.0, y), place: None, velocity, height: 10.0, is_confirmed: true }
    }

    #[test]
    fn what_enters_stops_and_goes_against_the_lane_is_noticed() {
        let (zone, mut course) = (zone(), ZoneCourse::default());
        assert!(!zone.follow(&mut course, &located(0.0, 10.0, 1.0)));
        assert!(zone.follow(&mut course, &located(1.0, 30.0, 1.0)));
        assert!(!zone.follow(&mut course, &located(5.0, 31.0, 0.0)));
        assert!(course.has_stopped(11.0, 10.0, 1) && !course.has_stopped(10.9, 10.0, 1));
        assert!(!course.has_stopped(11.0, 10.0, 2), "a queue");
        assert!(!zone.follow(&mut course, &located(12.0, 50.0, -3.0)));
        assert!(!course.has_stopped(20.0, 10.0, 1) && !course.goes_wrong_way(12.4));
        assert!(course.goes_wrong_way(12.5));
        assert!(!zone.follow(&mut course, &located(13.0, 90.0, -3.0)));
        assert!(!course.goes_wrong_way(14.0));
    }

    #[test]
    fn what_rolls_out_stands_where_it_came_to_rest() {
        let (zone, mut course) = (zone(), ZoneCourse::default());
        for (at, y) in [(1.0, 30.0), (2.0, 32.0), (8.0, 34.0), (20.0, 30.0)] {
            zone.follow(&mut course, &located(at, y, 0.0));
            assert!((course.stands_for(at).unwrap() - (at - 1.0)).abs() < 1e-9, "{at} {course:?}");
        }
        // Creeping is no standing.
        zone.follow(&mut course, &located(21.0, 35.0, 0.0));
        assert_eq!(course.stands_for(21.0), Some(0.0));
    }

    #[test]
    fn a_queue_ends_at_its_first_gap() {
        let waiting = |near: f64, far: f64| QueueWait { near, far };
        let check = |mut list: Vec<QueueWait>, expected: f64| {
            assert!((queue_length(&mut list) - expected).abs() < 1e-9);
        };
        check(vec![], 0.0);
        check(vec![waiting(8.0, 12.5), waiting(1.0, 5.5)], 12.5);
        check(vec![waiting(1.0, 5.5), waiting(40.0, 44.5)], 5.5);
        check(vec![waiting(30.0, 34.5)], 0.0);
    }
}
