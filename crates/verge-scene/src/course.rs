//! What a scene keeps about one track: where it is with respect to lines and zones, and what it has crossed.

use serde::{Deserialize, Serialize};

use crate::geometry::Point;
use crate::line::{LineCourse, Passage};
use crate::record::{Crossing, CrossingRecord};
use crate::scene::{Places, SceneReport};
use crate::settings::{MAX_LINES, MAX_ZONES, SceneSettings};
use crate::track::{SeenBox, Track};
use crate::trail::Trail;
use crate::zone::{Located, WAITING, ZoneCourse};

/// Heights of its box per second below which an object stands where nothing is known of the ground.
const STANDING: f64 = 0.2;
/// Metres per second above which an object has a direction.
const MOVING: f64 = 1.0;
/// Seconds after a crossing at which its speed is known.
const SPEED_AFTER: f64 = 0.8;
/// Crossings of one track at most that wait for their speed.
const MAX_PENDING: usize = 2 * MAX_LINES;

/// A crossing whose speed is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct PendingCrossing {
    line: usize,
    forward: bool,
    at: f64,
    /// Known already where it waited on the line.
    speed: Option<f64>,
}

/// What a scene keeps about one track.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Course {
    lines: Vec<LineCourse>,
    pub(crate) zones: Vec<ZoneCourse>,
    pending: Vec<PendingCrossing>,
    trail: Trail,
    /// Where it stands on the ground.
    pub(crate) place: Option<Point>,
    /// The direction in which it last moved, on the ground.
    pub(crate) travel: Option<Point>,
    /// Metres per second.
    pub(crate) speed: Option<f64>,
    /// It does not move.
    pub(crate) waits: bool,
    /// The arm from which it came, and the one that it reached last.
    origin: Option<usize>,
    destination: Option<usize>,
}

/// The front of the last object that crossed a line in one direction.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct CourseFront {
    at: f64,
    /// Seconds until its rear had crossed, if known.
    rear: Option<f64>,
}

impl CourseFront {
    pub(crate) fn is_finite(&self) -> bool {
        self.at.is_finite() && self.rear.is_none_or(f64::is_finite)
    }

    #[cfg(test)]
    pub(crate) fn spoil(&mut self) {
        self.at = f64::NAN;
    }
}

/// What is counted into.
pub(crate) struct Tallies<'a> {
    pub(crate) settings: &'a SceneSettings,
    pub(crate) record: &'a mut CrossingRecord,
    /// Of each line backward and forward.
    pub(crate) fronts: &'a mut [[Option<CourseFront>; 2]],
}

impl Course {
    pub(crate) fn is_finite(&self) -> bool {
        let points = [self.place, self.travel].into_iter().flatten().flat_map(|point| [point.x, point.y]);
        self.lines.len() <= MAX_LINES
            && self.zones.len() <= MAX_ZONES
            && self.lines.iter().all(LineCourse::is_finite)
            && self.zones.iter().all(ZoneCourse::is_finite)
            && self.trail.is_finite()
            && self.pending.len() <= MAX_PENDING
            && points
                .chain(self.speed)
                .chain(self.pending.iter().flat_map(|one| [Some(one.at), one.speed]).flatten())
                .all(f64::is_finite)
    }

    pub(crate) fn fits(&self, settings: &SceneSettings) -> bool {
        let arms = settings.arms.len();
        self.lines.len() <= settings.lines.len()
            && self.zones.len() <= settings.zones.len()
            && self.pending.iter().all(|one| one.line < settings.lines.len())
            && [self.origin, self.destination].into_iter().flatten().all(|arm| arm < arms)
    }

    /// Since when it may have crossed a line, where that is not clear yet.
    pub(crate) fn undecided(&self) -> Option<f64> {
        let pending = self.pending.iter().map(|one| one.at);
        self.lines.iter().filter_map(LineCourse::undecided).chain(pending).reduce(f64::min)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<LineCourse>()
            + self.zones.capacity() * size_of::<ZoneCourse>()
            + self.pending.capacity() * size_of::<PendingCrossing>()
            + self.trail.heap_bytes()
    }
}

impl Tallies<'_> {
    /// Follows a track to where it is seen now.
    pub(crate) fn follow(&mut self, places: &Places, track: &mut Track<Course>, seen: &SeenBox, at: f64) {
        self.locate(places, track, seen, at);
        self.follow_lines(places, track, seen, at);
        self.follow_zones(places, track, seen, at);
    }

    /// Where it is on the ground, and how fast.
    fn locate(&self, places: &Places, track: &mut Track<Course>, seen: &SeenBox, at: f64) {
        let velocity = track.velocity().length() / seen.height().max(8.0);
        let course = &mut track.course;
        let place = self.settings.ground.as_ref().and_then(|ground| ground.place(places.share(seen.foot())));
        course.place = place;
        if let Some(place) = place.filter(|_| !places.frame.cuts_foot(seen)) {
            course.trail.add(at, place);
            let now = course.trail.velocity_now();
            course.speed = now.map(Point::length);
            if let Some(now) = now.filter(|now| now.length() > MOVING) {
                course.travel = now.unit();
            }
        }
        course.waits = match course.speed {
            Some(speed) => speed < WAITING,
            None => velocity < STANDING && track.sightings > 2,
        };
        let stands = course.waits;
        track.set_standing(stands);
    }

    fn follow_lines(&mut self, places: &Places, track: &mut Track<Course>, seen: &SeenBox, at: f64) {
        track.course.lines.resize(places.lines.len(), LineCourse::default());
        let is_confirmed = track.is_confirmed();
        for (number, line) in places.lines.iter().enumerate() {
            let course = &mut track.course.lines[number];
            if let Some(sightings) = course.take_sightings(true) {
                self.record.note_sightings(self.settings, number, sightings);
            }
            let passage = line.follow(course, at, seen, places.frame);
            if is_confirmed && line.began_beyond(course, seen) {
                self.record.at(self.settings, &mut at.clone()).lines[number].unresolved += 1;
            }
            if let Some(passed) = course.undecided()
                && course.speed.is_none()
                && at >= passed + SPEED_AFTER
            {
                course.speed = track.course.trail.velocity_around(passed).map(Point::length);
            }
            let Some(passage) = passage else { continue };
            if let Some(sightings) = passage.earlier {
                self.record.note_sightings(self.settings, number, sightings);
            }
            self.record.note_rate(self.settings, number, (passage.step, passage.apart));
            if track.course.pending.len() < MAX_PENDING {
                let Passage { forward, at, speed, .. } = passage;
                let pending = PendingCrossing { line: number, forward, at, speed };
                track.course.pending.push(pending);
            }
        }
    }

    fn follow_zones(&mut self, places: &Places, track: &mut Track<Course>, seen: &SeenBox, at: f64) {
        track.course.zones.resize(places.zones.len(), ZoneCourse::default());
        let is_confirmed = track.is_confirmed();
        let heights = track.velocity().times(1.0 / seen.height().max(8.0));
        let course = &mut track.course;
        let velocity = match course.place {
            Some(_) => course.trail.velocity_now(),
            None => self.settings.ground.is_none().then_some(heights),
        };
        let object = Located {
            at,
            foot: seen.foot(),
            place: course.place.map(|place| course.trail.place_lately(at).unwrap_or(place)),
            velocity,
            height: seen.height(),
            is_confirmed,
        };
        for (number, zone) in places.zones.iter().enumerate() {
            if zone.follow(&mut course.zones[number], &object) {
                self.record.at(self.settings, &mut at.clone()).zones[number].entered += 1;
            }
            if course.zones[number].inside {
                let (origin, destination) = self.settings.ends[number];
                course.origin = course.origin.or(origin);
                if destination.is_some() && course.origin.is_some() && destination != course.origin {
                    course.destination = destination;
                }
            }
        }
    }

    /// Reports crossings whose speed is known by `now`, or can become no better.
    pub(crate) fn emit(&mut self, track: &mut Track<Course>, now: Option<f64>, out: &mut SceneReport) {
        if !track.is_confirmed() {
            return;
        }
        let has_ground = self.settings.ground.is_some();
        let Track { id, class, course, .. } = track;
        let Course { pending, trail, .. } = course;
        pending.retain(|&PendingCrossing { line, forward, mut at, speed }| {
            if has_ground && speed.is_none() && now.is_some_and(|now| now < at + SPEED_AFTER) {
                return true;
            }
            let speed = speed
                .or_else(|| if has_ground { trail.velocity_around(at).map(Point::length) } else { None });
            let found = at;
            let interval = self.record.at(self.settings, &mut at);
            interval.count(line, forward, *class, speed);
            let front = &mut self.fronts[line][usize::from(forward)];
            if let Some(before) = front.filter(|before| before.at < found) {
                let seconds = found - before.at;
                interval.add_headway(line, forward, seconds, before.rear.map(|rear| seconds - rear));
            }
            let length = self.settings.footprints[*class].length;
            *front = Some(CourseFront {
                at: found,
                rear: speed.filter(|&speed| speed > 0.1).map(|speed| length / speed),
            });
            out.crossings.push(Crossing { at, line, forward, class: *class, track: *id, speed });
            false
        });
    }

    /// A track is over.
    pub(crate) fn finish(
        &mut self,
        places: Option<&Places>,
        track: &mut Track<Course>,
        out: &mut SceneReport,
    ) {
        if !track.is_confirmed() {
            return;
        }
        self.emit(track, None, out);
        let mut at = track.last_seen;
        if let Some(places) = places {
            let (area, velocity) = (track.area_seen(), track.velocity());
            for (number, line) in places.lines.iter().enumerate() {
                let Some(course) = track.course.lines.get_mut(number) else { continue };
                if let Some(sightings) = course.take_sightings(false) {
                    self.record.note_sightings(self.settings, number, sightings);
                }
                if line.lost_before(course, &area, velocity, places.frame) {
                    self.record.at(self.settings, &mut at).lines[number].unresolved += 1;
                }
            }
        }
        if let (Some(origin), Some(destination)) = (track.course.origin, track.course.destination) {
            let arms = self.settings.arms.len();
            self.record.at(self.settings, &mut at).trips[origin * arms + destination] += 1;
        }
    }
}
