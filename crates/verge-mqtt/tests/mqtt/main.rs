//! The clients against a scripted broker, which does what no broker should, and against a real one; the TLS
//! front against clients that mean no good.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy knows that only of test functions"
)]

mod clients;
mod front;
mod probe;
mod scripted;
mod sink;
mod source;
mod source_limits;
mod support;
