//! What people draw: how it is stored, how it comes from the configuration and goes back over it, and how the gateway takes it
//! up. Pure but for `file` and `take_up`.
//!
//! Reading order: `file` (the versions in the state folder), `text` (a drawing as TOML, and what a configuration says as a
//! drawing), `take_up` (checked, stored, at work).

mod file;
mod take_up;
mod text;

pub(crate) use file::DrawnFile;
pub(crate) use take_up::{TakeUp, failed};
pub(crate) use text::{anchor_of, drawing_of, redrawn};
