//! What can go wrong in a store that is open.

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use verge_domain::id::{Lane, RouteId, Seq};
use verge_domain::stage::StoreError;

/// Why the store did not do as asked; the source of [`StoreError::Fault`].
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// A verdict was offered under another number than the next one.
    #[error("the next verdict of lane {lane} has number {expected}, not {actual}")]
    WrongSeq {
        /// The lane.
        lane: Lane,
        /// The number that is due.
        expected: Seq,
        /// The number offered.
        actual: Seq,
    },
    /// The content of a stored verdict does not match its checksum. It is not handed out.
    #[error("verdict {seq} of lane {lane} is damaged: its checksum does not match")]
    RowDamaged {
        /// The lane.
        lane: Lane,
        /// The number.
        seq: Seq,
    },
    /// A range to be withdrawn that is not what is stored.
    #[error("verdicts {from} to {through} of lane {lane} cannot be withdrawn: {why}")]
    NotWithdrawable {
        /// The lane.
        lane: Lane,
        /// First number.
        from: Seq,
        /// Last number.
        through: Seq,
        /// Why not.
        why: &'static str,
    },
    /// What was committed is not there after the store was opened again.
    #[error("the medium has lost what was committed: {what}; the store goes on under a new epoch")]
    CutBack {
        /// What is missing.
        what: String,
    },
    /// A mark for a route that was not opened.
    #[error("route `{route}` is not open")]
    UnknownRoute {
        /// The route.
        route: RouteId,
    },
    /// A mark beyond what was ever committed.
    #[error("route `{route}` cannot have delivered verdict {upto} of lane {lane}: the last is {last}")]
    MarkBeyondEnd {
        /// The route.
        route: RouteId,
        /// The lane.
        lane: Lane,
        /// The number marked.
        upto: Seq,
        /// The last number committed.
        last: Seq,
    },
    /// The database or the medium under it failed.
    #[error("cannot {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
}

impl StoreFault {
    /// For `map_err`: a failure of SQLite while `doing` something.
    pub(crate) fn while_doing(doing: &'static str) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Self::Database { doing, source }
    }

    /// Whether the file itself is damaged, so that only salvage helps.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Database { source, .. } => is_damage(source),
            Self::CutBack { .. } => true,
            _ => false,
        }
    }
}

impl From<StoreFault> for StoreError {
    fn from(fault: StoreFault) -> Self {
        if fault.is_damage() { Self::Damaged(Box::new(fault)) } else { Self::Fault(Box::new(fault)) }
    }
}

/// Whether SQLite says that there is no room, under the cap or on the disk: it says the same of both.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    // The index of the write-ahead log is mapped, so it meets a full disk when it grows.
    let index_full = error.sqlite_error().is_some_and(|it| it.extended_code == SQLITE_IOERR_SHMSIZE);
    index_full || error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// The same while a store is being opened, where tables or columns that are not as they should be are damage, too.
pub(crate) fn is_damage_at_opening(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => {
            is_damage(error)
                || matches!(
                    code,
                    ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::ConstraintViolation
                )
        }
        // Not from SQLite but about what it gave: a column of another type, a row that is not there.
        None => true,
    }
}

/// Whether SQLite says that the file itself is damaged, as opposed to the circumstances.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn a_full_cap_and_a_full_disk_are_both_full() {
        let check = |code, full: bool, damage: bool| {
            let error = || rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!((is_full(&error()), is_damage(&error())), (full, damage), "code {code}");
        };
        check(ffi::SQLITE_FULL, true, false);
        check(ffi::SQLITE_IOERR_SHMSIZE, true, false);
        check(ffi::SQLITE_IOERR_WRITE, false, false);
        check(ffi::SQLITE_BUSY, false, false);
        check(ffi::SQLITE_CORRUPT, false, true);
        check(ffi::SQLITE_NOTADB, false, true);
    }
}
