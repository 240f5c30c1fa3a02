//! The clients against a scripted broker, which does what no broker should, and against a real one; the front against
//! clients that mean no good; the embedded broker in a process of its own, which is killed, stopped and abandoned.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy knows that only of test functions"
)]

mod child_broker;
mod clients;
mod commands;
mod front;
mod front_connect;
mod moved;
mod probe;
mod renewal;
mod scripted;
mod services;
mod sink;
mod sink_faults;
mod source;
mod source_limits;
mod source_sessions;
mod support;
