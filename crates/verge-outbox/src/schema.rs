//! Tables, and the numbers in the file's header by which a store is recognised.

use rusqlite::{Connection, TransactionBehavior};
use verge_domain::id::Epoch;

/// `VRGE` in the file's header: this database is a store of Verge.
pub(crate) const APPLICATION_ID: u32 = 0x5652_4745;

/// The schema this program writes. Older ones are migrated at opening, newer ones refused.
#[expect(clippy::cast_possible_truncation, reason = "a handful of steps")]
pub const SCHEMA_VERSION: u32 = STEPS.len() as u32;

/// Bytes of a page.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// Step `n` leads from version `n` to `n + 1`; a new store goes through all of them. A step that has been
/// released never changes.
const STEPS: [&str; 1] = ["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

    -- Outlives the verdicts, so that a number is never given twice. The stored verdicts of a lane are
    -- exactly `evicted` + 1 to `last`.
    CREATE TABLE lane (
        lane INTEGER PRIMARY KEY,
        last INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        evicted INTEGER NOT NULL,
        evicted_bytes INTEGER NOT NULL
    ) STRICT;
    INSERT INTO lane VALUES (0, 0, 0, 0, 0), (1, 0, 0, 0, 0), (2, 0, 0, 0, 0);

    -- `lane_bytes`: bytes of all verdicts of the lane up to and including this one, evicted ones too, so
    -- that the size of any range is one subtraction.
    CREATE TABLE verdict (
        lane INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        decided INTEGER NOT NULL,
        cause INTEGER NOT NULL,
        lane_bytes INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY (lane, seq)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE mark (
        route TEXT NOT NULL,
        lane INTEGER NOT NULL,
        upto INTEGER NOT NULL,
        PRIMARY KEY (route, lane)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE checkpoint (
        key TEXT PRIMARY KEY,
        crc INTEGER NOT NULL,
        state BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

/// Makes the tables of a new store, in one transaction.
pub(crate) fn create(connection: &mut Connection, epoch: Epoch) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "page_size", PAGE_BYTES.cast_signed())?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    advance(&transaction, 0)?;
    transaction.execute("INSERT INTO meta VALUES ('epoch', ?1)", [epoch.0])?;
    transaction.commit()
}

/// Brings an older store up to [`SCHEMA_VERSION`], in one transaction.
pub(crate) fn migrate(connection: &mut Connection, from: u32) -> Result<(), rusqlite::Error> {
    if from == SCHEMA_VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    advance(&transaction, from)?;
    transaction.commit()
}

fn advance(connection: &Connection, from: u32) -> Result<(), rusqlite::Error> {
    for step in STEPS.iter().skip(from as usize) {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)
}

/// Schema version of an open database.
pub(crate) fn version(connection: &Connection) -> Result<u32, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Epoch of an open store; `None` if it is not 128 bits.
pub(crate) fn epoch(connection: &Connection) -> Result<Option<Epoch>, rusqlite::Error> {
    let bytes: Vec<u8> =
        connection.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0))?;
    Ok(bytes.try_into().ok().map(Epoch))
}

/// What a file's first bytes say it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// A store of ours, of this schema version.
    Ours {
        /// Schema version.
        version: u32,
    },
    /// Was a store of ours, as far as can be told.
    Broken,
    /// Something else: another program's database, with its application id, or no database at all.
    Foreign {
        /// Application id, if it is a database.
        application: Option<u32>,
    },
}

/// Length of a database's header in bytes.
pub(crate) const HEADER_BYTES: usize = 100;
/// First bytes of every SQLite database (its file format, section 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

impl Header {
    /// Judges the first [`HEADER_BYTES`] bytes of a file, or fewer if it has fewer. Looking is all this
    /// does: what is not ours must not even be opened by SQLite, which may write.
    pub(crate) fn of(head: &[u8]) -> Self {
        let whole = head.len() >= HEADER_BYTES;
        let magic = head.iter().zip(MAGIC).all(|(found, expected)| found == expected);
        let application = number_at(head, 68);
        match (magic, application) {
            (true, Some(APPLICATION_ID)) if whole => {
                Self::Ours { version: number_at(head, 60).unwrap_or_default() }
            }
            // Cut short, or the first bytes overwritten.
            (true, _) if !whole => Self::Broken,
            (false, Some(APPLICATION_ID)) => Self::Broken,
            // A file system may leave zeros where it lost a write.
            (false, _) if head.iter().all(|&byte| byte == 0) => Self::Broken,
            (magic, application) => Self::Foreign { application: application.filter(|_| magic) },
        }
    }
}

fn number_at(head: &[u8], offset: usize) -> Option<u32> {
    head.get(offset..)?.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_header() {
        let header = |magic: &[u8], application: u32, version: u32| {
            let mut head = vec![7; HEADER_BYTES];
            head[..magic.len()].copy_from_slice(magic);
            head[60..64].copy_from_slice(&version.to_be_bytes());
            head[68..72].copy_from_slice(&application.to_be_bytes());
            head
        };
        let check = |head: &[u8], expected| assert_eq!(Header::of(head), expected, "{head:?}");
        check(&header(MAGIC, APPLICATION_ID, 1), Header::Ours { version: 1 });
        check(&header(MAGIC, APPLICATION_ID, 99), Header::Ours { version: 99 });
        check(&header(MAGIC, 0, 1), Header::Foreign { application: Some(0) });
        check(&header(b"SQLitE format 3\0", APPLICATION_ID, 1), Header::Broken);
        check(&header(b"SQLitE format 3\0", 5, 1), Header::Foreign { application: None });
        check(&header(MAGIC, APPLICATION_ID, 1)[..99], Header::Broken);
        check(&[0; HEADER_BYTES], Header::Broken);
        check(&[], Header::Broken);
        check(b"a shopping list", Header::Foreign { application: None });
    }

    #[test]
    fn sqlite_has_the_fix_for_lost_checkpoints() {
        // Before 3.51.3 a checkpoint racing a reset of the write-ahead log could lose a commit.
        assert!(rusqlite::version_number() >= 3_051_003, "SQLite {}", rusqlite::version());
    }
}
