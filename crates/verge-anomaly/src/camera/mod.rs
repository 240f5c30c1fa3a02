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
//! | `moved` | the usual edges are found elsewhere, further than 2 % of the width, or others in their place | 10 s |
//! | `flicker` | the mean alternates by more than 15 % in 8 of 10 frames | 3 s |
//! | `size` | another size than the ten frames before | at once |
//!
//! **Nothing is raised that something else explains**: a dark picture has no edges either. Contrast is the distance of the
//! brightest 5 % of the pixels from the darkest 5 %. What is usual is learnt from healthy frames, at each brightness, so
//! that a night is no fault. A fault is over after 3 s without it; a camera that moved is over once the new view is
//! learnt.
//!
//! The measures themselves are made where the pixels are, in `verge-vision`.

mod causes;
mod judge;
mod lasting;
#[cfg(test)]
mod tests;
mod unexplained;
mod usual;

use verge_domain::finding::Member;

pub use causes::{Blindness, CameraCauses};
pub use judge::CameraHealthJudge;
pub use unexplained::UnexplainedMotion;

use crate::fault::SettingsError;
use crate::health::HealthSettings;

/// What of a camera's health is watched, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CameraHealthSettings {
    /// One bit per cause, by its place in [`Member::OF_CAMERAS`]; the highest for silence.
    watched: u16,
    patience: f64,
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
        let mut watched = 0;
        for &member in causes {
            watched |= bit(member).ok_or(SettingsError::NotHealth { member })?;
        }
        if watched == 0 {
            return Err(SettingsError::NoCause);
        }
        let arrivals = HealthSettings::new(&[Member::Silent], patience)?;
        Ok(Self { watched, patience, arrivals })
    }

    /// Whether a cause is watched.
    #[must_use]
    pub fn watches(&self, cause: Member) -> bool {
        bit(cause).is_some_and(|bit| self.watched & bit != 0)
    }

    /// Whether it takes more than arrivals to judge.
    #[must_use]
    pub const fn looks(&self) -> bool {
        self.watched & !SILENT != 0
    }

    const fn patience(&self) -> f64 {
        self.patience
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
