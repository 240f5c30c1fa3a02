//! What an operator must know about a start, and why there is none.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::salvage::Salvaged;
use crate::schema::SCHEMA_VERSION;
use crate::settings::MIN_CAP_BYTES;

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Written by a newer program. It is left as it is.
    #[error(
        "the store {} has schema version {found}, this program knows up to {SCHEMA_VERSION}: install the newer version, or move the store away",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: u32,
    },
    /// Not a store of Verge. It is left as it is.
    #[error("{} is not a store of Verge: move it away, or set another state_dir", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Less than [`MIN_CAP_BYTES`].
    #[error("a store of at most {cap_bytes} bytes is too small: at least {MIN_CAP_BYTES}")]
    CapTooSmall {
        /// The cap asked for.
        cap_bytes: u64,
    },
    /// The folder or a file in it cannot be used.
    #[error("cannot use the store's folder {}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// SQLite cannot open it, and not because it is damaged.
    #[error("cannot open the store {}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// This user may not write it.
    #[error("the store {} cannot be written: give this user the right to, or set another state_dir", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// It is encrypted, and there is no key.
    #[error("the store {} is encrypted: configure its key, or move it away", path.display())]
    KeyMissing {
        /// The database.
        path: PathBuf,
    },
    /// It is encrypted with another key.
    #[error("the key does not open the store {}: configure the right one, or move the store away", path.display())]
    WrongKey {
        /// The database.
        path: PathBuf,
    },
    /// No randomness for a new epoch.
    #[error("the system gives no random numbers for a new store")]
    Random,
}

impl OpenError {
    /// Whether another start may help without any action; else the message says what is to be done.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Database { .. } | Self::Random => true,
            Self::Newer { .. }
            | Self::Foreign { .. }
            | Self::CapTooSmall { .. }
            | Self::ReadOnly { .. }
            | Self::KeyMissing { .. }
            | Self::WrongKey { .. } => false,
        }
    }
}

/// Why a store was set aside, and a new one made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Its header is cut short or overwritten.
    Header,
    /// Its pages or tables are.
    Content,
    /// Its log has lost commits.
    Log,
    /// Only its log was left.
    LogAlone,
    /// The operator asked for it, see [`crate::Outbox::repair`].
    Asked,
    /// Nothing: it is a copy of the store that ran last.
    Copied,
    /// Nothing: it was made by [`crate::backup`].
    Backup,
    /// Nothing, but the file that notes which files it is in is missing or damaged: it may be a copy.
    NoWitness,
    /// The log beside it is another one than it had.
    ForeignLog,
    /// Nothing: upstream knows numbers of its epoch that it never gave.
    Overtaken,
}

/// What an operator must know about a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartNote {
    /// What was wrong.
    pub damage: Damage,
    /// Where the damaged store lies now.
    pub set_aside: PathBuf,
    /// What could be brought over into the new one.
    pub salvaged: Salvaged,
}

impl fmt::Display for StartNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.damage {
            Damage::Header => "its header is damaged",
            Damage::Content => "its content is damaged",
            Damage::Log => "its log has lost commits",
            Damage::LogAlone => "its database was gone",
            Damage::Asked => "a repair was asked for",
            Damage::Copied => "it is a copy or was moved: its files are not those of the last run",
            Damage::Backup => "it is a backup",
            Damage::NoWitness => "its file outbox.guard is missing or damaged, so that it may be a copy",
            Damage::ForeignLog => "the log beside it (outbox.db-wal) is not its own",
            Damage::Overtaken => {
                "upstream knows numbers of its epoch that it never gave: a copy of it went on"
            }
        };
        let Salvaged { verdicts, lost, checkpoints, .. } = &self.salvaged;
        write!(
            f,
            "the store was set aside as {} because {what}; a new store with a new epoch is in use, with {verdicts} \
             verdicts and {checkpoints} saved states of the old one",
            self.set_aside.display()
        )?;
        if lost.is_empty() {
            return Ok(());
        }
        write!(f, "; lost and withdrawn are")?;
        lost.iter()
            .take(10)
            .try_for_each(|(lane, from, through)| write!(f, " {lane} {from} to {through},"))?;
        write!(f, " {} in all", lost.iter().map(|(_, from, through)| through.0 - from.0 + 1).sum::<u64>())
    }
}
