//! The connection to the database file.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::open::BUSY;
use crate::schema;
use crate::settings::OutboxSettings;

/// The log is folded into the database at this size.
const LOG_BYTES: u64 = 1 << 20;

/// Opens the file for reading and writing.
pub(crate) fn connect(path: &Path, settings: &OutboxSettings) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    // Every transaction writes: one that began by reading could not, once another has written.
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
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
