//! What was counted before a camera.

use serde::{Deserialize, Serialize};

use super::forecast::TrafficForecast;
use crate::id::{Label, PlaceId};
use crate::time::UtcMillis;

/// Traffic before a camera in one interval that is aligned to the wall clock in UTC. What was not observed is `None`, never
/// zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Start of the interval, a multiple of its length since 1970 in UTC.
    pub from: UtcMillis,
    /// Length of the interval in milliseconds.
    pub length_ms: u64,
    /// How much of it was observed, in milliseconds: `0..=length_ms`.
    pub observed_ms: u64,
    /// Frames that were judged.
    pub judged: u64,
    /// Frames that came and were not: the model was not run on them, or the camera was blind.
    pub skipped: u64,
    /// Why the counts are lower bounds; empty where they are not.
    pub partial: Vec<PartialReason>,
    /// Whose clock the times of crossings, speeds and headways rest on.
    pub time: TimeBasis,
    /// What crossed each line.
    pub lines: Vec<LineCounts>,
    /// What was in each zone.
    pub zones: Vec<ZoneMeasures>,
    /// From which arm to which; those of which there was any.
    pub trips: Vec<TripCount>,
    /// What is expected of later intervals, where the judge forecasts.
    pub forecasts: Vec<TrafficForecast>,
}

crate::words! {
    /// Why counts of an interval are lower bounds.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum PartialReason {
        /// Counting began, or ended, within it.
        Start = "start",
        /// For a while no frames came, or the gateway did not run.
        Gap = "gap",
        /// Frames come too seldom for what crosses its lines.
        Rate = "rate",
        /// The time of the frames ran back, or stood still.
        Clock = "clock",
        /// For a while the camera was blind.
        Health = "health",
        /// For a while less was looked at than was asked for, since frames came faster than that allows.
        Overload = "overload",
    }
}

crate::words! {
    /// Whose clock times rest on.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum TimeBasis {
        /// The camera's: every frame gave a time that is trusted.
        Captured = "captured",
        /// The gateway's: at least one frame gave none, and its time is that of its receipt.
        Received = "received",
    }
}

/// What crossed a line.
#[derive(Debug, Clone, PartialEq)]
pub struct LineCounts {
    /// The line.
    pub line: PlaceId,
    /// From its left to its right, looking from its begin to its end; `None` where nothing was observed.
    pub forward: Option<DirectionCounts>,
    /// From its right to its left.
    pub backward: Option<DirectionCounts>,
    /// Objects that were lost before it or first seen beyond it: what may be missing of both counts.
    pub unresolved: u64,
}

/// What crossed a line in one direction.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DirectionCounts {
    /// All classes together.
    pub total: u64,
    /// Classes of which there was any.
    pub classes: Vec<ClassCount>,
    /// Arithmetic mean of speeds, in metres per second.
    pub mean_speed: Option<f64>,
    /// Harmonic mean of speeds, in metres per second.
    pub space_mean_speed: Option<f64>,
    /// Median of the seconds from one front to the next.
    pub headway: Option<f64>,
    /// Share of these that are shorter than two seconds.
    pub short_headways: Option<f64>,
    /// Mean seconds from one rear to the next front.
    pub gap: Option<f64>,
}

/// Objects of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCount {
    /// The class.
    pub label: Label,
    /// How many.
    pub count: u64,
}

/// What was in a zone.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneMeasures {
    /// The zone.
    pub zone: PlaceId,
    /// Objects that entered.
    pub entered: Option<u64>,
    /// Share of observed time in which something was in it, `0..=1`.
    pub occupancy: Option<f64>,
    /// Mean speed in it, in metres per second.
    pub mean_speed: Option<f64>,
    /// Objects that waited, on average over observed time.
    pub queue_mean: Option<f64>,
    /// Objects that waited at most at a time.
    pub queue_max: Option<u64>,
    /// Objects that waited at the end of what was observed.
    pub queue_end: Option<u64>,
    /// Length of the longest queue in metres, where the zone has a stop line and the ground is known.
    pub queue_length: Option<f64>,
}

/// Trips from one arm to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TripCount {
    /// Where they began.
    pub origin: PlaceId,
    /// Where they ended.
    pub destination: PlaceId,
    /// How many.
    pub count: u64,
}

impl Traffic {
    /// Objects that crossed its lines in both directions; `None` where nothing was observed.
    #[must_use]
    pub fn crossings(&self) -> Option<u64> {
        let directions = self.lines.iter().flat_map(|line| [&line.forward, &line.backward]);
        directions.flatten().map(|direction| direction.total).reduce(u64::saturating_add)
    }
}
