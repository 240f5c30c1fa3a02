//! Tombstones, ages in running time, and recovery after a fault.

use std::time::Duration;

use verge_domain::id::{Lane, LinkId, Seq};
use verge_domain::stage::{MarkStore, Overdue, RowStore, SentBytes, Store, StoreError, StoredRow, Withdrawn};
use verge_domain::time::{Monotonic, UtcMillis};
use verge_domain::withdrawn::Withdrawal;

use crate::support::{Site, at, commit, fetch, route};

fn gone(through: u64, reason: Withdrawal) -> Withdrawn {
    Withdrawn { through: Seq(through), reason }
}

fn spans(rows: &[StoredRow]) -> Vec<(u64, u64)> {
    rows.iter().map(|row| (row.seq.0, row.through().0)).collect()
}

#[test]
fn a_tombstone_takes_the_place_of_a_range() {
    let site = Site::new();
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    commit(&mut store, Lane::Verdict, 10, 7);
    let mut withdraw = |from, through, summary: &[u8]| {
        store.withdraw(Lane::Verdict, Seq(from), gone(through, Withdrawal::Expired), UtcMillis(99), summary)
    };
    withdraw(4, 6, b"three in short").unwrap();
    for (from, through) in [(5, 5), (5, 8), (2, 5), (0, 3), (9, 11), (8, 7)] {
        assert!(matches!(withdraw(from, through, b""), Err(StoreError::Fault(_))), "{from} to {through}");
    }
    withdraw(3, 7, b"five in short").expect("one that reaches over all of it absorbs it");
    let rows = fetch(&mut store, Lane::Verdict, 0, 99, 999);
    assert_eq!(spans(&rows), [(1, 1), (2, 2), (3, 7), (8, 8), (9, 9), (10, 10)]);
    assert_eq!((rows[2].decided, rows[2].bytes.as_ref()), (UtcMillis(99), &b"five in short"[..]));
    assert_eq!(rows[2].withdrawn, Some(gone(7, Withdrawal::Expired)));
    let after = spans(&fetch(&mut store, Lane::Verdict, 5, 99, 999));
    assert_eq!(after, [(3, 7), (8, 8), (9, 9), (10, 10)], "whole, where reading begins within");
    assert_eq!(spans(&fetch(&mut store, Lane::Verdict, 7, 1, 999)), [(8, 8)]);
    store.mark(&route("a"), Lane::Verdict, Seq(5)).unwrap();
    store.sweep(at(1)).unwrap();
    assert_eq!(store.oldest(Lane::Verdict), Seq(3), "a tombstone goes only when all of it is delivered");
    store.mark(&route("a"), Lane::Verdict, Seq(10)).unwrap();
    store.sweep(at(1)).unwrap();
    assert_eq!(store.oldest(Lane::Verdict), Seq(11));
    drop(store);
    assert_eq!(site.open().next_seq(Lane::Verdict), Seq(11), "numbers go on");
}

#[test]
fn ages_are_running_times_and_go_on_over_restarts() {
    const HOUR: Duration = Duration::from_secs(3600);
    let hours = |hours: u64| Monotonic(hours * 3_600_000_000);
    let mut site = Site::new();
    site.settings.replay_age = 2 * HOUR;
    site.settings.lives = [None, None, Some(HOUR)];
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    // Whatever time the wall clock gave when they were made.
    commit(&mut store, Lane::Telemetry, 5, -62_000_000_000_000);
    commit(&mut store, Lane::Alarm, 3, 62_000_000_000_000);
    store.mark(&route("a"), Lane::Alarm, Seq(3)).unwrap();
    assert_eq!(store.sweep(hours(0)).unwrap(), 0);
    assert_eq!(store.overdue(Lane::Telemetry, HOUR, hours(0)).unwrap(), None);
    drop(store);
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    commit(&mut store, Lane::Telemetry, 5, 0);
    store.sweep(hours(1)).unwrap();
    let overdue = |from, through| Some(Overdue { from: Seq(from), through: Seq(through) });
    assert_eq!(store.overdue(Lane::Telemetry, HOUR, hours(1)).unwrap(), overdue(1, 5));
    store.mark(&route("a"), Lane::Telemetry, Seq(2)).unwrap();
    assert_eq!(store.overdue(Lane::Telemetry, HOUR, hours(1)).unwrap(), overdue(3, 5), "some are delivered");
    store.withdraw(Lane::Telemetry, Seq(3), gone(4, Withdrawal::Expired), UtcMillis(1), b"").unwrap();
    assert_eq!(store.overdue(Lane::Telemetry, HOUR, hours(1)).unwrap(), overdue(5, 5));
    assert_eq!(
        store.overdue(Lane::Telemetry, HOUR, hours(3)).unwrap(),
        overdue(5, 10),
        "without the tombstone"
    );
    assert_eq!(store.oldest(Lane::Alarm), Seq(1));
    assert_eq!(store.sweep(hours(2)).unwrap(), 5, "two hours of running: three alarms, two of the telemetry");
}

#[test]
fn what_was_sent_is_kept_with_the_marks() {
    let site = Site::new();
    let mut store = site.open();
    let sent = |bytes| SentBytes { link: LinkId::new("lte").unwrap(), day: 20_000, bytes };
    store.note_sent(sent(1)).unwrap();
    store.note_sent(sent(5)).unwrap();
    store.sweep(at(1)).unwrap();
    drop(store);
    assert_eq!(site.open().sent().unwrap(), [sent(5)]);
}

#[test]
fn recovery_finds_what_was_committed_and_notices_what_is_not_there() {
    let site = Site::new();
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    commit(&mut store, Lane::Alarm, 3, 7);
    store.mark(&route("a"), Lane::Alarm, Seq(2)).unwrap();
    store.recover().unwrap();
    commit(&mut store, Lane::Alarm, 1, 7);
    // A commit that was reported as failed and is stored all the same: nobody has seen it.
    site.raw()
        .execute("INSERT INTO alarm SELECT 5, decided, cause, lane_bytes, crc, bytes, NULL, NULL FROM alarm WHERE seq = 4", [])
        .unwrap();
    store.recover().unwrap();
    assert_eq!(store.next_seq(Lane::Alarm), Seq(5));
    commit(&mut store, Lane::Alarm, 1, 7);
    assert_eq!(spans(&fetch(&mut store, Lane::Alarm, 0, 99, 999)).len(), 5);
    let epoch = store.epoch();
    site.raw().execute("DELETE FROM alarm WHERE seq > 2", []).unwrap();
    let error = store.recover().unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert!(store.commit(&[], &[]).is_ok(), "nothing to do is no error");
    drop(store);
    let opened = verge_outbox::Outbox::open(&site.settings).unwrap();
    assert_ne!(opened.outbox.epoch(), epoch, "numbers may have been seen that are given again now");
}
