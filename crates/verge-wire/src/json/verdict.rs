//! One verdict.

use serde::{Deserialize, Serialize};
use verge_domain::id::{DeviceId, EventId, JudgeId, Lane, ModelName, Seq, SignalId, SourceId};
use verge_domain::time::DeviceClock;
use verge_domain::verdict::{Detector, Event, EventState, Model, Severity, Subject, Times, Verdict};

use super::body::TwinBody;
use super::{identity, time};
use crate::WireError;
use crate::number::{millis, seconds};
use crate::time::to_rfc3339;

#[derive(Serialize, Deserialize)]
pub(super) struct TwinVerdict {
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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    estimated: bool,
    /// Follows from the times, for readers who do not reckon with dates.
    #[serde(skip_deserializing)]
    age_ms: u64,
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

impl TwinVerdict {
    pub(super) fn of(seq: Seq, verdict: &Verdict) -> Self {
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
            estimated: times.estimated,
            age_ms: age_at_decision(*times),
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

    pub(super) fn into_verdict(self, lane: Lane) -> Result<(Seq, Verdict), WireError> {
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
                lasted_ms: span(event.lasted_s, "event lasted")?,
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
                estimated: self.estimated,
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

/// How old the observation was when it was decided on, by the device's clock where that is trusted; zero where
/// the clocks say that it was not yet made.
fn age_at_decision(times: Times) -> u64 {
    let observed = match (times.clock, times.captured) {
        (DeviceClock::Trusted, Some(captured)) => captured,
        _ => times.received,
    };
    u64::try_from(times.decided.since(observed).as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn span(seconds: f64, field: &'static str) -> Result<u64, WireError> {
    millis(seconds).ok_or(WireError::NotASpan { field })
}
