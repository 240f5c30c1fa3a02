//! Why the store of models was not changed.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::package::PackageError;

/// Why the store was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ModelStoreError {
    /// The package is not taken.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A replay of an old version.
    #[error(
        "{}: its counter is {counter}, and {floor} was in use before: an older version may bring an old flaw back, so sign it \
         again with a higher counter",
        path.display()
    )]
    Replay {
        /// The package.
        path: PathBuf,
        /// Its counter.
        counter: u64,
        /// The least that is taken.
        floor: u64,
    },
    /// Another version has the counter.
    #[error("{}: version {other} has the counter {counter} already: sign it with a higher one", path.display())]
    Taken {
        /// The package.
        path: PathBuf,
        /// Its counter.
        counter: u64,
        /// The version that has it.
        other: String,
    },
    /// It was returned from before.
    #[error(
        "{}: version {id} was rolled back and is not tried again: sign it again with a higher counter if it is to be",
        path.display()
    )]
    Refused {
        /// The package.
        path: PathBuf,
        /// The version.
        id: String,
    },
    /// It does not run here.
    #[error("{reason}")]
    Probe {
        /// Why.
        reason: String,
    },
    /// Nothing of a slot is left.
    #[error("version {id} of model {name:?} is damaged ({why}): push it again")]
    Damaged {
        /// The model.
        name: String,
        /// The version.
        id: String,
        /// How.
        why: String,
    },
    /// More than the store may take.
    #[error(
        "the store of models would take {needed} bytes, and [models] cap is {cap}: raise it, or lower [models] keep"
    )]
    Cap {
        /// With the package.
        needed: u64,
        /// At most.
        cap: u64,
    },
    /// Another process changes it.
    #[error(
        "another process ({}) changes the store of models: try again when it is done",
        pid.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}"))
    )]
    Busy {
        /// It.
        pid: Option<u32>,
    },
    /// The disk is full, or a folder cannot be written.
    #[error("{}: {source}; the versions in use are untouched", path.display())]
    Io {
        /// What was written or read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl ModelStoreError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// Whether it may work later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Io { source, .. } => !is_denied(source),
            Self::Package(PackageError::Io { source, .. }) => !matches!(
                source.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::IsADirectory
            ),
            _ => false,
        }
    }

    /// Whether the configuration must change: its cap, or a folder that this user may not use.
    #[must_use]
    pub fn is_of_configuration(&self) -> bool {
        match self {
            Self::Cap { .. } => true,
            Self::Io { source, .. } => is_denied(source),
            _ => false,
        }
    }
}

fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}
