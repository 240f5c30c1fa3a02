//! From queued message to durable verdict, over a store in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::id::{DeviceId, GatewayId, JudgeId, JudgeIndex, Lane, Seq, SignalId, SourceId};
use verge_domain::observation::Observable;
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{Decoded, Inbound, Reading, Receipt, SourceIndex};
use verge_domain::rejection::Reason;
use verge_domain::stage::{Decoder, Intake, Judge, MarkStore, RestoreError, Scope, StoreError, Withdrawn};
use verge_domain::time::Moment;
use verge_domain::verdict::{Detector, Severity};
use verge_domain::withdrawn::Withdrawal;
use verge_pipeline::clock::{Clock, random_event_id};
use verge_pipeline::committer::{self, CommitHandle, Committer, Retention, StoreHandle};
use verge_pipeline::counters::Counters;
use verge_pipeline::intake::{INTAKE_CAPACITY, IntakeQueue, Judging, ReadingIntake, Swap};
use verge_pipeline::judging::{
    Decision, Fingerprint, InputPattern, Inputs, JudgeSet, JudgeSpec, KeptJudge, PlannedJudge,
};

use crate::support::{ENCODER_PANICS, Memory, Settled, Text, UNENCODABLE, until};

/// The payload is the value, of one of many devices.
struct Number;

fn device_of(value: f64) -> DeviceId {
    DeviceId::new(&format!("d{}", value.rem_euclid(50.0))).unwrap()
}

impl Decoder for Number {
    type Item = Reading;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<Reading>) {
        out.clear();
        let value: f64 = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
        out.items.push(Reading::of(device_of(value), SignalId::new("s").unwrap(), value));
    }
}

/// A value with which the judge panics.
const PANICS: i64 = -1_313;

/// Every reading from 0 up is abnormal.
struct FromZero;

impl Judge for FromZero {
    fn observe(&mut self, observed: Observable<'_>, _received: Moment, findings: &mut Vec<Finding>) {
        let Observable::Reading(reading) = observed else { return };
        assert!(reading.value != PANICS as f64, "as the test asked");
        let standing = if reading.value >= 0.0 { Standing::Abnormal } else { Standing::Normal };
        let expected = Expected { low: None, high: Some(0.0) };
        let observed = reading.value;
        findings.push(Finding::Condition(Condition::of_rule(Member::High, standing, observed, expected)));
    }
    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}
    fn save(&self) -> Option<Vec<u8>> {
        None
    }
    fn restore(&mut self, _state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        Err(RestoreError::Foreign)
    }
}

struct Gateway {
    intake: ReadingIntake,
    judging: Judging<FromZero>,
    committer: Committer,
    commits: CommitHandle,
    store: StoreHandle,
    counters: Arc<Counters>,
    settled: Settled,
}

fn spec(lane: Lane) -> JudgeSpec<FromZero> {
    JudgeSpec {
        name: JudgeId::new("j").unwrap(),
        detector: Detector::Threshold,
        scope: Scope::Signal,
        policy: EventPolicy {
            severity: Severity::Warning,
            critical_when: None,
            lane,
            raise_after: Duration::ZERO,
            clear_after: Duration::ZERO,
            update_every: Some(Duration::ZERO),
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
        make: Box::new(|_| FromZero),
    }
}

fn gateway(shelf: &Memory, lane: Lane) -> Gateway {
    let clock = Clock::start();
    let sources = vec![SourceId::new("s").unwrap()];
    let counters = Arc::new(Counters::new(sources.clone()));
    let queue = IntakeQueue::new(Arc::clone(&counters));
    let intake = queue.intake();
    let settled = Settled::default();
    let causes = shelf.clone().unacknowledged().unwrap();
    let (committer, commits, store) = committer::start(
        shelf.clone(),
        Text,
        GatewayId::new("g").unwrap(),
        (settled.clone(), &causes),
        Arc::clone(&counters),
        clock,
        Retention::default(),
        (Arc::default(), None),
    );
    let set = JudgeSet::new(
        Number,
        vec![spec(lane)],
        sources.clone(),
        Arc::clone(&counters),
        random_event_id,
        clock.now(),
    );
    let judging = queue.start(set, settled.clone(), commits.clone(), clock, Decision::default(), &causes);
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
        self.intake.clone().offer(message).is_ok()
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

#[tokio::test]
async fn a_message_on_which_a_judge_panics_is_settled_and_judging_goes_on() {
    let shelf = Memory::default();
    let gateway = gateway(&shelf, Lane::Alarm);
    let mut sent = 0;
    for value in (0..400).flat_map(|value| [value, PANICS]) {
        assert!(gateway.send(sent, value, false));
        sent += 1;
    }
    until("all messages are settled", || gateway.settled() as u64 == sent).await;
    let source = &gateway.counters.sources()[0];
    assert_eq!(source.rejections().collect::<Vec<_>>(), [(Reason::Defect, 400)]);
    assert_eq!((source.messages_judged_total.get(), source.messages_refused_total.get()), (400, 400));
    let ended = tokio::time::timeout(Duration::ZERO, gateway.judging.ended()).await;
    assert!(ended.is_err(), "judging goes on");
    gateway.stop();
    assert_eq!(shelf.0.lock().unwrap().rows.len(), 400);
}

#[tokio::test]
async fn a_sender_that_waits_for_each_acknowledgement_has_it_at_once() {
    const MESSAGES: usize = 200;
    let took = |is_awaited: bool| {
        let gateway = gateway(&Memory::default(), Lane::Alarm);
        gateway.settled.1.store(is_awaited, Ordering::Relaxed);
        let began = Instant::now();
        for sent in 0..MESSAGES {
            assert!(gateway.send(sent as u64, -1, false));
            while gateway.settled() <= sent {
                std::thread::yield_now();
            }
        }
        let took = began.elapsed();
        gateway.stop();
        took
    };
    // Others may gather for a millisecond, each second one of those that follow closely.
    let (gathered, awaited) = (took(false), (0..5).map(|_| took(true)).min().unwrap());
    assert!(awaited * 2 < gathered, "{awaited:?}, and {gathered:?} where nobody waits");
}

#[tokio::test]
async fn a_verdict_that_cannot_be_encoded_leaves_a_tombstone_under_its_number() {
    let shelf = Memory::default();
    let gateway = gateway(&shelf, Lane::Alarm);
    for (index, value) in (0..).zip([1, UNENCODABLE as i64, ENCODER_PANICS as i64, 2]) {
        gateway.send(index, value, false);
    }
    until("all messages are settled", || gateway.settled() == 4).await;
    assert_eq!(gateway.counters.encode_failures_total.get(), 2);
    gateway.stop();
    let shelf = shelf.0.lock().unwrap();
    let rows: Vec<_> = shelf.rows.values().map(|row| (row.seq.0, row.withdrawn)).collect();
    let lost = |seq| Some(Withdrawn { through: Seq(seq), reason: Withdrawal::Defect });
    assert_eq!(rows, [(1, None), (2, lost(2)), (3, lost(3)), (4, None)]);
    assert!(shelf.rows.values().all(|row| row.bytes.is_empty() == row.withdrawn.is_some()));
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
async fn a_full_store_and_a_full_queue_do_not_keep_the_gateway_from_stopping() {
    let full: fn() -> StoreError = || StoreError::Full { used: 1, cap: 1 };
    for fails in [full, || StoreError::Fault("as the test asked".into())] {
        let shelf = Memory::default();
        shelf.0.lock().unwrap().fails = Some(fails);
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
        // Deliveries still run: they end last.
        gateway.committer.stopping();
        let Gateway { judging, commits, store, committer, settled, .. } = gateway;
        let stopped = tokio::task::spawn_blocking(move || judging.stop());
        tokio::time::timeout(Duration::from_secs(60), stopped).await.expect("the judges stop").unwrap();
        drop((commits, store));
        committer.join().unwrap();
        assert!(settled.0.lock().unwrap().is_empty(), "what is not stored is not acknowledged");
        assert!(shelf.0.lock().unwrap().rows.is_empty());
    }
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
async fn judges_are_exchanged_under_load_and_no_reading_is_lost_or_judged_twice() {
    let shelf = Memory::default();
    let gateway = gateway(&shelf, Lane::Verdict);
    let (reports, reported) = std::sync::mpsc::channel();
    let mut swaps = 0_usize;
    for value in 0..10_000_u64 {
        while !gateway.send(value, i64::try_from(value).unwrap(), false) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if value % 400 == 200 {
            let JudgeSpec { name, inputs, policy, expect, machine, states, tags, fingerprint, .. } =
                spec(Lane::Verdict);
            let planned = match swaps % 2 {
                0 => PlannedJudge::Kept(KeptJudge {
                    name,
                    inputs,
                    policy,
                    expect,
                    machine,
                    states,
                    model: None,
                    smaller: None,
                    candidate: None,
                    tags,
                    fingerprint,
                }),
                _ => PlannedJudge::Made(spec(Lane::Verdict)),
            };
            let reports = reports.clone();
            let swap = Swap::new(vec![(JudgeIndex(0), planned)], move |report| reports.send(report).unwrap());
            // One that is under way is not overtaken.
            swaps += usize::from(gateway.judging.try_swap(swap).is_ok());
        }
    }
    until("all settled", || gateway.settled() == 10_000).await;
    let settled: Vec<u64> = gateway.settled.0.lock().unwrap().iter().map(|receipt| receipt.index).collect();
    assert!(settled.is_sorted(), "each receipt settles behind those before it");
    let reports: Vec<_> =
        (0..swaps).map(|_| reported.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
    assert!(swaps > 1 && reports.iter().all(|report| report.anew.is_empty() && report.ended == 0));
    let kept: usize = reports.iter().map(|report| report.kept + report.carried).sum();
    assert!(kept > 0, "{reports:?}");
    gateway.stop();
    let values = shelf.0.lock().unwrap().texts(Lane::Verdict);
    let values: Vec<u64> = values.iter().map(|value| value.parse().unwrap()).collect();
    assert_eq!(values, (0..10_000).collect::<Vec<_>>());
    let ids = shelf.0.lock().unwrap();
    assert_eq!(ids.next[Lane::Verdict.index()], 10_000, "numbers are dense");
}

#[tokio::test]
async fn a_full_store_loses_nothing_and_receipts_settle_in_order_of_arrival() {
    let shelf = Memory::default();
    let gateway = gateway(&shelf, Lane::Verdict);
    for value in 0..10_000 {
        if value == 3000 {
            shelf.0.lock().unwrap().fails = Some(|| StoreError::Full { used: 1, cap: 1 });
        }
        while !gateway.send(value, i64::try_from(value).unwrap(), false) {
            shelf.0.lock().unwrap().fails = None;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    shelf.0.lock().unwrap().fails = None;
    until("all settled", || gateway.settled() == 10_000).await;
    let settled: Vec<u64> = gateway.settled.0.lock().unwrap().iter().map(|receipt| receipt.index).collect();
    assert!(settled.is_sorted(), "each receipt settles behind those before it");
    let source = &gateway.counters.sources()[0];
    assert_eq!(source.rejections().count(), 0);
    assert_eq!(source.readings_judged_total.get(), 10_000);
    gateway.stop();
    let values = shelf.0.lock().unwrap().texts(Lane::Verdict);
    let values: Vec<u64> = values.iter().map(|value| value.parse().unwrap()).collect();
    assert_eq!(values, (0..10_000).collect::<Vec<_>>());
}
