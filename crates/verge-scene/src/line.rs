//! Directed lines: on which side an object is, and when it passed from one to the other.

use serde::{Deserialize, Serialize};

use crate::countable::ENOUGH;
use crate::geometry::{Point, orientation};
use crate::settings::{Anchor, SceneLine};
use crate::track::{FrameSize, SeenBox};

/// An object has changed sides once it is beyond the line by this share of the smaller side of its box.
const BAND: f64 = 0.15;
/// Pixels that the band has at least.
const LEAST_BAND: f64 = 2.0;

/// A line in pixels of the frame.
#[derive(Debug, Clone)]
pub(crate) struct PlacedLine {
    from: Point,
    to: Point,
    length: f64,
    anchor: Anchor,
}

/// A crossing that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Passage {
    /// When it was on the line, in seconds.
    pub(crate) at: f64,
    pub(crate) forward: bool,
    /// How far it went from one sighting to the next, in larger sides of its box.
    pub(crate) step: f64,
    /// Seconds between the two sightings.
    pub(crate) apart: f64,
    /// Metres per second, where that is known by now.
    pub(crate) speed: Option<f64>,
    /// Sightings before and behind the crossing before this one, where there was one lately.
    pub(crate) earlier: Option<(u16, u16)>,
}

/// Sightings of an object on the two sides of a line.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct SidesSeen {
    /// Since it was first seen, or crossed the line; `None`: it was followed before a restart.
    here: Option<u16>,
    /// Of those, before it went through the line.
    before: u16,
    /// Of the last crossing: sightings before it, and so far behind it.
    crossed: Option<(u16, u16)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct AnchorPlace {
    at: f64,
    point: Point,
    /// Signed distance from the line in pixels: positive on its right.
    distance: f64,
}

/// How one object moves with respect to one line.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct LineCourse {
    /// −1 left, 1 right, 0 not known yet.
    side: i8,
    last: Option<AnchorPlace>,
    /// Where it was first seen, until it is clear that it came from afar.
    first: Option<AnchorPlace>,
    /// When it passed through the segment since it was last beyond the band, as well as the boxes show it.
    passed: Option<f64>,
    /// Its speed there in metres per second, once that is known.
    pub(crate) speed: Option<f64>,
    /// Sum of its distances beyond the line since then, and what the sum was at `passed`: the least.
    beyond: f64,
    least: f64,
    /// The longest step since then.
    step: f64,
    /// Not saved: what is followed at a restart is left out.
    #[serde(skip)]
    seen: SidesSeen,
}

impl PlacedLine {
    pub(crate) fn new(line: &SceneLine, frame: FrameSize) -> Self {
        let place = |[x, y]: [f64; 2]| Point::new(x * f64::from(frame.width), y * f64::from(frame.height));
        let (from, to) = (place(line.from), place(line.to));
        Self { from, to, length: to.minus(from).length().max(1e-6), anchor: line.anchor }
    }

    fn distance(&self, point: Point) -> f64 {
        orientation(self.from, self.to, point) / self.length
    }

    /// Whether the way from one point to another, which changes sides, goes through the segment: closed where it begins and
    /// open where it ends, so that of lines in a chain exactly one is crossed.
    fn is_passed(&self, from: Point, to: Point, forward: bool) -> bool {
        let turn = if forward { -1.0 } else { 1.0 };
        let (begin, end) = (orientation(from, to, self.from) * turn, orientation(from, to, self.to) * turn);
        begin <= 0.0 && end > 0.0
    }

    /// Whether a point lies beside the segment, give or take a tenth of it.
    fn is_beside(&self, point: Point) -> bool {
        let way = self.to.minus(self.from);
        let along = point.minus(self.from).dot(way) / (self.length * self.length);
        (-0.1..=1.1).contains(&along)
    }

    /// Follows an object to where it is seen now.
    pub(crate) fn follow(
        &self,
        course: &mut LineCourse,
        at: f64,
        seen: &SeenBox,
        frame: FrameSize,
    ) -> Option<Passage> {
        let (point, is_cut) = match self.anchor {
            Anchor::Bottom => (seen.foot(), frame.cuts_foot(seen)),
            Anchor::Centre => (seen.centre(), false),
        };
        let here = AnchorPlace { at, point, distance: self.distance(point) };
        let apart = course.last.map_or(0.0, |last| at - last.at);
        let larger = seen.width().max(seen.height()).max(1.0);
        if let Some(last) = course.last {
            course.step = course.step.max(point.minus(last.point).length() / larger);
            self.note_passage(course, last, here);
            course.beyond -= here.distance * f64::from(course.side);
        } else {
            course.first = Some(here);
            course.seen.here = Some(0);
        }
        course.seen.note();
        course.last = Some(here);
        let band = LEAST_BAND.max(BAND * seen.smaller_side());
        if here.distance.abs() < band {
            return None;
        }
        let side = if here.distance > 0.0 { 1 } else { -1 };
        // Beyond the border of the picture it stands further out than it seems: where it comes from, not where it has gone.
        if is_cut && course.side != 0 && course.side != side {
            return None;
        }
        let before = std::mem::replace(&mut course.side, side);
        let passed = course.passed.take();
        (course.beyond, course.least) = (0.0, 0.0);
        let step = std::mem::take(&mut course.step);
        if before == 0 || before == side {
            return None;
        }
        course.first = None;
        let speed = course.speed.take();
        passed.map(|at| {
            let earlier = course.take_sightings(false);
            course.seen.cross();
            Passage { at, forward: side > 0, step, apart, speed, earlier }
        })
    }

    /// Notes when it went through the segment. What waits on the line trembles from one side to the other: it passed where
    /// most of what was seen before lies on one side and most of what follows on the other, which is where the sum of its
    /// distances is least. On the line it is on the side where it was.
    fn note_passage(&self, course: &mut LineCourse, last: AnchorPlace, here: AnchorPlace) {
        let beyond = |distance: f64| distance * f64::from(-course.side) > 0.0;
        if beyond(last.distance) || !beyond(here.distance) {
            return;
        }
        let is_best = course.passed.is_none() || course.beyond <= course.least;
        if is_best && self.is_passed(last.point, here.point, here.distance > 0.0) {
            let share = last.distance / (last.distance - here.distance);
            course.passed = Some(last.at + share.clamp(0.0, 1.0) * (here.at - last.at));
            course.least = course.beyond;
            course.speed = None;
            course.seen.before = course.seen.here.unwrap_or(0);
        }
    }

    /// Whether an object that has gone far enough from where it was first seen began beyond the line, so near to it that it
    /// may have crossed before. Answers once.
    pub(crate) fn began_beyond(&self, course: &mut LineCourse, seen: &SeenBox) -> bool {
        let (Some(first), Some(last)) = (course.first, course.last) else { return false };
        let size = seen.width().max(seen.height());
        let away = last.distance.abs() - first.distance.abs();
        if last.point.minus(first.point).length() < size {
            return false;
        }
        course.first = None;
        away > 0.5 * size && first.distance.abs() <= size && self.is_beside(first.point)
    }

    /// Whether an object that is not seen any more may have crossed since.
    pub(crate) fn lost_before(
        &self,
        course: &LineCourse,
        area: &SeenBox,
        velocity: Point,
        frame: FrameSize,
    ) -> bool {
        let Some(last) = course.last else { return false };
        let size = area.width().max(area.height());
        let inside_band = last.distance.abs() < LEAST_BAND.max(BAND * area.smaller_side());
        let rate = self.distance(last.point.plus(velocity)) - last.distance;
        let towards = last.distance.abs() <= size && rate * last.distance < 0.0;
        let has_left = {
            let centre = area.centre();
            let (width, height) = (f64::from(frame.width), f64::from(frame.height));
            !(0.0..=width).contains(&centre.x) || !(0.0..=height).contains(&centre.y)
        };
        (inside_band || towards) && !has_left && self.is_beside(last.point)
    }
}

impl SidesSeen {
    fn note(&mut self) {
        self.here = self.here.map(|seen| seen.saturating_add(1));
        if let Some((_, after)) = &mut self.crossed {
            *after = after.saturating_add(1);
        }
    }

    fn cross(&mut self) {
        if let Some(seen) = &mut self.here {
            *seen -= self.before;
            self.crossed = Some((self.before, *seen));
        }
    }
}

impl LineCourse {
    /// Sightings before and behind the last crossing, once they are enough, or where nothing `follows`. Answers once.
    pub(crate) fn take_sightings(&mut self, follows: bool) -> Option<(u16, u16)> {
        self.seen.crossed.take_if(|(_, after)| !follows || *after >= ENOUGH)
    }

    /// When it went through the line, where it is not clear yet whether it will stay beyond.
    pub(crate) const fn undecided(&self) -> Option<f64> {
        self.passed
    }

    pub(crate) fn is_finite(&self) -> bool {
        let places = [self.last, self.first].into_iter().flatten();
        let numbers = places.flat_map(|place| [place.at, place.point.x, place.point.y, place.distance]);
        numbers
            .chain(self.passed)
            .chain(self.speed)
            .chain([self.step, self.beyond, self.least])
            .all(f64::is_finite)
            && (-1..=1).contains(&self.side)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verge_domain::id::PlaceId;

    const FRAME: FrameSize = FrameSize { width: 1000, height: 1000 };

    fn line(from: [f64; 2], to: [f64; 2]) -> PlacedLine {
        let name = PlaceId::new("a").unwrap();
        PlacedLine::new(&SceneLine { name, from, to, anchor: Anchor::Bottom }, FRAME)
    }

    fn at(x: f64, y: f64) -> SeenBox {
        SeenBox { class: 0, score: 1.0, left: x - 20.0, right: x + 20.0, top: y - 40.0, bottom: y }
    }

    /// Points a second apart; what is found, as time and direction.
    fn follow(line: &PlacedLine, points: &[(f64, f64)]) -> Vec<(f64, bool)> {
        let mut course = LineCourse::default();
        let found = (0_u32..)
            .zip(points)
            .filter_map(|(time, &(x, y))| line.follow(&mut course, f64::from(time), &at(x, y), FRAME));
        found.map(|passage| (passage.at, passage.forward)).collect()
    }

    #[test]
    fn forward_is_downwards_over_a_line_to_the_right_and_its_time_is_interpolated() {
        let line = line([0.2, 0.5], [0.8, 0.5]);
        assert_eq!(follow(&line, &[(500.0, 450.0), (500.0, 475.0), (500.0, 575.0)]), [(1.25, true)]);
        assert_eq!(follow(&line, &[(500.0, 575.0), (500.0, 475.0)]), [(0.75, false)]);
        assert_eq!(follow(&line, &[(100.0, 450.0), (100.0, 550.0)]), [], "beside its end");
        assert_eq!(follow(&line, &[(500.0, 450.0), (500.0, 500.0), (500.0, 550.0)]), [(1.0, true)]);
        assert_eq!(follow(&line, &[(500.0, 450.0), (500.0, 500.0), (500.0, 450.0)]), []);
        // It passed outside, and the way back inside counts.
        assert_eq!(follow(&line, &[(100.0, 450.0), (100.0, 550.0), (500.0, 550.0), (500.0, 450.0)]).len(), 1);
    }

    #[test]
    fn who_stands_on_the_line_is_counted_once_and_there_and_back_twice() {
        let line = line([0.2, 0.5], [0.8, 0.5]);
        let mut points = vec![(500.0, 450.0)];
        points.extend((0..50).map(|number| (500.0, if number % 2 == 0 { 496.0 } else { 504.0 })));
        points.push((500.0, 550.0));
        assert_eq!(follow(&line, &points).len(), 1);
        *points.last_mut().unwrap() = (500.0, 450.0);
        assert_eq!(follow(&line, &points), []);
        assert_eq!(
            follow(&line, &[(500.0, 450.0), (500.0, 550.0), (500.0, 450.0)]),
            [(0.5, true), (1.5, false)]
        );
    }

    #[test]
    fn lines_in_a_chain_count_once_even_where_they_join() {
        let (left, right) = (line([0.2, 0.5], [0.5, 0.5]), line([0.5, 0.5], [0.8, 0.5]));
        for x in [499.0, 500.0, 501.0] {
            for points in
                [[(x, 450.0), (x, 550.0)], [(x, 550.0), (x, 450.0)], [(x - 30.0, 450.0), (x + 30.0, 550.0)]]
            {
                let found = follow(&left, &points).len() + follow(&right, &points).len();
                assert_eq!(found, 1, "{points:?}");
            }
        }
        let closed = |x: f64| follow(&left, &[(x, 450.0), (x, 550.0)]).len();
        assert_eq!((closed(200.0), closed(500.0)), (1, 0), "closed where it begins, open where it ends");
    }

    #[test]
    fn losses_and_births_at_the_line_are_noticed() {
        let line = line([0.2, 0.5], [0.8, 0.5]);
        let mut course = LineCourse::default();
        for (time, y) in [(0.0, 400.0), (1.0, 470.0)] {
            assert_eq!(line.follow(&mut course, time, &at(500.0, y), FRAME), None);
        }
        assert!(!line.began_beyond(&mut course, &at(500.0, 470.0)));
        assert!(line.lost_before(&course, &at(500.0, 470.0), Point::new(0.0, 70.0), FRAME));
        assert!(!line.lost_before(&course, &at(500.0, 470.0), Point::new(0.0, -70.0), FRAME));
        let mut born = LineCourse::default();
        for (time, y) in [(0.0, 515.0), (1.0, 600.0)] {
            assert_eq!(line.follow(&mut born, time, &at(500.0, y), FRAME), None);
        }
        assert!(line.began_beyond(&mut born, &at(500.0, 600.0)));
        assert!(!line.began_beyond(&mut born, &at(500.0, 700.0)), "once");
    }
}
