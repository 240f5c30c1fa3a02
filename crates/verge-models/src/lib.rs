//! What models mean: their cards, and files held against them.
//!
//! A card says in data what a file's tensors are; a file that does not fit its card is refused with both sides in one
//! message. This crate must never know pixels, nor where frames and readings come from.
//!
//! Reading order: [`card`] (what a card says), [`catalogue`] (the models of a configuration), [`frames`] (models over
//! frames), `agreement` (a card of frames held against its file), [`draft`] (a card that writes itself), [`windows`] (models over windows of readings),
//! [`gate`] (whether a new version may take the place of an old one), [`taps`] (where a new head may be put), [`head`] (a new
//! head), [`quantise`] (models of whole numbers), [`delta`] (what
//! changed from one file to the next), [`package`] (versions as they travel), [`incoming`] (packages on their way here),
//! [`store`] (versions as they are kept, and which is in use), [`trial`] (a new version beside the one in use, pure),
//! [`error`] (why a model cannot be used).

mod agreement;
pub mod card;
pub mod catalogue;
pub mod delta;
pub mod draft;
pub mod error;
pub mod frames;
pub mod gate;
pub mod head;
pub mod incoming;
pub mod package;
pub mod quantise;
pub mod store;
pub mod taps;
pub mod trial;
pub mod windows;

pub use agreement::OutputShape;
pub use card::{Card, CardError};
pub use catalogue::{Catalogue, ModelFiles};
pub use error::ModelError;
pub use frames::FrameModel;
pub use windows::WindowModel;
