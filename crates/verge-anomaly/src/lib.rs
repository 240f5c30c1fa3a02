//! Judges over readings: explicit limits, silence, the health of sensors, traffic loops, and detectors that learn.
//!
//! Everything here is pure and bounded: no I/O, no clock, no thread, no randomness. Time comes with each
//! reading and each tick, memory per judge has a stated limit, and no input that a codec lets through can
//! leave a non-finite number behind. Nothing is allocated per reading once a judge has settled.
//!
//! Reading order: [`judge`] (the closed list of judges), [`fault`] (why settings are refused), then one
//! module per judge: rules ([`threshold`], [`rate`], [`cusum`], [`silence`], [`vehicle_loop`]), the sensor's own
//! [`health`] and the camera's ([`camera`]), what models see in frames ([`report`], [`track`]), what traffic is expected to be ([`forecast`]), and what learns ([`auto`], [`multi`], [`pattern`], [`vibration`],
//! [`autoencoder`]), with what these share: [`tail`] (from score to probability), [`budget`] (from
//! accepted false alarms to a level), [`alarm`] (hold-off and hysteresis), [`pool`] (the budget of a whole judge), `lessons`
//! (what an event taught and is to be forgotten), `excursions` (alarms that people labelled false), `scores` (all in a row).

pub mod alarm;
pub mod auto;
pub mod autoencoder;
pub mod budget;
pub mod camera;
pub mod cusum;
mod excursions;
pub mod fault;
pub mod forecast;
pub mod health;
pub mod judge;
mod lessons;
pub mod multi;
#[cfg(test)]
mod noise;
pub mod pattern;
pub mod pool;
pub mod rate;
pub mod report;
mod scores;
pub mod silence;
mod state;
pub mod tail;
pub mod threshold;
pub mod track;
pub mod vehicle_loop;
pub mod vibration;

pub use camera::CameraHealthSettings;
pub use cusum::CusumSettings;
pub use fault::SettingsError;
pub use forecast::ForecastSettings;
pub use health::HealthSettings;
pub use judge::{JudgeSettings, ReadingJudge};
pub use pattern::{PatternDetector, PatternSettings};
pub use pool::AlarmPool;
pub use rate::RateSettings;
pub use report::ReportPolicy;
pub use silence::SilenceSettings;
pub use threshold::ThresholdSettings;
pub use track::{LiveReport, TrackSettings};
pub use vehicle_loop::{LoopReports, LoopRoles, LoopSettings, OccupancyScale};
pub use vibration::{BlockAssessment, VibrationDetector, VibrationSettings};
