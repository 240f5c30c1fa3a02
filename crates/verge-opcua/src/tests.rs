//! What is shown of the words of a board.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opcua::types::{DataTypeId, StatusCode, Variant};
use verge_domain::board::{LastWord, RaisedBefore};
use verge_domain::body::Counts;
use verge_domain::finding::{Expected, Member};
use verge_domain::id::{DeviceId, JudgeId, Seq, SignalId, SourceId};
use verge_domain::image::{
    FORGET_AFTER, GatewayState, HeldBack, InputAge, PointContent, PointSelector, PointsView,
};
use verge_domain::sample::verdict_of;
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::verdict::{Body, EventState, Health, Severity, Subject, Verdict};

use crate::shown::{Node, OpcuaView, Shown};

/// How long ago every device was received, and what the stages have done.
struct View(Mutex<(InputAge, u64)>);

const SENDS: InputAge = InputAge { received: true, lasts: Duration::from_secs(1) };
const SILENT: InputAge = InputAge { received: true, lasts: Duration::from_secs(61) };

impl View {
    fn set(&self, age: InputAge, progress: u64) {
        *self.0.lock().unwrap() = (age, progress);
    }
}

impl PointsView for View {
    fn age(&self, _: &DeviceId) -> InputAge {
        self.0.lock().unwrap().0
    }

    fn held_back(&self, _: &PointSelector) -> HeldBack {
        HeldBack::default()
    }
}

impl OpcuaView for View {
    fn now(&self) -> Moment {
        Moment::from_wall(UtcMillis(5_000))
    }

    fn state(&self) -> GatewayState {
        GatewayState { progress: vec![self.0.lock().unwrap().1], backlog: 7, ..GatewayState::default() }
    }
}

fn judge(name: &str) -> JudgeId {
    JudgeId::new(name).unwrap()
}

fn shown(before: &[RaisedBefore]) -> (Shown, Arc<View>) {
    let view = Arc::new(View(Mutex::new((SENDS, 0))));
    let judges = [("silence", PointContent::Events), ("loop", PointContent::Counts)];
    let judges: HashMap<_, _> = judges.into_iter().map(|(name, content)| (judge(name), content)).collect();
    (Shown::new(view.clone(), Duration::from_secs(60), judges, before), view)
}

fn word(device: &str, state: EventState) -> Arc<LastWord> {
    let body = Body::Health(Health::of(Member::Silent, 90.0, Expected::default()));
    let verdict = verdict_of("silence", (device, Some("s")), UtcMillis(1_000), Some(state), body);
    Arc::new(LastWord::new(Verdict { severity: Severity::Critical, ..verdict }, Some(Seq(7))))
}

fn counted(device: &str) -> Arc<LastWord> {
    let counts = Counts {
        from: UtcMillis(0),
        length_ms: 60_000,
        observed_ms: 60_000,
        partial: false,
        readings: 60,
        vehicles: Some(12),
        flow_per_hour: Some(720.0),
        occupancy: None,
        mean_speed: None,
        forecasts: Vec::new(),
    };
    let verdict = verdict_of("loop", (device, None), UtcMillis(61_000), None, Body::Counts(counts));
    Arc::new(LastWord::new(verdict, Some(Seq(8))))
}

/// Value and status of a variable.
fn read(shown: &Shown, path: &str) -> Option<(Variant, StatusCode)> {
    match shown.node(path)? {
        Node::Variable(variable) => Some((variable.data.value?, variable.data.status?)),
        Node::Object(_) => None,
    }
}

const ACTIVE: &str = "d/silence/s/silent/active";
const GOOD: StatusCode = StatusCode::Good;

#[test]
fn a_point_is_what_its_words_say_with_their_times() {
    let (shown, view) = shown(&[]);
    assert!(shown.node(ACTIVE).is_none());
    shown.fold(&[word("d", EventState::Raised), counted("d")]);
    assert_eq!(read(&shown, ACTIVE), Some((true.into(), GOOD)));
    assert_eq!(read(&shown, "d/silence/s/silent/severity"), Some((900_u16.into(), GOOD)));
    assert_eq!(read(&shown, "d/loop/vehicles"), Some((12_u32.into(), GOOD)));
    let Some(Node::Variable(flow)) = shown.node("d/loop/flow") else { panic!("there is a flow") };
    assert_eq!((flow.datatype, flow.owner.path.as_str()), (DataTypeId::Double, "d/loop"));
    let times = [flow.data.source_timestamp, flow.data.server_timestamp].map(|at| at.unwrap().to_rfc3339());
    assert_eq!(times, ["1970-01-01T00:01:00.000Z", "1970-01-01T00:01:01.000Z"], "end, and commit");
    assert!(shown.node("d/loop/nothing").is_none() && shown.node("d//").is_none());

    // What is said about silence is good; what is counted meanwhile is not.
    view.set(SILENT, 0);
    assert_eq!(read(&shown, ACTIVE), Some((true.into(), GOOD)));
    assert_eq!(read(&shown, "d/loop/vehicles"), Some((12_u32.into(), StatusCode::UncertainLastUsableValue)));
}

#[test]
fn what_says_something_else_is_reported_once() {
    let (shown, view) = shown(&[]);
    let of_points = |shown: &Shown| shown.changes(true).changed;
    shown.fold(&[counted("d")]);
    let changes = of_points(&shown);
    assert!(changes.iter().any(|change| change.path == "d/loop/vehicles" && !change.is_restated));
    assert!(of_points(&shown).is_empty());
    shown.second();
    assert!(of_points(&shown).is_empty(), "a second alone changes nothing");
    view.set(SILENT, 1);
    shown.second();
    let changes = of_points(&shown);
    assert!(!changes.is_empty() && changes.iter().all(|change| change.is_restated), "another status");
    shown.fold(&[word("d", EventState::Raised)]);
    assert!(shown.changes(false).changed.is_empty() && of_points(&shown).is_empty(), "nobody wanted it");
    let first = shown.changes_of_gateway().changed;
    assert!(first.iter().any(|change| change.path == "gateway/backlog"));
    assert!(shown.changes_of_gateway().changed.is_empty());
}

#[test]
fn the_gateway_stops_beating_when_nothing_goes_on() {
    let (shown, view) = shown(&[]);
    let beats = |progress| {
        view.set(SENDS, progress);
        shown.second();
        (read(&shown, "gateway/heartbeat").unwrap().0, read(&shown, "gateway/state").unwrap().0)
    };
    beats(1);
    assert_eq!(beats(2), (1_u32.into(), "running".into()));
    assert_eq!(beats(2), (1_u32.into(), "stalled".into()));
    assert_eq!(beats(3), (2_u32.into(), "running".into()));
}

#[test]
fn points_go_with_their_judge_and_with_their_device() {
    let subject = Subject {
        source: SourceId::new("s").unwrap(),
        device: DeviceId::new("e").unwrap(),
        signal: Some(SignalId::new("s").unwrap()),
    };
    let before = RaisedBefore { judge: judge("silence"), subject, strand: Member::Silent, count: 41 };
    let (shown, view) = shown(&[before]);
    assert_eq!(read(&shown, "e/silence/s/silent/events"), Some((41_u32.into(), GOOD)), "known from before");
    shown.fold(&[word("d", EventState::Raised), counted("d")]);
    shown.changes(true);
    let judges = HashMap::from([(judge("silence"), PointContent::Events)]);
    shown.take_up(judges);
    shown.select(shown.taken_up().unwrap(), &[word("d", EventState::Raised)]);
    assert_eq!(shown.changes(true).gone, ["d/loop"]);
    assert!(shown.node("d/loop").is_none() && shown.node("d/loop/vehicles").is_none());
    view.set(InputAge { received: false, lasts: FORGET_AFTER }, 0);
    shown.second();
    assert_eq!(shown.changes(true).gone, ["e/silence/s/silent"], "an open event stays");
    assert!(shown.node("e").is_none() && shown.node("d").is_some());
    assert_eq!(shown.qualities().0.iter().sum::<u64>(), 1);
}

#[test]
fn a_point_without_a_word_and_without_its_device_says_nothing() {
    let subject =
        Subject { source: SourceId::new("s").unwrap(), device: DeviceId::new("e").unwrap(), signal: None };
    let before = RaisedBefore { judge: judge("silence"), subject, strand: Member::Silent, count: 3 };
    let (shown, view) = shown(&[before]);
    view.set(InputAge { received: false, lasts: Duration::ZERO }, 0);
    let none = Some((Variant::Empty, StatusCode::BadWaitingForInitialData));
    assert_eq!(read(&shown, "e/silence/silent/active"), none);
    view.set(SENDS, 0);
    assert_eq!(read(&shown, "e/silence/silent/active"), Some((false.into(), GOOD)));
}

#[test]
fn a_device_that_two_sources_know_is_one_point_and_moves_no_other() {
    let before = |source: &str, device: &str, count| {
        let (source, device) = (SourceId::new(source).unwrap(), DeviceId::new(device).unwrap());
        let subject = Subject { source, device, signal: SignalId::new("s").ok() };
        RaisedBefore { judge: judge("silence"), subject, strand: Member::Silent, count }
    };
    let (shown, _) = shown(&[before("s", "d", 1), before("t", "d", 2), before("s", "e", 41)]);
    assert_eq!(read(&shown, "e/silence/s/silent/events"), Some((41_u32.into(), GOOD)));
}
