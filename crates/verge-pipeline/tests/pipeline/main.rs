//! The pipeline from queued message to acknowledged verdict, without any broker, model or disk.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy knows that only of test functions"
)]

mod bulk;
mod commands;
mod delivery;
mod desk;
mod faults;
mod frames;
mod links;
mod lives;
mod orders;
mod readings;
mod support;
