//! From a camera's bytes to what judges see in them, with models of our own and, where `VERGE_DATA` names them,
//! with real ones.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod cascade;
mod damage;
mod frames;
mod gate;
mod judging;
mod masks;
mod orientation;
mod real;
mod sharing;
#[path = "../../../verge-models/tests/support/mod.rs"]
mod support;
mod tiles;
mod versions;
