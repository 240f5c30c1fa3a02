//! The clients against a scripted broker, which does what no broker should, and against a real one.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy knows that only of test functions"
)]

mod certificates;
mod clients;
mod commands;
mod moved;
mod probe;
mod renewal;
mod retained;
mod scripted;
mod services;
mod sink;
mod sink_faults;
mod source;
mod source_limits;
mod source_sessions;
mod support;
