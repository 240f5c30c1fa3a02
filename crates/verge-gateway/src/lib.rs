//! The gateway as a library: from a configuration to a running gateway and back to a clean stop. It sees all crates
//! below; it knows no command line.
//!
//! It must never hold logic that another crate could: what it knows is how the pieces fit together.
//!
//! Reading order: [`config`] (the file as written), [`settings`] (the same, checked and typed), [`wiring`] (settings
//! to a running gateway), `states` (what state topics say), [`reload`] (a changed configuration on a
//! running gateway), [`child`] (this program as a process of its own), [`exit`] (how a program that runs it ends).

pub mod child;
pub mod config;
pub(crate) mod drawings;
pub mod exit;
mod io_thread;
pub mod reload;
#[cfg(test)]
mod sample;
pub mod settings;
pub(crate) mod states;
pub mod wiring;
