//! Alarms.

use super::*;

/// Component, code, what, active, time, suspended, acknowledged of alarms.
fn alarms(said: &[Value]) -> Vec<[String; 6]> {
    let alarms = said.iter().filter(|message| message["type"] == "Alarm");
    let of = |alarm: &Value| {
        ["cId", "aCId", "aSp", "aS", "sS", "ack"].map(|key| alarm[key].as_str().unwrap().to_owned())
    };
    alarms.map(of).collect()
}

fn row(cells: [&str; 6]) -> [String; 6] {
    cells.map(str::to_owned)
}

const ISSUED: [&str; 6] = ["DL1", "A0301", "Issue", "Active", "notSuspended", "notAcknowledged"];
const ENDED: [&str; 6] = ["DL1", "A0301", "Issue", "inActive", "notSuspended", "notAcknowledged"];

#[test]
fn an_event_is_an_alarm_with_its_times_and_values_and_changes_the_aggregated_status() {
    let mut play = Play::up();
    let raised = play.offer(fault(1, Member::Stuck, EventState::Raised, NOON - 5000, NOON));
    let said = play.listen();
    assert_eq!(kinds(&said), ["Alarm", "AggregatedStatus"]);
    let alarm = &said[0];
    assert_eq!(alarms(&said), [row(["DL1", "A0302", "Issue", "Active", "notSuspended", "notAcknowledged"])]);
    assert_eq!((&alarm["cat"], &alarm["pri"]), (&json!("D"), &json!("3")));
    assert_eq!(alarm["aTs"], super::super::super::timestamp(UtcMillis(NOON - 5000)));
    let values = json!([
        {"n": "detector", "v": "D1"}, {"n": "type", "v": "loop"}, {"n": "errormode", "v": "on"},
        {"n": "manual", "v": "False"}, {"n": "logicerror", "v": "always_off"}
    ]);
    assert_eq!(alarm["rvs"], values);
    assert_eq!(said[1]["se"], json!([false, false, false, false, true, true, false, false]));
    let cleared = play.offer(fault(1, Member::Stuck, EventState::Cleared, NOON - 5000, NOON + 1000));
    let said = play.listen();
    assert_eq!(said[0]["aTs"], super::super::super::timestamp(UtcMillis(NOON + 1000)));
    assert_eq!(said[1]["se"], json!([false, false, false, false, false, true, false, false]));
    assert_eq!(play.delivered(), [raised, cleared]);
}

#[test]
fn serious_detectors_have_other_codes_of_a_higher_priority() {
    let mut play = Play::new(|site| site.components[0].serious = true);
    play.connect();
    play.offer(fault(1, Member::Silent, EventState::Raised, NOON, NOON));
    let said = play.listen();
    assert_eq!((&said[0]["aCId"], &said[0]["pri"]), (&json!("A0303"), &json!("2")));
    assert_eq!(said[1]["se"], json!([false, false, false, true, false, true, false, false]));
}

#[test]
fn two_events_behind_one_alarm_are_one_alarm_until_the_last_ends() {
    let mut play = Play::up();
    let mut say = |verdict: Verdict| {
        play.offer(verdict);
        alarms(&play.listen())
    };
    assert_eq!(say(fault(1, Member::Silent, EventState::Raised, NOON, NOON)), [row(ISSUED)]);
    assert!(say(fault(2, Member::Noisy, EventState::Raised, NOON + 1, NOON + 1)).is_empty());
    assert!(say(fault(1, Member::Silent, EventState::Cleared, NOON, NOON + 2)).is_empty());
    assert_eq!(say(fault(2, Member::Noisy, EventState::Cleared, NOON + 1, NOON + 3)), [row(ENDED)]);
}

#[test]
fn what_joins_another_alarm_is_a_fault_of_its_own_detector() {
    let mut play = Play::up();
    let joined = |state: EventState, at: i64| {
        let mut verdict = fault(1, Member::Silent, state, NOON, at);
        (verdict.severity, verdict.lane) = (Severity::Info, Lane::Verdict);
        verdict.event = verdict.event.map(|event| Event { group: Some(EventId([9; 16])), ..event });
        verdict
    };
    play.offer(joined(EventState::Raised, NOON));
    assert_eq!(alarms(&play.listen()), [row(ISSUED)]);
    play.offer(joined(EventState::Cleared, NOON + 1000));
    assert_eq!(alarms(&play.listen()), [row(ENDED)]);
    let alone = Verdict {
        severity: Severity::Info,
        ..fault(2, Member::Silent, EventState::Raised, NOON + 2000, NOON + 2000)
    };
    play.offer(alone);
    assert!(play.listen().is_empty(), "what joins nothing is for the record alone");
}

#[test]
fn an_event_that_ended_in_an_outage_longer_than_the_store_is_over() {
    let mut play = Play::up();
    play.offer(fault(1, Member::Silent, EventState::Raised, NOON, NOON));
    assert_eq!(alarms(&play.listen()), [row(ISSUED)]);
    // The board has it no more, and the verdict of its end never comes.
    play.site.lost();
    assert!(alarms(&play.connect()).contains(&row(ENDED)));
    assert_eq!(play.site.report().active_alarms, 0);
    play.offer(fault(2, Member::Silent, EventState::Raised, NOON + 5000, NOON + 5000));
    assert_eq!(alarms(&play.listen()), [row(ISSUED)]);
    play.offer(fault(2, Member::Silent, EventState::Cleared, NOON + 5000, NOON + 6000));
    assert_eq!(alarms(&play.listen()), [row(ENDED)]);
}

#[test]
fn what_came_with_all_alarms_is_not_sent_again_and_what_was_before_is() {
    let mut play = Play::new(|_| {});
    // In an outage: raised and cleared, and raised again, which still stands.
    let first = [
        fault(1, Member::Silent, EventState::Raised, NOON - 9000, NOON - 9000),
        fault(1, Member::Silent, EventState::Cleared, NOON - 9000, NOON - 8000),
    ];
    let second = fault(2, Member::Silent, EventState::Raised, NOON - 7000, NOON - 7000);
    *play.view.words.lock().unwrap() = vec![Arc::new(LastWord::new(second.clone(), Some(Seq(3))))];
    *play.view.heads.lock().unwrap() = [Seq(1000); 3];
    let said = play.connect();
    assert!(alarms(&said).contains(&row(ISSUED)));
    let tokens: Vec<Token> = first.into_iter().chain([second]).map(|verdict| play.offer(verdict)).collect();
    let said = play.listen();
    assert_eq!(alarms(&said), [row(ISSUED), row(ENDED)], "the second stands in all alarms already");
    let times: Vec<&Value> =
        said.iter().filter(|one| one["type"] == "Alarm").map(|one| &one["aTs"]).collect();
    assert_eq!(
        times,
        [9000, 8000]
            .map(|ago| super::super::super::timestamp(UtcMillis(NOON - ago)))
            .iter()
            .collect::<Vec<_>>()
    );
    let mut delivered = play.delivered();
    delivered.sort_unstable();
    assert_eq!(delivered, tokens);
}

#[test]
fn an_alarm_that_ended_is_not_active_again_by_an_event_that_another_lane_brings_late() {
    let mut play = Play::new(|_| {});
    let event = |number: u8, since: i64| {
        [
            fault(number, Member::Silent, EventState::Raised, NOON - since, NOON - since),
            fault(number, Member::Silent, EventState::Cleared, NOON - since, NOON - 7000),
        ]
    };
    // The second joined the first, and was decided last.
    let (first, second) = (event(1, 9000), event(2, 8990));
    *play.view.words.lock().unwrap() = vec![Arc::new(LastWord::new(second[1].clone(), Some(Seq(4))))];
    *play.view.heads.lock().unwrap() = [Seq(1000); 3];
    assert!(alarms(&play.connect()).contains(&row(ENDED)));
    for verdict in first.into_iter().chain(second) {
        play.offer(verdict);
    }
    assert_eq!(alarms(&play.listen()), [row(ISSUED), row(ENDED)]);
}

#[test]
fn an_acknowledgement_is_carried_out_and_reported_when_it_is_done() {
    let mut play = Play::up();
    let raised = fault(1, Member::Silent, EventState::Raised, NOON, NOON);
    play.offer(raised.clone());
    play.listen();
    *play.view.words.lock().unwrap() = vec![Arc::new(LastWord::new(raised, Some(Seq(1))))];
    let wish = json!({"type": "Alarm", "cId": "DL1", "aCId": "A0301", "aSp": "Acknowledge"});
    let id = play.say(&wish);
    assert_eq!(play.listen().len(), 0, "it is answered once the judges have done it");
    let (number, orders) = play.site.take_order().unwrap();
    assert!(matches!(&orders[..], [AlarmOrder::Acknowledge(word)] if word.open_event().is_some()));
    play.site.ordered(number, Ok(()), &play.view);
    assert_eq!(play.listen()[0]["oMId"], id);
    let mut done = fault(1, Member::Silent, EventState::Updated, NOON, NOON + 500);
    let handling = AlarmHandling { acknowledged: Some(UtcMillis(NOON + 400)), shelved: None };
    done.event = done.event.map(|event| Event { handling, ..event });
    done.action = Some(Box::new(OperatorAction {
        kind: ActionKind::Acknowledged,
        by: verge_domain::id::OperatorText::new("uplink traffic").unwrap(),
        note: None,
    }));
    play.offer(done);
    let said = play.listen();
    assert_eq!(
        alarms(&said),
        [row(["DL1", "A0301", "Acknowledge", "Active", "notSuspended", "Acknowledged"])]
    );
    assert_eq!(said[0]["aTs"], super::super::super::timestamp(UtcMillis(NOON + 400)));

    // Many at a time are carried out one after the other, and none is refused.
    for _ in 0..8 {
        play.say(&wish);
    }
    let mut done = 0;
    for _ in 0..8 {
        while let Some((number, _)) = play.site.take_order() {
            play.site.ordered(number, Ok(()), &play.view);
            done += 1;
        }
        assert!(done <= ORDERS_AT_ONCE + 8);
        play.pass(200);
    }
    assert_eq!((done, kinds(&play.listen())), (8, vec!["MessageAck"; 8]));

    // What the judges refuse is refused in their words.
    let id = play.say(&wish);
    let (number, _) = play.site.take_order().unwrap();
    play.site.ordered(number, Err("no open event".to_owned()), &play.view);
    assert_eq!(
        play.listen()[0],
        json!({"mType": "rSMsg", "type": "MessageNotAck", "oMId": id, "rea": "no open event"})
    );
}

#[test]
fn what_gets_worse_after_it_was_acknowledged_is_said_again() {
    let mut play = Play::new(|_| {});
    let raised = fault(1, Member::Silent, EventState::Raised, NOON, NOON);
    *play.view.words.lock().unwrap() = vec![Arc::new(LastWord::new(raised, Some(Seq(1))))];
    play.connect();
    let mut known = fault(1, Member::Silent, EventState::Updated, NOON, NOON + 500);
    let handling = AlarmHandling { acknowledged: Some(UtcMillis(NOON + 400)), shelved: None };
    known.event = known.event.map(|event| Event { handling, ..event });
    play.offer(known);
    assert_eq!(alarms(&play.listen()), [] as [[String; 6]; 0], "nobody has acknowledged it by this verdict");
    play.offer(fault(1, Member::Silent, EventState::Updated, NOON, NOON + 900));
    assert_eq!(alarms(&play.listen()), [row(ISSUED)]);
}

#[test]
fn a_suspended_alarm_says_nothing_and_its_end_says_how_it_stands() {
    let mut play = Play::up();
    play.say(&json!({"type": "Alarm", "cId": "DL1", "aCId": "A0301", "aSp": "Suspend"}));
    let (number, orders) = play.site.take_order().unwrap();
    assert!(matches!(&orders[..], [AlarmOrder::Shelve { shelve: true, .. }]));
    *play.view.shelved.lock().unwrap() = true;
    play.site.ordered(number, Ok(()), &play.view);
    let said = play.listen();
    assert_eq!(kinds(&said[..1]), ["MessageAck"]);
    assert!(alarms(&said).contains(&row([
        "DL1",
        "A0301",
        "Suspend",
        "inActive",
        "suspended",
        "notAcknowledged"
    ])));
    let token = play.offer(fault(1, Member::Silent, EventState::Raised, NOON, NOON));
    assert_eq!(play.listen(), [] as [Value; 0]);
    assert_eq!(play.delivered(), [token]);
    // By whoever it is resumed, and by the end of its time.
    *play.view.shelved.lock().unwrap() = false;
    play.pass(200);
    let said = play.listen();
    assert!(alarms(&said).contains(&row([
        "DL1",
        "A0301",
        "Suspend",
        "Active",
        "notSuspended",
        "notAcknowledged"
    ])));
    assert_eq!(kinds(&said).last(), Some(&"AggregatedStatus"));
    // To resume what is not suspended changes nothing.
    play.say(&json!({"type": "Alarm", "cId": "DL1", "aCId": "A0301", "aSp": "Resume"}));
    assert!(play.site.take_order().is_none());
    assert_eq!(kinds(&play.listen()), ["MessageAck"]);
}

#[test]
fn events_that_are_no_faults_of_a_detector_are_counted_or_sent_as_other_errors() {
    let critical = || {
        let mut verdict = fault(1, Member::Silent, EventState::Raised, NOON, NOON);
        verdict.judge = JudgeId::new("pressure").unwrap();
        verdict.severity = Severity::Critical;
        verdict
    };
    let mut play = Play::up();
    let token = play.offer(critical());
    assert_eq!(play.listen().len(), 0);
    assert_eq!((play.delivered(), play.site.report().left_out), (vec![token], 1));
    let mut play = Play::new(|site| site.other = true);
    play.connect();
    play.offer(critical());
    let said = play.listen();
    assert_eq!(alarms(&said), [row(["TC", "A0009", "Issue", "Active", "notSuspended", "notAcknowledged"])]);
    assert_eq!(said[0]["rvs"], json!([]));
}

#[test]
fn what_the_supervisor_refuses_is_refused_to_the_route() {
    let mut play = Play::up();
    let token = play.offer(fault(1, Member::Silent, EventState::Raised, NOON, NOON));
    let said = play.unanswered();
    let refusal =
        json!({"type": "MessageNotAck", "oMId": said[0]["mId"], "rea": "unknown component", "mId": "x"});
    play.say(&refusal);
    play.ack(said[1]["mId"].as_str().unwrap());
    let refused = matches!(&play.events.last(), Some(SinkEvent::Refused { token: of, reason }) if *of == token && reason.contains("unknown component"));
    assert!(refused, "{:?}", play.events);
}
