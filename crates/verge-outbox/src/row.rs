//! One stored row, verdict or tombstone: its tables' statements, its checksum, reading it back.

use bytes::Bytes;
use rusqlite::{Connection, Row, Statement, ToSql};
use verge_domain::id::{Epoch, Lane, Seq};
use verge_domain::stage::{StoredRow, Withdrawn};
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::Withdrawal;

use crate::key::Cipher;
use crate::schema;

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

/// Reads the columns that [`RowColumns::read`] takes: after ?1 up to ?2, at most ?3 rows.
pub(crate) const SELECT: [&str; 3] = per_lane!(
    "SELECT seq, decided, cause, lane_bytes, crc, bytes, through, reason FROM ",
    " WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3"
);
/// The same of the newest row up to ?1.
pub(crate) const SELECT_NEWEST: [&str; 3] = per_lane!(
    "SELECT seq, decided, cause, lane_bytes, crc, bytes, through, reason FROM ",
    " WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1"
);
/// Takes the columns in the order of the table, see [`RowColumns::insert`].
pub(crate) const INSERT: [&str; 3] = per_lane!("INSERT INTO ", " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");

/// What the first byte under a row's checksum says beside the lane: that the bytes are sealed.
const SEALED: u8 = 0x80;
/// The same for: the row is a tombstone.
const TOMBSTONE: u8 = 0x40;

/// What all checksums of a store begin with: its epoch. Content of another store, or of another life of this one,
/// does not check here, wherever it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    seed: u32,
    /// Set in a store that was made before schema version 3: numbers up to these, by lane, may have checksums without
    /// the epoch, and so may marks and saved states.
    unbound: Option<[u64; 3]>,
}

impl Binding {
    /// That of a store made by this program.
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { seed: crc32c::crc32c(&epoch.0), unbound: None }
    }

    /// That of an open database; `None` if it does not say its epoch.
    pub(crate) fn read(connection: &Connection) -> Result<Option<Self>, rusqlite::Error> {
        let Some(epoch) = schema::epoch(connection)? else { return Ok(None) };
        Ok(Some(Self { unbound: schema::unbound(connection)?, ..Self::new(epoch) }))
    }

    /// Whether content without a number (marks, saved states) may have a checksum without the epoch.
    pub(crate) fn takes_unbound(&self) -> bool {
        self.unbound.is_some()
    }

    /// The checksum of some content continues from here.
    pub(crate) fn seed(&self) -> u32 {
        self.seed
    }

    /// What a checksum may begin with, under a number of a lane.
    fn seeds(&self, lane: Lane, seq: Seq) -> impl Iterator<Item = u32> + use<> {
        let unbound = self.unbound.is_some_and(|upto| seq.0 <= upto[lane.index()]);
        std::iter::once(self.seed).chain(unbound.then_some(0))
    }
}

/// One row as it stands in the database, not yet believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowColumns<'a> {
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
pub(crate) enum RowForm {
    Plain,
    Sealed,
}

impl<'a> RowColumns<'a> {
    /// Takes a row of [`SELECT`] whose checksum is right; `None` if it is not.
    pub(crate) fn read(
        lane: Lane,
        row: &'a Row<'_>,
        binding: &Binding,
    ) -> Result<Option<(Self, RowForm)>, rusqlite::Error> {
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
        Ok(columns.form(crc, binding).map(|form| (columns, form)))
    }

    /// The same with other bytes, which may live shorter.
    pub(crate) fn with_bytes(self, bytes: &[u8]) -> RowColumns<'_> {
        RowColumns { bytes, ..self }
    }

    /// The last number that the row stands for.
    pub(crate) fn through(&self) -> u64 {
        self.withdrawn.map_or(self.seq.0, |withdrawn| withdrawn.through.0)
    }

    /// What the bytes are, if this is the row's checksum.
    pub(crate) fn form(&self, crc: i64, binding: &Binding) -> Option<RowForm> {
        let mut forms = binding
            .seeds(self.lane, self.seq)
            .flat_map(|seed| [(seed, RowForm::Plain), (seed, RowForm::Sealed)]);
        forms.find(|&(seed, form)| i64::from(self.crc(form, seed)) == crc).map(|(_, form)| form)
    }

    /// Everything but the bytes, in order, numbers little-endian: what the checksum begins with, and what sealed
    /// bytes are bound to.
    fn head(&self, form: RowForm) -> ([u8; 42], usize) {
        let mut head = [0; 42];
        let lane = u8::try_from(self.lane.index()).expect("there are three lanes");
        head[0] = lane | if form == RowForm::Sealed { SEALED } else { 0 };
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

    /// CRC-32C (RFC 3720, appendix B.4) over the epoch and every column. Signed, because SQLite stores that in four
    /// bytes.
    fn crc(&self, form: RowForm, seed: u32) -> i32 {
        let (head, length) = self.head(form);
        crc32c::crc32c_append(crc32c::crc32c_append(seed, &head[..length]), self.bytes).cast_signed()
    }

    /// The bytes as they are stored where there is a key.
    pub(crate) fn seal(&self, cipher: &Cipher) -> Vec<u8> {
        let (head, length) = self.head(RowForm::Sealed);
        cipher.seal(&head[..length], self.bytes)
    }

    /// Copies the row out; `None` if it is sealed and does not open.
    pub(crate) fn to_stored(self, form: RowForm, cipher: Option<&Cipher>) -> Option<StoredRow> {
        let bytes = match form {
            RowForm::Plain => Bytes::copy_from_slice(self.bytes),
            RowForm::Sealed => {
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
        binding: &Binding,
        statement: &mut Statement<'_>,
    ) -> Result<(), rusqlite::Error> {
        match cipher {
            None => self.insert_as_is(RowForm::Plain, binding, statement),
            Some(cipher) => {
                let sealed = self.seal(cipher);
                self.with_bytes(&sealed).insert_as_is(RowForm::Sealed, binding, statement)
            }
        }
    }

    /// Inserts the row, whose bytes are of this form, with its checksum.
    pub(crate) fn insert_as_is(
        &self,
        form: RowForm,
        binding: &Binding,
        statement: &mut Statement<'_>,
    ) -> Result<(), rusqlite::Error> {
        let crc = self.crc(form, binding.seed);
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
        let row = RowColumns {
            lane: Lane::Verdict,
            seq: Seq(7),
            decided: UtcMillis(1_700_000_000_000),
            cause: 0xdead_beef,
            lane_bytes: 560,
            bytes: b"content",
            withdrawn: None,
        };
        let through = |through, reason| Some(Withdrawn { through: Seq(through), reason });
        let tombstone = RowColumns { withdrawn: through(9, Withdrawal::Full), ..row };
        let check = |row: &RowColumns<'_>, other: RowColumns<'_>| {
            assert_ne!(row.crc(RowForm::Plain, 0), other.crc(RowForm::Plain, 0), "{other:?}");
        };
        for row in [row, tombstone] {
            check(&row, RowColumns { lane: Lane::Alarm, ..row });
            check(&row, RowColumns { seq: Seq(8), ..row });
            check(&row, RowColumns { decided: UtcMillis(0), ..row });
            check(&row, RowColumns { cause: 0, ..row });
            check(&row, RowColumns { lane_bytes: 561, ..row });
            check(&row, RowColumns { bytes: b"contenT", ..row });
            check(&row, RowColumns { withdrawn: through(10, Withdrawal::Full), ..row });
            check(&row, RowColumns { withdrawn: through(9, Withdrawal::Expired), ..row });
            assert_ne!(row.crc(RowForm::Plain, 0), row.crc(RowForm::Sealed, 0));
            let binding = Binding::new(Epoch([3; 16]));
            let old = Binding { unbound: Some([0, 7, 0]), ..binding };
            let sealed = |seed| i64::from(row.crc(RowForm::Sealed, seed));
            assert_eq!(row.form(sealed(binding.seed), &binding), Some(RowForm::Sealed));
            assert_eq!(row.form(sealed(0), &binding), None, "the epoch is part of it");
            assert_eq!(row.form(sealed(Binding::new(Epoch([4; 16])).seed), &binding), None);
            assert_eq!(row.form(sealed(0), &old), Some(RowForm::Sealed), "as an older program wrote it");
            let newer = RowColumns { seq: Seq(8), ..row };
            assert_eq!(newer.form(newer.crc(RowForm::Sealed, 0).into(), &old), None, "only up to there");
        }
        check(&row, tombstone);
        // As stores of schema version 1 have it.
        assert_eq!(row.crc(RowForm::Plain, 0), 1_104_599_756);
    }
}
