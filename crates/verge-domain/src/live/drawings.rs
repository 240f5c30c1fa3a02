//! Lines, zones and masks as people draw them on a camera's picture. Places are shares of the picture's sides.

use crate::live::CameraName;
use crate::time::UtcMillis;

/// What is drawn before one camera.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Drawing {
    /// Of the judges that count before it.
    pub judges: Vec<DrawnJudge>,
    /// What of its pictures is hidden.
    pub masks: Vec<DrawnMask>,
}

/// The lines and zones of one judge.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DrawnJudge {
    /// Its name.
    pub judge: String,
    /// Its lines.
    pub lines: Vec<DrawnLine>,
    /// Its zones.
    pub zones: Vec<DrawnZone>,
    /// Other cameras that it counts before by the same lines and zones, as `SOURCE/DEVICE`.
    pub also: Vec<String>,
    /// Who drew it; `None` where it stands in the configuration's file.
    pub drawn: Option<DrawnBy>,
}

/// A directed line: forward is from its left to its right, looking from its begin to its end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DrawnLine {
    /// Its name.
    pub name: String,
    /// Where it begins and ends.
    pub ends: [[f64; 2]; 2],
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DrawnZone {
    /// Its name.
    pub name: String,
    /// Its corners in order.
    pub corners: Vec<[f64; 2]>,
}

/// A mask.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DrawnMask {
    /// Its name.
    pub name: String,
    /// Its corners in order.
    pub corners: Vec<[f64; 2]>,
    /// It stands in the configuration's file: what that hides is not shown by drawing.
    pub fixed: bool,
}

/// Who drew something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnBy {
    /// The login.
    pub by: String,
    /// When, as RFC 3339 says it.
    pub at: String,
}

/// A drawing with the tag of what it rests on: it changes whenever the drawings or the configuration's file do.
#[derive(Debug, Clone, PartialEq)]
pub struct TaggedDrawing {
    /// The drawing.
    pub drawing: Drawing,
    /// The tag.
    pub tag: String,
    /// Whether there is an earlier version to go back to.
    pub can_undo: bool,
}

/// What lines and zones would have counted of what was seen lately.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DrawingTrial {
    /// Since when tracks are known.
    pub since: Option<UtcMillis>,
    /// How many objects were followed since then.
    pub tracks: usize,
    /// Of each line: its judge, its name, and what crossed it forward and backward.
    pub lines: Vec<(String, String, [u64; 2])>,
    /// Of each zone: its judge, its name, and how many objects were in it.
    pub zones: Vec<(String, String, u64)>,
}

/// Why a drawing is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrawingError {
    /// There is no such source of frames, or no frame has come from the camera of this name.
    #[error("no frame has come from camera {0} since the gateway started")]
    Unknown(String),
    /// It rests on what is not so any more.
    #[error("the drawings or the configuration have changed since this was read: read it again, then draw")]
    Changed,
    /// It is wrong.
    #[error("{}", .0.join("; "))]
    Faulty(Vec<String>),
    /// There is no earlier version.
    #[error("there is no earlier version to go back to")]
    NoVersion,
    /// It would bring with it what somebody else has written and not taken up yet.
    #[error("the configuration's file has changes that are not at work yet: an administrator reloads first")]
    NotAtWork,
    /// It could not be stored or taken up, or nobody knows whether it was: the text says which.
    #[error("{0}")]
    Failed(String),
}

/// Drawings of a gateway. These calls read and write files: none is made where others wait.
pub trait LiveDrawings: Send + Sync {
    /// What is drawn before a camera.
    ///
    /// # Errors
    /// See [`DrawingError`].
    fn drawing(&self, camera: &CameraName) -> Result<TaggedDrawing, DrawingError>;

    /// What lines and zones would have counted. From the first call on tracks are kept, until nobody has called for a while.
    ///
    /// # Errors
    /// See [`DrawingError`].
    fn try_out(&self, camera: &CameraName, drawing: &Drawing) -> Result<DrawingTrial, DrawingError>;

    /// Stores a drawing that rests on this tag, and lets the gateway take it up: all of it, or nothing.
    ///
    /// # Errors
    /// See [`DrawingError`].
    fn draw(
        &self,
        camera: &CameraName,
        drawing: &Drawing,
        rests_on: &str,
        by: &str,
    ) -> Result<(), DrawingError>;

    /// Takes back the last version of what is drawn, whichever camera that was of, where that is still the one with this tag. To
    /// undo it again brings back what was.
    ///
    /// # Errors
    /// See [`DrawingError`].
    fn undo(&self, camera: &CameraName, rests_on: &str, by: &str) -> Result<(), DrawingError>;
}
