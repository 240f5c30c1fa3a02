//! Out of a damaged store into a new one: every row that checks, tombstones for those that do not.
//!
//! The new store has a new epoch, since nobody knows which numbers the old one had given. Numbers that every route had
//! delivered are not brought over (they stay readable where the old store lies); a tombstone says so to receivers.

mod beside;

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use verge_domain::id::{Epoch, Lane, Seq};
use verge_domain::stage::Withdrawn;
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::Withdrawal;

use crate::lanes::{self, LaneState, TABLES, lane_number};
use crate::row::{Binding, INSERT, RowColumns, RowForm, SELECT, SELECT_NEWEST};
use crate::{checkpoints, run, schema};
use beside::{bring_marks, bring_table};

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

/// Which log is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogUse {
    /// The one that lies beside the database: what it says is newer.
    Own,
    /// It is another store's, or an older one: the database comes first, and of the log what the database lacks.
    Foreign,
    /// There must be none.
    Ignored,
}

/// The store that is salvaged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Old<'a> {
    pub(crate) database: &'a Path,
    pub(crate) log: LogUse,
    /// Numbers that are known to have been given, by lane.
    pub(crate) given: [u64; 3],
    /// Its epoch, where it is known from elsewhere and only content of it is to be believed.
    pub(crate) epoch: Option<Epoch>,
}

/// Brings over what can be read of a store into a new one of this epoch. Errors are those of the new store.
pub(crate) fn bring_over(
    old: &Old<'_>,
    new: &mut Connection,
    epoch: Epoch,
) -> Result<Salvaged, rusqlite::Error> {
    let mut salvaged = Salvaged::default();
    // One that cannot be opened at all still had its numbers.
    let nothing = || Connection::open_in_memory();
    let alone = open_alone(old.database).map_or_else(nothing, Ok)?;
    let whole = match old.log {
        LogUse::Own | LogUse::Foreign => open_old(old.database).map_or_else(nothing, Ok)?,
        LogUse::Ignored => nothing()?,
    };
    let (first, second) = if old.log == LogUse::Own { (&whole, &alone) } else { (&alone, &whole) };
    // Of a log that is another store's nothing checks under the epoch of the database.
    let binding = [&alone, &whole].into_iter().find_map(|view| Binding::read(view).ok().flatten());
    let known = old.epoch.map(Binding::new);
    let of_old = match (binding, known) {
        (Some(found), Some(known)) if found.seed() == known.seed() => found,
        (Some(found), None) => found,
        (_, known) => known.unwrap_or(Binding::new(epoch)),
    };
    let of_new = Binding::new(epoch);
    let marks = lanes::read_marks(first, &of_old).unwrap_or_default();
    let transaction = new.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut begins = [0; 3];
    let mut last = [0; 3];
    let mut probes = MAX_PROBES;
    for lane in Lane::ALL {
        let delivered = marks.values().map(|marks| marks[lane.index()]).min().unwrap_or(0);
        let delivered = whole_rows(first, lane, delivered.max(evicted(first, lane)), &of_old);
        let noted = noted_last(first, lane).max(old.given[lane.index()]);
        let mut copy = Copy {
            lane,
            new: &transaction,
            salvaged: &mut salvaged,
            of_old: &of_old,
            of_new: &of_new,
            second,
            next: None,
            bytes: 0,
        };
        copy.rows(first, delivered, &mut probes)?;
        begins[lane.index()] = delivered;
        last[lane.index()] = copy.finish(delivered, noted)?;
    }
    bring_marks(&transaction, &marks, &begins, &last, &of_new)?;
    salvaged.checkpoints = checkpoints::bring_over(first, &of_old, &transaction, &of_new)?;
    bring_table(first, &transaction, "sent", 3)?;
    if let Ok(Some(check)) = schema::key_check(first) {
        schema::set_key_check(&transaction, &check)?;
    }
    if let Ok(Some(old_epoch)) = schema::epoch(first)
        && let Ok(Some(life)) = run::read(first, old_epoch)
    {
        run::write(&transaction, &run::renewed(life, last, epoch))?;
    }
    transaction.commit()?;
    Ok(salvaged)
}

/// The greatest number up to `upto` at which a row ends: a tombstone is brought over whole.
fn whole_rows(old: &Connection, lane: Lane, upto: u64, binding: &Binding) -> u64 {
    let newest = old.query_row(SELECT_NEWEST[lane.index()], [upto.cast_signed()], |row| {
        Ok(RowColumns::read(lane, row, binding)?.map(|(columns, _)| (columns.seq.0, columns.through())))
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

/// Opens the database as if there were no log.
pub(crate) fn open_alone(path: &Path) -> Option<Connection> {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte))
            }
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri += "?immutable=1";
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags).ok()
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

/// One lane while it is brought over.
struct Copy<'a> {
    lane: Lane,
    new: &'a Connection,
    salvaged: &'a mut Salvaged,
    of_old: &'a Binding,
    of_new: &'a Binding,
    /// Another view of the old store, for what is missing in the first.
    second: &'a Connection,
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
            let (Ok(seq), Ok(believed)) =
                (row.get::<_, i64>(0), RowColumns::read(self.lane, row, self.of_old))
            else {
                return Ok(upto.map_or(Read::Damaged, Read::Upto));
            };
            upto = Some(seq.cast_unsigned());
            // What does not check leaves a hole, which the next one that does fills.
            if let Some((columns, form)) = believed {
                self.take(&columns, form)?;
                upto = Some(columns.through().max(seq.cast_unsigned()));
            }
        }
    }

    fn take(&mut self, columns: &RowColumns<'_>, form: RowForm) -> Result<(), rusqlite::Error> {
        let next = *self.next.get_or_insert(columns.seq.0);
        // Rows out of order, or numbers twice: pages of another time.
        if columns.seq.0 < next {
            return Ok(());
        }
        if columns.seq.0 > next {
            self.bridge(next, columns.seq.0 - 1)?;
        }
        self.insert(columns, form)?;
        self.next = Some(columns.through() + 1);
        self.bytes = columns.lane_bytes;
        Ok(())
    }

    fn insert(&mut self, columns: &RowColumns<'_>, form: RowForm) -> Result<(), rusqlite::Error> {
        let mut insert = self.new.prepare_cached(INSERT[self.lane.index()])?;
        columns.insert_as_is(form, self.of_new, &mut insert)?;
        self.salvaged.verdicts += 1;
        Ok(())
    }

    /// What the first view lacks: from the second, as far as it has it, and tombstones for the rest.
    fn bridge(&mut self, from: u64, through: u64) -> Result<(), rusqlite::Error> {
        let mut due = from;
        if let Ok(mut statement) = self.second.prepare(SELECT[self.lane.index()])
            && let Ok(mut rows) = statement.query([(from - 1).cast_signed(), through.cast_signed(), -1])
        {
            while let Ok(Some(row)) = rows.next() {
                let Ok(Some((columns, form))) = RowColumns::read(self.lane, row, self.of_old) else {
                    continue;
                };
                if columns.seq.0 < due || columns.through() > through {
                    continue;
                }
                if columns.seq.0 > due {
                    self.lose(due, columns.seq.0 - 1)?;
                }
                self.insert(&columns, form)?;
                due = columns.through() + 1;
            }
        }
        if due <= through { self.lose(due, through) } else { Ok(()) }
    }

    fn withdraw(&self, from: u64, through: u64, reason: Withdrawal) -> Result<(), rusqlite::Error> {
        let columns = RowColumns {
            lane: self.lane,
            seq: Seq(from),
            decided: UtcMillis(0),
            cause: 0,
            lane_bytes: self.bytes,
            bytes: &[],
            withdrawn: Some(Withdrawn { through: Seq(through), reason }),
        };
        let mut insert = self.new.prepare_cached(INSERT[self.lane.index()])?;
        columns.insert(None, self.of_new, &mut insert).map(|_| ())
    }

    /// What is missing at both ends, and the lane's state. Returns the last number.
    fn finish(mut self, delivered: u64, noted: u64) -> Result<u64, rusqlite::Error> {
        let last_read = self.next.map_or(delivered, |next| next - 1);
        let noted = noted.max(self.newest_of_second());
        let first = self.first_brought()?;
        if delivered > 0 {
            self.withdraw(1, delivered, Withdrawal::EarlierEpoch)?;
        }
        if let Some(first) = first.filter(|first| *first > delivered + 1) {
            self.bridge(delivered + 1, first - 1)?;
        }
        if noted > last_read {
            self.bridge(last_read + 1, noted)?;
        }
        let last = last_read.max(noted).max(delivered);
        let state = LaneState { last, bytes: self.bytes, evicted: 0, evicted_bytes: 0 };
        lanes::write(self.new, self.lane, &state, self.of_new)?;
        Ok(last)
    }

    /// The end of the other view, where its last row checks.
    fn newest_of_second(&self) -> u64 {
        let newest = self.second.query_row(SELECT_NEWEST[self.lane.index()], [i64::MAX], |row| {
            Ok(RowColumns::read(self.lane, row, self.of_old)?.map(|(columns, _)| columns.through()))
        });
        newest.ok().flatten().unwrap_or(0)
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

/// The first number behind a damaged place at which reading continues, found at growing distances and then by halves;
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
