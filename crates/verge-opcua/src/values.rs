//! From points to values: types, status codes and times. `docs/opcua.md` holds the whole map.

use std::borrow::Cow;

use opcua::types::{DataTypeId, DataValue, DateTime, StatusCode, Variant};
use verge_domain::board::{LastWord, PointKind};
use verge_domain::image::{GatewayState, Image, PointContent, PointQuality, PointSelector, PointStanding};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Severity;
use verge_sparkplug::payload::DataType;
use verge_sparkplug::{NamedValue, TagValue, metric_names, time_of, values_of};

/// Milliseconds between 1601, with which times of OPC UA begin, and 1970.
const EPOCH_MS: i64 = 11_644_473_600_000;
const TICKS_PER_MS: i64 = 10_000;

/// A time of ours.
pub(crate) fn date_time(at: UtcMillis) -> DateTime {
    DateTime::from(at.0.saturating_add(EPOCH_MS).saturating_mul(TICKS_PER_MS))
}

/// A severity (part 5 gives numbers from 1 to 1000): low ends at 333, high begins at 667.
pub(crate) const fn severity_number(severity: Severity) -> u16 {
    match severity {
        Severity::Info => 100,
        Severity::Warning => 500,
        Severity::Critical => 900,
    }
}

/// What quality is as a status code (part 8).
pub(crate) const fn status_of(quality: PointQuality) -> StatusCode {
    match quality {
        PointQuality::Never => StatusCode::BadWaitingForInitialData,
        PointQuality::Good => StatusCode::Good,
        PointQuality::Uncertain | PointQuality::Stale => StatusCode::UncertainLastUsableValue,
    }
}

/// A variable of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NodeValue {
    pub(crate) name: Cow<'static, str>,
    pub(crate) datatype: DataTypeId,
    /// `None`: it has none now.
    pub(crate) value: Option<Variant>,
}

impl NodeValue {
    fn new(name: &'static str, datatype: DataTypeId, value: impl Into<Variant>) -> Self {
        Self { name: name.into(), datatype, value: Some(value.into()) }
    }
}

/// What the variables of an object say.
#[derive(Debug, Clone)]
pub(crate) struct ObjectValues {
    pub(crate) values: Vec<NodeValue>,
    pub(crate) status: StatusCode,
    /// When what they say was so.
    pub(crate) source: Option<DateTime>,
    /// When it was committed.
    pub(crate) server: Option<DateTime>,
}

impl ObjectValues {
    pub(crate) fn data(&self, value: &NodeValue) -> DataValue {
        DataValue {
            value: Some(value.value.clone().unwrap_or(Variant::Empty)),
            status: Some(self.status),
            source_timestamp: self.source,
            source_picoseconds: None,
            server_timestamp: self.server,
            server_picoseconds: None,
        }
    }
}

/// What a point says.
pub(crate) fn values_of_point(
    image: &Image,
    index: usize,
    selector: &PointSelector,
    (quality, alarm): PointStanding,
) -> ObjectValues {
    let point = image.points().get(index);
    let word = point.and_then(|point| match selector.content {
        PointContent::Events => point.event.as_deref(),
        PointContent::Counts => point.counts.as_deref(),
        PointContent::Views => point.view.as_deref(),
    });
    let raised = image.raised(index);
    let is_of_events = selector.content == PointContent::Events;
    let (mut values, source, server) = match word {
        Some(LastWord { verdict, .. }) => {
            let at = UtcMillis(i64::try_from(time_of(verdict)).unwrap_or(i64::MAX));
            let values = values_of(verdict, is_of_events.then_some(Some(raised)));
            let values = values.into_iter().map(|value| node_value(value, verdict.severity)).collect();
            (values, Some(date_time(at)), Some(date_time(verdict.times.decided)))
        }
        None => (values_before(selector, raised), None, None),
    };
    if is_of_events {
        values.push(NodeValue::new("alarm", DataTypeId::String, alarm.as_str()));
    }
    if quality == PointQuality::Never {
        values.iter_mut().for_each(|value| value.value = None);
    }
    ObjectValues { values, status: status_of(quality), source, server }
}

fn node_value(value: NamedValue, severity: Severity) -> NodeValue {
    if value.name == "severity" {
        return NodeValue::new("severity", DataTypeId::UInt16, severity_number(severity));
    }
    NodeValue { name: value.name, datatype: type_of(value.datatype), value: value.value.map(variant) }
}

/// What a point says before its first verdict. Events that were open were restored: there is none.
fn values_before(selector: &PointSelector, raised: u32) -> Vec<NodeValue> {
    let kind = match (selector.content, selector.strand) {
        (PointContent::Events, Some(strand)) => PointKind::Events(strand),
        (PointContent::Counts, _) => PointKind::Counts,
        _ => PointKind::View,
    };
    let names = metric_names(kind).iter().map(|&(name, datatype)| match name {
        "active" => NodeValue::new(name, DataTypeId::Boolean, false),
        "events" => NodeValue::new(name, DataTypeId::UInt32, raised),
        "severity" => NodeValue { name: name.into(), datatype: DataTypeId::UInt16, value: None },
        _ => NodeValue { name: name.into(), datatype: type_of(datatype), value: None },
    });
    names.collect()
}

const fn type_of(datatype: DataType) -> DataTypeId {
    match datatype {
        DataType::Int32 => DataTypeId::Int32,
        DataType::Int64 => DataTypeId::Int64,
        DataType::UInt32 => DataTypeId::UInt32,
        DataType::UInt64 => DataTypeId::UInt64,
        DataType::Double => DataTypeId::Double,
        DataType::Boolean => DataTypeId::Boolean,
        DataType::Text => DataTypeId::String,
        DataType::DateTime => DataTypeId::DateTime,
    }
}

fn variant(value: TagValue) -> Variant {
    match value {
        TagValue::Boolean(value) => value.into(),
        TagValue::Int32(value) => value.into(),
        TagValue::UInt32(value) => value.into(),
        TagValue::Double(value) => value.into(),
        TagValue::Text(value) => value.into(),
        TagValue::Time(at) => date_time(UtcMillis(i64::try_from(at).unwrap_or(i64::MAX))).into(),
    }
}

/// How the gateway is. The heart rests when judging or committing stalls, although the server answers.
pub(crate) fn values_of_gateway(
    (beats, is_beating): (u32, bool),
    state: &GatewayState,
    points: usize,
    now: UtcMillis,
) -> ObjectValues {
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let words = match (state.storage_fault, state.store_full, is_beating) {
        (true, ..) => "storage fault",
        (_, true, _) => "store full",
        (.., true) => "running",
        (.., false) => "stalled",
    };
    let values = vec![
        NodeValue::new("heartbeat", DataTypeId::UInt32, beats),
        NodeValue::new("state", DataTypeId::String, words),
        NodeValue::new("backlog", DataTypeId::UInt64, state.backlog),
        NodeValue::new("uplink_down", DataTypeId::Boolean, state.uplink_down),
        NodeValue::new("alarms", DataTypeId::UInt32, count(state.standing)),
        NodeValue::new("unacknowledged", DataTypeId::UInt32, count(state.unacknowledged)),
        NodeValue::new("critical", DataTypeId::Boolean, state.critical),
        NodeValue::new("maintenance", DataTypeId::Boolean, state.maintenance),
        NodeValue::new("points", DataTypeId::UInt32, count(points as u64)),
    ];
    let now = Some(date_time(now));
    ObjectValues { values, status: StatusCode::Good, source: now, server: now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_1601() {
        assert_eq!(date_time(UtcMillis(0)).to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(date_time(UtcMillis(1_700_000_000_123)).to_rfc3339(), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn severities_are_low_medium_and_high() {
        assert_eq!(Severity::ALL.map(severity_number), [100, 500, 900]);
    }
}
