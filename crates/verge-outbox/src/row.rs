//! One stored verdict: its checksum, and reading it back.

use bytes::Bytes;
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::StoredRow;
use verge_domain::time::UtcMillis;

/// Reads the columns that [`Columns::check`] takes, in a range of one lane (?1), after ?2 up to ?3, at most
/// ?4 rows.
pub(crate) const SELECT: &str = "
    SELECT seq, decided, cause, lane_bytes, crc, bytes FROM verdict
    WHERE lane = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4";

/// One row as it stands in the database, not yet believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns<'a> {
    pub(crate) lane: Lane,
    pub(crate) seq: Seq,
    pub(crate) decided: UtcMillis,
    pub(crate) cause: u64,
    pub(crate) lane_bytes: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Columns<'a> {
    /// Takes a row of [`SELECT`], and the checksum stored with it.
    pub(crate) fn read(lane: Lane, row: &'a rusqlite::Row<'_>) -> Result<(Self, i32), rusqlite::Error> {
        let columns = Self {
            lane,
            seq: Seq(row.get::<_, i64>(0)?.cast_unsigned()),
            decided: UtcMillis(row.get(1)?),
            cause: row.get::<_, i64>(2)?.cast_unsigned(),
            lane_bytes: row.get::<_, i64>(3)?.cast_unsigned(),
            bytes: row.get_ref(5)?.as_blob()?,
        };
        Ok((columns, row.get(4)?))
    }

    /// CRC-32C (RFC 3720, appendix B.4) over every column in order, numbers little-endian. Signed, because
    /// SQLite stores that in four bytes.
    pub(crate) fn crc(&self) -> i32 {
        let mut head = [0; 33];
        let lane = u8::try_from(self.lane.index()).expect("there are three lanes");
        head[0] = lane;
        head[1..9].copy_from_slice(&self.seq.0.to_le_bytes());
        head[9..17].copy_from_slice(&self.decided.0.to_le_bytes());
        head[17..25].copy_from_slice(&self.cause.to_le_bytes());
        head[25..33].copy_from_slice(&self.lane_bytes.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c(&head), self.bytes).cast_signed()
    }

    /// Copies the row out.
    pub(crate) fn to_stored(self) -> StoredRow {
        StoredRow { seq: self.seq, decided: self.decided, bytes: Bytes::copy_from_slice(self.bytes) }
    }
}

/// Checksum of a saved state, with its key.
pub(crate) fn checkpoint_crc(key: &str, state: &[u8]) -> i32 {
    crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), state).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_covers_every_column() {
        let row = Columns {
            lane: Lane::Verdict,
            seq: Seq(7),
            decided: UtcMillis(1_700_000_000_000),
            cause: 0xdead_beef,
            lane_bytes: 560,
            bytes: b"content",
        };
        let check = |other: Columns<'_>| assert_ne!(row.crc(), other.crc(), "{other:?}");
        check(Columns { lane: Lane::Alarm, ..row });
        check(Columns { seq: Seq(8), ..row });
        check(Columns { decided: UtcMillis(0), ..row });
        check(Columns { cause: 0, ..row });
        check(Columns { lane_bytes: 561, ..row });
        check(Columns { bytes: b"contenT", ..row });
        assert_eq!(row.crc(), row.clone().crc());
    }
}
