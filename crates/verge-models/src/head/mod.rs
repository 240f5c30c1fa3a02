//! A new head for a model that classifies: what it says of pictures whose classes people know, from what the layers before it
//! make of them. It knows numbers alone.
//!
//! Reading order: [`matrix`] (numbers in rows), [`groups`] (pictures that say the same, and folds that never divide them),
//! [`standard`] (features on one scale), [`ridge`] (weights by one solve, and what they say of pictures that were left out),
//! [`softmax`] (weights by descent), [`temperature`] (scores as probabilities), [`unknown`] (what is like nothing that was shown),
//! [`trained`] (all of it in a row), [`cheapest`](mod@cheapest) (which of several heads is taken), [`distilled`] (what another model says, as targets), [`statistics`] (sums of several places), [`mod@append`] (the head as nodes behind a graph).

pub mod append;
pub mod cheapest;
pub mod distilled;
pub mod groups;
pub mod matrix;
pub mod ridge;
pub mod softmax;
pub mod standard;
pub mod statistics;
pub mod temperature;
pub mod trained;
pub mod unknown;

pub use append::append;
pub use distilled::Lesson;
pub use matrix::Matrix;
pub use statistics::{Sums, SumsError};
pub use trained::{Head, Method, Samples};
