//! Out of a damaged store into a new one: every row that checks, tombstones for those that do not.
//!
//! The new store has a new epoch, since nobody can tell which numbers the old one had given. Numbers that every route had
//! delivered are not brought over (they stay readable where the old store lies); a tombstone says so to receivers.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::Withdrawn;
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::Withdrawal;

use crate::lanes::{self, LaneState, TABLES, lane_number};
use crate::row::{Columns, INSERT, SELECT, SELECT_NEWEST};
use crate::schema;

/// Rows read at once.
const ROWS: i64 = 256;
/// Looks behind damaged places, over the whole store, at most.
const MAX_PROBES: usize = 20_000;

/// What could be brought over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Verdicts and tombstones brought over, as they were.
    pub verdicts: u64,
    /// Ranges that could not be read, both ends included.
    pub lost: Vec<(Lane, Seq, Seq)>,
    /// Saved states brought over.
    pub checkpoints: u64,
}

/// Brings over what can be read of a database. `given`: numbers that are known to have been given, by lane. Errors are
/// those of the new store.
pub(crate) fn bring_over(
    old: &Path,
    given: [u64; 3],
    new: &mut Connection,
) -> Result<Salvaged, rusqlite::Error> {
    let mut salvaged = Salvaged::default();
    // One that cannot be opened at all still had its numbers.
    let old = match open_old(old) {
        Some(old) => old,
        None => Connection::open_in_memory()?,
    };
    let marks = lanes::read_marks(&old).unwrap_or_default();
    let transaction = new.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut begins = [0; 3];
    let mut probes = MAX_PROBES;
    for lane in Lane::ALL {
        let delivered = marks.values().map(|marks| marks[lane.index()]).min().unwrap_or(0);
        let delivered = whole_rows(&old, lane, delivered.max(evicted(&old, lane)));
        let mut copy = Copy { lane, new: &transaction, salvaged: &mut salvaged, next: None, bytes: 0 };
        let noted = noted_last(&old, lane).max(given[lane.index()]);
        copy.rows(&old, delivered, &mut probes)?;
        begins[lane.index()] = copy.finish(delivered, noted)?;
    }
    bring_marks(&transaction, &marks, &begins)?;
    salvaged.checkpoints = bring_table(&old, &transaction, "checkpoint", 3)?;
    salvaged.checkpoints += bring_table(&old, &transaction, "learnt", 4)?;
    bring_table(&old, &transaction, "sent", 3)?;
    if let Ok(Some(check)) = schema::key_check(&old) {
        schema::set_key_check(&transaction, &check)?;
    }
    transaction.commit()?;
    Ok(salvaged)
}

/// The greatest number up to `upto` at which a row ends: a tombstone is brought over whole.
fn whole_rows(old: &Connection, lane: Lane, upto: u64) -> u64 {
    let newest = old.query_row(SELECT_NEWEST[lane.index()], [upto.cast_signed()], |row| {
        Ok(Columns::read(lane, row)?.map(|(columns, _)| (columns.seq.0, columns.through())))
    });
    match newest {
        Ok(Some((seq, through))) if through > upto => seq - 1,
        _ => upto,
    }
}

/// Opens it so that closing it does not fold its log in: it stays what was found.
fn open_old(path: &Path) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).ok()?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).ok()?;
    connection.pragma_update(None, "wal_autocheckpoint", 0).ok();
    let version = schema::version(&connection).ok()?;
    schema::migrate(&mut connection, version).ok()?;
    Some(connection)
}

fn noted_last(old: &Connection, lane: Lane) -> u64 {
    number_of(old, "SELECT last FROM lane WHERE lane = ?1", lane)
}

fn evicted(old: &Connection, lane: Lane) -> u64 {
    number_of(old, "SELECT evicted FROM lane WHERE lane = ?1", lane)
}

fn number_of(old: &Connection, sql: &str, lane: Lane) -> u64 {
    let number: Option<i64> = old.query_row(sql, [lane_number(lane)], |row| row.get(0)).ok();
    number.unwrap_or(0).max(0).cast_unsigned()
}

/// One lane on its way.
struct Copy<'a> {
    lane: Lane,
    new: &'a Connection,
    salvaged: &'a mut Salvaged,
    /// The number that is due; `None` before the first.
    next: Option<u64>,
    bytes: u64,
}

impl Copy<'_> {
    /// All rows after `after` that can be read, with tombstones between them.
    fn rows(&mut self, old: &Connection, after: u64, probes: &mut usize) -> Result<(), rusqlite::Error> {
        let mut after = after;
        let mut step = ROWS;
        loop {
            match self.some_rows(old, after, step)? {
                // A damaged page may lead back to where this began.
                Read::Upto(seq) if seq > after => {
                    after = seq;
                    step = ROWS;
                }
                Read::Nothing => return Ok(()),
                // One of these is behind a damaged page. One by one, up to it.
                Read::Upto(_) | Read::Damaged if step > 1 => step = 1,
                Read::Upto(_) | Read::Damaged => match next_readable(old, self.lane, after, probes) {
                    Some(seq) if seq > after + 1 => {
                        after = seq - 1;
                        step = ROWS;
                    }
                    Some(_) | None => return Ok(()),
                },
            }
        }
    }

    fn some_rows(&mut self, old: &Connection, after: u64, limit: i64) -> Result<Read, rusqlite::Error> {
        let Ok(mut statement) = old.prepare_cached(SELECT[self.lane.index()]) else {
            return Ok(Read::Damaged);
        };
        let Ok(mut rows) = statement.query([after.cast_signed(), i64::MAX, limit]) else {
            return Ok(Read::Damaged);
        };
        let mut upto = None;
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(upto.map_or(Read::Nothing, Read::Upto)),
                Err(_) => return Ok(upto.map_or(Read::Damaged, Read::Upto)),
            };
            let (Ok(seq), Ok(believed)) = (row.get::<_, i64>(0), Columns::read(self.lane, row)) else {
                return Ok(upto.map_or(Read::Damaged, Read::Upto));
            };
            upto = Some(seq.cast_unsigned());
            // What does not check leaves a hole, which the next one that does fills.
            if let Some((columns, form)) = believed {
                self.take(&columns, columns.crc(form))?;
                upto = Some(columns.through().max(seq.cast_unsigned()));
            }
        }
    }

    fn take(&mut self, columns: &Columns<'_>, crc: i32) -> Result<(), rusqlite::Error> {
        let next = *self.next.get_or_insert(columns.seq.0);
        // Rows out of order, or numbers twice: pages of another time.
        if columns.seq.0 < next {
            return Ok(());
        }
        if columns.seq.0 > next {
            self.withdraw(next, columns.seq.0 - 1, Withdrawal::Damaged)?;
            self.salvaged.lost.push((self.lane, Seq(next), Seq(columns.seq.0 - 1)));
        }
        let mut insert = self.new.prepare_cached(INSERT[self.lane.index()])?;
        columns.insert_as_is(crc, &mut insert)?;
        self.next = Some(columns.through() + 1);
        self.bytes = columns.lane_bytes;
        self.salvaged.verdicts += 1;
        Ok(())
    }

    fn withdraw(&self, from: u64, through: u64, reason: Withdrawal) -> Result<(), rusqlite::Error> {
        let columns = Columns {
            lane: self.lane,
            seq: Seq(from),
            decided: UtcMillis(0),
            cause: 0,
            lane_bytes: self.bytes,
            bytes: &[],
            withdrawn: Some(Withdrawn { through: Seq(through), reason }),
        };
        let mut insert = self.new.prepare_cached(INSERT[self.lane.index()])?;
        columns.insert(None, &mut insert).map(|_| ())
    }

    /// Tombstones for what is missing at both ends, and the lane's state. Returns up to where the routes that were
    /// behind begin: at zero, so that they deliver the tombstone.
    fn finish(mut self, delivered: u64, noted: u64) -> Result<u64, rusqlite::Error> {
        let last_read = self.next.map_or(delivered, |next| next - 1);
        let first = self.first_brought()?;
        if delivered > 0 {
            self.withdraw(1, delivered, Withdrawal::EarlierEpoch)?;
        }
        if let Some(first) = first.filter(|first| *first > delivered + 1) {
            self.lose(delivered + 1, first - 1)?;
        }
        if noted > last_read {
            self.lose(last_read + 1, noted)?;
        }
        let last = last_read.max(noted).max(delivered);
        let state = LaneState { last, bytes: self.bytes, evicted: 0, evicted_bytes: 0 };
        lanes::write(self.new, self.lane, &state)?;
        Ok(delivered)
    }

    fn first_brought(&self) -> Result<Option<u64>, rusqlite::Error> {
        let sql = format!("SELECT min(seq) FROM {}", TABLES[self.lane.index()]);
        let first: Option<i64> = self.new.query_row(&sql, [], |row| row.get(0))?;
        Ok(first.map(i64::cast_unsigned))
    }

    fn lose(&mut self, from: u64, through: u64) -> Result<(), rusqlite::Error> {
        self.withdraw(from, through, Withdrawal::Damaged)?;
        self.salvaged.lost.push((self.lane, Seq(from), Seq(through)));
        Ok(())
    }
}

enum Read {
    Upto(u64),
    Nothing,
    Damaged,
}

/// The first number behind a damaged place at which reading goes on, found at growing distances and then by halves;
/// `None` if nothing is there.
fn next_readable(old: &Connection, lane: Lane, after: u64, probes: &mut usize) -> Option<u64> {
    let sql = format!("SELECT seq FROM {} WHERE seq >= ?1 ORDER BY seq LIMIT 1", TABLES[lane.index()]);
    // What stands from there on, unless that is damaged; the outer `None` gives up.
    let mut probe = |from: u64| -> Option<Result<Option<u64>, rusqlite::Error>> {
        *probes = probes.checked_sub(1)?;
        let found: Result<Option<i64>, _> =
            old.query_row(&sql, [from.cast_signed()], |row| row.get(0)).optional();
        Some(found.map(|seq| seq.map(i64::cast_unsigned)))
    };
    let (mut damaged, mut distance) = (after + 1, 1_u64);
    let mut readable = loop {
        let from = after.saturating_add(1).saturating_add(distance);
        if from > i64::MAX.cast_unsigned() / 2 {
            return None;
        }
        match probe(from)? {
            Ok(_) => break from,
            Err(_) => damaged = from,
        }
        distance *= 2;
    };
    while readable - damaged > 1 {
        let middle = damaged + (readable - damaged) / 2;
        match probe(middle)? {
            Ok(_) => readable = middle,
            Err(_) => damaged = middle,
        }
    }
    probe(readable)?.ok().flatten()
}

/// Routes go on where they were; those that were behind all others begin anew, so that receivers are told which numbers
/// belong to the earlier epoch.
fn bring_marks(
    new: &Connection,
    marks: &HashMap<String, [u64; 3]>,
    begins: &[u64; 3],
) -> Result<(), rusqlite::Error> {
    let mut put = new.prepare_cached("INSERT INTO mark (route, lane, upto) VALUES (?1, ?2, ?3)")?;
    for (route, lanes) in marks {
        for lane in Lane::ALL {
            let (mark, begin) = (lanes[lane.index()], begins[lane.index()]);
            let upto = if mark <= begin { 0 } else { mark };
            put.execute(params![route, lane_number(lane), upto.cast_signed()])?;
        }
    }
    Ok(())
}

/// Rows of a small table as they are, as far as they can be read. Says how many.
fn bring_table(
    old: &Connection,
    new: &Connection,
    table: &str,
    columns: usize,
) -> Result<u64, rusqlite::Error> {
    let places: Vec<String> = (1..=columns).map(|place| format!("?{place}")).collect();
    let mut put = new.prepare(&format!("INSERT OR REPLACE INTO {table} VALUES ({})", places.join(", ")))?;
    let Ok(mut statement) = old.prepare(&format!("SELECT * FROM {table}")) else { return Ok(0) };
    let Ok(mut rows) = statement.query([]) else { return Ok(0) };
    let mut brought = 0;
    while let Ok(Some(row)) = rows.next() {
        let values: Result<Vec<rusqlite::types::Value>, _> =
            (0..columns).map(|column| row.get(column)).collect();
        let Ok(values) = values else { continue };
        brought += u64::from(put.execute(rusqlite::params_from_iter(values)).is_ok());
    }
    Ok(brought)
}
