//! What traffic is expected to be in some minutes.

use serde::{Deserialize, Serialize};

use crate::id::PlaceId;

crate::words! {
    /// What is forecast.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum ForecastMeasure {
        /// Vehicles per hour, in both directions of a line together.
        Flow = "flow",
        /// Objects that wait in a zone, on average over the interval.
        Queue = "queue",
    }
}

/// What is expected of the interval that ends `ahead_ms` after the one that was counted.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficForecast {
    /// The line or zone; `None` for a detector in the road.
    pub place: Option<PlaceId>,
    /// What is forecast.
    pub measure: ForecastMeasure,
    /// How far ahead, in milliseconds.
    pub ahead_ms: u64,
    /// The value that is expected.
    pub expected: f64,
    /// Nine of ten values lie within; `None` until enough forecasts could be compared with what came.
    pub low: Option<f64>,
    /// See `low`.
    pub high: Option<f64>,
}
