//! What a second witness of the numbers is good for: logs that were cut, headers that were overwritten; and crashes at
//! the worst moments of a recovery.

use std::fs;

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Checkpoint, MarkStore, RowStore, StateStore, Store};
use verge_domain::withdrawn::Withdrawal;
use verge_outbox::{Damage, Outbox};

use crate::support::*;

/// The files as they lie there now, in another folder: what a crash would leave.
fn crashed(site: &Site) -> Site {
    let other = Site::new();
    copy_files(&site.settings.dir, &other.settings.dir);
    adopt(&other.settings.dir, &fs::read(site.settings.dir.join("outbox.guard")).unwrap());
    other
}

fn live() -> (Site, Outbox) {
    let site = Site::new();
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    for _ in 0..8 {
        commit(&mut store, Lane::Alarm, 1, 0);
    }
    (site, store)
}

fn spans(store: &mut Outbox) -> Vec<(u64, u64, Option<Withdrawal>)> {
    let mut spans: Vec<(u64, u64, Option<Withdrawal>)> = Vec::new();
    for row in fetch(store, Lane::Alarm, 0, usize::MAX, usize::MAX) {
        let reason = row.withdrawn.map(|withdrawn| withdrawn.reason);
        if reason.is_none() {
            assert_eq!(row.bytes, format!("alarm {}", row.seq), "its own content");
        }
        match spans.last_mut() {
            Some((_, through, None)) if reason.is_none() => *through = row.seq.0,
            _ => spans.push((row.seq.0, row.through().0, reason)),
        }
    }
    spans
}

#[test]
fn numbers_that_were_given_are_never_given_again_in_their_epoch() {
    let (site, mut store) = live();
    let epoch = store.epoch();
    assert_eq!(crashed(&site).open().epoch(), epoch, "a crash costs no epoch");
    let log = |site: &Site| site.settings.dir.join("outbox.db-wal");
    let bytes = fs::read(log(&site)).unwrap();
    let half = &bytes[..bytes.len() / 2];
    let mut flipped = bytes.clone();
    flipped[bytes.len() - 500] ^= 1;
    for changed in [None, Some(half), Some(&flipped[..])] {
        let damaged = crashed(&site);
        match changed {
            None => fs::remove_file(log(&damaged)).unwrap(),
            Some(bytes) => fs::write(log(&damaged), bytes).unwrap(),
        }
        let opened = Outbox::open(&damaged.settings).unwrap();
        let mut store = opened.outbox;
        assert_eq!(opened.note.unwrap().damage, Damage::Log);
        assert_ne!(store.epoch(), epoch);
        assert_eq!(store.next_seq(Lane::Alarm), Seq(9));
        let spans = spans(&mut store);
        assert_eq!((spans[0].0, spans.last().unwrap().1), (1, 8), "no gap: {spans:?}");
        let epoch = store.epoch();
        drop(store);
        assert_eq!(damaged.open().epoch(), epoch, "once");
    }
    let blind = crashed(&site);
    fs::write(blind.settings.dir.join("outbox.guard"), "garbage").unwrap();
    let opened = Outbox::open(&blind.settings).unwrap();
    assert_eq!(opened.note.unwrap().damage, Damage::NoWitness);
    let mut store_2 = opened.outbox;
    assert_ne!(store_2.epoch(), epoch, "it may be a copy");
    assert_eq!(seqs(&mut store_2, Lane::Alarm), range(1, 8));
    commit(&mut store, Lane::Alarm, 1, 0);
}

#[test]
fn a_salvage_that_was_cut_short_loses_nothing() {
    let (site, store) = live();
    drop(store);
    let complete = crashed(&site);
    drop(Outbox::repair(&complete.settings).unwrap());
    // As after the first renaming: a complete store waits to take the place of the other.
    fs::copy(complete.database(), site.settings.dir.join("outbox.salvaged")).unwrap();
    fs::write(site.settings.dir.join("outbox.db-wal"), "must never meet the new database").unwrap();
    assert_eq!(seqs(&mut site.open(), Lane::Alarm), range(1, 8));
    // And before it: half of a store is not taken for one.
    fs::write(site.settings.dir.join("outbox.new"), "half of a store").unwrap();
    assert_eq!(seqs(&mut site.open(), Lane::Alarm), range(1, 8));
}

#[test]
fn a_header_that_was_overwritten_costs_nothing() {
    for at in [0..16, 16..18, 60..64, 68..72, 0..100] {
        let site = Site::new();
        let mut store = site.open();
        commit(&mut store, Lane::Alarm, 500, 0);
        drop(store);
        let mut bytes = fs::read(site.database()).unwrap();
        bytes[at.clone()].fill(0xA5);
        fs::write(site.database(), bytes).unwrap();
        let mut store = Outbox::open(&site.settings).unwrap().outbox;
        assert_eq!(spans(&mut store), [(1, 500, None)], "{at:?}");
        assert_eq!(store.next_seq(Lane::Alarm), Seq(501));
    }
}

#[test]
fn a_store_of_which_nothing_is_left_keeps_its_numbers() {
    let (site, store) = live();
    let epoch = store.epoch();
    drop(store);
    for length in [0, 50, 1000, 2048] {
        let cut = crashed(&site);
        let bytes = fs::read(cut.database()).unwrap();
        fs::write(cut.database(), &bytes[..length]).unwrap();
        let mut store = Outbox::open(&cut.settings).unwrap().outbox;
        assert_ne!(store.epoch(), epoch);
        assert_eq!(spans(&mut store), [(1, 8, Some(Withdrawal::Damaged))], "{length} bytes");
    }
}

/// A sync failed although its pages arrived: the verdict and the state saved with it go or stay together.
#[test]
fn a_failed_commit_that_arrived_stays_whole_until_it_is_repeated() {
    let (site, mut store) = live();
    let beside = crashed(&site);
    let mut other = beside.open();
    let saved = Checkpoint { key: "judge".to_owned(), state: Some(b"raised".to_vec()) };
    other.commit(&[row(Lane::Alarm, 9, 77, b"alarm 9")], std::slice::from_ref(&saved)).unwrap();
    drop(other);
    site.raw()
        .execute_batch(&format!(
            "ATTACH '{}' AS beside; INSERT INTO alarm SELECT * FROM beside.alarm WHERE seq > 8;
             INSERT INTO checkpoint SELECT * FROM beside.checkpoint;",
            beside.database().display()
        ))
        .unwrap();
    store.recover().unwrap();
    assert_eq!(seqs(&mut store, Lane::Alarm), range(1, 8), "nothing reports it");
    let killed = crashed(&site);
    let mut restarted = killed.open();
    assert_eq!(seqs(&mut restarted, Lane::Alarm), range(1, 9));
    assert_eq!(restarted.checkpoints().unwrap(), [saved]);
    commit(&mut store, Lane::Alarm, 1, 5);
    assert_eq!(fetch(&mut store, Lane::Alarm, 8, 9, 99)[0].decided.0, 5, "the repeated one took its place");
    drop(store);
    assert_eq!(seqs(&mut site.open(), Lane::Alarm), range(1, 9));
}
