//! What the tests of readings and of frames share: a store in memory, and a source that notes what is settled.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use verge_domain::id::{Epoch, Lane, RouteId, Seq};
use verge_domain::reading::Receipt;
use verge_domain::stage::{Checkpoint, NewRow, Source, Store, StoreError, StoreUsage, StoredRow};
use verge_domain::time::UtcMillis;

#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) rows: BTreeMap<(usize, u64), Vec<u8>>,
    pub(crate) next: [u64; 3],
    pub(crate) marks: HashMap<(RouteId, usize), u64>,
    pub(crate) causes: Vec<u64>,
    pub(crate) fails: Option<fn() -> StoreError>,
}

/// A store in memory that outlives its gateway.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Arc<Mutex<Shelf>>);

impl Store for Memory {
    fn epoch(&self) -> Epoch {
        Epoch([7; 16])
    }
    fn next_seq(&self, lane: Lane) -> Seq {
        Seq(self.0.lock().unwrap().next[lane.index()] + 1)
    }
    fn commit(&mut self, rows: &[NewRow<'_>], _checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        let mut shelf = self.0.lock().unwrap();
        if let Some(error) = shelf.fails {
            return Err(error());
        }
        for row in rows {
            assert_eq!(row.seq.0, shelf.next[row.lane.index()] + 1, "numbers are dense");
            shelf.next[row.lane.index()] += 1;
            shelf.rows.insert((row.lane.index(), row.seq.0), row.bytes.to_vec());
            shelf.causes.push(row.cause);
        }
        Ok(())
    }
    fn fetch(
        &mut self,
        lane: Lane,
        after: Seq,
        max_rows: usize,
        _max_bytes: usize,
        out: &mut Vec<StoredRow>,
    ) -> Result<(), StoreError> {
        let shelf = self.0.lock().unwrap();
        let range = shelf.rows.range((lane.index(), after.0 + 1)..(lane.index() + 1, 0));
        out.extend(range.take(max_rows).map(|(&(_, seq), bytes)| StoredRow {
            seq: Seq(seq),
            decided: UtcMillis(0),
            bytes: Bytes::copy_from_slice(bytes),
        }));
        Ok(())
    }
    fn open_routes(&mut self, routes: &[RouteId]) -> Result<Vec<[Seq; 3]>, StoreError> {
        let shelf = self.0.lock().unwrap();
        let mark = |route: &RouteId, lane| Seq(shelf.marks.get(&(route.clone(), lane)).copied().unwrap_or(0));
        Ok(routes.iter().map(|route| [0, 1, 2].map(|lane| mark(route, lane))).collect())
    }
    fn mark(&mut self, route: &RouteId, lane: Lane, upto: Seq) -> Result<(), StoreError> {
        self.0.lock().unwrap().marks.insert((route.clone(), lane.index()), upto.0);
        Ok(())
    }
    fn sweep(&mut self, _now: UtcMillis) -> Result<u64, StoreError> {
        Ok(0)
    }
    fn checkpoints(&mut self) -> Result<Vec<Checkpoint>, StoreError> {
        Ok(Vec::new())
    }
    fn recent_causes(&mut self, limit: usize) -> Result<Vec<u64>, StoreError> {
        Ok(self.0.lock().unwrap().causes.iter().rev().take(limit).copied().collect())
    }
    fn usage(&mut self) -> Result<StoreUsage, StoreError> {
        Ok(StoreUsage::default())
    }
}

#[derive(Clone, Default)]
pub(crate) struct Settled(pub(crate) Arc<Mutex<Vec<Receipt>>>);

impl Source for Settled {
    fn settle(&self, receipts: &[Receipt]) {
        self.0.lock().unwrap().extend_from_slice(receipts);
    }
}
