//! Objects followed from frame to frame after ByteTrack (Zhang et al., ECCV 2022), with boxes that are widened by
//! what the tracker does not know, and time in seconds instead of numbers of frames.

mod axis;
mod blobs;
mod boxes;
mod frame_size;
mod matching;
mod tracked;
mod vote;

use serde::{Deserialize, Serialize};

pub(crate) use blobs::BlobBoxes;
pub use boxes::SeenBox;
pub(crate) use boxes::suppress;
pub use frame_size::FrameSize;
use matching::{Matching, Pairing};
pub use tracked::Track;

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

/// A box that covers a live track by more than this begins none.
const COVERED: f64 = 0.6;
/// Overlap that a box needs at least: one that is sure, and another one.
const LEAST_OVERLAP: (f64, f64) = (0.15, 0.4);

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
    /// over come out by [`Tracker::take_over`]. `kind_of`: of each class the one that it is a kind of.
    pub(crate) fn advance(
        &mut self,
        at: f64,
        (all, blobs): (&[SeenBox], BlobBoxes),
        frame: FrameSize,
        kind_of: &[Option<usize>],
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
            self.stage(boxes, confirmed, |track, area, margin, seen| {
                let least = if seen.score >= HIGH_SCORE { LEAST_OVERLAP.0 } else { LEAST_OVERLAP.1 };
                let overlap = area.overlap(seen, margin);
                let fits = overlap >= least && track.may_be(area, seen, frame);
                fits.then_some(overlap * (0.5 + 0.5 * seen.score))
            });
        }
        self.stage(boxes, true, |track, _, _, seen| {
            let is_whole = frame.cuts(seen) == (false, false);
            (is_whole && seen.score >= FIRST_SCORE).then(|| track.fits_again(seen)).flatten()
        });
        self.follow_blobs(all, blobs);
        for (position, track) in self.tracks.iter_mut().enumerate() {
            if let Some(seen) = self.buffers.of_track[position] {
                let before = track.is_confirmed();
                track.see(&all[seen], frame, kind_of);
                self.confirmed += u64::from(!before && track.is_confirmed());
                sightings.push(TrackSighting { track: position, seen });
            } else {
                track.note_hidden(boxes);
            }
        }
        self.begin(at, boxes, kind_of, sightings);
        self.begin_by_blobs(at, (all, blobs), kind_of, sightings);
    }

    /// Joins tracks and boxes that are left, as they are worth most together.
    fn stage(
        &mut self,
        boxes: &[SeenBox],
        confirmed: bool,
        worth: impl Fn(&Track<T>, &SeenBox, f64, &SeenBox) -> Option<f64>,
    ) {
        let Buffers { matching, areas, of_track, taken } = &mut self.buffers;
        matching.candidates.clear();
        for (position, track) in self.tracks.iter().enumerate() {
            if of_track[position].is_some() || track.is_confirmed() != confirmed {
                continue;
            }
            let (area, margin) = &areas[position];
            for (number, seen) in boxes.iter().enumerate() {
                if taken[number] || seen.score < LOW_SCORE {
                    continue;
                }
                if let Some(worth) = worth(track, area, *margin, seen) {
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

    fn begin(
        &mut self,
        at: f64,
        boxes: &[SeenBox],
        kind_of: &[Option<usize>],
        sightings: &mut Vec<TrackSighting>,
    ) {
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
            self.begin_one(at, seen, kind_of, seen.score >= HIGH_SCORE);
        }
    }

    fn begin_one(&mut self, at: f64, seen: &SeenBox, kind_of: &[Option<usize>], is_sure: bool) {
        self.tracks.push(Track::new(self.next_id, at, (seen, is_sure), kind_of));
        self.next_id += 1;
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
            let lasts = track.lasts(step);
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
