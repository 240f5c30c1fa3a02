//! A store that is not the one that ran last takes a new epoch before it numbers anything; one that is, does not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use verge_domain::id::Lane;
use verge_domain::stage::{MarkStore, RowStore, Store};
use verge_domain::withdrawn::Withdrawal;
use verge_outbox::{BackupError, Damage, Outbox, StoreKey, backup};

use crate::support::*;

/// Commits alarms, none delivered, and closes.
fn run(site: &Site, alarms: u64) -> verge_domain::id::Epoch {
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    commit(&mut store, Lane::Alarm, alarms, 0);
    store.epoch()
}

/// Opens what lies there, which is no ordinary start; the first `own` alarms are there with their content.
fn renewed(site: &Site, own: u64, epoch: verge_domain::id::Epoch) -> Damage {
    let opened = Outbox::open(&site.settings).unwrap();
    let mut store = opened.outbox;
    assert_ne!(store.epoch(), epoch, "another life may have given the next numbers");
    let alarms: Vec<_> = fetch(&mut store, Lane::Alarm, 0, usize::MAX, usize::MAX)
        .into_iter()
        .filter(|row| row.withdrawn.is_none())
        .collect();
    assert_eq!(alarms.len() as u64, own);
    for row in alarms {
        assert_eq!(row.bytes, format!("alarm {}", row.seq), "its own content");
    }
    let epoch = store.epoch();
    drop(store);
    assert_eq!(site.open().epoch(), epoch, "once");
    opened.note.unwrap().damage
}

/// Writes the content of files over those that are there.
fn write_over(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        match fs::read(from.join(name)) {
            Ok(bytes) => fs::write(to.join(name), bytes).unwrap(),
            Err(_) => drop(fs::remove_file(to.join(name))),
        }
    }
}

const ALL: [&str; 3] = ["outbox.db", "outbox.db-wal", "outbox.guard"];

#[test]
fn ordinary_starts_keep_the_epoch() {
    let site = Site::new();
    let epoch = run(&site, 3);
    for _ in 0..3 {
        assert_eq!(run(&site, 2), epoch);
    }
    // Moved by its name, with all that is in it.
    let moved = Site::new();
    fs::rename(&site.settings.dir, &moved.settings.dir).unwrap();
    assert_eq!(run(&moved, 1), epoch);
}

#[test]
fn a_copy_of_the_folder_takes_another_epoch() {
    let site = Site::new();
    let epoch = run(&site, 3);
    let copy = Site::new();
    copy_files(&site.settings.dir, &copy.settings.dir);
    assert_eq!(run(&site, 2), epoch, "the first goes on as it was");
    assert_eq!(renewed(&copy, 3, epoch), Damage::Copied);
}

#[test]
fn a_copy_put_back_takes_another_epoch() {
    // How it is put back: new files, or written over those that are there, all of them or the database alone.
    let anew = |from: &Path, to: &Path| {
        fs::remove_dir_all(to).unwrap();
        copy_files(from, to);
    };
    let over = |from: &Path, to: &Path| write_over(from, to, &ALL);
    let database = |from: &Path, to: &Path| write_over(from, to, &["outbox.db"]);
    let without_witness = |from: &Path, to: &Path| {
        anew(from, to);
        fs::remove_file(to.join("outbox.guard")).unwrap();
    };
    type PutBack<'a> = &'a dyn Fn(&Path, &Path);
    let ways: [(PutBack<'_>, Damage); 4] = [
        (&anew, Damage::Copied),
        (&over, Damage::Copied),
        (&database, Damage::Copied),
        (&without_witness, Damage::NoWitness),
    ];
    for (number, (put_back, expected)) in ways.into_iter().enumerate() {
        let site = Site::new();
        let backup = Site::new();
        let epoch = run(&site, 3);
        copy_files(&site.settings.dir, &backup.settings.dir);
        run(&site, 2);
        put_back(&backup.settings.dir, &site.settings.dir);
        assert_eq!(renewed(&site, 3, epoch), expected, "way {number}");
    }
}

#[test]
fn a_copy_of_an_open_store_written_over_it_takes_another_epoch() {
    let site = Site::new();
    let backup = Site::new();
    let mut store = site.open();
    let epoch = store.epoch();
    commit(&mut store, Lane::Alarm, 3, 0);
    copy_files(&site.settings.dir, &backup.settings.dir);
    commit(&mut store, Lane::Alarm, 2, 0);
    store.sweep(at(1)).unwrap();
    drop(store);
    write_over(&backup.settings.dir, &site.settings.dir, &ALL);
    assert_eq!(renewed(&site, 3, epoch), Damage::Copied);
}

#[test]
fn what_was_delivered_before_the_copy_is_an_earlier_epoch_s() {
    let site = Site::new();
    let mut store = site.open();
    let epoch = store.epoch();
    store.open_routes(&[route("a")]).unwrap();
    commit(&mut store, Lane::Alarm, 5, 0);
    store.mark(&route("a"), Lane::Alarm, verge_domain::id::Seq(2)).unwrap();
    store.sweep(at(1)).unwrap();
    drop(store);
    let copy = Site::new();
    copy_files(&site.settings.dir, &copy.settings.dir);
    assert_eq!(renewed(&copy, 3, epoch), Damage::Copied);
    let mut store = copy.open();
    let first = &fetch(&mut store, Lane::Alarm, 0, 1, 1)[0];
    assert_eq!(first.withdrawn.unwrap().reason, Withdrawal::EarlierEpoch);
    assert_eq!((first.seq.0, first.through().0), (1, 2));
}

#[test]
fn an_epoch_that_was_given_up_ends_with_the_run() {
    let site = Site::new();
    let mut store = site.open();
    let life = store.life();
    assert_eq!((life.epoch, life.count, life.runs.len()), (store.epoch(), 1, 1));
    commit(&mut store, Lane::Alarm, 3, 0);
    store.give_up_epoch().unwrap();
    drop(store);
    assert_eq!(renewed(&site, 3, life.epoch), Damage::Overtaken);
    let after = site.open().life();
    assert_eq!((after.count, &after.runs[3..]), (4, &life.runs[..]), "its runs go on");
    let earlier = after.earlier[0];
    assert_eq!((earlier.epoch, earlier.run, earlier.last), (life.epoch, life.run(), [3, 0, 0]));
}

/// A store with alarms in its database and in its log, as a kill leaves it.
fn killed(text: &str) -> (Site, verge_domain::id::Epoch) {
    let site = Site::new();
    let mut store = site.open();
    let epoch = store.epoch();
    for seq in 1..=60 {
        let content = format!("{text} {seq} {}", "x".repeat(40 + text.len()));
        store.commit(&[row(Lane::Alarm, seq, 0, content.as_bytes())], &[]).unwrap();
    }
    let left = Site::new();
    copy_files(&site.settings.dir, &left.settings.dir);
    adopt(&left.settings.dir, &fs::read(site.settings.dir.join("outbox.guard")).unwrap());
    (left, epoch)
}

/// What is stored, by number; `None` where it was withdrawn.
fn contents(store: &mut Outbox) -> Vec<Option<String>> {
    let mut contents = Vec::new();
    for row in fetch(store, Lane::Alarm, 0, usize::MAX, usize::MAX) {
        let text = row.withdrawn.is_none().then(|| String::from_utf8(row.bytes.to_vec()).unwrap());
        contents.extend(std::iter::repeat_n(text, usize::try_from(row.through().0 + 1 - row.seq.0).unwrap()));
    }
    contents
}

#[test]
fn the_log_of_another_store_is_not_believed() {
    // The other store's log beside a database that has everything, and beside one whose own log is lost with that.
    for clean in [true, false] {
        let (site, epoch) = killed("mine");
        if clean {
            assert_eq!(site.open().epoch(), epoch);
        }
        let (other, _) = killed("another's");
        let log = "outbox.db-wal";
        fs::copy(other.settings.dir.join(log), site.settings.dir.join(log)).unwrap();
        let opened = Outbox::open(&site.settings).unwrap();
        assert_eq!(opened.note.unwrap().damage, Damage::ForeignLog);
        let mut store = opened.outbox;
        assert_ne!(store.epoch(), epoch);
        let contents = contents(&mut store);
        assert_eq!(contents.len(), 60, "no number is given again");
        assert!(contents.iter().flatten().all(|text| text.starts_with("mine")), "{contents:?}");
        assert!(!clean || contents.iter().all(Option::is_some), "the database had them all");
    }
}

#[test]
fn an_older_log_of_the_store_itself_is_not_believed() {
    let site = Site::new();
    let mut store = site.open();
    let epoch = store.epoch();
    commit(&mut store, Lane::Alarm, 30, 0);
    let older = fs::read(site.settings.dir.join("outbox.db-wal")).unwrap();
    commit(&mut store, Lane::Alarm, 300, 0);
    drop(store);
    fs::write(site.settings.dir.join("outbox.db-wal"), older).unwrap();
    assert_eq!(renewed(&site, 330, epoch), Damage::ForeignLog);
}

#[test]
fn a_log_that_is_its_own_after_all_is_not_lost() {
    // The witness is older than any release would let it become.
    let (site, epoch) = killed("mine");
    let mut witness = fs::read(site.settings.dir.join("outbox.guard")).unwrap();
    witness[72..80].copy_from_slice(&[0xA5; 8]);
    adopt(&site.settings.dir, &witness);
    let opened = Outbox::open(&site.settings).unwrap();
    assert_eq!(opened.note.unwrap().damage, Damage::ForeignLog);
    let mut store = opened.outbox;
    assert_ne!(store.epoch(), epoch);
    let contents = contents(&mut store);
    assert!(contents.len() == 60 && contents.iter().all(Option::is_some), "{contents:?}");
}

#[test]
fn names_that_a_salvage_needs_may_be_taken() {
    for taken in
        ["quarantine", "outbox.new", "outbox.salvaged", "outbox.guard-new", "outbox.db-shm", "outbox.new-wal"]
    {
        for folder in [false, true] {
            let site = Site::new();
            run(&site, 4);
            let path = site.settings.dir.join(taken);
            if folder {
                fs::create_dir_all(path.join("with something in it")).unwrap();
            } else {
                fs::write(path, "a letter to the operator").unwrap();
            }
            let repaired = Outbox::repair(&site.settings).unwrap();
            let mut store = repaired.outbox;
            assert_eq!(seqs(&mut store, Lane::Alarm), range(1, 4), "{taken} {folder}");
            assert!(repaired.note.unwrap().set_aside.join("outbox.db").exists());
        }
    }
}

#[test]
fn a_backup_beside_an_open_store_takes_another_epoch_when_it_is_opened() {
    let key = StoreKey::parse(&[9; 32]).unwrap();
    for key in [None, Some(key)] {
        let mut site = Site::new();
        site.settings.key.clone_from(&key);
        let mut store = site.open();
        let epoch = store.epoch();
        commit(&mut store, Lane::Alarm, 40, 0);
        let file = site.folder.path().join("a backup's file%20.db");
        let bytes = backup(&site.settings.dir, &file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().len(), bytes);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        commit(&mut store, Lane::Alarm, 2, 0);
        assert!(matches!(backup(&site.settings.dir, &file), Err(BackupError::Exists { .. })));
        if key.is_some() {
            let content = fs::read(&file).unwrap();
            assert!(!content.windows(7).any(|text| text == b"alarm 1"), "it stays encrypted");
        }
        drop(store);
        assert_eq!(fs::read_dir(site.folder.path()).unwrap().count(), 2, "nothing is left behind");
        // Restored into an empty folder; over the store that continued, beside the witness and a log of that.
        let mut elsewhere = Site::new();
        elsewhere.settings.key.clone_from(&key);
        fs::create_dir_all(&elsewhere.settings.dir).unwrap();
        fs::copy(&file, elsewhere.database()).unwrap();
        assert_eq!(renewed(&elsewhere, 40, epoch), Damage::Backup);
        let log = site.settings.dir.join("outbox.db-wal");
        let mut store = site.open();
        commit(&mut store, Lane::Alarm, 1, 0);
        let log_bytes = fs::read(&log).unwrap();
        drop(store);
        fs::copy(&file, site.database()).unwrap();
        fs::write(&log, log_bytes).unwrap();
        assert_eq!(renewed(&site, 40, epoch), Damage::Backup);
        assert_eq!(site.open().next_seq(Lane::Alarm).0, 44, "behind all numbers that were given");
    }
}
