//! What the store promises, over real files.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use verge_domain::id::{Lane, RouteId, Seq};
use verge_domain::stage::{Checkpoint, NewRow, Store, StoreError, StoredRow};
use verge_domain::time::UtcMillis;
use verge_outbox::{
    Damage, LockError, MIN_CAP_BYTES, OpenError, Outbox, OutboxReader, OutboxSettings, ReadError,
    SCHEMA_VERSION, StateLock,
};

const DAY_MS: i64 = 86_400_000;

struct Site {
    folder: TempDir,
    settings: OutboxSettings,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = OutboxSettings {
            dir: folder.path().join("store"),
            cap_bytes: 16 * MIN_CAP_BYTES,
            replay_age: Duration::ZERO,
            replay_bytes: u64::MAX,
        };
        Self { folder, settings }
    }

    fn open(&self) -> Outbox {
        let opened = Outbox::open(&self.settings).unwrap();
        assert_eq!(opened.note, None, "an ordinary start");
        opened.outbox
    }

    fn database(&self) -> std::path::PathBuf {
        self.settings.dir.join("outbox.db")
    }

    fn raw(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }
}

fn route(name: &str) -> RouteId {
    RouteId::new(name).unwrap()
}

/// Commits verdicts whose content is their number.
fn commit(store: &mut Outbox, lane: Lane, count: u64, decided: i64) {
    let first = store.next_seq(lane).0;
    let texts: Vec<String> = (first..first + count).map(|seq| format!("{lane} {seq}")).collect();
    let rows: Vec<NewRow<'_>> =
        (first..).zip(&texts).map(|(seq, text)| row(lane, seq, decided, text.as_bytes())).collect();
    store.commit(&rows, &[]).unwrap();
}

fn row(lane: Lane, seq: u64, decided: i64, bytes: &[u8]) -> NewRow<'_> {
    NewRow { lane, seq: Seq(seq), decided: UtcMillis(decided), cause: seq * 10, bytes }
}

fn fetch(store: &mut Outbox, lane: Lane, after: u64, max_rows: usize, max_bytes: usize) -> Vec<StoredRow> {
    let mut rows = Vec::new();
    store.fetch(lane, Seq(after), max_rows, max_bytes, &mut rows).unwrap();
    rows
}

fn seqs(store: &mut Outbox, lane: Lane) -> Vec<u64> {
    let rows = fetch(store, lane, 0, usize::MAX, usize::MAX);
    for row in &rows {
        assert_eq!(row.bytes, format!("{lane} {}", row.seq), "its own content");
    }
    rows.iter().map(|row| row.seq.0).collect()
}

fn range(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let site = Site::new();
    let mut store = site.open();
    let epoch = store.epoch();
    commit(&mut store, Lane::Alarm, 3, 7);
    commit(&mut store, Lane::Telemetry, 2, 8);
    drop(store);
    let mut store = site.open();
    assert_eq!(store.epoch(), epoch);
    assert_eq!(seqs(&mut store, Lane::Alarm), range(1, 3));
    assert_eq!(seqs(&mut store, Lane::Verdict), [0; 0]);
    assert_eq!(Lane::ALL.map(|lane| store.next_seq(lane).0), [4, 1, 3]);
    assert_eq!(fetch(&mut store, Lane::Telemetry, 1, 9, 9)[0].decided, UtcMillis(8));
    let mut causes = store.recent_causes(100).unwrap();
    causes.sort_unstable();
    assert_eq!(causes, [10, 10, 20, 20, 30]);
}

#[test]
fn a_fetch_keeps_to_its_bounds_and_always_gets_on() {
    let site = Site::new();
    let mut store = site.open();
    commit(&mut store, Lane::Alarm, 9, 0);
    let numbers = |rows: Vec<StoredRow>| rows.iter().map(|row| row.seq.0).collect::<Vec<_>>();
    assert_eq!(numbers(fetch(&mut store, Lane::Alarm, 2, 3, usize::MAX)), range(3, 5));
    assert_eq!(numbers(fetch(&mut store, Lane::Alarm, 2, 9, 1)), [3], "one at least");
    assert_eq!(numbers(fetch(&mut store, Lane::Alarm, 2, 9, 15)), [3, 4], "two of seven bytes each");
    assert_eq!(numbers(fetch(&mut store, Lane::Alarm, 9, 9, 99)), [0; 0]);
}

#[test]
fn a_commit_is_all_or_nothing() {
    let site = Site::new();
    let mut store = site.open();
    commit(&mut store, Lane::Alarm, 1, 0);
    let saved = Checkpoint { key: "k".to_owned(), state: Some(vec![1]) };
    for wrong in [1, 3] {
        let rows = [row(Lane::Verdict, 1, 0, b"verdict 1"), row(Lane::Alarm, wrong, 0, b"x")];
        assert!(matches!(store.commit(&rows, std::slice::from_ref(&saved)), Err(StoreError::Fault(_))));
    }
    assert_eq!((seqs(&mut store, Lane::Alarm), seqs(&mut store, Lane::Verdict)), (vec![1], vec![]));
    assert_eq!(store.checkpoints().unwrap(), []);
    commit(&mut store, Lane::Alarm, 1, 0);
    assert_eq!(seqs(&mut store, Lane::Alarm), [1, 2], "it goes on after the fault");
}

#[test]
fn checkpoints_are_replaced_and_removed() {
    let site = Site::new();
    let mut store = site.open();
    let point = |key: &str, state: Option<&[u8]>| Checkpoint {
        key: key.to_owned(),
        state: state.map(<[u8]>::to_vec),
    };
    store.commit(&[], &[point("a", Some(b"1")), point("b", Some(b"2"))]).unwrap();
    store.commit(&[row(Lane::Alarm, 1, 0, b"alarm 1")], &[point("a", None), point("b", Some(b"3"))]).unwrap();
    drop(store);
    assert_eq!(site.open().checkpoints().unwrap(), [point("b", Some(b"3"))]);
    site.raw().execute("UPDATE checkpoint SET state = x'00'", []).unwrap();
    assert_eq!(site.open().checkpoints().unwrap(), [], "a damaged state is not handed out");
}

#[test]
fn what_every_route_has_delivered_goes_and_numbers_go_on() {
    let site = Site::new();
    let mut store = site.open();
    store.open_routes(&[route("a"), route("b")]).unwrap();
    commit(&mut store, Lane::Alarm, 5, 0);
    store.mark(&route("a"), Lane::Alarm, Seq(5)).unwrap();
    assert_eq!(store.sweep(UtcMillis(DAY_MS)).unwrap(), 0, "b has delivered nothing");
    store.mark(&route("b"), Lane::Alarm, Seq(3)).unwrap();
    assert_eq!(store.sweep(UtcMillis(DAY_MS)).unwrap(), 3);
    assert_eq!(seqs(&mut store, Lane::Alarm), [4, 5]);
    drop(store);
    let mut store = site.open();
    assert_eq!(
        store.open_routes(&[route("a"), route("b")]).unwrap()[1][0],
        Seq(3),
        "the mark outlived the restart"
    );
    store.mark(&route("b"), Lane::Alarm, Seq(5)).unwrap();
    assert_eq!(store.sweep(UtcMillis(DAY_MS)).unwrap(), 2);
    assert_eq!(store.next_seq(Lane::Alarm), Seq(6), "an empty lane keeps its number");
    commit(&mut store, Lane::Alarm, 1, 0);
    assert_eq!(seqs(&mut store, Lane::Alarm), [6]);
}

#[test]
fn a_route_of_an_earlier_configuration_holds_nothing_back() {
    let site = Site::new();
    let mut store = site.open();
    store.open_routes(&[route("old"), route("new")]).unwrap();
    commit(&mut store, Lane::Verdict, 2, 0);
    store.mark(&route("new"), Lane::Verdict, Seq(2)).unwrap();
    assert_eq!(store.sweep(UtcMillis(DAY_MS)).unwrap(), 0);
    drop(store);
    let mut store = site.open();
    assert_eq!(store.open_routes(&[route("new")]).unwrap(), [[Seq(0), Seq(2), Seq(0)]]);
    assert_eq!(store.sweep(UtcMillis(DAY_MS)).unwrap(), 2);
}

#[test]
fn the_replay_window_keeps_what_is_delivered() {
    let check = |age_ms: u64, bytes: u64, kept: &[u64]| {
        let mut site = Site::new();
        site.settings.replay_age = Duration::from_millis(age_ms);
        site.settings.replay_bytes = bytes;
        let mut store = site.open();
        store.open_routes(&[route("a")]).unwrap();
        for decided in [1000, 2000, 3000, 4000] {
            commit(&mut store, Lane::Alarm, 1, decided);
        }
        store.mark(&route("a"), Lane::Alarm, Seq(4)).unwrap();
        store.sweep(UtcMillis(5000)).unwrap();
        assert_eq!(seqs(&mut store, Lane::Alarm), kept, "{age_ms} ms, {bytes} bytes");
    };
    check(10_000, 1000, &[1, 2, 3, 4]);
    check(2500, 1000, &[3, 4]);
    // Seven bytes each.
    check(10_000, 15, &[3, 4]);
    check(0, 1000, &[]);
}

#[test]
fn a_full_store_takes_nothing_until_something_is_delivered() {
    let mut site = Site::new();
    site.settings.cap_bytes = MIN_CAP_BYTES;
    site.settings.replay_age = Duration::from_secs(86_400);
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    let big = vec![7; 50_000];
    let mut committed = 0;
    let full = loop {
        match store.commit(&[row(Lane::Alarm, committed + 1, 0, &big)], &[]) {
            Ok(()) => committed += 1,
            Err(error) => break error,
        }
        assert!(committed < 100, "the cap holds");
    };
    assert!(matches!(full, StoreError::Full { cap, .. } if cap == MIN_CAP_BYTES), "{full}");
    assert!(committed > 5);
    assert_eq!(store.usage().unwrap().rows, [committed, 0, 0], "nothing undelivered went");
    store.mark(&route("a"), Lane::Alarm, Seq(committed)).unwrap();
    store.commit(&[row(Lane::Alarm, committed + 1, 0, &big)], &[]).expect("the replay window gives way");
    let usage = store.usage().unwrap();
    assert!(usage.used_bytes <= usage.cap_bytes);
    assert_eq!(fetch(&mut store, Lane::Alarm, committed, 9, 1)[0].seq, Seq(committed + 1));
}

#[test]
fn a_reader_looks_in_beside_the_writer() {
    let site = Site::new();
    assert!(matches!(OutboxReader::open(&site.settings.dir), Err(ReadError::Missing { .. })));
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    commit(&mut store, Lane::Alarm, 600, 0);
    store.mark(&route("a"), Lane::Alarm, Seq(2)).unwrap();
    store.sweep(UtcMillis(DAY_MS)).unwrap();
    let mut reader = OutboxReader::open(&site.settings.dir).unwrap();
    commit(&mut store, Lane::Alarm, 1, 0);
    let summary = reader.summary().unwrap();
    assert_eq!((summary.epoch, summary.schema_version), (store.epoch(), SCHEMA_VERSION));
    let alarms = summary.lanes[0];
    assert_eq!((alarms.first, alarms.last, alarms.rows), (Some(Seq(3)), Seq(601), 599));
    assert_eq!(summary.routes[0].delivered, [Seq(2), Seq(0), Seq(0)]);
    let read: Vec<u64> =
        reader.rows(Lane::Alarm, Seq(1), Seq(u64::MAX)).map(|row| row.unwrap().seq.0).collect();
    assert_eq!(read, range(3, 601));
    let part: Vec<u64> = reader.rows(Lane::Alarm, Seq(10), Seq(12)).map(|row| row.unwrap().seq.0).collect();
    assert_eq!(part, range(10, 12));
}

#[test]
fn one_gateway_at_a_time() {
    let site = Site::new();
    let lock = StateLock::take(site.folder.path()).unwrap();
    let refused = StateLock::take(site.folder.path()).unwrap_err();
    assert!(
        matches!(refused, LockError::Held { pid: Some(pid), .. } if pid == std::process::id()),
        "{refused}"
    );
    drop(lock);
    StateLock::take(site.folder.path()).unwrap();
}

#[test]
fn a_store_of_somebody_else_or_of_a_newer_program_is_left_alone() {
    let check = |make: &dyn Fn(&Path), refused: &dyn Fn(&OpenError) -> bool| {
        let site = Site::new();
        fs::create_dir_all(&site.settings.dir).unwrap();
        make(&site.database());
        let before = fs::read(site.database()).unwrap();
        let error = Outbox::open(&site.settings).unwrap_err();
        assert!(refused(&error), "{error}");
        assert_eq!(fs::read(site.database()).unwrap(), before, "byte for byte");
        assert!(matches!(OutboxReader::open(&site.settings.dir), Err(ReadError::Unreadable { .. })));
    };
    check(
        &|path| {
            let other = Site::new();
            drop(other.open());
            other.raw().pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
            fs::copy(other.database(), path).unwrap();
        },
        &|error| matches!(error, OpenError::Newer { found, .. } if *found == SCHEMA_VERSION + 1),
    );
    check(
        &|path| {
            Connection::open(path)
                .unwrap()
                .execute_batch("CREATE TABLE t (x); PRAGMA application_id = 7;")
                .unwrap()
        },
        &|error| matches!(error, OpenError::Foreign { .. }),
    );
    check(&|path| fs::write(path, "a letter to the operator").unwrap(), &|error| {
        matches!(error, OpenError::Foreign { .. })
    });
}

#[test]
fn a_damaged_store_is_set_aside_and_never_stops_a_start() {
    let check = |damage: &dyn Fn(&Path), expected: Damage| {
        let site = Site::new();
        let mut store = site.open();
        let epoch = store.epoch();
        commit(&mut store, Lane::Alarm, 500, 0);
        drop(store);
        damage(&site.database());
        let opened = Outbox::open(&site.settings).unwrap();
        let note = opened.note.expect("the operator is told");
        assert_eq!(note.damage, expected);
        assert!(note.set_aside.exists(), "{note}");
        assert_ne!(opened.outbox.epoch(), epoch, "numbers begin again, so the epoch is new");
        let mut store = opened.outbox;
        commit(&mut store, Lane::Alarm, 1, 0);
        assert_eq!(seqs(&mut store, Lane::Alarm), [1]);
    };
    let overwrite = |path: &Path, at: usize, length: usize| {
        let mut bytes = fs::read(path).unwrap();
        bytes[at..at + length].fill(0xA5);
        fs::write(path, bytes).unwrap();
    };
    check(&|path| overwrite(path, 0, 50), Damage::Header);
    check(&|path| overwrite(path, 4096, 20_000), Damage::Content);
    check(
        &|path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        },
        Damage::Content,
    );
    check(&|path| fs::write(path, "").unwrap(), Damage::Header);
}

#[test]
fn a_damaged_verdict_is_never_handed_out() {
    let site = Site::new();
    let mut store = site.open();
    commit(&mut store, Lane::Alarm, 3, 0);
    site.raw().execute("UPDATE verdict SET bytes = x'00' WHERE seq = 2", []).unwrap();
    let mut rows = Vec::new();
    let error = store.fetch(Lane::Alarm, Seq(0), 9, 999, &mut rows).unwrap_err();
    assert!(rows.is_empty() && error.to_string().contains("failed"), "{error}");
    let reader = OutboxReader::open(&site.settings.dir).unwrap();
    let read: Vec<bool> = reader.rows(Lane::Alarm, Seq(1), Seq(3)).map(|row| row.is_ok()).collect();
    assert_eq!(read, [true, false, true]);
}

#[test]
fn too_small_a_cap_is_refused() {
    let mut site = Site::new();
    site.settings.cap_bytes = MIN_CAP_BYTES - 1;
    assert!(matches!(Outbox::open(&site.settings), Err(OpenError::CapTooSmall { .. })));
}
