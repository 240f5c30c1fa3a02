//! Files that are deleted, moved or replaced under an open store.

use std::fs;

use verge_domain::id::Lane;
use verge_domain::stage::{MarkStore, RowStore, Store};
use verge_outbox::{Damage, Outbox};

use crate::support::*;

fn live() -> (Site, Outbox) {
    let site = Site::new();
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    commit(&mut store, Lane::Alarm, 5, 0);
    assert!(store.in_place().is_ok());
    (site, store)
}

/// What the next start finds.
fn next(site: &Site, expected: Option<Damage>) {
    let opened = Outbox::open(&site.settings).unwrap();
    assert_eq!(opened.note.map(|note| note.damage), expected);
    let mut store = opened.outbox;
    assert_eq!(seqs(&mut store, Lane::Alarm), range(1, 5));
    assert_eq!(store.next_seq(Lane::Alarm).0, 6);
}

#[test]
fn a_store_that_was_deleted_is_written_to_its_place_again() {
    for whole in [false, true] {
        let (site, mut store) = live();
        if whole {
            fs::remove_dir_all(&site.settings.dir).unwrap();
        } else {
            fs::remove_file(site.database()).unwrap();
        }
        let displaced = store.in_place().unwrap_err();
        assert!(displaced.what.contains("deleted or moved"), "{displaced}");
        assert!(displaced.then.contains("outbox.db, and is sent under a new epoch"), "{displaced}");
        drop(store);
        next(&site, Some(Damage::Backup));
    }
}

#[test]
fn a_store_that_was_moved_is_whole_where_it_lies_and_where_it_lay() {
    let (site, mut store) = live();
    let elsewhere = Site::new();
    fs::rename(&site.settings.dir, &elsewhere.settings.dir).unwrap();
    assert!(store.in_place().is_err());
    drop(store);
    next(&site, Some(Damage::Backup));
    next(&elsewhere, None);
}

#[test]
fn what_replaced_a_store_is_not_touched() {
    let (site, mut store) = live();
    let (other, other_store) = live();
    drop(other_store);
    let aside = Site::new();
    fs::rename(&site.settings.dir, &aside.settings.dir).unwrap();
    fs::rename(&other.settings.dir, &site.settings.dir).unwrap();
    let content =
        || ["outbox.db", "outbox.guard"].map(|name| fs::read(site.settings.dir.join(name)).unwrap());
    let before = content();
    let displaced = store.in_place().unwrap_err();
    assert!(displaced.what.contains("was replaced"), "{displaced}");
    let epoch = store.epoch();
    drop(store);
    assert_eq!(content(), before);
    let kept = site.settings.dir.join("quarantine").join(epoch.to_string());
    assert!(displaced.then.contains(&*kept.to_string_lossy()), "{displaced}");
    next(&site, None);
    let mut reader = verge_outbox::OutboxReader::open(&kept, None).unwrap();
    assert_eq!(reader.summary().unwrap().lanes[0].rows, 5);
}

#[test]
fn a_log_that_was_deleted_is_brought_into_the_database() {
    let (site, mut store) = live();
    fs::remove_file(site.settings.dir.join("outbox.db-wal")).unwrap();
    let displaced = store.in_place().unwrap_err();
    assert!(displaced.what.contains("log of the store"), "{displaced}");
    assert!(displaced.then.contains("brought into the database"), "{displaced}");
    drop(store);
    next(&site, None);
}
