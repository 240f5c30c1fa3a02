//! The gateway as a program: configuration, command line, wiring. The only crate that sees all the others.
//!
//! It must never hold logic that another crate could: what it knows is how the pieces fit together and how
//! to talk to people.
//!
//! Reading order: [`config`] (the file as written), [`settings`] (the same, checked and typed), [`cli`] (the
//! commands), [`wiring`] (settings to a running gateway), [`demo`], [`exit`] (how the program ends).

pub mod cli;
pub mod config;
pub mod demo;
mod describe;
pub mod exit;
mod io_thread;
mod log;
pub mod settings;
pub mod wiring;
