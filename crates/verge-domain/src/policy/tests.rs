mod updates;

use super::*;
use crate::finding::{Expected, Member, Standing};
use crate::id::SignalId;

const POLICY: EventPolicy = EventPolicy {
    severity: Severity::Warning,
    critical_when: None,
    lane: Lane::Alarm,
    raise_after: Duration::ZERO,
    clear_after: Duration::ZERO,
    update_every: None,
};

/// Runs standings, one a second, through a policy: what is reported, as `R`, `U`, `C` or `.`.
fn life(policy: &EventPolicy, standings: &str) -> (String, EventLife) {
    let mut life = EventLife::default();
    let mut ids = 0;
    let reported = standings
        .chars()
        .enumerate()
        .map(|(second, letter)| {
            let at = UtcMillis(second as i64 * 1000);
            let standing = match letter {
                'a' => Standing::Abnormal,
                'm' => Standing::Margin,
                _ => Standing::Normal,
            };
            let condition = Condition::of_rule(Member::High, standing, 1.0, Expected::default());
            let observed = Observed { at, received: Moment::from_wall(at) };
            let event = life.advance(policy, &condition, observed, || {
                ids += 1;
                EventId([ids; 16])
            });
            match event.map(|event| event.state) {
                Some(EventState::Raised) => 'R',
                Some(EventState::Updated) => 'U',
                Some(EventState::Cleared) => 'C',
                None => '.',
            }
        })
        .collect();
    (reported, life)
}

fn check(policy: &EventPolicy, standings: &str, expected: &str) {
    assert_eq!(life(policy, standings).0, expected, "{standings} under {policy:?}");
}

#[test]
fn an_event_is_raised_once_and_cleared_once() {
    check(&POLICY, "nnaaannaan", "..R..C.R.C");
}

#[test]
fn the_margin_changes_nothing() {
    check(&POLICY, "mmammmnmm", "..R...C..");
}

#[test]
fn a_condition_must_hold_before_it_is_raised() {
    let policy = EventPolicy { raise_after: Duration::from_secs(2), ..POLICY };
    check(&policy, "aanaaaan", ".....R.C");
    check(&policy, "aamaaa", ".....R");
}

#[test]
fn a_condition_must_be_calm_before_it_is_cleared() {
    let policy = EventPolicy { clear_after: Duration::from_secs(2), ..POLICY };
    check(&policy, "annannnn", "R.....C.");
    check(&policy, "annmnnn", "R.....C");
}

#[test]
fn an_open_event_is_reported_again_on_schedule() {
    let policy = EventPolicy { update_every: Some(Duration::from_secs(3)), ..POLICY };
    check(&policy, "aaaaaaaan", "R..U..U.C");
    let every = EventPolicy { update_every: Some(Duration::ZERO), ..POLICY };
    check(&every, "aaan", "RUUC");
}

#[test]
fn while_raises_are_held_back_open_events_are_cleared_and_others_counted_once() {
    let mut life = EventLife::default();
    let mut reported = String::new();
    let mut held_back = Vec::new();
    // `(` begins to hold raises back, `)` ends it.
    for (second, letter) in "a(anaaamanaa)aan".chars().enumerate() {
        let standing = match letter {
            '(' | ')' => {
                life.hold(letter == '(', Vec::new());
                assert_eq!(life.is_holding(None), letter == '(');
                continue;
            }
            'a' => Standing::Abnormal,
            'm' => Standing::Margin,
            _ => Standing::Normal,
        };
        let at = UtcMillis(second as i64 * 1000);
        let condition = Condition::of_rule(Member::High, standing, 1.0, Expected::default());
        let observed = Observed { at, received: Moment::from_wall(at) };
        let event = life.advance(&POLICY, &condition, observed, || EventId([7; 16]));
        reported.push(match event.map(|event| event.state) {
            Some(EventState::Raised) => 'R',
            Some(EventState::Updated) => 'U',
            Some(EventState::Cleared) => 'C',
            None => '.',
        });
        held_back.push(life.take_held_back());
    }
    assert_eq!(reported, "R.C........R.C");
    assert_eq!(held_back, [0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn raises_about_one_part_are_held_back_alone() {
    let mut life = EventLife::default();
    let part = |name: &str| SignalId::new(name).unwrap();
    life.hold(false, vec![part("crossing")]);
    let observed = Observed { at: UtcMillis(0), received: Moment::from_wall(UtcMillis(0)) };
    let mut raised = |about: Option<&str>| {
        let condition = Condition::of_rule(Member::Queue, Standing::Abnormal, 4.0, Expected::default());
        let condition = Condition { part: about.map(part), ..condition };
        life.advance(&POLICY, &condition, observed, || EventId([7; 16])).is_some()
    };
    assert_eq!([raised(Some("crossing")), raised(Some("exit")), raised(None)], [false, true, true]);
    assert_eq!(life.take_held_back(), 1);
}

#[test]
fn an_event_becomes_critical_once_by_its_rule() {
    let rule = CriticalRule::new(Some(3.0), None, Some(Duration::from_secs(2)));
    let policy = EventPolicy { critical_when: rule, ..POLICY };
    let mut life = EventLife::default();
    let range = Expected { low: None, high: Some(1.0) };
    let mut seen = Vec::new();
    for (second, value) in [(0, 9.0), (1, 9.0), (2, 2.0), (3, 4.0), (4, 4.0), (5, 9.0), (6, 0.5)] {
        let at = UtcMillis(second * 1000);
        let standing = if value > 1.0 { Standing::Abnormal } else { Standing::Normal };
        let condition = Condition::of_rule(Member::High, standing, value, range);
        let observed = Observed { at, received: Moment::from_wall(at) };
        let event = life.advance(&policy, &condition, observed, || EventId([7; 16]));
        seen.extend(event.map(|event| (second, event.state, policy.severity_of(&condition, &event))));
    }
    let expected = [
        (0, EventState::Raised, Severity::Warning),
        // It lasts for two seconds from the third reading on, and is far again with the fourth.
        (3, EventState::Updated, Severity::Critical),
        (6, EventState::Cleared, Severity::Warning),
    ];
    assert_eq!(seen, expected);
    assert_eq!(CriticalRule::new(None, None, None), None);
}

#[test]
fn an_acknowledged_event_that_gets_worse_waits_to_be_acknowledged_anew() {
    let rule = CriticalRule::new(Some(3.0), None, None);
    let policy = EventPolicy { critical_when: rule, update_every: Some(Duration::from_secs(1)), ..POLICY };
    let mut life = EventLife::default();
    let range = Expected { low: None, high: Some(1.0) };
    let when = |second: i64| {
        let at = UtcMillis(second * 1000);
        Observed { at, received: Moment::from_wall(at) }
    };
    let high = Strand { member: Member::High, part: None };
    let acknowledged = AlarmHandling { acknowledged: Some(UtcMillis(1_000)), shelved: None };
    assert_eq!(life.handle(&high, acknowledged, when(0)), None, "nothing is open");
    let mut seen = Vec::new();
    for (second, value) in [(0, 2.0), (2, 2.0), (4, 9.0), (6, 9.0)] {
        let condition = Condition::of_rule(Member::High, Standing::Abnormal, value, range);
        let event = life.advance(&policy, &condition, when(second), || EventId([7; 16])).unwrap();
        seen.push(event.handling.acknowledged.is_some());
        if second == 0 {
            let event = life.handle(&high, acknowledged, when(1)).unwrap();
            assert_eq!((event.state, event.handling), (EventState::Updated, acknowledged));
        }
    }
    assert_eq!(seen, [false, true, false, false]);
}

#[test]
fn what_has_no_probability_is_not_critical_by_one() {
    let policy = EventPolicy { critical_when: CriticalRule::new(None, Some(1e-6), None), ..POLICY };
    let severity = |p_value| {
        let range = Expected::default();
        let condition =
            Condition { p_value, ..Condition::of_rule(Member::Level, Standing::Abnormal, 1.0, range) };
        let at = UtcMillis(0);
        let observed = Observed { at, received: Moment::from_wall(at) };
        let event = EventLife::default().advance(&policy, &condition, observed, || EventId([7; 16]));
        policy.severity_of(&condition, &event.expect("it is raised"))
    };
    assert_eq!(severity(None), Severity::Warning);
    assert_eq!(severity(Some(1e-5)), Severity::Warning);
    assert_eq!(severity(Some(1e-7)), Severity::Critical);
}

#[test]
fn a_step_of_the_wall_clock_is_no_duration() {
    let mut life = EventLife::default();
    let mut reported = Vec::new();
    let steps = [(0, Standing::Abnormal), (1_700_000_005_000, Standing::Abnormal), (-7, Standing::Normal)];
    for (seconds, (wall, standing)) in (0..).zip(steps) {
        let at = UtcMillis(wall);
        let observed = Observed { at, received: Moment { wall: at, mono: Monotonic(seconds * 5_000_000) } };
        let condition = Condition::of_rule(Member::Level, standing, 0.0, Expected::default());
        let policy = EventPolicy { update_every: Some(Duration::ZERO), ..POLICY };
        reported.extend(life.advance(&policy, &condition, observed, || EventId([7; 16])));
    }
    let lasted: Vec<_> = reported.iter().map(|event| event.lasted_ms).collect();
    assert_eq!(lasted, [0, 5_000, 10_000]);
}

#[test]
fn a_restored_event_keeps_its_identity() {
    let (_, before) = life(&POLICY, "na");
    let (strand, open) = before.open().next().unwrap();
    assert_eq!(open.since, UtcMillis(1000));
    let mut after = EventLife::default();
    after.restore(strand, open, Monotonic(0));
    let condition = Condition::of_rule(strand.member, Standing::Normal, 0.0, Expected::default());
    let at = UtcMillis(9000);
    let observed = Observed { at, received: Moment::from_wall(at) };
    let cleared = after.advance(&POLICY, &condition, observed, || unreachable!()).unwrap();
    assert_eq!((cleared.id, cleared.state, cleared.lasted_ms), (open.id, EventState::Cleared, 8000));
    assert_eq!(after.open().count(), 0);
}

#[test]
fn an_event_is_suspended_and_its_life_goes_on() {
    let policy = EventPolicy { clear_after: Duration::from_secs(2), ..POLICY };
    let mut life = EventLife::default();
    let mut reported = Vec::new();
    // `s`: nothing is judged at this second, because of the state of the machine.
    for (second, letter) in "assssssssssssaassssssssssasnnnn".chars().enumerate() {
        let at = UtcMillis(second as i64 * 1000);
        let observed = Observed { at, received: Moment::from_wall(at) };
        let standing = if letter == 'a' { Standing::Abnormal } else { Standing::Normal };
        let condition = Condition::of_rule(Member::High, standing, 1.0, Expected::default());
        let events: Vec<Event> = match letter {
            's' => life.suspend(observed).into_iter().map(|(_, event)| event).collect(),
            _ => life.advance(&policy, &condition, observed, || EventId([7; 16])).into_iter().collect(),
        };
        reported.extend(events.into_iter().map(|event| (second, event.state, event.suspended)));
        assert!(life.open().count() == 1 || second >= 29);
    }
    let expected = [
        (0, EventState::Raised, false),
        // Ten seconds after the last report, and then no more.
        (10, EventState::Updated, true),
        (13, EventState::Updated, false),
        (23, EventState::Updated, true),
        (25, EventState::Updated, false),
        // The seconds that were not judged are not calm.
        (29, EventState::Cleared, false),
    ];
    assert_eq!(reported, expected);
}

#[test]
fn what_is_about_to_be_raised_is_not_suspended_but_begins_anew() {
    let policy = EventPolicy { raise_after: Duration::from_secs(2), ..POLICY };
    let mut life = EventLife::default();
    let mut raised = Vec::new();
    for (second, letter) in "aasaaaa".chars().enumerate() {
        let at = UtcMillis(second as i64 * 1000);
        let observed = Observed { at, received: Moment::from_wall(at) };
        let condition = Condition::of_rule(Member::High, Standing::Abnormal, 1.0, Expected::default());
        if letter == 's' {
            assert!(life.suspend(observed).is_empty());
        } else {
            let event = life.advance(&policy, &condition, observed, || EventId([7; 16]));
            raised.extend(event.map(|_| second));
        }
    }
    assert_eq!(raised, [5]);
}

#[test]
fn a_suspended_event_is_restored_as_such() {
    let (_, mut before) = life(&POLICY, "na");
    let at = UtcMillis(60_000);
    let observed = Observed { at, received: Moment::from_wall(at) };
    assert_eq!(before.suspend(observed).len(), 1);
    let (strand, open) = before.open().next().unwrap();
    assert!(open.suspended);
    let mut after = EventLife::default();
    after.restore(strand, open, observed.received.mono);
    assert!(after.suspend(observed).is_empty(), "it was reported before the restart");
    let condition = Condition::of_rule(strand.member, Standing::Abnormal, 0.0, Expected::default());
    let event = after.advance(&POLICY, &condition, observed, || unreachable!()).unwrap();
    assert_eq!((event.state, event.suspended), (EventState::Updated, false));
}

#[test]
fn an_event_of_the_time_of_learning_keeps_its_kind_until_an_alarm_takes_its_place() {
    let (mut life, mut ids) = (EventLife::default(), 0);
    let mut reported = Vec::new();
    // Abnormal while learning; then still so, which is no alarm; then an alarm; then normal.
    let steps = [(Standing::Abnormal, true), (Standing::Abnormal, true), (Standing::Margin, false)];
    let steps = steps.into_iter().chain([(Standing::Abnormal, false), (Standing::Normal, false)]);
    for (second, (standing, learning)) in (0..).zip(steps) {
        let at = UtcMillis(second * 1000);
        let observed = Observed { at, received: Moment::from_wall(at) };
        let condition = Condition::of_rule(Member::Level, standing, 0.0, Expected::default());
        let condition = Condition { learning, ..condition };
        let ended = life.give_way(&condition, observed);
        let next = life.advance(&POLICY, &condition, observed, || {
            ids += 1;
            EventId([ids; 16])
        });
        reported.extend(
            ended.into_iter().chain(next).map(|event| (second, event.state, event.learning, event.id.0[0])),
        );
    }
    let expected = [
        (0, EventState::Raised, true, 1),
        (3, EventState::Cleared, true, 1),
        (3, EventState::Raised, false, 2),
        (4, EventState::Cleared, false, 2),
    ];
    assert_eq!(reported, expected);
}

#[test]
fn how_an_event_has_gone_on_is_restored_with_it() {
    let policy = EventPolicy { clear_after: Duration::from_secs(5), ..POLICY };
    let step = |life: &mut EventLife, second: i64, standing, value| {
        let range = Expected { low: Some(-1.0), high: Some(1.0) };
        let condition =
            Condition { p_value: Some(1e-6), ..Condition::of_rule(Member::Level, standing, value, range) };
        let at = UtcMillis(second * 1000);
        let observed = Observed { at, received: Moment::from_wall(at) };
        life.advance(&policy, &condition, observed, || EventId([7; 16])).and_then(|event| event.change)
    };
    let restored = |life: &EventLife, second: u64| {
        let mut after = EventLife::default();
        let (strand, event) = life.open().next().expect("it is open");
        let shift = Condition::of_rule(Member::Shift, Standing::Normal, 0.0, Expected::default());
        assert_eq!(life.event_of(&shift.strand()), Some(event), "members of one strand share it");
        after.restore(strand, event, Moment::from_wall(UtcMillis(second as i64 * 1000)).mono);
        after
    };
    let mut life = EventLife::default();
    step(&mut life, 0, Standing::Abnormal, 2.0);
    // A kill right behind each: without a course the second would be what the first is held against.
    let mut life = restored(&life, 1);
    assert_eq!(step(&mut life, 2, Standing::Abnormal, 6.0), Some(EventChange::Grown));
    let mut life = restored(&life, 3);
    assert_eq!(step(&mut life, 4, Standing::Abnormal, 17.0), None);
    assert_eq!(step(&mut life, 5, Standing::Abnormal, -2.0), Some(EventChange::Turned));
    let mut life = restored(&life, 6);
    assert_eq!(step(&mut life, 7, Standing::Abnormal, 2.0), None, "that it turned is known");
    assert_eq!(step(&mut life, 8, Standing::Adapted, 2.0), None);
    let mut life = restored(&life, 9);
    assert_eq!(step(&mut life, 10, Standing::Normal, 2.0), None);
    assert_eq!(step(&mut life, 20, Standing::Normal, 2.0), Some(EventChange::Adapted));
}

#[test]
fn parts_of_a_subject_have_events_of_their_own() {
    let mut life = EventLife::default();
    let mut ids = 0;
    let mut reported = String::new();
    let condition = |part: &str, standing| {
        let condition = Condition::of_rule(Member::Stopped, standing, 1.0, Expected::default());
        if part == "-" { condition } else { condition.about(SignalId::new(part).unwrap()) }
    };
    let steps = ["lane-1 a", "lane-2 a", "lane-1 a", "- a", "lane-1 n", "lane-2 a", "lane-2 n", "- n"];
    for (second, step) in (0..).zip(steps) {
        let (part, standing) = step.split_once(' ').unwrap();
        let standing = if standing == "a" { Standing::Abnormal } else { Standing::Normal };
        let at = UtcMillis(second * 1000);
        let observed = Observed { at, received: Moment::from_wall(at) };
        let event = life.advance(&POLICY, &condition(part, standing), observed, || {
            ids += 1;
            EventId([ids; 16])
        });
        let letter = |state| if state == EventState::Raised { 'R' } else { 'C' };
        reported +=
            &event.map_or(".".to_owned(), |event| format!("{}{}", letter(event.state), event.id.0[0]));
        if second == 3 {
            let mut after = EventLife::default();
            life.open().for_each(|(strand, event)| after.restore(strand, event, observed.received.mono));
            life = after;
        }
    }
    assert_eq!(reported, "R1R2.R3C1.C2C3");
}
