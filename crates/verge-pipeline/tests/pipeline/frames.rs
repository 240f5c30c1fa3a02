//! From a camera's message to its verdict, with viewers that obey the test.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::frame::{Detections, EncodedFrame, ImageFormat, Orientation, View};
use verge_domain::id::{DeviceId, GatewayId, Identity, JudgeId, Lane, ModelName, SourceId};
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{Decoded, Inbound, Reading, Receipt, SourceIndex};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::report::ReportPolicy;
use verge_domain::stage::{
    Decoder, EncodeError, Encoder, Envelope, Judge, RestoreError, Scope, StoreError, StoredRow, Viewer,
};
use verge_domain::time::{DeviceClock, Moment};
use verge_domain::verdict::{Body, Detector, Model, Severity, Verdict};
use verge_pipeline::clock::{Clock, random_event_id};
use verge_pipeline::committer::{self, Committer, Lives};
use verge_pipeline::counters::{Counters, SourceCounters};
use verge_pipeline::frames::{
    EVERY_CAPACITY, FrameBench, FrameIntake, FrameJudgeSpec, FrameQueue, FrameSourceSpec, FrameWorkers, Keep,
};
use verge_pipeline::intake::{IntakeFull, IntakeQueue, Judging};
use verge_pipeline::judging::{Bench, Decision, InputPattern, JudgeSpec, Undecoded};

use crate::support::{Memory, Settled};

/// The topic is the camera, the payload an instruction to the viewer; an empty one is no frame.
struct Pictures;

impl Decoder for Pictures {
    type Item = EncodedFrame;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<EncodedFrame>) {
        out.clear();
        if message.payload.is_empty() {
            out.rejections.push(Rejection::whole(Reason::BadJpeg));
            return;
        }
        out.items.push(EncodedFrame {
            device: DeviceId::new(&message.topic).unwrap(),
            format: ImageFormat::Jpeg,
            bytes: message.payload.clone(),
            width: 1,
            height: 1,
            orientation: Orientation::Upright,
            captured_at: None,
            clock: DeviceClock::Absent,
        });
    }
}

/// `wait:N` takes N ms; `panic` and `fail` do so; each other frame is answered with how many of its camera went before.
/// The judge that observes sees the error X of `error:X`.
struct Scripted;

impl Viewer for Scripted {
    type Memory = u32;

    fn view(
        &mut self,
        judges: &[usize],
        frame: &EncodedFrame,
        until: Option<Instant>,
        memory: &mut u32,
        views: &mut Vec<(usize, View)>,
    ) -> Result<(), Reason> {
        let text = std::str::from_utf8(&frame.bytes).unwrap();
        if let Some(millis) = text.strip_prefix("wait:") {
            let end = Instant::now() + Duration::from_millis(millis.parse().unwrap());
            while Instant::now() < end {
                if until.is_some_and(|until| Instant::now() >= until) {
                    return Err(Reason::Overrun);
                }
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        assert_ne!(text, "panic", "as the test asked");
        if text == "fail" {
            return Err(Reason::ModelFailed);
        }
        *memory += 1;
        for judge in judges {
            let view = match text.strip_prefix("error:") {
                Some(error) if *judge == OBSERVER => View::Reconstruction(error.parse().unwrap()),
                _ => View::Detections(Detections { width: *memory, height: 1, objects: Vec::new() }),
            };
            views.push((*judge, view));
        }
        Ok(())
    }
}

/// The position of the judge that observes; the one behind it looks at the same frames.
const OBSERVER: usize = 3;

/// From 1 up is abnormal; beyond 100 it is judged once the gate is open.
struct Limit(Arc<AtomicBool>);

impl Judge for Limit {
    type Observation = Reading;
    fn observe(&mut self, reading: &Reading, _received: Moment, findings: &mut Vec<Finding>) {
        while reading.value > 100.0 && !self.0.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let standing = if reading.value >= 1.0 { Standing::Abnormal } else { Standing::Normal };
        let expected = Expected { low: None, high: Some(1.0) };
        findings.push(Finding::Condition(Condition::of_rule(
            Member::High,
            standing,
            reading.value,
            expected,
        )));
    }
    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}
    fn save(&self) -> Option<Vec<u8>> {
        None
    }
    fn restore(&mut self, _state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        Err(RestoreError::Foreign)
    }
}

/// A verdict is `judge device count`, or what was observed.
struct Text;

impl Encoder for Text {
    fn verdict(&mut self, _id: &Identity, verdict: &Verdict, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let told = match &verdict.body {
            Body::Detections(view) => view.width.to_string(),
            Body::Anomaly(anomaly) => anomaly.observed.to_string(),
            _ => panic!("nothing else is made here"),
        };
        let text = format!("{} {} {told}", verdict.judge, verdict.subject.device);
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
    fn summary(&mut self, _lane: Lane, _rows: &[StoredRow], _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        panic!("nothing is summarised here")
    }
    fn message(&mut self, _e: &Envelope, _rows: &[StoredRow], _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        panic!("nothing is sent here")
    }
}

struct Site {
    intake: FrameIntake<Pictures, u32>,
    workers: FrameWorkers<u32>,
    judging: Judging,
    committer: Committer,
    counters: Arc<Counters>,
    shelf: Memory,
    settled: Settled,
    clock: Clock,
    gate: Arc<AtomicBool>,
    next: u64,
}

const NEWEST: Keep = Keep::Newest { deadline: Duration::from_millis(500) };

fn judge(name: &str, source: u16, report: ReportPolicy) -> FrameJudgeSpec {
    FrameJudgeSpec {
        name: JudgeId::new(name).unwrap(),
        detector: Detector::Detect,
        model: Model { name: ModelName::new("m").unwrap(), version: ModelName::new("1").unwrap() },
        inputs: vec![SourceIndex(source)],
        devices: Vec::new(),
        report,
        severity: Severity::Info,
        lane: Lane::Verdict,
    }
}

/// What judges the observations of the judge over frames with the same name.
fn observer(name: &str, source: u16, gate: &Arc<AtomicBool>) -> JudgeSpec<Limit> {
    let gate = Arc::clone(gate);
    JudgeSpec {
        name: JudgeId::new(name).unwrap(),
        detector: Detector::Autoencoder,
        scope: Scope::Signal,
        policy: EventPolicy {
            severity: Severity::Warning,
            lane: Lane::Verdict,
            raise_after: Duration::ZERO,
            clear_after: Duration::ZERO,
            update_every: None,
        },
        inputs: vec![InputPattern {
            source: SourceIndex(source),
            signals: Some(wildmatch::WildMatch::new(name)),
        }],
        devices: Vec::new(),
        expect: Vec::new(),
        machine: None,
        model: None,
        make: Box::new(move |_| Limit(Arc::clone(&gate))),
    }
}

/// Three sources: frames of the first are kept as `keep` says, those of the others every one. Of the third, one judge
/// observes, for a judge over readings, and one detects.
fn site(keep: Keep, workers: usize, report: ReportPolicy) -> Site {
    let clock = Clock::start();
    let names = ["newest", "every", "odd"].map(|name| SourceId::new(name).unwrap()).to_vec();
    let counters = Arc::new(Counters::new(names.clone()));
    let mut judges = vec![None];
    judges.extend(
        [("a", 0), ("b", 1), ("c", 2), ("d", 2)].map(|(name, source)| Some(judge(name, source, report))),
    );
    let urgency = Duration::from_millis(500);
    let specs = [keep, Keep::Every, Keep::Every].map(|keep| Some(FrameSourceSpec { keep, urgency }));
    let queue = FrameQueue::new(
        FrameBench::new(judges, names.clone()),
        specs.to_vec(),
        Arc::clone(&counters),
        Vec::new(),
    );
    let intake = queue.intake(Pictures);
    let (shelf, settled) = (Memory::default(), Settled::default());
    let (committer, commits, _) = committer::start(
        shelf.clone(),
        Text,
        GatewayId::new("g").unwrap(),
        settled.clone(),
        Arc::clone(&counters),
        clock,
        Lives::default(),
    );
    let viewers = (0..workers).map(|_| Scripted).collect();
    let readings = IntakeQueue::new(Arc::clone(&counters));
    let workers = queue.start(viewers, || Some(Scripted), &commits, &readings.observations(), clock);
    let gate = Arc::new(AtomicBool::new(false));
    let bench = Bench::new(
        Undecoded,
        vec![observer("c", 2, &gate)],
        names,
        Arc::clone(&counters),
        random_event_id,
        clock.now(),
    );
    let judging = readings.start(bench, settled.clone(), commits, clock, Decision::default(), Vec::new());
    Site { intake, workers, judging, committer, counters, shelf, settled, clock, gate, next: 0 }
}

impl Site {
    fn offer(&mut self, source: u16, camera: &str, payload: &str) -> Result<(), IntakeFull> {
        let receipt = (source > 0).then_some(Receipt { connection: 1, index: self.next });
        self.next += 1;
        self.intake.offer(Inbound {
            source: SourceIndex(source),
            topic: camera.to_owned(),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            received: self.clock.now(),
            retained: false,
            redelivered: false,
            packet_id: 0,
            receipt,
        })
    }

    /// The same packet, from one connection or the next.
    fn again(&mut self, source: u16, payload: &'static str, index: u64, redelivered: bool) {
        let message = Inbound {
            source: SourceIndex(source),
            topic: "part".to_owned(),
            payload: Bytes::from_static(payload.as_bytes()),
            received: self.clock.now(),
            retained: false,
            redelivered,
            packet_id: 9,
            receipt: Some(Receipt { connection: 1, index }),
        };
        self.intake.offer(message).unwrap();
    }

    fn source(&self, index: u16) -> &SourceCounters {
        self.counters.source(SourceIndex(index)).unwrap()
    }

    /// Received, judged, superseded, refused.
    fn accounts(&self, index: u16) -> [u64; 4] {
        let source = self.source(index);
        [
            &source.messages_received_total,
            &source.messages_judged_total,
            &source.messages_superseded_total,
            &source.messages_refused_total,
        ]
        .map(|counter| counter.get())
    }

    fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < deadline, "{what}: {:?} {:?}", self.accounts(0), self.accounts(1));
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Waits until nothing is in flight.
    fn settle(&self) {
        self.wait("all accounts balance", |site| {
            (0..3).all(|index| {
                let [received, judged, superseded, refused] = site.accounts(index);
                received == judged + superseded + refused
            })
        });
    }

    /// Ends, and gives the committed verdicts.
    fn end(self) -> Vec<String> {
        self.workers.stop();
        self.judging.stop();
        drop(self.intake);
        self.committer.join().unwrap();
        let shelf = self.shelf.0.lock().unwrap();
        shelf.rows.values().map(|row| String::from_utf8(row.bytes.to_vec()).unwrap()).collect()
    }
}

#[test]
fn the_newest_frame_is_judged_and_every_frame_is_accounted_for() {
    let mut site = site(NEWEST, 1, ReportPolicy::Every);
    site.offer(0, "cam", "wait:60").unwrap();
    site.wait("the worker is busy", |site| site.workers.waiting().1 == 0);
    for _ in 0..4 {
        site.offer(0, "cam", "x").unwrap();
    }
    site.offer(0, "cam", "").unwrap();
    site.settle();
    assert_eq!(site.accounts(0), [6, 2, 3, 1]);
    assert_eq!(site.source(0).rejections().collect::<Vec<_>>(), [(Reason::BadJpeg, 1)]);
    // What the camera remembers has travelled with its frames.
    assert_eq!(site.end(), ["a cam 1", "a cam 2"]);
}

#[test]
fn a_fault_is_one_frames_alone() {
    let mut site = site(NEWEST, 2, ReportPolicy::Every);
    for (camera, payload) in [("one", "x"), ("two", "panic"), ("three", "fail"), ("four", "wait:2000")] {
        site.offer(0, camera, payload).unwrap();
        site.settle();
    }
    site.offer(0, "two", "x").unwrap();
    site.settle();
    assert_eq!(site.accounts(0), [5, 2, 0, 3]);
    let reasons: BTreeMap<&str, u64> =
        site.source(0).rejections().map(|(reason, count)| (reason.as_str(), count)).collect();
    assert_eq!(reasons, BTreeMap::from([("panicked", 1), ("model_failed", 1), ("overrun", 1)]));
    assert!(!site.workers.is_finished());
    assert_eq!(site.end(), ["a one 1", "a two 1"]);
}

#[test]
fn late_frames_are_dropped_before_they_are_judged() {
    let mut site = site(Keep::Newest { deadline: Duration::from_millis(100) }, 1, ReportPolicy::Every);
    site.offer(1, "part", "wait:250").unwrap();
    site.wait("the worker is busy", |site| site.workers.waiting().1 == 0);
    site.offer(0, "cam", "x").unwrap();
    site.settle();
    assert_eq!((site.accounts(0), site.accounts(1)), ([1, 0, 0, 1], [1, 1, 0, 0]));
    assert_eq!(site.source(0).rejections().collect::<Vec<_>>(), [(Reason::Late, 1)]);
    assert_eq!(site.end(), ["b part 1"]);
}

#[test]
fn every_frame_of_such_a_source_is_judged_and_a_full_queue_stops_its_connection() {
    let mut site = site(NEWEST, 2, ReportPolicy::Every);
    site.offer(1, "part", "wait:100").unwrap();
    site.wait("a worker is busy", |site| site.workers.waiting().1 == 0);
    for _ in 0..EVERY_CAPACITY {
        site.offer(1, "part", "x").unwrap();
    }
    assert_eq!(site.offer(1, "part", "x"), Err(IntakeFull));
    assert_eq!(site.accounts(1)[0], EVERY_CAPACITY as u64 + 1, "what was not taken is not received");
    // A camera of the other source is judged meanwhile.
    site.offer(0, "cam", "x").unwrap();
    site.settle();
    // A frame that is none is settled, too.
    site.offer(1, "part", "").unwrap();
    site.settle();
    let expected = EVERY_CAPACITY + 2;
    site.wait("all receipts settle", |site| site.settled.0.lock().unwrap().len() == expected);
    let settled: Vec<u64> = site.settled.0.lock().unwrap().iter().map(|receipt| receipt.index).collect();
    assert!(settled.is_sorted(), "one camera's frames are judged in order");
    let counts = (1..=EVERY_CAPACITY + 1).map(|count| format!("b part {count}"));
    let mut verdicts = site.end();
    verdicts.retain(|verdict| verdict != "a cam 1");
    assert_eq!(verdicts, counts.collect::<Vec<_>>());
}

#[test]
fn only_changes_are_reported_where_the_policy_says_so() {
    let mut site = site(NEWEST, 1, ReportPolicy::Change { hold: Duration::ZERO, again: None });
    for _ in 0..3 {
        site.offer(0, "one", "x").unwrap();
        site.settle();
        site.offer(0, "two", "x").unwrap();
        site.settle();
    }
    assert_eq!(site.accounts(0), [6, 6, 0, 0]);
    assert_eq!(site.end(), ["a one 1", "a two 1"]);
}

#[test]
fn a_frame_that_the_broker_sends_again_is_not_judged_twice() {
    let mut site = site(NEWEST, 1, ReportPolicy::Every);
    for (index, redelivered) in [(0, false), (1, true)] {
        site.again(1, "x", index, redelivered);
        site.settle();
    }
    site.wait("both settle", |site| site.settled.0.lock().unwrap().len() == 2);
    assert_eq!(site.accounts(1), [2, 1, 0, 1]);
    assert_eq!(site.end(), ["b part 1"]);
}

#[test]
fn a_full_store_stops_judging_before_it_begins_and_newer_frames_supersede_older_ones() {
    let mut site = site(Keep::Newest { deadline: Duration::from_secs(60) }, 1, ReportPolicy::Every);
    site.shelf.0.lock().unwrap().fails = Some(|| StoreError::Full { used: 1, cap: 1 });
    site.offer(0, "cam", "x").unwrap();
    site.wait("the store is known to be full", |site| site.counters.store_full());
    for _ in 0..5 {
        site.offer(0, "cam", "x").unwrap();
    }
    // A worker that has seen that the store is full takes no frame: four were superseded, the newest waits.
    site.wait("the accounts tell it", |site| site.accounts(0) == [6, 1, 4, 0]);
    std::thread::park_timeout(Duration::from_millis(250));
    assert_eq!((site.accounts(0), site.workers.waiting().1), ([6, 1, 4, 0], 1));
    site.shelf.0.lock().unwrap().fails = None;
    site.settle();
    assert_eq!(site.accounts(0), [6, 2, 4, 0]);
    assert_eq!(site.end(), ["a cam 1", "a cam 2"]);
}

#[test]
fn what_an_eye_observes_is_judged_as_a_reading_of_its_camera() {
    let mut site = site(NEWEST, 1, ReportPolicy::Every);
    for (camera, payload) in
        [("one", "error:0.5"), ("one", "error:2"), ("two", "error:0.1"), ("one", "error:3")]
    {
        site.offer(2, camera, payload).unwrap();
    }
    site.wait("all receipts settle", |site| site.settled.0.lock().unwrap().len() == 4);
    assert_eq!(site.accounts(2), [4, 4, 0, 0]);
    assert_eq!(site.source(2).readings_judged_total.get(), 4);
    let causes = site.shelf.0.lock().unwrap().causes.clone();
    let told = site.end();
    let at =
        |verdict: &str| told.iter().position(|told| told == verdict).unwrap_or_else(|| panic!("{told:?}"));
    assert!(at("d one 1") < at("d one 2") && at("d one 2") < at("d one 3") && told.len() == 5, "{told:?}");
    // What one frame causes is committed together, and after a crash each frame is recognised.
    assert_eq!(at("c one 2"), at("d one 2") + 1);
    assert_eq!(causes[at("c one 2")], causes[at("d one 2")]);
    assert!(causes.iter().all(|cause| *cause != 0) && at("d two 1") < 5, "{causes:?}");
}

#[test]
fn a_frame_that_comes_again_is_not_acknowledged_before_what_was_observed_in_it_is_durable() {
    let mut site = site(NEWEST, 2, ReportPolicy::Every);
    for (index, redelivered) in [(0, false), (1, true)] {
        site.again(2, "error:101", index, redelivered);
        site.wait("it is looked at, or known", |site| {
            let [received, judged, _, refused] = site.accounts(2);
            (received, judged + refused) == (index + 1, index + 1)
        });
    }
    // Both have left the workers, and the judge still thinks.
    std::thread::park_timeout(Duration::from_millis(100));
    assert_eq!(site.settled.0.lock().unwrap().len(), 0, "a crash now would lose the verdict");
    site.gate.store(true, Ordering::Relaxed);
    site.wait("both settle", |site| site.settled.0.lock().unwrap().len() == 2);
    assert_eq!(site.accounts(2), [2, 1, 0, 1]);
    assert_eq!(site.end(), ["d part 1", "c part 101"]);
}
