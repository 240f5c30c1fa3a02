//! The message of a point: JSON, flat, with the names of Sparkplug's metrics.

use bytes::Bytes;
use serde_json::{Map, Value};
use verge_domain::board::{LastWord, PointKind};
use verge_domain::id::{DeviceId, GatewayId, JudgeId, SignalId};
use verge_domain::image::{AlarmState, Image, PointContent, PointKey, PointQuality, PointSelector};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, Verdict};
use verge_sparkplug::{NamedValue, TagValue, metric_names, time_of, values_of};
use verge_wire::to_rfc3339;

use super::{kind_word, text};

/// Values that are no sensors: they say how far the others hold.
const BESIDE: [&str; 3] = ["from", "observed_s", "partial"];

pub(super) fn point_message(
    gateway: &GatewayId,
    selector: &PointSelector,
    image: &Image,
    index: usize,
    (quality, alarm): (PointQuality, AlarmState),
) -> Bytes {
    let mut message = Map::new();
    let mut put = |key: &str, value: Value| message.insert(key.to_owned(), value);
    put("gateway", gateway.as_str().into());
    put("device", selector.device.as_str().into());
    put("judge", selector.judge.as_str().into());
    if let Some(signal) = &selector.signal {
        put("signal", signal.as_str().into());
    }
    if let Some(strand) = selector.strand {
        put("strand", strand.as_str().into());
    }
    put("kind", kind_word(selector.content).into());
    put("quality", quality.as_str().into());
    // What may be acted on: neither old nor of before a restart.
    put("fresh", (quality == PointQuality::Good).into());
    if selector.content == PointContent::Events {
        put("alarm", alarm.as_str().into());
    }
    let point = image.points().get(index);
    let word = point.and_then(|point| match selector.content {
        PointContent::Events => point.event.as_deref(),
        PointContent::Counts => point.counts.as_deref(),
        PointContent::Views => point.view.as_deref(),
    });
    match word {
        Some(LastWord { verdict, seq, .. }) => {
            let at = i64::try_from(time_of(verdict)).unwrap_or(i64::MAX);
            put("time", to_rfc3339(UtcMillis(at)).into());
            put("lane", verdict.lane.as_str().into());
            put("seq", seq.map_or(Value::Null, |seq| seq.0.into()));
            for NamedValue { name, value, unit, .. } in values_of(verdict, Some(Some(image.raised(index)))) {
                if name == "observed"
                    && let Some(unit) = unit
                {
                    put("unit", unit.as_str().into());
                }
                put(&name, value.map_or(Value::Null, json_of));
            }
            put("severity", verdict.severity.as_str().into());
        }
        None => {
            put("time", Value::Null);
            let kind = match (selector.content, selector.strand) {
                (PointContent::Events, Some(strand)) => PointKind::Events(strand),
                (PointContent::Counts, _) => PointKind::Counts,
                _ => PointKind::View,
            };
            for (name, _) in metric_names(kind) {
                put(name, Value::Null);
            }
            if selector.content == PointContent::Events {
                // Events that are open are restored: this one is over.
                put("active", false.into());
                put("events", image.raised(index).into());
            }
        }
    }
    serde_json::to_vec(&Value::Object(message)).map_or_else(|_| Bytes::new(), Bytes::from)
}

fn json_of(value: TagValue) -> Value {
    match value {
        TagValue::Boolean(value) => value.into(),
        TagValue::Int32(value) => value.into(),
        TagValue::UInt32(value) => value.into(),
        TagValue::Double(value) => value.into(),
        TagValue::Text(value) => value.into(),
        TagValue::Time(at) => to_rfc3339(UtcMillis(i64::try_from(at).unwrap_or(i64::MAX))).into(),
    }
}

/// The values of a verdict that are sensors by themselves.
pub(super) fn sensors_of(verdict: &Verdict) -> Vec<String> {
    match &verdict.body {
        Body::Anomaly(_) | Body::Health(_) => Vec::new(),
        Body::Classification(_) => ["label", "score"].map(ToOwned::to_owned).to_vec(),
        Body::Detections(_) => vec!["objects".to_owned()],
        Body::Counts(_) | Body::Traffic(_) => {
            let values = values_of(verdict, None).into_iter().map(|value| value.name.into_owned());
            values.filter(|name| !BESIDE.contains(&name.as_str())).collect()
        }
    }
}

/// Of counts and views: whose message this is.
pub(super) fn identity_of(message: &[u8]) -> Option<PointKey> {
    let message: Value = serde_json::from_slice(message).ok()?;
    let kind = match text(&message, "kind")? {
        "counts" => PointKind::Counts,
        "view" => PointKind::View,
        _ => return None,
    };
    let signal = text(&message, "signal").map(SignalId::new).transpose().ok()?;
    let judge = JudgeId::new(text(&message, "judge")?).ok()?;
    Some((judge, DeviceId::new(text(&message, "device")?).ok()?, signal, kind))
}
