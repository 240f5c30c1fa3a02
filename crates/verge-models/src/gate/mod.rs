//! The gate: whether a new version of a model may take the place of an old one. `verge model bench` asks for agreement and cost;
//! what compares labelled pictures is for commands that make models. It knows numbers alone.
//!
//! Reading order: [`Rules`] (what is demanded), [`labelled`] (both models on labelled pictures), [`agreement`] (both on pictures
//! without labels, and looks at a trial that goes on), [`divergence`] (how far their probabilities are apart), [`cost`] (time, bytes, memory), [`share`] and [`bootstrap`] (the
//! statistics), [`average_precision`] (scores of detectors).

pub mod agreement;
pub mod average_precision;
pub mod bootstrap;
pub mod cost;
pub mod divergence;
pub mod labelled;
pub mod share;

pub use agreement::{Agreed, Look};
pub use cost::Cost;
pub use divergence::Divergence;
pub use labelled::{DetectionPair, Drop, Pair};

/// What is demanded of a new version.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// What may be lost on labelled pictures, in points.
    pub max_drop: f64,
    /// The bound of the loss must keep within that, not only the loss that was seen.
    pub strict: bool,
    /// Share of answers that agree at least, as far as the pictures prove it.
    pub agreement: f64,
    /// A version that is meant to be faster may be as slow as the old one: its bytes are the point.
    pub keep_slower: bool,
    /// A loss up to `max_drop` is consented to: that it is one beyond chance does not refuse it.
    pub is_loss_consented: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { max_drop: 1.0, strict: false, agreement: 0.9, keep_slower: false, is_loss_consented: false }
    }
}

/// Whether a version is accepted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateDecision {
    /// It is.
    pub passes: bool,
    /// In words.
    pub reason: String,
}

impl GateDecision {
    const fn passed(reason: String) -> Self {
        Self { passes: true, reason }
    }

    const fn refused(reason: String) -> Self {
        Self { passes: false, reason }
    }
}
