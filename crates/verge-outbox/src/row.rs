//! One stored row, verdict or tombstone: its tables' statements, its checksum, reading it back.

use bytes::Bytes;
use rusqlite::{Row, Statement, ToSql};
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{StoredRow, Withdrawn};
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::Withdrawal;

use crate::key::Cipher;

/// The same statement for the table of each lane.
macro_rules! per_lane {
    ($before:literal, $after:literal) => {
        [
            concat!($before, "alarm", $after),
            concat!($before, "verdict", $after),
            concat!($before, "telemetry", $after),
        ]
    };
}
pub(crate) use per_lane;

/// Reads the columns that [`Columns::read`] takes: after ?1 up to ?2, at most ?3 rows.
pub(crate) const SELECT: [&str; 3] = per_lane!(
    "SELECT seq, decided, cause, lane_bytes, crc, bytes, through, reason FROM ",
    " WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3"
);
/// The same of the newest row up to ?1.
pub(crate) const SELECT_NEWEST: [&str; 3] = per_lane!(
    "SELECT seq, decided, cause, lane_bytes, crc, bytes, through, reason FROM ",
    " WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1"
);
/// Takes the columns in the order of the table, see [`Columns::insert`].
pub(crate) const INSERT: [&str; 3] = per_lane!("INSERT INTO ", " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");

/// What the first byte under a row's checksum says beside the lane: that the bytes are sealed.
const SEALED: u8 = 0x80;
/// Likewise: that the row is a tombstone.
const TOMBSTONE: u8 = 0x40;

/// One row as it stands in the database, not yet believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns<'a> {
    pub(crate) lane: Lane,
    pub(crate) seq: Seq,
    pub(crate) decided: UtcMillis,
    /// Fingerprint of the causing message; zero in a tombstone.
    pub(crate) cause: u64,
    /// Bytes of all verdicts of the lane ever stored up to the last that this row stands for.
    pub(crate) lane_bytes: u64,
    /// As stored: sealed in an encrypted store.
    pub(crate) bytes: &'a [u8],
    pub(crate) withdrawn: Option<Withdrawn>,
}

/// What a row's bytes are, as its checksum says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Sealed,
}

impl<'a> Columns<'a> {
    /// Takes a row of [`SELECT`] whose checksum is right; `None` if it is not.
    pub(crate) fn read(lane: Lane, row: &'a Row<'_>) -> Result<Option<(Self, Form)>, rusqlite::Error> {
        let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned());
        let number = |column| row.get_ref(column)?.as_i64().map_err(rusqlite::Error::from);
        let columns = (|| {
            let withdrawn = match (row.get_ref(6)?.as_i64_or_null()?, row.get_ref(7)?.as_i64_or_null()?) {
                (Some(through), Some(reason)) => Some((through, reason)),
                _ => None,
            };
            Ok::<_, rusqlite::Error>((
                UtcMillis(number(1)?),
                number(2)?,
                number(3)?,
                number(4)?,
                row.get_ref(5)?.as_blob()?,
                withdrawn,
            ))
        })();
        // A value of another type is damage like any other.
        let Ok((decided, cause, lane_bytes, crc, bytes, withdrawn)) = columns else { return Ok(None) };
        let withdrawn = match withdrawn {
            None => None,
            Some((through, reason)) => match u64::try_from(reason).ok().and_then(Withdrawal::from_code) {
                None => return Ok(None),
                Some(reason) => Some(Withdrawn { through: Seq(through.cast_unsigned()), reason }),
            },
        };
        let (cause, lane_bytes) = (cause.cast_unsigned(), lane_bytes.cast_unsigned());
        let columns = Self { lane, seq, decided, cause, lane_bytes, bytes, withdrawn };
        Ok(columns.form(crc).map(|form| (columns, form)))
    }

    /// The same with other bytes, which may live shorter.
    pub(crate) fn with_bytes(self, bytes: &[u8]) -> Columns<'_> {
        Columns { bytes, ..self }
    }

    /// The last number that the row stands for.
    pub(crate) fn through(&self) -> u64 {
        self.withdrawn.map_or(self.seq.0, |withdrawn| withdrawn.through.0)
    }

    /// What the bytes are, if this is the row's checksum.
    pub(crate) fn form(&self, crc: i64) -> Option<Form> {
        [Form::Plain, Form::Sealed].into_iter().find(|&form| i64::from(self.crc(form)) == crc)
    }

    /// Everything but the bytes, in order, numbers little-endian: what the checksum begins with, and what sealed
    /// bytes are bound to.
    fn head(&self, form: Form) -> ([u8; 42], usize) {
        let mut head = [0; 42];
        let lane = u8::try_from(self.lane.index()).expect("there are three lanes");
        head[0] = lane | if form == Form::Sealed { SEALED } else { 0 };
        head[1..9].copy_from_slice(&self.seq.0.to_le_bytes());
        head[9..17].copy_from_slice(&self.decided.0.to_le_bytes());
        head[17..25].copy_from_slice(&self.cause.to_le_bytes());
        head[25..33].copy_from_slice(&self.lane_bytes.to_le_bytes());
        let Some(withdrawn) = self.withdrawn else { return (head, 33) };
        head[0] |= TOMBSTONE;
        head[33..41].copy_from_slice(&withdrawn.through.0.to_le_bytes());
        head[41] = withdrawn.reason.code();
        (head, 42)
    }

    /// CRC-32C (RFC 3720, appendix B.4) over every column. Signed, because SQLite stores that in four bytes.
    pub(crate) fn crc(&self, form: Form) -> i32 {
        let (head, length) = self.head(form);
        crc32c::crc32c_append(crc32c::crc32c(&head[..length]), self.bytes).cast_signed()
    }

    /// The bytes as they are stored where there is a key.
    pub(crate) fn seal(&self, cipher: &Cipher) -> Vec<u8> {
        let (head, length) = self.head(Form::Sealed);
        cipher.seal(&head[..length], self.bytes)
    }

    /// Copies the row out; `None` if it is sealed and does not open.
    pub(crate) fn to_stored(self, form: Form, cipher: Option<&Cipher>) -> Option<StoredRow> {
        let bytes = match form {
            Form::Plain => Bytes::copy_from_slice(self.bytes),
            Form::Sealed => {
                let (head, length) = self.head(form);
                Bytes::from(cipher?.open(&head[..length], self.bytes)?)
            }
        };
        Some(StoredRow { seq: self.seq, decided: self.decided, bytes, withdrawn: self.withdrawn })
    }

    /// Seals the row where there is a key, and inserts it with its checksum by a statement like [`INSERT`].
    pub(crate) fn insert(
        &self,
        cipher: Option<&Cipher>,
        statement: &mut Statement<'_>,
    ) -> Result<(), rusqlite::Error> {
        match cipher {
            None => self.insert_as_is(self.crc(Form::Plain), statement),
            Some(cipher) => {
                let sealed = self.seal(cipher);
                let columns = self.with_bytes(&sealed);
                columns.insert_as_is(columns.crc(Form::Sealed), statement)
            }
        }
    }

    /// Inserts the row with this checksum.
    pub(crate) fn insert_as_is(
        &self,
        crc: i32,
        statement: &mut Statement<'_>,
    ) -> Result<(), rusqlite::Error> {
        let through = self.withdrawn.map(|withdrawn| withdrawn.through.0.cast_signed());
        let reason = self.withdrawn.map(|withdrawn| withdrawn.reason.code());
        let columns: [&dyn ToSql; 8] = [
            &self.seq.0.cast_signed(),
            &self.decided.0,
            &self.cause.cast_signed(),
            &self.lane_bytes.cast_signed(),
            &crc,
            &self.bytes,
            &through,
            &reason,
        ];
        statement.execute(&columns[..]).map(|_| ())
    }
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
            withdrawn: None,
        };
        let through = |through, reason| Some(Withdrawn { through: Seq(through), reason });
        let tombstone = Columns { withdrawn: through(9, Withdrawal::Full), ..row };
        let check = |row: &Columns<'_>, other: Columns<'_>| {
            assert_ne!(row.crc(Form::Plain), other.crc(Form::Plain), "{other:?}");
        };
        for row in [row, tombstone] {
            check(&row, Columns { lane: Lane::Alarm, ..row });
            check(&row, Columns { seq: Seq(8), ..row });
            check(&row, Columns { decided: UtcMillis(0), ..row });
            check(&row, Columns { cause: 0, ..row });
            check(&row, Columns { lane_bytes: 561, ..row });
            check(&row, Columns { bytes: b"contenT", ..row });
            check(&row, Columns { withdrawn: through(10, Withdrawal::Full), ..row });
            check(&row, Columns { withdrawn: through(9, Withdrawal::Expired), ..row });
            assert_ne!(row.crc(Form::Plain), row.crc(Form::Sealed));
            assert_eq!(row.form(row.crc(Form::Sealed).into()), Some(Form::Sealed));
        }
        check(&row, tombstone);
        // As stores of schema version 1 have it.
        assert_eq!(row.crc(Form::Plain), 1_104_599_756);
    }
}
