//! Judges over readings: explicit limits, silence, the health of sensors, and traffic loops.
//!
//! Everything here is pure and bounded: no I/O, no clock, no thread, no randomness. Time comes with each
//! reading and each tick, memory per judge has a stated limit, and no input that a codec lets through can
//! leave a non-finite number behind. Nothing is allocated per reading once a judge has settled.
//!
//! Reading order: [`judge`] (the closed list of judges), [`fault`] (why settings are refused), then one
//! module per judge: [`threshold`], [`rate`], [`silence`], [`health`], [`vehicle_loop`].

pub mod fault;
pub mod health;
pub mod judge;
pub mod rate;
pub mod silence;
pub mod threshold;
pub mod vehicle_loop;

pub use fault::SettingsError;
pub use health::HealthSettings;
pub use judge::{JudgeSettings, ReadingJudge};
pub use rate::RateSettings;
pub use silence::SilenceSettings;
pub use threshold::ThresholdSettings;
pub use vehicle_loop::{LoopRoles, LoopSettings, OccupancyScale};
