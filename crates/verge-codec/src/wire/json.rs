//! The JSON twin: the same messages for people and Node-RED. Names instead of numbers, dates instead of
//! distances, everything else the same.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use verge_domain::finding::{Expected, Member};
use verge_domain::frame::{Classification, Detection, Detections, PixelBox, Score, Scored};
use verge_domain::id::{
    DeviceId, Epoch, EventId, GatewayId, Identity, JudgeId, Label, Lane, ModelName, Seq, SignalId, SourceId,
    Unit,
};
use verge_domain::stage::{Envelope, StoredRow};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    Anomaly, Body, Counts, Detector, Event, EventState, Health, Model, Severity, Subject, Times, Verdict,
};

use super::read::read_verdict;
use super::{Message, VERSION, WireError};
use crate::number::rounded;
use crate::time::{from_rfc3339, to_rfc3339};

#[derive(Serialize, Deserialize)]
struct TwinMessage {
    v: u64,
    gateway: GatewayId,
    epoch: String,
    lane: Lane,
    sent: String,
    verdicts: Vec<TwinVerdict>,
}

/// A verdict on its own, with its whole identity.
#[derive(Serialize)]
struct TwinAlone {
    gateway: GatewayId,
    epoch: String,
    lane: Lane,
    #[serde(flatten)]
    verdict: TwinVerdict,
}

#[derive(Serialize, Deserialize)]
struct TwinVerdict {
    seq: u64,
    judge: JudgeId,
    source: SourceId,
    device: DeviceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<SignalId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    captured: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock: Option<DeviceClock>,
    received: String,
    decided: String,
    detector: Detector,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<TwinModel>,
    severity: Severity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<TwinEvent>,
    #[serde(flatten)]
    body: TwinBody,
}

#[derive(Serialize, Deserialize)]
struct TwinModel {
    name: ModelName,
    version: ModelName,
}

#[derive(Serialize, Deserialize)]
struct TwinEvent {
    id: String,
    state: EventState,
    since: String,
    lasted_s: f64,
}

/// `"kind": "anomaly", "anomaly": {…}`.
#[derive(Serialize, Deserialize)]
struct TwinBody {
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anomaly: Option<TwinAnomaly>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    counts: Option<TwinCounts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health: Option<TwinHealth>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classification: Option<TwinClassification>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detections: Option<TwinDetections>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Anomaly,
    Counts,
    Health,
    Classification,
    Detections,
}

#[derive(Serialize, Deserialize)]
struct TwinAnomaly {
    member: Member,
    observed: f64,
    #[serde(default, skip_serializing_if = "TwinExpected::is_open")]
    expected: TwinExpected,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p_value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<Unit>,
}

#[derive(Default, Serialize, Deserialize)]
struct TwinExpected {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
}

impl TwinExpected {
    fn is_open(&self) -> bool {
        self.low.is_none() && self.high.is_none()
    }
}

#[derive(Serialize, Deserialize)]
struct TwinCounts {
    from: String,
    length_s: f64,
    observed_s: f64,
    partial: bool,
    readings: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vehicles: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flow_per_hour: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    occupancy: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean_speed: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct TwinHealth {
    cause: Member,
    observed: f64,
    #[serde(default, skip_serializing_if = "TwinExpected::is_open")]
    expected: TwinExpected,
}

#[derive(Serialize, Deserialize)]
struct TwinClassification {
    labels: Vec<TwinScored>,
}

#[derive(Serialize, Deserialize)]
struct TwinScored {
    label: Label,
    score: f64,
}

#[derive(Serialize, Deserialize)]
struct TwinDetections {
    width: u32,
    height: u32,
    objects: Vec<TwinObject>,
}

#[derive(Serialize, Deserialize)]
struct TwinObject {
    label: Label,
    score: f64,
    #[serde(flatten)]
    area: PixelBox,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    track: Option<u64>,
}

/// The JSON twin of one verdict with its whole identity, as commands print it.
///
/// # Panics
/// Never: every part of a verdict has a JSON form (a non-finite number, which no verdict has, is `null`).
#[must_use]
pub fn verdict_json(identity: &Identity, verdict: &Verdict) -> Value {
    let twin = TwinAlone {
        gateway: identity.gateway.clone(),
        epoch: identity.epoch.to_string(),
        lane: identity.lane,
        verdict: TwinVerdict::of(identity.seq, verdict),
    };
    serde_json::to_value(twin).expect("all keys of the twin are text")
}

/// Transcodes stored verdicts and puts the envelope around them.
pub(super) fn write_message(
    envelope: &Envelope,
    rows: &[StoredRow],
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let verdicts = rows
        .iter()
        .map(|row| {
            read_verdict(&row.bytes, envelope.lane).map(|(seq, verdict)| TwinVerdict::of(seq, &verdict))
        })
        .collect::<Result<_, _>>()?;
    let twin = TwinMessage {
        v: u64::from(VERSION),
        gateway: envelope.gateway.clone(),
        epoch: envelope.epoch.to_string(),
        lane: envelope.lane,
        sent: to_rfc3339(envelope.sent),
        verdicts,
    };
    Ok(serde_json::to_writer(out, &twin)?)
}

/// Reads a message back.
pub(super) fn read_message(text: &[u8]) -> Result<Message, WireError> {
    let twin: TwinMessage = serde_json::from_slice(text)?;
    if twin.v != u64::from(VERSION) {
        return Err(WireError::Version { found: twin.v });
    }
    if twin.verdicts.is_empty() {
        return Err(WireError::NoVerdict);
    }
    let lane = twin.lane;
    Ok(Message {
        gateway: twin.gateway,
        epoch: Epoch(identity(&twin.epoch, "epoch")?),
        lane,
        sent: time(&twin.sent, "sent")?,
        verdicts: twin
            .verdicts
            .into_iter()
            .map(|verdict| verdict.into_verdict(lane))
            .collect::<Result<_, _>>()?,
    })
}

impl TwinVerdict {
    fn of(seq: Seq, verdict: &Verdict) -> Self {
        let Verdict { judge, subject, times, detector, model, severity, lane: _, event, body } = verdict;
        Self {
            seq: seq.0,
            judge: judge.clone(),
            source: subject.source.clone(),
            device: subject.device.clone(),
            signal: subject.signal.clone(),
            captured: times.captured.map(to_rfc3339),
            clock: (times.clock != DeviceClock::Absent).then_some(times.clock),
            received: to_rfc3339(times.received),
            decided: to_rfc3339(times.decided),
            detector: *detector,
            model: model
                .as_ref()
                .map(|Model { name, version }| TwinModel { name: name.clone(), version: version.clone() }),
            severity: *severity,
            event: event.map(|event| TwinEvent {
                id: event.id.to_string(),
                state: event.state,
                since: to_rfc3339(event.since),
                lasted_s: seconds(event.lasted_ms),
            }),
            body: TwinBody::of(body),
        }
    }

    fn into_verdict(self, lane: Lane) -> Result<(Seq, Verdict), WireError> {
        let captured = self.captured.map(|text| time(&text, "captured")).transpose()?;
        let clock = match (captured, self.clock) {
            (Some(_), Some(clock @ (DeviceClock::Trusted | DeviceClock::Skewed))) => clock,
            (None, None) => DeviceClock::Absent,
            _ => return Err(WireError::Clock),
        };
        let event = match self.event {
            Some(event) => Some(Event {
                id: EventId(identity(&event.id, "event id")?),
                state: event.state,
                since: time(&event.since, "event since")?,
                lasted_ms: millis(event.lasted_s, "event lasted")?,
            }),
            None => None,
        };
        let verdict = Verdict {
            judge: self.judge,
            subject: Subject { source: self.source, device: self.device, signal: self.signal },
            times: Times {
                captured,
                clock,
                received: time(&self.received, "received")?,
                decided: time(&self.decided, "decided")?,
            },
            detector: self.detector,
            model: self.model.map(|TwinModel { name, version }| Model { name, version }),
            severity: self.severity,
            lane,
            event,
            body: self.body.into_body()?,
        };
        Ok((Seq(self.seq), verdict))
    }
}

impl TwinBody {
    fn of(body: &Body) -> Self {
        let empty = |kind| Self {
            kind,
            anomaly: None,
            counts: None,
            health: None,
            classification: None,
            detections: None,
        };
        match body {
            Body::Anomaly(anomaly) => Self {
                anomaly: Some(TwinAnomaly {
                    member: anomaly.member,
                    observed: anomaly.observed,
                    expected: TwinExpected::of(anomaly.expected),
                    p_value: anomaly.p_value,
                    unit: anomaly.unit.clone(),
                }),
                ..empty(Kind::Anomaly)
            },
            Body::Counts(counts) => Self {
                counts: Some(TwinCounts {
                    from: to_rfc3339(counts.from),
                    length_s: seconds(counts.length_ms),
                    observed_s: seconds(counts.observed_ms),
                    partial: counts.partial,
                    readings: counts.readings,
                    vehicles: counts.vehicles,
                    flow_per_hour: counts.flow_per_hour,
                    occupancy: counts.occupancy,
                    mean_speed: counts.mean_speed,
                }),
                ..empty(Kind::Counts)
            },
            Body::Health(health) => Self {
                health: Some(TwinHealth {
                    cause: health.cause,
                    observed: health.observed,
                    expected: TwinExpected::of(health.expected),
                }),
                ..empty(Kind::Health)
            },
            Body::Classification(view) => {
                Self { classification: Some(TwinClassification::of(view)), ..empty(Kind::Classification) }
            }
            Body::Detections(view) => {
                Self { detections: Some(TwinDetections::of(view)), ..empty(Kind::Detections) }
            }
        }
    }

    fn into_body(self) -> Result<Body, WireError> {
        let Self { kind, anomaly, counts, health, classification, detections } = self;
        let bodies = [
            anomaly.is_some(),
            counts.is_some(),
            health.is_some(),
            classification.is_some(),
            detections.is_some(),
        ];
        let found = bodies.into_iter().filter(|there| *there).count();
        let body = match kind {
            Kind::Anomaly => anomaly.map(TwinAnomaly::into_body).ok_or("anomaly"),
            Kind::Counts => counts.map(TwinCounts::into_body).transpose()?.ok_or("counts"),
            Kind::Health => health.map(TwinHealth::into_body).ok_or("health"),
            Kind::Classification => {
                classification.map(TwinClassification::into_body).transpose()?.ok_or("classification")
            }
            Kind::Detections => detections.map(TwinDetections::into_body).transpose()?.ok_or("detections"),
        };
        match body {
            Err(field) => Err(WireError::Missing { field }),
            Ok(_) if found > 1 => Err(WireError::Bodies { found }),
            Ok(body) => Ok(body),
        }
    }
}

impl TwinAnomaly {
    fn into_body(self) -> Body {
        Body::Anomaly(Anomaly {
            member: self.member,
            observed: self.observed,
            expected: self.expected.into_expected(),
            p_value: self.p_value,
            unit: self.unit,
        })
    }
}

impl TwinCounts {
    fn into_body(self) -> Result<Body, WireError> {
        Ok(Body::Counts(Counts {
            from: time(&self.from, "counted from")?,
            length_ms: millis(self.length_s, "length")?,
            observed_ms: millis(self.observed_s, "observed")?,
            partial: self.partial,
            readings: self.readings,
            vehicles: self.vehicles,
            flow_per_hour: self.flow_per_hour,
            occupancy: self.occupancy,
            mean_speed: self.mean_speed,
        }))
    }
}

impl TwinHealth {
    fn into_body(self) -> Body {
        let Self { cause, observed, expected } = self;
        Body::Health(Health { cause, observed, expected: expected.into_expected() })
    }
}

impl TwinClassification {
    fn of(view: &Classification) -> Self {
        let scored = |one: &Scored| TwinScored { label: one.label.clone(), score: one.score.as_f64() };
        Self { labels: view.labels.iter().map(scored).collect() }
    }

    fn into_body(self) -> Result<Body, WireError> {
        let scored =
            |one: TwinScored| Ok::<_, WireError>(Scored { label: one.label, score: score(one.score)? });
        let labels = self.labels.into_iter().map(scored).collect::<Result<_, _>>()?;
        Ok(Body::Classification(Classification { labels }))
    }
}

impl TwinDetections {
    fn of(view: &Detections) -> Self {
        let object = |one: &Detection| TwinObject {
            label: one.label.clone(),
            score: one.score.as_f64(),
            area: one.area,
            track: one.track,
        };
        Self { width: view.width, height: view.height, objects: view.objects.iter().map(object).collect() }
    }

    fn into_body(self) -> Result<Body, WireError> {
        let object = |one: TwinObject| {
            let TwinObject { label, score: found, area, track } = one;
            Ok::<_, WireError>(Detection { label, score: score(found)?, area, track })
        };
        let objects = self.objects.into_iter().map(object).collect::<Result<_, _>>()?;
        Ok(Body::Detections(Detections { width: self.width, height: self.height, objects }))
    }
}

fn score(found: f64) -> Result<Score, WireError> {
    Score::new(crate::number::to_single(found)).ok_or(WireError::NotAScore)
}

impl TwinExpected {
    fn of(expected: Expected) -> Self {
        Self { low: expected.low, high: expected.high }
    }

    fn into_expected(self) -> Expected {
        Expected { low: self.low, high: self.high }
    }
}

fn time(text: &str, field: &'static str) -> Result<UtcMillis, WireError> {
    from_rfc3339(text).ok_or(WireError::NotATime { field })
}

/// Exact up to 2^53 ms, which is far beyond any span that a gateway measures.
fn seconds(millis: u64) -> f64 {
    crate::number::from_u64(millis).unwrap_or(9_007_199_254_740_992.0) / 1000.0
}

fn millis(seconds: f64, field: &'static str) -> Result<u64, WireError> {
    rounded(seconds * 1000.0)
        .and_then(|millis| u64::try_from(millis).ok())
        .ok_or(WireError::NotASpan { field })
}

/// 16 bytes in 32 hexadecimal digits.
fn identity(hex: &str, field: &'static str) -> Result<[u8; 16], WireError> {
    let wrong = || WireError::NotAnIdentity { field };
    if hex.len() != 32 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    u128::from_str_radix(hex, 16).map(u128::to_be_bytes).map_err(|_| wrong())
}
