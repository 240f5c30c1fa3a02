//! Orders from upstream to the judges, from the command to the durable answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::id::{DeviceId, JudgeId, Lane, SignalId, SourceId};
use verge_domain::observation::Observable;
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{Decoded, Inbound, Reading, SourceIndex};
use verge_domain::stage::{
    AlarmRate, ControlEvent, Decoder, Intake, Judge, Remark, RestoreError, Scope, SinkEvent, StateStore,
    StoreError,
};
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::verdict::{Detector, Severity};
use verge_pipeline::clock::random_event_id;
use verge_pipeline::intake::{IntakeQueue, Judging, ReadingIntake};
use verge_pipeline::judging::{Decision, Fingerprint, InputPattern, Inputs, JudgeSet, JudgeSpec};

use crate::commands::ask;
use crate::desk::{Desk, Upstream};
use crate::support::{Memory, until};

/// The payload is `device value`.
pub(crate) struct Words;

impl Decoder for Words {
    type Item = Reading;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        out.clear();
        let (device, value) = std::str::from_utf8(&message.payload).unwrap().split_once(' ').unwrap();
        out.items.push(Reading::of(
            DeviceId::new(device).unwrap(),
            SignalId::new("s").unwrap(),
            value.parse().unwrap(),
        ));
    }
}

/// Large states.
const PADDING: usize = 13 << 10;

/// From 0 up is abnormal, until it receives the remark that something was maintenance: then from 10 up.
#[derive(Default)]
struct Learner {
    limit: u8,
    /// Changes with every reading.
    last: f64,
}

impl Judge for Learner {
    fn observe(&mut self, observed: Observable<'_>, _received: Moment, findings: &mut Vec<Finding>) {
        let Observable::Reading(reading) = observed else { return };
        self.last = reading.value;
        let abnormal = reading.value >= f64::from(self.limit);
        let standing = if abnormal { Standing::Abnormal } else { Standing::Normal };
        let expected = Expected { low: None, high: None };
        let observed = reading.value;
        findings.push(Finding::Condition(Condition::of_rule(Member::High, standing, observed, expected)));
    }
    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}
    fn save(&self) -> Option<Vec<u8>> {
        let mut state = vec![self.limit; 1 + PADDING];
        state.extend(self.last.to_le_bytes());
        Some(state)
    }
    fn restore(&mut self, state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        self.limit = *state.first().ok_or(RestoreError::Foreign)?;
        Ok(())
    }
    fn save_every(&self) -> Duration {
        Duration::from_secs(600)
    }
    fn alarm_rate(&self) -> Option<AlarmRate> {
        let (alarms, seconds) = (u64::from(self.limit), 604_800.0);
        let supported_in = Some(Duration::ZERO);
        let expected_per_second = 1.0 / 604_800.0;
        Some(AlarmRate { alarms, seconds, expected_per_second, supported_in, rarest: None, shared: None })
    }
    fn apply(&mut self, remark: Remark, _event: Option<UtcMillis>) -> bool {
        self.limit = 10;
        remark == Remark::Maintenance
    }
}

/// A desk that leads to judges, and a route on which orders come.
struct Site {
    desk: Desk,
    intake: ReadingIntake,
    judging: Judging<Learner>,
    upstream: Upstream,
}

impl Site {
    async fn open(shelf: &Memory) -> Self {
        let mut desk = Desk::open(shelf);
        let queue = IntakeQueue::new(Arc::clone(&desk.counters));
        let sources = vec![SourceId::new("s").unwrap()];
        desk.orders = queue.orders();
        let intake = queue.intake();
        let spec = JudgeSpec {
            name: JudgeId::new("j").unwrap(),
            detector: Detector::Threshold,
            scope: Scope::Signal,
            policy: EventPolicy {
                severity: Severity::Warning,
                critical_when: None,
                lane: Lane::Alarm,
                raise_after: Duration::ZERO,
                clear_after: Duration::ZERO,
                update_every: None,
            },
            inputs: Inputs::readings(vec![InputPattern { source: SourceIndex(0), signals: None }]),
            expect: Vec::new(),
            machine: None,
            states: verge_pipeline::judging::StateRules::NONE,
            model: None,
            smaller: None,
            candidate: None,
            tags: Arc::default(),
            pool: None,
            fingerprint: Fingerprint::default(),
            limits: Arc::default(),
            make: Box::new(|_| Learner::default()),
        };
        let counters = Arc::clone(&desk.counters);
        let now = desk.clock.now();
        let mut set = JudgeSet::new(Words, vec![spec], sources, counters, random_event_id, now);
        let mut restored = Decision::default();
        set.restore(&shelf.clone().checkpoints().unwrap(), now, &mut restored);
        let commits = desk.commits.clone();
        let judging = queue.start(set, desk.settled.clone(), commits, desk.clock, restored, &[]);
        let upstream = Upstream::single(&desk);
        upstream.ends[0].connect().await;
        Self { desk, intake, judging, upstream }
    }

    fn send(&self, payload: &str) {
        let message = Inbound::of(
            SourceIndex(0),
            "t",
            Bytes::copy_from_slice(payload.as_bytes()),
            self.desk.clock.now(),
        );
        self.intake.clone().offer(message).unwrap();
    }

    async fn ask(&self, command: &str) -> Value {
        ask(&self.upstream.ends[0], command).await
    }

    fn alarms(&self) -> Vec<String> {
        self.desk.shelf.0.lock().unwrap().texts(Lane::Alarm)
    }

    async fn close(self) {
        self.judging.stop();
        self.upstream.stop().await;
        self.desk.close().unwrap();
    }
}

fn answered(id: &str, used: u64, replaced: u64) -> Value {
    json!({ "id": id, "ok": true, "heard": 1, "used": used, "signals": 1, "replaced": replaced })
}

#[tokio::test]
async fn a_remark_is_durable_when_it_is_answered() {
    let shelf = Memory::default();
    let site = Site::open(&shelf).await;
    let label = r#"{"id":"a","command":"label","remark":"maintenance","device":"d"}"#;
    let unknown = "no judge watches device d; devices that are watched: none";
    assert_eq!(site.ask(label).await, json!({ "id": "a", "ok": false, "error": unknown }));
    site.send("d 5");
    until("raised", || site.alarms() == ["5"]).await;
    assert_eq!(site.ask(label).await, answered("a", 1, 0));
    let saved: Vec<_> =
        shelf.0.lock().unwrap().checkpoints.iter().map(|(k, s)| (k.clone(), s.clone())).collect();
    let states: Vec<_> = saved.iter().filter(|(key, _)| key.starts_with("state")).collect();
    assert_eq!(states.len(), 1);
    assert_eq!((states[0].0.as_str(), states[0].1[0]), ("state\u{1f}j\u{1f}s\u{1f}d\u{1f}s", 10));
    let real = r#"{"id":"b","command":"label","remark":"real","device":"d","signal":"s"}"#;
    let mut expected = answered("b", 0, 1);
    expected["note"] = "threshold does not learn from labels: the same will alarm again".into();
    assert_eq!(site.ask(real).await, expected, "another label than before");
    let labels = shelf.0.lock().unwrap().checkpoints.get("labels").cloned();
    assert!(labels.is_some_and(|state| state.ends_with(b":\"real\"}")), "it is durable");
    let other = r#"{"id":"c","command":"label","remark":"real","device":"d","judge":"x"}"#;
    let words = "no judge watches device d judge x; of that device there are: j (s, s)";
    assert_eq!(site.ask(other).await, json!({ "id": "c", "ok": false, "error": words }));
    site.close().await;
}

#[tokio::test]
async fn an_order_is_answered_only_once_it_is_durable_and_a_full_store_stalls_no_route() {
    let shelf = Memory::default();
    let site = Site::open(&shelf).await;
    site.send("d 5");
    until("raised", || site.alarms() == ["5"]).await;
    until("offered", || site.upstream.texts() == ["5"]).await;
    shelf.0.lock().unwrap().fails = Some(|| StoreError::Full { used: 1, cap: 1 });
    let end = &site.upstream.ends[0];
    let answers = || end.wire.lock().unwrap().answers.clone();
    let label = r#"{"id":"a","command":"label","remark":"maintenance","device":"d"}"#;
    let command = Bytes::from_static(label.as_bytes());
    end.events.send(SinkEvent::Control(ControlEvent::Command(command))).await.unwrap();
    until("the store is known to be full", || site.desk.counters.store_full()).await;
    // The route still answers what it can.
    assert_eq!(site.ask(r#"{"id":"l","command":"ledger"}"#).await["id"], "l");
    assert_eq!(answers().len(), 1);
    shelf.0.lock().unwrap().fails = None;
    until("answered", || answers().len() == 2).await;
    assert!(answers()[1].contains(r#""used":1"#));
    site.close().await;
}

#[tokio::test]
async fn a_maintenance_window_outlives_a_restart_and_is_followed_by_learning_anew() {
    let shelf = Memory::default();
    let site = Site::open(&shelf).await;
    // A judge with fewer observations has no state worth saving.
    for _ in 0..8 {
        site.send("d -2");
        site.send("e -2");
    }
    site.send("e 1");
    until("raised", || site.alarms() == ["1"]).await;
    let begin = r#"{"id":"a","command":"maintenance","device":"d","minutes":60}"#;
    let answer = site.ask(begin).await;
    assert_eq!((&answer["ok"], &answer["quiet"]), (&json!(true), &json!(1)));
    site.send("d 5");
    site.send("e -2");
    until("cleared", || site.alarms() == ["1", "-2"]).await;
    assert_eq!(site.desk.counters.raises_held_back_total.get(), 1);
    site.close().await;

    let site = Site::open(&shelf).await;
    let windows = site.desk.counters.maintenance();
    assert_eq!(windows.len(), 1);
    assert_eq!(json!(windows[0].until), answer["until"]);
    let status: Value =
        serde_json::from_str(site.upstream.ends[0].wire.lock().unwrap().statuses.last().unwrap()).unwrap();
    assert_eq!(status["maintenance"]["windows"], json!([{ "device": "d", "until": answer["until"] }]));
    let mut judge = status["judges"][0].clone();
    assert!(judge.as_object_mut().unwrap().remove("supported_at").unwrap().is_i64());
    let expected = json!({
        "name": "j", "instances": 2, "alarms": 0, "alarms_per_week": 0.0, "expected_per_week": 2.0, "unsupported": 2,
    });
    assert_eq!(judge, expected);
    site.send("d 6");
    site.send("e 2");
    until("another device is raised", || site.alarms() == ["1", "-2", "2"]).await;
    assert_eq!(site.desk.counters.raises_held_back_total.get(), 1);
    let end = r#"{"id":"b","command":"maintenance","device":"d","minutes":0}"#;
    assert_eq!(site.ask(end).await, json!({ "id": "b", "ok": true, "ended": 1, "heard": 1, "used": 1 }));
    let none = "no maintenance window is open for device d; open are: none";
    assert_eq!(site.ask(end).await, json!({ "id": "b", "ok": false, "error": none }));
    let kinds: Vec<String> = shelf.0.lock().unwrap().checkpoints.keys().cloned().collect();
    assert!(!kinds.iter().any(|key| key.starts_with("maintenance")), "{kinds:?}");
    site.send("d 7");
    site.send("d 11");
    until("what is strange to what was learnt is raised", || site.alarms() == ["1", "-2", "2", "11"]).await;
    site.close().await;
}

#[tokio::test]
async fn all_states_are_saved_at_the_end_in_commits_of_a_bounded_size() {
    let shelf = Memory::default();
    let site = Site::open(&shelf).await;
    for device in (0..8).flat_map(|_| 0..200) {
        site.send(&format!("d{device} -2"));
    }
    let judged = || site.desk.counters.sources()[0].readings_judged_total.get();
    until("judged", || judged() == 1_600).await;
    site.close().await;
    let shelf = shelf.0.lock().unwrap();
    let largest = *shelf.state_bytes.iter().max().unwrap();
    assert!(largest <= (1 << 20) + PADDING, "{largest} bytes in one commit");
    assert_eq!(shelf.checkpoints.len(), 200);
}
