//! The health of cameras: whether they see, by what each frame says of its camera. Blind is not empty.
//!
//! | cause | is abnormal | is found after |
//! |---|---|---|
//! | `frozen` | 99 % of the picture equals the frame before, bit by bit, and it is not dark | 10 frames and 3 s |
//! | `dark` | mean grey level below 12 of 255, contrast below 6 | 5 s |
//! | `bright` | more than 60 % of the pixels at 248 or more | 5 s |
//! | `blurred` | detail below a quarter of what is usual at this brightness, while the layout remains | 10 s |
//! | `covered` | more than 70 % of the usual edges are missing; more than 45 % | 5 s; 30 s |
//! | `low_contrast` | contrast below a quarter of what is usual at this brightness, while the layout remains | 30 s |
//! | `moved` | the usual edges are found elsewhere, further than 2 % of the width, or others in their place | 10 s, 18 s at most |
//! | `flicker` | the mean alternates by more than 15 % in 8 of 10 frames | 3 s |
//! | `size` | another size than the ten frames before | at once |
//!
//! **Nothing is raised that something else explains**: a dark picture has no edges either. Contrast is the distance of the
//! brightest 5 % of the pixels from the darkest 5 %. What is usual is learnt from healthy frames, at each brightness, so
//! that a night is no fault. A fault is over after 3 s without it; a camera that moved is over once the new view is
//! learnt, which it is after 20 s whatever the patience. What pixels usually show is lost with the process: a picture that was
//! covered then is covered until it shows as many edges as are usual.
//!
//! What privacy masks hide is left out. Where they change, what is usual is learnt anew.
//!
//! The measures themselves are made where the pixels are, in `verge-vision`.

mod causes;
mod judge;
mod lasting;
mod reference;
#[cfg(test)]
pub(crate) mod tests;
mod unexplained;
mod usual;

use verge_domain::finding::Member;

pub(crate) use causes::CausesMore;
pub use causes::{Blindness, CameraCauses};
pub use judge::CameraHealthJudge;
pub use unexplained::UnexplainedMotion;

use crate::fault::SettingsError;
use crate::health::{HealthSettings, WatchedCauses};

/// What of a camera's health is watched, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraHealthSettings {
    /// By the place of causes in [`Member::OF_CAMERAS`]; the highest bit for silence.
    watched: WatchedCauses,
    arrivals: HealthSettings,
}

const SILENT: u16 = 1 << 15;

impl CameraHealthSettings {
    /// Watches `causes`: `silent`, and those of [`Member::OF_CAMERAS`]. `patience` multiplies how long a fault must last
    /// before it is found.
    ///
    /// # Errors
    /// No cause at all, a member that is no cause of cameras, a patience outside `1..=1000`.
    pub fn new(causes: &[Member], patience: f64) -> Result<Self, SettingsError> {
        let watched = WatchedCauses::new(causes, patience, bit)?;
        let arrivals = HealthSettings::new(&[Member::Silent], patience)?;
        Ok(Self { watched, arrivals })
    }

    /// Whether a cause is watched.
    #[must_use]
    pub fn watches(&self, cause: Member) -> bool {
        bit(cause).is_some_and(|bit| self.watched.bits & bit != 0)
    }

    /// What is watched.
    pub fn causes(&self) -> impl Iterator<Item = Member> {
        let all = Member::OF_CAMERAS.into_iter().chain([Member::Silent]);
        all.filter(|cause| self.watches(*cause))
    }

    /// Whether it takes more than arrivals to judge.
    #[must_use]
    pub const fn looks(&self) -> bool {
        self.watched.bits & !SILENT != 0
    }

    const fn patience(&self) -> f64 {
        self.watched.patience
    }

    const fn of_arrivals(&self) -> HealthSettings {
        self.arrivals
    }
}

fn bit(member: Member) -> Option<u16> {
    if member == Member::Silent {
        return Some(SILENT);
    }
    Member::OF_CAMERAS.iter().position(|one| *one == member).map(|place| 1 << place)
}
