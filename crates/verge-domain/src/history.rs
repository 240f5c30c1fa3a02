//! What signals showed of late: their newest values, and for a day how they went and where each judge expected them. Kept in
//! memory for people who look at it; lost at a restart.

use std::time::Duration;

use crate::finding::Expected;
use crate::id::{JudgeId, Unit};
use crate::time::UtcMillis;
use crate::verdict::Subject;

crate::words! {
    /// How finely a course is kept.
    pub enum Step {
        /// For an hour.
        Fine = "10s",
        /// For a day.
        Coarse = "1min",
    }
}

impl Step {
    /// Its length.
    #[must_use]
    pub const fn length(self) -> Duration {
        match self {
            Self::Fine => Duration::from_secs(10),
            Self::Coarse => Duration::from_secs(60),
        }
    }

    /// For how long samples of it are kept.
    #[must_use]
    pub const fn span(self) -> Duration {
        match self {
            Self::Fine => Duration::from_secs(3_600),
            Self::Coarse => Duration::from_secs(24 * 3_600),
        }
    }

    /// Steps that are kept.
    #[must_use]
    pub const fn most(self) -> usize {
        match self {
            Self::Fine => 360,
            Self::Coarse => 1_440,
        }
    }
}

/// What a signal shows now.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalNow {
    /// Its unit, where its readings say one.
    pub unit: Option<Unit>,
    /// Its newest value, as it was received.
    pub value: f64,
    /// When that was noted, at most half a second after its receipt.
    pub at: UtcMillis,
    /// The judges that look at it, and where each expects it.
    pub judges: Vec<(JudgeId, Option<Expected>)>,
    /// Since when its course is kept; `None`: it is not kept.
    pub since: Option<UtcMillis>,
}

/// What a signal showed within one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Begin of the step.
    pub at: UtcMillis,
    /// Its last value.
    pub last: f32,
    /// Its least value.
    pub least: f32,
    /// Its greatest value.
    pub greatest: f32,
    /// A judge of it was under maintenance or shelved.
    pub held: bool,
}

/// From a time on a judge expected a signal here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BandChange {
    /// From when on.
    pub from: UtcMillis,
    /// The range; `None`: nothing any more.
    pub expected: Option<Expected>,
}

/// How a signal went.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// The length of its steps.
    pub step: Step,
    /// Since when it is kept; `None`: it is not kept, for want of room.
    pub since: Option<UtcMillis>,
    /// Steps in which a value came, oldest first.
    pub samples: Vec<Sample>,
    /// Where each judge expected it, oldest first.
    pub bands: Vec<(JudgeId, Vec<BandChange>)>,
}

/// The signals that were received since the start. Every call is quick, and none makes the data path wait.
pub trait SignalHistory: Send + Sync {
    /// Signals that `selected` picks, in the order of their names. It is given when each was last received, too.
    fn list(&self, selected: &mut dyn FnMut(&Subject, UtcMillis) -> bool) -> Vec<Subject>;

    /// What a signal shows; `None` where it was not received since the start.
    fn newest(&self, signal: &Subject) -> Option<SignalNow>;

    /// How a signal went from a time on. It counts as looked at: of courses for which there is no room, those go first that
    /// nobody has looked at for the longest time.
    fn course(&self, signal: &Subject, step: Step, from: UtcMillis) -> Option<Course>;

    /// Signals that are not listed for want of room.
    fn left_out(&self) -> u64;
}
