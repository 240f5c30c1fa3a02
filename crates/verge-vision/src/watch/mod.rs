//! What a small grey picture of a frame shows without any model.

pub mod motion;
