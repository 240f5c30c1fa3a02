//! Reads a store for the command line, beside a live gateway: read-only, in short snapshots.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};
use verge_domain::id::{Epoch, Lane, Seq};
use verge_domain::life::Life;
use verge_domain::stage::{Checkpoint, StoredRow};

use crate::checkpoints;
use crate::fault::StoreFault;
use crate::files::{Files, FolderContents};
use crate::key::{Cipher, StoreKey};
use crate::lanes::{TABLES, lane_number};
use crate::row::{Binding, RowColumns, SELECT};
use crate::schema::{self, FileHeader, SCHEMA_VERSION};

/// Rows read in one snapshot: a long read would keep the gateway's log from being folded in.
pub(crate) const SNAPSHOT_ROWS: i64 = 256;

/// Why a store cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("there is no store in {}", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// Something else lies there, or it is damaged, or of a newer program.
    #[error("{} is not a store that this program can read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
    /// It is encrypted, and the key is missing or another one.
    #[error("the store {} is encrypted, and {}", path.display(), if *has_key { "the key is not its own" } else { "there is no key" })]
    Key {
        /// The file.
        path: PathBuf,
        /// Whether a key was given.
        has_key: bool,
    },
    /// The store has an older schema; a gateway brings it up to date at its next start.
    #[error("the store {} has schema version {found}, this program reads {SCHEMA_VERSION}: start the gateway once, it is brought up to date then", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The folder cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be read, or a row in it is damaged.
    #[error(transparent)]
    StoreFault(#[from] StoreFault),
}

/// Summary of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneSummary {
    /// The lane.
    pub lane: Lane,
    /// Oldest stored number; `None` where nothing is stored.
    pub first: Option<Seq>,
    /// Newest number ever given; zero where there was none.
    pub last: Seq,
    /// Verdicts stored.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Tombstones stored.
    pub tombstones: u64,
    /// Numbers that they stand for.
    pub withdrawn: u64,
}

/// Summary of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSummary {
    /// Its name.
    pub route: String,
    /// Delivered up to here, by lane.
    pub delivered: [Seq; 3],
}

/// Summary of one saved state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSummary {
    /// Whose it is.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Summary of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSummary {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its schema version.
    pub schema_version: u32,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Its encryption was interrupted: its files still hold plain text, until a gateway starts on it.
    pub encryption_unfinished: bool,
    /// The lanes.
    pub lanes: [LaneSummary; 3],
    /// The routes that were open last.
    pub routes: Vec<RouteSummary>,
    /// Saved states.
    pub checkpoints: Vec<CheckpointSummary>,
}

/// A store, opened for reading.
#[derive(Debug)]
pub struct OutboxReader {
    connection: Connection,
    files: Files,
    epoch: Epoch,
    pub(crate) binding: Binding,
    version: u32,
    encrypted: bool,
    cipher: Option<Cipher>,
}

impl OutboxReader {
    /// Opens the store in this folder, with its key if it is encrypted.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open(dir: &Path, key: Option<&StoreKey>) -> Result<Self, ReadError> {
        Self::over(Self::connect(dir)?, Files::in_folder(dir), key)
    }

    pub(crate) fn over(
        connection: Connection,
        files: Files,
        key: Option<&StoreKey>,
    ) -> Result<Self, ReadError> {
        let path = files.database();
        let fault = StoreFault::while_doing("open the store for reading");
        let version = schema::version(&connection).map_err(&fault)?;
        let check = schema::key_check(&connection).map_err(&fault)?;
        let cipher = key.map(Cipher::new);
        let opens = check.as_ref().is_none_or(|check| cipher.as_ref().is_some_and(|it| it.made(check)));
        if !opens {
            return Err(ReadError::Key { path, has_key: key.is_some() });
        }
        let epoch = schema::epoch(&connection).map_err(&fault)?;
        let binding = Binding::read(&connection).map_err(&fault)?;
        let (epoch, binding) = epoch.zip(binding).ok_or(ReadError::Unreadable { path })?;
        Ok(Self { connection, files, epoch, binding, version, encrypted: check.is_some(), cipher })
    }

    /// The database, whatever its content.
    pub(crate) fn connect(dir: &Path) -> Result<Connection, ReadError> {
        let files = Files::in_folder(dir);
        let path = files.database();
        match files.find().map_err(|source| ReadError::Io { path: dir.to_owned(), source })? {
            FolderContents::Database(FileHeader::Ours { version }) if version < SCHEMA_VERSION => {
                return Err(ReadError::Older { path, found: version });
            }
            FolderContents::Database(FileHeader::Ours { version }) if version == SCHEMA_VERSION => {}
            FolderContents::Database(_) => return Err(ReadError::Unreadable { path }),
            FolderContents::Nothing | FolderContents::LogAlone => {
                return Err(ReadError::Missing { dir: dir.to_owned() });
            }
        }
        Self::connect_to(&path)
    }

    pub(crate) fn connect_to(path: &Path) -> Result<Connection, ReadError> {
        let fault = StoreFault::while_doing("open the store for reading");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(&fault)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(&fault)?;
        Ok(connection)
    }

    /// Epoch of the store.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Its life; `None` where no program that notes it has opened the store.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn life(&self) -> Result<Option<Life>, ReadError> {
        let fault = StoreFault::while_doing("read the life of the store");
        Ok(crate::run::read(&self.connection, self.epoch).map_err(&fault)?)
    }

    /// Summary of the store, as of one moment.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn summary(&mut self) -> Result<StoreSummary, ReadError> {
        let fault = StoreFault::while_doing("read the store");
        let snapshot = self.connection.transaction().map_err(&fault)?;
        let lanes = summarise_lanes(&snapshot).map_err(&fault)?;
        let encryption_unfinished = self.encrypted && !schema::is_sealed(&snapshot).map_err(&fault)?;
        let routes = summarise_routes(&snapshot).map_err(&fault)?;
        let checkpoints =
            summarise_checkpoints(&snapshot, self.cipher.as_ref(), &self.binding).map_err(&fault)?;
        Ok(StoreSummary {
            epoch: self.epoch,
            schema_version: self.version,
            encrypted: self.encrypted,
            encryption_unfinished,
            lanes,
            routes,
            checkpoints,
        })
    }

    /// What is saved for judges under the keys that are wanted, as of one moment.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn saved(&mut self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Checkpoint>, ReadError> {
        let fault = StoreFault::while_doing("read the store");
        let snapshot = self.connection.transaction().map_err(&fault)?;
        let mut found = Vec::new();
        let take = |key: String, state: Vec<u8>| {
            if wanted(&key) {
                found.push(Checkpoint { key, state: Some(state) });
            }
        };
        let faulty = |name: &str| tracing::warn!(key = %name.escape_debug(), "a saved state is damaged and is skipped");
        checkpoints::each(&snapshot, self.cipher.as_ref(), &self.binding, take, faulty).map_err(&fault)?;
        Ok(found)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// The key of a store that is encrypted.
    pub(crate) fn cipher(&self) -> Option<&Cipher> {
        self.cipher.as_ref().filter(|_| self.encrypted)
    }

    /// The verdicts of a lane from `from` to `to`, both included, as far as they are stored.
    #[must_use]
    pub fn rows(&self, lane: Lane, from: Seq, to: Seq) -> StoredRows<'_> {
        let after = Seq(from.0.saturating_sub(1));
        StoredRows { reader: self, lane, after, to, read: Vec::new().into_iter(), done: false }
    }
}

fn summarise_lanes(connection: &Connection) -> Result<[LaneSummary; 3], rusqlite::Error> {
    let mut lanes = Lane::ALL.map(|lane| LaneSummary {
        lane,
        first: None,
        last: Seq::ZERO,
        rows: 0,
        bytes: 0,
        tombstones: 0,
        withdrawn: 0,
    });
    for summary in &mut lanes {
        let noted: i64 = connection.query_row(
            "SELECT last FROM lane WHERE lane = ?1",
            [lane_number(summary.lane)],
            |row| row.get(0),
        )?;
        let sql = format!(
            "SELECT min(seq), max(coalesce(through, seq)), count(*) - count(through), total(length(bytes)),
                    count(through), total(through - seq + 1) FROM {}",
            TABLES[summary.lane.index()]
        );
        connection.query_row(&sql, [], |row| {
            let number = |column| row.get::<_, Option<i64>>(column).map(|it| it.map(i64::cast_unsigned));
            summary.first = number(0)?.map(Seq);
            summary.last = Seq(number(1)?.unwrap_or(0).max(noted.cast_unsigned()));
            summary.rows = number(2)?.unwrap_or(0);
            summary.bytes = whole(row.get(3)?);
            summary.tombstones = number(4)?.unwrap_or(0);
            summary.withdrawn = whole(row.get(5)?);
            Ok(())
        })?;
    }
    Ok(lanes)
}

/// Sums come as floating-point numbers, exact up to 2^53.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sums of sizes are whole and not negative"
)]
fn whole(sum: f64) -> u64 {
    sum as u64
}

fn summarise_routes(connection: &Connection) -> Result<Vec<RouteSummary>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT route, lane, upto FROM mark ORDER BY route, lane")?;
    let mut rows = statement.query([])?;
    let mut routes: Vec<RouteSummary> = Vec::new();
    while let Some(row) = rows.next()? {
        let (route, lane, upto): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if routes.last().is_none_or(|last| last.route != route) {
            routes.push(RouteSummary { route, delivered: [Seq::ZERO; 3] });
        }
        let lane = usize::try_from(lane).ok().and_then(Lane::from_index);
        if let (Some(summary), Some(lane)) = (routes.last_mut(), lane) {
            summary.delivered[lane.index()] = Seq(upto.cast_unsigned());
        }
    }
    Ok(routes)
}

fn summarise_checkpoints(
    connection: &Connection,
    cipher: Option<&Cipher>,
    binding: &Binding,
) -> Result<Vec<CheckpointSummary>, rusqlite::Error> {
    let mut found = Vec::new();
    let mut faulty = Vec::new();
    checkpoints::each(
        connection,
        cipher,
        binding,
        |key, state| found.push(CheckpointSummary { key, bytes: state.len() as u64 }),
        |name| faulty.push(CheckpointSummary { key: name.to_owned(), bytes: 0 }),
    )?;
    found.extend(faulty);
    found.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(found)
}

/// Stored verdicts, a snapshot of a few hundred at a time. A damaged row is an error in its place; those
/// behind it still come.
#[derive(Debug)]
pub struct StoredRows<'a> {
    reader: &'a OutboxReader,
    lane: Lane,
    after: Seq,
    to: Seq,
    read: std::vec::IntoIter<Result<StoredRow, StoreFault>>,
    done: bool,
}

impl StoredRows<'_> {
    fn snapshot(&mut self) -> Result<Vec<Result<StoredRow, StoreFault>>, rusqlite::Error> {
        let mut statement = self.reader.connection.prepare_cached(SELECT[self.lane.index()])?;
        let to = self.to.0.min(i64::MAX.cast_unsigned()).cast_signed();
        let after = self.after.0.min(i64::MAX.cast_unsigned()).cast_signed();
        let mut rows = statement.query(params![after, to, SNAPSHOT_ROWS])?;
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned());
            self.after = seq;
            let believed = RowColumns::read(self.lane, row, &self.reader.binding)?;
            let cipher = self.reader.cipher.as_ref();
            let stored = believed.and_then(|(columns, form)| columns.to_stored(form, cipher));
            read.push(stored.ok_or(StoreFault::RowDamaged { lane: self.lane, seq }));
        }
        Ok(read)
    }
}

impl Iterator for StoredRows<'_> {
    type Item = Result<StoredRow, StoreFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.read.next() {
            return Some(row);
        }
        if self.done {
            return None;
        }
        match self.snapshot() {
            Ok(read) => {
                self.done = read.is_empty();
                self.read = read.into_iter();
                self.read.next()
            }
            Err(source) => {
                self.done = true;
                Some(Err(StoreFault::Database { doing: "read verdicts", source }))
            }
        }
    }
}
