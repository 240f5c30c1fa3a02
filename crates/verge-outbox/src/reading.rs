//! Reading rows back, in order, none of them unseen: what is damaged or missing is withdrawn meanwhile.

use std::fs;

use rusqlite::params;
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Overdue, StoreError, StoredRow, Withdrawn};
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::Withdrawal;

use crate::fault::StoreFault;
use crate::row::{RowColumns, SELECT, SELECT_NEWEST, per_lane};
use crate::store::Outbox;

const RAW: [&str; 3] = per_lane!("SELECT bytes FROM ", " WHERE seq = ?1");
const FIRST_VERDICT: [&str; 3] =
    per_lane!("SELECT min(seq) FROM ", " WHERE seq > ?1 AND seq <= ?2 AND through IS NULL");
const FIRST_TOMBSTONE: [&str; 3] =
    per_lane!("SELECT min(seq) FROM ", " WHERE seq > ?1 AND seq <= ?2 AND through IS NOT NULL");

/// A place where something that must be stored is not, or is not what it was.
struct Hole {
    from: u64,
    through: u64,
    is_missing: bool,
}

impl Outbox {
    pub(crate) fn read_rows(
        &mut self,
        lane: Lane,
        after: Seq,
        max_rows: usize,
        max_bytes: usize,
        out: &mut Vec<StoredRow>,
    ) -> Result<(), StoreError> {
        let start = out.len();
        loop {
            let hole = match self.try_read(lane, after.0, max_rows, max_bytes, out) {
                Ok(None) => return Ok(()),
                Ok(Some(hole)) => hole,
                Err(fault) => {
                    out.truncate(start);
                    return self.judge(Err(fault));
                }
            };
            out.truncate(start);
            self.fill(lane, &hole)?;
        }
    }

    /// Reads up to the bounds, or up to the first hole.
    fn try_read(
        &self,
        lane: Lane,
        after: u64,
        max_rows: usize,
        max_bytes: usize,
        out: &mut Vec<StoredRow>,
    ) -> Result<Option<Hole>, StoreFault> {
        let fault = StoreFault::while_doing("read verdicts");
        let state = self.lanes[lane.index()];
        // A tombstone's range may begin before.
        let mut after = after.max(state.evicted);
        if after > state.evicted && after < state.last {
            let mut newest = self.connection.prepare_cached(SELECT_NEWEST[lane.index()]).map_err(&fault)?;
            let mut rows = newest.query([after.cast_signed()]).map_err(&fault)?;
            if let Some(row) = rows.next().map_err(&fault)? {
                let believed = RowColumns::read(lane, row, &self.binding).map_err(&fault)?;
                if let Some((columns, _)) = believed.filter(|(columns, _)| columns.through() > after) {
                    after = columns.seq.0 - 1;
                }
            }
        }
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(SELECT[lane.index()]).map_err(&fault)?;
        let range = params![after.cast_signed(), state.last.cast_signed(), limit];
        let mut rows = statement.query(range).map_err(&fault)?;
        let (mut expected, mut bytes) = (after + 1, 0);
        let start = out.len();
        while let Some(row) = rows.next().map_err(&fault)? {
            let seq = row.get::<_, i64>(0).map_err(&fault)?.cast_unsigned();
            if seq != expected {
                return Ok(Some(Hole { from: expected, through: seq - 1, is_missing: true }));
            }
            let believed = RowColumns::read(lane, row, &self.binding).map_err(&fault)?;
            let stored = believed.and_then(|(columns, form)| columns.to_stored(form, self.cipher.as_ref()));
            let Some(stored) = stored.filter(|stored| (seq..=state.last).contains(&stored.through().0))
            else {
                return Ok(Some(Hole { from: seq, through: seq, is_missing: false }));
            };
            bytes += stored.bytes.len();
            if bytes > max_bytes && out.len() > start {
                return Ok(None);
            }
            expected = stored.through().0 + 1;
            out.push(stored);
        }
        let is_short = out.len() - start < max_rows && expected <= state.last;
        Ok(is_short.then_some(Hole { from: expected, through: state.last, is_missing: true }))
    }

    /// Puts a tombstone where a verdict cannot be read.
    fn fill(&mut self, lane: Lane, hole: &Hole) -> Result<(), StoreError> {
        let Hole { from, through, is_missing } = *hole;
        if is_missing {
            tracing::error!(%lane, from, through, "verdicts are missing from the store and are withdrawn");
        } else {
            tracing::error!(%lane, seq = from, "a verdict is damaged on the medium and is withdrawn");
            self.keep_remains(lane, from);
        }
        let withdrawn = Withdrawn { through: Seq(through), reason: Withdrawal::Damaged };
        // The newest verdict's time is all that can be known of when this was.
        let done = self.put_tombstone(lane, Seq(from), withdrawn, UtcMillis(0), &[]);
        self.judge(done)
    }

    /// Kept for analysis; where it cannot be kept, that is no reason to stop.
    fn keep_remains(&self, lane: Lane, seq: u64) {
        let raw: Result<Vec<u8>, _> =
            self.connection.query_row(RAW[lane.index()], [seq.cast_signed()], |row| row.get(0));
        let kept = raw.map_err(|error| error.to_string()).and_then(|raw| {
            let folder = self.files.remains().map_err(|error| error.to_string())?;
            let path = folder.join(format!("{}-{lane}-{seq}", self.epoch));
            fs::write(path, raw).map_err(|error| error.to_string())
        });
        if let Err(error) = kept {
            tracing::warn!(error, "the remains of a damaged verdict are not kept");
        }
    }

    /// The first run of verdicts, without tombstones, after `from` up to `upto`.
    pub(crate) fn first_verdicts(
        &self,
        lane: Lane,
        from: u64,
        upto: u64,
    ) -> Result<Option<Overdue>, StoreFault> {
        let fault = StoreFault::while_doing("look for overdue verdicts");
        let find = |sql: &str, after: u64| {
            self.connection
                .prepare_cached(sql)
                .and_then(|mut find| {
                    find.query_row([after.cast_signed(), upto.cast_signed()], |row| {
                        row.get::<_, Option<i64>>(0)
                    })
                })
                .map(|found| found.map(i64::cast_unsigned))
                .map_err(&fault)
        };
        if upto <= from {
            return Ok(None);
        }
        let Some(first) = find(FIRST_VERDICT[lane.index()], from)? else { return Ok(None) };
        let through = find(FIRST_TOMBSTONE[lane.index()], first)?.map_or(upto, |tombstone| tombstone - 1);
        Ok(Some(Overdue { from: Seq(first), through: Seq(through) }))
    }
}
