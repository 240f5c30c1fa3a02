use verge_domain::settable::{LimitKey, SettableLimit};

use super::*;
use crate::edge::HostCommands;
use crate::payload::{DataType, PropertySet, PropertyValue};

fn commanded() -> EdgeSettings {
    let limit = SettableLimit { key: LimitKey::Above, configured: 7.0, lowest: 6.0, highest: 10.0 };
    let limits = vec![(JudgeId::new("high").unwrap(), limit)];
    EdgeSettings { commands: Some(HostCommands { limits }), ..settings() }
}

fn said(name: Option<&str>, alias: Option<u64>, value: MetricValue) -> Vec<u8> {
    let metric = Metric { name: name.map(str::to_owned), alias, value: Some(value), ..Metric::default() };
    SparkplugPayload { metrics: vec![metric], ..SparkplugPayload::default() }.encode_to_vec()
}

fn commands(node: &mut EdgeNode) -> Vec<String> {
    let mut commands = Vec::new();
    while let Some(news) = node.take_news() {
        if let EdgeNews::Command(command) = news {
            commands.push(String::from_utf8(command).unwrap());
        }
    }
    commands
}

const OF_DEVICE: &str = "spBv1.0/plant_a/DCMD/gw/pump_1";
const OF_NODE: &str = "spBv1.0/plant_a/NCMD/gw";

#[test]
fn hosts_acknowledge_and_shelve_alarms_and_set_limits() {
    let standing = word(raised("pump+1", 9.0, 0), 1);
    let (mut node, mut host) = born(commanded(), &[standing], [1, 0, 0]);
    assert_eq!(host.subscribed, [[OF_NODE, "spBv1.0/plant_a/DCMD/gw/+"]]);
    let check = |node: &mut EdgeNode, topic: &str, payload: &[u8], expected: &[&str]| {
        let before = node.report().refused;
        node.message(topic, payload, false, at(10));
        assert_eq!(
            (commands(node), node.report().refused - before),
            (expected.iter().map(|one| (*one).to_owned()).collect(), u64::from(expected.is_empty())),
            "{topic}"
        );
    };
    let of = |what: &str| {
        format!(r#"{{"command":"{what}","device":"pump+1","id":"host","judge":"high","signal":"t"}}"#)
    };
    let yes = MetricValue::Boolean(true);
    check(
        &mut node,
        OF_DEVICE,
        &said(Some("high/t/high/acknowledged"), None, yes.clone()),
        &[&of("acknowledge")],
    );
    check(
        &mut node,
        OF_DEVICE,
        &said(Some("high/t/high/shelved"), None, MetricValue::Boolean(false)),
        &[&of("unshelve")],
    );
    let shelve =
        r#"{"command":"shelve","device":"pump+1","id":"host","judge":"high","minutes":480,"signal":"t"}"#;
    check(&mut node, OF_DEVICE, &said(Some("high/t/high/shelved"), None, yes.clone()), &[shelve]);
    let for_minutes = |int: Option<u32>| {
        let datatype = Some(DataType::Int32.code());
        let values = vec![PropertyValue { datatype, int, text: None }];
        let metric = Metric {
            name: Some("high/t/high/shelved".to_owned()),
            value: Some(yes.clone()),
            properties: Some(PropertySet { keys: vec!["minutes".to_owned()], values }),
            ..Metric::default()
        };
        SparkplugPayload { metrics: vec![metric], ..SparkplugPayload::default() }.encode_to_vec()
    };
    check(&mut node, OF_DEVICE, &for_minutes(Some(30)), &[&shelve.replace("480", "30")]);
    for wrong in [Some(0), Some(481), None] {
        check(&mut node, OF_DEVICE, &for_minutes(wrong), &[]);
    }
    // What cannot be written, of a wrong type, of nobody, or not known.
    check(&mut node, OF_DEVICE, &said(Some("high/t/high/active"), None, yes.clone()), &[]);
    check(&mut node, OF_DEVICE, &said(Some("high/t/high/acknowledged"), None, MetricValue::Int(1)), &[]);
    check(
        &mut node,
        OF_DEVICE,
        &said(Some("high/t/high/acknowledged"), None, MetricValue::Boolean(false)),
        &[],
    );
    check(
        &mut node,
        "spBv1.0/plant_a/DCMD/gw/other",
        &said(Some("high/t/high/acknowledged"), None, yes.clone()),
        &[],
    );
    check(&mut node, OF_DEVICE, &said(None, Some(9999), yes.clone()), &[]);
    check(&mut node, OF_DEVICE, b"\x12\xff", &[]);

    let set = |value: &str| {
        format!(r#"{{"command":"set","id":"host","judge":"high","key":"above","value":{value}}}"#)
    };
    check(
        &mut node,
        OF_NODE,
        &said(Some("Limits/high/above"), None, MetricValue::Double(8.5)),
        &[&set("8.5")],
    );
    check(&mut node, OF_NODE, &said(Some("Limits/high/above"), None, MetricValue::Double(f64::NAN)), &[]);
    check(&mut node, OF_NODE, &said(Some("Limits/high/below"), None, MetricValue::Double(8.5)), &[]);
    check(&mut node, OF_NODE, &said(Some("Limits/high/above"), None, yes), &[]);

    let refused = node.report().refused;
    node.answered(br#"{"id":"host","ok":false,"error":"value: from 6 to 10"}"#);
    node.answered(br#"{"id":"host","ok":true}"#);
    host.drain(&mut node, at(20));
    assert_eq!((node.report().refused - refused, host.topics.last().map(String::as_str)), (1, Some("NDATA")));
}

#[test]
fn the_node_says_what_has_changed_alone_and_each_answer() {
    let (mut node, mut host) = born(commanded(), &[], [0; 3]);
    let status = |limit: Option<f64>| NodeStatus {
        set_limits: limit.map(|limit| ("high".to_owned(), "above".to_owned(), limit)).into_iter().collect(),
        ..NodeStatus { state: "ok".to_owned(), backlog: 0, withdrawn: 0, uplinks: 1, set_limits: Vec::new() }
    };
    let mut after = |node: &mut EdgeNode| {
        let before = host.topics.len();
        host.drain(node, at(20));
        (host.topics[before..].to_vec(), host.last_metrics)
    };
    node.set_status(status(None));
    let (topics, _) = after(&mut node);
    assert_eq!(topics, ["NDATA"]);
    node.set_status(status(Some(8.5)));
    assert_eq!(after(&mut node), (vec!["NDATA".to_owned()], 1), "the limit alone");
    for _ in 0..2 {
        node.answered(br#"{"id":"host","ok":true}"#);
        assert_eq!(
            after(&mut node),
            (vec!["NDATA".to_owned()], 1),
            "an answer, though its words are the same"
        );
    }
    // What is no command is answered, too.
    node.message(
        OF_DEVICE,
        &said(Some("high/t/high/shelved"), None, MetricValue::Double(1.0)),
        false,
        at(21),
    );
    assert_eq!(after(&mut node), (vec!["NDATA".to_owned()], 1));
}

#[test]
fn aliases_of_commands_are_those_of_the_birth() {
    let (mut node, _) = born(commanded(), &[], [0; 3]);
    // Software, five of the status, the last answer, and then the limit.
    node.message(OF_NODE, &said(None, Some(8), MetricValue::Double(9.0)), false, at(10));
    assert_eq!(commands(&mut node).len(), 1);
    node.message(OF_NODE, &said(None, Some(7), MetricValue::Double(9.0)), false, at(10));
    assert_eq!((commands(&mut node).len(), node.report().refused), (0, 1));
}

#[test]
fn without_the_setting_nothing_is_commanded_and_storms_are_refused() {
    let standing = word(raised("pump+1", 9.0, 0), 1);
    let (mut node, _) = born(settings(), &[Arc::clone(&standing)], [1, 0, 0]);
    let acknowledge = said(Some("high/t/high/acknowledged"), None, MetricValue::Boolean(true));
    node.message(OF_DEVICE, &acknowledge, false, at(10));
    assert_eq!((commands(&mut node).len(), node.report().refused), (0, 1));
    let (mut node, _) = born(commanded(), &[standing], [1, 0, 0]);
    node.message(OF_DEVICE, &acknowledge, true, at(10));
    assert_eq!((commands(&mut node).len(), node.report().refused), (0, 1), "a retained command is none");
    for _ in 0..100 {
        node.message(OF_DEVICE, &acknowledge, false, at(10));
    }
    assert_eq!((commands(&mut node).len(), node.report().refused), (64, 37));
}

fn silence(state: EventState, decided: u64) -> Verdict {
    let body = Body::Health(Health::of(Member::Silent, 90.0, Expected::default()));
    Verdict {
        judge: JudgeId::new("silence").unwrap(),
        body,
        ..verdict("p", 0.0, state, Lane::Alarm, decided)
    }
}

/// What was said beside the status of the node.
fn births(host: &ModelHost) -> Vec<&str> {
    host.topics.iter().map(String::as_str).filter(|topic| *topic != "NDATA").collect()
}

#[test]
fn a_silent_device_dies_after_its_alarm_and_is_born_again() {
    let with_deaths = EdgeSettings { silent_is_death: true, ..settings() };
    let (mut node, mut host) = born(with_deaths.clone(), &[word(raised("p", 9.0, 0), 1)], [1, 0, 0]);
    let silent = silence(EventState::Raised, 2000);
    node.words(&[word(silent.clone(), 2)]);
    host.drain(&mut node, at(2000));
    // The alarm is new to the device, so a birth says it, and then it dies.
    assert_eq!(births(&host), ["NBIRTH", "DBIRTH/p", "DBIRTH/p", "DDEATH/p"]);
    let again = verdict("p", 11.0, EventState::Updated, Lane::Alarm, 2500);
    node.words(&[word(again.clone(), 3)]);
    assert!(node.offer(vec![row(&again, 3)], Token(3)));
    host.drain(&mut node, at(8000));
    host.answer(&mut node);
    assert_eq!(
        (births(&host).len(), &host.delivered[..]),
        (4, &[Token(3)][..]),
        "nothing is said of it, and nothing waits for it"
    );
    node.message(OF_NODE, &crate::command::rebirth_command(1), false, at(9000));
    host.drain(&mut node, at(9000));
    assert_eq!(
        births(&host)[4..],
        ["NBIRTH", "DBIRTH/p", "DDEATH/p"],
        "a host that asks learns of it, and that it is dead"
    );
    node.words(&[word(silence(EventState::Cleared, 10_000), 4)]);
    host.drain(&mut node, at(11_000));
    assert_eq!(births(&host)[7..], ["DBIRTH/p"]);
    assert_eq!(host.number("p", "high/t/high/observed"), Some(11.0), "the birth says what is true now");
    node.words(&[word(verdict("p", 12.0, EventState::Updated, Lane::Alarm, 12_000), 5)]);
    host.drain(&mut node, at(12_000));
    assert_eq!(births(&host)[8..], ["DDATA/p"]);

    // By default the device stays, and its other metrics are stale.
    let (mut node, mut host) = born(settings(), &[word(raised("p", 9.0, 0), 1)], [1, 0, 0]);
    node.words(&[word(silent, 2)]);
    host.drain(&mut node, at(2000));
    assert!(!host.topics.contains(&"DDEATH/p".to_owned()));
    assert_eq!(host.quality("p", "high/t/high/observed"), Some(500));
}

#[test]
fn a_silent_device_dies_each_time_where_rows_go_in_order() {
    let in_order = EdgeSettings { silent_is_death: true, history: HistoryOrder::InOrder, ..settings() };
    let (mut node, mut host) = born(in_order, &[word(raised("p", 9.0, 0), 1)], [1, 0, 0]);
    for (seq, state) in (2..).zip([EventState::Raised, EventState::Cleared, EventState::Raised]) {
        let verdict = silence(state, 5000 * seq);
        node.words(&[word(verdict.clone(), seq)]);
        assert!(node.offer(vec![row(&verdict, seq)], Token(seq)));
        host.drain(&mut node, at(5000 * seq));
    }
    assert_eq!(
        births(&host)[2..],
        ["DBIRTH/p", "DDEATH/p", "DBIRTH/p", "DDATA/p", "DDEATH/p"],
        "its alarm, its death, its return, and the same again"
    );
}

#[test]
fn a_device_of_which_one_signal_sends_is_not_dead() {
    let with_deaths = EdgeSettings { silent_is_death: true, ..settings() };
    let mut other = raised("p", 9.0, 0);
    other.subject.signal = SignalId::new("u").ok();
    let words = [word(raised("p", 9.0, 0), 1), word(other, 2)];
    let (mut node, mut host) = born(with_deaths, &words, [2, 0, 0]);
    node.words(&[word(silence(EventState::Raised, 2000), 3)]);
    host.drain(&mut node, at(2000));
    assert!(!host.topics.contains(&"DDEATH/p".to_owned()));
}
