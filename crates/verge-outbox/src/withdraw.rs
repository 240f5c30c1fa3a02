//! Tombstones, and what is evicted when there is no room.

use rusqlite::params;
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{StoreError, Withdrawn};
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::Withdrawal;

use crate::evict;
use crate::fault::StoreFault;
use crate::marks::save_lazily;
use crate::row::{INSERT, RowColumns, SELECT_NEWEST, per_lane};
use crate::store::Outbox;

const RANGE: [&str; 3] = per_lane!(
    "SELECT min(seq), max(coalesce(through, seq)), max(decided) FROM ",
    " WHERE seq >= ?1 AND seq <= ?2"
);
const DELETE: [&str; 3] = per_lane!("DELETE FROM ", " WHERE seq >= ?1 AND seq <= ?2");
const OLDEST_AFTER: [&str; 3] = per_lane!(
    "SELECT coalesce(through, seq), length(bytes) FROM ",
    " WHERE seq > ?1 AND through IS NULL ORDER BY seq"
);

/// Room is made in pieces of this size at least, so that it need not be made for every commit.
const PIECE_BYTES: u64 = 64 * 1024;
/// What a row costs beside its bytes, about.
const ROW_BYTES: u64 = 64;

/// What is evicted when there is no room, in this order.
#[derive(Debug, Clone, Copy)]
enum EvictStep {
    DeliveredTelemetry,
    WaitingTelemetry,
    ReplayWindow,
    WaitingVerdicts,
}

impl Outbox {
    pub(crate) fn put_tombstone(
        &mut self,
        lane: Lane,
        from: Seq,
        withdrawn: Withdrawn,
        at: UtcMillis,
        summary: &[u8],
    ) -> Result<(), StoreFault> {
        let fault = StoreFault::while_doing("withdraw verdicts");
        let state = self.lanes[lane.index()];
        let through = withdrawn.through;
        let refused = |why| Err(StoreFault::NotWithdrawable { lane, from, through, why });
        if from.0 <= state.evicted || through.0 > state.last || from > through {
            return refused("that range is not stored");
        }
        let (cipher, binding) = (self.cipher.as_ref(), &self.binding);
        let transaction = self.connection.transaction().map_err(&fault)?;
        {
            let mut newest = transaction.prepare_cached(SELECT_NEWEST[lane.index()]).map_err(&fault)?;
            let mut rows = newest.query([(from.0 - 1).cast_signed()]).map_err(&fault)?;
            if let Some(row) = rows.next().map_err(&fault)? {
                let believed = RowColumns::read(lane, row, binding).map_err(&fault)?;
                if believed.is_some_and(|(columns, _)| columns.through() >= from.0) {
                    return refused("a tombstone begins before it");
                }
            }
        }
        let range = params![from.0.cast_signed(), through.0.cast_signed()];
        let (end, decided): (Option<i64>, Option<i64>) = transaction
            .prepare_cached(RANGE[lane.index()])
            .and_then(|mut range_of| range_of.query_row(range, |row| Ok((row.get(1)?, row.get(2)?))))
            .map_err(&fault)?;
        if end.is_some_and(|end| end.cast_unsigned() > through.0) {
            return refused("a tombstone reaches beyond it");
        }
        let bytes = evict::bytes_upto(&transaction, lane, through.0).map_err(&fault)?;
        transaction
            .prepare_cached(DELETE[lane.index()])
            .and_then(|mut delete| delete.execute(range))
            .map_err(&fault)?;
        let columns = RowColumns {
            lane,
            seq: from,
            decided: if at.0 == 0 { UtcMillis(decided.unwrap_or(0)) } else { at },
            cause: 0,
            lane_bytes: bytes.unwrap_or(state.evicted_bytes),
            bytes: summary,
            withdrawn: Some(withdrawn),
        };
        {
            let mut insert = transaction.prepare_cached(INSERT[lane.index()]).map_err(&fault)?;
            columns.insert(cipher, binding, &mut insert).map_err(&fault)?;
        }
        transaction.commit().map_err(&fault)?;
        self.note_withdrawn(withdrawn.reason, through.0 - from.0 + 1);
        Ok(())
    }

    /// There was no room: makes some, step by step, and tries again after each.
    pub(crate) fn when_full(
        &mut self,
        wanted: u64,
        mut again: impl FnMut(&mut Self) -> Result<(), StoreFault>,
    ) -> Result<(), StoreError> {
        if self.find_room() {
            match again(self) {
                Err(fault) if self.is_full(&fault) => {}
                done => return self.judge(done),
            }
        }
        let mut steps =
            vec![EvictStep::DeliveredTelemetry, EvictStep::WaitingTelemetry, EvictStep::ReplayWindow];
        if self.settings.drop_oldest {
            steps.push(EvictStep::WaitingVerdicts);
        }
        for step in steps {
            loop {
                let evicted = match self.evict(step, wanted.max(PIECE_BYTES)) {
                    Err(fault) if self.is_full(&fault) => 0,
                    done => self.judge(done)?,
                };
                if evicted == 0 {
                    break;
                }
                match again(self) {
                    Err(fault) if self.is_full(&fault) => {}
                    done => return self.judge(done),
                }
            }
        }
        match again(self) {
            Err(fault) if self.is_full(&fault) => Err(self.full()),
            done => self.judge(done),
        }
    }

    /// Returns how many numbers were evicted or withdrawn.
    fn evict(&mut self, step: EvictStep, wanted: u64) -> Result<u64, StoreFault> {
        match step {
            EvictStep::DeliveredTelemetry => self.evict_delivered(Lane::Telemetry, wanted),
            EvictStep::ReplayWindow => match self.evict_delivered(Lane::Verdict, wanted)? {
                0 => self.evict_delivered(Lane::Alarm, wanted),
                evicted => Ok(evicted),
            },
            EvictStep::WaitingTelemetry => self.withdraw_oldest(Lane::Telemetry, wanted),
            EvictStep::WaitingVerdicts => self.withdraw_oldest(Lane::Verdict, wanted),
        }
    }

    fn evict_delivered(&mut self, lane: Lane, wanted: u64) -> Result<u64, StoreFault> {
        let fault = StoreFault::while_doing("make room");
        let mut after = self.lanes;
        let transaction = self.connection.transaction().map_err(&fault)?;
        if self.unsaved {
            save_lazily(&transaction, &self.marks, &self.sent, &self.binding).map_err(&fault)?;
        }
        let state = &mut after[lane.index()];
        let routes = self.open.then_some(&self.marks);
        *state = evict::oldest_delivered(&transaction, lane, state, routes, wanted, &self.binding)
            .map_err(&fault)?;
        transaction.commit().map_err(&fault)?;
        self.unsaved = false;
        Ok(self.take_over(after))
    }

    /// Withdraws the oldest verdicts that some route waits for; joins the tombstone of those withdrawn before.
    fn withdraw_oldest(&mut self, lane: Lane, wanted: u64) -> Result<u64, StoreFault> {
        let fault = StoreFault::while_doing("make room");
        let state = self.lanes[lane.index()];
        let delivered = evict::delivered(self.routes(), lane, &state).max(state.evicted);
        let Some(waiting) = self.first_verdicts(lane, delivered, state.last)? else { return Ok(0) };
        let mut through = waiting.from.0;
        {
            let mut oldest = self.connection.prepare_cached(OLDEST_AFTER[lane.index()]).map_err(&fault)?;
            let mut rows = oldest.query([(waiting.from.0 - 1).cast_signed()]).map_err(&fault)?;
            let mut freed = 0;
            while let Some(row) = rows.next().map_err(&fault)? {
                let seq = row.get::<_, i64>(0).map_err(&fault)?.cast_unsigned();
                if seq > waiting.through.0 {
                    break;
                }
                through = seq;
                freed += row.get::<_, i64>(1).map_err(&fault)?.cast_unsigned() + ROW_BYTES;
                if freed >= wanted {
                    break;
                }
            }
        }
        let count = through - waiting.from.0 + 1;
        let from = self.joined(lane, waiting.from.0)?;
        let withdrawn = Withdrawn { through: Seq(through), reason: Withdrawal::Full };
        self.put_tombstone(lane, Seq(from), withdrawn, UtcMillis(0), &[])?;
        tracing::warn!(%lane, from = waiting.from.0, through, "the store is full: verdicts that waited are withdrawn");
        // What the joined tombstone said before was counted then.
        self.withdrawn[usize::from(Withdrawal::Full.code())] -= waiting.from.0 - from;
        Ok(count)
    }

    /// Where a tombstone of the same reason ends right before, its beginning.
    fn joined(&self, lane: Lane, from: u64) -> Result<u64, StoreFault> {
        let fault = StoreFault::while_doing("make room");
        let mut newest = self.connection.prepare_cached(SELECT_NEWEST[lane.index()]).map_err(&fault)?;
        let mut rows = newest.query([(from - 1).cast_signed()]).map_err(&fault)?;
        let Some(row) = rows.next().map_err(&fault)? else { return Ok(from) };
        let believed = RowColumns::read(lane, row, &self.binding).map_err(&fault)?;
        let before = believed.filter(|(columns, _)| {
            columns.withdrawn.is_some_and(|withdrawn| {
                withdrawn.reason == Withdrawal::Full && withdrawn.through.0 + 1 == from
            })
        });
        Ok(before.map_or(from, |(columns, _)| columns.seq.0))
    }
}
