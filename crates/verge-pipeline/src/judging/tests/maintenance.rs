//! Maintenance windows.

use super::*;

pub(super) fn selector(device: &str, signal: Option<&str>, judge: Option<&str>) -> Selector {
    Selector {
        device: DeviceId::new(device).unwrap(),
        signal: signal.map(|signal| SignalId::new(signal).unwrap()),
        judge: judge.map(|judge| JudgeId::new(judge).unwrap()),
        source: None,
    }
}

impl Trial<AboveTen> {
    fn maintain(&mut self, second: u64, selector: Selector, minutes: u64) -> Result<Outcome, OrderError> {
        let order = Order::Maintenance { selector, length: Duration::from_secs(minutes * 60) };
        self.set.carry_out(&order, false, at(second), &mut self.out)
    }
}

#[test]
fn a_window_holds_back_what_it_means_until_its_end() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[]), spec("warm", Scope::Signal, &[])]);
    trial.send(0, "a temp 1");
    trial.send(0, "a tension 11");
    let until = UtcMillis(61_000);
    let opened = trial.maintain(1, selector("a", None, Some("hot")), 1);
    assert_eq!(opened, Ok(Outcome::Opened { instances: 2, until }));
    assert_eq!(trial.send(2, "a temp 11"), ["warm a temp anomaly raised 3"]);
    assert_eq!(trial.send(3, "a tension 1").len(), 2, "what was open is cleared");
    assert!(trial.send(4, "a temp 12").is_empty());
    // A signal whose first reading comes while the window is open is covered as well.
    assert_eq!(trial.send(5, "a teeth 11"), ["warm a teeth anomaly raised 4"]);
    assert_eq!(trial.counters.raises_held_back_total.get(), 2);
    assert_eq!(trial.counters.maintenance().len(), 1);
    assert!(trial.send(59, "a temp 12").is_empty());
    trial.tick(60);
    assert_eq!(trial.counters.maintenance().len(), 1);
    trial.tick(61);
    assert!(trial.counters.maintenance().is_empty());
    assert_eq!(trial.send(62, "a temp 12"), ["hot a temp anomaly raised 5"], "it still holds");
    assert_eq!(trial.out.verdicts.last().unwrap().event.unwrap().since, UtcMillis(2000));
}

#[test]
fn windows_are_bounded_and_narrower_ones_end_with_wider_words() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    for device in 0..=MAX_WINDOWS {
        trial.send(0, &format!("d{device} temp 1"));
    }
    for device in 0..MAX_WINDOWS {
        assert!(trial.maintain(1, selector(&format!("d{device}"), None, None), 1).is_ok());
    }
    let one_more = selector(&format!("d{MAX_WINDOWS}"), None, None);
    assert_eq!(trial.maintain(1, one_more.clone(), 1), Err(OrderError::TooManyWindows));
    let again = trial.maintain(2, selector("d0", None, None), 2);
    assert_eq!(again, Ok(Outcome::Opened { instances: 1, until: UtcMillis(122_000) }), "another end");
    assert!(trial.maintain(3, one_more, 0).is_err());
    let narrower = trial.maintain(3, selector("d0", Some("temp"), None), 0).unwrap_err().to_string();
    assert!(narrower.ends_with("and 56 more"), "{narrower}");
    let closed = trial.maintain(3, selector("d0", None, None), 0);
    assert_eq!(closed, Ok(Outcome::Closed { windows: 1, matched: 1, changed: 0 }));
    assert!(trial.maintain(3, selector("d1", Some("temp"), Some("hot")), 1).is_ok());
    let both = trial.maintain(4, selector("d1", None, None), 0);
    assert_eq!(both, Ok(Outcome::Closed { windows: 2, matched: 1, changed: 0 }));
}

#[test]
fn a_saved_window_never_lasts_longer_than_it_may_and_one_that_is_over_is_ended() {
    let mut before = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    before.send(0, "a temp 1");
    before.maintain(0, selector("a", None, None), 60).unwrap();
    let saved: Vec<_> = before.out.checkpoints.clone();
    let restored = |second: u64| {
        let mut after = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
        after.set.restore(&saved, at(second), &mut after.out);
        after
    };
    assert_eq!(restored(3599).counters.maintenance()[0].until, UtcMillis(3_600_000));
    let over = restored(3600);
    assert!(over.counters.maintenance().is_empty());
    assert_eq!(over.out.checkpoints, [Checkpoint { key: saved[0].key.clone(), state: None }]);
    // The clock was set back by years.
    let mut back = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    let long_ago = Moment { wall: UtcMillis(-1_000_000_000_000), mono: Monotonic(0) };
    back.set.restore(&saved, long_ago, &mut back.out);
    let left = back.counters.maintenance()[0].until.since(long_ago.wall);
    assert_eq!(left, LONGEST_WINDOW);
    let damaged = Checkpoint { key: saved[0].key.clone(), state: Some(b"x".to_vec()) };
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.set.restore(&[damaged], at(0), &mut trial.out);
    assert_eq!(trial.out.checkpoints, over.out.checkpoints);
}
