//! Verdicts in and out: the part of the store that deliveries read.

use std::time::Duration;

use rusqlite::Transaction;
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{NewRow, Overdue, RowStore, StoreError, StoredRow, Withdrawn};
use verge_domain::time::{Monotonic, UtcMillis};

use crate::evict;
use crate::fault::StoreFault;
use crate::key::Cipher;
use crate::lanes::LaneState;
use crate::row::{Binding, INSERT, RowColumns, per_lane};
use crate::store::Outbox;

const DELETE_BEHIND: [&str; 3] = per_lane!("DELETE FROM ", " WHERE seq > ?1");

impl RowStore for Outbox {
    fn next_seq(&self, lane: Lane) -> Seq {
        Seq(self.lanes[lane.index()].last + 1)
    }

    fn oldest(&self, lane: Lane) -> Seq {
        Seq(self.lanes[lane.index()].evicted + 1)
    }

    fn fetch(
        &mut self,
        lane: Lane,
        after: Seq,
        max_rows: usize,
        max_bytes: usize,
        out: &mut Vec<StoredRow>,
    ) -> Result<(), StoreError> {
        self.ready()?;
        self.read_rows(lane, after, max_rows, max_bytes, out)
    }

    fn overdue(&mut self, lane: Lane, life: Duration, now: Monotonic) -> Result<Option<Overdue>, StoreError> {
        self.ready()?;
        let fault = StoreFault::while_doing("look for overdue verdicts");
        let old = self.ages.older_than(&self.connection, lane, life, now).map_err(&fault)?;
        let state = self.lanes[lane.index()];
        let from = evict::delivered(self.routes(), lane, &state).max(state.evicted);
        self.first_verdicts(lane, from, old.min(state.last)).map_err(StoreError::from)
    }

    fn withdraw(
        &mut self,
        lane: Lane,
        from: Seq,
        tombstone: Withdrawn,
        at: UtcMillis,
        summary: &[u8],
    ) -> Result<(), StoreError> {
        self.ready()?;
        match self.put_tombstone(lane, from, tombstone, at, summary) {
            Err(fault) if self.is_full(&fault) => {}
            done => return self.judge(done),
        }
        self.when_full(summary.len() as u64, |outbox| {
            outbox.put_tombstone(lane, from, tombstone, at, summary)
        })
    }
}

/// Removes what a commit left behind that was reported as failed.
pub(crate) fn delete_behind(
    transaction: &Transaction<'_>,
    lanes: &[LaneState; 3],
) -> Result<(), rusqlite::Error> {
    for (delete, state) in DELETE_BEHIND.iter().zip(lanes) {
        transaction.execute(delete, [state.last.cast_signed()])?;
    }
    Ok(())
}

/// Appends verdicts to their lanes.
pub(crate) fn insert(
    transaction: &Transaction<'_>,
    rows: &[NewRow<'_>],
    lanes: &mut [LaneState; 3],
    cipher: Option<&Cipher>,
    binding: &Binding,
) -> Result<(), StoreFault> {
    let fault = StoreFault::while_doing("commit verdicts");
    for lane in Lane::ALL {
        let mut of_lane = rows.iter().filter(|row| row.lane == lane).peekable();
        if of_lane.peek().is_none() {
            continue;
        }
        let state = &mut lanes[lane.index()];
        let mut insert = transaction.prepare_cached(INSERT[lane.index()]).map_err(&fault)?;
        for row in of_lane {
            let expected = Seq(state.last + 1);
            if row.seq != expected {
                return Err(StoreFault::WrongSeq { lane, expected, actual: row.seq });
            }
            state.last += 1;
            state.bytes += row.bytes.len() as u64;
            let columns = RowColumns {
                lane,
                seq: row.seq,
                decided: row.decided,
                cause: if row.withdrawn.is_some() { 0 } else { row.cause },
                lane_bytes: state.bytes,
                bytes: row.bytes,
                withdrawn: row.withdrawn.map(|reason| Withdrawn { through: row.seq, reason }),
            };
            columns.insert(cipher, binding, &mut insert).map_err(&fault)?;
        }
    }
    Ok(())
}
