//! Why there is no viewer, and why a judge saw nothing.

use verge_domain::id::NameError;
use verge_domain::rejection::Reason;
use verge_engine::{GraphError, RunError};

use crate::classify::BadOutput;
use crate::detect::DetectError;

/// Why there is no viewer.
#[derive(Debug, thiserror::Error)]
pub enum ViewerError {
    /// No runner of a model.
    #[error(transparent)]
    Model(#[from] GraphError),
    /// The model that is to look at what another one finds does not classify.
    #[error("then.model needs a model with task = \"classify\"; the card of {model} says task = \"{task}\"")]
    NoClassifier {
        /// Its name.
        model: String,
        /// What it does.
        task: &'static str,
    },
    /// The model that is to look under overload does something else.
    #[error("model.smaller: {model} does {task}, and the model in whose place it comes does {expected}")]
    OtherTask {
        /// Its name.
        model: String,
        /// What it does.
        task: &'static str,
        /// What it should do.
        expected: &'static str,
    },
    /// The model that is to look under overload keeps something from frame to frame.
    #[error(
        "model.smaller: {model} feeds tensors back from frame to frame ([[state]]); take one that does not"
    )]
    SmallerKeeps {
        /// Its name.
        model: String,
    },
    /// Kinds are made of labels that the second model does not have.
    #[error("then.classes: {model} has no label {label:?}{}", nearest_words(nearest))]
    UnknownKind {
        /// The second model.
        model: String,
        /// The label.
        label: String,
        /// Labels of the second model that may be meant.
        nearest: Vec<String>,
    },
    /// A class and a kind of it have no name together.
    #[error("a class and its kind are named CLASS/KIND: {0}")]
    LongKind(#[from] NameError),
    /// A judge asks for a label that its model does not have.
    #[error("its model has no label {label:?}{}", nearest_words(nearest))]
    UnknownLabel {
        /// The label.
        label: String,
        /// Labels of the model that may be meant.
        nearest: Vec<String>,
    },
}

/// What may be meant, in words.
fn nearest_words(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) }
}

/// Why one judge saw nothing.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The model did not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Its outputs mean nothing.
    #[error(transparent)]
    Bad(#[from] BadOutput),
}

impl InferenceError {
    /// The reason it is counted under.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Run(RunError::Deadline) => Reason::Overrun,
            Self::Run(RunError::Failed(_)) => Reason::ModelFailed,
            Self::Run(RunError::Output { .. }) | Self::Bad(_) => Reason::BadOutput,
        }
    }
}

impl From<DetectError> for InferenceError {
    fn from(error: DetectError) -> Self {
        match error {
            DetectError::Output(error) => Self::Run(error),
            DetectError::Bad(error) => Self::Bad(error),
        }
    }
}
