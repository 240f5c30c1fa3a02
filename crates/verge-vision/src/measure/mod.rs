//! How good a model is on labelled pictures.

mod average_precision;

pub use average_precision::{AveragePrecision, Found, Scores, Truth};
