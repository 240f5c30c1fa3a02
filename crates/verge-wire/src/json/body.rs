//! What a verdict decided.

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Contribution, Expected, Feedback, Member};
use verge_domain::frame::{Classification, Detection, Detections, PixelBox, Score, Scored};
use verge_domain::id::{Label, SignalId, Unit};
use verge_domain::verdict::{Anomaly, Body, Counts, Health};

use super::time;
use super::verdict::span;
use crate::WireError;
use crate::number::{seconds, to_single};
use crate::time::to_rfc3339;

/// `"kind": "anomaly", "anomaly": {…}`.
#[derive(Serialize, Deserialize)]
pub(super) struct TwinBody {
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    contributions: Vec<TwinContribution>,
    #[serde(default, skip_serializing_if = "no_feedback")]
    feedback: Feedback,
}

#[derive(Serialize, Deserialize)]
struct TwinContribution {
    signal: SignalId,
    share: f64,
    observed: f64,
    #[serde(default, skip_serializing_if = "TwinExpected::is_open")]
    expected: TwinExpected,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn no_feedback(feedback: &Feedback) -> bool {
    feedback.is_empty()
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

impl TwinBody {
    pub(super) fn of(body: &Body) -> Self {
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
                    contributions: anomaly.contributions.iter().map(TwinContribution::of).collect(),
                    feedback: anomaly.feedback,
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

    pub(super) fn into_body(self) -> Result<Body, WireError> {
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
            contributions: self.contributions.into_iter().map(TwinContribution::into_contribution).collect(),
            feedback: self.feedback,
        })
    }
}

impl TwinContribution {
    fn of(contribution: &Contribution) -> Self {
        let Contribution { signal, share, observed, expected } = contribution;
        Self {
            signal: signal.clone(),
            share: *share,
            observed: *observed,
            expected: TwinExpected::of(*expected),
        }
    }

    fn into_contribution(self) -> Contribution {
        let Self { signal, share, observed, expected } = self;
        Contribution { signal, share, observed, expected: expected.into_expected() }
    }
}

impl TwinCounts {
    fn into_body(self) -> Result<Body, WireError> {
        Ok(Body::Counts(Counts {
            from: time(&self.from, "counted from")?,
            length_ms: span(self.length_s, "length")?,
            observed_ms: span(self.observed_s, "observed")?,
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
    Score::new(to_single(found)).ok_or(WireError::NotAScore)
}

impl TwinExpected {
    fn of(expected: Expected) -> Self {
        Self { low: expected.low, high: expected.high }
    }

    fn into_expected(self) -> Expected {
        Expected { low: self.low, high: self.high }
    }
}
