//! What is found at start, and what is made of it. A damaged store never keeps a gateway from starting; a
//! store of somebody else, or of a newer program, is never touched.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use verge_domain::id::Epoch;

use crate::fault::is_damage;
use crate::files::{Files, Found};
use crate::schema::{self, Header, PAGE_BYTES, SCHEMA_VERSION};
use crate::store::Outbox;

/// Smallest cap: below this the tables themselves hardly fit.
pub const MIN_CAP_BYTES: u64 = 1024 * 1024;

/// Where a store lies and how large it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Its folder; made if it is missing.
    pub dir: PathBuf,
    /// Largest size of the database, in bytes; at least [`MIN_CAP_BYTES`]. The log beside it comes on top.
    pub cap_bytes: u64,
    /// Delivered verdicts younger than this are kept for replay.
    pub replay_age: Duration,
    /// Delivered verdicts are kept for replay up to this many bytes.
    pub replay_bytes: u64,
}

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
    /// No randomness for a new epoch.
    #[error("the system gives no random numbers for a new store")]
    Random,
}

/// What was wrong with a store that was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Its header is cut short or overwritten.
    Header,
    /// Its pages or tables are.
    Content,
    /// Only its log was left.
    LogAlone,
}

/// What an operator must know about a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartNote {
    /// What was wrong.
    pub damage: Damage,
    /// Where the damaged store lies now.
    pub set_aside: PathBuf,
}

impl fmt::Display for StartNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.damage {
            Damage::Header => "its header is damaged",
            Damage::Content => "its content is damaged",
            Damage::LogAlone => "its database was gone",
        };
        write!(
            f,
            "the store was set aside as {} because {what}; verdicts in it that were not delivered stay there, and a new store with a new epoch is in use",
            self.set_aside.display()
        )
    }
}

/// An open store, and what to tell the operator.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub outbox: Outbox,
    /// Set if this start was not an ordinary one.
    pub note: Option<StartNote>,
}

impl Outbox {
    /// Opens the store, making it if there is none. The caller holds the [`crate::StateLock`].
    ///
    /// # Errors
    /// See [`OpenError`]; damage is no error, see [`Opened::note`].
    pub fn open(settings: &OutboxSettings) -> Result<Opened, OpenError> {
        if settings.cap_bytes < MIN_CAP_BYTES {
            return Err(OpenError::CapTooSmall { cap_bytes: settings.cap_bytes });
        }
        let files = Files::in_folder(&settings.dir);
        let io = |source| OpenError::Io { path: settings.dir.clone(), source };
        let damage = match files.find().map_err(io)? {
            Found::Nothing => None,
            Found::LogAlone => Some(Damage::LogAlone),
            Found::Database(Header::Broken) => Some(Damage::Header),
            Found::Database(Header::Foreign { .. }) => {
                return Err(OpenError::Foreign { path: files.database() });
            }
            Found::Database(Header::Ours { version }) if version > SCHEMA_VERSION => {
                return Err(OpenError::Newer { path: files.database(), found: version });
            }
            Found::Database(Header::Ours { .. }) => match load(&files.database(), settings) {
                Ok(outbox) => return Ok(Opened { outbox, note: None }),
                Err(Loading::Damaged) => Some(Damage::Content),
                Err(Loading::Failed(source)) => {
                    return Err(OpenError::Database { path: files.database(), source });
                }
            },
        };
        let note = match damage {
            None => None,
            Some(damage) => {
                let set_aside = files.set_aside(&epoch()?.to_string()).map_err(io)?;
                Some(StartNote { damage, set_aside })
            }
        };
        make(&files, settings).map(|outbox| Opened { outbox, note })
    }
}

enum Loading {
    Damaged,
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Loading {
    fn from(error: rusqlite::Error) -> Self {
        if is_damage(&error) { Self::Damaged } else { Self::Failed(error) }
    }
}

fn load(path: &Path, settings: &OutboxSettings) -> Result<Outbox, Loading> {
    let mut connection = connect(path, settings)?;
    let version = schema::version(&connection)?;
    schema::migrate(&mut connection, version)?;
    // Looks at every page's structure; a store of the default cap takes some seconds.
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    let epoch = schema::epoch(&connection).map_err(|_| Loading::Damaged)?.ok_or(Loading::Damaged)?;
    if verdict != "ok" {
        return Err(Loading::Damaged);
    }
    Outbox::load(connection, epoch, settings)?.ok_or(Loading::Damaged)
}

fn make(files: &Files, settings: &OutboxSettings) -> Result<Outbox, OpenError> {
    let io = |source| OpenError::Io { path: settings.dir.clone(), source };
    let database = |source| OpenError::Database { path: files.database(), source };
    let unfinished = files.begin().map_err(io)?;
    let mut connection = Connection::open(&unfinished).map_err(database)?;
    schema::create(&mut connection, epoch()?).map_err(database)?;
    connection.close().map_err(|(_, error)| database(error))?;
    files.finish(&unfinished).map_err(io)?;
    load(&files.database(), settings).map_err(|error| match error {
        Loading::Failed(source) => database(source),
        // A file system that does not give back what was written just now cannot hold a store.
        Loading::Damaged => io(io::Error::from(io::ErrorKind::InvalidData)),
    })
}

fn connect(path: &Path, settings: &OutboxSettings) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 256)?;
    connection.pragma_update(None, "max_page_count", (settings.cap_bytes / PAGE_BYTES).cast_signed())?;
    // A reader of the command line may hold the file for a moment.
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

fn epoch() -> Result<Epoch, OpenError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| OpenError::Random)?;
    Ok(Epoch(bytes))
}
