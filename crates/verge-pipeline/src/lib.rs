//! The flow between the crates: intake, judging, commit, delivery.
//!
//! This crate knows only the traits of `verge_domain::stage`: neither MQTT nor SQLite nor any codec or
//! detector by name. It reads the clock and draws random numbers, so that no lower crate has to.
//!
//! Reading order, along the path of the data: [`intake`] (a bounded queue and the thread that empties it),
//! [`judging`] (decode, judge, make verdicts: pure), [`frames`] (the same for cameras: newest frame, schedule,
//! workers), [`committer`] (the thread that owns the store),
//! [`board`] (the last word about each subject, for readers),
//! [`delivery`] (from the store to one sink, by lanes and windows), `commands` (what to request), [`counters`] and
//! [`status`] (what an operator sees; [`clock_offsets`] is a part of them), [`history`] (what signals showed of late). [`clock`] is
//! where time comes from, [`beats`] show that threads make progress.

pub mod beats;
pub mod board;
pub mod clock;
pub mod clock_offsets;
pub mod commands;
pub mod committer;
pub mod counters;
pub mod delivery;
pub mod frames;
pub mod history;
pub mod intake;
pub mod judging;
pub mod status;
