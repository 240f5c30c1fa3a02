//! Counts of traffic.

use super::forecast::TrafficForecast;
use crate::time::UtcMillis;

/// Traffic measures over one interval that is aligned to the wall clock in UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Start of the interval, a multiple of its length since 1970 in UTC.
    pub from: UtcMillis,
    /// Length of the interval in milliseconds.
    pub length_ms: u64,
    /// How much of it was observed, in milliseconds: `0..=length_ms`.
    pub observed_ms: u64,
    /// Less than the whole interval was observed, after a start, a restart or a gap: the count is a lower
    /// bound.
    pub partial: bool,
    /// Readings that entered.
    pub readings: u64,
    /// Vehicles counted, where the detector counts.
    pub vehicles: Option<u64>,
    /// Flow in vehicles per hour of observed time.
    pub flow_per_hour: Option<f64>,
    /// Share of observed time during which the loop was occupied: `0..=1`.
    pub occupancy: Option<f64>,
    /// Mean speed, in the unit of the speed signal.
    pub mean_speed: Option<f64>,
    /// What is expected of later intervals, where the judge forecasts.
    pub forecasts: Vec<TrafficForecast>,
}
