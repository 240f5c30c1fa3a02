//! From verdicts to metrics: names, types and values. `docs/sparkplug.md` holds the whole map.

use std::borrow::Cow;

use verge_domain::board::PointKind;
use verge_domain::id::{JudgeId, SignalId, Unit};
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    Body, Counts, DirectionCounts, Event, EventState, Traffic, Verdict, ZoneMeasures,
};

use crate::names::metric_part;
use crate::payload::{DataType, MetricValue};

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum TagValue {
    /// Yes or no.
    Boolean(bool),
    /// A small number.
    Int32(i32),
    /// A count.
    UInt32(u32),
    /// A measure.
    Double(f64),
    /// Text.
    Text(String),
    /// A time (UTC ms).
    Time(u64),
}

impl TagValue {
    pub(crate) fn wire(&self) -> MetricValue {
        match self {
            Self::Boolean(value) => MetricValue::Boolean(*value),
            Self::Int32(value) => MetricValue::Int(value.cast_unsigned()),
            Self::UInt32(value) => MetricValue::Int(*value),
            Self::Time(value) => MetricValue::Long(*value),
            Self::Double(value) => MetricValue::Double(*value),
            Self::Text(value) => MetricValue::Text(value.clone()),
        }
    }
}

/// What a verdict says about one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedValue {
    /// Behind the prefix of its point.
    pub name: Cow<'static, str>,
    /// Its type.
    pub datatype: DataType,
    /// The value, if there is one.
    pub value: Option<TagValue>,
    /// Its unit, where it has one.
    pub unit: Option<Unit>,
}

/// What the metrics of a point begin with.
pub(crate) fn prefix(judge: &JudgeId, signal: Option<&SignalId>, kind: PointKind) -> String {
    let mut prefix = metric_part(judge.as_str());
    if let Some(signal) = signal {
        prefix = format!("{prefix}/{}", metric_part(signal.as_str()));
    }
    if let PointKind::Events(member) = kind {
        prefix = format!("{prefix}/{}", member.as_str());
    }
    prefix
}

/// The time that a verdict is about: of the device where its clock is trusted, else of receipt; of an interval its end.
#[must_use]
pub fn time_of(verdict: &Verdict) -> u64 {
    let times = &verdict.times;
    let of_interval = |from: UtcMillis, length: u64| from.0.saturating_add_unsigned(length);
    let at = match &verdict.body {
        Body::Counts(counts) => of_interval(counts.from, counts.length_ms),
        Body::Traffic(traffic) => of_interval(traffic.from, traffic.length_ms),
        _ => times.captured.filter(|_| times.clock == DeviceClock::Trusted).unwrap_or(times.received).0,
    };
    millis(UtcMillis(at))
}

pub(crate) fn millis(at: UtcMillis) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

/// The metrics of a verdict. `events`: what to say of the events raised so far at its point, if anything.
#[must_use]
pub fn values_of(verdict: &Verdict, events: Option<Option<u32>>) -> Vec<NamedValue> {
    let mut list = ValueList::default();
    match &verdict.body {
        Body::Anomaly(anomaly) => {
            list.event(verdict);
            let unit = anomaly.unit.as_ref();
            list.double("observed", Some(anomaly.observed), unit);
            list.double("expected_low", anomaly.expected.low, unit);
            list.double("expected_high", anomaly.expected.high, unit);
            list.double("p_value", anomaly.p_value, None);
            list.text("member", Some(anomaly.member.as_str().to_owned()));
            list.raised(events);
        }
        Body::Health(health) => {
            list.event(verdict);
            list.double("observed", Some(health.observed), None);
            list.double("expected_low", health.expected.low, None);
            list.double("expected_high", health.expected.high, None);
            list.double("p_value", None, None);
            list.text("member", Some(health.cause.as_str().to_owned()));
            list.raised(events);
        }
        Body::Counts(counts) => list.counts(counts),
        Body::Traffic(traffic) => list.traffic(traffic),
        Body::Classification(classification) => {
            let best = classification.labels.first();
            list.text("label", best.map(|best| best.label.to_string()));
            list.double("score", best.map(|best| best.score.as_f64()), None);
        }
        Body::Detections(detections) => {
            let objects = &detections.objects;
            list.unsigned("objects", Some(objects.len() as u64));
            let mut labels: Vec<_> = objects.iter().map(|object| &object.label).collect();
            labels.sort_unstable();
            for label in labels.chunk_by(|one, other| one == other) {
                let name = format!("count/{}", metric_part(label[0].as_str()));
                list.unsigned(name, Some(label.len() as u64));
            }
        }
    }
    list.0
}

/// The names and types of the metrics of a kind of point that are known before its first verdict.
#[must_use]
pub fn metric_names(kind: PointKind) -> &'static [(&'static str, DataType)] {
    use DataType::{Boolean, DateTime, Double, Int32, Text, UInt32};
    match kind {
        PointKind::Events(_) => &[
            ("active", Boolean),
            ("severity", Int32),
            ("since", DateTime),
            ("event", Text),
            ("acknowledged", Boolean),
            ("shelved", Boolean),
            ("observed", Double),
            ("expected_low", Double),
            ("expected_high", Double),
            ("p_value", Double),
            ("member", Text),
            ("events", UInt32),
        ],
        PointKind::Counts => &[
            ("from", DateTime),
            ("observed_s", Double),
            ("partial", Boolean),
            ("vehicles", UInt32),
            ("flow", Double),
            ("occupancy", Double),
            ("speed", Double),
        ],
        PointKind::View => &[],
    }
}

#[derive(Default)]
struct ValueList(Vec<NamedValue>);

impl ValueList {
    fn push(&mut self, name: impl Into<Cow<'static, str>>, datatype: DataType, value: Option<TagValue>) {
        self.0.push(NamedValue { name: name.into(), datatype, value, unit: None });
    }

    fn double(&mut self, name: impl Into<Cow<'static, str>>, value: Option<f64>, unit: Option<&Unit>) {
        self.push(name, DataType::Double, value.map(TagValue::Double));
        if let Some(last) = self.0.last_mut() {
            last.unit = unit.cloned();
        }
    }

    fn unsigned(&mut self, name: impl Into<Cow<'static, str>>, value: Option<u64>) {
        let value = value.map(|value| TagValue::UInt32(u32::try_from(value).unwrap_or(u32::MAX)));
        self.push(name, DataType::UInt32, value);
    }

    fn boolean(&mut self, name: &'static str, value: Option<bool>) {
        self.push(name, DataType::Boolean, value.map(TagValue::Boolean));
    }

    fn text(&mut self, name: &'static str, value: Option<String>) {
        self.push(name, DataType::Text, value.map(TagValue::Text));
    }

    fn time(&mut self, name: &'static str, value: Option<UtcMillis>) {
        self.push(name, DataType::DateTime, value.map(|at| TagValue::Time(millis(at))));
    }

    fn event(&mut self, verdict: &Verdict) {
        let event: Option<&Event> = verdict.event.as_ref();
        self.boolean("active", event.map(|event| event.state != EventState::Cleared));
        let severity = TagValue::Int32(i32::from(verdict.severity as u8));
        self.push("severity", DataType::Int32, Some(severity));
        self.time("since", event.map(|event| event.since));
        self.text("event", event.map(|event| event.id.to_string()));
        self.boolean("acknowledged", event.map(|event| event.handling.acknowledged.is_some()));
        self.boolean("shelved", event.map(|event| event.handling.shelved.is_some()));
    }

    fn raised(&mut self, events: Option<Option<u32>>) {
        if let Some(events) = events {
            self.push("events", DataType::UInt32, events.map(TagValue::UInt32));
        }
    }

    fn interval(&mut self, from: UtcMillis, observed_ms: u64, partial: bool) {
        self.time("from", Some(from));
        self.double("observed_s", Some(seconds(observed_ms)), None);
        self.boolean("partial", Some(partial));
    }

    fn counts(&mut self, counts: &Counts) {
        self.interval(counts.from, counts.observed_ms, counts.partial);
        self.unsigned("vehicles", counts.vehicles);
        self.double("flow", counts.flow_per_hour, None);
        self.double("occupancy", counts.occupancy, None);
        self.double("speed", counts.mean_speed, None);
    }

    fn traffic(&mut self, traffic: &Traffic) {
        self.interval(traffic.from, traffic.observed_ms, !traffic.partial.is_empty());
        self.unsigned("vehicles", traffic.crossings());
        for line in &traffic.lines {
            let name = metric_part(line.line.as_str());
            self.direction(&format!("{name}/forward"), line.forward.as_ref());
            self.direction(&format!("{name}/backward"), line.backward.as_ref());
        }
        for ZoneMeasures { zone, entered, occupancy, mean_speed, queue_max, .. } in &traffic.zones {
            let zone = metric_part(zone.as_str());
            self.unsigned(format!("{zone}/entered"), *entered);
            self.double(format!("{zone}/occupancy"), *occupancy, None);
            self.double(format!("{zone}/speed"), *mean_speed, None);
            self.unsigned(format!("{zone}/queue_max"), *queue_max);
        }
    }

    fn direction(&mut self, name: &str, counted: Option<&DirectionCounts>) {
        self.unsigned(format!("{name}/vehicles"), counted.map(|counted| counted.total));
        let speed = counted.and_then(|counted| counted.mean_speed);
        self.double(format!("{name}/speed"), speed, None);
    }
}

#[expect(clippy::cast_precision_loss, reason = "an interval has far fewer than 2^53 milliseconds")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1e3
}
