//! Pictures: decode, fit to a model, read what the model answers, draw it.
//!
//! Pixels live here and nowhere else. This crate must never know where frames come from or where findings go.
//!
//! Reading order: [`picture`] (JPEG to pixels), [`mask`] (what of them nothing else sees), [`preprocess`] (pixels to a tensor, in one pass), [`classify`] and
//! [`detect`] (a tensor to what it means), `reconstruct` (how far it is from what was shown), `appearance` (how unusual a frame is, and where), `cascade` (what a second model says of objects), [`viewer`] (all judges of
//! one worker), `judge_run` (one of them, held against its model), `model_run` (its model), [`watch`] (what a frame shows without a model), [`candidate`] (versions on trial beside those in use), [`trial`] (whether a model does as its card says), [`features`], [`quality`] and [`augment`] (pictures for training), [`annotate`] (views drawn into a picture).

pub mod annotate;
mod appearance;
pub mod augment;
pub mod candidate;
mod cascade;
pub mod classify;
pub mod detect;
mod elements;
pub mod features;
pub mod follow;
mod gate;
mod judge_run;
pub mod mask;
mod memory;
mod model_run;
pub mod picture;
pub mod preprocess;
pub mod quality;
mod reconstruct;
mod snapshot;
pub mod trial;
pub mod viewer;
pub mod watch;

pub use candidate::{Candidate, WatchedModel};
pub use cascade::CascadeSettings;
pub use detect::TILE_SIDE;
pub use gate::GateSettings;
pub use mask::{PrivacyMask, SourceMasks};
pub use memory::Memory;
pub use picture::{Picture, PictureError};
pub use viewer::{FrameViewer, ViewerError, ViewerSettings, VisionJudge};
