//! A store of a test's own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::Connection;
use tempfile::TempDir;
use verge_domain::id::{Lane, RouteId, Seq};
use verge_domain::stage::{NewRow, RowStore, Store, StoredRow};
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

/// Files as a killed process or a loss of power leaves them: the witness, as it is given, says that they are those of
/// the last run. (No test can end a process here, or keep a file's identity over a copy.)
pub(crate) fn adopt(folder: &Path, witness: &[u8]) {
    let path = folder.join("outbox.guard");
    let mut bytes = witness.to_vec();
    fs::write(&path, &bytes).unwrap();
    for (file, at) in [(&path, 80), (&folder.join("outbox.db"), 104)] {
        let Ok(about) = fs::metadata(file) else { continue };
        let born = about.created().map_or(0, |born| born.duration_since(UNIX_EPOCH).unwrap().as_nanos());
        let numbers = [about.ino(), u64::try_from(born).unwrap(), about.dev()];
        for (number, place) in numbers.iter().zip(bytes[at..].chunks_exact_mut(8)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }
    let end = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
}

/// Copies the files of a store as they lie there now.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        // The index of the log does not outlive the system.
        if file.file_type().unwrap().is_file() && file.file_name() != "outbox.db-shm" {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
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
