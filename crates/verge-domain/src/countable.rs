//! Whether what crosses a line is seen often enough to be counted.

use serde::Serialize;

use crate::id::PlaceId;

crate::words! {
    /// Whether what crosses a line is seen often enough on both of its sides.
    #[derive(PartialOrd, Ord, Serialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Countability {
        /// At least three times on each side.
        Good = "good",
        /// Twice on one side: misses of the model may cost counts.
        Few = "few",
        /// Once or never on one side: counts are lower bounds.
        TooFew = "too_few",
    }
}

/// What one camera sees of its lines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeenLines {
    /// Frames that are judged a second, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_per_s: Option<f64>,
    /// Lines over which something has gone.
    pub lines: Vec<LineSightings>,
}

/// How often objects are seen before and behind a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineSightings {
    /// The line.
    pub line: PlaceId,
    /// Crossings that this is known of, the newer counting more.
    pub crossings: u32,
    /// Sightings of an object between its first one and the line, the median; counted up to 15.
    pub before: u32,
    /// Sightings behind the line.
    pub after: u32,
    /// What follows for its counts.
    pub verdict: Countability,
}
