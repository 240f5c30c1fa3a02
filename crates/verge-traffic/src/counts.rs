//! Which counts are those of a detector, or of a place that is measured.

use verge_domain::id::{JudgeId, PlaceId};
use verge_domain::interval::IntervalGrid;

verge_domain::words! {
    /// The unit in which a judge of loops reads speeds.
    pub enum SpeedUnit {
        /// Kilometres per hour.
        KilometresPerHour = "km/h",
        /// Metres per second.
        MetresPerSecond = "m/s",
        /// Miles per hour.
        MilesPerHour = "mph",
    }

    /// Which crossings of a line count.
    pub enum Direction {
        /// All of them.
        Both = "both",
        /// From its left to its right, looking from its begin to its end.
        Forward = "forward",
        /// From its right to its left.
        Backward = "backward",
    }
}

impl SpeedUnit {
    /// Kilometres per hour in one of it.
    #[must_use]
    pub const fn in_kilometres_per_hour(self) -> f64 {
        match self {
            Self::KilometresPerHour => 1.0,
            Self::MetresPerSecond => 3.6,
            Self::MilesPerHour => 1.609_344,
        }
    }
}

/// Which counts are those of a detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountsOf {
    /// The judge.
    pub judge: JudgeId,
    /// Its intervals.
    pub interval: IntervalGrid,
    /// The line whose crossings count, of a camera; all of them where there is none.
    pub line: Option<PlaceId>,
    /// Which crossings.
    pub direction: Direction,
    /// The zone whose occupancy counts, of a camera; its only zone where there is none.
    pub zone: Option<PlaceId>,
    /// The unit of speeds of loops.
    pub speed_unit: SpeedUnit,
}
