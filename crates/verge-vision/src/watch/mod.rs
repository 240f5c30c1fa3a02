//! Whether a camera sees, measured on its pixels: one small grey picture per frame, and what it used to show.
//!
//! What is measured here goes to judges as a [`CameraLook`], in numbers alone: they decide. What is usual of the pixels
//! is kept per camera, is learnt only while the picture is like it, and is lost with the process. What privacy masks hide is
//! left out of every measure.

mod edges;
mod gradients;
mod grey;
mod hidden;
mod layout;
mod levels;
pub mod motion;
mod noise;
mod shift;
mod usual;

use std::ops::Range;
use std::time::Duration;

use gradients::Gradients;
pub use grey::{GREY_WIDTH, GreyPicture};
use hidden::{HiddenCells, hidden_of};
use layout::PictureLayout;
use levels::GreyLevels;
use motion::PixelBackground;
use noise::PictureNoise;
use usual::UsualPicture;
use verge_domain::frame::{CameraLook, Shortfall};
use verge_domain::time::Monotonic;

use crate::Picture;

/// Longest step between two frames that counts.
const LONGEST_STEP: Duration = Duration::from_secs(2);

/// What is known of the pixels of one camera. Some 500 KiB for pictures of 16 to 9, as much again once it was searched for a
/// shift; four times that for the highest pictures.
#[derive(Debug, Default)]
pub struct CameraWatch {
    grey: GreyPicture,
    gradients: Gradients,
    /// The sums of the frame before, see [`GreyPicture`].
    before: Vec<u32>,
    noise: PictureNoise,
    usual: UsualPicture,
    newest: Option<Monotonic>,
    background: PixelBackground,
    hidden: HiddenCells,
}

impl CameraWatch {
    /// Looks at a frame that was received then.
    pub fn look(&mut self, picture: &Picture, at: Monotonic) -> CameraLook {
        self.look_past(&[], picture, at)
    }

    /// The same of a frame of which these samples are hidden.
    pub fn look_past(&mut self, hidden: &[Range<usize>], picture: &Picture, at: Monotonic) -> CameraLook {
        let size = (self.grey.width(), self.grey.height());
        self.grey.fill(picture);
        if size != (self.grey.width(), self.grey.height()) {
            self.before.clear();
            self.usual.forget();
        }
        self.hide(hidden, picture);
        let cells = if self.hidden.hides_all() { &[] } else { self.hidden.cells() };
        let levels = GreyLevels::of(self.grey.pixels(), cells);
        let contrast = levels.high - levels.low;
        let step = self.newest.map_or(Duration::ZERO, |newest| at.since(newest)).min(LONGEST_STEP);
        self.newest = Some(at);
        let equal = self.equal();
        self.noise.enter((self.grey.fine(), self.hidden.cells()), levels.mean, equal, step);
        let noise = self.noise.deviation();
        self.gradients.fill(&self.grey, noise, &self.hidden);
        let edges = self.gradients.edges();
        let motion = self.background.look(
            self.grey.pixels(),
            (self.grey.width(), self.grey.height()),
            at.0 as f64 / 1e6,
        );
        let layout = PictureLayout::of(&self.grey, self.hidden.cells());
        let (known, shift) =
            self.usual.look((layout, &self.gradients), (contrast, edges), &motion.blobs, step);
        CameraLook {
            width: picture.width(),
            height: picture.height(),
            mean: levels.mean,
            low: levels.low,
            high: levels.high,
            saturated: levels.saturated,
            equal,
            sharpness: levels::sharpness(&self.grey, (contrast, noise), self.hidden.around()),
            edges,
            parts: self.gradients.parts(),
            known,
            shift,
            motion,
            shortfall: Shortfall::default(),
            hidden: self.hidden.share(),
        }
    }

    /// The grey picture of the frame that was looked at last.
    #[must_use]
    pub const fn grey(&self) -> &GreyPicture {
        &self.grey
    }

    /// Share of the pixels whose boxes equal those of the frame before; this one is the one before from now on.
    fn equal(&mut self) -> Option<f32> {
        let sums = self.grey.sums();
        let is_known = !sums.is_empty() && self.before.len() == sums.len() && !self.hidden.hides_all();
        let hidden = self.hidden.cells();
        let equal = is_known.then(|| {
            let all = self.before.iter().zip(sums).filter(|(before, now)| before == now).count();
            let both = hidden_of(&self.before, hidden).zip(hidden_of(sums, hidden));
            let equal = all - both.filter(|(before, now)| before == now).count();
            (equal as f64 / (sums.len() - hidden.len()) as f64) as f32
        });
        self.before.clear();
        self.before.extend_from_slice(sums);
        equal
    }

    /// What is hidden now; of other masks what was learnt there is forgotten.
    fn hide(&mut self, samples: &[Range<usize>], picture: &Picture) {
        let size = (self.grey.width(), self.grey.height());
        if self.hidden.note(samples, (picture.width(), picture.height()), size) {
            self.background.hide(self.hidden.cells());
            self.usual.hide(self.hidden.around());
        }
    }
}

#[cfg(test)]
mod tests;
