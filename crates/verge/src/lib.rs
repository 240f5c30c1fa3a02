//! The gateway as a program: the command line over `verge_gateway`.
//!
//! It must never hold logic that another crate could: what it knows is how to talk to people.
//!
//! Reading order: [`cli`] (the commands), then what they share.

pub mod cli;
mod describe;
mod log;
