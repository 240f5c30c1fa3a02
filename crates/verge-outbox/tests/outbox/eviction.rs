//! What is evicted: delivered verdicts beyond the replay window, what no route holds back, the oldest of a full store.

use std::time::Duration;

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{MarkStore, RowStore, Store, StoreError};
use verge_outbox::MIN_CAP_BYTES;

use crate::support::{Site, at, commit, fetch, route, row, seqs};

const DAY_MS: i64 = 86_400_000;

#[test]
fn what_every_route_has_delivered_goes_and_numbers_go_on() {
    let site = Site::new();
    let mut store = site.open();
    store.open_routes(&[route("a"), route("b")]).unwrap();
    commit(&mut store, Lane::Alarm, 5, 0);
    store.mark(&route("a"), Lane::Alarm, Seq(5)).unwrap();
    assert_eq!(store.sweep(at(DAY_MS)).unwrap(), 0, "b has delivered nothing");
    store.mark(&route("b"), Lane::Alarm, Seq(3)).unwrap();
    assert_eq!(store.sweep(at(DAY_MS)).unwrap(), 3);
    assert_eq!(seqs(&mut store, Lane::Alarm), [4, 5]);
    drop(store);
    let mut store = site.open();
    assert_eq!(
        store.open_routes(&[route("a"), route("b")]).unwrap()[1][0],
        Seq(3),
        "the mark outlived the restart"
    );
    store.mark(&route("b"), Lane::Alarm, Seq(5)).unwrap();
    assert_eq!(store.sweep(at(DAY_MS)).unwrap(), 2);
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
    assert_eq!(store.sweep(at(DAY_MS)).unwrap(), 0);
    drop(store);
    let mut store = site.open();
    assert_eq!(store.open_routes(&[route("new")]).unwrap(), [[Seq(0), Seq(2), Seq(0)]]);
    assert_eq!(store.sweep(at(DAY_MS)).unwrap(), 2);
}

#[test]
fn the_replay_window_keeps_what_is_delivered() {
    let check = |age_ms: u64, bytes: u64, kept: &[u64]| {
        let mut site = Site::new();
        site.settings.replay_age = Duration::from_millis(age_ms);
        site.settings.replay_bytes = bytes;
        let mut store = site.open();
        store.open_routes(&[route("a")]).unwrap();
        for running in [1000, 2000, 3000, 4000] {
            commit(&mut store, Lane::Alarm, 1, 0);
            store.sweep(at(running)).unwrap();
        }
        store.mark(&route("a"), Lane::Alarm, Seq(4)).unwrap();
        store.sweep(at(5000)).unwrap();
        assert_eq!(seqs(&mut store, Lane::Alarm), kept, "{age_ms} ms, {bytes} bytes");
    };
    check(10_000, 1000, &[1, 2, 3, 4]);
    check(2500, 1000, &[3, 4]);
    // Seven bytes each.
    check(10_000, 15, &[3, 4]);
    check(0, 1000, &[]);
}

#[test]
fn without_a_route_the_newest_are_kept_and_a_route_that_comes_gets_them() {
    let mut site = Site::new();
    site.settings.replay_bytes = 20;
    site.settings.replay_age = Duration::from_secs(3600);
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    commit(&mut store, Lane::Verdict, 1, 0);
    store.mark(&route("a"), Lane::Verdict, Seq(1)).unwrap();
    store.sweep(at(1)).unwrap();
    drop(store);
    let mut store = site.open();
    assert_eq!(store.open_routes(&[]).unwrap(), [] as [[Seq; 3]; 0]);
    commit(&mut store, Lane::Verdict, 3, 0);
    // Nine bytes each.
    assert_eq!(store.sweep(at(1000)).unwrap(), 2);
    assert_eq!(seqs(&mut store, Lane::Verdict), [3, 4]);
    assert!(store.overdue(Lane::Verdict, Duration::ZERO, at(2000)).unwrap().is_none(), "no route waits");
    drop(store);
    let mut store = site.open();
    let marks = store.open_routes(&[route("a"), route("b")]).unwrap();
    assert_eq!([marks[0][1], marks[1][1]], [Seq(1), Seq(0)], "one that returns goes on where it stopped");
    assert_eq!(store.sweep(at(3000)).unwrap(), 0);
    assert_eq!(seqs(&mut store, Lane::Verdict), [3, 4]);
}

#[test]
fn without_a_route_no_store_fills_up_and_the_oldest_alone_give_way() {
    for alarms in [false, true] {
        let mut site = Site::new();
        site.settings.cap_bytes = MIN_CAP_BYTES;
        site.settings.replay_age = Duration::from_secs(86_400);
        site.settings.replay_bytes = MIN_CAP_BYTES;
        let mut store = site.open();
        store.open_routes(&[]).unwrap();
        let lane = if alarms { Lane::Alarm } else { Lane::Verdict };
        let big = vec![7; 50_000];
        let mut most = 0;
        for seq in 1..=100 {
            store.commit(&[row(lane, seq, 0, &big)], &[]).unwrap();
            let kept = seq + 1 - store.oldest(lane).0;
            most = most.max(kept);
            assert!(kept > most / 2, "{kept} of {most} at {seq}");
        }
        assert!(store.oldest(lane) > Seq(1) && most > 5, "{most}");
    }
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
