//! HTTP: verdicts are pushed to a web service, at least once, and people see and steer a gateway in a browser.
//!
//! The only crate that names hyper, axum, askama and prometheus-client. It knows neither how verdicts are stored nor
//! how they are written, and it never makes the data path wait: what the dashboard shows it reads through
//! [`LiveGateway`](verge_domain::live::LiveGateway), what it pushes are bytes that wiring made.
//!
//! Reading order: `dial` (connections to web services); `push`; `fetch` (packages of models from a web service); then
//! `dashboard`; `est` (certificates for devices); `metrics`, out of status documents.

pub mod dashboard;
mod dial;
pub mod est;
mod fetch;
pub mod metrics;
mod push;

pub use fetch::{Fetch, FetchError, FetchSettings, FetchedPiece};
pub use push::{
    HttpSink, PushAccess, PushCredentials, PushPreface, PushSettings, PushTarget, PushTargetError, PushTrial,
};
