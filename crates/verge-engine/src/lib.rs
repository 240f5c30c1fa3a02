//! Inference: the only crate that names `ort`.
//!
//! It finds ONNX Runtime on the machine or installs it, reads model cards, refuses models that do not fit their
//! card or are more than a graph of known operators, and runs sessions with a deadline.
//!
//! It must never know what the tensors mean: no picture, no label, no verdict passes through here.
//!
//! Reading order: [`card`] (a model's contract as data), [`model`] (a file held against its card), [`session`]
//! (one per worker and model), [`autoencoder`] (models that reconstruct numbers), [`runtime`] (where the library comes
//! from), `onnx` (what is looked at in a file before the library sees it), `quote` (the library's words), `watchdog` (deadlines).

pub mod autoencoder;
pub mod card;
pub mod model;
mod onnx;
mod quote;
pub mod runtime;
pub mod session;
mod watchdog;

pub use autoencoder::Autoencoder;
pub use card::{Card, CardError};
pub use half::f16;
pub use model::{Contract, Model, ModelError, ModelLimits, check_there};
pub use runtime::{Runtime, RuntimeError};
pub use session::{Outputs, RunError, Session, State, Tensor, TensorView};
