//! A site with cameras: queue, workers, judges and store, with viewers that obey the test.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use bytes::Bytes;
use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::frame::View;
use verge_domain::id::{GatewayId, Identity, JudgeId, JudgeIndex, Lane, Seq, SourceId};
use verge_domain::observation::Observable;
use verge_domain::policy::EventPolicy;
use verge_domain::reading::{Inbound, Receipt, Session, SourceIndex, fingerprint};
use verge_domain::stage::{
    Cause, EncodeError, Encoder, Intake, IntakeFull, Judge, RestoreError, Scope, StateStore, StoredRow,
};
use verge_domain::time::Moment;
use verge_domain::verdict::{Body, Detector, Severity, Verdict};
use verge_pipeline::clock::{Clock, random_event_id};
use verge_pipeline::committer::{self, Committer, Retention};
use verge_pipeline::counters::{Counters, SourceCounters};
use verge_pipeline::frames::{
    CameraJudges, Cameras, FrameExchange, FrameIntake, FrameQueue, FrameSourceSpec, FrameWorkers, Keep,
    WatchBoard,
};
use verge_pipeline::intake::{IntakeQueue, Judging, Swap};
use verge_pipeline::judging::{
    Decision, Fingerprint, InputPattern, Inputs, JudgeSet, JudgeSpec, Observes, PlannedJudge, SwapReport,
    Undecoded,
};

use super::viewer::{Pictures, Scripted};
use crate::support::{Memory, Settled};

/// Frames that are numbered within one era at most.
pub(super) const ERA: u32 = 1_000_000;

/// The judge of errors; the next one looks at the same frames.
pub(super) const OBSERVER: JudgeIndex = JudgeIndex(3);

/// From 1 up is abnormal, of errors and of arrivals; of other views all are reported, or those unlike the last.
/// Its state is what it reported.
pub(super) struct Seer {
    every: bool,
    reported: Option<usize>,
}

impl Judge for Seer {
    fn observe(&mut self, observed: Observable<'_>, _received: Moment, findings: &mut Vec<Finding>) {
        let value = match observed {
            Observable::View(View::Reconstruction(error), _) => *error,
            Observable::View(View::Detections(view), _) => {
                let changed = self.reported.replace(view.objects.len()) != Some(view.objects.len());
                return findings.extend((self.every || changed).then_some(Finding::View));
            }
            Observable::View(View::Classification(_) | View::Appearance(_) | View::Still, _)
            | Observable::Look(..)
            | Observable::Reading(_) => {
                return;
            }
            Observable::Arrival(_) => 1.0,
        };
        let standing = if value >= 1.0 { Standing::Abnormal } else { Standing::Normal };
        let expected = Expected { low: None, high: Some(1.0) };
        findings.push(Finding::Condition(Condition::of_rule(Member::High, standing, value, expected)));
    }
    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}
    fn save(&self) -> Option<Vec<u8>> {
        self.reported.map(|reported| reported.to_le_bytes().to_vec())
    }
    fn restore(&mut self, state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        let state = state.try_into().map_err(|_| RestoreError::Foreign)?;
        self.reported = Some(usize::from_le_bytes(state));
        Ok(())
    }
}

/// What becomes of detections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Every,
    Change,
}

/// A verdict is `judge device count`, or what was observed.
struct Text;

impl Encoder for Text {
    fn verdict(&mut self, _id: &Identity, verdict: &Verdict, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let said = match &verdict.body {
            Body::Detections(view) => view.width.to_string(),
            Body::Anomaly(anomaly) => anomaly.observed.to_string(),
            _ => panic!("nothing else is made here"),
        };
        let text = format!("{} {} {said}", verdict.judge, verdict.subject.device);
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
    fn summary(&mut self, _lane: Lane, _rows: &[StoredRow], _out: &mut Vec<u8>) -> Result<(), EncodeError> {
        panic!("nothing is summarised here")
    }
}

pub(super) struct Site {
    pub(super) watch: WatchBoard,
    /// Pictures that viewers have shown.
    pub(super) shown: Arc<AtomicUsize>,
    /// Frames that viewers have looked at once more.
    pub(super) again: Arc<AtomicUsize>,
    pub(super) intake: FrameIntake<u32>,
    pub(super) cameras: Cameras<u32>,
    pub(super) workers: FrameWorkers<Scripted>,
    pub(super) judging: Judging<Seer>,
    pub(super) committer: Committer,
    pub(super) counters: Arc<Counters>,
    pub(super) shelf: Memory,
    pub(super) settled: Settled,
    pub(super) clock: Clock,
    pub(super) next: u64,
}

pub(super) const NEWEST: Keep = Keep::Newest { deadline: Duration::from_millis(500) };

fn spec(name: &str, observes: Observes, sources: &[SourceIndex], report: Report) -> JudgeSpec<Seer> {
    let pattern = |&source: &SourceIndex| InputPattern { source, signals: None };
    JudgeSpec {
        name: JudgeId::new(name).unwrap(),
        detector: Detector::Detect,
        scope: Scope::Camera,
        inputs: Inputs {
            observes,
            looks: false,
            patterns: sources.iter().map(pattern).collect(),
            devices: Vec::new(),
        },
        policy: EventPolicy {
            severity: Severity::Info,
            critical_when: None,
            lane: Lane::Verdict,
            raise_after: Duration::ZERO,
            clear_after: Duration::ZERO,
            update_every: None,
        },
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
        make: Box::new(move |_| Seer { every: report == Report::Every, reported: None }),
    }
}

/// An earlier run has judged the frame "x" of "part", packet 9. Three sources: frames of the first are kept as `keep`
/// sets, those of the others every one. A judge of errors and one that detects look at the third.
pub(super) fn site(keep: Keep, workers: usize, report: Report) -> Site {
    watched_site(keep, workers, report, &[])
}

/// The same; the arrival of each frame of these sources is abnormal.
pub(super) fn watched_site(keep: Keep, workers: usize, report: Report, watched: &[SourceIndex]) -> Site {
    open(&Memory::default(), keep, workers, report, watched)
}

/// The same with what an earlier run has left.
pub(super) fn open(
    shelf: &Memory,
    keep: Keep,
    workers: usize,
    report: Report,
    watched: &[SourceIndex],
) -> Site {
    let clock = Clock::start();
    let names = ["newest", "every", "odd"].map(|name| SourceId::new(name).unwrap()).to_vec();
    let counters = Arc::new(Counters::new(names.clone()));
    let specs = vec![
        spec("alive", Observes::Arrivals, watched, report),
        spec("a", Observes::Views, &[SourceIndex(0)], report),
        spec("b", Observes::Views, &[SourceIndex(1)], report),
        spec("c", Observes::Errors, &[SourceIndex(2)], report),
        spec("d", Observes::Views, &[SourceIndex(2)], report),
    ];
    let judges = CameraJudges::new(specs.iter().map(|spec| spec.inputs.clone()).collect());
    let urgency = Duration::from_millis(500);
    let sources =
        [keep, Keep::Every, Keep::Every].map(|keep| Some(FrameSourceSpec { keep, urgency, least: None }));
    let cause = Session::Frames.cause(fingerprint(9, "part", b"x"));
    let causes = [Cause { lane: Lane::Alarm, seq: Seq(1), cause }];
    let queue = FrameQueue::new(judges, sources.to_vec(), Arc::clone(&counters), &causes);
    let readings = IntakeQueue::new(Arc::clone(&counters));
    let cameras = queue.cameras();
    let intake = queue.intake(true);
    let (shelf, settled) = (shelf.clone(), Settled::default());
    let (committer, commits, _) = committer::start(
        shelf.clone(),
        Text,
        GatewayId::new("g").unwrap(),
        (settled.clone(), &[]),
        Arc::clone(&counters),
        clock,
        Retention::default(),
        (Arc::default(), None),
    );
    let (watch, shown) = (queue.watch(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&shown);
    let again = Arc::<AtomicUsize>::default();
    let looks = Arc::clone(&again);
    let scripted =
        move || Scripted { shown: Arc::clone(&counted), again: Arc::clone(&looks), ..Scripted::of(0, true) };
    let viewers = (0..workers).map(|_| scripted()).collect();
    let workers =
        queue.start(Pictures, viewers, move || Some(scripted()), (&readings.observations(), None), clock);
    let (count, now) = (Arc::clone(&counters), clock.now());
    let mut set = JudgeSet::new(Undecoded, specs, names, count, random_event_id, now);
    let mut restored = Decision::default();
    set.restore(&shelf.clone().checkpoints().unwrap(), now, &mut restored);
    let judging = readings.start(set, settled.clone(), commits, clock, restored, &[]);
    Site {
        intake,
        cameras,
        workers,
        judging,
        committer,
        counters,
        shelf,
        settled,
        clock,
        next: 0,
        watch,
        shown,
        again,
    }
}

impl Site {
    /// Puts viewers of this era in the place of those at work, and judges of it, the first of which is called after it.
    pub(super) fn exchange(&self, era: u32) -> SwapReport {
        let specs = || {
            let first = spec(&format!("b{era}"), Observes::Views, &[SourceIndex(1)], Report::Every);
            [
                (JudgeIndex(2), first),
                (JudgeIndex(4), spec("d", Observes::Views, &[SourceIndex(2)], Report::Every)),
            ]
        };
        let inputs = |index| {
            let own = specs().into_iter().find(|(known, _)| *known == JudgeIndex(index));
            own.map_or(Inputs::readings(Vec::new()), |(_, spec)| spec.inputs)
        };
        let judges = CameraJudges::new((0..5).map(inputs).collect());
        let viewers = (0..self.workers.count()).map(|_| Scripted::of(era, false)).collect();
        let mut exchange = Some(FrameExchange::new(judges, viewers, move || Some(Scripted::of(era, true))));
        let (reports, reported) = std::sync::mpsc::channel();
        while let Some(others) = exchange.take() {
            let planned = specs().map(|(index, spec)| (index, PlannedJudge::Made(spec))).into();
            let reports = reports.clone();
            let swap = Swap::new(planned, move |report| reports.send(report).unwrap());
            let cut = || self.judging.try_swap(swap).map_err(|_| ());
            exchange = self.workers.try_exchange(others, cut).err().map(|(again, _)| again);
        }
        reported.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    pub(super) fn offer(&mut self, source: u16, camera: &str, payload: &str) -> Result<(), IntakeFull> {
        let receipt = (source > 0).then_some(Receipt { connection: 1, index: self.next });
        self.next += 1;
        self.intake.offer(Inbound {
            receipt,
            ..Inbound::of(
                SourceIndex(source),
                camera,
                Bytes::copy_from_slice(payload.as_bytes()),
                self.clock.now(),
            )
        })
    }

    /// A packet that an earlier run may have received.
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

    /// Ends, and returns the committed verdicts.
    pub(super) fn end(self) -> Vec<String> {
        self.workers.stop();
        self.judging.stop();
        drop(self.intake);
        self.committer.join().unwrap();
        let shelf = self.shelf.0.lock().unwrap();
        shelf.rows.values().map(|row| String::from_utf8(row.bytes.to_vec()).unwrap()).collect()
    }
}
