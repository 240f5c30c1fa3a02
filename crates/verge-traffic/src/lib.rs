//! Traffic control: what detectors count and what is wrong with them, for traffic light controllers and their supervisors.
//!
//! It must never know how verdicts are stored, nor how they are judged.
//!
//! Reading order: [`rsmp`].

pub mod rsmp;
