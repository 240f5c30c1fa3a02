//! With a judge that is abnormal above ten.

use verge_domain::stage::{Checkpoint, Scope};

use super::*;
use crate::judging::tests::{AboveTen, Trial, at, spec};
use crate::judging::{Decision, JudgeRate, JudgeSpec, SavePass, StateSignal, StateTest, WhileRule};

fn suggestion(trial: &Trial<AboveTen>) -> Option<String> {
    let found = trial.set.contacts.suggestion(&JudgeId::new("hot").unwrap(), &trial.set.sources);
    found.map(|found| found.words)
}

/// An event of each device, this long after its contact became that, each in its own quarter of an hour.
fn events(trial: &mut Trial<AboveTen>, times: std::ops::Range<u64>, (contact, delay): (&str, u64)) {
    for time in times {
        let begin = 1000 * (time + 1);
        let value = contact.rsplit(' ').next().unwrap();
        let other = if value == "0" { "1" } else { "0" };
        trial.send(begin - 500, &contact.replacen(&format!(" {value}"), &format!(" {other}"), 1));
        trial.send(begin, contact);
        assert_eq!(trial.send(begin + delay, "a temp 99").len(), 1);
        trial.send(begin + delay + 1, "a temp 1");
    }
}

#[test]
fn a_contact_is_known_by_its_values() {
    let check = |values: &[f64], expected: &[Option<f64>]| {
        let mut few = FewValues::default();
        let found: Vec<_> = values.iter().map(|value| few.note(*value)).collect();
        assert_eq!(found, expected, "{values:?}");
    };
    check(&[1.0, 1.0, 0.0, 0.0, 1.0], &[None, None, Some(1.0), None, Some(0.0)]);
    check(&[1.0, 2.0, 3.0, 4.0, 1.0], &[None, Some(1.0), Some(2.0), Some(3.0), Some(4.0)]);
    // A counter, a temperature, and what is no number of states.
    check(&[1.0, 2.0, 3.0, 4.0, 5.0, 4.0], &[None, Some(1.0), Some(2.0), Some(3.0), None, None]);
    check(&[20.0, 20.5, 20.0], &[None, None, None]);
    check(&[0.0, f64::NAN, 0.0], &[None, None, None]);
    check(&[0.0, 1e9, 0.0], &[None, None, None]);
}

#[test]
fn the_contact_after_which_most_events_come_is_suggested() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    events(&mut trial, 0..4, ("a run 0", 12));
    assert_eq!(suggestion(&trial), None, "four events prove nothing");
    assert_eq!(trial.set.alarm_rates(at(4_600)), [], "a rule has no rate");
    events(&mut trial, 4..8, ("a run 0", 12));
    assert_eq!(
        suggestion(&trial).unwrap(),
        "8 of the last 8 events came within 30 s after plant:run became 0: consider while = { signal = \"plant:run\", \
         equals = 1, settle = \"30s\" }"
    );
    // Rules know no rate, and it is suggested for them all the same.
    let rates = trial.set.alarm_rates(at(9_000));
    let of = |rate: &JudgeRate| (rate.instances, rate.suggestion.as_ref().map(|one| one.words.clone()));
    assert_eq!(rates.iter().map(of).collect::<Vec<_>>(), [(0, suggestion(&trial))]);
    // Others come without it: five of thirteen are not most.
    for time in 0..8 {
        trial.send(100_000 + 1000 * time, "a temp 99");
        trial.send(100_001 + 1000 * time, "a temp 1");
    }
    assert_eq!(suggestion(&trial), None);
}

#[test]
fn what_is_suggested_outlives_a_restart_and_goes_on() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    events(&mut trial, 0..4, ("a run 0", 12));
    let saved = saved_contacts(&mut trial, 4_600);
    assert_eq!(saved.len(), 1, "one judge has events");
    assert_eq!(saved_contacts(&mut trial, 4_700), [], "nothing new");
    let mut after = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    after.set.restore(&saved, at(4_800), &mut after.out);
    assert_eq!(suggestion(&after), None, "four events prove nothing");
    events(&mut after, 4..6, ("a run 0", 12));
    let words = suggestion(&after).unwrap();
    assert!(words.starts_with("6 of the last 6 events came within 30 s after plant:run became 0"), "{words}");
    // A judge or a source that is not configured any more takes nothing up.
    let saved = saved_contacts(&mut after, 7_000);
    let mut renamed = Trial::new(vec![spec("cold", Scope::Signal, &[])]);
    renamed.set.restore(&saved, at(7_100), &mut renamed.out);
    let removed: Vec<_> = renamed.out.checkpoints.iter().filter(|one| one.state.is_none()).collect();
    assert_eq!(removed.len(), 1, "it is removed from the store");
    // What is damaged costs a warning.
    for damaged in [&b"{"[..], br#"{"v":9,"events":[]}"#] {
        let damaged = [Checkpoint { key: saved[0].key.clone(), state: Some(damaged.to_vec()) }];
        let mut anew = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
        anew.set.restore(&damaged, at(7_100), &mut anew.out);
        assert_eq!(suggestion(&anew), None);
    }
}

/// What a pass saves of contacts.
fn saved_contacts(trial: &mut Trial<AboveTen>, second: u64) -> Vec<Checkpoint> {
    let mut out = Decision::default();
    trial.set.save(&mut SavePass::of_small(), at(second), &mut out);
    out.checkpoints.into_iter().filter(|one| one.key.starts_with(CONTACTS)).collect()
}

#[test]
fn events_after_a_start_ask_for_a_time_to_settle_and_another_device_is_named() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    events(&mut trial, 0..6, ("plc run 1", 90));
    assert_eq!(
        suggestion(&trial).unwrap(),
        "6 of the last 6 events came within 2 min after plant:run of plc became 1: consider while = { signal = \
         \"plant:run\", device = \"plc\", equals = 1, settle = \"120s\" }"
    );
}

#[test]
fn a_mode_of_several_values_asks_for_by() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    for time in 1..7 {
        let begin = 2000 * time;
        for (second, mode) in [(begin - 900, 1), (begin - 600, 2), (begin, 3)] {
            trial.send(second, &format!("a mode {mode}"));
        }
        trial.send(begin + 20, "a temp 99");
        trial.send(begin + 30, "a temp 1");
    }
    assert!(suggestion(&trial).unwrap().ends_with("after plant:mode became 3: consider by = \"plant:mode\""));
}

#[test]
fn a_contact_that_changes_all_the_time_explains_nothing() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    for second in (0..20_000).step_by(20) {
        trial.send(second, &format!("a lamp {}", second / 20 % 2));
        if second % 1000 == 500 {
            trial.send(second + 5, "a temp 99");
            trial.send(second + 6, "a temp 1");
        }
    }
    assert_eq!(suggestion(&trial), None);
}

#[test]
fn what_is_judged_itself_and_what_the_judge_knows_already_are_not_suggested() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    for time in 1..9 {
        trial.send(1000 * time, "a temp 1");
        trial.send(1000 * time + 500, "a temp 50");
    }
    assert_eq!(suggestion(&trial), None, "its own signal");
    let state = StateSignal { source: SourceIndex(0), signal: SignalId::new("run").unwrap(), device: None };
    let rule = WhileRule { state, test: StateTest::Below(2.0), settle: Duration::ZERO };
    let states = StateRules { only_while: Some(rule), by: None };
    let mut trial = Trial::new(vec![JudgeSpec { states, ..spec("hot", Scope::Signal, &[]) }]);
    events(&mut trial, 0..8, ("a run 0", 12));
    assert_eq!(suggestion(&trial), None, "it judges by that already");
}

#[test]
fn memory_is_bounded() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    for time in 0..3 {
        for device in 0..400 {
            trial.send(1000 + time, &format!("d{device} run {}", time % 2));
        }
    }
    assert_eq!(trial.set.contacts.known.len(), MOST_CONTACTS);
    for time in 0..100 {
        trial.send(1010 + 2 * time, "a temp 99");
        trial.send(1011 + 2 * time, "a temp 1");
    }
    let noted = &trial.set.contacts.by_judge[&JudgeId::new("hot").unwrap()];
    assert_eq!(noted.len(), EVENTS);
    assert!(noted.iter().all(|contacts| contacts.len() <= NOTED));
}
