//! From queued message to acknowledged verdict, over a store in memory and a sink that obeys the test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::id::{DeviceId, GatewayId, Identity, JudgeId, Lane, RouteId, SignalId, SourceId};
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{Decoded, Inbound, Quality, Reading, Receipt, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::stage::{
    Channel, Decoder, EncodeError, Encoder, Envelope, Judge, OfferError, RestoreError, Scope, Sink,
    SinkEvent, Store, StoreError, StoredRow, Token,
};
use verge_domain::time::{DeviceClock, Moment};
use verge_domain::verdict::{Body, Detector, Severity, Verdict};
use verge_pipeline::clock::{Clock, random_event_id};
use verge_pipeline::committer::{self, CommitHandle, Committer, StoreHandle};
use verge_pipeline::counters::Counters;
use verge_pipeline::delivery::{self, BatchPolicy, RouteCounters, RouteSettings};
use verge_pipeline::intake::{INTAKE_CAPACITY, Intake, IntakeQueue, Judging};
use verge_pipeline::judging::{Bench, Decision, InputPattern, JudgeSpec};

use crate::support::{Memory, Settled};

/// The payload is the value.
struct Number;

impl Decoder for Number {
    type Item = Reading;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        out.clear();
        out.items.push(Reading {
            device: DeviceId::new("d").unwrap(),
            signal: SignalId::new("s").unwrap(),
            value: std::str::from_utf8(&message.payload).unwrap().parse().unwrap(),
            unit: None,
            captured_at: None,
            clock: DeviceClock::Absent,
            quality: Quality::Good,
        });
    }
}

/// Every reading from 0 up is abnormal.
struct FromZero;

impl Judge for FromZero {
    type Observation = Reading;
    fn observe(&mut self, reading: &Reading, _received: Moment, findings: &mut Vec<Finding>) {
        let standing = if reading.value >= 0.0 { Standing::Abnormal } else { Standing::Normal };
        let expected = Expected { low: None, high: Some(0.0) };
        let observed = reading.value;
        findings.push(Finding::Condition(Condition {
            member: Member::High,
            standing,
            observed,
            expected,
            p_value: None,
        }));
    }
    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}
    fn save(&self) -> Option<Vec<u8>> {
        None
    }
    fn restore(&mut self, _state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        Err(RestoreError::Foreign)
    }
}

/// A verdict is its observed value as text; a message is its verdicts with commas between.
struct Text;

impl Encoder for Text {
    fn verdict(&mut self, _id: &Identity, verdict: &Verdict, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Body::Anomaly(anomaly) = &verdict.body else { panic!("only anomalies are judged here") };
        out.extend_from_slice(anomaly.observed.to_string().as_bytes());
        Ok(())
    }
    fn message(&mut self, _e: &Envelope, rows: &[StoredRow], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.clear();
        let texts: Vec<_> = rows.iter().map(|row| std::str::from_utf8(&row.bytes).unwrap()).collect();
        out.extend_from_slice(texts.join(",").as_bytes());
        Ok(())
    }
}

#[derive(Default)]
struct Wire {
    offered: Vec<(Channel, String, Token)>,
    window: usize,
}

/// Notes what is offered; connects and acknowledges only when the test says so.
struct Scripted {
    wire: Arc<Mutex<Wire>>,
    events: mpsc::Receiver<SinkEvent>,
}

impl Sink for Scripted {
    fn offer(&mut self, channel: Channel, payload: Bytes, token: Token) -> Result<(), OfferError> {
        let mut wire = self.wire.lock().unwrap();
        if channel != Channel::Status && wire.offered.len() >= wire.window {
            return Err(OfferError::WindowFull);
        }
        let text = String::from_utf8(payload.to_vec()).unwrap();
        if channel != Channel::Status {
            wire.offered.push((channel, text, token));
        }
        Ok(())
    }
    async fn event(&mut self) -> Option<SinkEvent> {
        self.events.recv().await
    }
    async fn close(&mut self, _last: Bytes, _grace: Duration) {
        self.events.close();
    }
}

struct Gateway {
    intake: Intake,
    judging: Judging,
    committer: Committer,
    commits: CommitHandle,
    store: StoreHandle,
    counters: Arc<Counters>,
    settled: Settled,
}

fn gateway(shelf: &Memory, lane: Lane) -> Gateway {
    let clock = Clock::start();
    let sources = vec![SourceId::new("s").unwrap()];
    let counters = Arc::new(Counters::new(sources.clone()));
    let queue = IntakeQueue::new(Arc::clone(&counters));
    let intake = queue.intake();
    let settled = Settled::default();
    let causes = shelf.clone().recent_causes(100).unwrap();
    let (committer, commits, store) = committer::start(
        shelf.clone(),
        Text,
        GatewayId::new("g").unwrap(),
        settled.clone(),
        Arc::clone(&counters),
        clock,
    );
    let spec = JudgeSpec {
        name: JudgeId::new("j").unwrap(),
        detector: Detector::Threshold,
        scope: Scope::Signal,
        policy: EventPolicy {
            severity: Severity::Warning,
            lane,
            raise_after: Duration::ZERO,
            clear_after: Duration::ZERO,
            update_every: Some(Duration::ZERO),
        },
        inputs: vec![InputPattern { source: SourceIndex(0), signals: None }],
        devices: Vec::new(),
        expect: Vec::new(),
        make: Box::new(|_| FromZero),
    };
    let bench = Bench::new(Number, vec![spec], sources, Arc::clone(&counters), random_event_id, clock.now());
    let judging = queue.start(bench, settled.clone(), commits.clone(), clock, Decision::default(), causes);
    Gateway { intake, judging, committer, commits, store, counters, settled }
}

impl Gateway {
    fn send(&self, index: u64, value: i64, redelivered: bool) -> bool {
        let message = Inbound {
            source: SourceIndex(0),
            topic: "t".to_owned(),
            payload: Bytes::from(value.to_string()),
            received: Clock::start().now(),
            retained: false,
            redelivered,
            packet_id: u16::try_from(index % 65_535 + 1).unwrap(),
            receipt: Some(Receipt { connection: 1, index }),
        };
        self.intake.offer(message).is_ok()
    }

    fn settled(&self) -> usize {
        self.settled.0.lock().unwrap().len()
    }

    fn stop(self) {
        self.judging.stop();
        drop((self.commits, self.store));
        self.committer.join().unwrap();
    }
}

/// Waits for a condition; fails after ten seconds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within ten seconds: {what}");
}

struct Upstream {
    wire: Arc<Mutex<Wire>>,
    events: mpsc::Sender<SinkEvent>,
    stop: watch::Sender<bool>,
    counters: Arc<RouteCounters>,
    task: tokio::task::JoinHandle<()>,
}

fn route() -> RouteId {
    RouteId::new("up").unwrap()
}

fn upstream(gateway: &Gateway, shelf: &Memory, window: usize) -> Upstream {
    let wire = Arc::new(Mutex::new(Wire { offered: Vec::new(), window: usize::MAX }));
    let (events, receiver) = mpsc::channel(1000);
    let (stop, stopped) = watch::channel(false);
    let counters = Arc::new(RouteCounters::default());
    let settings = RouteSettings {
        route: route(),
        gateway: GatewayId::new("g").unwrap(),
        lanes: Lane::ALL.to_vec(),
        window,
        batch: BatchPolicy {
            max_verdicts: 10,
            verdict_wait: Duration::from_millis(20),
            telemetry_wait: Duration::from_millis(20),
        },
        rewind: Duration::ZERO,
    };
    let delivered = shelf.clone().open_routes(&[route()]).unwrap()[0];
    let sink = Scripted { wire: Arc::clone(&wire), events: receiver };
    let task = tokio::spawn(delivery::deliver(
        settings,
        delivered,
        gateway.store.clone(),
        sink,
        Text,
        Arc::clone(&counters),
        Clock::start(),
        |_| Bytes::from_static(b"{}"),
        stopped,
    ));
    Upstream { wire, events, stop, counters, task }
}

impl Upstream {
    async fn connect(&self) {
        self.wire.lock().unwrap().offered.clear();
        self.events.send(SinkEvent::Connected).await.unwrap();
    }

    fn texts(&self) -> Vec<String> {
        self.wire.lock().unwrap().offered.iter().map(|(_, text, _)| text.clone()).collect()
    }

    async fn acknowledge(&self, index: usize) {
        let token = self.wire.lock().unwrap().offered[index].2;
        self.events.send(SinkEvent::Delivered(token)).await.unwrap();
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_receipt_settles_only_when_its_verdict_is_durable() {
    let shelf = Memory::default();
    shelf.0.lock().unwrap().fails = Some(|| StoreError::Full { used: 1, cap: 1 });
    let gateway = gateway(&shelf, Lane::Verdict);
    gateway.send(0, -1, false);
    until("what causes nothing settles after judging", || gateway.settled() == 1).await;
    gateway.send(1, 1, false);
    until("the store is known to be full", || gateway.counters.store_full()).await;
    assert_eq!(gateway.settled(), 1);
    shelf.0.lock().unwrap().fails = None;
    until("the store has room again", || gateway.settled() == 2).await;
    gateway.stop();
    assert_eq!(shelf.0.lock().unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_full_store_stops_the_source_and_nothing_is_lost() {
    let shelf = Memory::default();
    shelf.0.lock().unwrap().fails = Some(|| StoreError::Full { used: 1, cap: 1 });
    let gateway = gateway(&shelf, Lane::Verdict);
    let mut accepted = 0;
    let mut refused = 0;
    while refused < 200 {
        if gateway.send(accepted, 1, false) {
            accepted += 1;
        } else {
            refused += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let bound = (INTAKE_CAPACITY + 2 * committer::COMMIT_QUEUE + 2) as u64;
    assert!((INTAKE_CAPACITY as u64..=bound).contains(&accepted), "{accepted} of at most {bound}");
    shelf.0.lock().unwrap().fails = None;
    until("all that was accepted is durable", || gateway.settled() as u64 == accepted).await;
    gateway.stop();
    assert_eq!(shelf.0.lock().unwrap().rows.len() as u64, accepted);
}

#[tokio::test]
async fn alarms_go_alone_and_routine_verdicts_in_batches() {
    for (lane, expected) in [(Lane::Alarm, vec!["1", "2", "3"]), (Lane::Verdict, vec!["1,2,3"])] {
        let shelf = Memory::default();
        let gateway = gateway(&shelf, lane);
        for value in 1..=3 {
            gateway.send(value as u64, value, false);
        }
        until("committed", || gateway.settled() == 3).await;
        let upstream = upstream(&gateway, &shelf, 8);
        upstream.connect().await;
        until("offered", || upstream.texts() == expected).await;
        upstream.stop().await;
        gateway.stop();
    }
}

#[tokio::test]
async fn what_is_not_acknowledged_is_offered_again_on_a_new_connection_and_after_a_restart() {
    let shelf = Memory::default();
    let first = gateway(&shelf, Lane::Alarm);
    for value in 1..=4 {
        first.send(value as u64, value, false);
    }
    until("committed", || first.settled() == 4).await;
    let before = upstream(&first, &shelf, 8);
    before.connect().await;
    until("offered", || before.texts().len() == 4).await;
    before.acknowledge(0).await;
    before.acknowledge(2).await;
    until("counted", || before.counters.backlog() == 3).await;
    before.events.send(SinkEvent::Disconnected { reason: "test".to_owned() }).await.unwrap();
    before.connect().await;
    until("offered again behind the mark", || before.texts() == ["2", "3", "4"]).await;
    before.acknowledge(0).await;
    until("delivered", || before.counters.backlog() == 2).await;
    before.stop().await;
    first.stop();

    let second = gateway(&shelf, Lane::Alarm);
    let after = upstream(&second, &shelf, 8);
    after.connect().await;
    until("the mark outlived the restart", || after.texts() == ["3", "4"]).await;
    after.stop().await;
    second.stop();
}

#[tokio::test]
async fn a_message_delivered_again_after_a_crash_is_recognised() {
    let shelf = Memory::default();
    let first = gateway(&shelf, Lane::Alarm);
    first.send(5, 1, false);
    until("committed", || first.settled() == 1).await;
    first.stop();

    let second = gateway(&shelf, Lane::Alarm);
    second.send(5, 1, true);
    second.send(6, 1, true);
    until("both settled", || second.settled() == 2).await;
    let rejections: Vec<_> = second.counters.sources()[0].rejections().collect();
    assert_eq!(rejections, [(Reason::Duplicate, 1)], "the other packet was never judged");
    second.stop();
    assert_eq!(shelf.0.lock().unwrap().rows.len(), 2);
}

#[tokio::test]
async fn a_redelivery_is_not_acknowledged_before_what_the_first_delivery_caused_is_durable() {
    let shelf = Memory::default();
    shelf.0.lock().unwrap().fails = Some(|| StoreError::Full { used: 1, cap: 1 });
    let gateway = gateway(&shelf, Lane::Alarm);
    gateway.send(5, 1, false);
    gateway.send(5, 1, true);
    let refused = || gateway.counters.sources()[0].messages_refused_total.get();
    until("the redelivery is recognised", || refused() == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(gateway.settled(), 0, "a crash now would lose the verdict if the broker were told to forget");
    shelf.0.lock().unwrap().fails = None;
    until("both settled", || gateway.settled() == 2).await;
    gateway.stop();
    assert_eq!(shelf.0.lock().unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_sink_whose_window_is_full_is_not_pressed() {
    let shelf = Memory::default();
    let gateway = gateway(&shelf, Lane::Alarm);
    for value in 1..=50 {
        gateway.send(value as u64, value, false);
    }
    until("committed", || gateway.settled() == 50).await;
    let upstream = upstream(&gateway, &shelf, 8);
    upstream.connect().await;
    until("the window is full", || upstream.texts().len() == 8).await;
    upstream.acknowledge(0).await;
    upstream.acknowledge(1).await;
    until("two more", || upstream.texts().len() == 10).await;
    assert_eq!(upstream.texts().last().map(String::as_str), Some("10"));
    upstream.stop().await;
    gateway.stop();
}
