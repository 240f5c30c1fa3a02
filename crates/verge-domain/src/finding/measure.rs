//! What is measured before a camera.

use crate::id::{SignalId, Unit};
use crate::time::UtcMillis;
use crate::verdict::TimeBasis;

/// A number that a judge has measured before a camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Its name among the signals of the camera.
    pub signal: SignalId,
    /// The number, finite.
    pub value: f64,
    /// Its unit; `None` of numbers and shares.
    pub unit: Option<Unit>,
    /// The end of the time that it is about.
    pub at: UtcMillis,
    /// Whose clock that time rests on.
    pub time: TimeBasis,
}
