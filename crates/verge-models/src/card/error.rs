//! Why a card cannot be used.

use std::path::PathBuf;

use super::MAX_CARD_BYTES;

/// Why a card cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// It cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The card.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such file.
    #[error("{path}: there is no model card; it lies beside the weights, see docs/models.md", path = path.display())]
    Missing {
        /// The card.
        path: PathBuf,
    },
    /// Too large to be a card.
    #[error("{path}: a model card has at most {MAX_CARD_BYTES} bytes, this file has {actual}", path = path.display())]
    TooLarge {
        /// The card.
        path: PathBuf,
        /// Bytes found.
        actual: u64,
    },
    /// Not TOML, or a key that is missing, unknown or of another kind.
    #[error("{path}, line {line}: {reason}", path = path.display())]
    Parse {
        /// The card.
        path: PathBuf,
        /// Where, from 1 on.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A value that cannot be.
    #[error("{path}{at}: {key} = {found}: expected {expected}", path = path.display(), at = at(*line))]
    Value {
        /// The card.
        path: PathBuf,
        /// Where the key or its table stands, from 1 on.
        line: Option<usize>,
        /// Which key.
        key: &'static str,
        /// What stands there.
        found: String,
        /// What would do.
        expected: &'static str,
    },
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
}
