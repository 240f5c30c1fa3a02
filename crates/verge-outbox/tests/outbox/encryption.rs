//! Encryption at rest.

use std::fs;

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Checkpoint, MarkStore, NewRow, RowStore, StateStore, Store, Withdrawn};
use verge_domain::time::UtcMillis;
use verge_domain::withdrawn::Withdrawal;
use verge_outbox::{MIN_CAP_BYTES, OpenError, Outbox, OutboxReader, ReadError, StoreKey};

use crate::support::{Site, commit, fetch, range, route, row, seqs};

const CANARY: &[u8] = b"a canary that must not be found in any file of the store";

fn key(byte: u8) -> Option<StoreKey> {
    Some(StoreKey::parse(&[byte; 32]).unwrap())
}

fn commit_canary(store: &mut Outbox) {
    let saved = Checkpoint { key: "judge".to_owned(), state: Some(CANARY.to_vec()) };
    let seq = store.next_seq(Lane::Verdict).0;
    let rows: [NewRow<'_>; 1] = [row(Lane::Verdict, seq, 7, CANARY)];
    store.commit(&rows, &[saved]).unwrap();
}

fn has_canary(site: &Site) -> bool {
    let files = fs::read_dir(&site.settings.dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).any(|path| {
        let bytes = fs::read(path).unwrap();
        bytes.windows(CANARY.len()).any(|window| window == CANARY)
    })
}

#[test]
fn what_is_stored_with_a_key_reads_only_with_it() {
    let mut site = Site::new();
    site.settings.key = key(1);
    let mut store = site.open();
    commit(&mut store, Lane::Alarm, 3, 7);
    commit_canary(&mut store);
    let gone = Withdrawn { through: Seq(2), reason: Withdrawal::Expired };
    store.withdraw(Lane::Alarm, Seq(1), gone, UtcMillis(9), CANARY).unwrap();
    assert!(!has_canary(&site), "while it is open");
    drop(store);
    assert!(!has_canary(&site));
    let mut store = site.open();
    assert_eq!(fetch(&mut store, Lane::Verdict, 0, 9, 999)[0].bytes, CANARY);
    assert_eq!(fetch(&mut store, Lane::Alarm, 0, 9, 999)[0].bytes, CANARY, "its summary");
    assert_eq!(store.checkpoints().unwrap()[0].state.as_deref(), Some(CANARY));
    drop(store);
    let read = |key: Option<&StoreKey>| {
        OutboxReader::open(&site.settings.dir, key).map(|mut it| it.verify().unwrap())
    };
    assert!(read(key(1).as_ref()).unwrap().is_sound());
    assert!(matches!(read(None), Err(ReadError::Key { has_key: false, .. })));
    assert!(matches!(read(key(2).as_ref()), Err(ReadError::Key { has_key: true, .. })));
    site.settings.key = key(2);
    assert!(matches!(Outbox::open(&site.settings), Err(OpenError::WrongKey { .. })));
    site.settings.key = None;
    assert!(matches!(Outbox::open(&site.settings), Err(OpenError::KeyMissing { .. })));
}

#[test]
fn a_store_that_gets_a_key_keeps_no_plain_text() {
    let mut site = Site::new();
    let mut store = site.open();
    commit(&mut store, Lane::Alarm, 700, 7);
    commit_canary(&mut store);
    let epoch = store.epoch();
    drop(store);
    assert!(has_canary(&site), "the test can see it");
    site.settings.key = key(1);
    let mut store = site.open();
    assert!(!has_canary(&site));
    assert_eq!((store.epoch(), seqs(&mut store, Lane::Alarm)), (epoch, range(1, 700)));
    assert_eq!(fetch(&mut store, Lane::Verdict, 0, 9, 999)[0].bytes, CANARY);
    assert_eq!(store.checkpoints().unwrap()[0].state.as_deref(), Some(CANARY));
}

#[test]
fn a_sealed_row_is_bound_to_its_place() {
    let mut site = Site::new();
    site.settings.key = key(1);
    let mut store = site.open();
    commit(&mut store, Lane::Alarm, 2, 7);
    // An attacker who can write the file, and knows checksums, swaps two sealed verdicts.
    site.raw()
        .execute("UPDATE alarm SET bytes = (SELECT bytes FROM alarm WHERE seq = 1) WHERE seq = 2", [])
        .unwrap();
    let rows = fetch(&mut store, Lane::Alarm, 0, 9, 999);
    assert!(rows[0].withdrawn.is_none() && rows[1].withdrawn.is_some(), "it does not open there");
}

#[test]
fn a_store_that_is_full_gets_its_key_all_the_same() {
    let mut site = Site::new();
    site.settings.cap_bytes = MIN_CAP_BYTES;
    let mut store = site.open();
    let mut alarms = 0;
    while store.commit(&[row(Lane::Alarm, alarms + 1, 7, CANARY)], &[]).is_ok() {
        alarms += 1;
    }
    drop(store);
    site.settings.key = key(1);
    let mut store = site.open();
    assert!(!has_canary(&site));
    let rows = fetch(&mut store, Lane::Alarm, 0, usize::MAX, usize::MAX);
    assert_eq!(rows.len() as u64, alarms);
    assert!(rows.iter().all(|row| row.bytes == CANARY));
    let mut reader = OutboxReader::open(&site.settings.dir, key(1).as_ref()).unwrap();
    assert!(!reader.summary().unwrap().encryption_unfinished && reader.verify().unwrap().is_sound());
    // It works on, as a full store does.
    store.open_routes(&[route("a")]).unwrap();
    store.mark(&route("a"), Lane::Alarm, Seq(alarms)).unwrap();
    store.commit(&[row(Lane::Alarm, alarms + 1, 7, CANARY)], &[]).unwrap();
    assert!(!has_canary(&site));
}

#[test]
fn copies_in_plain_text_beside_an_encrypted_store_are_reported() {
    let mut site = Site::new();
    let mut store = site.open();
    commit_canary(&mut store);
    drop(store);
    // One set aside, and one that was made by hand.
    let set_aside = Outbox::repair(&site.settings).unwrap().note.unwrap().set_aside.join("outbox.db");
    let copy = site.settings.dir.join("before.db");
    fs::copy(site.database(), &copy).unwrap();
    site.settings.key = key(1);
    drop(site.open());
    let mut reader = OutboxReader::open(&site.settings.dir, key(1).as_ref()).unwrap();
    let report = reader.verify().unwrap();
    assert!(report.is_sound() && report.plain.is_empty(), "the store itself is encrypted: {report:?}");
    assert_eq!(report.plain_copies, [copy, set_aside]);
    // A copy of the encrypted store is none.
    fs::copy(site.database(), site.settings.dir.join("after.db")).unwrap();
    assert_eq!(reader.verify().unwrap().plain_copies.len(), 2);
}

#[test]
fn names_in_the_keys_of_saved_states_are_encrypted() {
    let mut site = Site::new();
    site.settings.key = key(1);
    let mut store = site.open();
    let name = String::from_utf8(CANARY.to_vec()).unwrap();
    let saved = |kind: &str, state: Option<&[u8]>| Checkpoint {
        key: format!("{kind}\u{1f}{name}"),
        state: state.map(<[u8]>::to_vec),
    };
    store.commit(&[], &[saved("state", Some(b"1")), saved("events", Some(b"2"))]).unwrap();
    store.commit(&[], &[saved("state", Some(b"3"))]).unwrap();
    assert!(!has_canary(&site));
    let expected = [saved("events", Some(b"2")), saved("state", Some(b"3"))];
    assert_eq!(store.checkpoints().unwrap(), expected);
    let summary = OutboxReader::open(&site.settings.dir, key(1).as_ref()).unwrap().summary().unwrap();
    assert_eq!(
        summary.checkpoints.iter().map(|it| it.key.clone()).collect::<Vec<_>>(),
        expected.map(|it| it.key)
    );
    store.commit(&[], &[saved("state", None), saved("events", None)]).unwrap();
    assert!(store.checkpoints().unwrap().is_empty());
}
