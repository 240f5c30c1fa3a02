//! What is counted, at even intervals.

use super::*;

fn subscribe(component: &str, every: &str, items: &[(&str, &str)]) -> Value {
    let item = |(code, name): &(&str, &str)| json!({"sCI": code, "n": name, "uRt": every, "sOc": false});
    json!({"type": "StatusSubscribe", "cId": component, "sS": items.iter().map(item).collect::<Vec<_>>()})
}

/// Name, value and quality.
type ReadValue = (String, Option<String>, String);

/// Component, and name, value and quality of each value of updates.
fn updates(said: &[Value]) -> Vec<(String, Vec<ReadValue>)> {
    let updates = said.iter().filter(|message| message["type"] == "StatusUpdate");
    let value = |one: &Value| {
        let text = |key: &str| one[key].as_str().map(str::to_owned);
        (text("n").unwrap(), text("s"), text("q").unwrap())
    };
    let of = |update: &Value| {
        let values = update["sS"].as_array().unwrap().iter().map(value).collect();
        (update["cId"].as_str().unwrap().to_owned(), values)
    };
    updates.map(of).collect()
}

fn value(name: &str, value: &str, quality: &str) -> (String, Option<String>, String) {
    (name.to_owned(), Some(value.to_owned()), quality.to_owned())
}

fn time(at: i64) -> String {
    super::super::super::timestamp(UtcMillis(at))
}

/// Minutes of a loop, from one minute of the hour to another, and what is said meanwhile.
fn minutes(play: &mut Play, device: &str, minutes: std::ops::Range<i64>) -> Vec<Value> {
    let mut said = Vec::new();
    for minute in minutes {
        let end = NOON + (minute + 1) * MINUTE;
        *play.view.at.lock().unwrap() = play.view.at().max(end + 1000);
        play.offer(counts(device, end - MINUTE, 1 + u64::try_from(minute).unwrap()));
        said.extend(play.listen());
    }
    said
}

#[test]
fn a_subscription_never_begins_or_ends_an_interval() {
    let mut play = Play::up();
    minutes(&mut play, "loop-1", 0..2);
    // At 12:02:01, of five minutes: the first is that of 12:00, whole.
    play.say(&subscribe(
        "DL1",
        "300",
        &[("S0201", "starttime"), ("S0201", "vehicles"), ("S0202", "speed"), ("S0203", "occupancy")],
    ));
    assert_eq!(kinds(&play.listen()), ["MessageAck"], "and no update at once");
    assert_eq!(updates(&minutes(&mut play, "loop-1", 2..4)), []);
    let said = minutes(&mut play, "loop-1", 4..6);
    let values = vec![
        value("starttime", &time(NOON), "recent"),
        value("vehicles", "15", "recent"),
        value("speed", "36", "recent"),
        value("occupancy", "25", "recent"),
    ];
    assert_eq!(updates(&said), [("DL1".to_owned(), values)]);
    // A further subscription changes no count.
    play.say(&subscribe("DL1", "300", &[("S0204", "P")]));
    let said = minutes(&mut play, "loop-1", 6..10);
    let all = updates(&said);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].1[1], value("vehicles", "40", "recent"));
    assert_eq!(all[0].1[4], ("P".to_owned(), None, "unknown".to_owned()), "a loop knows no classes");
    play.say(&json!({"type": "StatusUnsubscribe", "cId": "DL1", "sS": [
        {"sCI": "S0201", "n": "starttime"}, {"sCI": "S0201", "n": "vehicles"}, {"sCI": "S0202", "n": "speed"},
        {"sCI": "S0203", "n": "occupancy"}, {"sCI": "S0204", "n": "P"}]}));
    play.listen();
    assert_eq!(
        (updates(&minutes(&mut play, "loop-1", 10..16)), play.site.report().subscriptions),
        (vec![], 0)
    );
}

#[test]
fn nothing_waits_for_an_interval_that_nobody_wants_any_more() {
    let wants = [("S0201", "vehicles")];
    let end = json!({"type": "StatusUnsubscribe", "cId": "DL1", "sS": [{"sCI": "S0201", "n": "vehicles"}]});
    for other in [end, subscribe("DL1", "120", &wants)] {
        let mut play = Play::up();
        play.say(&subscribe("DL1", "60", &wants));
        play.listen();
        let token = play.offer(counts("loop-1", NOON, 3));
        assert_eq!(updates(&play.unanswered()).len(), 1);
        assert_eq!(play.delivered(), [], "it waits for the acknowledgement");
        play.say(&other);
        assert_eq!(kinds(&play.listen()), ["MessageAck"]);
        assert_eq!(play.delivered(), [token]);
    }
}

#[test]
fn an_interval_that_began_before_anything_was_known_is_left_out() {
    let mut play = Play::up();
    *play.view.at.lock().unwrap() = NOON + 2 * MINUTE + 1000;
    play.say(&subscribe("DL1", "300", &[("S0201", "vehicles")]));
    play.listen();
    assert_eq!(updates(&minutes(&mut play, "loop-1", 2..9)), [], "the rest of 12:00 is none");
    let said = minutes(&mut play, "loop-1", 9..10);
    assert_eq!(updates(&said)[0].1, [value("vehicles", "40", "recent")]);
}

#[test]
fn what_was_observed_in_part_is_not_known() {
    let mut play = Play::up();
    play.say(&subscribe("DL1", "60", &[("S0201", "starttime"), ("S0201", "vehicles")]));
    play.listen();
    let mut partial = counts("loop-1", NOON, 7);
    if let Body::Counts(counts) = &mut partial.body {
        counts.partial = true;
    }
    play.offer(partial);
    let unknown = ("vehicles".to_owned(), None, "unknown".to_owned());
    assert_eq!(updates(&play.listen())[0].1, [value("starttime", &time(NOON), "recent"), unknown.clone()]);
    // A detector that says nothing at all is not waited for.
    play.pass(MINUTE + 9_000);
    assert_eq!(updates(&play.listen()), []);
    play.pass(MINUTE + 1_000);
    assert_eq!(updates(&play.listen())[0].1, [value("starttime", &time(NOON + MINUTE), "recent"), unknown]);
}

#[test]
fn an_outage_is_made_up_for_once_and_as_old() {
    let mut play = Play::up();
    play.say(&subscribe("DL1", "120", &[("S0201", "starttime"), ("S0201", "vehicles")]));
    play.listen();
    assert_eq!(updates(&minutes(&mut play, "loop-1", 0..2)).len(), 1);
    // The line breaks while an update waits for its acknowledgement.
    *play.view.at.lock().unwrap() = NOON + 4 * MINUTE + 1000;
    let first = counts("loop-1", NOON + 2 * MINUTE, 3);
    let second = counts("loop-1", NOON + 3 * MINUTE, 4);
    play.offer(first);
    play.offer(second.clone());
    assert_eq!(updates(&play.unanswered()).len(), 1);
    play.site.lost();
    play.events.clear();
    *play.view.at.lock().unwrap() = NOON + 8 * MINUTE + 30_000;
    let said = play.connect();
    // What was not acknowledged is offered again, then what the store has since.
    let mut said = [said, play.listen()].concat();
    let again = play.offer(second);
    said.extend(play.listen());
    for minute in 4..8 {
        play.offer(counts("loop-1", NOON + minute * MINUTE, 1));
    }
    said.extend(play.listen());
    let old = |minute: i64, vehicles: &str| {
        vec![value("starttime", &time(NOON + minute * MINUTE), "old"), value("vehicles", vehicles, "old")]
    };
    let found: Vec<_> = updates(&said).into_iter().map(|(_, values)| values).collect();
    assert_eq!(found, [old(2, "7"), old(4, "2"), old(6, "2")]);
    assert!(play.delivered().contains(&again));
    assert_eq!(play.delivered().len(), 5);
    let said = minutes(&mut play, "loop-1", 8..10);
    assert_eq!(updates(&said)[0].1[1], value("vehicles", "19", "recent"));
}

#[test]
fn intervals_of_an_outage_wait_for_their_lane_however_long_another_takes() {
    let mut play = Play::up();
    play.say(&subscribe("DL1", "60", &[("S0201", "starttime"), ("S0201", "vehicles")]));
    play.listen();
    // The line breaks before anything was counted.
    play.site.lost();
    *play.view.at.lock().unwrap() = NOON + 3 * MINUTE + 30_000;
    let lane = counts("loop-1", NOON, 1).lane.index();
    play.view.heads.lock().unwrap()[lane] = Seq(900);
    play.view.delivered.lock().unwrap()[lane] = Some(Seq(10));
    let mut said = play.connect();
    // Alarms come for a minute.
    for _ in 0..6 {
        play.pass(10_000);
        said.extend(play.listen());
    }
    assert_eq!(updates(&said), [], "none is given up as unknown while its lane is behind");
    for minute in 0..3 {
        play.tokens = 897 + minute;
        play.offer(counts("loop-1", NOON + i64::try_from(minute).unwrap() * MINUTE, 7));
    }
    let found: Vec<_> = updates(&play.listen()).into_iter().map(|(_, values)| values).collect();
    let old = |minute: i64| {
        vec![value("starttime", &time(NOON + minute * MINUTE), "old"), value("vehicles", "7", "old")]
    };
    assert_eq!(found, [old(0), old(1), old(2)]);
    // It is through, and detectors that say nothing are not waited for any more.
    play.pass(MINUTE);
    assert_eq!(updates(&play.listen())[0].1[1], ("vehicles".to_owned(), None, "unknown".to_owned()));
}

#[test]
fn without_a_buffer_subscriptions_end_with_the_line() {
    let mut play = Play::new(|site| site.buffer_status = false);
    play.connect();
    play.say(&subscribe("DL1", "60", &[("S0201", "vehicles")]));
    play.listen();
    play.site.lost();
    play.connect();
    assert_eq!(updates(&minutes(&mut play, "loop-1", 0..3)), []);
}

#[test]
fn the_main_component_has_all_detectors_in_one_value() {
    let mut play = Play::up();
    play.say(&subscribe("TC", "60", &[("S0205", "start"), ("S0205", "vehicles"), ("S0208", "B")]));
    play.listen();
    play.offer(counts("loop-2", NOON, 5));
    assert_eq!(updates(&play.listen()), [], "the other one is waited for");
    play.offer(counts("loop-1", NOON, 3));
    let values = vec![
        value("start", &time(NOON), "recent"),
        value("vehicles", "3,5", "recent"),
        value("B", "-1,-1", "recent"),
    ];
    assert_eq!(updates(&play.listen()), [("TC".to_owned(), values)]);
    play.offer(counts("loop-2", NOON + MINUTE, 6));
    play.listen();
    play.pass(2 * MINUTE + 11_000);
    let found = updates(&play.listen());
    assert_eq!(found[0].1[1], value("vehicles", "-1,6", "recent"));
}

#[test]
fn intervals_that_cannot_be_had_are_refused_whole() {
    let mut play = Play::up();
    let mut refused = |every: &str, expected: &str| {
        play.say(&subscribe("DL1", every, &[("S0201", "vehicles")]));
        let said = play.listen();
        assert_eq!(kinds(&said), ["MessageNotAck"]);
        assert!(said[0]["rea"].as_str().unwrap().contains(expected), "{said:?}");
    };
    refused("90", "no multiple of the interval of 60 s");
    refused("420", "does not divide a day");
    refused("x", "uRt");
    assert_eq!(play.site.report().subscriptions, 0);
    // 0 is as soon as there is something new: each interval of the judge.
    play.say(&subscribe("DL1", "0", &[("S0201", "vehicles")]));
    assert_eq!(kinds(&play.listen()), ["MessageAck"]);
    assert_eq!(updates(&minutes(&mut play, "loop-1", 0..2)).len(), 2);
}

#[test]
fn unknown_components_and_what_detectors_have_not_are_answered_as_such() {
    let mut play = Play::up();
    let mut answered = |component: &str, code: &str, name: &str, expected: &str| {
        let request = json!({"type": "StatusRequest", "cId": component, "sS": [{"sCI": code, "n": name}]});
        play.say(&request);
        let said = play.listen();
        assert_eq!(kinds(&said), ["MessageAck", "StatusResponse"]);
        let value = &said[1]["sS"][0];
        assert_eq!((&value["q"], &value["s"]), (&json!(expected), &Value::Null), "{component} {code}");
    };
    answered("DL9", "S0201", "vehicles", "undefined");
    answered("DL1", "S0001", "signalgroupstatus", "unknown");
    answered("DL1", "S0205", "vehicles", "unknown");
    answered("DL1", "S0201", "vehicles", "unknown");
    play.offer(counts("loop-1", NOON, 3));
    play.listen();
    play.say(&json!({"type": "StatusRequest", "cId": "DL1", "sS": [{"sCI": "S0201", "n": "vehicles"}]}));
    assert_eq!(play.listen()[1]["sS"][0], json!({"sCI": "S0201", "n": "vehicles", "s": "3", "q": "recent"}));
    play.say(&subscribe("DL9", "60", &[("S0201", "vehicles")]));
    let said = play.listen();
    assert_eq!(updates(&said)[0].1, [("vehicles".to_owned(), None, "undefined".to_owned())], "once, at once");
}
