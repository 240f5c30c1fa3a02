//! What the store holds, read beside the committer: by a connection of its own, read-only, in short snapshots, so that the
//! committer does not wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use verge_domain::board::LastWord;
use verge_domain::id::{GatewayId, Lane, Seq};
use verge_domain::live::{ReadFrom, StoredDone, StoredError, StoredItem, StoredPart};
use verge_domain::stage::StoredRow;
use verge_outbox::OutboxReader;
use verge_wire::{read_tombstone, read_verdict, tombstone_json};

use crate::settings::StoreSection;

/// Rows that are read at once: one snapshot.
const AT_ONCE: u64 = 256;
/// Readers that wait for their turn at most.
const WAITING: usize = 16;

/// Reads the store for people.
pub(super) struct PastReader {
    section: StoreSection,
    gateway: GatewayId,
    /// Opened with the first reading.
    reader: Mutex<Option<OutboxReader>>,
    waiting: AtomicUsize,
}

impl PastReader {
    pub(super) fn new(section: &StoreSection, gateway: &GatewayId) -> Arc<Self> {
        let (section, gateway) = (section.clone(), gateway.clone());
        Arc::new(Self { section, gateway, reader: Mutex::new(None), waiting: AtomicUsize::new(0) })
    }

    /// Reads on a thread that may block.
    pub(super) fn read_aside(self: &Arc<Self>, lane: Lane, from: ReadFrom, done: StoredDone) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return done(Err(StoredError::Busy));
        }
        let past = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let read = past.read(lane, from);
            past.waiting.fetch_sub(1, Ordering::Relaxed);
            done(read.map_err(|error| {
                tracing::warn!(error = format!("{error:#}"), "the dashboard cannot read the store");
                StoredError::Unreadable
            }));
        });
    }

    fn read(&self, lane: Lane, from: ReadFrom) -> anyhow::Result<StoredPart> {
        let mut kept = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match kept.take() {
            Some(reader) => reader,
            None => {
                let store = self.section.build().context("its key")?;
                OutboxReader::open_beside_writer(&store.dir, store.key.as_ref())
                    .context("it cannot be opened")?
            }
        };
        let part = self.part(&reader, lane, from)?;
        // One that failed is opened again next time.
        *kept = Some(reader);
        Ok(part)
    }

    fn part(&self, reader: &OutboxReader, lane: Lane, from: ReadFrom) -> anyhow::Result<StoredPart> {
        let Some(ends @ (oldest, newest)) = reader.bounds(lane)? else { return Ok(StoredPart::default()) };
        let since = |at| reader.first_since(lane, ends, at);
        match from {
            ReadFrom::Behind(seq) => self.forward(reader, lane, Seq(seq.0.saturating_add(1)), newest),
            ReadFrom::Since(at) => self.forward(reader, lane, since(at)?, newest),
            ReadFrom::Before(seq) => self.backward(reader, lane, (oldest, newest), seq),
            ReadFrom::Until(at) => self.backward(reader, lane, (oldest, newest), since(at)?),
        }
    }

    fn forward(
        &self,
        reader: &OutboxReader,
        lane: Lane,
        from: Seq,
        newest: Seq,
    ) -> anyhow::Result<StoredPart> {
        let most = usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
        let (mut items, mut last) = (Vec::new(), from.0.saturating_sub(1));
        for row in reader.rows(lane, from, Seq(u64::MAX - 1)).take(most) {
            // One that is damaged is withdrawn by the committer when it is delivered.
            let Ok(row) = row else { continue };
            last = row.through().0;
            items.extend(self.item(reader, lane, &row));
        }
        let rest = (last < newest.0).then_some(ReadFrom::Behind(Seq(last)));
        Ok(StoredPart { items, rest })
    }

    fn backward(
        &self,
        reader: &OutboxReader,
        lane: Lane,
        (oldest, newest): (Seq, Seq),
        before: Seq,
    ) -> anyhow::Result<StoredPart> {
        let last = before.0.saturating_sub(1).min(newest.0);
        if last < oldest.0 {
            return Ok(StoredPart::default());
        }
        let first = last.saturating_sub(AT_ONCE - 1).max(oldest.0);
        let rows = reader.rows(lane, Seq(first), Seq(last)).filter_map(Result::ok);
        let mut items: Vec<StoredItem> = rows.filter_map(|row| self.item(reader, lane, &row)).collect();
        items.reverse();
        let rest = (first > oldest.0).then_some(ReadFrom::Before(Seq(first)));
        Ok(StoredPart { items, rest })
    }

    /// `None`: of another version, or damaged.
    fn item(&self, reader: &OutboxReader, lane: Lane, row: &StoredRow) -> Option<StoredItem> {
        if let Some(tombstone) = read_tombstone(row).ok()? {
            let json = tombstone_json(&self.gateway, reader.epoch(), lane, &tombstone);
            let json = Bytes::from(json.to_string());
            return Some(StoredItem::Tombstone { from: row.seq, through: row.through(), json });
        }
        let (seq, verdict) = read_verdict(&row.bytes, lane).ok()?;
        Some(StoredItem::Verdict(Arc::new(LastWord::new(verdict, Some(seq)))))
    }
}
