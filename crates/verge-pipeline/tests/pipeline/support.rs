//! Shared by the tests: a store in memory, an encoder that writes text, and a source that records what is settled.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use verge_domain::id::{Epoch, Identity, Lane, RouteId, Seq};
use verge_domain::life::{Life, Run};
use verge_domain::reading::{Acknowledged, Receipt, Session};
use verge_domain::stage::{
    Cause, Checkpoint, Displaced, EncodeError, Encoder, Envelope, Form, MarkStore, NewRow, Overdue, RowStore,
    SentBytes, Source, StateStore, Store, StoreError, StoreUsage, StoredRow, Withdrawn,
};
use verge_domain::time::{Monotonic, UtcMillis};
use verge_domain::verdict::{Body, Verdict};
use verge_domain::withdrawn::Withdrawal;

#[derive(Clone, Default)]
pub(crate) struct Shelf {
    pub(crate) rows: BTreeMap<(usize, u64), StoredRow>,
    pub(crate) next: [u64; 3],
    pub(crate) marks: HashMap<(RouteId, usize), u64>,
    pub(crate) sent: Vec<SentBytes>,
    pub(crate) causes: Vec<Cause>,
    /// Up to which numbers, by session and lane, messages are acknowledged.
    pub(crate) acknowledged: [[u64; 3]; 3],
    /// Why nothing can be committed, and after a fault nothing recovered.
    pub(crate) fails: Option<fn() -> StoreError>,
    /// Why nothing can be read.
    pub(crate) unreadable: Option<fn() -> StoreError>,
    /// By lane, what is past its useful life.
    pub(crate) overdue: [Option<(u64, u64)>; 3],
    pub(crate) recoveries: u32,
    pub(crate) withdrawn: [u64; Withdrawal::ALL.len()],
    pub(crate) checkpoints: BTreeMap<String, Vec<u8>>,
    /// The state of its files.
    pub(crate) displaced: Option<Displaced>,
    /// The next opening is to take a new epoch.
    pub(crate) given_up: bool,
    /// Bytes of states that each commit carried.
    pub(crate) state_bytes: Vec<usize>,
}

impl Shelf {
    fn fault(&self) -> Result<(), StoreError> {
        self.fails.map_or(Ok(()), |error| Err(error()))
    }

    fn lane(&self, lane: Lane) -> impl DoubleEndedIterator<Item = &StoredRow> {
        self.rows.range((lane.index(), 0)..(lane.index() + 1, 0)).map(|(_, row)| row)
    }

    /// The rows of a lane, as a message would show them.
    pub(crate) fn texts(&self, lane: Lane) -> Vec<String> {
        self.lane(lane).map(text_of).collect()
    }

    /// Forgets the rows of a lane up to a number.
    pub(crate) fn evict(&mut self, lane: Lane, upto: u64) {
        self.rows.retain(|&(index, seq), _| index != lane.index() || seq > upto);
    }
}

/// A store in memory that outlives its gateway.
#[derive(Clone, Default)]
pub(crate) struct Memory(pub(crate) Arc<Mutex<Shelf>>);

impl Memory {
    /// Its present content, as a killed process leaves it.
    pub(crate) fn copied(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().unwrap().clone())))
    }

    pub(crate) fn mark_of(&self, route: &RouteId, lane: Lane) -> u64 {
        self.0.lock().unwrap().marks.get(&(route.clone(), lane.index())).copied().unwrap_or(0)
    }
}

impl RowStore for Memory {
    fn next_seq(&self, lane: Lane) -> Seq {
        Seq(self.0.lock().unwrap().next[lane.index()] + 1)
    }
    fn oldest(&self, lane: Lane) -> Seq {
        let shelf = self.0.lock().unwrap();
        let oldest = shelf.lane(lane).next().map(|row| row.seq);
        oldest.unwrap_or(Seq(shelf.next[lane.index()] + 1))
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
        shelf.unreadable.map_or(Ok(()), |error| Err(error()))?;
        out.extend(shelf.lane(lane).filter(|row| row.through() > after).take(max_rows).cloned());
        Ok(())
    }
    fn overdue(
        &mut self,
        lane: Lane,
        _life: Duration,
        _now: Monotonic,
    ) -> Result<Option<Overdue>, StoreError> {
        let overdue = self.0.lock().unwrap().overdue[lane.index()];
        Ok(overdue.map(|(from, through)| Overdue { from: Seq(from), through: Seq(through) }))
    }
    fn withdraw(
        &mut self,
        lane: Lane,
        from: Seq,
        tombstone: Withdrawn,
        at: UtcMillis,
        summary: &[u8],
    ) -> Result<(), StoreError> {
        let mut shelf = self.0.lock().unwrap();
        for seq in from.0..=tombstone.through.0 {
            if shelf.rows.remove(&(lane.index(), seq)).is_some_and(|row| row.withdrawn.is_none()) {
                shelf.withdrawn[usize::from(tombstone.reason.code())] += 1;
            }
        }
        let bytes = Bytes::copy_from_slice(summary);
        let row = StoredRow { seq: from, decided: at, bytes, withdrawn: Some(tombstone) };
        shelf.rows.insert((lane.index(), from.0), row);
        if shelf.overdue[lane.index()].is_some_and(|(_, through)| through <= tombstone.through.0) {
            shelf.overdue[lane.index()] = None;
        }
        Ok(())
    }
}

impl MarkStore for Memory {
    fn open_routes(&mut self, routes: &[RouteId]) -> Result<Vec<[Seq; 3]>, StoreError> {
        Ok(routes.iter().map(|route| Lane::ALL.map(|lane| Seq(self.mark_of(route, lane)))).collect())
    }
    fn mark(&mut self, route: &RouteId, lane: Lane, upto: Seq) -> Result<(), StoreError> {
        self.0.lock().unwrap().marks.insert((route.clone(), lane.index()), upto.0);
        Ok(())
    }
    fn note_sent(&mut self, sent: SentBytes) -> Result<(), StoreError> {
        let mut shelf = self.0.lock().unwrap();
        shelf.sent.retain(|noted| noted.link != sent.link);
        shelf.sent.push(sent);
        Ok(())
    }
    fn sent(&mut self) -> Result<Vec<SentBytes>, StoreError> {
        Ok(self.0.lock().unwrap().sent.clone())
    }
    fn note_acknowledged(&mut self, session: Session, upto: [Seq; 3]) {
        self.0.lock().unwrap().acknowledged[session.index()] = upto.map(|seq| seq.0);
    }
    fn unacknowledged(&mut self) -> Result<Vec<Cause>, StoreError> {
        let shelf = self.0.lock().unwrap();
        let is_behind = |Cause { lane, seq, cause }: &Cause| {
            Session::of_cause(*cause)
                .is_some_and(|session| seq.0 > shelf.acknowledged[session.index()][lane.index()])
        };
        Ok(shelf
            .causes
            .iter()
            .filter(|cause| cause.cause != 0)
            .filter(|cause| is_behind(cause))
            .copied()
            .collect())
    }
}

impl StateStore for Memory {
    fn checkpoints(&mut self) -> Result<Vec<Checkpoint>, StoreError> {
        let shelf = self.0.lock().unwrap();
        let all = shelf.checkpoints.iter();
        Ok(all.map(|(key, state)| Checkpoint { key: key.clone(), state: Some(state.clone()) }).collect())
    }
}

impl Store for Memory {
    fn epoch(&self) -> Epoch {
        Epoch([7; 16])
    }
    fn life(&self) -> Life {
        Life {
            epoch: self.epoch(),
            count: 3,
            runs: [30, 20, 10].map(|id| Run { id, began: [0; 3] }).to_vec(),
            earlier: Vec::new(),
        }
    }
    fn give_up_epoch(&mut self) -> Result<(), StoreError> {
        self.0.lock().unwrap().given_up = true;
        Ok(())
    }
    fn in_place(&mut self) -> Result<(), Displaced> {
        self.0.lock().unwrap().displaced.clone().map_or(Ok(()), Err)
    }
    fn commit(&mut self, rows: &[NewRow<'_>], checkpoints: &[Checkpoint]) -> Result<(), StoreError> {
        let mut shelf = self.0.lock().unwrap();
        shelf.fault()?;
        for checkpoint in checkpoints {
            match &checkpoint.state {
                Some(state) => shelf.checkpoints.insert(checkpoint.key.clone(), state.clone()),
                None => shelf.checkpoints.remove(&checkpoint.key),
            };
        }
        shelf.state_bytes.push(checkpoints.iter().filter_map(|one| one.state.as_ref()).map(Vec::len).sum());
        for row in rows {
            assert_eq!(row.seq.0, shelf.next[row.lane.index()] + 1, "numbers are dense");
            shelf.next[row.lane.index()] += 1;
            let bytes = Bytes::copy_from_slice(row.bytes);
            let withdrawn = row.withdrawn.map(|reason| Withdrawn { through: row.seq, reason });
            let stored = StoredRow { seq: row.seq, decided: row.decided, bytes, withdrawn };
            shelf.rows.insert((row.lane.index(), row.seq.0), stored);
            shelf.causes.push(Cause { lane: row.lane, seq: row.seq, cause: row.cause });
        }
        Ok(())
    }
    fn sweep(&mut self, _now: Monotonic) -> Result<u64, StoreError> {
        Ok(0)
    }
    fn recover(&mut self) -> Result<(), StoreError> {
        let mut shelf = self.0.lock().unwrap();
        shelf.recoveries += 1;
        shelf.fault()
    }
    fn usage(&mut self) -> Result<StoreUsage, StoreError> {
        let withdrawn = self.0.lock().unwrap().withdrawn;
        Ok(StoreUsage { withdrawn, ..StoreUsage::default() })
    }
}

/// A verdict is its observed value as text; a message is its rows with commas between, after the envelope.
pub(crate) struct Text;

fn text_of(row: &StoredRow) -> String {
    let text = std::str::from_utf8(&row.bytes).unwrap();
    match row.withdrawn {
        None => text.to_owned(),
        Some(withdrawn) => {
            format!("[{}-{} {} {text}]", row.seq, withdrawn.through, withdrawn.reason.as_str())
        }
    }
}

/// Observed values with which the encoder fails.
pub(crate) const UNENCODABLE: f64 = 1_000_000_001.0;
pub(crate) const ENCODER_PANICS: f64 = 1_000_000_002.0;

impl Encoder for Text {
    fn verdict(&mut self, _id: &Identity, verdict: &Verdict, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Body::Anomaly(anomaly) = &verdict.body else { panic!("only anomalies are judged here") };
        out.extend_from_slice(anomaly.observed.to_string().as_bytes());
        assert!(anomaly.observed != ENCODER_PANICS, "as the test asked");
        if anomaly.observed == UNENCODABLE {
            return Err(EncodeError("as the test asked".into()));
        }
        Ok(())
    }
    fn summary(&mut self, lane: Lane, rows: &[StoredRow], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.clear();
        out.extend_from_slice(format!("{} of {lane}", rows.len()).as_bytes());
        Ok(())
    }
}

/// A sink takes text here, as another may take verdicts: the route knows neither.
impl Form for Text {
    type Item = String;

    fn item(&mut self, envelope: &Envelope, rows: &[StoredRow]) -> Result<String, EncodeError> {
        let mut out = String::new();
        let texts: Vec<_> = rows.iter().map(text_of).collect();
        if texts.iter().any(|text| text == "-1") {
            return Err(EncodeError("as the test asked".into()));
        }
        if envelope.volatile {
            assert!(rows.iter().all(|row| row.seq == Seq::ZERO), "a volatile alarm has no number");
            out.push_str("volatile ");
        }
        if envelope.age >= Duration::from_secs(3600) {
            out.push_str(&format!("aged {} h ", envelope.age.as_secs() / 3600));
        }
        out.push_str(&texts.join(","));
        Ok(out)
    }

    fn bytes(item: &String) -> usize {
        item.len()
    }
}

#[derive(Clone, Default)]
pub(crate) struct Settled(pub(crate) Arc<Mutex<Vec<Receipt>>>, pub(crate) Arc<AtomicBool>);

impl Source for Settled {
    fn is_awaited(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    fn settle(&self, receipts: &[Receipt]) {
        self.0.lock().unwrap().extend_from_slice(receipts);
    }

    /// A broker that receives no acknowledgement.
    fn acknowledged(&self, out: &mut Vec<Acknowledged>) {
        out.extend(Session::ALL.map(|session| Acknowledged {
            session,
            connection: 0,
            below: 0,
            earlier_runs: false,
        }));
    }
}

/// Waits for a condition; fails after ten seconds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within ten seconds: {what}");
}
