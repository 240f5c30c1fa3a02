//! A store of a test's own.

use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use verge_domain::id::{Lane, RouteId, Seq};
use verge_domain::stage::{NewRow, Store, StoredRow};
use verge_domain::time::{Monotonic, UtcMillis};
use verge_outbox::{MIN_CAP_BYTES, Outbox, OutboxSettings};

pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) settings: OutboxSettings,
}

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = OutboxSettings {
            dir: folder.path().join("store"),
            cap_bytes: 16 * MIN_CAP_BYTES,
            replay_age: Duration::ZERO,
            replay_bytes: u64::MAX,
            states_bytes: 1 << 20,
            ballast_bytes: 0,
            drop_oldest: false,
            lives: [None; 3],
            key: None,
        };
        Self { folder, settings }
    }

    pub(crate) fn open(&self) -> Outbox {
        let opened = Outbox::open(&self.settings).unwrap();
        assert_eq!(opened.note, None, "an ordinary start");
        opened.outbox
    }

    pub(crate) fn database(&self) -> std::path::PathBuf {
        self.settings.dir.join("outbox.db")
    }

    pub(crate) fn raw(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }
}

/// A running time, in milliseconds.
pub(crate) fn at(ms: i64) -> Monotonic {
    Monotonic(ms.unsigned_abs() * 1000)
}

pub(crate) fn route(name: &str) -> RouteId {
    RouteId::new(name).unwrap()
}

/// Commits verdicts whose content is their number.
pub(crate) fn commit(store: &mut Outbox, lane: Lane, count: u64, decided: i64) {
    let first = store.next_seq(lane).0;
    let texts: Vec<String> = (first..first + count).map(|seq| format!("{lane} {seq}")).collect();
    let rows: Vec<NewRow<'_>> =
        (first..).zip(&texts).map(|(seq, text)| row(lane, seq, decided, text.as_bytes())).collect();
    store.commit(&rows, &[]).unwrap();
}

pub(crate) fn row(lane: Lane, seq: u64, decided: i64, bytes: &[u8]) -> NewRow<'_> {
    NewRow { lane, seq: Seq(seq), decided: UtcMillis(decided), cause: seq * 10, bytes, withdrawn: None }
}

pub(crate) fn fetch(
    store: &mut Outbox,
    lane: Lane,
    after: u64,
    max_rows: usize,
    max_bytes: usize,
) -> Vec<StoredRow> {
    let mut rows = Vec::new();
    store.fetch(lane, Seq(after), max_rows, max_bytes, &mut rows).unwrap();
    rows
}

pub(crate) fn seqs(store: &mut Outbox, lane: Lane) -> Vec<u64> {
    let rows = fetch(store, lane, 0, usize::MAX, usize::MAX);
    for row in &rows {
        assert_eq!(row.bytes, format!("{lane} {}", row.seq), "its own content");
    }
    rows.iter().map(|row| row.seq.0).collect()
}

pub(crate) fn range(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}
