//! HTTP, client side: verdicts are pushed to a web service, at least once.
//!
//! The only crate that names hyper. It knows neither how verdicts are stored nor how they are written: what it sends are
//! bytes that wiring made.

mod push;

pub use push::{HttpSink, PushAccess, PushCredentials, PushSettings, PushTarget, PushTargetError, PushTrial};
