//! Whether a store is what it should be: read, never changed, beside a running gateway or on a copy.

use std::path::PathBuf;

use rusqlite::Connection;
use verge_domain::id::{Lane, Seq};

use crate::fault::StoreFault;
use crate::key::Cipher;
use crate::plain::Texts;
use crate::reader::{OutboxReader, ReadError, SNAPSHOT_ROWS};
use crate::row::{Binding, RowColumns, RowForm, SELECT};
use crate::{checkpoints, lanes, plain, schema};

/// Faults of a kind that are listed; more are only counted.
const LISTED: usize = 100;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Verdicts and tombstones that check.
    pub sound: u64,
    /// Ranges whose rows are damaged or missing, both ends included; the first hundred.
    pub faulty: Vec<(Lane, Seq, Seq)>,
    /// Numbers in such ranges.
    pub faulty_numbers: u64,
    /// What SQLite says of the file's structure, where it finds fault with it; the first hundred lines.
    pub structure: Vec<String>,
    /// What the tables contradict each other in.
    pub contradictions: Vec<String>,
    /// Of an encrypted store: where its files still hold plain text. A gateway that starts on it takes it out.
    pub plain: Vec<String>,
    /// Beside an encrypted store: copies that hold plain text, or may. They do not make it unsound.
    pub plain_copies: Vec<PathBuf>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faulty_numbers == 0
            && self.structure.is_empty()
            && self.contradictions.is_empty()
            && self.plain.is_empty()
    }

    fn note_faulty(&mut self, lane: Lane, from: u64, through: u64) {
        self.faulty_numbers += through - from + 1;
        if let Some((last_lane, _, end)) = self.faulty.last_mut()
            && *last_lane == lane
            && end.0 + 1 == from
        {
            *end = Seq(through);
        } else if self.faulty.len() < LISTED {
            self.faulty.push((lane, Seq(from), Seq(through)));
        }
    }
}

impl OutboxReader {
    /// Looks at the structure of the file, at every row's checksum, and at what the tables say of each other.
    ///
    /// # Errors
    /// The store cannot be read at all; what is wrong with it stands in the report.
    pub fn verify(&mut self) -> Result<VerifyReport, ReadError> {
        let fault = StoreFault::while_doing("check the store");
        let mut report = VerifyReport::default();
        let connection = self.connection();
        let mut check = connection.prepare("PRAGMA integrity_check(100)").map_err(&fault)?;
        let lines = check.query_map([], |row| row.get::<_, String>(0)).map_err(&fault)?;
        for line in lines {
            match line {
                Ok(line) if line == "ok" => {}
                Ok(line) => report.structure.push(line),
                Err(error) => {
                    report.structure.push(error.to_string());
                    break;
                }
            }
        }
        drop(check);
        let mut texts = Texts::default();
        let states = lanes::read(connection, &self.binding).unwrap_or_default();
        if states.is_none() {
            report
                .contradictions
                .push("what is noted of the lanes does not agree with their rows".to_owned());
        }
        for lane in Lane::ALL {
            let state = states.map_or_else(Default::default, |states| states[lane.index()]);
            let mut expected = state.evicted + 1;
            for row in self.rows(lane, Seq(1), Seq(u64::MAX >> 1)) {
                match row {
                    Ok(row) => {
                        if row.seq.0 > expected {
                            report.note_faulty(lane, expected, row.seq.0 - 1);
                        }
                        expected = row.through().0 + 1;
                        report.sound += 1;
                        texts.add(&row.bytes);
                    }
                    Err(StoreFault::RowDamaged { seq, .. }) => {
                        if seq.0 > expected {
                            report.note_faulty(lane, expected, seq.0 - 1);
                        }
                        report.note_faulty(lane, seq.0, seq.0);
                        expected = seq.0 + 1;
                    }
                    Err(other) => {
                        report.contradictions.push(format!("lane {lane} behind {}: {other}", expected - 1));
                        break;
                    }
                }
            }
            if expected <= state.last {
                report.note_faulty(lane, expected, state.last);
            }
        }
        for (route, marks) in lanes::read_marks(self.connection(), &self.binding).map_err(&fault)? {
            for lane in Lane::ALL {
                let last = states.map_or(u64::MAX, |states| states[lane.index()].last);
                if marks[lane.index()] > last {
                    report.contradictions.push(format!("route {route} is ahead of lane {lane}"));
                }
            }
        }
        if let Some(cipher) = self.cipher() {
            self.look_for_plain_text(cipher, texts, &mut report)?;
        }
        Ok(report)
    }

    /// Everything must be sealed, the second mark must stand, and the texts must not be found in the files.
    fn look_for_plain_text(
        &self,
        cipher: &Cipher,
        mut texts: Texts,
        report: &mut VerifyReport,
    ) -> Result<(), ReadError> {
        let fault = StoreFault::while_doing("look for plain text");
        let connection = self.connection();
        if !schema::is_sealed(connection).map_err(&fault)? {
            report.plain.push("its encryption was interrupted and is unfinished".to_owned());
        }
        let rows = plain_rows(connection, &self.binding).map_err(&fault)?;
        let states = checkpoints::plain(connection, &self.binding).map_err(&fault)?;
        for (count, what) in [(rows, "verdicts and tombstones"), (states, "saved states")] {
            if count > 0 {
                report.plain.push(format!("{count} {what} are stored in plain text"));
            }
        }
        let named = |key: String, _| texts.add(key.as_bytes());
        checkpoints::each(connection, Some(cipher), &self.binding, named, |_| ()).map_err(&fault)?;
        texts.without_names(connection).map_err(&fault)?;
        let page_bytes = schema::page_bytes(connection).map_err(&fault)?;
        let path = self.files().database();
        let io = |source| ReadError::Io { path: path.clone(), source };
        report.plain.extend(texts.look(&path, page_bytes).map_err(io)?);
        report.plain_copies = plain::copies(self.files()).map_err(io)?;
        Ok(())
    }
}

/// How many rows are stored in plain text; counted in short snapshots.
fn plain_rows(connection: &Connection, binding: &Binding) -> Result<u64, rusqlite::Error> {
    let mut plain = 0;
    for lane in Lane::ALL {
        let mut statement = connection.prepare(SELECT[lane.index()])?;
        let mut after = Some(0_i64);
        while let Some(from) = after.take() {
            let mut rows = statement.query([from, i64::MAX, SNAPSHOT_ROWS])?;
            while let Some(row) = rows.next()? {
                after = Some(row.get(0)?);
                let form = RowColumns::read(lane, row, binding)?.map(|(_, form)| form);
                plain += u64::from(form == Some(RowForm::Plain));
            }
        }
    }
    Ok(plain)
}
