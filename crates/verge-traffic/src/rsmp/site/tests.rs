//! A site before a supervisor that a test plays.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use verge_domain::finding::{Expected, Member};
use verge_domain::id::{EventId, Lane, SourceId};
use verge_domain::interval::IntervalGrid;
use verge_domain::time::DeviceClock;
use verge_domain::verdict::{
    ActionKind, AlarmHandling, Body, Counts, Detector, Event, EventState, Health, OperatorAction, Severity,
    Subject, Times, Verdict,
};

use super::super::packet::Packet;
use super::super::settings::{DetectorKind, ErrorMode, FaultJudge, SiteComponent};
use super::*;
use crate::{CountsOf, Direction, SpeedUnit};

mod alarms;
mod begin;
mod counts;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// A whole day since 1970, at which the tests begin.
const NOON: i64 = 20_000 * 24 * HOUR + 12 * HOUR;

type Done = Box<dyn FnOnce(Result<(), String>) + Send>;

/// The gateway that a site sees.
struct View {
    at: Mutex<i64>,
    heads: Mutex<[Seq; 3]>,
    delivered: Mutex<[Option<Seq>; 3]>,
    words: Mutex<Vec<Arc<LastWord>>>,
    shelved: Mutex<bool>,
}

impl View {
    fn at(&self) -> i64 {
        *self.at.lock().unwrap()
    }
}

impl SiteView for View {
    fn now(&self) -> Moment {
        Moment::from_wall(UtcMillis(self.at()))
    }

    fn heads(&self) -> [Seq; 3] {
        *self.heads.lock().unwrap()
    }

    fn delivered(&self) -> [Option<Seq>; 3] {
        *self.delivered.lock().unwrap()
    }

    fn words(&self, selected: &dyn Fn(&LastWord) -> bool) -> Vec<Arc<LastWord>> {
        self.words.lock().unwrap().iter().filter(|word| selected(word)).cloned().collect()
    }

    fn shelved(&self) -> IsShelved {
        let shelved = *self.shelved.lock().unwrap_or_else(PoisonError::into_inner);
        Box::new(move |_, _| shelved)
    }

    fn carry_out(&self, _: Vec<AlarmOrder>, done: Done) {
        done(Ok(()));
    }
}

/// A site, its supervisor, and what the route has learnt.
struct Play {
    site: Site,
    view: View,
    events: Vec<SinkEvent>,
    tokens: u64,
}

impl Play {
    fn new(change: impl FnOnce(&mut SiteSettings)) -> Self {
        let judge = |name: &str| JudgeId::new(name).unwrap();
        let component = |number: usize| SiteComponent {
            id: format!("DL{number}"),
            device: DeviceId::new(&format!("loop-{number}")).unwrap(),
            counts: Some(CountsOf {
                judge: judge("traffic"),
                interval: IntervalGrid::new(Duration::from_secs(60)).unwrap(),
                line: None,
                direction: Direction::Both,
                zone: None,
                speed_unit: SpeedUnit::MetresPerSecond,
            }),
            faults: vec![FaultJudge { judge: judge("health"), hardware: true, logic: true }],
            detector: format!("D{number}"),
            kind: DetectorKind::Loop,
            error_mode: ErrorMode::On,
            serious: false,
        };
        let mut settings = SiteSettings {
            site: "RN+SI0001".to_owned(),
            main: "TC".to_owned(),
            versions: vec!["3.2.2".to_owned()],
            sxl: "1.2.1".to_owned(),
            watchdog: Duration::from_secs(60),
            ack_timeout: Duration::from_secs(30),
            buffer_status: true,
            secondary: false,
            other: false,
            settle: Duration::from_secs(10),
            components: vec![component(1), component(2)],
        };
        change(&mut settings);
        let view = View {
            at: Mutex::new(NOON),
            heads: Mutex::new([Seq::ZERO; 3]),
            delivered: Mutex::new([Some(Seq::ZERO); 3]),
            words: Mutex::default(),
            shelved: Mutex::default(),
        };
        let site = Site::new(settings, 7, view.now());
        Self { site, view, events: Vec::new(), tokens: 0 }
    }

    /// One that stands.
    fn up() -> Self {
        let mut play = Self::new(|_| {});
        play.connect();
        play
    }

    /// The whole beginning. Returns what the site says of itself then.
    fn connect(&mut self) -> Vec<Value> {
        self.site.connected(&self.view);
        assert_eq!(kinds(&self.listen()), ["Version"]);
        self.say(&version());
        assert_eq!(kinds(&self.listen()), ["MessageAck", "Watchdog"]);
        self.say(&json!({"type": "Watchdog", "wTs": "2026-11-29T12:00:00.000Z"}));
        let mut said = self.listen();
        assert_eq!(kinds(&said[..1]), ["MessageAck"]);
        said.remove(0);
        said
    }

    /// Something that the supervisor says, with an identifier of its own. Returns that.
    fn say(&mut self, content: &Value) -> String {
        self.tokens += 1;
        let id = format!("s-{}", self.tokens);
        let mut content = content.clone();
        content["mType"] = "rSMsg".into();
        if content.get("mId").is_none() {
            content["mId"] = id.clone().into();
        }
        self.site.received(Packet::Whole(content.to_string().into_bytes()), &self.view);
        id
    }

    /// What the site says; acknowledges all of it.
    fn listen(&mut self) -> Vec<Value> {
        let mut said = Vec::new();
        loop {
            let more = self.unanswered();
            if more.is_empty() {
                return said;
            }
            for message in &more {
                if let Some(id) = message.get("mId").and_then(Value::as_str) {
                    self.ack(id);
                }
            }
            said.extend(more);
        }
    }

    /// What the site says, without an answer.
    fn unanswered(&mut self) -> Vec<Value> {
        let mut said = Vec::new();
        while let Some(packet) = self.site.next_packet(&self.view) {
            said.push(serde_json::from_slice(&packet).unwrap());
        }
        self.events.extend(std::iter::from_fn(|| self.site.take_event()));
        said
    }

    fn ack(&mut self, id: &str) {
        let ack = json!({"mType": "rSMsg", "type": "MessageAck", "oMId": id}).to_string();
        self.site.received(Packet::Whole(ack.into_bytes()), &self.view);
        self.events.extend(std::iter::from_fn(|| self.site.take_event()));
    }

    fn pass(&mut self, millis: i64) {
        *self.view.at.lock().unwrap() += millis;
        self.site.tick(&self.view);
    }

    /// A row under a token of its own.
    fn offer(&mut self, verdict: Verdict) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        let (lane, seq) = (verdict.lane, Seq(self.tokens));
        let row = VerdictRow { lane, seq, verdict: Some(Box::new(verdict)), stored_bytes: 100 };
        self.site.offer(vec![row], token);
        token
    }

    fn delivered(&self) -> Vec<Token> {
        let of =
            |event: &SinkEvent| if let SinkEvent::Delivered(token) = event { Some(*token) } else { None };
        self.events.iter().filter_map(of).collect()
    }
}

fn version() -> Value {
    json!({"type": "Version", "RSMP": [{"vers": "3.1.5"}, {"vers": "3.2.2"}], "siteId": [{"sId": "RN+SI0001"}], "SXL": "1.2.1"})
}

fn kinds(said: &[Value]) -> Vec<&str> {
    said.iter().map(|message| message["type"].as_str().unwrap()).collect()
}

fn verdict(judge: &str, device: &str, at: i64, body: Body) -> Verdict {
    Verdict {
        judge: JudgeId::new(judge).unwrap(),
        subject: Subject {
            source: SourceId::new("loops").unwrap(),
            device: DeviceId::new(device).unwrap(),
            signal: None,
        },
        tag: None,
        times: Times {
            captured: None,
            clock: DeviceClock::Absent,
            received: UtcMillis(at),
            decided: UtcMillis(at),
            estimated: false,
        },
        detector: Detector::Health,
        model: None,
        severity: Severity::Warning,
        lane: Lane::Alarm,
        event: None,
        group: None,
        action: None,
        body,
    }
}

/// An event of the health of a loop.
fn fault(number: u8, member: Member, state: EventState, since: i64, at: i64) -> Verdict {
    let event = Event {
        id: EventId([number; 16]),
        state,
        since: UtcMillis(since),
        lasted_ms: 0,
        number: None,
        learning: false,
        change: None,
        suspended: false,
        group: None,
        handling: AlarmHandling::default(),
    };
    let body = Body::Health(Health::of(member, 1.0, Expected { low: None, high: None }));
    Verdict { event: Some(event), ..verdict("health", "loop-1", at, body) }
}

/// Counts of one minute of a loop.
fn counts(device: &str, from: i64, vehicles: u64) -> Verdict {
    let counts = Counts {
        from: UtcMillis(from),
        length_ms: 60_000,
        observed_ms: 60_000,
        partial: false,
        readings: 60,
        vehicles: Some(vehicles),
        flow_per_hour: None,
        occupancy: Some(0.25),
        mean_speed: Some(10.0),
        forecasts: Vec::new(),
    };
    Verdict { lane: Lane::Telemetry, ..verdict("traffic", device, from + MINUTE, Body::Counts(counts)) }
}
