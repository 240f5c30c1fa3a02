//! Judges and the state of machines, with a judge that is abnormal above ten.

use super::*;
use crate::judging::tests::{Trial, spec};
use crate::judging::{ByRule, JudgeSpec, Order, StateRules, StateSignal, StateTest, WhileRule};
use verge_domain::id::SignalId;
use verge_domain::reading::SourceIndex;
use verge_domain::stage::{Remark, Scope};
use verge_domain::verdict::EventState;

type Spec = JudgeSpec<crate::judging::tests::AboveTen>;

fn signal(device: Option<&str>) -> StateSignal {
    StateSignal {
        source: SourceIndex(0),
        signal: SignalId::new("run").unwrap(),
        device: device.map(|device| DeviceId::new(device).unwrap()),
    }
}

fn only_while(settle_s: u64, device: Option<&str>) -> Spec {
    let (state, test) = (signal(device), StateTest::Equals(1.0));
    let rule = WhileRule { state, test, settle: Duration::from_secs(settle_s) };
    Spec { states: StateRules { only_while: Some(rule), by: None }, ..spec("hot", Scope::Signal, &[]) }
}

fn by() -> Spec {
    let rule = ByRule { state: signal(None), settle: Duration::ZERO };
    Spec { states: StateRules { only_while: None, by: Some(rule) }, ..spec("hot", Scope::Signal, &[]) }
}

/// What a store holds: the last of each key.
fn stored(out: &crate::judging::Decision) -> Vec<verge_domain::stage::Checkpoint> {
    let mut stored: Vec<verge_domain::stage::Checkpoint> = Vec::new();
    for checkpoint in &out.checkpoints {
        stored.retain(|known| known.key != checkpoint.key);
        stored.push(checkpoint.clone());
    }
    stored
}

/// State and "suspended" of the events that were reported.
fn lives<J>(trial: &Trial<J>, from: usize) -> Vec<(EventState, bool)> {
    let events = trial.out.verdicts[from..].iter().filter_map(|verdict| verdict.event);
    events.map(|event| (event.state, event.suspended)).collect()
}

#[test]
fn it_judges_only_while_the_machine_runs_and_an_open_event_is_suspended_meanwhile() {
    let mut trial = Trial::new(vec![only_while(0, None)]);
    assert!(trial.send(0, "a temp 99").is_empty(), "the state is not known");
    trial.send(1, "a run 0");
    assert!(trial.send(2, "a temp 99").is_empty());
    trial.send(3, "a run 1");
    assert_eq!(trial.send(4, "a temp 99"), ["hot a temp anomaly raised 1"]);
    assert_eq!(trial.send(30, "a run 0"), ["hot a temp anomaly updated 1"]);
    assert!(trial.out.verdicts[1].event.unwrap().suspended);
    assert!(
        trial.send(31, "a temp 0").is_empty(),
        "it is not cleared by what is normal for a machine at rest"
    );
    assert!(trial.tick(5000).is_empty());
    trial.send(5001, "a run 1");
    assert_eq!(trial.send(5002, "a temp 99"), ["hot a temp anomaly updated 1"]);
    assert!(!trial.out.verdicts[2].event.unwrap().suspended);
    assert_eq!(trial.send(5003, "a temp 1"), ["hot a temp anomaly cleared 1"]);
    // The state of another device is of no use.
    trial.send(5004, "b run 1");
    trial.send(5005, "a run 0");
    assert!(trial.send(5006, "a temp 99").is_empty());
}

#[test]
fn it_waits_until_the_machine_has_settled() {
    let mut trial = Trial::new(vec![only_while(30, None)]);
    trial.send(100, "a run 1");
    assert!(trial.send(129, "a temp 99").is_empty());
    assert_eq!(trial.send(130, "a temp 99").len(), 1);
}

#[test]
fn a_named_device_speaks_for_all() {
    let mut trial = Trial::new(vec![only_while(0, Some("plc"))]);
    trial.send(1, "a run 1");
    assert!(trial.send(2, "a temp 99").is_empty());
    trial.send(3, "plc run 1");
    assert_eq!(trial.send(4, "a temp 99").len() + trial.send(4, "b temp 99").len(), 2);
    assert_eq!(trial.send(20, "plc run 0").len(), 2, "both are suspended");
}

#[test]
fn a_stopped_pump_that_sends_nothing_is_not_silent() {
    let mut trial = Trial::new(vec![only_while(0, None)]);
    trial.send(0, "a run 1");
    trial.send(1, "a temp 1");
    assert_eq!(trial.tick(70), ["hot a temp health raised 1"], "silent while it runs");
    trial.send(71, "a temp 1");
    trial.send(72, "a run 0");
    for second in (73..4000).step_by(10) {
        assert!(trial.tick(second).is_empty(), "at {second}");
    }
    // Its rest is no silence once it runs again.
    trial.send(4000, "a run 1");
    assert!(trial.tick(4001).is_empty());
    assert!(trial.tick(4060).is_empty());
    assert_eq!(trial.tick(4062), ["hot a temp health raised 2"]);
}

#[test]
fn what_comes_late_is_judged_by_the_state_of_its_own_time() {
    let mut trial = Trial::new(vec![only_while(0, None)]);
    trial.send_at(100, 100, "a run 1");
    trial.send_at(200, 200, "a run 0");
    assert_eq!(trial.send_at(150, 201, "a temp 99").len(), 1, "it ran then");
    assert!(trial.send_at(250, 250, "a temp 99").iter().all(|text| text.contains("updated")));
    assert!(trial.send_at(50, 251, "a temp 99").is_empty(), "not known then");
    // A report of the state that comes late changes nothing of the present.
    trial.send_at(300, 300, "a run 1");
    trial.send_at(220, 301, "a run 0");
    assert!(!trial.send_at(302, 302, "a temp 1").is_empty());
}

#[test]
fn the_state_of_a_message_is_known_before_its_other_readings() {
    let mut trial = Trial::new(vec![only_while(0, None)]);
    assert_eq!(trial.send(1, "a temp 99;a run 1").len(), 1);
    assert_eq!(trial.send(60, "a temp 0;a run 0"), ["hot a temp anomaly updated 1"]);
}

#[test]
fn a_state_that_never_comes_is_reported_once() {
    let mut trial = Trial::new(vec![only_while(0, None), only_while(0, None)]);
    for second in 0..2000 {
        trial.send(second, "a temp 1");
        trial.send(second, "a tension 1");
        trial.tick(second);
    }
    assert_eq!(trial.reported(0), ["hot a run health raised 1"]);
    // It outlives a restart, and is not reported again.
    let mut after = Trial::new(vec![only_while(0, None)]);
    after.set.restore(&stored(&trial.out), Moment::from_wall(UtcMillis(0)), &mut after.out);
    for second in 0..2000 {
        after.send(second, "a temp 1");
    }
    assert!(after.reported(0).is_empty());
    assert_eq!(after.send(2001, "a run 0"), ["hot a run health cleared 1"]);
    // Without the judge it is cleared.
    let mut other = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    other.set.restore(&stored(&trial.out), Moment::from_wall(UtcMillis(0)), &mut other.out);
    assert_eq!(other.reported(0), ["hot a run health cleared 1"]);
}

#[test]
fn what_is_usual_is_learnt_apart_for_each_state_of_at_most_nine() {
    let mut trial = Trial::new(vec![by()]);
    trial.send(0, "a temp 1");
    let one = trial.set.account().instances;
    for state in 0..20 {
        trial.send(10 + state, &format!("a run {state}"));
        // As many readings as the number of the state.
        for _ in 0..state {
            trial.send(10 + state, "a temp 1");
        }
    }
    assert_eq!((one, trial.set.account().instances), (1, 9));
    trial.save();
    let seen: Vec<u8> = (0..8)
        .map(|state| trial.saved(&format!("\u{1f}a\u{1f}temp\u{1f}{state}")))
        .map(|seen| seen.unwrap_or(0))
        .collect();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(trial.saved("\u{1f}a\u{1f}temp\u{1f}other"), Some((8..20).sum()));
}

#[test]
fn an_event_of_one_state_is_suspended_in_the_others() {
    let mut trial = Trial::new(vec![by()]);
    trial.send(0, "a run 1");
    assert_eq!(trial.send(1, "a temp 99"), ["hot a temp anomaly raised 1"]);
    trial.send(20, "a run 2");
    assert_eq!(lives(&trial, 1), [(EventState::Updated, true)]);
    assert!(trial.send(21, "a temp 1").is_empty());
    assert_eq!(trial.send(22, "a temp 99"), ["hot a temp anomaly raised 2"]);
    trial.send(60, "a run 1");
    assert_eq!(trial.send(61, "a temp 1"), ["hot a temp anomaly cleared 1"]);
    // People mean the signal in all states.
    let selector = crate::judging::Selector {
        device: DeviceId::new("a").unwrap(),
        signal: None,
        judge: None,
        source: None,
    };
    let order = Order::Label {
        selector,
        remark: Remark::Maintenance,
        event: None,
        by: verge_domain::id::OperatorText::new("anna").unwrap(),
    };
    let outcome = trial.set.carry_out(&order, false, Moment::from_wall(UtcMillis(62_000)), &mut trial.out);
    let unlearnt = Some((verge_domain::verdict::Detector::Threshold, Remark::Maintenance));
    let applied =
        crate::judging::Outcome::Applied { matched: 2, changed: 0, signals: 1, replaced: 0, unlearnt };
    assert_eq!(outcome, Ok(applied));
}

#[test]
fn states_events_and_what_was_learnt_outlive_a_restart() {
    let mut before = Trial::new(vec![by()]);
    before.send(0, "a run 1");
    before.send(1, "a temp 99");
    before.send(20, "a run 5");
    for second in 21..26 {
        before.send(second, "a temp 1");
    }
    before.save();
    let mut after = Trial::new(vec![by()]);
    after.set.restore(&stored(&before.out), Moment::from_wall(UtcMillis(30_000)), &mut after.out);
    assert!(after.reported(0).is_empty());
    // It is known that the machine is in state 5, which is judged at once.
    assert!(after.send(31, "a temp 1").is_empty());
    after.save();
    assert_eq!(after.saved("\u{1f}a\u{1f}temp\u{1f}5"), Some(6));
    after.send(40, "a run 1");
    assert_eq!(after.send(41, "a temp 1"), ["hot a temp anomaly cleared 1"]);
    // Without `by`, what was open is cleared, and nothing is kept.
    let mut other = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    other.set.restore(&stored(&before.out), Moment::from_wall(UtcMillis(30_000)), &mut other.out);
    assert_eq!(other.reported(0), ["hot a temp anomaly cleared 1"]);
    assert_eq!(other.set.account().instances, 0);
    let kept: Vec<_> = other.out.checkpoints.iter().filter(|one| one.state.is_some()).collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn saved_states_of_machines_that_cannot_be_are_waited_for_anew() {
    let check = |state: &str| {
        let mut trial = Trial::new(vec![only_while(0, None)]);
        let key = "machine\u{1f}plant\u{1f}a\u{1f}run\u{1f}= 1".to_owned();
        let saved = verge_domain::stage::Checkpoint { key, state: Some(state.as_bytes().to_vec()) };
        trial.set.restore(&[saved], Moment::from_wall(UtcMillis(0)), &mut trial.out);
        !trial.send(1, "a temp 99").is_empty()
    };
    assert!(check(r#"{"v":1,"history":{"changes":[[0,1]],"newest":0},"values":[]}"#));
    assert!(!check(r#"{"v":2,"history":{"changes":[[0,1]],"newest":0},"values":[]}"#));
    assert!(!check(r#"{"v":1,"history":{"changes":[[0,2]],"newest":0},"values":[]}"#));
    assert!(!check(r#"{"v":1,"history":{"changes":[[5,1],[0,0]],"newest":0},"values":[]}"#));
    assert!(!check("no"));
}

#[test]
fn a_device_that_gives_way_takes_the_states_of_its_machine_along() {
    let mut trial = Trial::new(vec![only_while(0, None), by()]);
    trial.send(0, "a run 1");
    trial.send(1, "a temp 99");
    let bytes = trial.set.account().bytes;
    let before = trial.out.checkpoints.len();
    let a = DeviceId::new("a").unwrap();
    trial.set.forget(SourceIndex(0), &a, Moment::from_wall(UtcMillis(2000)), &mut trial.out);
    assert_eq!((trial.set.account().instances, trial.set.machines.records.len()), (0, 0));
    assert_eq!(trial.set.account().bytes, 0, "of {bytes}");
    let removed = |key: &str| {
        trial.out.checkpoints[before..].iter().any(|one| one.key.starts_with(key) && one.state.is_none())
    };
    assert!(removed("machine\u{1f}plant\u{1f}a\u{1f}run\u{1f}= 1"));
    assert!(removed("machine\u{1f}plant\u{1f}a\u{1f}run\u{1f}by"));
}

#[test]
fn a_contact_that_chatters_is_saved_and_reported_within_bounds() {
    let mut trial = Trial::new(vec![only_while(0, None)]);
    trial.send(0, "a run 1");
    trial.send(0, "a temp 99");
    let (verdicts, checkpoints) = (trial.out.verdicts.len(), trial.out.checkpoints.len());
    for second in 1..=600 {
        trial.send(second, &format!("a run {}", second % 2));
        trial.send(second, "a temp 99");
        trial.tick(second);
    }
    assert!(trial.out.verdicts.len() - verdicts <= 120, "{}", trial.out.verdicts.len());
    assert!(trial.out.checkpoints.len() - checkpoints <= 200, "{}", trial.out.checkpoints.len());
}

#[test]
fn judges_that_are_exchanged_keep_the_states_that_are_still_needed() {
    use verge_domain::id::JudgeIndex;

    use crate::judging::PlannedJudge;
    let first = |spec| vec![(JudgeIndex(0), PlannedJudge::Made(spec))];
    let mut trial = Trial::new(vec![only_while(0, None)]);
    trial.send(0, "a run 1");
    assert_eq!(trial.send(1, "a temp 99").len(), 1);
    trial.send(20, "a run 0");
    // The same state with a time to settle: the event stays suspended, and the state is known.
    let at = |second: i64| Moment::from_wall(UtcMillis(second * 1000));
    trial.set.swap(first(only_while(30, None)), at(21), &mut trial.out);
    while trial.set.renew(100, at(21), &mut trial.out).is_none() {}
    assert!(trial.send(22, "a temp 1").is_empty() && trial.tick(100).is_empty());
    trial.send(100, "a run 1");
    assert!(trial.send(129, "a temp 1").is_empty());
    assert_eq!(trial.send(130, "a temp 1"), ["hot a temp anomaly cleared 1"]);
    // By the state: other instances. Then without any: nothing of the states is left.
    trial.set.swap(first(by()), at(131), &mut trial.out);
    trial.send(132, "a run 2");
    assert_eq!(trial.send(133, "a temp 99"), ["hot a temp anomaly raised 2"]);
    trial.set.swap(first(spec("hot", Scope::Signal, &[])), at(134), &mut trial.out);
    assert_eq!(trial.set.machines.records.len(), 0);
    assert!(stored(&trial.out).iter().all(|one| !one.key.starts_with(MACHINE) || one.state.is_none()));
}
