//! Traffic control: what detectors count and what is wrong with them, for traffic light controllers and their supervisors, and
//! for national access points.
//!
//! It must never know how verdicts are stored, nor how they are judged.
//!
//! Reading order: [`CountsOf`], which counts are whose; `measures`, what an interval says; [`rsmp`]; [`datex2`].

mod counts;
pub mod datex2;
mod measures;
pub mod rsmp;
mod time;

pub use counts::{CountsOf, Direction, SpeedUnit};
