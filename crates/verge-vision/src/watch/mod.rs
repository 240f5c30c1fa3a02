//! Whether a camera sees, measured on its pixels: one small grey picture per frame, and what it used to show.
//!
//! What is measured here goes to judges as a [`CameraLook`], in numbers alone: they decide. What is usual of the pixels
//! is kept per camera, is learnt only while the picture is like it, and is lost with the process.

mod edges;
mod gradients;
mod grey;
mod layout;
mod levels;
pub mod motion;
mod noise;
mod shift;
mod usual;

use std::time::Duration;

use gradients::Gradients;
pub use grey::{GREY_WIDTH, GreyPicture};
use levels::GreyLevels;
use motion::PixelBackground;
use noise::PictureNoise;
use usual::UsualPicture;
use verge_domain::frame::CameraLook;
use verge_domain::time::UtcMillis;

use crate::Picture;

/// Longest step between two frames that counts.
const LONGEST_STEP: Duration = Duration::from_secs(2);

/// What is known of the pixels of one camera. Some 500 KiB at most.
#[derive(Debug, Default)]
pub struct CameraWatch {
    grey: GreyPicture,
    gradients: Gradients,
    /// The sums of the frame before, see [`GreyPicture`].
    before: Vec<u32>,
    noise: PictureNoise,
    usual: UsualPicture,
    newest: Option<UtcMillis>,
    background: PixelBackground,
}

impl CameraWatch {
    /// Looks at a frame that was captured then.
    pub fn look(&mut self, picture: &Picture, at: UtcMillis) -> CameraLook {
        let size = (self.grey.width(), self.grey.height());
        self.grey.fill(picture);
        if size != (self.grey.width(), self.grey.height()) {
            self.before.clear();
            self.usual.forget();
        }
        let levels = GreyLevels::of(self.grey.pixels());
        let contrast = levels.high - levels.low;
        let step = self.newest.map_or(Duration::ZERO, |newest| at.since(newest)).min(LONGEST_STEP);
        self.newest = Some(at);
        let equal = self.equal();
        self.noise.enter(self.grey.fine(), levels.mean, equal, step);
        let noise = self.noise.deviation();
        self.gradients.fill(&self.grey, noise);
        let edges = self.gradients.edges();
        let motion = self.background.look(
            self.grey.pixels(),
            (self.grey.width(), self.grey.height()),
            at.0 as f64 / 1000.0,
        );
        let both = (&self.grey, &self.gradients);
        let (known, shift) = self.usual.look(both, (contrast, edges), &motion.blobs, step);
        CameraLook {
            width: picture.width(),
            height: picture.height(),
            mean: levels.mean,
            low: levels.low,
            high: levels.high,
            saturated: levels.saturated,
            equal,
            sharpness: levels::sharpness(&self.grey, contrast, noise),
            edges,
            known,
            shift,
            motion,
        }
    }

    /// The grey picture of the frame that was looked at last.
    #[must_use]
    pub const fn grey(&self) -> &GreyPicture {
        &self.grey
    }

    /// Share of pixels whose boxes equal those of the frame before; this one is the one before from now on.
    fn equal(&mut self) -> Option<f32> {
        let sums = self.grey.sums();
        let is_known = !sums.is_empty() && self.before.len() == sums.len();
        let equal = self.before.iter().zip(sums).filter(|(before, now)| before == now).count();
        self.before.clear();
        self.before.extend_from_slice(sums);
        is_known.then(|| (equal as f64 / self.before.len() as f64) as f32)
    }
}
