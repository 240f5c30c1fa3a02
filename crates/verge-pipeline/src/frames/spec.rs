//! How sources of frames are set, and who looks at their cameras.

use std::sync::Arc;
use std::time::Duration;

use verge_domain::id::JudgeIndex;

/// Which frames of a camera are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The newest when a worker is free; one that is older than the deadline is dropped.
    Newest {
        /// Counted from receipt.
        deadline: Duration,
    },
    /// Every one, in order.
    Every,
}

/// A source of frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FrameSourceSpec {
    /// Which frames are judged.
    pub keep: Keep,
    /// How soon a camera falls due again after it was judged: the smaller, the larger its share under overload.
    pub urgency: Duration,
    /// Frames a second that each camera must have under overload; `None`: [`LEAST_AT_LINES`] where objects are counted that
    /// cross lines, else none.
    pub least: Option<f64>,
}

/// Frames a second below which lines cannot be counted.
pub const LEAST_AT_LINES: f64 = 3.0;

impl FrameSourceSpec {
    /// What a camera must have; of a source that judges every frame none falls short, but its connection waits.
    pub(super) fn least_of(&self, has_lines: bool) -> Option<f64> {
        let least = self.least.or(has_lines.then_some(LEAST_AT_LINES));
        least.filter(|least| *least > 0.0 && matches!(self.keep, Keep::Newest { .. }))
    }
}

/// Who looks at a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraViewers {
    /// The judges, in the order of their indices.
    pub judges: Arc<[JudgeIndex]>,
    /// One of them counts what crosses lines.
    pub has_lines: bool,
}
