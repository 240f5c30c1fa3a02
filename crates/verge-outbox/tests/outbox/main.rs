//! The store over real files.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod copies;
mod damage;
mod encryption;
mod eviction;
mod model;
mod place;
mod room;
mod states;
mod store;
mod support;
mod withdrawal;
mod witness;
