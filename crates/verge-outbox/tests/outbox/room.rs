//! What is evicted when there is no room, and a disk that is full.

#![expect(clippy::print_stderr, reason = "says what was measured or skipped")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Checkpoint, MarkStore, NewRow, RowStore, Store, StoreError};
use verge_domain::time::Monotonic;
use verge_domain::withdrawn::Withdrawal;
use verge_outbox::{MIN_CAP_BYTES, Outbox};

use crate::support::{Site, fetch, route, row};

const BYTES: [u8; 600] = [7; 600];

fn small(drop_oldest: bool) -> Site {
    let mut site = Site::new();
    site.settings.cap_bytes = MIN_CAP_BYTES;
    site.settings.drop_oldest = drop_oldest;
    site
}

fn commit_one(store: &mut Outbox, lane: Lane) -> Result<(), StoreError> {
    let seq = store.next_seq(lane).0;
    let rows: [NewRow<'_>; 1] = [row(lane, seq, 7, &BYTES)];
    store.commit(&rows, &[])
}

/// Commits until there is no room; says how many that were.
fn fill(store: &mut Outbox, lane: Lane) -> u64 {
    fill_with(store, lane, &BYTES)
}

fn fill_with(store: &mut Outbox, lane: Lane, bytes: &[u8]) -> u64 {
    for count in 0..10_000 {
        let seq = store.next_seq(lane).0;
        match store.commit(&[row(lane, seq, 7, bytes)], &[]) {
            Ok(()) => {}
            Err(StoreError::Full { .. } | StoreError::DiskFull { .. }) => return count,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("it is never full");
}

fn withdrawn(store: &mut Outbox, reason: Withdrawal) -> u64 {
    store.usage().unwrap().withdrawn[usize::from(reason.code())]
}

#[test]
fn telemetry_goes_first_then_the_replay_window_then_nothing() {
    let site = small(false);
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    for _ in 0..100 {
        commit_one(&mut store, Lane::Alarm).unwrap();
    }
    store.mark(&route("a"), Lane::Alarm, Seq(100)).unwrap();
    for _ in 0..200 {
        commit_one(&mut store, Lane::Telemetry).unwrap();
    }
    store.mark(&route("a"), Lane::Telemetry, Seq(50)).unwrap();
    let verdicts = fill(&mut store, Lane::Verdict);
    assert!(verdicts > 600, "the others gave way: {verdicts}");
    assert_eq!(withdrawn(&mut store, Withdrawal::Full), 150, "telemetry that waited");
    let telemetry = fetch(&mut store, Lane::Telemetry, 0, 999, usize::MAX);
    assert_eq!(telemetry.len(), 1, "one tombstone for all of it");
    assert_eq!((telemetry[0].seq.0, telemetry[0].through().0), (51, 200));
    assert_eq!(store.oldest(Lane::Alarm), Seq(101), "the replay window went");
    let waiting = fetch(&mut store, Lane::Verdict, 0, usize::MAX, usize::MAX);
    assert_eq!(waiting.len() as u64, verdicts, "none that waits is dropped");
    // What little is left takes a few more.
    fill(&mut store, Lane::Alarm);
    assert_eq!(fill(&mut store, Lane::Alarm), 0);
    store.mark(&route("a"), Lane::Verdict, Seq(verdicts / 2)).unwrap();
    commit_one(&mut store, Lane::Alarm).expect("upstream has taken some");
}

#[test]
fn drop_oldest_gives_verdicts_up_and_never_alarms() {
    let site = small(true);
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    for _ in 0..100 {
        commit_one(&mut store, Lane::Alarm).unwrap();
    }
    for _ in 0..2000 {
        commit_one(&mut store, Lane::Verdict).unwrap();
    }
    let verdicts = fetch(&mut store, Lane::Verdict, 0, usize::MAX, usize::MAX);
    let gone = verdicts[0].withdrawn.expect("the oldest are gone");
    assert_eq!((verdicts[0].seq.0, gone.reason), (1, Withdrawal::Full));
    assert_eq!(verdicts.last().unwrap().seq, Seq(2000));
    assert_eq!(withdrawn(&mut store, Withdrawal::Full), gone.through.0, "one tombstone, each counted once");
    assert_eq!(fetch(&mut store, Lane::Alarm, 0, usize::MAX, usize::MAX).len(), 100);
    assert!(fill(&mut store, Lane::Alarm) > 0, "alarms push verdicts out");
    let alarms = fetch(&mut store, Lane::Alarm, 0, usize::MAX, usize::MAX);
    assert!(alarms.iter().all(|row| row.withdrawn.is_none()), "and wait when there is nothing else");
}

/// A store on a small file system of its own, as long as the value lives.
struct Disk {
    path: PathBuf,
    site: Site,
}

impl Disk {
    /// With a cap and a ballast of these multiples of the smallest store; `None`, and why, where nothing can be mounted.
    fn mount(size: &str, caps: u64, ballasts: u64) -> Option<Self> {
        let mut site = Site::new();
        let path = site.folder.path().join("disk");
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "verge-test"]).arg(&path).output();
        let failed = match mounted {
            Ok(output) if output.status.success() => {
                site.settings.dir = path.join("store");
                site.settings.cap_bytes = caps * MIN_CAP_BYTES;
                site.settings.ballast_bytes = ballasts * MIN_CAP_BYTES;
                return Some(Self { path, site });
            }
            Ok(output) => format!("mounting needs root: {}", String::from_utf8_lossy(&output.stderr).trim()),
            Err(error) => format!("mount: {error}"),
        };
        eprintln!("SKIPPED: {failed}");
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.path).output());
    }
}

#[test]
fn a_full_disk_is_survived_with_a_ballast() {
    let Some(mut disk) = Disk::mount("8m", 64, 2) else { return };
    disk.site.settings.replay_bytes = 0;
    let mut store = disk.site.open();
    store.open_routes(&[route("a")]).unwrap();
    let count = fill(&mut store, Lane::Verdict);
    assert!(count > 1000, "most of the disk was used: {count}");
    assert!(!disk.path.join("store/ballast").exists(), "it was given up");
    assert_eq!(fetch(&mut store, Lane::Verdict, 0, usize::MAX, usize::MAX).len() as u64, count);
    // Upstream takes some: what it took makes room, on a disk that is as full as before.
    store.mark(&route("a"), Lane::Verdict, Seq(count / 2)).unwrap();
    let evicted = store.sweep(Monotonic(1)).unwrap();
    assert_eq!(evicted, count / 2, "deleting works on a full disk");
    for _ in 0..count / 4 {
        commit_one(&mut store, Lane::Alarm).expect("there is room in the file");
    }
    drop(store);
    let mut store = disk.site.open();
    assert_eq!(fetch(&mut store, Lane::Alarm, 0, usize::MAX, usize::MAX).len() as u64, count / 4);
}

#[test]
fn a_store_opens_on_a_full_disk_and_says_so_where_it_cannot_be_written() {
    let Some(disk) = Disk::mount("8m", 16, 1) else { return };
    let mut store = disk.site.open();
    commit_one(&mut store, Lane::Alarm).unwrap();
    drop(store);
    // To the last byte.
    let hog = disk.path.join("hog");
    let piece = vec![0; 4096];
    let mut out = fs::File::create(&hog).unwrap();
    while std::io::Write::write_all(&mut out, &piece).is_ok() {}
    drop(out);
    let mut store = disk.site.open();
    assert_eq!(fetch(&mut store, Lane::Alarm, 0, 9, 9999).len(), 1);
    drop(store);
    let read_only = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk.path).status().unwrap();
    assert!(read_only.success());
    let error = Outbox::open(&disk.site.settings).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
}

#[test]
fn the_ballast_comes_back_when_there_is_room() {
    let Some(disk) = Disk::mount("12m", 64, 2) else { return };
    let mut store = disk.site.open();
    store.open_routes(&[route("a")]).unwrap();
    let hog = disk.path.join("hog");
    fs::write(&hog, vec![0; 8 << 20]).unwrap();
    let count = fill(&mut store, Lane::Alarm);
    assert!(store.sweep(Monotonic(1)).is_ok());
    assert!(!disk.path.join("store/ballast").exists(), "there is no room yet");
    fs::remove_file(&hog).unwrap();
    store.sweep(Monotonic(2)).unwrap();
    assert!(disk.path.join("store/ballast").exists());
    for _ in 0..count {
        commit_one(&mut store, Lane::Alarm).expect("the database grows again");
    }
}

const LARGE: [u8; 6000] = [7; 6000];

/// Fills the disk to the last byte; the file gives it back.
fn hog(path: &Path) {
    let mut out = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    let mut piece = 1 << 16;
    while piece > 0 {
        if std::io::Write::write_all(&mut out, &vec![1; piece]).is_err() {
            piece /= 2;
        }
    }
}

fn give_back(path: &Path, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - bytes).unwrap();
}

#[test]
fn the_room_that_there_is_is_used_before_the_ballast_has_any() {
    let Some(disk) = Disk::mount("48m", 256, 16) else { return };
    let mut store = disk.site.open();
    store.open_routes(&[route("a")]).unwrap();
    let (hog_file, ballast) = (disk.path.join("hog"), disk.path.join("store/ballast"));
    hog(&hog_file);
    fill_with(&mut store, Lane::Alarm, &LARGE);
    assert!(!ballast.exists(), "it was given up");
    // Another program takes the space that it gave up, and the store reports it.
    hog(&hog_file);
    assert_eq!(fill_with(&mut store, Lane::Alarm, &LARGE), 0);
    store.sweep(Monotonic(1)).expect("housekeeping waits for room");
    // Little space comes free, then more, and is taken again: each time the store takes what there is, at once.
    let mut rows = fetch(&mut store, Lane::Alarm, 0, usize::MAX, usize::MAX).len() as u64;
    for (round, mib) in [4_u64, 24, 5].into_iter().enumerate() {
        give_back(&hog_file, mib << 20);
        let count = fill_with(&mut store, Lane::Alarm, &LARGE);
        // A log and the rows themselves take their part.
        assert!(count * LARGE.len() as u64 > (mib - 3) << 19, "round {round}: {count} rows in {mib} MiB");
        rows += count;
        assert!(!ballast.exists(), "there is no room for it in round {round}");
        let room = free_bytes(&disk.path);
        assert!(room > 512 << 10, "some is left to the log: {room}");
        hog(&hog_file);
        assert_eq!(fill_with(&mut store, Lane::Alarm, &LARGE), 0, "round {round}");
    }
    // A restart in this state loses nothing, and takes as little.
    drop(store);
    let mut store = disk.site.open();
    store.open_routes(&[route("a")]).unwrap();
    assert_eq!(fetch(&mut store, Lane::Alarm, 0, usize::MAX, usize::MAX).len() as u64, rows);
    assert_eq!(fill_with(&mut store, Lane::Alarm, &LARGE), 0);
    // States are not saved on a full disk, and nothing waits for them.
    let learnt =
        Checkpoint { key: "state\u{1f}a\u{1f}b\u{1f}c\u{1f}d".to_owned(), state: Some(vec![1; 9000]) };
    store.commit(&[], &[learnt]).expect("a state that has no room is passed over");
    // All of it.
    fs::remove_file(&hog_file).unwrap();
    store.mark(&route("a"), Lane::Alarm, Seq(rows)).unwrap();
    store.sweep(Monotonic(2)).unwrap();
    assert!((0..1000).all(|_| commit_one(&mut store, Lane::Alarm).is_ok()), "freed pages are used again");
}

fn free_bytes(folder: &Path) -> u64 {
    let out = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(folder).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    numbers[0] * numbers[1]
}
