//! The JSON twin: the same messages for people and Node-RED. Names instead of numbers, dates instead of
//! distances, everything else the same.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use verge_domain::finding::{Expected, Member};
use verge_domain::id::{
    DeviceId, Epoch, EventId, GatewayId, Identity, JudgeId, Lane, Seq, SignalId, SourceId, Unit,
};
use verge_domain::stage::{Envelope, StoredRow};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    Anomaly, Body, Counts, Detector, Event, EventState, Health, Severity, Subject, Times, Verdict,
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
    severity: Severity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<TwinEvent>,
    #[serde(flatten)]
    body: TwinBody,
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
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Anomaly,
    Counts,
    Health,
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
        let Verdict { judge, subject, times, detector, severity, lane: _, event, body } = verdict;
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
        let empty = |kind| Self { kind, anomaly: None, counts: None, health: None };
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
        }
    }

    fn into_body(self) -> Result<Body, WireError> {
        let bodies = [self.anomaly.is_some(), self.counts.is_some(), self.health.is_some()];
        let found = bodies.into_iter().filter(|there| *there).count();
        match (self.kind, self.anomaly, self.counts, self.health) {
            (Kind::Anomaly, Some(anomaly), None, None) => Ok(Body::Anomaly(Anomaly {
                member: anomaly.member,
                observed: anomaly.observed,
                expected: anomaly.expected.into_expected(),
                p_value: anomaly.p_value,
                unit: anomaly.unit,
            })),
            (Kind::Counts, None, Some(counts), None) => Ok(Body::Counts(Counts {
                from: time(&counts.from, "counted from")?,
                length_ms: millis(counts.length_s, "length")?,
                observed_ms: millis(counts.observed_s, "observed")?,
                partial: counts.partial,
                readings: counts.readings,
                vehicles: counts.vehicles,
                flow_per_hour: counts.flow_per_hour,
                occupancy: counts.occupancy,
                mean_speed: counts.mean_speed,
            })),
            (Kind::Health, None, None, Some(health)) => Ok(Body::Health(Health {
                cause: health.cause,
                observed: health.observed,
                expected: health.expected.into_expected(),
            })),
            (Kind::Anomaly, None, ..) => Err(WireError::Missing { field: "anomaly" }),
            (Kind::Counts, _, None, _) => Err(WireError::Missing { field: "counts" }),
            (Kind::Health, .., None) => Err(WireError::Missing { field: "health" }),
            _ => Err(WireError::Bodies { found }),
        }
    }
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
