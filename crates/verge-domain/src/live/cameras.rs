//! Cameras as people watch them. A picture is kept only while somebody asks for it: nobody watching costs nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::frame::{SceneSketch, ShownFrame};
use crate::id::{DeviceId, JudgeId, SourceId};
use crate::observation::Captured;
use crate::time::{Moment, UtcMillis};

/// A camera by its names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CameraName {
    /// The source.
    pub source: SourceId,
    /// The device.
    pub device: DeviceId,
}

/// What has come from a camera since it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CameraCourse {
    /// Frames that came.
    pub came: u64,
    /// Frames that workers took.
    pub taken: u64,
    /// Frames that were superseded by newer ones, or given up because they were too old.
    pub passed_over: u64,
    /// The usual time from one frame to the next; `None` before the second.
    pub usual_gap: Option<Duration>,
}

impl CameraCourse {
    /// One came, so long after the one before. An outage says nothing about what is usual.
    pub fn note_came(&mut self, gap: Option<Duration>) {
        const WEIGHT: u32 = 8;
        self.came = self.came.saturating_add(1);
        let Some(gap) = gap else { return };
        self.usual_gap = Some(match self.usual_gap {
            None => gap,
            Some(usual) => {
                let gap = gap.min(usual.saturating_mul(4).max(Duration::from_millis(1)));
                (usual.saturating_mul(WEIGHT - 1).saturating_add(gap)) / WEIGHT
            }
        });
    }

    /// An age from which on the newest frame is old: three times the usual gap, and three seconds at least, since pages ask for
    /// a picture once a second.
    #[must_use]
    pub fn stale_after(&self) -> Duration {
        const LEAST: Duration = Duration::from_secs(3);
        const UNKNOWN: Duration = Duration::from_secs(10);
        self.usual_gap.map_or(UNKNOWN, |gap| gap.saturating_mul(3).max(LEAST))
    }
}

/// A camera that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveCamera {
    /// Its names.
    pub name: CameraName,
    /// Time since its newest frame.
    pub age: Duration,
    /// What came.
    pub course: CameraCourse,
}

/// A picture that is kept for those who watch.
#[derive(Debug, Clone, PartialEq)]
pub struct LivePicture {
    /// Grows with each picture that is kept, of all cameras.
    pub number: u64,
    /// The picture, and what judges saw in it.
    pub frame: ShownFrame,
    /// When it was captured, as the camera claims it.
    pub captured: Captured,
    /// When the gateway received it.
    pub received: Moment,
}

/// What judges know of the scene before a camera.
pub type LiveScene = Arc<[(JudgeId, SceneSketch)]>;

/// A camera that is watched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WatchedCamera {
    /// The newest picture; `None` until the next frame is looked at.
    pub picture: Option<Arc<LivePicture>>,
    /// The scene as of the newest frame that was judged.
    pub scene: LiveScene,
}

/// Why a camera cannot be watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// No frame has come from it.
    #[error("no frame has come from this camera since the gateway started")]
    Unknown,
    /// There are too many.
    #[error("{limit} cameras are watched already: close the pages of others")]
    TooMany {
        /// As many at once.
        limit: usize,
    },
}

/// The cameras of a gateway. Every call is quick, and none makes the data path wait.
pub trait LiveCameras: Send + Sync {
    /// The cameras that frames have come from, by their names.
    fn list(&self) -> Vec<LiveCamera>;

    /// One of them.
    fn one(&self, name: &CameraName) -> Option<LiveCamera>;

    /// The newest picture of a camera. From the first call on pictures are kept, until nobody has called for a while.
    ///
    /// # Errors
    /// See [`WatchError`].
    fn watch(&self, name: &CameraName) -> Result<WatchedCamera, WatchError>;
}

/// When the running interval of a scene began, if one runs.
#[must_use]
pub fn interval_of(scene: &[(JudgeId, SceneSketch)]) -> Option<UtcMillis> {
    scene.iter().filter_map(|(_, sketch)| sketch.running_since).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_does_not_make_a_long_gap_usual() {
        let mut course = CameraCourse::default();
        course.note_came(None);
        assert_eq!((course.came, course.usual_gap, course.stale_after().as_secs()), (1, None, 10));
        for _ in 0..20 {
            course.note_came(Some(Duration::from_millis(200)));
        }
        assert_eq!(course.stale_after(), Duration::from_secs(3), "pages ask once a second");
        for _ in 0..60 {
            course.note_came(Some(Duration::from_secs(2)));
        }
        let before = course.stale_after();
        assert!(before > Duration::from_millis(5_500), "{course:?}");
        course.note_came(Some(Duration::from_secs(3_600)));
        assert!(course.stale_after() < before + Duration::from_millis(2_500), "{course:?}");
        // A camera that is slower from now on is known to be after a while.
        for _ in 0..60 {
            course.note_came(Some(Duration::from_secs(5)));
        }
        assert!(course.stale_after() > Duration::from_secs(14), "{course:?}");
    }
}
