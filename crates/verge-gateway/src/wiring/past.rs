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
use verge_outbox::{OutboxReader, StoreFault};
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

/// One of those that wait. It is given back whatever becomes of the reading.
struct Place(Arc<PastReader>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
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
        let place = Place(Arc::clone(self));
        tokio::task::spawn_blocking(move || {
            let read = place.0.read(lane, from);
            drop(place);
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
            match row {
                Ok(row) => {
                    last = row.through().0;
                    items.extend(self.item(reader, lane, &row));
                }
                Err(fault) => last = passed_over(fault)?.0,
            }
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
        let mut items = Vec::new();
        for row in reader.rows(lane, Seq(first), Seq(last)) {
            match row {
                Ok(row) => items.extend(self.item(reader, lane, &row)),
                Err(fault) => passed_over(fault).map(|_| ())?,
            }
        }
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

/// One that is damaged is withdrawn by the committer when it is delivered; any other fault is one of the whole reading.
fn passed_over(fault: StoreFault) -> Result<Seq, StoreFault> {
    match fault {
        StoreFault::RowDamaged { seq, .. } => Ok(seq),
        fault => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::stage::{NewRow, Store};
    use verge_domain::time::UtcMillis;
    use verge_outbox::{Outbox, OutboxSettings};

    use super::*;
    use crate::sample::FILE;
    use crate::settings::Settings;

    #[test]
    fn reading_goes_on_behind_a_damaged_row_and_ends_there_where_it_is_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::of_text(FILE.as_bytes(), &folder.path().join("gateway.toml"), []).unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let store = OutboxSettings { ballast_bytes: 0, ..settings.store.build().unwrap() };
        let mut outbox = Outbox::open(&store).unwrap().outbox;
        let texts = ["row-one-row-one", "row-two-row-two", "row-three-row-three"];
        let rows: Vec<NewRow<'_>> = (1..)
            .zip(texts)
            .map(|(seq, text)| NewRow {
                lane: Lane::Alarm,
                seq: Seq(seq),
                decided: UtcMillis(1),
                cause: seq,
                bytes: text.as_bytes(),
                withdrawn: None,
            })
            .collect();
        outbox.commit(&rows, &[]).unwrap();
        drop(outbox);
        let database = store.dir.join("outbox.db");
        let mut bytes = std::fs::read(&database).unwrap();
        let newest = texts[2].as_bytes();
        let at = bytes.windows(newest.len()).position(|part| part == newest).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&database, bytes).unwrap();

        let past = PastReader::new(&settings.store, &settings.gateway.id);
        let reader = OutboxReader::open_beside_writer(&store.dir, None).unwrap();
        let rest = |from| past.part(&reader, Lane::Alarm, from).unwrap().rest;
        assert_eq!(rest(ReadFrom::Behind(Seq(0))), None);
        assert_eq!(rest(ReadFrom::Behind(Seq(2))), None);
        assert_eq!(rest(ReadFrom::Before(Seq(9))), None);
    }
}
