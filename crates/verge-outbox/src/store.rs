//! The store at work.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use verge_domain::id::{Epoch, Lane, RouteId, Seq};
use verge_domain::stage::{Checkpoint, NewRow, Store, StoreError, StoreUsage, StoredRow};
use verge_domain::time::UtcMillis;

use crate::evict;
use crate::fault::Fault;
use crate::open::OutboxSettings;
use crate::row::{Columns, SELECT, checkpoint_crc};
use crate::schema::PAGE_BYTES;

/// What the `lane` table says of one lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LaneState {
    /// Newest number ever given.
    pub(crate) last: u64,
    /// Bytes of all verdicts ever stored.
    pub(crate) bytes: u64,
    /// Newest number evicted: what is stored begins behind it.
    pub(crate) evicted: u64,
    /// Bytes of all verdicts evicted.
    pub(crate) evicted_bytes: u64,
}

/// The durable store. Dropping it closes it; everything committed is on the medium already.
#[derive(Debug)]
pub struct Outbox {
    connection: Connection,
    epoch: Epoch,
    settings: OutboxSettings,
    lanes: [LaneState; 3],
    /// Open routes, and up to where each has delivered every lane.
    marks: HashMap<RouteId, [u64; 3]>,
    /// Marks that are not in the database yet.
    unsaved_marks: bool,
}

impl Outbox {
    /// Takes over an open database. `None` if its tables contradict themselves.
    pub(crate) fn load(
        connection: Connection,
        epoch: Epoch,
        settings: &OutboxSettings,
    ) -> Result<Option<Self>, rusqlite::Error> {
        let Some(lanes) = read_lanes(&connection)? else { return Ok(None) };
        let settings = settings.clone();
        Ok(Some(Self { connection, epoch, settings, lanes, marks: HashMap::new(), unsaved_marks: false }))
    }

    fn try_commit(&mut self, rows: &[NewRow<'_>], checkpoints: &[Checkpoint]) -> Result<(), Fault> {
        let fault = Fault::while_doing("commit verdicts");
        let mut lanes = self.lanes;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&fault)?;
        insert_rows(&transaction, rows, &mut lanes)?;
        save_checkpoints(&transaction, checkpoints).map_err(&fault)?;
        for (lane, state) in Lane::ALL.into_iter().zip(&lanes) {
            if *state != self.lanes[lane.index()] {
                write_lane(&transaction, lane, state).map_err(&fault)?;
            }
        }
        if self.unsaved_marks {
            save_marks(&transaction, &self.marks).map_err(&fault)?;
        }
        transaction.commit().map_err(&fault)?;
        self.lanes = lanes;
        self.unsaved_marks = false;
        Ok(())
    }

    fn try_sweep(&mut self, now: Option<UtcMillis>) -> Result<u64, Fault> {
        let fault = Fault::while_doing("evict delivered verdicts");
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&fault)?;
        if self.unsaved_marks {
            save_marks(&transaction, &self.marks).map_err(&fault)?;
        }
        let lanes =
            evict::evict(&transaction, &self.lanes, &self.marks, &self.settings, now).map_err(&fault)?;
        transaction.commit().map_err(&fault)?;
        let evicted =
            lanes.iter().zip(&self.lanes).map(|(after, before)| after.evicted - before.evicted).sum();
        self.lanes = lanes;
        self.unsaved_marks = false;
        Ok(evicted)
    }

    fn full(&self) -> StoreError {
        StoreError::Full {
            used: self.used_bytes().unwrap_or(self.settings.cap_bytes),
            cap: self.settings.cap_bytes,
        }
    }

    fn used_bytes(&self) -> Result<u64, Fault> {
        let fault = Fault::while_doing("measure the store");
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = pragma("page_count").map_err(&fault)?;
        let free = pragma("freelist_count").map_err(&fault)?;
        Ok((pages - free).max(0).cast_unsigned() * PAGE_BYTES)
    }
}

fn read_lanes(connection: &Connection) -> Result<Option<[LaneState; 3]>, rusqlite::Error> {
    let mut lanes = [LaneState::default(); 3];
    let mut statement =
        connection.prepare("SELECT lane, last, bytes, evicted, evicted_bytes FROM lane ORDER BY lane")?;
    let mut rows = statement.query([])?;
    let mut found = 0;
    while let Some(row) = rows.next()? {
        let number = |column| row.get::<_, i64>(column).map(|value| u64::try_from(value).ok());
        let (Some(lane), Some(last), Some(bytes), Some(evicted), Some(evicted_bytes)) =
            (number(0)?, number(1)?, number(2)?, number(3)?, number(4)?)
        else {
            return Ok(None);
        };
        let Some(state) = usize::try_from(lane).ok().and_then(|lane| lanes.get_mut(lane)) else {
            return Ok(None);
        };
        if evicted > last || evicted_bytes > bytes {
            return Ok(None);
        }
        *state = LaneState { last, bytes, evicted, evicted_bytes };
        found += 1;
    }
    Ok((found == lanes.len()).then_some(lanes))
}

fn insert_rows(
    transaction: &Transaction<'_>,
    rows: &[NewRow<'_>],
    lanes: &mut [LaneState; 3],
) -> Result<(), Fault> {
    let fault = Fault::while_doing("commit verdicts");
    let mut insert = transaction
        .prepare_cached("INSERT INTO verdict VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
        .map_err(&fault)?;
    for row in rows {
        let state = &mut lanes[row.lane.index()];
        let expected = Seq(state.last + 1);
        if row.seq != expected {
            return Err(Fault::WrongSeq { lane: row.lane, expected, actual: row.seq });
        }
        state.last += 1;
        state.bytes += row.bytes.len() as u64;
        let columns = Columns {
            lane: row.lane,
            seq: row.seq,
            decided: row.decided,
            cause: row.cause,
            lane_bytes: state.bytes,
            bytes: row.bytes,
        };
        insert
            .execute(params![
                lane_number(row.lane),
                row.seq.0.cast_signed(),
                row.decided.0,
                row.cause.cast_signed(),
                state.bytes.cast_signed(),
                columns.crc(),
                row.bytes,
            ])
            .map_err(&fault)?;
    }
    Ok(())
}

fn save_checkpoints(
    transaction: &Transaction<'_>,
    checkpoints: &[Checkpoint],
) -> Result<(), rusqlite::Error> {
    if checkpoints.is_empty() {
        return Ok(());
    }
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO checkpoint VALUES (?1, ?2, ?3)")?;
    let mut remove = transaction.prepare_cached("DELETE FROM checkpoint WHERE key = ?1")?;
    for Checkpoint { key, state } in checkpoints {
        match state {
            Some(state) => put.execute(params![key, checkpoint_crc(key, state), state])?,
            None => remove.execute([key])?,
        };
    }
    Ok(())
}

fn save_marks(
    transaction: &Transaction<'_>,
    marks: &HashMap<RouteId, [u64; 3]>,
) -> Result<(), rusqlite::Error> {
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO mark VALUES (?1, ?2, ?3)")?;
    for (route, lanes) in marks {
        for (lane, upto) in Lane::ALL.into_iter().zip(lanes) {
            put.execute(params![route.as_str(), lane_number(lane), upto.cast_signed()])?;
        }
    }
    Ok(())
}

pub(crate) fn write_lane(
    transaction: &Transaction<'_>,
    lane: Lane,
    state: &LaneState,
) -> Result<(), rusqlite::Error> {
    transaction
        .prepare_cached(
            "UPDATE lane SET last = ?2, bytes = ?3, evicted = ?4, evicted_bytes = ?5 WHERE lane = ?1",
        )?
        .execute(params![
            lane_number(lane),
            state.last.cast_signed(),
            state.bytes.cast_signed(),
            state.evicted.cast_signed(),
            state.evicted_bytes.cast_signed(),
        ])
        .map(|_| ())
}

pub(crate) fn lane_number(lane: Lane) -> i64 {
    i64::try_from(lane.index()).expect("there are three lanes")
}

impl Store for Outbox {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn next_seq(&self, lane: Lane) -> Seq {
        Seq(self.lanes[lane.index()].last + 1)
    }

    fn commit(&mut self, rows: &[NewRow<'_>], checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        if rows.is_empty() && checkpoints.is_empty() {
            return Ok(());
        }
        match self.try_commit(rows, checkpoints) {
            Err(fault) if fault.is_full() => {}
            done => return done.map_err(StoreError::from),
        }
        // No room. The replay window is the first thing to give, then nothing is.
        match self.try_sweep(None) {
            Ok(0) => return Err(self.full()),
            Err(fault) if fault.is_full() => return Err(self.full()),
            swept => swept?,
        };
        match self.try_commit(rows, checkpoints) {
            Err(fault) if fault.is_full() => Err(self.full()),
            done => done.map_err(StoreError::from),
        }
    }

    fn fetch(
        &mut self,
        lane: Lane,
        after: Seq,
        max_rows: usize,
        max_bytes: usize,
        out: &mut Vec<StoredRow>,
    ) -> Result<(), StoreError> {
        let fault = Fault::while_doing("read verdicts");
        let state = self.lanes[lane.index()];
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(SELECT).map_err(&fault)?;
        let range = params![lane_number(lane), after.0.cast_signed(), state.last.cast_signed(), limit];
        let mut rows = statement.query(range).map_err(&fault)?;
        let mut expected = after.0.max(state.evicted) + 1;
        let mut bytes = 0;
        let start = out.len();
        while let Some(row) = rows.next().map_err(&fault)? {
            let (columns, crc) = Columns::read(lane, row).map_err(&fault)?;
            if columns.seq.0 != expected {
                out.truncate(start);
                return Err(Fault::RowMissing { lane, seq: Seq(expected) }.into());
            }
            if columns.crc() != crc {
                out.truncate(start);
                return Err(Fault::RowDamaged { lane, seq: columns.seq }.into());
            }
            bytes += columns.bytes.len();
            if bytes > max_bytes && out.len() > start {
                break;
            }
            out.push(columns.to_stored());
            expected += 1;
        }
        Ok(())
    }

    fn open_routes(&mut self, routes: &[RouteId]) -> Result<Vec<[Seq; 3]>, StoreError> {
        let fault = Fault::while_doing("open the routes");
        let mut marks: HashMap<RouteId, [u64; 3]> =
            routes.iter().map(|route| (route.clone(), [0; 3])).collect();
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&fault)?;
        {
            let mut statement = transaction.prepare("SELECT route, lane, upto FROM mark").map_err(&fault)?;
            let mut rows = statement.query([]).map_err(&fault)?;
            while let Some(row) = rows.next().map_err(&fault)? {
                let route: String = row.get(0).map_err(&fault)?;
                let lane: i64 = row.get(1).map_err(&fault)?;
                let upto: i64 = row.get(2).map_err(&fault)?;
                let lane = usize::try_from(lane).ok().and_then(Lane::from_index);
                if let (Some(lanes), Some(lane)) = (marks.get_mut(route.as_str()), lane) {
                    let last = self.lanes[lane.index()].last;
                    lanes[lane.index()] = u64::try_from(upto).unwrap_or(0).min(last);
                }
            }
        }
        transaction.execute("DELETE FROM mark", []).map_err(&fault)?;
        save_marks(&transaction, &marks).map_err(&fault)?;
        transaction.commit().map_err(&fault)?;
        self.marks = marks;
        self.unsaved_marks = false;
        Ok(routes.iter().map(|route| self.marks[route].map(Seq)).collect())
    }

    fn mark(&mut self, route: &RouteId, lane: Lane, upto: Seq) -> Result<(), StoreError> {
        let last = Seq(self.lanes[lane.index()].last);
        if upto > last {
            return Err(Fault::MarkBeyondEnd { route: route.clone(), lane, upto, last }.into());
        }
        let Some(lanes) = self.marks.get_mut(route) else {
            return Err(Fault::UnknownRoute { route: route.clone() }.into());
        };
        let mark = &mut lanes[lane.index()];
        if upto.0 > *mark {
            *mark = upto.0;
            self.unsaved_marks = true;
        }
        Ok(())
    }

    fn sweep(&mut self, now: UtcMillis) -> Result<u64, StoreError> {
        match self.try_sweep(Some(now)) {
            Err(fault) if fault.is_full() => Err(self.full()),
            done => done.map_err(StoreError::from),
        }
    }

    fn checkpoints(&mut self) -> Result<Vec<Checkpoint>, StoreError> {
        let fault = Fault::while_doing("read saved states");
        let mut statement =
            self.connection.prepare("SELECT key, crc, state FROM checkpoint ORDER BY key").map_err(&fault)?;
        let rows = statement
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i32>(1)?, row.get::<_, Vec<u8>>(2)?))
            })
            .map_err(&fault)?;
        let mut checkpoints = Vec::new();
        for row in rows {
            let (key, crc, state) = row.map_err(&fault)?;
            if checkpoint_crc(&key, &state) == crc {
                checkpoints.push(Checkpoint { key, state: Some(state) });
            } else {
                tracing::error!(key = %key.escape_debug(), "a saved state is damaged and was passed over");
            }
        }
        Ok(checkpoints)
    }

    fn recent_causes(&mut self, limit: usize) -> Result<Vec<u64>, StoreError> {
        let fault = Fault::while_doing("read the newest causes");
        let mut statement = self
            .connection
            .prepare("SELECT cause FROM verdict WHERE lane = ?1 AND seq > ?2 AND cause <> 0")
            .map_err(&fault)?;
        let span = limit as u64 / Lane::ALL.len() as u64;
        let mut causes = Vec::new();
        for lane in Lane::ALL {
            let after = self.lanes[lane.index()].last.saturating_sub(span);
            let rows = statement
                .query_map(params![lane_number(lane), after.cast_signed()], |row| row.get::<_, i64>(0))
                .map_err(&fault)?;
            for cause in rows {
                causes.push(cause.map_err(&fault)?.cast_unsigned());
            }
        }
        Ok(causes)
    }

    fn usage(&mut self) -> Result<StoreUsage, StoreError> {
        Ok(StoreUsage {
            used_bytes: self.used_bytes()?,
            cap_bytes: self.settings.cap_bytes,
            rows: self.lanes.map(|lane| lane.last - lane.evicted),
        })
    }
}
