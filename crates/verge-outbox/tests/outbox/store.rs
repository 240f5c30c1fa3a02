//! What the store promises in ordinary times.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use verge_domain::id::{Lane, Seq};
use verge_domain::reading::Session;
use verge_domain::stage::{
    Checkpoint, MarkStore, NewRow, RowStore, StateStore, Store, StoreError, StoredRow, Withdrawn,
};
use verge_domain::time::{Monotonic, UtcMillis};
use verge_domain::withdrawn::Withdrawal;
use verge_outbox::{
    LockError, MIN_CAP_BYTES, OpenError, Outbox, OutboxReader, ReadError, SCHEMA_VERSION, StateLock,
};

use crate::support::{Site, at, commit, fetch, range, route, row, seqs};

const DAY_MS: i64 = 86_400_000;

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
    let causes: Vec<_> = store.unacknowledged().unwrap().iter().map(|cause| cause.cause).collect();
    assert_eq!(causes, [10, 20, 30, 10, 20], "as they were decided");
}

#[test]
fn what_may_come_again_is_known_after_a_restart_however_much_it_is() {
    let site = Site::new();
    let mut store = site.open();
    let causes = |store: &mut Outbox| {
        let all = store.unacknowledged().unwrap();
        all.iter().map(|cause| (cause.lane, cause.seq.0)).collect::<Vec<_>>()
    };
    // A broker that keeps everything in flight: none of it is acknowledged.
    commit(&mut store, Lane::Telemetry, 10_000, 1);
    drop(store);
    let mut store = site.open();
    assert_eq!(causes(&mut store).len(), 10_000);
    store.note_acknowledged(Session::Readings, [Seq(0), Seq(0), Seq(9_998)]);
    // Nothing is written for its sake.
    drop(store);
    let mut store = site.open();
    assert_eq!(causes(&mut store).len(), 10_000);
    store.note_acknowledged(Session::Readings, [Seq(0), Seq(0), Seq(9_998)]);
    commit(&mut store, Lane::Alarm, 1, 2);
    let frame = NewRow { cause: Session::Frames.cause(5), ..row(Lane::Telemetry, 10_001, 3, b"frame") };
    store.commit(&[frame], &[]).unwrap();
    drop(store);
    let mut store = site.open();
    let readings = [(Lane::Telemetry, 9_999), (Lane::Telemetry, 10_000), (Lane::Alarm, 1)];
    assert_eq!(causes(&mut store), [&readings[..], &[(Lane::Telemetry, 10_001)]].concat());
    // Another session has another number.
    store.note_acknowledged(Session::Frames, [Seq(1), Seq(0), Seq(10_001)]);
    store.sweep(Monotonic(1)).unwrap();
    drop(store);
    assert_eq!(causes(&mut site.open()), readings);
}

#[test]
fn a_damaged_note_of_what_is_acknowledged_is_not_believed() {
    let site = Site::new();
    let mut store = site.open();
    commit(&mut store, Lane::Alarm, 3, 1);
    store.note_acknowledged(Session::Readings, [Seq(3), Seq(0), Seq(0)]);
    store.sweep(Monotonic(1)).unwrap();
    drop(store);
    let mut store = site.open();
    assert_eq!(store.unacknowledged().unwrap(), []);
    drop(store);
    let changed = site.raw().execute("UPDATE meta SET value = zeroblob(76) WHERE key = 'acknowledged'", []);
    assert_eq!(changed.unwrap(), 1);
    assert_eq!(site.open().unacknowledged().unwrap().len(), 3);
}

#[test]
fn a_verdict_that_could_not_be_encoded_is_committed_as_a_tombstone() {
    let site = Site::new();
    let mut store = site.open();
    let lost = NewRow { withdrawn: Some(Withdrawal::Defect), ..row(Lane::Alarm, 2, 7, b"") };
    store
        .commit(&[row(Lane::Alarm, 1, 7, b"alarm 1"), lost, row(Lane::Alarm, 3, 7, b"alarm 3")], &[])
        .unwrap();
    assert_eq!(store.usage().unwrap().withdrawn[usize::from(Withdrawal::Defect.code())], 1);
    drop(store);
    let rows = fetch(&mut site.open(), Lane::Alarm, 0, 9, 99);
    let gone: Vec<_> = rows.iter().map(|row| (row.seq.0, row.withdrawn.map(|gone| gone.reason))).collect();
    assert_eq!(gone, [(1, None), (2, Some(Withdrawal::Defect)), (3, None)]);
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
fn a_reader_looks_in_beside_the_writer() {
    let site = Site::new();
    assert!(matches!(OutboxReader::open(&site.settings.dir, None), Err(ReadError::Missing { .. })));
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    commit(&mut store, Lane::Alarm, 600, 0);
    store.mark(&route("a"), Lane::Alarm, Seq(2)).unwrap();
    store.sweep(at(DAY_MS)).unwrap();
    let mut reader = OutboxReader::open(&site.settings.dir, None).unwrap();
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
    // Times lead to places, also for a reader in the writer's process.
    let reader = OutboxReader::open_beside_writer(&site.settings.dir, None).unwrap();
    assert_eq!(reader.bounds(Lane::Verdict).unwrap(), None);
    for decided in [100, 200, 200, 300] {
        commit(&mut store, Lane::Verdict, 1, decided);
    }
    let ends = reader.bounds(Lane::Verdict).unwrap().unwrap();
    assert_eq!(ends, (Seq(1), Seq(4)));
    let since = |at| reader.first_since(Lane::Verdict, ends, UtcMillis(at)).unwrap().0;
    assert_eq!([0, 100, 101, 200, 201, 300, 301].map(since), [1, 1, 2, 2, 4, 4, 5]);
    // A tombstone may have no time: what lies around it says where it belongs.
    let reason = Withdrawal::Damaged;
    store.withdraw(Lane::Verdict, Seq(2), Withdrawn { through: Seq(3), reason }, UtcMillis(0), b"").unwrap();
    assert_eq!([100, 101, 300, 301].map(since), [1, 2, 2, 5]);
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
        assert!(matches!(OutboxReader::open(&site.settings.dir, None), Err(ReadError::Unreadable { .. })));
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
fn too_small_a_cap_is_refused() {
    let mut site = Site::new();
    site.settings.cap_bytes = MIN_CAP_BYTES - 1;
    assert!(matches!(Outbox::open(&site.settings), Err(OpenError::CapTooSmall { .. })));
}

/// The tables of schema version 1, and a row's checksum as it was.
const VERSION_1: &str = "
    PRAGMA page_size = 4096; PRAGMA application_id = 0x56524745; PRAGMA user_version = 1;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE lane (lane INTEGER PRIMARY KEY, last INTEGER NOT NULL, bytes INTEGER NOT NULL,
        evicted INTEGER NOT NULL, evicted_bytes INTEGER NOT NULL) STRICT;
    INSERT INTO lane VALUES (0, 7, 49, 4, 28), (1, 0, 0, 0, 0), (2, 2, 22, 0, 0);
    CREATE TABLE verdict (lane INTEGER NOT NULL, seq INTEGER NOT NULL, decided INTEGER NOT NULL,
        cause INTEGER NOT NULL, lane_bytes INTEGER NOT NULL, crc INTEGER NOT NULL, bytes BLOB NOT NULL,
        PRIMARY KEY (lane, seq)) STRICT, WITHOUT ROWID;
    CREATE TABLE mark (route TEXT NOT NULL, lane INTEGER NOT NULL, upto INTEGER NOT NULL,
        PRIMARY KEY (route, lane)) STRICT, WITHOUT ROWID;
    INSERT INTO mark VALUES ('a', 0, 5), ('a', 1, 0), ('a', 2, 1);
    CREATE TABLE checkpoint (key TEXT PRIMARY KEY, crc INTEGER NOT NULL, state BLOB NOT NULL) STRICT, WITHOUT ROWID;";

fn checksum_1(lane: u8, numbers: [i64; 4], bytes: &[u8]) -> i32 {
    let head: Vec<u8> = [lane]
        .into_iter()
        .chain(numbers.into_iter().flat_map(i64::to_le_bytes))
        .chain(bytes.iter().copied())
        .collect();
    crc32c::crc32c(&head).cast_signed()
}

#[test]
fn a_store_of_version_1_goes_on_where_it_was() {
    let site = Site::new();
    fs::create_dir_all(&site.settings.dir).unwrap();
    let old = site.raw();
    old.execute_batch(VERSION_1).unwrap();
    old.execute("INSERT INTO meta VALUES ('epoch', ?1)", [[5_u8; 16]]).unwrap();
    for (lane, name, range) in [(0_u8, "alarm", 5..=7_i64), (2, "telemetry", 1..=2)] {
        for seq in range {
            let text = format!("{name} {seq}");
            let bytes = i64::try_from(text.len()).unwrap() * seq;
            let crc = checksum_1(lane, [seq, 9, seq * 10, bytes], text.as_bytes());
            old.execute(
                "INSERT INTO verdict VALUES (?1, ?2, 9, ?3, ?4, ?5, ?6)",
                rusqlite::params![lane, seq, seq * 10, bytes, crc, text.as_bytes()],
            )
            .unwrap();
        }
    }
    drop(old);
    assert!(matches!(OutboxReader::open(&site.settings.dir, None), Err(ReadError::Older { found: 1, .. })));
    let mut store = site.open();
    assert_eq!(store.epoch().0, [5; 16]);
    assert!(
        OutboxReader::open(&site.settings.dir, None).is_ok(),
        "readers see at once that it is up to date"
    );
    assert_eq!(Lane::ALL.map(|lane| store.next_seq(lane).0), [8, 1, 3]);
    assert_eq!(
        (seqs(&mut store, Lane::Alarm), seqs(&mut store, Lane::Telemetry)),
        (vec![5, 6, 7], vec![1, 2])
    );
    assert_eq!(store.open_routes(&[route("a")]).unwrap(), [[Seq(5), Seq(0), Seq(1)]]);
    commit(&mut store, Lane::Alarm, 1, 0);
    drop(store);
    assert_eq!(seqs(&mut site.open(), Lane::Alarm), range(5, 8));
}
