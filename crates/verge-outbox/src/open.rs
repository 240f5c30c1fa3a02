//! What is found at start, and what is made of it. A damaged store never keeps a gateway from starting; a
//! store of somebody else, or of a newer program, is never touched.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use verge_domain::id::{Epoch, LinkId};
use verge_domain::stage::SentBytes;
use verge_domain::withdrawn::Withdrawal;

use crate::age::Ages;
use crate::ballast::Ballast;
use crate::fault::{is_damage, is_full};
use crate::files::{Files, Found};
use crate::key::Cipher;
use crate::salvage::{self, Salvaged};
use crate::schema::{self, Header, SCHEMA_VERSION};
use crate::settings::{MIN_CAP_BYTES, OutboxSettings};
use crate::store::Outbox;
use crate::{encrypt, lanes, log};

/// The log is folded into the database at this size.
const LOG_BYTES: u64 = 1 << 20;

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

/// What was wrong with a store that was set aside.
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
    /// Somebody asked for it, see [`Outbox::repair`].
    Asked,
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

/// An open store, and what to tell the operator.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub outbox: Outbox,
    /// Set if this start was not an ordinary one.
    pub note: Option<StartNote>,
}

impl Outbox {
    /// Opens the store, making it if there is none; a damaged one is salvaged. The caller holds the
    /// [`crate::StateLock`].
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
            Found::Nothing => {
                make(&files, epoch()?, None, settings)?;
                None
            }
            Found::LogAlone => Some(Damage::LogAlone),
            Found::Database(Header::Broken) => Some(Damage::Header),
            Found::Database(Header::Foreign { .. }) => {
                return Err(OpenError::Foreign { path: files.database() });
            }
            Found::Database(Header::Ours { version }) if version > SCHEMA_VERSION => {
                return Err(OpenError::Newer { path: files.database(), found: version });
            }
            // Looked at before SQLite, which forgets what it does not understand.
            Found::Database(Header::Ours { .. }) => {
                log::has_lost_commits(&files.log()).map_err(io)?.then_some(Damage::Log)
            }
        };
        let damage = match damage {
            Some(damage) => damage,
            None => match load_on_any_disk(&files, settings) {
                Ok(outbox) => return Ok(Opened { outbox, note: None }),
                Err(Loading::Damaged) => Damage::Content,
                Err(Loading::Refused(error)) => return Err(error),
            },
        };
        renew(&files, settings, damage)
    }

    /// Salvages a store that opens, too: what cannot be read of it is withdrawn. The caller holds the
    /// [`crate::StateLock`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn repair(settings: &OutboxSettings) -> Result<Opened, OpenError> {
        let opened = Self::open(settings)?;
        if opened.note.is_some() {
            return Ok(opened);
        }
        drop(opened);
        renew(&Files::in_folder(&settings.dir), settings, Damage::Asked)
    }
}

/// Sets the store aside and makes a new one of what can be read of it.
fn renew(files: &Files, settings: &OutboxSettings, damage: Damage) -> Result<Opened, OpenError> {
    let io = |source| OpenError::Io { path: settings.dir.clone(), source };
    let epoch = epoch()?;
    let set_aside = files.set_aside(&epoch.to_string()).map_err(io)?;
    let salvaged = make(files, epoch, Some(&set_aside), settings)?;
    let outbox = load(files, settings).map_err(|error| match error {
        Loading::Refused(error) => error,
        // A file system that does not give back what was written just now cannot hold a store.
        Loading::Damaged => io(io::Error::from(io::ErrorKind::InvalidData)),
    })?;
    Ok(Opened { outbox, note: Some(StartNote { damage, set_aside, salvaged }) })
}

/// Opens it; where the disk is too full for that, without the ballast.
fn load_on_any_disk(files: &Files, settings: &OutboxSettings) -> Result<Outbox, Loading> {
    match load(files, settings) {
        Err(Loading::Refused(OpenError::Database { source, .. }))
            if is_full(&source) && Ballast::discard(&settings.dir, settings.ballast_bytes) =>
        {
            load(files, settings)
        }
        done => done,
    }
}

enum Loading {
    Damaged,
    Refused(OpenError),
}

fn load(files: &Files, settings: &OutboxSettings) -> Result<Outbox, Loading> {
    let path = files.database();
    let refuse = |source: rusqlite::Error| match source.sqlite_error_code() {
        _ if is_damage(&source) => Loading::Damaged,
        Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
            Loading::Refused(OpenError::ReadOnly { path: files.database() })
        }
        _ => Loading::Refused(OpenError::Database { path: files.database(), source }),
    };
    let mut connection = connect(&path, settings).map_err(refuse)?;
    let version = schema::version(&connection).map_err(refuse)?;
    schema::migrate(&mut connection, version).map_err(refuse)?;
    if !is_sound(&connection).map_err(refuse)? {
        return Err(Loading::Damaged);
    }
    let epoch = schema::epoch(&connection).map_err(|_| Loading::Damaged)?.ok_or(Loading::Damaged)?;
    let lanes = lanes::read(&connection).map_err(refuse)?.ok_or(Loading::Damaged)?;
    let cipher = open_cipher(&connection, settings, &path).map_err(|error| match error {
        Ok(source) => refuse(source),
        Err(error) => Loading::Refused(error),
    })?;
    let ages = Ages::open(&connection, settings).map_err(refuse)?;
    let sent = read_sent(&connection).map_err(refuse)?;
    let mut outbox = Outbox {
        connection,
        epoch,
        settings: settings.clone(),
        files: files.clone(),
        cipher,
        lanes,
        marks: HashMap::new(),
        sent,
        unsaved: false,
        ages,
        ballast: Ballast::new(&settings.dir, settings.ballast_bytes),
        suspect: false,
        withdrawn: [0; Withdrawal::ALL.len()],
    };
    if outbox.cipher.is_some() {
        encrypt::whole(&mut outbox).map_err(refuse)?;
    }
    Ok(outbox)
}

/// The cipher, if the key is the store's; a store without encryption takes any key as its own.
fn open_cipher(
    connection: &Connection,
    settings: &OutboxSettings,
    path: &Path,
) -> Result<Option<Cipher>, Result<rusqlite::Error, OpenError>> {
    let check = schema::key_check(connection).map_err(Ok)?;
    let cipher = settings.key.as_ref().map(Cipher::new);
    match (check, &cipher) {
        (Some(_), None) => Err(Err(OpenError::KeyMissing { path: path.to_owned() })),
        (Some(check), Some(key)) if !key.made(&check) => {
            Err(Err(OpenError::WrongKey { path: path.to_owned() }))
        }
        _ => Ok(cipher),
    }
}

fn read_sent(connection: &Connection) -> Result<HashMap<String, SentBytes>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT link, day, bytes FROM sent")?;
    let mut rows = statement.query([])?;
    let mut sent = HashMap::new();
    while let Some(row) = rows.next()? {
        let link: String = row.get(0)?;
        let (day, bytes) = (row.get(1)?, row.get::<_, i64>(2)?.max(0).cast_unsigned());
        if let Ok(id) = LinkId::new(&link) {
            sent.insert(link, SentBytes { link: id, day, bytes });
        }
    }
    Ok(sent)
}

/// Looks at every page's structure; a store of the default cap takes some seconds.
pub(crate) fn is_sound(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok(verdict == "ok")
}

/// Makes a store, of what lies in a folder that was set aside where one is given.
fn make(
    files: &Files,
    epoch: Epoch,
    set_aside: Option<&Path>,
    settings: &OutboxSettings,
) -> Result<Salvaged, OpenError> {
    let io = |source| OpenError::Io { path: settings.dir.clone(), source };
    let database = |source| OpenError::Database { path: files.database(), source };
    let unfinished = files.begin().map_err(io)?;
    let mut connection = Connection::open(&unfinished).map_err(database)?;
    schema::create(&mut connection, epoch).map_err(database)?;
    let salvaged = match set_aside {
        None => Salvaged::default(),
        Some(old) => salvage::bring_over(old, &mut connection).map_err(database)?,
    };
    connection.close().map_err(|(_, error)| database(error))?;
    files.finish(&unfinished).map_err(io)?;
    Ok(salvaged)
}

pub(crate) fn connect(path: &Path, settings: &OutboxSettings) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A log of a mebibyte: read in no time after a crash.
    let page = schema::page_bytes(&connection)?;
    connection.pragma_update(None, "wal_autocheckpoint", (LOG_BYTES / page).cast_signed())?;
    connection.pragma_update(None, "max_page_count", max_pages(&connection, settings)?)?;
    // A reader of the command line may hold the file for a moment.
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// Pages that the cap allows.
pub(crate) fn max_pages(connection: &Connection, settings: &OutboxSettings) -> Result<i64, rusqlite::Error> {
    Ok((settings.cap_bytes / schema::page_bytes(connection)?).cast_signed())
}

pub(crate) fn epoch() -> Result<Epoch, OpenError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| OpenError::Random)?;
    Ok(Epoch(bytes))
}
