//! What a camera usually shows: its edges and its layout, learnt only while the picture is like them.

use std::time::Duration;

use verge_domain::frame::{EdgeLook, PictureShift};
use verge_domain::motion::Blob;

use super::edges::EdgeMap;
use super::gradients::Gradients;
use super::layout::PictureLayout;
use super::shift::ShiftSearch;

/// What is usual follows the picture with this time constant: daylight changes more slowly.
const FOLLOWS: Duration = Duration::from_secs(60);
/// Frames and time after which something can be said.
const LEAST_FRAMES: u32 = 20;
const LEAST_AGE: Duration = Duration::from_secs(4);
/// With more of its edges missing, nothing is learnt of a picture.
const LIKE: f32 = 0.35;
/// With more of its edges missing, a picture may be shifted; that is looked for this often.
const MAY_BE_SHIFTED: f32 = 0.12;
const SEARCH_EVERY: Duration = Duration::from_secs(1);
/// A picture that is shifted for so long, or lacks that share of its usual edges but has as many of its own as are usual, shows
/// another scene: that is learnt anew. By then a judge has seen that it was another for long enough.
const OTHER_SCENE: f32 = 0.7;
const ANEW_AFTER: Duration = Duration::from_secs(20);
const AS_MANY: f32 = 0.75;
/// Less contrast, in grey levels, shows nothing.
const LEAST_CONTRAST: f32 = 6.0;

/// What is usual of one camera's picture.
#[derive(Debug, Default)]
pub(super) struct UsualPicture {
    edges: EdgeMap,
    layout: Option<PictureLayout>,
    /// Mean share of pixels that are edges.
    density: f32,
    frames: u32,
    age: Duration,
    /// For how long the picture shows another scene.
    other: Duration,
    search: ShiftSearch,
    shift: Option<PictureShift>,
    searched: Duration,
}

impl UsualPicture {
    /// Holds a picture against what is usual, and then learns of it.
    pub(super) fn look(
        &mut self,
        (layout, gradients): (PictureLayout, &Gradients),
        (contrast, edges): (f32, f32),
        moving: &[Blob],
        step: Duration,
    ) -> (Option<EdgeLook>, Option<PictureShift>) {
        self.age += step;
        let known = self.known(gradients, &layout, moving);
        let missing = known.map_or(0.0, |known| known.missing.max(known.missing_area));
        self.look_for_shift(gradients, missing, step);
        let is_other = self.shift.is_some() || (missing > OTHER_SCENE && edges >= AS_MANY * self.density);
        self.other = if is_other { self.other + step } else { Duration::ZERO };
        if self.other >= ANEW_AFTER {
            self.forget();
        }
        if missing <= LIKE && self.shift.is_none() && contrast >= LEAST_CONTRAST {
            self.learn(gradients, &layout, edges, step);
        }
        (known, self.shift)
    }

    fn known(&self, gradients: &Gradients, layout: &PictureLayout, moving: &[Blob]) -> Option<EdgeLook> {
        if self.frames < LEAST_FRAMES || self.age < LEAST_AGE {
            return None;
        }
        let correlation = self.layout.as_ref().map_or(0.0, |usual| usual.correlation(layout));
        self.edges.look(gradients, moving, correlation)
    }

    fn look_for_shift(&mut self, gradients: &Gradients, missing: f32, step: Duration) {
        if missing <= MAY_BE_SHIFTED {
            (self.shift, self.searched) = (None, SEARCH_EVERY);
            return;
        }
        self.searched += step;
        if self.searched >= SEARCH_EVERY {
            self.searched = Duration::ZERO;
            self.shift = self.search.find(gradients, &self.edges);
        }
    }

    fn learn(&mut self, gradients: &Gradients, layout: &PictureLayout, edges: f32, step: Duration) {
        self.frames = self.frames.saturating_add(1);
        let lasting = 1.0 - (-step.as_secs_f32() / FOLLOWS.as_secs_f32()).exp();
        let weight = lasting.max(1.0 / self.frames as f32);
        self.edges.learn(gradients, weight);
        self.density += weight * (edges - self.density);
        self.layout.get_or_insert(*layout).learn(layout, weight);
    }

    /// Forgets what is hidden from now on.
    pub(super) fn hide(&mut self, hidden: &[u32]) {
        self.edges.hide(hidden);
        self.layout = None;
    }

    /// Learns anew from the next frame on.
    pub(super) fn forget(&mut self) {
        self.edges.clear();
        (self.frames, self.age, self.other) = (0, Duration::ZERO, Duration::ZERO);
        (self.layout, self.shift) = (None, None);
    }
}
