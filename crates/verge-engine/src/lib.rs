//! Inference: the only crate that names `ort`.
//!
//! It finds ONNX Runtime on the machine or installs it, refuses model files that are more than a graph of known
//! operators, and runs them with a deadline.
//!
//! It must never know what the tensors mean: no picture, no label, no card passes through here.
//!
//! Reading order: [`graph`] (a file that the library takes), [`port`] (its inputs and outputs, and what a run feeds and
//! reads), [`run`] (one runner per worker and model), [`tensor`] (elements), [`runtime`] (where the library comes
//! from), `onnx` (what is looked at in a file before the library sees it), [`edit`] (a model that is changed and written
//! again), [`basic`] (one that the library simplified), `refusal` (why the library refuses one), `quote`
//! (the library's words), `watchdog` (deadlines), [`digest`] (what files hold), [`staged`] (files on their way to a name),
//! [`processor`] (what this machine does with 8 bit numbers), [`provider`] (what runs operators).

pub mod basic;
pub mod digest;
pub mod edit;
pub mod graph;
mod onnx;
pub mod port;
pub mod processor;
pub mod provider;
mod quote;
mod refusal;
pub mod run;
pub mod runtime;
pub mod staged;
pub mod tensor;
mod watchdog;

pub use digest::ContentDigest;
pub use edit::{EditError, EditableModel, NewNode, NodeView};
pub use graph::{Graph, GraphError, ModelLimits, Optimisation};
pub use half::f16;
pub use port::{Contract, Feed, FeedBack, FixedInput, Port, shape_words};
pub use processor::ProcessorClass;
pub use provider::Provider;
pub use run::{Outputs, RecurrentState, RunError, Runner};
pub use runtime::{Runtime, RuntimeError};
pub use tensor::{ElementType, Tensor, TensorView};
