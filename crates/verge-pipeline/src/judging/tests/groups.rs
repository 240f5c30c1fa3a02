//! Alarms that come together.

use super::*;

fn learns(name: &str, severity: Severity) -> JudgeSpec<AboveTen> {
    let spec = spec(name, Scope::Signal, &[]);
    JudgeSpec { detector: Detector::Auto, policy: EventPolicy { severity, ..spec.policy }, ..spec }
}

fn trial(within_s: u64, flood: usize) -> Trial<AboveTen> {
    trial_of(learns("hot", Severity::Warning), within_s, flood)
}

fn trial_of(spec: JudgeSpec<AboveTen>, within_s: u64, flood: usize) -> Trial<AboveTen> {
    let mut trial = Trial::new(vec![spec]);
    trial.set.group_alarms(GroupSettings { within: Duration::from_secs(within_s), flood }, "all");
    trial
}

/// Verdicts since the last call: `event letter`, of which event it is a part (`<`), and what it stands for (`+`).
#[track_caller]
fn check(trial: &mut Trial<AboveTen>, expected: &str) {
    let one = |verdict: Verdict| {
        let event = verdict.event.unwrap();
        let letter = match event.state {
            EventState::Raised => 'r',
            EventState::Updated => 'u',
            EventState::Cleared => 'c',
        };
        assert_eq!(event.group.is_some(), verdict.lane == Lane::Verdict, "parts are for the record");
        assert_eq!(event.group.is_some(), verdict.severity == Severity::Info);
        let part = event.group.map_or_else(String::new, |head| format!("<{}", head.0[0]));
        let others = verdict.group.map_or_else(String::new, |group| {
            assert!(group.members.len() <= AlarmGroup::MOST_LISTED);
            format!("+{}{}", group.others, if group.kind == GroupKind::Flood { "f" } else { "" })
        });
        format!("{}{letter}{part}{others}", event.id.0[0])
    };
    let found: Vec<String> = trial.out.verdicts.drain(..).map(one).collect();
    assert_eq!(found.join(" "), expected);
}

use verge_domain::group::{AlarmGroup, GroupKind};
use verge_domain::id::TagText;
use verge_domain::tag::{SignalTag, TagBook, TagEntry};
use verge_domain::verdict::{Event, EventChange};

#[test]
fn what_a_machine_alarms_within_a_short_time_is_one_event_until_all_of_it_is_over() {
    let mut trial = trial(60, 0);
    trial.send(0, "pump temp 11");
    trial.send(5, "pump tea 11");
    trial.send(6, "other temp 11");
    check(&mut trial, "1r 2r<1 3r");
    // What joined is reported ten seconds after the last report, not with each.
    trial.send(9, "pump tee 11");
    trial.tick(9);
    check(&mut trial, "4r<1");
    trial.tick(10);
    trial.tick(30);
    check(&mut trial, "1u+2");
    // Its own cause is over, the others are not: it goes on, and ends with the last.
    trial.send(40, "pump temp 1");
    trial.send(41, "pump tea 1");
    check(&mut trial, "1u+2 2c<1");
    trial.send(42, "pump tee 1");
    check(&mut trial, "4c<1 1c+2");
    trial.send(43, "other temp 1");
    check(&mut trial, "3c");
    // A day later another event begins.
    trial.send(86_400, "pump temp 11");
    trial.send(86_461, "pump tea 11");
    check(&mut trial, "5r 6r");
}

#[test]
fn what_an_event_stands_for_is_reported_with_what_the_list_of_tags_says_of_it() {
    let description = TagText::new("bearing, drive side").ok();
    let tag = SignalTag { description, machine: TagText::new("line 1").ok(), group: None };
    let entry = || TagEntry { tag: Some(tag.clone()), ..TagEntry::default() };
    let list = ["temp", "tea"].map(|signal| (signal.to_owned(), entry()));
    let mut tags = TagBook::default();
    tags.insert(SourceId::new("plant").unwrap(), list.into_iter().collect());
    let mut trial = trial_of(JudgeSpec { tags: Arc::new(tags), ..learns("hot", Severity::Warning) }, 60, 0);
    // One machine of two devices, as the list says.
    trial.send(0, "pump temp 11");
    trial.send(1, "motor tea 11");
    trial.tick(12);
    trial.send(13, "pump temp 1");
    trial.send(14, "motor tea 1");
    assert!(trial.out.verdicts.iter().all(|verdict| verdict.tag.as_ref() == Some(&tag)));
    check(&mut trial, "1r 2r<1 1u+1 1u+1 2c<1 1c+1");
}

#[test]
fn what_is_new_in_one_of_the_others_is_said_by_the_event_that_stands_for_it() {
    let mut trial = trial(60, 0);
    trial.send(0, "pump temp 11");
    trial.send(1, "pump tea 11");
    trial.send(2, "pump tee 11");
    trial.tick(15);
    let tee = trial.out.verdicts[2].clone();
    check(&mut trial, "1r 2r<1 3r<1 1u+2");
    // As its judge reports it, at once and not ten seconds after the last report.
    let event = tee.event.map(|event| Event {
        state: EventState::Updated,
        change: Some(EventChange::Renewed),
        group: None,
        ..event
    });
    trial.out.verdicts.push(Verdict { lane: Lane::Alarm, severity: Severity::Warning, event, ..tee });
    trial.set.groups.arrange(0, at(16), &mut trial.out);
    let head = trial.out.verdicts[1].clone();
    assert_eq!(head.event.unwrap().change, Some(EventChange::Renewed));
    let first = &head.group.unwrap().members[0];
    assert_eq!(first.signal.as_ref().map(SignalId::as_str), Some("tee"), "the one that it is about");
    check(&mut trial, "3u<1 1u+2");
    trial.tick(30);
    trial.send(31, "pump temp 1");
    assert_eq!(trial.out.verdicts[0].event.unwrap().change, None, "it was said");
}

#[test]
fn the_first_may_end_last() {
    let mut trial = trial(60, 0);
    trial.send(0, "pump temp 11");
    trial.send(1, "pump tea 11");
    trial.send(2, "pump tea 1");
    trial.send(3, "pump temp 1");
    check(&mut trial, "1r 2r<1 2c<1 1c+1");
    assert_eq!(trial.out.checkpoints.last().unwrap().state, None, "nothing is left");
}

#[test]
fn more_alarms_than_people_can_look_at_are_one_flood() {
    let mut trial = trial(0, 6);
    for device in 0..6 {
        trial.send(device, &format!("d{device} temp 11"));
    }
    check(&mut trial, "1r 2r 3r 4r 5r 6r");
    // The seventh in ten minutes begins a flood, and stands for those before it as well.
    trial.send(7, "d7 temp 11");
    trial.send(8, "d8 temp 11");
    trial.send(9, "d9 temp 11");
    check(&mut trial, "7r+6f 8r<7 9r<7");
    trial.tick(20);
    check(&mut trial, "7u+8f");
    // Fewer than five in ten minutes: it takes no more.
    trial.send(700, "d20 temp 11");
    check(&mut trial, "10r");
    trial.send(701, "d7 temp 1");
    trial.send(702, "d8 temp 1");
    trial.send(703, "d9 temp 1");
    check(&mut trial, "7u+8f 8c<7 9c<7 7c+8f");
}

#[test]
fn a_restart_forgets_no_group() {
    let mut before = trial(60, 0);
    before.send(0, "pump temp 11");
    before.send(1, "pump tea 11");
    before.send(2, "pump temp 1");
    check(&mut before, "1r 2r<1 1u+1");
    // The newest of each key is what the store holds.
    let mut saved = std::mem::take(&mut before.out.checkpoints);
    saved.reverse();
    let mut seen = std::collections::HashSet::new();
    saved.retain(|checkpoint| seen.insert(checkpoint.key.clone()));
    let mut after = trial(60, 0);
    after.set.restore(&saved, at(10), &mut after.out);
    after.send(11, "pump tea 1");
    check(&mut after, "2c<1 1c+1");
}

#[test]
fn critical_alarms_limits_that_people_set_and_all_others_if_so_set_are_reported_one_by_one() {
    let mut rule = spec("hot", Scope::Signal, &[]);
    rule.policy.severity = Severity::Warning;
    for mut trial in [trial_of(learns("hot", Severity::Critical), 60, 1), trial_of(rule, 60, 1), trial(0, 0)]
    {
        for signal in ["temp", "tea", "tee", "tez"] {
            trial.send(1, &format!("pump {signal} 11"));
        }
        check(&mut trial, "1r 2r 3r 4r");
    }
}
