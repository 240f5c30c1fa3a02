//! The front against clients that mean no good; the embedded broker in a process of its own, which is killed, stopped and
//! abandoned.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy knows that only of test functions"
)]

mod child;
mod connect;
mod front;
mod guard;

// The gateway's client is tested with the same.
#[path = "../../../verge-mqtt/tests/mqtt/certificates.rs"]
#[expect(dead_code, reason = "shared with verge-mqtt")]
mod certificates;
#[path = "../../../verge-mqtt/tests/mqtt/scripted.rs"]
#[expect(dead_code, reason = "shared with verge-mqtt")]
mod scripted;
#[path = "../../../verge-mqtt/tests/mqtt/support.rs"]
#[expect(dead_code, reason = "shared with verge-mqtt")]
mod support;
