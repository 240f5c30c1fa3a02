//! What is found at start, and what is made of it. A damaged store never keeps a gateway from starting; a
//! store of somebody else, or of a newer program, is never touched.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use verge_domain::id::{Epoch, LinkId};
use verge_domain::stage::SentBytes;
use verge_domain::withdrawn::Withdrawal;

use crate::age::Ages;
use crate::ballast::Ballast;
use crate::checkpoints::States;
use crate::encrypt::Sealing;
use crate::fault::{is_damage_at_opening, is_full};
use crate::files::{Files, Found, lacks_room};
use crate::guard::{Guard, Testimony};
use crate::key::Cipher;
use crate::note::{Damage, OpenError, StartNote};
use crate::pressure::Pressure;
use crate::salvage::{self, Salvaged};
use crate::schema::{self, Header, SCHEMA_VERSION};
use crate::settings::{MIN_CAP_BYTES, OutboxSettings};
use crate::store::Outbox;
use crate::{encrypt, lanes, log, plain};

/// A reader of the command line may hold the file for a moment.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// The log is folded into the database at this size.
const LOG_BYTES: u64 = 1 << 20;

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
        let name = epoch()?.to_string();
        files.resume(&name).map_err(io)?;
        let testimony = Testimony::read(&files.guard()).map_err(io)?;
        let mut found = files.find().map_err(io)?;
        if let Some(testimony) = testimony.filter(|testimony| is_unrecognised(&found, testimony)) {
            tracing::error!("the header of the store is damaged and was restored");
            files.restore_header(testimony.page_bytes, testimony.version, &name).map_err(io)?;
            found = files.find().map_err(io)?;
        }
        let given = testimony.map_or([0; 3], |testimony| testimony.last);
        let damage = match found {
            Found::Nothing => {
                make(&files, epoch()?, settings)?;
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
                Ok(outbox) if is_cut_back(&outbox, testimony.as_ref()) => {
                    drop(outbox);
                    Damage::Log
                }
                Ok(outbox) => return guarded(outbox).map(|outbox| Opened { outbox, note: None }).map_err(io),
                Err(Loading::Damaged) => Damage::Content,
                Err(Loading::Refused(error)) => return Err(error),
            },
        };
        // Among what is damaged may be the little that SQLite must know before it reads anything.
        if let (Some(testimony), true) = (testimony, damage != Damage::Log) {
            files.restore_header(testimony.page_bytes, testimony.version, &name).map_err(io)?;
        }
        renew(&files, settings, damage, given)
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
        let given = opened.outbox.lanes.map(|lane| lane.last);
        drop(opened);
        renew(&Files::in_folder(&settings.dir), settings, Damage::Asked, given)
    }
}

/// Whether a header does not say, or says otherwise, what the witness knows: that this is a store of ours.
fn is_unrecognised(found: &Found, testimony: &Testimony) -> bool {
    match found {
        Found::Nothing => false,
        Found::LogAlone | Found::Database(Header::Broken | Header::Foreign { .. }) => {
            testimony.version <= SCHEMA_VERSION
        }
        Found::Database(Header::Ours { version }) => {
            testimony.version == SCHEMA_VERSION && *version != SCHEMA_VERSION
        }
    }
}

/// Whether the store ends before numbers that were given.
fn is_cut_back(outbox: &Outbox, testimony: Option<&Testimony>) -> bool {
    testimony.is_some_and(|testimony| {
        let ends_before = outbox.lanes.iter().zip(testimony.last).any(|(lane, given)| lane.last < given);
        testimony.epoch != outbox.epoch || ends_before
    })
}

/// The store with its witness. A full disk costs the witness, not the start.
fn guarded(mut outbox: Outbox) -> io::Result<Outbox> {
    let page_bytes = schema::page_bytes(&outbox.connection).map_err(io::Error::other)?;
    let last = outbox.lanes.map(|lane| lane.last);
    outbox.guard = match Guard::begin(&outbox.files.guard(), outbox.epoch, page_bytes, last) {
        Err(error) if lacks_room(&error) => {
            tracing::warn!("the disk is full: the file that guards the numbers could not be made");
            None
        }
        begun => Some(begun?),
    };
    Ok(outbox)
}

/// Makes a new store of what can be read of the one here, which it then sets aside.
fn renew(
    files: &Files,
    settings: &OutboxSettings,
    damage: Damage,
    given: [u64; 3],
) -> Result<Opened, OpenError> {
    let io = |source| OpenError::Io { path: settings.dir.clone(), source };
    let epoch = epoch()?;
    let (unfinished, salvaged) = begin(files, epoch, Some((&files.database(), given)), settings)?;
    let set_aside = files.replace(&unfinished, &epoch.to_string()).map_err(io)?;
    let outbox = load(files, settings).map_err(|error| match error {
        Loading::Refused(error) => error,
        // A file system that does not give back what was written just now cannot hold a store.
        Loading::Damaged => io(io::Error::from(io::ErrorKind::InvalidData)),
    })?;
    let outbox = guarded(outbox).map_err(io)?;
    Ok(Opened { outbox, note: Some(StartNote { damage, set_aside, salvaged }) })
}

/// Opens it; where the disk is too full for that, without the ballast.
fn load_on_any_disk(files: &Files, settings: &OutboxSettings) -> Result<Outbox, Loading> {
    match load(files, settings) {
        Err(Loading::Refused(OpenError::Database { source, .. }))
            if (is_full(&source) || files.is_beyond_quota(&source))
                && Ballast::discard(&settings.dir, settings.ballast_bytes) =>
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
        _ if is_damage_at_opening(&source) => Loading::Damaged,
        Some(rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen) => {
            Loading::Refused(OpenError::ReadOnly { path: files.database() })
        }
        _ => Loading::Refused(OpenError::Database { path: files.database(), source }),
    };
    let mut connection = connect(&path, settings).map_err(refuse)?;
    let version = schema::version(&connection).map_err(refuse)?;
    if version < SCHEMA_VERSION {
        // New tables take some pages that a full store has not.
        lift_page_limit(&connection).map_err(refuse)?;
        schema::migrate(&mut connection, version).map_err(refuse)?;
        limit_pages(&connection, settings).map_err(refuse)?;
    }
    if !is_sound(&connection).map_err(refuse)? {
        return Err(Loading::Damaged);
    }
    let epoch = schema::epoch(&connection).map_err(|_| Loading::Damaged)?.ok_or(Loading::Damaged)?;
    let lanes = lanes::read(&connection).map_err(refuse)?.ok_or(Loading::Damaged)?;
    let key_check = schema::key_check(&connection).map_err(refuse)?;
    let cipher = open_cipher(key_check, settings, &path).map_err(Loading::Refused)?;
    let ages = Ages::open(&connection, settings).map_err(refuse)?;
    let sent = read_sent(&connection).map_err(refuse)?;
    let states = States::of(&connection, settings.states_bytes, settings.cap_bytes).map_err(refuse)?;
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
        leftovers: false,
        guard: None,
        withdrawn: [0; Withdrawal::ALL.len()],
        states,
        sealing: Sealing::Finished,
        pressure: Pressure::default(),
    };
    encrypt::begin(&mut outbox).map_err(refuse)?;
    outbox.settle_states().map_err(refuse)?;
    encrypt::finish(&mut outbox).map_err(refuse)?;
    if outbox.cipher.is_some() {
        report_plain_copies(files);
    }
    outbox.fit_to_disk();
    Ok(outbox)
}

/// Copies are left to the operator, who may still need them.
fn report_plain_copies(files: &Files) {
    match plain::copies(files) {
        Ok(copies) if copies.is_empty() => {}
        Ok(copies) => tracing::warn!(
            ?copies,
            "beside the encrypted store lie copies in plain text; remove them when they are not needed any more"
        ),
        Err(error) => tracing::warn!(%error, "cannot look for copies of the store in plain text"),
    }
}

/// The cipher, if the key is the one that the store's check value was made with; a store without encryption takes any key
/// as its own.
fn open_cipher(
    check: Option<Vec<u8>>,
    settings: &OutboxSettings,
    path: &Path,
) -> Result<Option<Cipher>, OpenError> {
    let cipher = settings.key.as_ref().map(Cipher::new);
    match (check, &cipher) {
        (Some(_), None) => Err(OpenError::KeyMissing { path: path.to_owned() }),
        (Some(check), Some(key)) if !key.made(&check) => Err(OpenError::WrongKey { path: path.to_owned() }),
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

/// Makes the first store of a folder.
fn make(files: &Files, epoch: Epoch, settings: &OutboxSettings) -> Result<(), OpenError> {
    let (unfinished, _) = begin(files, epoch, None, settings)?;
    files.finish(&unfinished).map_err(|source| OpenError::Io { path: settings.dir.clone(), source })
}

/// Makes a store that has no name yet, of what can be read of an old one where one is given with the numbers it gave.
fn begin(
    files: &Files,
    epoch: Epoch,
    old: Option<(&Path, [u64; 3])>,
    settings: &OutboxSettings,
) -> Result<(PathBuf, Salvaged), OpenError> {
    let io = |source| OpenError::Io { path: settings.dir.clone(), source };
    let database = |source| OpenError::Database { path: files.database(), source };
    let unfinished = files.begin().map_err(io)?;
    let mut connection = Connection::open(&unfinished).map_err(database)?;
    schema::create(&mut connection, epoch).map_err(database)?;
    let salvaged = match old {
        None => Salvaged::default(),
        Some((old, given)) => salvage::bring_over(old, given, &mut connection).map_err(database)?,
    };
    connection.close().map_err(|(_, error)| database(error))?;
    Ok((unfinished, salvaged))
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
    limit_pages(&connection, settings)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Lets the database grow beyond its cap.
pub(crate) fn lift_page_limit(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "max_page_count", i64::from(u32::MAX - 1))
}

/// Lets the database grow up to its cap.
pub(crate) fn limit_pages(connection: &Connection, settings: &OutboxSettings) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "max_page_count", max_pages(connection, settings)?)
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
