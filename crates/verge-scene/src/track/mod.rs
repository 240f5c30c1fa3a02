//! Objects followed from frame to frame: two stages of ByteTrack (Zhang et al., ECCV 2022) with boxes that are widened by
//! what the tracker does not know, and time in seconds instead of numbers of frames.

mod axis;
mod blobs;
mod boxes;
mod frame_size;
mod matching;

use serde::{Deserialize, Serialize};

use crate::geometry::Point;
use axis::Axis;
pub(crate) use blobs::BlobBoxes;
pub use boxes::SeenBox;
pub(crate) use boxes::suppress;
pub use frame_size::FrameSize;
use matching::{Matching, Pairing};

/// Objects in one frame at most; the least sure ones are left out.
pub const MAX_BOXES: usize = 512;
/// Tracks at a time at most: no box begins another one.
pub const MAX_TRACKS: usize = 512;
/// A track of which no box is this sure is none.
pub const HIGH_SCORE: f64 = 0.5;
/// A box at least this sure may be the first of a track.
pub const FIRST_SCORE: f64 = 0.25;
/// A box at least this sure continues one.
pub const LOW_SCORE: f64 = 0.1;

/// A track unseen for longer is over.
const UNSEEN: f64 = 2.5;
/// One that stands may be hidden by what passes in front of it.
const UNSEEN_STANDING: f64 = 15.0;
/// A track that was seen once lasts this long at least without a second sighting.
const UNCONFIRMED: f64 = 0.25;
/// Or this number of steps from frame to frame: one that is missed at a low rate is not the end.
const MISSED: f64 = 2.2;
/// Slower than this share of its height per second, it stands.
const STANDING: f64 = 0.2;
/// A box that covers a live track by more than this begins none.
const COVERED: f64 = 0.6;
/// Sightings after which the size tells how the distance changes.
const SETTLED: u32 = 3;
/// What stands does not become less certain by being hidden for longer than this.
const STANDING_GROWTH: f64 = 1.0;

/// One object, followed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Track<T> {
    /// Its number, never given twice.
    pub id: u64,
    /// When it was first seen, in seconds.
    pub first_seen: f64,
    /// When it was last seen, in seconds.
    pub last_seen: f64,
    /// In how many frames it was seen.
    pub sightings: u32,
    /// The class with the largest sum of scores.
    pub class: usize,
    /// What the scene keeps about it.
    pub course: T,
    sums: Vec<f32>,
    axes: [Axis; 4],
    /// The time that the axes stand for.
    at: f64,
    stands: bool,
    /// Whether any of its boxes had a high score.
    is_sure: bool,
    /// How often it was seen since the sides of the picture last cut it.
    whole: u32,
}

impl<T> Track<T> {
    /// Whether it was seen twice, and at least once surely: one box alone may be an error of the detector.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.sightings >= 2 && self.is_sure
    }

    /// Where it is taken to be.
    #[must_use]
    pub fn area(&self) -> SeenBox {
        let [x, y, width, height] = self.axes.map(|axis| axis.value);
        let (width, height) = (width.max(1.0), height.max(1.0));
        SeenBox {
            class: self.class,
            score: 1.0,
            left: x - width / 2.0,
            top: y - height / 2.0,
            right: x + width / 2.0,
            bottom: y + height / 2.0,
        }
    }

    /// Where it was last seen.
    pub(crate) fn area_seen(&self) -> SeenBox {
        let unseen = self.at - self.last_seen;
        let mut area = self.area();
        if !self.stands {
            let (x, y) = (self.axes[0].rate * unseen, self.axes[1].rate * unseen);
            area = SeenBox {
                left: area.left - x,
                right: area.right - x,
                top: area.top - y,
                bottom: area.bottom - y,
                ..area
            };
        }
        area
    }

    /// How fast its foot moves, in pixels per second.
    pub(crate) fn velocity(&self) -> Point {
        Point::new(self.axes[0].rate, self.axes[1].rate + self.axes[3].rate / 2.0)
    }

    pub(crate) const fn set_standing(&mut self, stands: bool) {
        self.stands = stands;
    }

    pub(crate) fn is_finite(&self, classes: usize) -> bool {
        self.axes.iter().all(Axis::is_finite)
            && self.sums.len() == classes
            && self.class < classes
            && [self.at, self.first_seen, self.last_seen].iter().all(|time| time.is_finite())
    }

    fn size(&self) -> f64 {
        self.axes[3].value.max(8.0)
    }

    fn predict(&mut self, at: f64) {
        let mut seconds = at - self.at;
        self.at = at;
        if self.stands {
            // It stays where it is.
            let unseen = at - self.last_seen;
            if unseen > STANDING_GROWTH {
                for axis in &mut self.axes {
                    axis.rate = 0.0;
                }
                seconds = (seconds - (unseen - STANDING_GROWTH)).max(0.0);
            }
        }
        let recession = self.recession(seconds);
        let size = self.size();
        for (axis, noise) in self.axes.iter_mut().zip([1.0, 1.0, 0.3, 0.3]) {
            axis.predict(seconds, noise * size, recession);
        }
    }

    /// By which factor its distance from the camera grows in a time, as its size tells: one over the other.
    fn recession(&self, seconds: f64) -> f64 {
        if self.whole < SETTLED {
            return 1.0;
        }
        let [.., width, height] = &self.axes;
        let shrinks = |axis: &Axis| -axis.rate / axis.value.max(8.0);
        (1.0 + f64::midpoint(shrinks(width), shrinks(height)) * seconds).clamp(0.8, 2.5)
    }

    /// How far its box and those of a frame are widened, as a share of their size on each side.
    fn margin(&self, area: &SeenBox) -> f64 {
        let deviation = self.axes[0].deviation().max(self.axes[1].deviation());
        let (least, growth) = if self.is_confirmed() { (0.15, 0.5) } else { (0.15, 0.8) };
        (least + growth * deviation / area.smaller_side().max(1.0)).min(1.5)
    }

    fn see(&mut self, seen: &SeenBox, frame: FrameSize) {
        let deviation = deviation_of(seen);
        let centre = seen.centre();
        let measured = [centre.x, centre.y, seen.width(), seen.height()];
        let (cut_across, cut_down) = frame.cuts(seen);
        self.whole = if cut_across || cut_down { 0 } else { self.whole.saturating_add(1) };
        for ((axis, value), cut) in
            self.axes.iter_mut().zip(measured).zip([cut_across, cut_down, cut_across, cut_down])
        {
            axis.update(value, if cut { 5.0 * deviation } else { deviation });
        }
        if self.whole == 1 {
            // How it grew while it came into the picture says nothing about its distance.
            let size = self.size();
            self.axes[2] = Axis::new(seen.width(), deviation, 0.5 * size);
            self.axes[3] = Axis::new(seen.height(), deviation, 0.5 * size);
        }
        self.last_seen = self.at;
        self.sightings = self.sightings.saturating_add(1);
        self.is_sure |= seen.score >= HIGH_SCORE;
        self.add_class(seen);
    }

    #[expect(clippy::cast_possible_truncation, reason = "a score")]
    fn add_class(&mut self, seen: &SeenBox) {
        if let Some(sum) = self.sums.get_mut(seen.class) {
            *sum += seen.score as f32;
        }
        let best = self.sums.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        self.class = best.map_or(seen.class, |(class, _)| class);
    }
}

fn deviation_of(seen: &SeenBox) -> f64 {
    let share = if seen.score >= HIGH_SCORE { 0.05 } else { 0.1 };
    share * seen.height().max(8.0)
}

/// What the tracker keeps from frame to frame, and what is saved of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tracker<T> {
    pub(crate) tracks: Vec<Track<T>>,
    next_id: u64,
    /// Tracks that were seen twice, over all.
    pub(crate) confirmed: u64,
    #[serde(skip)]
    buffers: Buffers,
}

#[derive(Debug, Clone, Default)]
struct Buffers {
    matching: Matching,
    areas: Vec<(SeenBox, f64)>,
    /// Of each track, the box that continues it.
    of_track: Vec<Option<usize>>,
    taken: Vec<bool>,
}

/// A track that continues or begins in a frame, and the box that shows it, by their positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrackSighting {
    pub(crate) track: usize,
    pub(crate) seen: usize,
}

impl<T: Default> Tracker<T> {
    /// Continues the tracks with the boxes of a frame, which are suppressed and sorted: surest first. From `blobs` on they are
    /// places that move, not objects that a detector saw. The time is later than that of the frame before. Tracks that are
    /// over come out by [`Tracker::take_over`].
    pub(crate) fn advance(
        &mut self,
        at: f64,
        (all, blobs): (&[SeenBox], BlobBoxes),
        frame: FrameSize,
        classes: usize,
        sightings: &mut Vec<TrackSighting>,
    ) {
        let boxes = &all[..blobs.from];
        sightings.clear();
        let Buffers { areas, of_track, taken, .. } = &mut self.buffers;
        areas.clear();
        for track in &mut self.tracks {
            track.predict(at);
            let area = track.area();
            areas.push((area, track.margin(&area)));
        }
        of_track.clear();
        of_track.resize(self.tracks.len(), None);
        taken.clear();
        taken.resize(boxes.len(), false);
        for confirmed in [true, false] {
            self.stage(boxes, confirmed, |score| score >= HIGH_SCORE, 0.15);
            self.stage(boxes, confirmed, |score| (LOW_SCORE..HIGH_SCORE).contains(&score), 0.4);
        }
        self.follow_blobs(all, blobs);
        for (position, track) in self.tracks.iter_mut().enumerate() {
            if let Some(seen) = self.buffers.of_track[position] {
                let before = track.is_confirmed();
                track.see(&all[seen], frame);
                self.confirmed += u64::from(!before && track.is_confirmed());
                sightings.push(TrackSighting { track: position, seen });
            }
        }
        self.begin(at, boxes, classes, sightings);
        self.begin_by_blobs(at, (all, blobs), classes, sightings);
    }

    fn stage(&mut self, boxes: &[SeenBox], confirmed: bool, takes: impl Fn(f64) -> bool, least: f64) {
        let Buffers { matching, areas, of_track, taken } = &mut self.buffers;
        matching.candidates.clear();
        for (position, track) in self.tracks.iter().enumerate() {
            if of_track[position].is_some() || track.is_confirmed() != confirmed {
                continue;
            }
            let (area, margin) = areas[position];
            for (number, seen) in boxes.iter().enumerate() {
                if taken[number] || !takes(seen.score) {
                    continue;
                }
                let overlap = area.overlap(seen, margin);
                if overlap >= least {
                    let worth = overlap * (0.5 + 0.5 * seen.score);
                    matching.candidates.push(Pairing { track: position, seen: number, worth });
                }
            }
        }
        matching.solve(self.tracks.len(), boxes.len());
        for &(track, seen) in &matching.pairs {
            of_track[track] = Some(seen);
            taken[seen] = true;
        }
    }

    fn begin(&mut self, at: f64, boxes: &[SeenBox], classes: usize, sightings: &mut Vec<TrackSighting>) {
        for (number, seen) in boxes.iter().enumerate() {
            let is_free = !self.buffers.taken[number] && seen.score >= FIRST_SCORE;
            if !is_free || self.tracks.len() >= MAX_TRACKS {
                continue;
            }
            let covers =
                |track: &Track<T>| track.last_seen == at && track.area().overlap(seen, 0.0) > COVERED;
            if self.tracks.iter().any(covers) {
                continue;
            }
            sightings.push(TrackSighting { track: self.tracks.len(), seen: number });
            self.begin_one(at, seen, classes, seen.score >= HIGH_SCORE);
        }
    }

    fn begin_one(&mut self, at: f64, seen: &SeenBox, classes: usize, is_sure: bool) {
        let (size, deviation) = (seen.height().max(8.0), deviation_of(seen));
        let centre = seen.centre();
        let mut track = Track {
            id: self.next_id,
            first_seen: at,
            last_seen: at,
            sightings: 1,
            class: seen.class,
            course: T::default(),
            sums: vec![0.0; classes],
            axes: [
                Axis::new(centre.x, deviation, 3.0 * size),
                Axis::new(centre.y, deviation, 3.0 * size),
                Axis::new(seen.width(), deviation, 0.5 * size),
                Axis::new(seen.height(), deviation, 0.5 * size),
            ],
            at,
            stands: false,
            is_sure,
            whole: 0,
        };
        track.add_class(seen);
        self.next_id += 1;
        self.tracks.push(track);
    }

    /// Hands over the tracks that are over at this time, `step` seconds after the frame before.
    pub(crate) fn take_over(
        &mut self,
        at: f64,
        step: f64,
        frame: Option<FrameSize>,
        mut over: impl FnMut(&mut Track<T>),
    ) {
        self.tracks.retain_mut(|track| {
            let unseen = at - track.last_seen;
            let speed = track.velocity().length() / track.size();
            let lasts = if !track.is_confirmed() {
                UNCONFIRMED.max(MISSED * step)
            } else if track.stands || speed < STANDING {
                UNSEEN_STANDING
            } else {
                UNSEEN
            };
            let has_left = unseen > 0.0 && frame.is_some_and(|frame| frame.is_left_by(&track.area()));
            let is_over = unseen > lasts || has_left;
            if is_over {
                over(track);
            }
            !is_over
        });
    }

    /// Hands over all tracks: nothing joins them to what follows.
    pub(crate) fn end_all(&mut self, mut over: impl FnMut(&mut Track<T>)) {
        for track in &mut self.tracks {
            over(track);
        }
        self.tracks.clear();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let buffers = &self.buffers;
        self.tracks.capacity() * size_of::<Track<T>>()
            + self.tracks.iter().map(|track| track.sums.capacity() * size_of::<f32>()).sum::<usize>()
            + buffers.areas.capacity() * size_of::<(SeenBox, f64)>()
            + buffers.matching.candidates.capacity() * size_of::<Pairing>()
    }
}
