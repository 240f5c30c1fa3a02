//! Damage: never a failed start, never a wrong verdict, as little lost as can be.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Checkpoint, MarkStore, RowStore, Store, StoredRow};
use verge_domain::withdrawn::Withdrawal;
use verge_outbox::{Damage, Outbox, OutboxReader};

use crate::support::{Site, adopt, commit, fetch, range, route};

/// Numbers of verdicts, and ranges of tombstones with their reason.
fn content(rows: &[StoredRow]) -> (Vec<u64>, Vec<(u64, u64, Withdrawal)>) {
    let verdicts = rows.iter().filter(|row| row.withdrawn.is_none()).map(|row| row.seq.0).collect();
    let gone = rows.iter().filter_map(|row| row.withdrawn.map(|it| (row.seq.0, it.through.0, it.reason)));
    (verdicts, gone.collect())
}

fn all(store: &mut Outbox, lane: Lane) -> (Vec<u64>, Vec<(u64, u64, Withdrawal)>) {
    content(&fetch(store, lane, 0, usize::MAX, usize::MAX))
}

fn overwrite(path: &Path, at: usize, length: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at..at + length].fill(0xA5);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_verdict_is_withdrawn_alone() {
    let site = Site::new();
    let mut store = site.open();
    let epoch = store.epoch();
    commit(&mut store, Lane::Alarm, 5, 7);
    site.raw().execute("UPDATE alarm SET bytes = x'00' WHERE seq = 2", []).unwrap();
    site.raw().execute("DELETE FROM alarm WHERE seq = 4", []).unwrap();
    let mut reader = OutboxReader::open(&site.settings.dir, None).unwrap();
    let report = reader.verify().unwrap();
    let faulty = [2, 4].map(|seq| (Lane::Alarm, Seq(seq), Seq(seq)));
    assert_eq!((report.faulty, report.faulty_numbers, report.sound), (faulty.to_vec(), 2, 3));
    let read: Vec<bool> = reader.rows(Lane::Alarm, Seq(1), Seq(5)).map(|row| row.is_ok()).collect();
    assert_eq!(read, [true, false, true, true]);
    let gone = |seq| (seq, seq, Withdrawal::Damaged);
    assert_eq!(all(&mut store, Lane::Alarm), (vec![1, 3, 5], vec![gone(2), gone(4)]));
    assert_eq!(store.epoch(), epoch, "the rest is what it was");
    assert_eq!(store.usage().unwrap().withdrawn[usize::from(Withdrawal::Damaged.code())], 2);
    assert_eq!(
        fs::read_dir(site.settings.dir.join("quarantine")).unwrap().count(),
        1,
        "its remains are kept"
    );
    drop(store);
    assert_eq!(all(&mut site.open(), Lane::Alarm), (vec![1, 3, 5], vec![gone(2), gone(4)]), "for good");
    assert!(OutboxReader::open(&site.settings.dir, None).unwrap().verify().unwrap().is_sound());
}

#[test]
fn a_damaged_store_is_salvaged_and_never_stops_a_start() {
    let check = |damage: &dyn Fn(&Path), all_lost: bool| {
        let site = Site::new();
        let mut store = site.open();
        let epoch = store.epoch();
        store.open_routes(&[route("a")]).unwrap();
        let saved = Checkpoint { key: "judge".to_owned(), state: Some(vec![1, 2, 3]) };
        store.commit(&[], std::slice::from_ref(&saved)).unwrap();
        commit(&mut store, Lane::Alarm, 500, 7);
        commit(&mut store, Lane::Verdict, 2000, 7);
        store.mark(&route("a"), Lane::Alarm, Seq(100)).unwrap();
        commit(&mut store, Lane::Telemetry, 10, 7);
        drop(store);
        damage(&site.database());
        let opened = Outbox::open(&site.settings).unwrap();
        let note = opened.note.expect("the start has a note for the operator");
        assert_eq!(note.damage, Damage::Content, "{note}");
        assert!(note.set_aside.exists(), "{note}");
        let mut store = opened.outbox;
        assert_ne!(store.epoch(), epoch, "nobody can tell which numbers were given");
        if all_lost {
            assert_eq!(all(&mut store, Lane::Alarm).1, [(1, 500, Withdrawal::Damaged)]);
            assert_eq!(store.next_seq(Lane::Alarm), Seq(501), "numbers go on behind those that were given");
        } else {
            for lane in Lane::ALL {
                // In the new epoch every number from 1 on has a verdict or a tombstone.
                let rows = fetch(&mut store, lane, 0, usize::MAX, usize::MAX);
                let mut expected = 1;
                for row in &rows {
                    assert_eq!(row.seq.0, expected, "{lane}");
                    expected = row.through().0 + 1;
                    if row.withdrawn.is_none() {
                        assert_eq!(row.bytes, format!("{lane} {}", row.seq));
                    }
                }
                assert_eq!(store.next_seq(lane).0, expected);
            }
            let (verdicts, gone) = all(&mut store, Lane::Alarm);
            assert_eq!(gone[0], (1, 100, Withdrawal::EarlierEpoch), "what was delivered stays behind");
            assert!(verdicts.len() + note.salvaged.lost.len() > 0);
            let brought = all(&mut store, Lane::Verdict).0.len();
            assert!(brought >= 1000, "most of it is there: {brought}, {note}");
            assert_eq!(store.open_routes(&[route("a")]).unwrap()[0][0], Seq(0), "the tombstone is delivered");
        }
        commit(&mut store, Lane::Alarm, 1, 0);
        drop(store);
        let opened = Outbox::open(&site.settings).unwrap();
        assert_eq!(opened.note, None, "once is enough");
    };
    check(&|path| fs::write(path, "").unwrap(), true);
    // The first page says where all others are.
    check(&|path| overwrite(path, 0, 2048), true);
    // A page in the middle of the rows.
    let middle = |path: &Path| usize::try_from(fs::metadata(path).unwrap().len() / 2).unwrap() & !4095;
    check(&|path| overwrite(path, middle(path), 4096), false);
    check(&|path| overwrite(path, middle(path) + 12, 300), false);
}

#[test]
fn a_repair_brings_over_what_checks() {
    let site = Site::new();
    let mut store = site.open();
    commit(&mut store, Lane::Verdict, 50, 7);
    drop(store);
    site.raw().execute("UPDATE verdict SET bytes = x'00' WHERE seq IN (10, 11)", []).unwrap();
    let opened = Outbox::repair(&site.settings).unwrap();
    let note = opened.note.unwrap();
    assert_eq!(note.salvaged.lost, [(Lane::Verdict, Seq(10), Seq(11))]);
    assert_eq!(note.salvaged.verdicts, 48);
    let mut store = opened.outbox;
    let (verdicts, gone) = all(&mut store, Lane::Verdict);
    assert_eq!((verdicts.len(), gone), (48, vec![(10, 11, Withdrawal::Damaged)]));
    let old = OutboxReader::open(&note.set_aside, None).unwrap();
    assert_eq!(
        old.rows(Lane::Verdict, Seq(1), Seq(50)).filter(Result::is_ok).count(),
        48,
        "it is kept as it was"
    );
}

/// Leaves the files as a killed process leaves them.
fn kill(site: &Site, store: Outbox) -> Vec<u8> {
    let [log, witness] = ["outbox.db-wal", "outbox.guard"].map(|name| site.settings.dir.join(name));
    let [database, log_bytes, witness] =
        [&site.database(), &log, &witness].map(|path| fs::read(path).unwrap());
    drop(store);
    fs::write(site.database(), database).unwrap();
    fs::write(&log, &log_bytes).unwrap();
    adopt(&site.settings.dir, &witness);
    log_bytes
}

#[test]
fn a_log_that_lost_commits_is_no_ordinary_crash() {
    let check = |cut: &dyn Fn(&mut Vec<u8>), expected: Option<Damage>| {
        let site = Site::new();
        let mut store = site.open();
        let epoch = store.epoch();
        for _ in 0..20 {
            commit(&mut store, Lane::Alarm, 1, 7);
        }
        let mut log = kill(&site, store);
        cut(&mut log);
        fs::write(site.settings.dir.join("outbox.db-wal"), log).unwrap();
        let opened = Outbox::open(&site.settings).unwrap();
        assert_eq!(opened.note.as_ref().map(|note| note.damage), expected, "{:?}", opened.note);
        assert_eq!(opened.outbox.epoch() == epoch, expected.is_none());
    };
    check(&|_| {}, None);
    // The last transaction: it was durable, which the guard knows.
    check(&|log| log.truncate(log.len() - 100), Some(Damage::Log));
    check(
        &|log| {
            let at = log.len() - 100;
            log[at] ^= 1;
        },
        Some(Damage::Log),
    );
    // A flipped bit long before the end: what is behind it was durable.
    check(
        &|log| {
            let at = log.len() / 2;
            log[at] ^= 1;
        },
        Some(Damage::Log),
    );
    check(
        &|log| {
            let at = 32 + 24 + 50;
            log[at] ^= 1;
        },
        Some(Damage::Log),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is flipped: it opens, and what it hands out is what was committed under that number, or a tombstone.
    #[test]
    fn flipped_bytes_never_make_a_wrong_verdict(
        flips in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 1_u8..=255), 1..12),
        killed in any::<bool>(),
    ) {
        let site = Site::new();
        let mut store = site.open();
        let epoch = store.epoch();
        store.open_routes(&[route("a")]).unwrap();
        for lane in Lane::ALL {
            commit(&mut store, lane, 120, 7);
        }
        let log = site.settings.dir.join("outbox.db-wal");
        if killed {
            kill(&site, store);
        } else {
            drop(store);
        }
        for (in_log, index, flip) in flips {
            let path = if in_log && log.exists() { log.clone() } else { site.database() };
            let mut bytes = fs::read(&path).unwrap();
            if bytes.is_empty() {
                continue;
            }
            let at = index.index(bytes.len());
            bytes[at] ^= flip;
            fs::write(&path, bytes).unwrap();
        }
        let opened = Outbox::open(&site.settings);
        prop_assert!(opened.is_ok(), "{:?}", opened.err());
        let mut store = opened.unwrap().outbox;
        for lane in Lane::ALL {
            let mut rows = Vec::new();
            if store.fetch(lane, Seq::ZERO, usize::MAX, usize::MAX, &mut rows).is_err() {
                // Damage that shows itself later: the process ends, and the next start salvages.
                drop(store);
                store = Outbox::open(&site.settings).unwrap().outbox;
                rows.clear();
                store.fetch(lane, Seq::ZERO, usize::MAX, usize::MAX, &mut rows).unwrap();
            }
            prop_assert!(store.epoch() != epoch || store.next_seq(lane) == Seq(121), "a number would be given again");
            let mut expected = rows.first().map_or(1, |row| row.seq.0);
            for row in rows {
                prop_assert_eq!(row.seq.0, expected);
                expected = row.through().0 + 1;
                if row.withdrawn.is_none() {
                    prop_assert_eq!(row.bytes, format!("{lane} {}", row.seq).into_bytes());
                }
            }
        }
        prop_assert!(range(1, 3).len() == 3);
    }
}
