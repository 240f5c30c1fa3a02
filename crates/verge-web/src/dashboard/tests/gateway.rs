//! A gateway that stands still: what it shows and answers is set by a test.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use serde_json::{Value, json};
use verge_domain::alarms::{AlarmFigures, StandingAlarms};
use verge_domain::board::{Board, BoardCopy, CommittedWords, LastWord, OpenEvents, RaisedBefore};
use verge_domain::configured::{Configured, ReloadOutcome};
use verge_domain::finding::Expected;
use verge_domain::finding::Member;
use verge_domain::history::{BandChange, Course, Sample, SignalHistory, SignalNow, Step};
use verge_domain::id::{
    DeviceId, Epoch, EventId, EventNumber, GatewayId, JudgeId, Lane, OperatorText, Seq, SignalId, SourceId,
    Unit,
};
use verge_domain::live::{
    CommandDone, CommandOutcome, CommandReply, LiveCameras, LiveDrawings, LiveGateway, ReadFrom, StoredDone,
    StoredItem, StoredPart,
};
use verge_domain::time::{DeviceClock, Moment, UtcMillis};
use verge_domain::verdict::{
    AlarmHandling, Anomaly, Body, Detector, Event, EventState, Regions, Severity, Subject, Times, Verdict,
};

pub(super) use super::cameras::{TestCameras, camera};
pub(super) use super::drawings::TestDrawings;

/// What a hostile device may be called.
pub(super) const HOSTILE: &str = "<script>alert(1)</script>\u{202e}\"'&";

/// A gateway with three events: one is open and hostile, one is over, one has no number.
pub(super) struct TestGateway {
    id: GatewayId,
    words: Mutex<Vec<Arc<LastWord>>>,
    stored: Mutex<Vec<Arc<LastWord>>>,
    damaged: Mutex<Vec<Seq>>,
    behind: Mutex<Vec<Arc<LastWord>>>,
    commands: Mutex<Vec<(String, Value)>>,
    outcome: Mutex<CommandOutcome>,
    /// Answers that are not given yet, where they are held back.
    held: Mutex<Option<Vec<(CommandDone, CommandReply)>>>,
    reload: Mutex<ReloadOutcome>,
    now: AtomicI64,
    pub(super) cameras: TestCameras,
    pub(super) drawings: TestDrawings,
}

pub(super) fn event_id(number: u8) -> String {
    EventId([number; 16]).to_string()
}

pub(super) fn word(number: u8, device: &str, state: EventState) -> LastWord {
    let event = Event {
        id: EventId([number; 16]),
        state,
        since: UtcMillis(1_000),
        lasted_ms: 5_000,
        number: (number < 3).then_some(EventNumber(number.into())),
        learning: false,
        change: None,
        suspended: false,
        group: None,
        handling: AlarmHandling::default(),
    };
    let anomaly = Anomaly {
        member: Member::High,
        observed: 8.25,
        expected: Expected { low: None, high: Some(7.5) },
        p_value: None,
        unit: Unit::new("m<i>m/s").ok(),
        contributions: Vec::new(),
        feedback: verge_domain::finding::Feedback::default(),
        distance: None,
        value: None,
        usual: Expected::default(),
        value_unit: None,
        regions: Regions::default(),
    };
    let verdict = Verdict {
        judge: JudgeId::new("j").unwrap(),
        subject: Subject {
            source: SourceId::new("s").unwrap(),
            device: DeviceId::new(device).unwrap(),
            signal: SignalId::new("<img src=x>").ok(),
        },
        tag: None,
        times: Times {
            captured: None,
            clock: DeviceClock::Absent,
            received: UtcMillis(1),
            decided: UtcMillis(6_000),
            estimated: false,
        },
        detector: Detector::Threshold,
        model: None,
        severity: Severity::Critical,
        lane: Lane::Alarm,
        event: Some(event),
        group: None,
        action: None,
        body: Body::Anomaly(anomaly),
    };
    LastWord::new(verdict, Some(Seq(number.into())))
}

impl TestGateway {
    pub(super) fn new() -> Self {
        Self::of(vec![
            word(1, HOSTILE, EventState::Raised),
            word(2, "pump-2", EventState::Cleared),
            word(3, "pump-3", EventState::Updated),
        ])
    }

    /// With these on its board and in its store.
    pub(super) fn of(words: Vec<LastWord>) -> Self {
        let words: Vec<_> = words.into_iter().map(Arc::new).collect();
        Self {
            id: GatewayId::new("g<b>").unwrap(),
            stored: Mutex::new(words.clone()),
            words: Mutex::new(words),
            damaged: Mutex::default(),
            behind: Mutex::default(),
            commands: Mutex::default(),
            outcome: Mutex::new(CommandOutcome::Done),
            held: Mutex::default(),
            reload: Mutex::new(ReloadOutcome::Done),
            now: AtomicI64::new(60_000),
            cameras: TestCameras::default(),
            drawings: TestDrawings::default(),
        }
    }

    pub(super) fn commands(&self) -> Vec<(String, Value)> {
        self.commands.lock().unwrap().clone()
    }

    pub(super) fn answer_with(&self, outcome: CommandOutcome) {
        *self.outcome.lock().unwrap() = outcome;
    }

    /// From now on commands are answered when [`TestGateway::answer`] says so.
    pub(super) fn hold_back(&self) {
        *self.held.lock().unwrap() = Some(Vec::new());
    }

    pub(super) fn answer(&self) {
        for (done, reply) in self.held.lock().unwrap().take().unwrap() {
            done(reply);
        }
    }

    pub(super) fn note(&self, by: &OperatorText, command: Value) {
        self.commands.lock().unwrap().push((by.to_string(), command));
    }

    pub(super) fn reload_with(&self, outcome: ReloadOutcome) {
        *self.reload.lock().unwrap() = outcome;
    }

    pub(super) fn reload_outcome(&self) -> ReloadOutcome {
        *self.reload.lock().unwrap()
    }

    /// An operator took note of an event of the board.
    pub(super) fn acknowledge(&self, id: &str) {
        for word in self.words.lock().unwrap().iter_mut() {
            let mut verdict = word.verdict.clone();
            if let Some(event) = verdict.event.as_mut().filter(|event| event.id.to_string() == id) {
                event.handling.acknowledged = Some(UtcMillis(7_000));
                *word = Arc::new(LastWord::new(verdict, word.seq));
            }
        }
    }

    /// Time passes.
    pub(super) fn pass(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::Relaxed);
    }

    /// Stores this: it is not on the board.
    pub(super) fn store(&self, word: LastWord) {
        self.stored.lock().unwrap().push(Arc::new(word));
    }

    /// What is stored under this number cannot be read any more.
    pub(super) fn damage(&self, seq: u64) {
        self.damaged.lock().unwrap().push(Seq(seq));
    }

    /// Commits this for whoever follows.
    pub(super) fn commit(&self, word: LastWord) {
        self.behind.lock().unwrap().push(Arc::new(word));
    }
}

impl Board for TestGateway {
    fn words(&self, selected: &dyn Fn(&LastWord) -> bool) -> Vec<Arc<LastWord>> {
        self.words.lock().unwrap().iter().filter(|word| selected(word)).cloned().collect()
    }

    fn copy(&self, selected: &dyn Fn(&LastWord) -> bool) -> BoardCopy {
        BoardCopy { place: self.follow(), words: self.words(selected) }
    }

    fn raised_before(&self) -> &[RaisedBefore] {
        &[]
    }

    fn standing(&self) -> StandingAlarms {
        StandingAlarms::default()
    }

    fn alarms(&self, _now: UtcMillis) -> AlarmFigures {
        AlarmFigures::default()
    }

    fn open_events(&self) -> OpenEvents {
        OpenEvents { open: 2, critical: 2, ..OpenEvents::default() }
    }

    fn follow(&self) -> u64 {
        self.behind.lock().unwrap().len() as u64
    }

    fn place_behind(&self, _lane: Lane, seq: Seq) -> Option<u64> {
        let behind = self.behind.lock().unwrap();
        behind.iter().position(|word| word.seq == Some(seq)).map(|place| place as u64 + 1)
    }

    fn poll_behind(&self, place: &mut u64, _context: &mut Context<'_>) -> Poll<CommittedWords> {
        let behind = self.behind.lock().unwrap();
        let words: Vec<_> = behind.iter().skip(usize::try_from(*place).unwrap()).cloned().collect();
        *place += words.len() as u64;
        if words.is_empty() { Poll::Pending } else { Poll::Ready(CommittedWords { missed: 0, words }) }
    }
}

/// The signal of its events: 3 below what a judge expects, twice.
pub(super) fn signal() -> Subject {
    word(1, HOSTILE, EventState::Raised).verdict.subject
}

pub(super) fn signal_path() -> String {
    crate::dashboard::signals::path_of(&signal())
}

const BAND: Expected = Expected { low: Some(6.0), high: None };

impl SignalHistory for TestGateway {
    fn list(&self, selected: &mut dyn FnMut(&Subject, UtcMillis) -> bool) -> Vec<Subject> {
        let plain =
            |number: usize| Subject { device: DeviceId::new(&format!("d-{number:05}")).unwrap(), ..signal() };
        let all = [signal()].into_iter().chain((0..10_000).map(plain));
        all.filter(|signal| selected(signal, UtcMillis(50_000))).collect()
    }

    fn newest(&self, subject: &Subject) -> Option<SignalNow> {
        let is_known = *subject == signal() || subject.device.as_str().starts_with("d-");
        let judges = vec![(JudgeId::new("j").unwrap(), Some(BAND)), (JudgeId::new("k").unwrap(), None)];
        let (unit, since) = (Unit::new("m<i>m/s").ok(), Some(UtcMillis(20_000)));
        is_known.then_some(SignalNow { unit, value: 3.25, at: UtcMillis(50_000), judges, since })
    }

    fn course(&self, subject: &Subject, step: Step, from: UtcMillis) -> Option<Course> {
        self.newest(subject)?;
        let sample =
            |at, last| Sample { at: UtcMillis(at), last, least: last - 1.0, greatest: last, held: false };
        let bands = vec![(JudgeId::new("j").unwrap(), vec![BandChange { from, expected: Some(BAND) }])];
        let samples = vec![sample(30_000, 0.1), sample(50_000, 3.25)];
        Some(Course { step, since: Some(UtcMillis(20_000)), samples, bands })
    }

    fn left_out(&self) -> u64 {
        7
    }
}

impl LiveGateway for TestGateway {
    fn id(&self) -> &GatewayId {
        &self.id
    }

    fn epoch(&self) -> Epoch {
        Epoch([7; 16])
    }

    fn now(&self) -> Moment {
        Moment::from_wall(UtcMillis(self.now.load(Ordering::Relaxed)))
    }

    fn board(&self) -> &dyn Board {
        self
    }

    fn configured(&self) -> &dyn Configured {
        self
    }

    fn status(&self) -> Bytes {
        let status = json!({
            "gateway": "g<b>", "uptime_s": 60, "local": { "connected": true, "connections": 1 },
            "sources": [{ "name": HOSTILE, "received": 1_234, "judged": 1_234, "age_ms": 5 }],
            "store": { "state": "ok", "used_bytes": 5, "cap_bytes": 10, "committed": [1, 2, 3] },
            "routes": [{ "name": "centre", "connected": false, "backlog": 7, "last_error": "</title><script>" }],
            "maintenance": { "windows": [
                { "device": HOSTILE, "until": 120_000 },
                { "device": "pump-2", "signal": "p", "judge": "j", "source": "s", "until": 90_000, "by": "dashboard: x" },
            ] },
            "frames": { "judging_ms": { "p50": 12.5, "p99": 40.25 } },
            "events": { "open": 2, "critical": 2 }, "alarms": { "unacknowledged": 2, "last_ten_minutes": 2 },
        });
        Bytes::from(status.to_string())
    }

    fn progress(&self) -> Vec<u64> {
        vec![1]
    }

    fn verdict_json(&self, word: &LastWord) -> Option<Bytes> {
        Some(Bytes::from(json!({ "device": word.verdict.subject.device.as_str() }).to_string()))
    }

    fn verdict_words(&self, verdict: &Verdict) -> String {
        format!("{} is high", verdict.subject.device)
    }

    fn time_words(&self, at: UtcMillis) -> String {
        at.0.to_string()
    }

    fn cameras(&self) -> Option<&dyn LiveCameras> {
        Some(&self.cameras)
    }

    fn read_time(&self, text: &str) -> Option<UtcMillis> {
        (text == "2026-11-30T14:05").then_some(UtcMillis(5_000))
    }

    /// Its words stand in the lane of alarms; two are read at once.
    fn stored(&self, lane: Lane, from: ReadFrom, done: StoredDone) {
        let mut rows: Vec<_> = self.stored.lock().unwrap().clone();
        rows.retain(|word| word.verdict.lane == lane);
        let seq = |word: &Arc<LastWord>| word.seq.unwrap();
        match from {
            ReadFrom::Behind(behind) => rows.retain(|word| seq(word) > behind),
            ReadFrom::Since(at) => rows.retain(|word| word.verdict.times.decided >= at),
            ReadFrom::Before(before) => rows.retain(|word| seq(word) < before),
            ReadFrom::Until(at) => rows.retain(|word| word.verdict.times.decided < at),
        }
        let backward = matches!(from, ReadFrom::Before(_) | ReadFrom::Until(_));
        if backward {
            rows.reverse();
        }
        let more = rows.len() > 2;
        rows.truncate(2);
        let last = rows.last().map(seq).filter(|_| more);
        let rest = last.map(|last| if backward { ReadFrom::Before(last) } else { ReadFrom::Behind(last) });
        let damaged = self.damaged.lock().unwrap().clone();
        rows.retain(|word| !damaged.contains(&seq(word)));
        done(Ok(StoredPart { items: rows.into_iter().map(StoredItem::Verdict).collect(), rest }));
    }

    fn hour_words(&self, at: UtcMillis) -> String {
        at.0.to_string()
    }

    fn signals(&self) -> &dyn SignalHistory {
        self
    }

    fn drawings(&self) -> Option<&dyn LiveDrawings> {
        Some(&self.drawings)
    }

    fn carry_out(&self, command: &[u8], by: &OperatorText, done: CommandDone) {
        let command = serde_json::from_slice(command).unwrap();
        self.note(by, command);
        let outcome = *self.outcome.lock().unwrap();
        let answer =
            json!({ "id": "dashboard", "ok": outcome == CommandOutcome::Done, "error": "<b>because</b>" });
        let reply = CommandReply { outcome, answer: Bytes::from(answer.to_string()) };
        match &mut *self.held.lock().unwrap() {
            Some(held) => held.push((done, reply)),
            None => done(reply),
        }
    }
}
