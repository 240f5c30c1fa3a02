//! Tables, and the numbers in the file's header by which a store is recognised.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use verge_domain::id::{Epoch, Lane};

/// `VRGE` in the file's header: this database is a store of Verge.
pub(crate) const APPLICATION_ID: u32 = 0x5652_4745;

/// The schema this program writes. Older ones are migrated at opening, newer ones refused.
#[expect(clippy::cast_possible_truncation, reason = "a handful of steps")]
pub const SCHEMA_VERSION: u32 = STEPS.len() as u32;

/// Noted in a copy that was made as a backup.
pub(crate) const BACKUP: &str = "backup";
/// Noted where the next opening is to take a new epoch, with the reason.
pub(crate) const RENEW: &str = "renew";
/// Such a reason: commits are missing.
pub(crate) const CUT_BACK: &[u8] = b"cut back";
/// Another: another life of this store continues.
pub(crate) const OVERTAKEN: &[u8] = b"overtaken";
/// Noted once the store has a witness.
pub(crate) const WITNESSED: &str = "witnessed";

/// Since this version checksums begin with the epoch.
const BOUND_SINCE: u32 = 4;

/// Bytes of a page in a new store. A commit writes whole pages, most of which it does not fill: smaller ones cost less
/// (measured: 5.3 times the bytes of the verdicts with 4096, at 32 of them in a commit). Older stores have larger ones.
const NEW_PAGE_BYTES: u64 = 2048;

/// The table of a lane, filled with what the one table of version 1 held of it.
macro_rules! lane_table {
    ($name:literal, $number:literal) => {
        concat!(
            "
    CREATE TABLE ",
            $name,
            " (
        seq INTEGER PRIMARY KEY,
        decided INTEGER NOT NULL,
        cause INTEGER NOT NULL,
        lane_bytes INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        through INTEGER,
        reason INTEGER
    ) STRICT;
    INSERT INTO ",
            $name,
            "
        SELECT seq, decided, cause, lane_bytes, crc, bytes, NULL, NULL FROM verdict_1 WHERE lane = ",
            $number,
            " ORDER BY seq;
"
        )
    };
}

/// Step `n` leads from version `n` to `n + 1`; a new store goes through all of them. A step that has been
/// released never changes.
const STEPS: [&str; 4] = [
    "
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
",
    concat!(
        "
    -- A table for each lane: rows of one commit lie side by side at its end, so that few pages are written.
    -- A row with `through` is a tombstone, and stands for all numbers up to that one.
    ALTER TABLE verdict RENAME TO verdict_1;
",
        lane_table!("alarm", 0),
        lane_table!("verdict", 1),
        lane_table!("telemetry", 2),
        "    DROP TABLE verdict_1;

    -- From now on `last` and `bytes` are only as new as the last eviction: the newest row tells more. Numbers
    -- without a checksum are of version 1.
    ALTER TABLE lane ADD COLUMN crc INTEGER;
    ALTER TABLE mark ADD COLUMN crc INTEGER;

    -- Newest number of each lane at a running time in milliseconds, which goes on where the store was last closed:
    -- what tells how long a verdict has been in the store, whatever the clock on the wall says.
    CREATE TABLE age (
        running INTEGER PRIMARY KEY,
        alarm INTEGER NOT NULL,
        verdict INTEGER NOT NULL,
        telemetry INTEGER NOT NULL
    ) STRICT;

    -- What was sent over a link on its newest day (days since 1970).
    CREATE TABLE sent (
        link TEXT PRIMARY KEY,
        day INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
"
    ),
    "
    -- What judges have learnt, in the order in which it was saved. Open events and windows stay in `checkpoint`.
    CREATE TABLE learnt (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        crc INTEGER NOT NULL,
        state BLOB NOT NULL
    ) STRICT;
",
    // A new store has no epoch yet when it goes through this.
    "
    -- From now on checksums begin with the epoch. Up to these numbers, by lane, they do not.
    INSERT INTO meta SELECT 'unbound_alarm', CAST(coalesce(max(coalesce(through, seq)), 0) AS BLOB) FROM alarm
        HAVING EXISTS (SELECT 1 FROM meta WHERE key = 'epoch');
    INSERT INTO meta SELECT 'unbound_verdict', CAST(coalesce(max(coalesce(through, seq)), 0) AS BLOB) FROM verdict
        HAVING EXISTS (SELECT 1 FROM meta WHERE key = 'epoch');
    INSERT INTO meta SELECT 'unbound_telemetry', CAST(coalesce(max(coalesce(through, seq)), 0) AS BLOB) FROM telemetry
        HAVING EXISTS (SELECT 1 FROM meta WHERE key = 'epoch');
",
];

/// Makes the tables of a new store, in one transaction.
pub(crate) fn create(connection: &mut Connection, epoch: Epoch) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "page_size", NEW_PAGE_BYTES.cast_signed())?;
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

/// A value of the table of such.
pub(crate) fn meta(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

/// Notes such a value.
pub(crate) fn set_meta(connection: &Connection, key: &str, value: &[u8]) -> Result<(), rusqlite::Error> {
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", params![key, value]).map(|_| ())
}

/// Up to which numbers, by lane, checksums may lack the epoch; `None` where none do.
pub(crate) fn unbound(connection: &Connection) -> Result<Option<[u64; 3]>, rusqlite::Error> {
    if version(connection)? < BOUND_SINCE {
        return Ok(Some([u64::MAX; 3]));
    }
    let mut upto = None;
    for lane in Lane::ALL {
        if let Some(digits) = meta(connection, &format!("unbound_{}", lane.as_str()))? {
            let number = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok());
            upto.get_or_insert([0; 3])[lane.index()] = number.unwrap_or(0);
        }
    }
    Ok(upto)
}

/// The value by which the key of an encrypted store is known; `None` for a store that is not encrypted.
pub(crate) fn key_check(connection: &Connection) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    meta(connection, "key_check")
}

/// Notes that value: from now on the store is encrypted.
pub(crate) fn set_key_check(connection: &Connection, value: &[u8]) -> Result<(), rusqlite::Error> {
    set_meta(connection, "key_check", value)
}

/// Whether no file of the store holds plain text any more.
pub(crate) fn is_sealed(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection
        .query_row("SELECT count(*) FROM meta WHERE key = 'sealed'", [], |row| row.get::<_, i64>(0))
        .map(|it| it > 0)
}

/// Notes that.
pub(crate) fn set_sealed(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('sealed', x'01')", []).map(|_| ())
}

/// Bytes of a page of an open database.
pub(crate) fn page_bytes(connection: &Connection) -> Result<u64, rusqlite::Error> {
    connection.pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// Schema version of an open database.
pub(crate) fn version(connection: &Connection) -> Result<u32, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Epoch of an open store; `None` if it is not 128 bits.
pub(crate) fn epoch(connection: &Connection) -> Result<Option<Epoch>, rusqlite::Error> {
    Ok(meta(connection, "epoch")?.and_then(|bytes| bytes.try_into().ok()).map(Epoch))
}

/// What a file's first bytes say it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileHeader {
    /// A store of ours, of this schema version.
    Ours {
        /// Schema version.
        version: u32,
    },
    /// Was a store of ours, as far as can be seen.
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

impl FileHeader {
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

/// Writes into a header what is the same in all stores (file format, section 1.3). The size is left to the file's own:
/// that is what SQLite goes by where the two counters differ.
pub(crate) fn restore_header(head: &mut [u8], page_bytes: u32, version: u32) {
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, MAGIC);
    put(16, &page_bytes.to_be_bytes()[2..]);
    // Written and read through a log; no bytes reserved in a page; three fractions that are fixed.
    put(18, &[2, 2, 0, 64, 32, 32]);
    put(24, &1_u32.to_be_bytes());
    put(44, &4_u32.to_be_bytes());
    put(52, &[0; 4]);
    put(56, &1_u32.to_be_bytes());
    put(60, &version.to_be_bytes());
    put(64, &[0; 4]);
    put(68, &APPLICATION_ID.to_be_bytes());
    put(92, &0_u32.to_be_bytes());
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
        let check = |head: &[u8], expected| assert_eq!(FileHeader::of(head), expected, "{head:?}");
        check(&header(MAGIC, APPLICATION_ID, 1), FileHeader::Ours { version: 1 });
        check(&header(MAGIC, APPLICATION_ID, 99), FileHeader::Ours { version: 99 });
        check(&header(MAGIC, 0, 1), FileHeader::Foreign { application: Some(0) });
        check(&header(b"SQLitE format 3\0", APPLICATION_ID, 1), FileHeader::Broken);
        check(&header(b"SQLitE format 3\0", 5, 1), FileHeader::Foreign { application: None });
        check(&header(MAGIC, APPLICATION_ID, 1)[..99], FileHeader::Broken);
        check(&[0; HEADER_BYTES], FileHeader::Broken);
        check(&[], FileHeader::Broken);
        check(b"a shopping list", FileHeader::Foreign { application: None });
    }

    #[test]
    fn sqlite_has_the_fix_for_lost_checkpoints() {
        // Before 3.51.3 a checkpoint racing a reset of the write-ahead log could lose a commit.
        assert!(rusqlite::version_number() >= 3_051_003, "SQLite {}", rusqlite::version());
    }
}
