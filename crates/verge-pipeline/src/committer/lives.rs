//! Summaries replace verdicts that could not be delivered within their useful life, one for each interval.

use std::time::Duration;

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Encoder, Overdue, Source, Store, StoreError, StoredRow, Withdrawn};
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::Withdrawal;

use super::worker::CommitWorker;

/// Maximum of rows that one pass looks at, and of rows read at once.
const PASS_ROWS: usize = 4_096;
const CHUNK_ROWS: usize = 512;
const CHUNK_BYTES: usize = 1 << 20;
/// Maximum of tombstones written in one pass: each is a transaction, and must not delay verdicts that wait to be
/// committed.
const PASS_TOMBSTONES: usize = 8;

/// Verdicts of one interval that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval(i64);

impl Interval {
    fn of(decided: UtcMillis, length: Duration) -> Self {
        let length = i64::try_from(length.as_millis()).unwrap_or(i64::MAX).max(1);
        Self(decided.0.div_euclid(length))
    }
}

/// Gathers rows in order, and returns those of an interval once it is complete.
struct Gathering {
    length: Duration,
    interval: Option<Interval>,
    rows: Vec<StoredRow>,
}

impl Gathering {
    /// Takes the next row. Returns the interval that ended before it.
    fn take(&mut self, row: StoredRow) -> Option<Vec<StoredRow>> {
        // A tombstone that exists stays as it is: it may hold a summary.
        let interval = row.withdrawn.is_none().then(|| Interval::of(row.decided, self.length));
        let ended = (interval != self.interval).then(|| std::mem::take(&mut self.rows));
        self.interval = interval;
        if interval.is_some() {
            self.rows.push(row);
        }
        ended.filter(|rows| !rows.is_empty())
    }
}

impl<S: Store, E: Encoder, R: Source> CommitWorker<S, E, R> {
    /// One pass over all lanes. Returns whether there is more to do at once.
    pub(super) fn end_lives(&mut self) -> Result<bool, StoreError> {
        let mut more = false;
        for lane in Lane::ALL {
            let Some(life) = self.lives.of(lane) else { continue };
            if let Some(overdue) = self.store.overdue(lane, life, self.clock.now().mono)? {
                more |= self.summarise(lane, overdue)?;
            }
        }
        Ok(more)
    }

    fn summarise(&mut self, lane: Lane, overdue: Overdue) -> Result<bool, StoreError> {
        let length = self.lives.interval;
        let mut gathering = Gathering { length, interval: None, rows: Vec::new() };
        let mut after = Seq(overdue.from.0.saturating_sub(1));
        let (mut seen, mut written) = (0, 0);
        let mut ended = false;
        while !ended && seen < PASS_ROWS {
            let mut rows = Vec::new();
            self.store.fetch(lane, after, CHUNK_ROWS, CHUNK_BYTES, &mut rows)?;
            ended = rows.is_empty();
            for row in rows {
                after = row.through();
                seen += 1;
                // The first row that is still useful shows whether the last interval is complete.
                ended |= row.seq > overdue.through;
                if let Some(rows) = gathering.take(row) {
                    self.withdraw_expired(lane, &rows)?;
                    written += 1;
                }
                if written == PASS_TOMBSTONES {
                    return Ok(true);
                }
                if ended {
                    break;
                }
            }
        }
        // An interval at the end of what is stored waits until no verdict can join it any more. One that is larger
        // than a pass is summarised in parts.
        let now = Interval::of(self.clock.now().wall, length);
        let nothing_follows = after <= overdue.through && ended && gathering.interval != Some(now);
        if !gathering.rows.is_empty() && (nothing_follows || !ended) {
            let rows = std::mem::take(&mut gathering.rows);
            self.withdraw_expired(lane, &rows)?;
        }
        Ok(!ended)
    }

    fn withdraw_expired(&mut self, lane: Lane, rows: &[StoredRow]) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let mut summary = Vec::new();
        if let Err(error) = self.encoder.summary(lane, rows, &mut summary) {
            // The verdicts are withdrawn nevertheless: without a summary, but with their exact range.
            self.counters.encode_failures_total.add(1);
            tracing::error!(%lane, from = %first.seq, through = %last.seq, %error, "no summary can be made");
            summary.clear();
        }
        let tombstone = Withdrawn { through: last.seq, reason: Withdrawal::Expired };
        self.store.withdraw(lane, first.seq, tombstone, self.clock.now().wall, &summary)?;
        tracing::debug!(%lane, from = %first.seq, through = %last.seq, "summarised: not delivered in time");
        Ok(())
    }
}
