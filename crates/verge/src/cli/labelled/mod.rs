//! Labelled pictures, as people lay them out in folders.

pub(crate) mod classes;
pub(crate) mod objects;
