//! One camera's scene: tracks, and what is counted of them.

mod known;
mod saved;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use verge_domain::motion::Blob;

use crate::course::{Course, CourseFront, Tallies};
use crate::geometry::Point;
use crate::interval::SceneInterval;
use crate::line::PlacedLine;
use crate::presence::{ZoneNow, zones_now};
use crate::record::{Crossing, CrossingRecord};
use crate::settings::SceneSettings;
use crate::track::{BlobBoxes, FrameSize, MAX_BOXES, SeenBox, Track, TrackSighting, Tracker, suppress};
use crate::zone::{PlacedZone, QueueWait, ZoneEventKind};
pub use known::LiveTrack;
pub use saved::SceneMisfit;
use saved::names_of;

/// Times that differ by no more are the same instant.
const SAME_INSTANT: f64 = 1e-3;
/// After this many seconds without a frame tracks end before they can be continued.
const LONG_STEP: f64 = 3.0;
/// A condition in a zone ends when it has not held for this many seconds.
const HOLD: f64 = 2.0;
/// Open events at most.
const MAX_EVENTS: usize = 128;

/// A condition in a zone that holds, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ZoneEvent {
    /// Which.
    pub kind: ZoneEventKind,
    /// Position of the zone.
    pub zone: usize,
    /// The object that causes it, and its class; `None` for queues.
    pub track: Option<(u64, usize)>,
    /// Since when, in seconds since 1970.
    pub from: f64,
    /// When it last held; `None` while it holds.
    pub until: Option<f64>,
    /// Seconds that it stands, metres per second against the lane, or objects that wait.
    pub value: f64,
    last: f64,
}

/// What became of a frame, or of time. The caller empties it.
#[derive(Debug, Clone, Default)]
pub struct SceneReport {
    /// What crossed lines.
    pub crossings: Vec<Crossing>,
    /// Conditions that began or ended.
    pub events: Vec<ZoneEvent>,
    /// Intervals that are complete.
    pub intervals: Vec<SceneInterval>,
}

/// What of a scene must outlive a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SceneState {
    /// Names of classes, lines, zones and arms: it belongs to these alone.
    names: Vec<String>,
    frame: Option<FrameSize>,
    tracker: Tracker<Course>,
    last: Option<f64>,
    record: CrossingRecord,
    zones: Vec<ZoneNow>,
    fronts: Vec<[Option<CourseFront>; 2]>,
    open: Vec<ZoneEvent>,
    /// What follows is not joined to what was saved.
    #[serde(skip)]
    resumed: bool,
    /// Seconds from one frame to the next, averaged over the last ones; 0 before there are two.
    #[serde(skip)]
    pace: f64,
}

/// Follows the objects of one camera and counts them.
#[derive(Debug)]
pub struct Scene {
    settings: Arc<SceneSettings>,
    places: Option<Places>,
    state: SceneState,
    sightings: Vec<TrackSighting>,
    now: Vec<ZoneNow>,
    queue: Vec<QueueWait>,
}

/// Lines and zones in pixels.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) frame: FrameSize,
    pub(crate) lines: Vec<PlacedLine>,
    pub(crate) zones: Vec<PlacedZone>,
}

impl Places {
    fn new(settings: &SceneSettings, frame: FrameSize) -> Self {
        let zone = |(_, zone): &(_, _)| PlacedZone::new(zone, frame, settings.ground.as_ref());
        Self {
            frame,
            lines: settings.lines.iter().map(|line| PlacedLine::new(line, frame)).collect(),
            zones: settings.zones.iter().map(zone).collect(),
        }
    }

    /// In shares of the picture.
    pub(crate) fn share(&self, point: Point) -> Point {
        Point::new(point.x / f64::from(self.frame.width), point.y / f64::from(self.frame.height))
    }
}

impl Scene {
    /// A scene in which nothing was seen yet.
    #[must_use]
    pub fn new(settings: Arc<SceneSettings>) -> Self {
        let state = SceneState {
            names: names_of(&settings),
            zones: vec![ZoneNow::default(); settings.zones.len()],
            fronts: vec![[None; 2]; settings.lines.len()],
            ..SceneState::default()
        };
        Self { settings, places: None, state, sightings: Vec::new(), now: Vec::new(), queue: Vec::new() }
    }

    /// Looks at the boxes of a frame of this time (seconds since 1970) and size.
    pub fn observe(&mut self, at: f64, frame: FrameSize, boxes: &mut Vec<SeenBox>, out: &mut SceneReport) {
        self.observe_moving(at, frame, (boxes, &[]), out);
    }

    /// The same with what moves in it, which follows the boxes then as far as it counts.
    pub fn observe_moving(
        &mut self,
        at: f64,
        frame: FrameSize,
        seen: (&mut Vec<SeenBox>, &[Blob]),
        out: &mut SceneReport,
    ) {
        if self.look(at, frame, seen, out) {
            self.state.record.add_frame(&self.settings, at);
            self.close(at, out);
        }
    }

    /// The same of a frame on which no model was run, since too little moved in it: it holds no object but what its blobs follow,
    /// and its time is observed.
    pub fn observe_still(
        &mut self,
        at: f64,
        frame: FrameSize,
        (boxes, blobs): (&mut Vec<SeenBox>, &[Blob]),
        out: &mut SceneReport,
    ) {
        boxes.clear();
        if self.look(at, frame, (boxes, blobs), out) {
            self.state.record.add_skipped(&self.settings, at);
            self.close(at, out);
        }
    }

    /// The camera shows nothing at this time: what happens then is not observed, and its counts are unknown.
    pub fn observe_blind(&mut self, at: f64, out: &mut SceneReport) {
        if !at.is_finite() || !self.turn_to(at, out) {
            return;
        }
        self.end_over(at, out);
        let Self { settings, state: SceneState { record, zones, last, resumed, .. }, .. } = self;
        let is_joined = !std::mem::take(resumed);
        match *last {
            None => record.begin(settings, at),
            Some(last) if at - last <= settings.max_gap && is_joined => {
                record.pass_blind(settings, (last, at));
            }
            Some(last) => record.pass(settings, (last, at), false, |_, _| {}),
        }
        record.mark_blind(settings, at);
        zones.fill(ZoneNow::default());
        record.add_skipped(settings, at);
        *last = Some(at);
        self.emit_pending(at, out);
        self.close(at, out);
    }

    /// Returns whether the frame is new.
    fn look(
        &mut self,
        at: f64,
        frame: FrameSize,
        (boxes, blobs): (&mut Vec<SeenBox>, &[Blob]),
        out: &mut SceneReport,
    ) -> bool {
        if !at.is_finite() || frame.width == 0 || frame.height == 0 {
            return false;
        }
        suppress(boxes, MAX_BOXES);
        let blobs = BlobBoxes::behind(boxes, blobs, &self.settings, frame);
        if self.places.as_ref().is_none_or(|places| places.frame != frame) {
            if self.state.frame.is_some_and(|known| known != frame) {
                self.end_tracks(out);
                self.state.record.mark_gap();
            }
            self.state.frame = Some(frame);
            self.places = Some(Places::new(&self.settings, frame));
        }
        if !self.turn_to(at, out) {
            return false;
        }
        self.follow(at, frame, (boxes, blobs));
        self.end_over(at, out);
        self.pass_time(at);
        self.emit_pending(at, out);
        self.watch_zones(at, out);
        self.note_pace(at);
        self.state.last = Some(at);
        true
    }

    /// Whether a time is later than that of the frame before; where it is earlier, all begins again.
    fn turn_to(&mut self, at: f64, out: &mut SceneReport) -> bool {
        let Some(last) = self.state.last else { return true };
        if (at - last).abs() <= SAME_INSTANT {
            return false;
        }
        if at < last {
            self.end_tracks(out);
            self.state.record.turn_back(&self.settings, at, &mut out.intervals);
            self.state.last = None;
        } else if at - last > LONG_STEP {
            self.end_over(at, out);
        }
        true
    }

    fn follow(&mut self, at: f64, frame: FrameSize, (boxes, blobs): (&[SeenBox], BlobBoxes)) {
        let Some(places) = &self.places else { return };
        let SceneState { tracker, record, fronts, .. } = &mut self.state;
        tracker.advance(at, (boxes, blobs), frame, &self.settings.kind_of, &mut self.sightings);
        let mut tallies = Tallies { settings: &self.settings, record, fronts };
        for &TrackSighting { track, seen } in &self.sightings {
            tallies.follow(places, &mut tracker.tracks[track], &boxes[seen], at);
        }
    }

    /// Crossings whose speed is known by now.
    fn emit_pending(&mut self, now: f64, out: &mut SceneReport) {
        let SceneState { tracker, record, fronts, .. } = &mut self.state;
        let mut tallies = Tallies { settings: &self.settings, record, fronts };
        for track in &mut tracker.tracks {
            tallies.emit(track, Some(now), out);
        }
    }

    fn end_over(&mut self, at: f64, out: &mut SceneReport) {
        let SceneState { tracker, record, fronts, last, frame, .. } = &mut self.state;
        let mut tallies = Tallies { settings: &self.settings, record, fronts };
        tracker.take_over(at, last.map_or(0.0, |last| at - last), *frame, |track| {
            tallies.finish(self.places.as_ref(), track, out)
        });
    }

    fn end_tracks(&mut self, out: &mut SceneReport) {
        let SceneState { tracker, record, fronts, .. } = &mut self.state;
        let mut tallies = Tallies { settings: &self.settings, record, fronts };
        tracker.end_all(|track| tallies.finish(self.places.as_ref(), track, out));
    }

    /// Gives the time since the last frame to the intervals, with what the zones held.
    fn pass_time(&mut self, at: f64) {
        let Some(places) = &self.places else { return };
        let SceneState { tracker, record, zones, last, resumed, .. } = &mut self.state;
        zones_now(&self.settings, places, &tracker.tracks, at, &mut self.now, &mut self.queue);
        let (now, settings) = (&self.now, &self.settings);
        let is_joined = !std::mem::take(resumed);
        match *last {
            None => record.begin(settings, at),
            Some(last) => {
                let observed = at - last <= settings.max_gap && is_joined;
                record.pass(settings, (last, at), observed, |interval, seconds| {
                    for ((tally, before), after) in interval.zones.iter_mut().zip(zones.iter()).zip(now) {
                        tally.add(before, after, seconds);
                    }
                });
            }
        }
        zones.clone_from(now);
    }

    /// Raises and ends the events of zones.
    fn watch_zones(&mut self, at: f64, out: &mut SceneReport) {
        let SceneState { tracker, zones, open, .. } = &mut self.state;
        let mut holds = |kind, zone, track: Option<(u64, usize)>, value: f64| {
            let same = |event: &&mut ZoneEvent| {
                event.kind == kind
                    && event.zone == zone
                    && event.track.map(|own| own.0) == track.map(|own| own.0)
            };
            let room = open.len() < MAX_EVENTS;
            match open.iter_mut().find(same) {
                Some(event) => (event.last, event.value) = (at, value),
                None if room => {
                    let event = ZoneEvent { kind, zone, track, from: at, until: None, value, last: at };
                    open.push(event);
                    out.events.push(event);
                }
                None => {}
            }
        };
        for (number, (_, zone)) in self.settings.zones.iter().enumerate() {
            let is_seen = |track: &&Track<Course>| track.is_confirmed() && at - track.last_seen <= HOLD;
            let waits = |track: &&Track<Course>| {
                let inside = track.course.zones.get(number).is_some_and(|course| course.inside);
                inside && track.course.waits && !self.settings.forbids(number, track.class)
            };
            let together = tracker.tracks.iter().filter(is_seen).filter(waits).count();
            let waiting = zones[number].waiting;
            if zone.queue_from.is_some_and(|least| waiting >= f64::from(least)) {
                holds(ZoneEventKind::Queue, number, None, waiting);
            }
            for track in tracker.tracks.iter().filter(is_seen) {
                let Some(course) = track.course.zones.get(number).filter(|course| course.inside) else {
                    continue;
                };
                let which = Some((track.id, track.class));
                if let Some(after) = zone.stopped_after
                    && let Some(stands) = course.stands_for(at)
                    && course.has_stopped(at, after, together)
                {
                    holds(ZoneEventKind::Stopped, number, which, stands);
                }
                if zone.lane.is_some() && course.goes_wrong_way(at) && track.last_seen == at {
                    holds(ZoneEventKind::WrongWay, number, which, track.course.speed.unwrap_or(0.0));
                }
                if self.settings.forbids(number, track.class) {
                    holds(ZoneEventKind::Person, number, which, 1.0);
                }
            }
        }
        open.retain(|event| {
            let ended = at - event.last > HOLD;
            if ended {
                out.events.push(ZoneEvent { until: Some(event.last), ..*event });
            }
            !ended
        });
    }

    /// The interval that is counted now, if one has begun.
    #[must_use]
    pub fn running(&self) -> Option<&SceneInterval> {
        self.state.record.newest()
    }

    /// Lets time pass without a frame: what is complete comes out.
    pub fn tick(&mut self, now: f64, out: &mut SceneReport) {
        let Some(last) = self.state.last else { return };
        if now - last > LONG_STEP {
            self.end_over(now, out);
            self.emit_pending(now, out);
        }
        self.close(now, out);
    }

    fn close(&mut self, now: f64, out: &mut SceneReport) {
        let SceneState { tracker, record, .. } = &mut self.state;
        let undecided = tracker.tracks.iter().filter_map(|track| track.course.undecided()).reduce(f64::min);
        record.close(&self.settings, (now, undecided), &mut out.intervals);
    }

    /// Nothing follows: tracks end, and all intervals come out. The last frame stands for as long as the one before did.
    pub fn finish(&mut self, lasted: f64, out: &mut SceneReport) {
        if let Some(last) = self.state.last {
            self.pass_time(last + lasted.clamp(0.0, self.settings.max_gap));
        }
        self.end_tracks(out);
        for event in self.state.open.drain(..) {
            out.events.push(ZoneEvent { until: Some(event.last), ..event });
        }
        self.state.record.end(&self.settings);
        self.state.record.close_all(&self.settings, &mut out.intervals);
    }
}
