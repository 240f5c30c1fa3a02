//! The share of learnt states: rows always have room.

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Checkpoint, MarkStore, NewRow, RowStore, StateStore, Store, StoreError};
use verge_outbox::{MIN_CAP_BYTES, Outbox, OutboxReader, StoreKey};

use crate::support::{Site, fetch, route, row};

const STATE: usize = 11 * 1024;

fn small() -> Site {
    let mut site = Site::new();
    site.settings.cap_bytes = 4 * MIN_CAP_BYTES;
    site.settings.states_bytes = MIN_CAP_BYTES;
    site
}

fn key(number: usize) -> String {
    format!("state\u{1f}auto\u{1f}pump\u{1f}d{number}\u{1f}s")
}

fn state(number: usize, bytes: usize) -> Checkpoint {
    Checkpoint { key: key(number), state: Some(vec![u8::try_from(number % 251).unwrap(); bytes]) }
}

fn event(number: usize) -> Checkpoint {
    Checkpoint { key: format!("events\u{1f}high\u{1f}pump\u{1f}d{number}\u{1f}s"), state: Some(vec![1; 300]) }
}

fn save(store: &mut Outbox, saved: &[Checkpoint]) {
    store.commit(&[], saved).unwrap();
}

/// Numbers of the learnt states that are stored, in their order.
fn learnt(store: &mut Outbox) -> Vec<usize> {
    let saved = store.checkpoints().unwrap();
    let numbers = saved.iter().filter(|saved| saved.key.starts_with("state"));
    numbers
        .map(|saved| saved.key.split('\u{1f}').nth(3).unwrap().strip_prefix('d').unwrap().parse().unwrap())
        .collect()
}

fn events(store: &mut Outbox) -> usize {
    store.checkpoints().unwrap().iter().filter(|saved| saved.key.starts_with("events")).count()
}

/// Commits rows of a lane until there is no room; says how many bytes those were.
fn fill(store: &mut Outbox, lane: Lane) -> usize {
    const BYTES: [u8; 8000] = [7; 8000];
    for count in 0.. {
        let seq = store.next_seq(lane).0;
        let rows: [NewRow<'_>; 1] = [row(lane, seq, 7, &BYTES)];
        match store.commit(&rows, &[]) {
            Ok(()) => {}
            Err(StoreError::Full { .. }) => return count * BYTES.len(),
            Err(other) => panic!("{other}"),
        }
    }
    0
}

#[test]
fn states_never_take_the_room_of_verdicts() {
    let site = small();
    let mut store = site.open();
    store.open_routes(&[route("a")]).unwrap();
    save(&mut store, &(0..20).map(event).collect::<Vec<_>>());
    // Telemetry that waits, and a replay window: none of it is evicted for states.
    for lane in [Lane::Telemetry, Lane::Alarm] {
        let rows: Vec<NewRow<'_>> = (1..=100).map(|seq| row(lane, seq, 7, &[7; 600])).collect();
        store.commit(&rows, &[]).unwrap();
    }
    store.mark(&route("a"), Lane::Alarm, Seq(100)).unwrap();
    for round in 0..3 {
        let all: Vec<Checkpoint> = (0..2000).map(|number| state(number, STATE + round)).collect();
        all.chunks(40).for_each(|some| save(&mut store, some));
    }
    let usage = store.usage().unwrap();
    assert!(usage.states.bytes <= MIN_CAP_BYTES && usage.states.bytes > MIN_CAP_BYTES * 8 / 10, "{usage:?}");
    assert_eq!(usage.states.share_bytes, MIN_CAP_BYTES);
    assert!(usage.states.evicted > 5000, "{usage:?}");
    assert_eq!(usage.withdrawn.iter().sum::<u64>(), 0, "no verdict was withdrawn");
    assert_eq!(store.oldest(Lane::Alarm), Seq(1), "the replay window is whole");
    assert_eq!(learnt(&mut store).last(), Some(&1999), "the newest are kept");
    assert_eq!(events(&mut store), 20, "open events are not evicted");
    let room = fill(&mut store, Lane::Verdict);
    assert!(room > 2 << 20, "verdicts have the rest of the cap: {room}");
    // On a full store states are not saved, and nothing waits for them.
    let last = store.next_seq(Lane::Verdict);
    save(&mut store, &[state(5000, STATE), event(5)]);
    assert_eq!((store.next_seq(Lane::Verdict), events(&mut store)), (last, 20));
}

#[test]
fn the_state_longest_unused_goes_first() {
    let site = small();
    let mut store = site.open();
    let many = 60;
    for number in 0..many {
        save(&mut store, &[state(number, STATE)]);
    }
    // The first is in use.
    for number in many..200 {
        save(&mut store, &[state(0, STATE + number), state(number, STATE)]);
    }
    let kept = learnt(&mut store);
    assert!(kept.contains(&0) && !kept.contains(&1), "{kept:?}");
    assert!(kept.windows(2).filter(|pair| pair[0] > pair[1]).count() <= 1, "in their order: {kept:?}");
    drop(store);
    // A smaller share, set by the configuration: the order outlives the restart.
    let mut site = site;
    site.settings.states_bytes = MIN_CAP_BYTES / 4;
    let mut store = site.open();
    let fewer = learnt(&mut store);
    assert!(!fewer.is_empty() && kept.ends_with(&fewer), "{fewer:?} of {kept:?}");
    let usage = store.usage().unwrap().states;
    assert!(usage.bytes <= MIN_CAP_BYTES / 4 && usage.evicted > 0, "{usage:?}");
    // A state that is larger than the share is not saved, and costs no other.
    save(&mut store, &[state(7000, MIN_CAP_BYTES as usize)]);
    assert_eq!(store.usage().unwrap().states.not_saved, 1);
    assert_eq!(learnt(&mut store), fewer);
    // None at all.
    drop(store);
    site.settings.states_bytes = 0;
    let mut store = site.open();
    save(&mut store, &[state(1, 10), event(1)]);
    assert_eq!((learnt(&mut store).len(), events(&mut store)), (0, 1));
}

#[test]
fn removed_states_give_their_room_back() {
    for key in [None, Some(StoreKey::parse(&[1; 32]).unwrap())] {
        let mut site = small();
        site.settings.key = key;
        let mut store = site.open();
        for round in 0..5 {
            let saved: Vec<Checkpoint> = (0..50).map(|number| state(number + round, STATE)).collect();
            save(&mut store, &saved);
            assert_eq!(learnt(&mut store).len(), 50);
            let gone: Vec<Checkpoint> =
                saved.iter().map(|saved| Checkpoint { key: saved.key.clone(), state: None }).collect();
            save(&mut store, &gone);
            assert_eq!(store.usage().unwrap().states.bytes, 0);
        }
        assert_eq!(store.usage().unwrap().states.evicted, 0);
        // The account is the same when the store is opened again.
        save(&mut store, &[state(1, STATE), event(1)]);
        let before = store.usage().unwrap().states;
        drop(store);
        assert_eq!(site.open().usage().unwrap().states, before);
    }
}

#[test]
fn open_events_have_a_bound_and_none_that_is_saved_is_lost() {
    let site = small();
    let mut store = site.open();
    let all: Vec<Checkpoint> = (0..10_000).map(event).collect();
    all.chunks(100).for_each(|some| save(&mut store, some));
    let usage = store.usage().unwrap().states;
    assert!(usage.events_bytes <= MIN_CAP_BYTES && usage.events_not_saved > 5000, "{usage:?}");
    let saved = events(&mut store);
    assert_eq!(saved as u64, 10_000 - usage.events_not_saved, "the first are there");
    assert!(fill(&mut store, Lane::Alarm) > 2 << 20, "alarms have room");
    // What ends makes room for what is new.
    store.open_routes(&[route("a")]).unwrap();
    store.mark(&route("a"), Lane::Alarm, Seq(100)).unwrap();
    let gone: Vec<Checkpoint> = (0..10).map(|number| Checkpoint { state: None, ..event(number) }).collect();
    save(&mut store, &gone);
    save(&mut store, &[event(20_000)]);
    assert_eq!(events(&mut store), saved - 9);
}

/// Makes it a store of schema version 2, full of states.
fn of_version_2(site: &Site, states: usize) {
    // A witness of version 3 would say that the header is damaged.
    std::fs::remove_file(site.settings.dir.join("outbox.guard")).unwrap();
    let mut raw = site.raw();
    raw.execute_batch("DROP TABLE learnt; DELETE FROM meta WHERE key <> 'epoch'; PRAGMA user_version = 2")
        .unwrap();
    let pages = site.settings.cap_bytes / 2048;
    raw.pragma_update(None, "max_page_count", i64::try_from(pages).unwrap()).unwrap();
    let crc =
        |key: &str, state: &[u8]| crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), state).cast_signed();
    let put = "INSERT INTO checkpoint VALUES (?1, ?2, ?3)";
    let mut full = false;
    for number in (0..20).map(event).chain((0..states).map(|number| state(number, STATE))) {
        let transaction = raw.transaction().unwrap();
        let saved = number.state.unwrap();
        if transaction.execute(put, rusqlite::params![number.key, crc(&number.key, &saved), saved]).is_err() {
            full = true;
            break;
        }
        transaction.commit().unwrap();
    }
    assert!(full || states < 200, "as full as it gets");
}

#[test]
fn a_store_that_an_earlier_version_filled_with_states_heals() {
    for key in [None, Some(StoreKey::parse(&[1; 32]).unwrap())] {
        let mut site = small();
        let mut store = site.open();
        store.commit(&[row(Lane::Alarm, 1, 7, b"an alarm")], &[]).unwrap();
        drop(store);
        of_version_2(&site, 2000);
        site.settings.key = key;
        let mut store = site.open();
        assert_eq!(fetch(&mut store, Lane::Alarm, 0, 9, 999).len(), 1);
        assert_eq!(events(&mut store), 20);
        let usage = store.usage().unwrap().states;
        assert!(usage.bytes <= MIN_CAP_BYTES && usage.evicted > 100, "{usage:?}");
        assert!(!learnt(&mut store).is_empty());
        let room = fill(&mut store, Lane::Alarm);
        assert!(room > 2 << 20, "the room is given back: {room}");
        drop(store);
        let mut reader = OutboxReader::open(&site.settings.dir, site.settings.key.as_ref()).unwrap();
        assert!(reader.verify().unwrap().is_sound());
    }
}

#[test]
fn states_of_an_earlier_version_keep_what_they_say() {
    let site = small();
    drop(site.open());
    of_version_2(&site, 50);
    let mut store = site.open();
    let saved = store.checkpoints().unwrap();
    assert_eq!((saved.len(), events(&mut store)), (70, 20));
    for number in 0..50 {
        let expected = state(number, STATE);
        assert!(saved.contains(&expected), "state {number}");
    }
    assert_eq!(store.usage().unwrap().states.evicted, 0);
}
