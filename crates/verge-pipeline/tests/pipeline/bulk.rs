//! Judges of two classes: neither waits for the other, and orders reach both.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::id::{DeviceId, GatewayId, JudgeId, Lane, OperatorText, SourceId};
use verge_domain::observation::Observable;
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{Inbound, Receipt, SourceIndex};
use verge_domain::stage::{Intake, Judge, Remark, RestoreError, Scope};
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::verdict::{Detector, Severity};
use verge_pipeline::clock::{Clock, random_event_id};
use verge_pipeline::committer::{self, Retention};
use verge_pipeline::counters::Counters;
use verge_pipeline::intake::{IntakeQueue, Judging, NewestIntake, OrderDesk, ReadingIntake};
use verge_pipeline::judging::{
    Decision, Fingerprint, InputPattern, Inputs, JudgeSet, JudgeSpec, Names, Order, OrderError, Outcome,
    Selector,
};

use crate::orders::Words;
use crate::support::{Memory, Settled, Text, until};

/// Every reading is abnormal; one that judges slowly waits for permission before each.
struct Slow(Option<Arc<Mutex<Receiver<()>>>>);

impl Judge for Slow {
    fn observe(&mut self, observed: Observable<'_>, _received: Moment, findings: &mut Vec<Finding>) {
        let Observable::Reading(reading) = observed else { return };
        if let Some(leave) = &self.0 {
            leave.lock().unwrap().recv().unwrap();
        }
        let expected = Expected { low: None, high: None };
        let condition = Condition::of_rule(Member::High, Standing::Abnormal, reading.value, expected);
        findings.push(Finding::Condition(condition));
    }
    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}
    fn save(&self) -> Option<Vec<u8>> {
        None
    }
    fn restore(&mut self, _state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        Err(RestoreError::Foreign)
    }
    fn apply(&mut self, _remark: Remark, _event: Option<UtcMillis>) -> bool {
        true
    }
}

type Answer = Result<Outcome, OrderError>;

struct Site {
    shelf: Memory,
    prompt: ReadingIntake,
    bulk: ReadingIntake,
    newest: NewestIntake,
    judging: Vec<Judging<Slow>>,
    orders: OrderDesk,
    settled: Settled,
    counters: Arc<Counters>,
    leave: SyncSender<()>,
    answers: (SyncSender<Answer>, Receiver<Answer>),
}

/// Source 0 feeds both classes, source 1 the bulk class alone.
fn open() -> Site {
    let (shelf, clock, settled) = (Memory::default(), Clock::start(), Settled::default());
    let sources: Vec<SourceId> = ["rules", "blocks"].map(|name| SourceId::new(name).unwrap()).to_vec();
    let mut counters = Counters::new(sources.clone());
    let beside = counters.beside(|source| source == SourceIndex(1));
    let counters = Arc::new(counters);
    let (_, commits, _) = committer::start(
        shelf.clone(),
        Text,
        GatewayId::new("g").unwrap(),
        (settled.clone(), &[]),
        Arc::clone(&counters),
        clock,
        Retention::default(),
        (Arc::default(), None),
    );
    let (leave, leaves) = sync_channel(1000);
    let leaves = Arc::new(Mutex::new(leaves));
    let (prompt, bulk) = (IntakeQueue::new(Arc::clone(&counters)), IntakeQueue::bulk(Arc::clone(&beside)));
    let orders = prompt.orders().with(bulk.orders());
    let (prompt_intake, bulk_intake, newest) =
        (prompt.intake(), bulk.intake(), bulk.newest_intake().unwrap());
    let classes = [(prompt, counters.clone(), "rule", None), (bulk, beside, "model", Some(leaves))];
    let start = |(queue, counters, name, leave): (IntakeQueue, Arc<Counters>, &str, Option<_>)| {
        let spec = JudgeSpec {
            name: JudgeId::new(name).unwrap(),
            detector: Detector::Threshold,
            scope: Scope::Signal,
            policy: EventPolicy {
                severity: Severity::Warning,
                critical_when: None,
                lane: Lane::Alarm,
                raise_after: Duration::ZERO,
                clear_after: Duration::ZERO,
                update_every: Some(Duration::ZERO),
            },
            inputs: Inputs::readings(
                (0..2).map(|source| InputPattern { source: SourceIndex(source), signals: None }).collect(),
            ),
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
            make: Box::new(move |_| Slow(leave.clone())),
        };
        let set = JudgeSet::new(Words, vec![spec], sources.clone(), counters, random_event_id, clock.now());
        queue.start(set, settled.clone(), commits.clone(), clock, Decision::default(), &[])
    };
    let judging = classes.into_iter().map(start).collect();
    Site {
        shelf,
        prompt: prompt_intake,
        bulk: bulk_intake,
        newest,
        judging,
        orders,
        settled: settled.clone(),
        counters,
        leave,
        answers: sync_channel(1),
    }
}

fn message(source: u16, index: u64, payload: &str) -> Inbound {
    Inbound {
        packet_id: 1,
        receipt: Some(Receipt { connection: u64::from(source), index }),
        ..Inbound::of(
            SourceIndex(source),
            "t",
            Bytes::copy_from_slice(payload.as_bytes()),
            Clock::start().now(),
        )
    }
}

impl Site {
    fn order(&self, order: Order) -> Answer {
        let answer = self.answers.0.clone();
        self.orders.submit(order, move |outcome| answer.send(outcome).unwrap()).unwrap();
        self.answers.1.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    fn settled(&self) -> usize {
        self.settled.0.lock().unwrap().len()
    }

    fn stop(self) {
        // Whatever waits may be judged.
        drop(self.leave);
        self.judging.into_iter().for_each(Judging::stop);
    }
}

fn selector(device: &str) -> Selector {
    Selector { device: DeviceId::new(device).unwrap(), signal: None, judge: None, source: None }
}

#[tokio::test]
async fn rules_do_not_wait_for_judges_that_take_long() {
    let mut site = open();
    let mut taken = 0;
    while !site.bulk.is_held() {
        site.bulk.offer(message(1, taken, "pump 1")).unwrap();
        taken += 1;
    }
    for index in 0..100 {
        site.prompt.offer(message(0, index, "tank 1")).unwrap();
    }
    until("the alarms of the rule are durable", || site.settled() == 100).await;
    assert_eq!(site.shelf.0.lock().unwrap().texts(Lane::Alarm).len(), 100);
    (0..taken).for_each(|_| site.leave.send(()).unwrap());
    until("blocks are judged", || site.settled() as u64 == 100 + taken).await;
    let settled = site.settled.0.lock().unwrap();
    let blocks: Vec<u64> =
        settled.iter().filter(|receipt| receipt.connection == 1).map(|receipt| receipt.index).collect();
    assert_eq!(blocks, (0..taken).collect::<Vec<_>>(), "in order of arrival");
    drop(settled);
    site.stop();
}

#[tokio::test]
async fn the_newest_block_is_judged_and_the_others_are_counted() {
    let mut site = open();
    let mut offer = |value: u32| {
        site.newest.offer(Inbound { receipt: None, ..message(1, 0, &format!("pump {value}")) }).unwrap();
    };
    offer(0);
    (1..=50).for_each(offer);
    let source = &site.counters.sources()[1];
    (0..2).for_each(|_| site.leave.send(()).unwrap());
    let count = || (source.messages_judged_total.get(), source.messages_superseded_total.get());
    until("all are accounted for", || count().0 + count().1 == 51).await;
    assert!((1..=2).contains(&count().0), "{:?}", count());
    assert_eq!(source.messages_received_total.get(), 51);
    // The first may have been superseded, too, before the thread looked; the last never is.
    until("the newest is durable", || {
        site.shelf.0.lock().unwrap().texts(Lane::Alarm).last().is_some_and(|value| value == "50")
    })
    .await;
    site.stop();
}

#[tokio::test]
async fn a_source_of_both_classes_is_accounted_for_once_and_orders_reach_both() {
    let mut site = open();
    site.leave.send(()).unwrap();
    site.prompt.offer(message(0, 0, "tank 1")).unwrap();
    site.bulk.offer(message(0, 0, "tank 1")).unwrap();
    site.leave.send(()).unwrap();
    site.bulk.offer(message(1, 1, "pump 1")).unwrap();
    until("all judged", || site.settled() == 3).await;
    let judged: Vec<u64> =
        site.counters.sources().iter().map(|source| source.readings_judged_total.get()).collect();
    assert_eq!(judged, [1, 1]);

    let by = OperatorText::new("anna").unwrap();
    let label = |device| Order::Label {
        selector: selector(device),
        remark: Remark::Real,
        event: None,
        by: by.clone(),
    };
    let applied = |judges| {
        Ok(Outcome::Applied {
            matched: judges,
            changed: judges,
            signals: judges,
            replaced: 0,
            unlearnt: None,
        })
    };
    assert_eq!(site.order(label("tank")), applied(2));
    assert_eq!(site.order(label("pump")), applied(1));
    let unknown = site.order(label("nobody")).unwrap_err().to_string();
    assert!(unknown.contains("pump, tank"), "{unknown}");

    // Only the bulk judge knows the pump; the rule must raise nothing either when the pump's first reading reaches it.
    let maintenance = |minutes: u64| Order::Maintenance {
        selector: selector("pump"),
        length: Duration::from_secs(60 * minutes),
    };
    assert!(matches!(site.order(maintenance(10)), Ok(Outcome::Opened { instances: 1, .. })));
    assert_eq!(site.counters.maintenance().len(), 1, "one window, whoever holds it");
    let before = site.shelf.0.lock().unwrap().texts(Lane::Alarm).len();
    site.prompt.offer(message(0, 2, "pump 1")).unwrap();
    until("judged within the window", || {
        site.counters.of_all_judges(|counters| &counters.raises_held_back_total) == 1
    })
    .await;
    assert_eq!(site.shelf.0.lock().unwrap().texts(Lane::Alarm).len(), before);
    assert_eq!(site.order(maintenance(0)), Ok(Outcome::Closed { windows: 1, matched: 2, changed: 2 }));
    let OrderError::NoWindow { known, .. } = site.order(maintenance(0)).unwrap_err() else { panic!() };
    assert_eq!(Names::to_string(&known), "none");
    site.stop();
}
