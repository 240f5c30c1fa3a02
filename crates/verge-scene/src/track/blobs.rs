//! What moves in the picture, as a last means to follow what a detector misses.

use verge_domain::motion::Blob;

use super::{FrameSize, MAX_TRACKS, Pairing, SeenBox, TrackSighting, Tracker};
use crate::settings::SceneSettings;

/// How sure a blob is of what it shows: not at all, so that one box of a detector says more than all blobs.
const BLOB_SCORE: f64 = 1e-3;
/// A blob of a smaller share of the picture is no object.
const SMALLEST: f32 = 0.004;
/// Overlap of a widened track and a blob that may continue it.
const LEAST_OVERLAP: f64 = 0.15;
/// Overlap of a track and a blob that has its size, whatever else lies within.
const OWN_OVERLAP: f64 = 0.5;
/// A track lies within a blob by this share of its area.
const WITHIN: f64 = 0.5;
/// A blob that shares more than this part of the smaller area with a track belongs to it.
const SHARED: f64 = 0.3;

/// Which of the boxes of a frame are blobs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlobBoxes {
    /// From this position on.
    pub(crate) from: usize,
    /// Whether they begin tracks, too.
    pub(crate) begin: bool,
}

impl BlobBoxes {
    /// Adds the blobs of a frame behind its boxes, as far as they count and are large enough for an object.
    pub(crate) fn behind(
        boxes: &mut Vec<SeenBox>,
        blobs: &[Blob],
        settings: &SceneSettings,
        frame: FrameSize,
    ) -> Self {
        let this = Self { from: boxes.len(), begin: settings.counts_blobs() };
        if settings.follows_blobs() {
            let of = |blob: &Blob| blob_box(blob, settings.blob_class, frame);
            boxes.extend(blobs.iter().filter(|blob| blob.area >= SMALLEST).map(of).filter(SeenBox::is_sound));
        }
        this
    }
}

fn blob_box(blob: &Blob, class: usize, frame: FrameSize) -> SeenBox {
    let (width, height) = (f64::from(frame.width), f64::from(frame.height));
    SeenBox {
        class,
        score: BLOB_SCORE,
        left: f64::from(blob.left) * width,
        top: f64::from(blob.top) * height,
        right: f64::from(blob.right) * width,
        bottom: f64::from(blob.bottom) * height,
    }
}

impl<T: Default> Tracker<T> {
    /// Continues tracks that no box continues with blobs that nothing else explains. A blob that holds several tracks shows
    /// where none of them ends: they go on as they went.
    pub(super) fn follow_blobs(&mut self, all: &[SeenBox], blobs: BlobBoxes) {
        if blobs.from == all.len() {
            return;
        }
        self.buffers.matching.candidates.clear();
        for (number, blob) in all.iter().enumerate().skip(blobs.from) {
            if !self.is_explained(all, blob) {
                self.pair_blob(number, blob, blobs.begin);
            }
        }
        let super::Buffers { matching, of_track, .. } = &mut self.buffers;
        matching.solve(self.tracks.len(), all.len());
        for &(track, seen) in &matching.pairs {
            of_track[track] = Some(seen);
        }
    }

    /// Whether a track that a box continues lies within the blob.
    fn is_explained(&self, all: &[SeenBox], blob: &SeenBox) -> bool {
        let seen = self.buffers.of_track.iter().flatten().filter_map(|&seen| all.get(seen));
        seen.into_iter().any(|seen| blob.covers(seen) > WITHIN)
    }

    fn pair_blob(&mut self, number: usize, blob: &SeenBox, any: bool) {
        let super::Buffers { matching, areas, of_track, .. } = &mut self.buffers;
        let first = matching.candidates.len();
        let mut within = 0;
        for (position, track) in self.tracks.iter().enumerate() {
            if of_track[position].is_some() || !(any || track.is_confirmed()) {
                continue;
            }
            let (predicted, margin) = areas[position];
            within += usize::from(track.sightings > 2 && blob.covers(&predicted) > WITHIN);
            let overlap = predicted.overlap(blob, margin);
            if overlap >= LEAST_OVERLAP {
                matching.candidates.push(Pairing { track: position, seen: number, worth: overlap });
            }
        }
        if within > 1 {
            let mut at = first;
            while at < matching.candidates.len() {
                let (predicted, _) = areas[matching.candidates[at].track];
                if predicted.overlap(blob, 0.0) < OWN_OVERLAP {
                    matching.candidates.swap_remove(at);
                } else {
                    at += 1;
                }
            }
        }
    }

    /// Begins a track with each blob that belongs to none, where blobs count.
    pub(super) fn begin_by_blobs(
        &mut self,
        at: f64,
        (all, blobs): (&[SeenBox], BlobBoxes),
        kind_of: &[Option<usize>],
        sightings: &mut Vec<TrackSighting>,
    ) {
        if !blobs.begin {
            return;
        }
        for (number, blob) in all.iter().enumerate().skip(blobs.from) {
            let is_of_a_track = self.tracks.iter().any(|track| {
                let own = track.area();
                own.common(blob) > SHARED * own.square().min(blob.square())
            });
            if is_of_a_track || self.tracks.len() >= MAX_TRACKS {
                continue;
            }
            sightings.push(TrackSighting { track: self.tracks.len(), seen: number });
            self.begin_one(at, blob, kind_of, true);
        }
    }
}
