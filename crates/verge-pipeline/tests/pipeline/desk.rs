//! A committer that the test hands verdicts to, and a route whose links obey the test.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use verge_domain::finding::{Expected, Feedback, Member};
use verge_domain::id::{DeviceId, GatewayId, JudgeId, Lane, LinkId, RouteId, SourceId};
use verge_domain::reading::Receipt;
use verge_domain::stage::{Control, MarkStore, OfferError, Sink, SinkEvent, Token};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Anomaly, Body, Detector, Severity, Subject, Times, Verdict};
use verge_pipeline::board::LastWords;
use verge_pipeline::clock::Clock;
use verge_pipeline::commands::{CommandDesks, RouteDesk};
use verge_pipeline::committer::{
    self, CommitHandle, CommitRequest, Committer, CommitterEnd, Retention, StoreHandle,
};
use verge_pipeline::counters::Counters;
use verge_pipeline::delivery::{
    self, BatchPolicy, Link, LinkCounters, RouteCounters, RouteMode, RouteSettings,
};
use verge_pipeline::intake::{IntakeQueue, OrderDesk};
use verge_pipeline::status::{LocalState, Status, StatusSettings};

use crate::support::{Memory, Settled, Text, until};

pub(crate) fn gateway() -> GatewayId {
    GatewayId::new("g").unwrap()
}

pub(crate) fn route() -> RouteId {
    RouteId::new("up").unwrap()
}

fn verdict(lane: Lane, value: i64, decided: UtcMillis) -> Verdict {
    Verdict {
        judge: JudgeId::new("j").unwrap(),
        subject: Subject {
            source: SourceId::new("s").unwrap(),
            device: DeviceId::new("d").unwrap(),
            signal: None,
        },
        times: Times {
            captured: None,
            clock: DeviceClock::Absent,
            received: decided,
            decided,
            estimated: false,
        },
        detector: Detector::Threshold,
        tag: None,
        model: None,
        severity: Severity::Warning,
        lane,
        event: None,
        group: None,
        action: None,
        body: Body::Anomaly(Anomaly {
            member: Member::High,
            observed: value as f64,
            expected: Expected { low: None, high: None },
            p_value: None,
            unit: None,
            contributions: Vec::new(),
            feedback: Feedback::default(),
            distance: None,
            value: None,
            usual: Expected::default(),
            value_unit: None,
            regions: verge_domain::verdict::Regions::default(),
        }),
    }
}

pub(crate) struct Desk {
    pub(crate) shelf: Memory,
    pub(crate) clock: Clock,
    pub(crate) store: StoreHandle,
    pub(crate) counters: Arc<Counters>,
    pub(crate) settled: Settled,
    pub(crate) committer: Committer,
    pub(crate) orders: OrderDesk,
    pub(crate) commits: CommitHandle,
}

impl Desk {
    pub(crate) fn open(shelf: &Memory) -> Self {
        Self::open_with(shelf, Clock::start(), Retention::default())
    }

    pub(crate) fn open_with(shelf: &Memory, clock: Clock, lives: Retention) -> Self {
        let (counters, settled) =
            (Arc::new(Counters::new([SourceId::new("s").unwrap()])), Settled::default());
        let (committer, commits, store) = committer::start(
            shelf.clone(),
            Text,
            gateway(),
            (settled.clone(), &[]),
            Arc::clone(&counters),
            clock,
            lives,
            (Arc::default(), None),
        );
        // Nothing reads it: orders are refused.
        let orders = IntakeQueue::new(Arc::clone(&counters)).orders();
        Self { shelf: shelf.clone(), clock, store, counters, settled, committer, orders, commits }
    }

    /// Hands over verdicts that were made now, each with its value, in one request.
    pub(crate) fn hand_in(&self, lane: Lane, values: std::ops::RangeInclusive<i64>) {
        self.hand_in_as_of(self.clock.now().wall, lane, values);
    }

    pub(crate) fn hand_in_as_of(&self, at: UtcMillis, lane: Lane, values: std::ops::RangeInclusive<i64>) {
        let request = CommitRequest {
            verdicts: values.map(|value| verdict(lane, value, at)).collect(),
            receipt: Some(Receipt { connection: 1, index: 0 }),
            ..CommitRequest::of_time(self.clock.now().mono)
        };
        let commits = self.commits.clone();
        // Producers have threads of their own.
        std::thread::spawn(move || commits.submit(request)).join().unwrap();
    }

    /// The same; waits until they are durable.
    pub(crate) async fn commit(&self, lane: Lane, values: std::ops::RangeInclusive<i64>) {
        let before = self.settled();
        self.hand_in(lane, values);
        until("committed", || self.settled() > before).await;
    }

    pub(crate) fn settled(&self) -> usize {
        self.settled.0.lock().unwrap().len()
    }

    pub(crate) fn close(self) -> Result<(), CommitterEnd> {
        drop((self.commits, self.store));
        self.committer.join()
    }
}

pub(crate) struct Wire {
    pub(crate) offered: Vec<(Lane, String, Token)>,
    pub(crate) answers: Vec<String>,
    pub(crate) statuses: Vec<String>,
    window: usize,
    pub(crate) limit: usize,
    connected: bool,
}

/// Records what is offered; connects and acknowledges only when the test orders it.
pub(crate) struct Scripted {
    wire: Arc<Mutex<Wire>>,
    events: mpsc::Receiver<SinkEvent>,
}

impl Sink for Scripted {
    type Item = String;

    fn offer(&mut self, lane: Lane, text: String, token: Token) -> Result<(), OfferError> {
        let mut wire = self.wire.lock().unwrap();
        if text.len() > wire.limit {
            return Err(OfferError::TooLarge { actual: text.len(), limit: wire.limit });
        }
        if !wire.connected {
            return Err(OfferError::NotConnected);
        }
        if wire.offered.len() >= wire.window {
            return Err(OfferError::WindowFull);
        }
        wire.offered.push((lane, text, token));
        Ok(())
    }
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        self.events.poll_recv(context)
    }
    async fn close(&mut self, _grace: Duration) {
        self.events.close();
    }
}

impl Control for Scripted {
    fn takes_status(&self) -> bool {
        true
    }
    fn publish_status(&mut self, document: Bytes) -> Result<(), OfferError> {
        self.wire.lock().unwrap().statuses.push(String::from_utf8(document.to_vec()).unwrap());
        Ok(())
    }
    fn answer(&mut self, answer: Bytes) -> Result<(), OfferError> {
        let mut wire = self.wire.lock().unwrap();
        if !wire.connected {
            return Err(OfferError::NotConnected);
        }
        wire.answers.push(String::from_utf8(answer.to_vec()).unwrap());
        Ok(())
    }
    fn set_last_status(&mut self, _document: Bytes) {}
}

/// The test's end of a link.
pub(crate) struct End {
    pub(crate) wire: Arc<Mutex<Wire>>,
    pub(crate) events: mpsc::Sender<SinkEvent>,
    pub(crate) counters: Arc<LinkCounters>,
}

impl End {
    pub(crate) async fn connect(&self) {
        {
            let mut wire = self.wire.lock().unwrap();
            wire.offered.clear();
            wire.answers.clear();
            wire.connected = true;
        }
        self.events.send(SinkEvent::Connected).await.unwrap();
        until("it is known", || self.counters.connected()).await;
    }

    pub(crate) async fn lose(&self) {
        self.wire.lock().unwrap().connected = false;
        self.events.send(SinkEvent::Disconnected { reason: "as the test asked".to_owned() }).await.unwrap();
        until("it is known", || !self.counters.connected()).await;
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.wire.lock().unwrap().offered.iter().map(|(_, text, _)| text.clone()).collect()
    }

    pub(crate) fn statuses(&self) -> usize {
        self.wire.lock().unwrap().statuses.len()
    }

    pub(crate) async fn acknowledge(&self, index: usize) {
        let token = self.wire.lock().unwrap().offered[index].2;
        self.events.send(SinkEvent::Delivered(token)).await.unwrap();
    }

    pub(crate) async fn refuse(&self, index: usize) {
        let token = self.wire.lock().unwrap().offered[index].2;
        let reason = "as the test asked".to_owned();
        self.events.send(SinkEvent::Refused { token, reason }).await.unwrap();
    }

    pub(crate) async fn acknowledge_all(&self) {
        let count = self.wire.lock().unwrap().offered.len();
        for index in 0..count {
            self.acknowledge(index).await;
        }
    }
}

/// A route at work.
pub(crate) struct Upstream {
    pub(crate) ends: Vec<End>,
    pub(crate) counters: Arc<RouteCounters>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// A link that takes this number of messages and has this budget.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) window: usize,
    pub(crate) budget: Option<u64>,
    pub(crate) limit: usize,
}

pub(crate) const PLAIN: Plan = Plan { window: 8, budget: None, limit: usize::MAX };

pub(crate) const FAILOVER: RouteMode = RouteMode::Failover { return_after: Duration::ZERO };

impl Upstream {
    pub(crate) fn open(desk: &Desk, plans: &[Plan], mode: RouteMode) -> Self {
        let settings = RouteSettings {
            route: route(),
            gateway: gateway(),
            lanes: Lane::ALL.to_vec(),
            batch: BatchPolicy {
                max_verdicts: 10,
                verdict_wait: Duration::from_millis(20),
                telemetry_wait: Duration::from_millis(20),
            },
            rewind: Duration::ZERO,
            mode,
            beat: Arc::default(),
            limits: tokio::sync::watch::channel(Vec::new()).1,
        };
        Self::open_with(desk, plans, settings)
    }

    pub(crate) fn open_with(desk: &Desk, plans: &[Plan], settings: RouteSettings) -> Self {
        let (mut links, mut ends) = (Vec::new(), Vec::new());
        for (name, plan) in ["one", "two", "three"].into_iter().zip(plans) {
            let wire = Wire {
                offered: Vec::new(),
                answers: Vec::new(),
                statuses: Vec::new(),
                window: usize::MAX,
                limit: plan.limit,
                connected: false,
            };
            let wire = Arc::new(Mutex::new(wire));
            let (events, receiver) = mpsc::channel(1000);
            let counters = Arc::new(LinkCounters::new(LinkId::new(name).unwrap(), plan.budget));
            let sink = Scripted { wire: Arc::clone(&wire), events: receiver };
            ends.push(End { wire, events, counters: Arc::clone(&counters) });
            links.push(Link { sink, form: Text, window: plan.window, counters });
        }
        let counters = RouteCounters::new(ends.iter().map(|end| Arc::clone(&end.counters)).collect());
        let counters = Arc::new(counters);
        let status = Status::new(
            StatusSettings {
                gateway: gateway(),
                site: None,
                version: "0",
                life: Arc::clone(desk.store.life()),
                provider: None,
            },
            (Arc::clone(&desk.counters), Arc::new(LastWords::default())),
            vec![(route(), Arc::clone(&counters))],
            LocalState::default,
            desk.clock.now(),
        );
        let delivered = desk.shelf.clone().open_routes(&[route()]).unwrap()[0];
        let (stop, stopped) = watch::channel(false);
        let clock = desk.clock;
        let task = tokio::spawn(delivery::deliver(
            settings,
            delivered,
            desk.store.clone(),
            (
                CommandDesks { orders: desk.orders.clone(), snapshots: None, models: None },
                RouteDesk::of(route()).1,
            ),
            links,
            Arc::clone(&counters),
            clock,
            move |stopping| status.document(clock.now(), stopping),
            stopped,
        ));
        Self { ends, counters, stop, task }
    }

    /// One link.
    pub(crate) fn single(desk: &Desk) -> Self {
        Self::open(desk, &[PLAIN], FAILOVER)
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.ends[0].texts()
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }

    pub(crate) async fn ended(self) {
        self.task.await.unwrap();
    }
}
