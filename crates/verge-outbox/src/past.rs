//! Places in a lane, for readers beside a live gateway.

use std::path::Path;

use rusqlite::Connection;
use verge_domain::id::{Lane, Seq};
use verge_domain::time::UtcMillis;

use crate::fault::StoreFault;
use crate::files::Files;
use crate::key::StoreKey;
use crate::reader::{OutboxReader, ReadError};
use crate::row::per_lane;

const OLDEST: [&str; 3] = per_lane!("SELECT min(seq) FROM ", "");
const NEWEST: [&str; 3] = per_lane!("SELECT max(seq) FROM ", "");
/// Tombstones have no time.
const DECIDED: [&str; 3] =
    per_lane!("SELECT decided FROM ", " WHERE seq >= ?1 AND through IS NULL ORDER BY seq LIMIT 1");

impl OutboxReader {
    /// Opens the store that this process writes. Its files are opened by SQLite alone: when a process closes a file, POSIX takes
    /// all its locks on it, those of the writer's connection as well.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open_beside_writer(dir: &Path, key: Option<&StoreKey>) -> Result<Self, ReadError> {
        let files = Files::in_folder(dir);
        Self::over(Self::connect_to(&files.database())?, files, key)
    }

    /// The first numbers of the oldest and of the newest row of a lane; `None` where nothing is stored.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn bounds(&self, lane: Lane) -> Result<Option<(Seq, Seq)>, ReadError> {
        let read = |sql| number(self.connection(), sql, &[]);
        let ends = read(OLDEST[lane.index()]).and_then(|oldest| Ok((oldest, read(NEWEST[lane.index()])?)));
        let (oldest, newest) = ends.map_err(StoreFault::while_doing("read the ends of a lane"))?;
        let seq = |number: i64| Seq(number.cast_unsigned());
        Ok(oldest.zip(newest).map(|(oldest, newest)| (seq(oldest), seq(newest))))
    }

    /// The first number of a lane, from `first` to `last`, that was given since a time; the one behind `last` where none was.
    /// Times rise with the numbers, but for corrections of the clock.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn first_since(
        &self,
        lane: Lane,
        (first, last): (Seq, Seq),
        from: UtcMillis,
    ) -> Result<Seq, ReadError> {
        let (mut low, mut high) = (first.0, last.0.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let decided = number(self.connection(), DECIDED[lane.index()], &[middle.cast_signed()]);
            match decided.map_err(StoreFault::while_doing("look for a time in a lane"))? {
                Some(at) if at < from.0 => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(Seq(low))
    }
}

fn number(connection: &Connection, sql: &str, of: &[i64]) -> Result<Option<i64>, rusqlite::Error> {
    let mut rows = connection.prepare_cached(sql)?;
    let mut rows = rows.query(rusqlite::params_from_iter(of))?;
    rows.next()?.map_or(Ok(None), |row| row.get(0))
}
