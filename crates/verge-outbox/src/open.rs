//! What is found at start, and what is made of it. A damaged store never keeps a gateway from starting; a
//! store of another program, or of a newer version, is never touched.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use verge_domain::id::Epoch;
use verge_domain::life::Life;
use verge_domain::withdrawn::Withdrawal;

use crate::acknowledged::AcknowledgedNumbers;
use crate::age::Ages;
use crate::ballast::Ballast;
use crate::checkpoints::States;
use crate::connect::{connect, lift_page_limit, limit_pages};
use crate::encrypt::Sealing;
use crate::fault::{is_damage_at_opening, is_full};
use crate::files::{Files, FolderContents, lacks_room};
use crate::guard::{Guard, Opening, Testimony};
use crate::key::Cipher;
use crate::note::{Damage, OpenError, StartNote};
use crate::pressure::Pressure;
use crate::row::Binding;
use crate::salvage::{self, LogUse, Old, Salvaged};
use crate::schema::{self, FileHeader, SCHEMA_VERSION};
use crate::settings::{MIN_CAP_BYTES, OutboxSettings};
use crate::store::Outbox;
use crate::{encrypt, lanes, log, marks, origin, plain, run};

/// A reader of the command line may hold the file for a moment.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// An open store, and what to report to the operator.
#[derive(Debug)]
pub struct OpenedStore {
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
    /// See [`OpenError`]; damage is no error, see [`OpenedStore::note`].
    pub fn open(settings: &OutboxSettings) -> Result<OpenedStore, OpenError> {
        if settings.cap_bytes < MIN_CAP_BYTES {
            return Err(OpenError::CapTooSmall { cap_bytes: settings.cap_bytes });
        }
        let files = Files::in_folder(&settings.dir);
        let io = |source| OpenError::Io { path: settings.dir.clone(), source };
        let name = epoch()?.to_string();
        files.clear_names(&name).map_err(io)?;
        let resumed = files.resume(&name).map_err(io)?;
        let testimony = Testimony::read(&files.guard()).map_err(io)?;
        let mut found = files.find().map_err(io)?;
        if let Some(testimony) = testimony.filter(|testimony| is_unrecognised(&found, testimony)) {
            tracing::error!("the header of the store is damaged and was restored");
            files.restore_header(testimony.page_bytes, testimony.version, &name).map_err(io)?;
            found = files.find().map_err(io)?;
        }
        let damage = match found {
            FolderContents::Nothing => {
                make(&files, epoch()?, settings)?;
                None
            }
            FolderContents::LogAlone => Some(Damage::LogAlone),
            FolderContents::Database(FileHeader::Broken) => Some(Damage::Header),
            FolderContents::Database(FileHeader::Foreign { .. }) => {
                return Err(OpenError::Foreign { path: files.database() });
            }
            FolderContents::Database(FileHeader::Ours { version }) if version > SCHEMA_VERSION => {
                return Err(OpenError::Newer { path: files.database(), found: version });
            }
            // Checked before SQLite opens it, which forgets what it does not understand.
            FolderContents::Database(FileHeader::Ours { .. }) => {
                match origin::of_files(&files, testimony.as_ref()).map_err(io)? {
                    None => log::has_lost_commits(&files.log()).map_err(io)?.then_some(Damage::Log),
                    copied => copied,
                }
            }
        };
        let damage = match damage {
            Some(damage) => damage,
            None => match load_on_any_disk(&files, settings) {
                Ok(outbox) => match doubt(&outbox, testimony.as_ref()).map_err(refused(&files))? {
                    // A new store has none yet.
                    Some(damage) if damage != Damage::NoWitness || !resumed => damage,
                    _ => return accept(outbox).map(|outbox| OpenedStore { outbox, note: None }),
                },
                Err(Loading::Damaged) => Damage::Content,
                Err(Loading::Refused(error)) => return Err(error),
            },
        };
        // Among what is damaged may be the little that SQLite must know before it reads anything.
        if let (Some(testimony), Damage::Header | Damage::Content | Damage::LogAlone) = (testimony, damage) {
            files.restore_header(testimony.page_bytes, testimony.version, &name).map_err(io)?;
        }
        renew(&files, settings, damage, testimony.as_ref())
    }

    /// Salvages a store that opens, too: what cannot be read of it is withdrawn. The caller holds the
    /// [`crate::StateLock`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn repair(settings: &OutboxSettings) -> Result<OpenedStore, OpenError> {
        let opened = Self::open(settings)?;
        if opened.note.is_some() {
            return Ok(opened);
        }
        drop(opened);
        let files = Files::in_folder(&settings.dir);
        let io = |source| OpenError::Io { path: settings.dir.clone(), source };
        let testimony = Testimony::read(&files.guard()).map_err(io)?;
        renew(&files, settings, Damage::Asked, testimony.as_ref())
    }
}

/// Whether a header does not say, or says otherwise, what the witness knows: that this is a store of ours.
fn is_unrecognised(found: &FolderContents, testimony: &Testimony) -> bool {
    match found {
        FolderContents::Nothing => false,
        FolderContents::LogAlone
        | FolderContents::Database(FileHeader::Broken | FileHeader::Foreign { .. }) => {
            testimony.version <= SCHEMA_VERSION
        }
        FolderContents::Database(FileHeader::Ours { version }) => {
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

/// Why a store that could be read must not be continued.
fn doubt(outbox: &Outbox, testimony: Option<&Testimony>) -> Result<Option<Damage>, rusqlite::Error> {
    let life = run::read(&outbox.connection, outbox.epoch)?;
    let found = origin::of_content(&outbox.connection, life.as_ref(), testimony)?;
    Ok(found.or_else(|| is_cut_back(outbox, testimony).then_some(Damage::Log)))
}

/// The store begins its next run: from now on it has a witness, and its log may be folded in. A full disk costs the
/// witness, not the start.
fn accept(mut outbox: Outbox) -> Result<Outbox, OpenError> {
    let files = outbox.files.clone();
    let io = |source| OpenError::Io { path: files.folder().to_owned(), source };
    let connection = &outbox.connection;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(refused(&files))?;
    if matches!(files.find(), Ok(FolderContents::Database(FileHeader::Ours { version })) if version < SCHEMA_VERSION)
    {
        // Readers, and the next opening, look at the file's header, not at what the log says of it.
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::debug!(%error, "the log cannot be folded in yet");
        }
    }
    let page_bytes = schema::page_bytes(connection).map_err(refused(&files))?;
    let before = run::read(connection, outbox.epoch).map_err(refused(&files))?;
    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(|_| OpenError::Random)?;
    let last = outbox.lanes.map(|lane| lane.last);
    let life = run::begun(before.clone(), outbox.epoch, u64::from_le_bytes(id), last);
    let begin = |run| match Guard::begin(&files, &Opening { epoch: outbox.epoch, page_bytes, last, run }) {
        Err(error) if lacks_room(&error) => {
            tracing::warn!("the disk is full: the file that guards the numbers could not be made");
            Ok(None)
        }
        begun => begun.map(Some).map_err(io),
    };
    outbox.guard = begin(life.run())?;
    // The witness first: killed in between, it is a run ahead, which counts as no fault.
    lift_page_limit(connection).map_err(refused(&files))?;
    let noted = note_run(connection, &life);
    limit_pages(connection, &outbox.settings).map_err(refused(&files))?;
    match noted {
        Ok(()) => {}
        Err(error) if is_full(&error) || files.is_beyond_quota(&error) => {
            if let Some(before) = &before {
                outbox.guard = begin(before.run())?;
            }
        }
        Err(error) => return Err(refused(&files)(error)),
    }
    outbox.life = life;
    encrypt::begin(&mut outbox).map_err(refused(&files))?;
    outbox.settle_states().map_err(refused(&files))?;
    encrypt::finish(&mut outbox).map_err(refused(&files))?;
    if outbox.cipher.is_some() {
        report_plain_copies(&files);
    }
    outbox.fit_to_disk();
    Ok(outbox)
}

fn note_run(connection: &Connection, life: &Life) -> Result<(), rusqlite::Error> {
    let transaction = connection.unchecked_transaction()?;
    run::write(&transaction, life)?;
    schema::set_meta(&transaction, schema::WITNESSED, &[])?;
    transaction.commit()
}

fn refused(files: &Files) -> impl Fn(rusqlite::Error) -> OpenError + use<> {
    let path = files.database();
    move |source| OpenError::Database { path: path.clone(), source }
}

/// Makes a new store of what can be read of the one here, which it then sets aside.
fn renew(
    files: &Files,
    settings: &OutboxSettings,
    damage: Damage,
    testimony: Option<&Testimony>,
) -> Result<OpenedStore, OpenError> {
    let io = |source| OpenError::Io { path: settings.dir.clone(), source };
    let epoch = epoch()?;
    let database = files.database();
    let noted = testimony.and_then(|testimony| testimony.origin).map(|origin| origin.log);
    let is_foreign = noted.map_or(Ok(false), |noted| origin::is_foreign(files, &noted)).map_err(io)?;
    let old = Old {
        database: &database,
        log: match damage {
            Damage::Backup => LogUse::Ignored,
            _ if is_foreign => LogUse::Foreign,
            _ => LogUse::Own,
        },
        given: testimony.map_or([0; 3], |testimony| testimony.last),
        epoch: testimony.filter(|_| damage == Damage::LogAlone).map(|testimony| testimony.epoch),
    };
    let made = match begin(files, epoch, Some(&old), settings) {
        Err(OpenError::Database { source, .. })
            if is_full(&source) && Ballast::discard(&settings.dir, settings.ballast_bytes) =>
        {
            begin(files, epoch, Some(&old), settings)
        }
        made => made,
    };
    let (unfinished, salvaged) = made?;
    let set_aside = files.replace(&unfinished, &epoch.to_string()).map_err(io)?;
    let outbox = load(files, settings).map_err(|error| match error {
        Loading::Refused(error) => error,
        // A file system that does not give back what was written just now cannot hold a store.
        Loading::Damaged => io(io::Error::from(io::ErrorKind::InvalidData)),
    })?;
    let outbox = accept(outbox)?;
    Ok(OpenedStore { outbox, note: Some(StartNote { damage, set_aside, salvaged }) })
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
    // Until it is known to be the store that ran last, its log stays what it is.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(refuse)?;
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
    let binding = Binding::read(&connection).map_err(refuse)?.ok_or(Loading::Damaged)?;
    let lanes = lanes::read(&connection, &binding).map_err(refuse)?.ok_or(Loading::Damaged)?;
    let key_check = schema::key_check(&connection).map_err(refuse)?;
    let cipher = open_cipher(key_check, settings, &path).map_err(Loading::Refused)?;
    let ages = Ages::open(&connection, settings).map_err(refuse)?;
    let sent = marks::read_sent(&connection).map_err(refuse)?;
    let acknowledged = AcknowledgedNumbers::read(&connection, &lanes, &binding).map_err(refuse)?;
    let states =
        States::of(&connection, settings.states_bytes, settings.cap_bytes, binding).map_err(refuse)?;
    Ok(Outbox {
        connection,
        epoch,
        binding,
        life: Life { epoch, count: 0, runs: Vec::new(), earlier: Vec::new() },
        settings: settings.clone(),
        files: files.clone(),
        cipher,
        lanes,
        marks: HashMap::new(),
        open: false,
        sent,
        acknowledged,
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
    })
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

/// Makes a store that has no name yet, of what can be read of an old one where one is given.
fn begin(
    files: &Files,
    epoch: Epoch,
    old: Option<&Old<'_>>,
    settings: &OutboxSettings,
) -> Result<(PathBuf, Salvaged), OpenError> {
    let io = |source| OpenError::Io { path: settings.dir.clone(), source };
    let database = |source| OpenError::Database { path: files.database(), source };
    let unfinished = files.begin().map_err(io)?;
    let mut connection = Connection::open(&unfinished).map_err(database)?;
    schema::create(&mut connection, epoch).map_err(database)?;
    let salvaged = match old {
        None => Salvaged::default(),
        Some(old) => salvage::bring_over(old, &mut connection, epoch).map_err(database)?,
    };
    connection.close().map_err(|(_, error)| database(error))?;
    Ok((unfinished, salvaged))
}

pub(crate) fn epoch() -> Result<Epoch, OpenError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| OpenError::Random)?;
    Ok(Epoch(bytes))
}
