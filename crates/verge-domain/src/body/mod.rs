//! What a verdict says: each kind of body in a file of its own.

mod anomaly;
mod classification;
mod counts;
mod detections;
mod forecast;
mod health;
mod traffic;

pub use anomaly::{Anomaly, RegionBox, Regions};
pub use classification::{Classification, Scored};
pub use counts::Counts;
pub use detections::{Detection, Detections};
pub use forecast::{ForecastMeasure, TrafficForecast};
pub use health::Health;
pub use traffic::{
    ClassCount, DirectionCounts, LineCounts, PartialReason, TimeBasis, Traffic, TripCount, ZoneMeasures,
};

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// The process is out of its expected range.
    Anomaly(Anomaly),
    /// An interval was counted.
    Counts(Counts),
    /// A sensor or device is faulty.
    Health(Health),
    /// A frame was classified.
    Classification(Classification),
    /// A frame was searched for objects.
    Detections(Detections),
    /// Traffic before a camera was counted.
    Traffic(Traffic),
}

impl Body {
    /// The stable text of the kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Anomaly(_) => "anomaly",
            Self::Counts(_) => "counts",
            Self::Health(_) => "health",
            Self::Classification(_) => "classification",
            Self::Detections(_) => "detections",
            Self::Traffic(_) => "traffic",
        }
    }
}
