//! A site with cameras: queue, workers, judges and store, with viewers that obey the test.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::frame::{ARRIVAL, Detections, EncodedFrame, ImageFormat, Orientation, View};
use verge_domain::id::{DeviceId, GatewayId, Identity, JudgeId, Lane, ModelName, Seq, SourceId};
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{Decoded, Inbound, Reading, Receipt, Session, SourceIndex, fingerprint};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::report::ReportPolicy;
use verge_domain::stage::{
    Cause, Decoder, EncodeError, Encoder, Envelope, Intake, IntakeFull, Judge, RestoreError, Scope,
    StoredRow, Viewer,
};
use verge_domain::time::{DeviceClock, Moment};
use verge_domain::verdict::{Body, Detector, Model, Severity, Verdict};
use verge_pipeline::clock::{Clock, random_event_id};
use verge_pipeline::committer::{self, Committer, Lives};
use verge_pipeline::counters::{Counters, SourceCounters};
use verge_pipeline::frames::{
    Cameras, FrameBench, FrameIntake, FrameJudgeSpec, FrameQueue, FrameSourceSpec, FrameWorkers, Keep,
};
use verge_pipeline::intake::{IntakeQueue, Judging};
use verge_pipeline::judging::{Decision, InputPattern, JudgeSet, JudgeSpec, Undecoded};

use crate::support::{Memory, Settled};

/// The topic is the camera, the payload an instruction to the viewer; an empty one is no frame.
pub(super) struct Pictures;

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

/// From 1 up is abnormal.
struct Limit;

impl Judge for Limit {
    type Observation = Reading;
    fn observe(&mut self, reading: &Reading, _received: Moment, findings: &mut Vec<Finding>) {
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

pub(super) struct Site {
    pub(super) intake: FrameIntake<Pictures, u32>,
    pub(super) cameras: Cameras<u32>,
    pub(super) workers: FrameWorkers<u32>,
    pub(super) judging: Judging,
    pub(super) committer: Committer,
    pub(super) counters: Arc<Counters>,
    pub(super) shelf: Memory,
    pub(super) settled: Settled,
    pub(super) clock: Clock,
    pub(super) next: u64,
}

pub(super) const NEWEST: Keep = Keep::Newest { deadline: Duration::from_millis(500) };

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
fn observer(name: &str, source: u16) -> JudgeSpec<Limit> {
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
        make: Box::new(|_| Limit),
    }
}

/// What judges the arrivals of a source.
fn alive(source: SourceIndex) -> JudgeSpec<Limit> {
    JudgeSpec {
        name: JudgeId::new("alive").unwrap(),
        scope: Scope::Camera,
        inputs: vec![InputPattern { source, signals: Some(wildmatch::WildMatch::new(ARRIVAL.as_str())) }],
        ..observer("alive", source.0)
    }
}

/// An earlier run has judged the frame "x" of "part", packet 9. Three sources: frames of the first are kept as `keep` says, those of the others every one. Of the third, one judge
/// observes, for a judge over readings, and one detects.
pub(super) fn site(keep: Keep, workers: usize, report: ReportPolicy) -> Site {
    watched_site(keep, workers, report, Vec::new())
}

/// The same; the arrival of each frame of these sources is abnormal.
pub(super) fn watched_site(
    keep: Keep,
    workers: usize,
    report: ReportPolicy,
    watched: Vec<SourceIndex>,
) -> Site {
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
        FrameBench::new(judges, names.clone()).watching(watched.clone()),
        specs.to_vec(),
        Arc::clone(&counters),
        &[Cause {
            lane: Lane::Alarm,
            seq: Seq(1),
            cause: Session::Frames.cause(fingerprint(9, "part", b"x")),
        }],
    );
    let readings = IntakeQueue::new(Arc::clone(&counters));
    let cameras = queue.cameras();
    let intake = queue.intake(Pictures, &readings.observations());
    let (shelf, settled) = (Memory::default(), Settled::default());
    let (committer, commits, _) = committer::start(
        shelf.clone(),
        Text,
        GatewayId::new("g").unwrap(),
        (settled.clone(), &[]),
        Arc::clone(&counters),
        clock,
        Lives::default(),
        None,
    );
    let viewers = (0..workers).map(|_| Scripted).collect();
    let workers = queue.start(viewers, || Some(Scripted), &commits, &readings.observations(), clock);
    let set = JudgeSet::new(
        Undecoded,
        [observer("c", 2)].into_iter().chain(watched.into_iter().map(alive)).collect(),
        names,
        Arc::clone(&counters),
        random_event_id,
        clock.now(),
    );
    let judging = readings.start(set, settled.clone(), commits, clock, Decision::default(), &[]);
    Site { intake, cameras, workers, judging, committer, counters, shelf, settled, clock, next: 0 }
}

impl Site {
    pub(super) fn offer(&mut self, source: u16, camera: &str, payload: &str) -> Result<(), IntakeFull> {
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

    /// A packet that an earlier run may have had.
    pub(super) fn again(&mut self, packet_id: u16) {
        let message = Inbound {
            source: SourceIndex(1),
            topic: "part".to_owned(),
            payload: Bytes::from_static(b"x"),
            received: self.clock.now(),
            retained: false,
            redelivered: true,
            packet_id,
            receipt: Some(Receipt { connection: 1, index: self.next }),
        };
        self.next += 1;
        self.intake.offer(message).unwrap();
    }

    pub(super) fn source(&self, index: u16) -> &SourceCounters {
        self.counters.source(SourceIndex(index)).unwrap()
    }

    /// Received, judged, superseded, refused.
    pub(super) fn accounts(&self, index: u16) -> [u64; 4] {
        let source = self.source(index);
        [
            &source.messages_received_total,
            &source.messages_judged_total,
            &source.messages_superseded_total,
            &source.messages_refused_total,
        ]
        .map(|counter| counter.get())
    }

    pub(super) fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < deadline, "{what}: {:?} {:?}", self.accounts(0), self.accounts(1));
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Waits until nothing is in flight.
    pub(super) fn settle(&self) {
        self.wait("all accounts balance", |site| {
            (0..3).all(|index| {
                let [received, judged, superseded, refused] = site.accounts(index);
                received == judged + superseded + refused
            })
        });
    }

    /// Ends, and gives the committed verdicts.
    pub(super) fn end(self) -> Vec<String> {
        self.workers.stop();
        self.judging.stop();
        drop(self.intake);
        self.committer.join().unwrap();
        let shelf = self.shelf.0.lock().unwrap();
        shelf.rows.values().map(|row| String::from_utf8(row.bytes.to_vec()).unwrap()).collect()
    }
}
