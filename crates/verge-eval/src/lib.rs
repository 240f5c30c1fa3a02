//! How good a detector is on labelled series and pictures. Pure: files, tables and the command line are elsewhere.
//!
//! Reading order: [`detectors`] (as they ship, over a whole series), [`measure`] (the scores of the public boards),
//! [`events`] (alarms against labelled rows), [`nested`] and [`candidates`] (what settings score that were chosen on
//! other series), [`plant`] (a simulated plant with known faults, and alarms against them), [`traffic`] (simulated traffic
//! before a camera, and counts against it), [`forecast`] (short-term forecasts beside simple ones), [`plot`] (a series as a
//! picture).

pub mod candidates;
pub mod detectors;
pub mod events;
pub mod forecast;
pub mod measure;
pub mod nested;
pub mod plant;
pub mod plot;
pub mod traffic;
pub mod weather;
