//! A look into a store for the command line, beside a live gateway: read-only, in short snapshots.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};
use verge_domain::id::{Epoch, Lane, Seq};
use verge_domain::stage::StoredRow;

use crate::fault::Fault;
use crate::files::{Files, Found};
use crate::row::{Columns, SELECT};
use crate::schema::{self, Header, SCHEMA_VERSION};
use crate::store::lane_number;

/// Rows read in one snapshot: a long read would keep the gateway's log from being folded in.
const SNAPSHOT_ROWS: i64 = 256;

/// Why a store cannot be looked into.
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
    Fault(#[from] Fault),
}

/// One lane at a glance.
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
}

/// One route at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSummary {
    /// Its name.
    pub route: String,
    /// Delivered up to here, by lane.
    pub delivered: [Seq; 3],
}

/// One saved state at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSummary {
    /// Whose it is.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A store at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its schema version.
    pub schema_version: u32,
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
    epoch: Epoch,
    version: u32,
}

impl OutboxReader {
    /// Opens the store in this folder.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open(dir: &Path) -> Result<Self, ReadError> {
        let files = Files::in_folder(dir);
        let path = files.database();
        match files.find().map_err(|source| ReadError::Io { path: dir.to_owned(), source })? {
            Found::Database(Header::Ours { version }) if version <= SCHEMA_VERSION => {}
            Found::Database(_) => return Err(ReadError::Unreadable { path }),
            Found::Nothing | Found::LogAlone => return Err(ReadError::Missing { dir: dir.to_owned() }),
        }
        let fault = Fault::while_doing("open the store for reading");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(&fault)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(&fault)?;
        let version = schema::version(&connection).map_err(&fault)?;
        let epoch = schema::epoch(&connection).map_err(&fault)?.ok_or(ReadError::Unreadable { path })?;
        Ok(Self { connection, epoch, version })
    }

    /// Epoch of the store.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The store at a glance, as of one moment.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn summary(&mut self) -> Result<Summary, ReadError> {
        let fault = Fault::while_doing("read the store");
        let snapshot = self.connection.transaction().map_err(&fault)?;
        let lanes = summarise_lanes(&snapshot).map_err(&fault)?;
        let routes = summarise_routes(&snapshot).map_err(&fault)?;
        let checkpoints = summarise_checkpoints(&snapshot).map_err(&fault)?;
        Ok(Summary { epoch: self.epoch, schema_version: self.version, lanes, routes, checkpoints })
    }

    /// The verdicts of a lane from `from` to `to`, both included, as far as they are stored.
    #[must_use]
    pub fn rows(&self, lane: Lane, from: Seq, to: Seq) -> Rows<'_> {
        let after = Seq(from.0.saturating_sub(1));
        Rows { connection: &self.connection, lane, after, to, read: Vec::new().into_iter(), done: false }
    }
}

fn summarise_lanes(connection: &Connection) -> Result<[LaneSummary; 3], rusqlite::Error> {
    let mut lanes =
        Lane::ALL.map(|lane| LaneSummary { lane, first: None, last: Seq::ZERO, rows: 0, bytes: 0 });
    for summary in &mut lanes {
        let (last, bytes, evicted, evicted_bytes) = connection.query_row(
            "SELECT last, bytes, evicted, evicted_bytes FROM lane WHERE lane = ?1",
            [lane_number(summary.lane)],
            |row| {
                let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                Ok((number(0)?, number(1)?, number(2)?, number(3)?))
            },
        )?;
        summary.last = Seq(last);
        summary.rows = last.saturating_sub(evicted);
        summary.bytes = bytes.saturating_sub(evicted_bytes);
        summary.first = (summary.rows > 0).then_some(Seq(evicted + 1));
    }
    Ok(lanes)
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

fn summarise_checkpoints(connection: &Connection) -> Result<Vec<CheckpointSummary>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT key, length(state) FROM checkpoint ORDER BY key")?;
    let rows = statement.query_map([], |row| {
        Ok(CheckpointSummary { key: row.get(0)?, bytes: row.get::<_, i64>(1)?.cast_unsigned() })
    })?;
    rows.collect()
}

/// Stored verdicts, a snapshot of a few hundred at a time. A damaged row is an error in its place; those
/// behind it still come.
#[derive(Debug)]
pub struct Rows<'a> {
    connection: &'a Connection,
    lane: Lane,
    after: Seq,
    to: Seq,
    read: std::vec::IntoIter<Result<StoredRow, Fault>>,
    done: bool,
}

impl Rows<'_> {
    fn snapshot(&mut self) -> Result<Vec<Result<StoredRow, Fault>>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached(SELECT)?;
        let to = self.to.0.min(i64::MAX.cast_unsigned()).cast_signed();
        let after = self.after.0.min(i64::MAX.cast_unsigned()).cast_signed();
        let mut rows = statement.query(params![lane_number(self.lane), after, to, SNAPSHOT_ROWS])?;
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            let (columns, crc) = Columns::read(self.lane, row)?;
            self.after = columns.seq;
            read.push(if columns.crc() == crc {
                Ok(columns.to_stored())
            } else {
                Err(Fault::RowDamaged { lane: self.lane, seq: columns.seq })
            });
        }
        Ok(read)
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<StoredRow, Fault>;

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
                Some(Err(Fault::Database { doing: "read verdicts", source }))
            }
        }
    }
}
