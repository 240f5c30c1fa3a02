//! What people draw: how it is stored, and how it comes from the configuration and goes back over it. Pure but for `file`.
//!
//! Reading order: `file` (the versions in the state folder), `text` (a drawing as TOML, and what a configuration says as a
//! drawing).

mod file;
mod text;

pub(crate) use file::DrawnFile;
pub(crate) use text::{drawing_of, redrawn};
