//! Devices that say that they are away.

use super::*;
use crate::judging::WatchedDevices;
use verge_domain::time::Monotonic;

#[test]
fn a_device_that_is_away_is_silent_at_once_and_no_other() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(0, "a temp 1;a tension 1;b temp 1");
    let mut silent = trial.send(1, "away a");
    silent.sort();
    assert_eq!(silent.len(), 2, "{silent:?}");
    assert!(
        silent[0].starts_with("hot a temp health raised")
            && silent[1].starts_with("hot a tension health raised")
    );
    assert_eq!(trial.send(2, "a temp 1").len(), 1, "its next reading ends it");
    assert!(trial.send(3, "away nobody").is_empty());
}

#[test]
fn every_device_is_noted_where_that_is_wanted() {
    let all = Arc::new(WatchedDevices::of([DeviceId::new("b").unwrap()], 1).and_all_others());
    let named = Arc::new(WatchedDevices::of([DeviceId::new("b").unwrap()], 1));
    for (watched, expected) in [
        (all, [Some(Monotonic(2_000_000)), Some(Monotonic(1_000_000))]),
        (named, [None, Some(Monotonic(1_000_000))]),
    ] {
        let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
        trial.set.watch_devices(&watched);
        trial.send(1, "b temp 1");
        trial.send(2, "a temp 1");
        let received = ["a", "b"].map(|name| watched.received_at_all(&DeviceId::new(name).unwrap()));
        assert_eq!(received, expected);
    }
}
