//! The machine against a broker and a host that know the rules of the specification, by its identifiers.

mod commands;
mod host;
mod model;

use verge_domain::finding::{Expected, Feedback, Member};
use verge_domain::id::{DeviceId, EventId, JudgeId, Lane, SignalId, SourceId, Unit};
use verge_domain::link::EdgeNodeState;
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    AlarmHandling, Anomaly, Body, Detector, Event, EventState, Health, Severity, Subject, Times, Verdict,
};

use super::*;
use crate::command::rebirth_command;
use crate::names::NodeAddress;
use host::ModelHost;

const START: i64 = 1_700_000_000_000;

pub(super) fn at(millis: u64) -> Moment {
    Moment { wall: UtcMillis(START.saturating_add_unsigned(millis)), mono: Monotonic(millis * 1000) }
}

fn settings() -> EdgeSettings {
    EdgeSettings {
        address: NodeAddress::new("plant/a", "gw"),
        host: None,
        lanes: Lane::ALL.to_vec(),
        confirm: Duration::from_secs(5),
        history: HistoryOrder::Behind,
        history_rate: 1000,
        datatype_in_data: false,
        properties: vec![("Software".to_owned(), "Verge".to_owned())],
        silent_is_death: false,
        commands: None,
        max_payload: 60_000,
    }
}

/// A verdict of the judge `high` about a signal `t` of a device.
fn verdict(device: &str, observed: f64, state: EventState, lane: Lane, decided: u64) -> Verdict {
    let unit = Unit::new("K").ok();
    let expected = Expected { low: None, high: Some(7.0) };
    Verdict {
        judge: JudgeId::new("high").unwrap(),
        subject: Subject {
            source: SourceId::new("s").unwrap(),
            device: DeviceId::new(device).unwrap(),
            signal: SignalId::new("t").ok(),
        },
        tag: None,
        times: Times {
            captured: None,
            clock: DeviceClock::Absent,
            received: at(decided).wall,
            decided: at(decided).wall,
            estimated: false,
        },
        detector: Detector::Threshold,
        model: None,
        severity: Severity::Critical,
        lane,
        event: Some(Event {
            id: EventId([1; 16]),
            state,
            since: at(decided).wall,
            lasted_ms: 0,
            number: None,
            learning: false,
            change: None,
            suspended: false,
            group: None,
            handling: AlarmHandling::default(),
        }),
        group: None,
        action: None,
        body: Body::Anomaly(Anomaly {
            member: Member::High,
            observed,
            expected,
            p_value: None,
            unit,
            contributions: Vec::new(),
            feedback: Feedback::default(),
            distance: None,
            value: None,
            usual: Expected { low: None, high: None },
            value_unit: None,
            regions: verge_domain::verdict::Regions::default(),
        }),
    }
}

fn raised(device: &str, observed: f64, decided: u64) -> Verdict {
    verdict(device, observed, EventState::Raised, Lane::Alarm, decided)
}

fn word(verdict: Verdict, seq: u64) -> Arc<LastWord> {
    Arc::new(LastWord::new(verdict, Some(Seq(seq))))
}

fn row(verdict: &Verdict, seq: u64) -> VerdictRow {
    VerdictRow {
        lane: verdict.lane,
        seq: Seq(seq),
        verdict: Some(Box::new(verdict.clone())),
        stored_bytes: 100,
    }
}

/// A node that was born, its host and the time.
fn born(settings: EdgeSettings, words: &[Arc<LastWord>], heads: [u64; 3]) -> (EdgeNode, ModelHost) {
    let mut node = EdgeNode::new(settings);
    let mut host = ModelHost::default();
    host.connect(&mut node, 0);
    node.begin(words, heads.map(Seq), at(0));
    host.drain(&mut node, at(0));
    (node, host)
}

#[test]
fn a_cold_start_is_will_subscription_births_and_then_data() {
    let standing = word(raised("pump+1", 9.0, 0), 1);
    let (mut node, mut host) = born(settings(), &[standing], [1, 0, 0]);
    assert_eq!(host.subscribed, [["spBv1.0/plant_a/NCMD/gw"]]);
    assert_eq!(host.topics, ["NBIRTH", "DBIRTH/pump_1"]);
    assert_eq!(host.number("pump_1", "high/t/high/observed"), Some(9.0));
    assert_eq!(host.unit("pump_1", "high/t/high/observed").as_deref(), Some("K"));
    // An alarm goes out with the next look, by its alias, with what has changed alone.
    node.words(&[word(verdict("pump+1", 11.0, EventState::Updated, Lane::Alarm, 5), 2)]);
    host.drain(&mut node, at(10));
    assert_eq!(host.topics[2..], ["DDATA/pump_1"]);
    assert_eq!(host.number("pump_1", "high/t/high/observed"), Some(11.0));
    assert!(host.last_metrics <= 2, "by exception: {}", host.last_metrics);
}

#[test]
fn the_broker_is_asked_again_and_its_answer_is_the_receipt() {
    let (mut node, mut host) = born(settings(), &[], [0; 3]);
    let first = raised("p", 8.0, 10);
    node.words(&[word(first.clone(), 1)]);
    host.drain(&mut node, at(10));
    assert!(node.offer(vec![row(&first, 1)], Token(1)));
    host.drain(&mut node, at(20));
    assert_eq!((host.asked, &host.delivered[..]), (1, &[][..]), "not before the answer");
    host.answer(&mut node);
    assert_eq!(host.delivered, [Token(1)]);
    // The next question waits for its time.
    let second = verdict("p", 9.0, EventState::Updated, Lane::Alarm, 30);
    node.words(&[word(second.clone(), 2)]);
    assert!(node.offer(vec![row(&second, 2)], Token(2)));
    host.drain(&mut node, at(30));
    assert_eq!(host.asked, 1);
    assert_eq!(node.wake(at(30)), Some(Duration::from_millis(4990)));
    host.drain(&mut node, at(5030));
    host.answer(&mut node);
    assert_eq!((host.asked, &host.delivered[..]), (2, &[Token(1), Token(2)][..]));
}

#[test]
fn what_was_not_confirmed_goes_again_as_history_with_its_own_time() {
    let (mut node, mut host) = born(settings(), &[], [0; 3]);
    let first = raised("p", 8.0, 10);
    node.words(&[word(first.clone(), 1)]);
    node.offer(vec![row(&first, 1)], Token(1));
    host.drain(&mut node, at(10));
    node.lost();
    let mut host = ModelHost::default();
    host.connect(&mut node, 1);
    node.begin(&[word(first.clone(), 1)], [Seq(1), Seq::ZERO, Seq::ZERO], at(9000));
    assert!(node.offer(vec![row(&first, 1)], Token(2)));
    host.drain(&mut node, at(9000));
    host.drain(&mut node, at(9100));
    assert_eq!(host.history, [("p".to_owned(), 8.0, at(10).wall.0.unsigned_abs())]);
    host.answer(&mut node);
    assert_eq!(host.delivered, [Token(2)]);
}

#[test]
fn history_keeps_to_its_rate_and_what_is_new_goes_beside_it() {
    let (mut node, mut host) = born(EdgeSettings { history_rate: 100, ..settings() }, &[], [1000, 0, 0]);
    let old: Vec<Verdict> = (1..=500_u32).map(|seq| raised("p", f64::from(seq), u64::from(seq))).collect();
    for (seq, verdict) in (1..).zip(&old) {
        assert!(node.offer(vec![row(verdict, seq)], Token(seq)));
    }
    for step in 1..=100 {
        host.drain(&mut node, at(step * 20));
    }
    // Eleven metrics each.
    let sent = host.history.len();
    assert!((15..=22).contains(&sent), "{sent} in two seconds");
    let ordered: Vec<f64> = host.history.iter().map(|(_, observed, _)| *observed).collect();
    assert!(ordered.is_sorted(), "oldest first");
    node.words(&[word(raised("p", 7777.0, 3000), 1001)]);
    host.drain(&mut node, at(3000));
    assert_eq!(host.number("p", "high/t/high/observed"), Some(7777.0));
    // In order, it waits.
    let in_order = EdgeSettings { history: HistoryOrder::InOrder, history_rate: 100, ..settings() };
    let (mut node, mut host) = born(in_order, &[], [1, 0, 0]);
    let new = verdict("p", 5.0, EventState::Updated, Lane::Alarm, 50);
    node.words(&[word(new.clone(), 2)]);
    node.offer(vec![row(&old[0], 1), row(&new, 2)], Token(1));
    host.drain(&mut node, at(10));
    assert!(host.data.is_empty());
    for step in 1..=50 {
        host.drain(&mut node, at(20 + step * 20));
    }
    assert_eq!((host.history.len(), host.number("p", "high/t/high/observed")), (1, Some(5.0)));
}

#[test]
fn history_alone_ends_as_the_present_state_of_a_point_that_nothing_newer_is_known_of() {
    let (mut node, mut host) = born(settings(), &[], [2, 0, 0]);
    let cleared = verdict("p", 3.0, EventState::Cleared, Lane::Alarm, 20);
    node.offer(vec![row(&raised("p", 8.0, 10), 1)], Token(1));
    for step in 1..=10 {
        host.drain(&mut node, at(step * 100));
    }
    assert_eq!(host.truth("p", "high/t/high/active"), None, "more of it is to come");
    node.offer(vec![row(&cleared, 2)], Token(2));
    for step in 11..=20 {
        host.drain(&mut node, at(step * 100));
    }
    let observed: Vec<f64> = host.history.iter().map(|(_, observed, _)| *observed).collect();
    assert_eq!(observed, [8.0, 3.0]);
    assert_eq!(host.truth("p", "high/t/high/active"), Some(false), "not the alarm that was over long ago");
    assert_eq!(host.born_null, ["p/high/t/high/observed"], "and never born as standing");
}

#[test]
fn a_storm_of_rebirths_is_one_birth_a_second() {
    let (mut node, mut host) = born(settings(), &[word(raised("p", 8.0, 0), 1)], [1, 0, 0]);
    for millis in 0..3000 {
        let now = at(1500 + millis);
        node.message("spBv1.0/plant_a/NCMD/gw", &rebirth_command(1), false, now);
        host.drain(&mut node, now);
    }
    // operational-behavior-data-commands-rebirth-action: with the same bdSeq, the seq from 0.
    assert_eq!(host.births, 1 + 3);
    assert_eq!(node.report().births, 4);
}

#[test]
fn commands_that_are_unknown_are_counted_and_change_nothing() {
    let (mut node, mut host) = born(settings(), &[], [0; 3]);
    node.message("spBv1.0/plant_a/NCMD/gw", b"\xff\xff", false, at(2000));
    node.message("spBv1.0/plant_a/NCMD/gw", &rebirth_command(1), true, at(2000));
    node.message("spBv1.0/plant_a/DCMD/gw/p", &rebirth_command(1), false, at(2000));
    host.drain(&mut node, at(2000));
    assert_eq!((host.births, node.report().refused), (1, 3));
}

#[test]
fn without_its_primary_host_nothing_is_born() {
    let mut node = EdgeNode::new(EdgeSettings { host: Some("ignition".to_owned()), ..settings() });
    let mut host = ModelHost::default();
    host.connect(&mut node, 0);
    let topics = ["spBv1.0/plant_a/NCMD/gw", "spBv1.0/STATE/ignition", "STATE/ignition"];
    assert_eq!(host.subscribed, [topics]);
    assert_eq!((node.is_ready(), node.report().state), (false, EdgeNodeState::WaitHost));
    let state = |node: &mut EdgeNode, online: bool, t: u64| {
        let said = format!(r#"{{"online":{online},"timestamp":{t}}}"#);
        node.message(topics[1], said.as_bytes(), true, at(0));
    };
    state(&mut node, true, 100);
    assert!(node.is_ready());
    node.begin(&[], [Seq::ZERO; 3], at(0));
    host.drain(&mut node, at(0));
    state(&mut node, false, 99);
    host.drain(&mut node, at(1));
    assert_eq!(
        (host.topics.len(), node.report().state),
        (1, EdgeNodeState::Born),
        "an older time is ignored"
    );
    // operational-behavior-edge-node-termination-host-offline
    state(&mut node, false, 100);
    host.drain(&mut node, at(2));
    assert_eq!(host.topics.last().map(String::as_str), Some("NDEATH"));
    node.left();
    assert_eq!(host.left(&mut node), Some(Some("the primary host is offline".to_owned())));
}

#[test]
fn a_stop_sends_what_is_committed_then_the_death() {
    let (mut node, mut host) = born(settings(), &[], [0; 3]);
    let last = raised("p", 8.0, 10);
    node.words(&[word(last.clone(), 1)]);
    node.offer(vec![row(&last, 1)], Token(1));
    node.leave();
    host.drain(&mut node, at(10));
    assert_eq!(host.topics[1..], ["DBIRTH/p", "NDATA", "NDEATH"]);
    host.answer(&mut node);
    node.left();
    assert_eq!((host.left(&mut node), &host.delivered[..]), (Some(None), &[Token(1)][..]));
    assert_eq!(node.next(at(20)), None);
}

#[test]
fn a_sick_sensor_makes_the_values_of_its_signal_stale_and_not_its_own() {
    let (mut node, mut host) = born(settings(), &[word(raised("p", 8.0, 0), 1)], [1, 0, 0]);
    let silence = |state: EventState, decided: u64| {
        let body = Body::Health(Health::of(Member::Silent, 60.0, Expected { low: None, high: Some(30.0) }));
        let judge = JudgeId::new("silence").unwrap();
        Verdict { body, judge, ..verdict("p", 0.0, state, Lane::Alarm, decided) }
    };
    node.words(&[word(silence(EventState::Raised, 1500), 2)]);
    host.drain(&mut node, at(1500));
    assert_eq!(host.quality("p", "high/t/high/observed"), Some(500));
    assert_eq!(host.quality("p", "silence/t/silent/active"), None);
    node.words(&[word(silence(EventState::Cleared, 1600), 3)]);
    host.drain(&mut node, at(1600));
    assert_eq!(host.quality("p", "high/t/high/observed"), Some(192));
    assert_eq!(host.number("p", "high/t/high/observed"), Some(8.0), "the old value");
}

#[test]
fn devices_and_metrics_are_bounded() {
    let words: Vec<_> = (0..=1024_u64).map(|n| word(raised(&format!("d{n}"), 8.0, 0), n + 1)).collect();
    let (node, host) = born(settings(), &words, [1025, 0, 0]);
    assert_eq!((host.topics.len(), node.report().left_out), (1 + 1024, 1));
    // Two devices that would share a topic.
    let words = [word(raised("a/b", 8.0, 0), 1), word(raised("a+b", 8.0, 0), 2)];
    let (node, host) = born(settings(), &words, [2, 0, 0]);
    assert_eq!((host.topics.len(), node.report().left_out), (2, 1));
    let of_signal = |n: u64| {
        let mut verdict = raised("p", 8.0, 0);
        verdict.subject.signal = SignalId::new(&format!("s{n}")).ok();
        word(verdict, n + 1)
    };
    let words: Vec<_> = (0..30).map(of_signal).collect();
    let (node, _) = born(settings(), &words, [30, 0, 0]);
    assert_eq!(node.report().metrics, 256);
    assert!(node.report().left_out > 0);
}

#[test]
fn a_signal_whose_name_becomes_that_of_another_is_not_shown_in_its_place() {
    let of_signal = |name: &str, observed: f64, state: EventState, seq: u64| {
        let mut verdict = verdict("p", observed, state, Lane::Alarm, seq);
        verdict.subject.signal = SignalId::new(name).ok();
        word(verdict, seq)
    };
    let (mut node, mut host) = born(settings(), &[of_signal("t.2", 8.0, EventState::Raised, 1)], [1, 0, 0]);
    let metrics = node.report().metrics;
    node.words(&[
        of_signal("t,2", 9.0, EventState::Raised, 2),
        of_signal("t,2", 5.0, EventState::Cleared, 3),
    ]);
    node.words(&[of_signal("t.2", 8.5, EventState::Updated, 4)]);
    host.drain(&mut node, at(1500));
    assert_eq!(host.data, [("p".to_owned(), 8.5)]);
    assert_eq!((node.report().metrics, node.report().left_out), (metrics, 2));
}
