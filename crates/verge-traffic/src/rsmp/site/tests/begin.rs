//! Beginnings, ends, and what is no message.

use super::*;

#[test]
fn versions_and_watchdogs_come_first_then_how_everything_stands() {
    let mut play = Play::new(|_| {});
    play.site.connected(&play.view);
    let said = play.unanswered();
    assert_eq!(said[0]["RSMP"], json!([{"vers": "3.2.2"}]));
    assert_eq!((&said[0]["SXL"], &said[0]["siteId"]), (&json!("1.2.1"), &json!([{"sId": "RN+SI0001"}])));
    // Nothing else is answered before.
    let id =
        play.say(&json!({"type": "StatusRequest", "cId": "DL1", "sS": [{"sCI": "S0201", "n": "vehicles"}]}));
    let refused = play.unanswered();
    assert_eq!((&refused[0]["type"], &refused[0]["oMId"]), (&json!("MessageNotAck"), &json!(id)));
    play.site.lost();

    let said = play.connect();
    let expected = ["AggregatedStatus", "Alarm", "Alarm", "Alarm", "Alarm"];
    assert_eq!(kinds(&said), expected, "of all components, the inactive ones too");
    assert_eq!(said[0]["se"], json!([false, false, false, false, false, true, false, false]));
    let alarms: Vec<_> =
        said[1..].iter().map(|alarm| (alarm["cId"].as_str(), alarm["aCId"].as_str())).collect();
    let expected = [("DL1", "A0301"), ("DL1", "A0302"), ("DL2", "A0301"), ("DL2", "A0302")];
    assert_eq!(alarms, expected.map(|(component, code)| (Some(component), Some(code))));
    assert!(said[1..].iter().all(|alarm| alarm["aS"] == "inActive" && alarm["aSp"] == "Issue"));
    assert_eq!(play.events, [SinkEvent::Connected]);
}

#[test]
fn a_version_that_does_not_agree_is_refused_with_its_reason_and_ends_the_connection() {
    let check = |changed: Value, expected: &str| {
        let mut play = Play::new(|_| {});
        play.site.connected(&play.view);
        play.unanswered();
        let mut version = version();
        for (key, value) in changed.as_object().unwrap() {
            version[key] = value.clone();
        }
        play.say(&version);
        let said = play.unanswered();
        assert_eq!(kinds(&said), ["MessageNotAck"]);
        assert!(said[0]["rea"].as_str().unwrap().contains(expected), "{said:?}");
        assert!(play.site.hang_up().unwrap().contains(expected));
    };
    check(json!({"SXL": "1.1"}), "SXL version \"1.1\"");
    check(json!({"RSMP": [{"vers": "3.1.2"}]}), "RSMP versions 3.1.2");
    check(json!({"siteId": [{"sId": "RN+SI0002"}]}), "site id RN+SI0002");

    let mut play = Play::new(|_| {});
    play.site.connected(&play.view);
    let id = play.unanswered()[0]["mId"].clone();
    play.say(&json!({"type": "MessageNotAck", "oMId": id, "rea": "unknown site", "mId": "x"}));
    assert!(play.site.hang_up().unwrap().contains("unknown site"));
}

#[test]
fn a_supervisor_that_acknowledges_and_says_nothing_is_given_up() {
    let mut play = Play::new(|_| {});
    play.site.connected(&play.view);
    play.listen();
    play.pass(29_000);
    assert_eq!(play.site.hang_up(), None);
    play.pass(1_000);
    assert!(play.site.hang_up().unwrap().contains("has sent no version within 30 s"));
    play.site.lost();
    play.site.connected(&play.view);
    play.listen();
    play.say(&version());
    play.listen();
    play.pass(89_000);
    assert_eq!(play.site.hang_up(), None);
    play.pass(1_000);
    assert!(play.site.hang_up().unwrap().contains("has sent no watchdog within 90 s"));
}

#[test]
fn acknowledgements_that_stop_end_the_connection() {
    let mut play = Play::up();
    play.offer(fault(1, Member::Silent, EventState::Raised, NOON, NOON));
    assert_eq!(kinds(&play.unanswered()), ["Alarm", "AggregatedStatus"]);
    play.pass(29_000);
    assert_eq!(play.site.hang_up(), None);
    play.pass(1_000);
    assert!(play.site.hang_up().unwrap().contains("has not acknowledged a message within 30 s"));
    assert_eq!(play.delivered(), []);
    // The same row again, under another identifier.
    play.site.lost();
    play.events.clear();
    play.connect();
    let token = play.offer(fault(1, Member::Silent, EventState::Raised, NOON, NOON));
    assert_eq!(kinds(&play.listen())[..1], ["Alarm"]);
    assert_eq!(play.delivered(), [token]);
}

#[test]
fn a_watchdog_is_said_each_minute_and_answered() {
    let mut play = Play::up();
    for _ in 0..3 {
        play.pass(59_000);
        assert_eq!(play.listen().len(), 0);
        play.pass(1_000);
        assert_eq!(kinds(&play.listen()), ["Watchdog"]);
    }
    let id = play.say(&json!({"type": "Watchdog", "wTs": "2026-11-29T12:00:00.000Z"}));
    assert_eq!(play.listen(), [json!({"mType": "rSMsg", "type": "MessageAck", "oMId": id})]);
}

#[test]
fn at_most_64_messages_wait_and_acknowledgements_go_first() {
    let mut play = Play::up();
    for number in 0..100 {
        let state = if number % 2 == 0 { EventState::Raised } else { EventState::Cleared };
        play.offer(fault(1, Member::Silent, state, NOON + number, NOON + number));
    }
    let said = play.unanswered();
    assert_eq!(said.len(), MAX_UNACKNOWLEDGED);
    let id = play.say(&json!({"type": "Watchdog", "wTs": "2026-11-29T12:00:00.000Z"}));
    assert_eq!(play.unanswered()[0]["oMId"], id, "though nothing else may be said");
    for message in &said {
        play.ack(message["mId"].as_str().unwrap());
    }
    play.listen();
    assert_eq!(play.delivered().len(), 100);
}

#[test]
fn noise_changes_nothing_and_what_has_a_name_is_refused_by_it() {
    let mut play = Play::up();
    for noise in ["", "{", "[1]", "\"x\"", "{\"mType\":\"rSMsg\"}"] {
        play.site.received(Packet::Whole(noise.as_bytes().to_vec()), &play.view);
    }
    play.site.received(Packet::TooLong, &play.view);
    play.ack("nothing");
    assert_eq!((play.listen().len(), play.site.report().unreadable), (0, 6));
    let mut refused = |content: Value, expected: &str| {
        play.say(&content);
        let said = play.listen();
        assert_eq!(kinds(&said), ["MessageNotAck"], "{content}");
        assert!(said[0]["rea"].as_str().unwrap().contains(expected), "{said:?}");
    };
    refused(json!({"type": "CommandRequest", "cId": "DL1", "arg": []}), "takes no commands");
    refused(json!({"type": "Nonsense"}), "Nonsense");
    refused(json!({"type": "AggregatedStatusRequest", "cId": "DL1"}), "has no aggregated status");
    refused(json!({"type": "Alarm", "cId": "DL9", "aCId": "A0301", "aSp": "Request"}), "no component");
    refused(json!({"type": "Alarm", "cId": "DL1", "aCId": "A0303", "aSp": "Request"}), "no alarm");
    refused(json!({"type": "StatusRequest", "cId": "DL1", "sS": [{"sCI": "S0999", "n": "x"}]}), "S0999");
    refused(json!({"type": "StatusRequest", "cId": "DL1", "sS": [{"sCI": "S0201", "n": "x"}]}), "no value");
    assert_eq!(play.site.report().refused, 7);
    assert_eq!(play.site.hang_up(), None, "none of it ends the connection");
}

#[test]
fn values_are_not_gathered_without_end_for_a_supervisor_that_takes_none() {
    let mut play = Play::up();
    for _ in 0..=MAX_BEFORE_STATUS {
        play.say(&json!({"type": "StatusRequest", "cId": "DL1", "sS": [{"sCI": "S0201", "n": "vehicles"}]}));
    }
    let said = play.listen();
    let count = |kind: &str| kinds(&said).iter().filter(|one| **one == kind).count();
    assert_eq!((count("StatusResponse"), count("MessageNotAck")), (MAX_BEFORE_STATUS, 1));
}

#[test]
fn a_secondary_supervisor_gets_no_alarms_and_holds_up_none() {
    let mut play = Play::new(|site| site.secondary = true);
    assert_eq!(kinds(&play.connect()), ["AggregatedStatus"]);
    let token = play.offer(fault(1, Member::Silent, EventState::Raised, NOON, NOON));
    assert_eq!(kinds(&play.listen()), ["AggregatedStatus"]);
    assert_eq!(play.delivered(), [token]);
}

#[test]
fn whatever_a_supervisor_says_is_answered_once_or_ignored() {
    let good = [
        json!({"type": "Watchdog", "wTs": "2026-11-29T12:00:00.000Z"}),
        json!({"type": "Alarm", "cId": "DL1", "aCId": "A0301", "aSp": "Suspend"}),
        json!({"type": "Alarm", "cId": "DL2", "aCId": "A0302", "aSp": "Acknowledge"}),
        json!({"type": "StatusSubscribe", "cId": "DL1", "sS": [{"sCI": "S0201", "n": "vehicles", "uRt": "60", "sOc": false}]}),
        json!({"type": "StatusRequest", "cId": "TC", "sS": [{"sCI": "S0205", "n": "vehicles"}]}),
        json!({"type": "StatusUnsubscribe", "cId": "DL1", "sS": [{"sCI": "S0201", "n": "vehicles"}]}),
        json!({"type": "AggregatedStatusRequest", "cId": "TC"}),
        json!({"type": "CommandRequest", "cId": "DL1", "arg": []}),
    ];
    let wrong = [
        Value::Null,
        json!(7),
        json!([]),
        json!({}),
        json!("x"),
        json!(["S0201"]),
        json!("DL1"),
        json!("TC"),
    ];
    let mut random = fastrand::Rng::with_seed(3);
    let mut play = Play::up();
    for _ in 0..5_000 {
        let mut message = good[random.usize(..good.len())].clone();
        let keys: Vec<String> = message.as_object().unwrap().keys().cloned().collect();
        if random.bool() {
            message[&keys[random.usize(..keys.len())]] = wrong[random.usize(..wrong.len())].clone();
        }
        let id = play.say(&message);
        while let Some((number, _)) = play.site.take_order() {
            play.site.ordered(number, Ok(()), &play.view);
        }
        play.pass(200);
        let said = play.listen();
        let answers = said.iter().filter(|one| one.get("oMId").is_some_and(|of| *of == *id)).count();
        assert_eq!(answers, 1, "{message}");
        assert_eq!(play.site.hang_up(), None, "{message}");
    }
    // Bytes that are cut and changed anywhere.
    for _ in 0..20_000 {
        let mut bytes = good[random.usize(..good.len())].to_string().into_bytes();
        bytes.truncate(random.usize(..=bytes.len()));
        for _ in 0..random.usize(..4) {
            if let Some(byte) = bytes.get_mut(random.usize(..200)) {
                *byte = random.u8(..);
            }
        }
        play.site.received(Packet::Whole(bytes), &play.view);
        play.listen();
    }
    assert_eq!(play.site.hang_up(), None);
}
