//! How good a detector is on labelled series and pictures. Pure: files are read elsewhere.
//!
//! Reading order: [`ScoreProfile`] (what a hit, a miss and a false alarm weigh), [`nab`] (one signal, a score per
//! row), [`skab`] (several signals, a yes or no per row).

pub mod nab;
pub mod skab;

use thiserror::Error;

/// What a hit, a miss and a false alarm weigh (Lavin and Ahmad, "Evaluating Real-time Anomaly Detection
/// Algorithms", 2015). Both benchmarks use the same three.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreProfile {
    /// Gain of an alarm that could not have come earlier.
    pub hit: f64,
    /// Loss of a window without an alarm.
    pub miss: f64,
    /// Loss of an alarm far from any window.
    pub false_alarm: f64,
}

impl ScoreProfile {
    /// The usual one.
    pub const STANDARD: Self = Self { hit: 1.0, miss: 1.0, false_alarm: 0.11 };
    /// False alarms weigh twice.
    pub const LOW_FP: Self = Self { hit: 1.0, miss: 1.0, false_alarm: 0.22 };
    /// Misses weigh twice.
    pub const LOW_FN: Self = Self { hit: 1.0, miss: 2.0, false_alarm: 0.11 };
    /// All three, in this order.
    pub const ALL: [Self; 3] = [Self::STANDARD, Self::LOW_FP, Self::LOW_FN];
}

/// Why a series cannot be scored.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum MeasureError {
    /// A score outside `0..=1`, or none.
    #[error("row {row}: score {actual} is not within 0..=1")]
    Score {
        /// Row, from 0.
        row: usize,
        /// The score.
        actual: f64,
    },
    /// A window that ends before it starts, reaches beyond the series, or starts before its forerunner's end.
    #[error("window {start}..={end} is empty, not after the one before it, or beyond the {rows} rows")]
    Window {
        /// First row, from 0.
        start: usize,
        /// Last row.
        end: usize,
        /// Rows of the series.
        rows: usize,
    },
    /// Columns of different lengths.
    #[error("{actual} rows in a column where others have {expected}")]
    Length {
        /// Rows of the first column.
        expected: usize,
        /// Rows of this one.
        actual: usize,
    },
}
