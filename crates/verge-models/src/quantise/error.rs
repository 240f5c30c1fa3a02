//! Why a model is not quantised.

use verge_engine::basic::BasicError;
use verge_engine::{EditError, GraphError, RunError};

/// Why a model is not quantised.
#[derive(Debug, thiserror::Error)]
pub enum QuantiseError {
    /// It is quantised already.
    #[error("it is quantised already (operator {operator}): take the float model that it was made from")]
    Quantised {
        /// The operator that shows it.
        operator: String,
    },
    /// What it runs depends on what it sees.
    #[error(
        "it has control flow (operator {operator}), which is not changed here: export it without, for example by tracing"
    )]
    ControlFlow {
        /// The operator.
        operator: String,
    },
    /// No node that gains.
    #[error("it has no Conv, Gemm or MatMul with constant weights of f32: there is nothing to change")]
    Nothing,
    /// No node whose input is counted while it runs.
    #[error(
        "it has no MatMul or Gemm with constant weights of f32, and only these are quantised dynamically: a model of convolutions \
         is quantised by ranges that pictures show"
    )]
    NothingDynamic,
    /// Nothing can be left of a model.
    #[error("a share of {share} of the weights: from 0 to 1, without both, is expected")]
    Share {
        /// The share.
        share: f64,
    },
    /// Of another precision.
    #[error("its input is {element}: export it with f32, and quantise that")]
    NotF32 {
        /// The type of the elements.
        element: &'static str,
    },
    /// An old model that is not the same in a newer version.
    #[error(
        "it is written in opset {version}, and answers otherwise in a newer one: export it again with opset 13"
    )]
    Opset {
        /// The version.
        version: i64,
    },
    /// A number that cannot be quantised.
    #[error(
        "{node} makes NaN or an infinity of picture {picture} (tensor {tensor:?}): such a model cannot be quantised"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// What makes it.
        node: String,
        /// The picture.
        picture: String,
    },
    /// A picture that cannot be read.
    #[error("{name}: {why}")]
    Picture {
        /// The picture.
        name: String,
        /// Why.
        why: String,
    },
    /// The graph cannot be changed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The library does not simplify it.
    #[error(transparent)]
    Basic(#[from] BasicError),
    /// The library refuses what was made of it.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// It does not run.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl QuantiseError {
    /// Whether memory was refused.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        let words = match self {
            Self::Graph(GraphError::Load { reason, .. }) => reason,
            Self::Run(RunError::Failed(reason)) => reason,
            _ => return false,
        };
        ["allocate memory", "bad_alloc", "bad allocation", "out of memory"]
            .iter()
            .any(|part| words.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_refused_is_recognised() {
        let failed = |text: &str| QuantiseError::Run(RunError::Failed(text.to_owned()));
        assert!(failed("Failed to allocate memory for requested buffer of size 123").is_memory());
        assert!(failed("std::bad_alloc").is_memory());
        assert!(!failed("Non-zero status code").is_memory());
        assert!(!QuantiseError::Nothing.is_memory());
    }
}
