//! What a site says, as JSON. All values are texts, save where the protocol has others.

use serde_json::{Value, json};
use verge_domain::time::UtcMillis;

use super::alarms::AlarmView;
use super::settings::{SiteComponent, SiteSettings};
use crate::time::timestamp;

/// A message and its identifier.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) content: Value,
}

/// What an alarm message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlarmSays {
    /// It has become active or inactive, or how it stands.
    Issue,
    /// It was acknowledged.
    Acknowledge,
    /// It was suspended or resumed.
    Suspend,
}

/// A random identifier (UUID version 4). A message that is sent again has another.
pub(super) fn message_id(random: &mut fastrand::Rng) -> String {
    let bits = random.u128(..) & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Adds what every message has.
fn message(kind: &str, id: String, mut content: Value) -> Message {
    content["mType"] = "rSMsg".into();
    content["type"] = kind.into();
    content["mId"] = id.clone().into();
    Message { id, content }
}

/// The same of a component.
fn of_component(kind: &str, id: String, component: &str, mut content: Value) -> Message {
    content["ntsOId"] = "".into();
    content["xNId"] = "".into();
    content["cId"] = component.into();
    message(kind, id, content)
}

pub(super) fn ack(id: &str) -> Value {
    json!({"mType": "rSMsg", "type": "MessageAck", "oMId": id})
}

pub(super) fn not_ack(id: &str, reason: &str) -> Value {
    json!({"mType": "rSMsg", "type": "MessageNotAck", "oMId": id, "rea": reason})
}

pub(super) fn version(id: String, site: &SiteSettings) -> Message {
    let versions: Vec<Value> = site.versions.iter().map(|version| json!({"vers": version})).collect();
    message("Version", id, json!({"RSMP": versions, "siteId": [{"sId": site.site}], "SXL": site.sxl}))
}

pub(super) fn watchdog(id: String, now: UtcMillis) -> Message {
    message("Watchdog", id, json!({"wTs": timestamp(now)}))
}

/// `states`: the eight bits of the protocol, the first of which it counts as 1.
pub(super) fn aggregated_status(id: String, main: &str, states: [bool; 8], at: UtcMillis) -> Message {
    let content = json!({"aSTS": timestamp(at), "fP": null, "fS": null, "se": states});
    of_component("AggregatedStatus", id, main, content)
}

pub(super) fn alarm(
    id: String,
    site: &SiteSettings,
    says: AlarmSays,
    shown: &AlarmView,
    at: UtcMillis,
) -> Message {
    let AlarmView { place, active, acknowledged, suspended, .. } = shown;
    let component = place.component.and_then(|index| site.components.get(index));
    let content = json!({
        "aCId": place.code.as_str(),
        "xACId": "",
        "xNACId": "",
        "aSp": match says {
            AlarmSays::Issue => "Issue",
            AlarmSays::Acknowledge => "Acknowledge",
            AlarmSays::Suspend => "Suspend",
        },
        "ack": if *acknowledged { "Acknowledged" } else { "notAcknowledged" },
        "aS": if *active { "Active" } else { "inActive" },
        "sS": if *suspended { "suspended" } else { "notSuspended" },
        "aTs": timestamp(at),
        "cat": "D",
        "pri": place.code.priority().to_string(),
        "rvs": component.map_or_else(Vec::new, |component| return_values(component, shown)),
    });
    of_component("Alarm", id, component.map_or(&site.main, |component| &component.id), content)
}

fn return_values(component: &SiteComponent, shown: &AlarmView) -> Vec<Value> {
    let mut values = vec![
        json!({"n": "detector", "v": component.detector}),
        json!({"n": "type", "v": component.kind.as_str()}),
        json!({"n": "errormode", "v": component.error_mode.as_str()}),
        json!({"n": "manual", "v": "False"}),
    ];
    if shown.place.code.is_logic() {
        values.push(json!({"n": "logicerror", "v": shown.logic.as_str()}));
    }
    values
}

/// One value of a status.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StatusValue {
    pub(super) code: String,
    pub(super) name: String,
    /// `None`: nothing is known.
    pub(super) value: Option<String>,
    pub(super) quality: &'static str,
}

/// An answer to a request, or an update of a subscription.
pub(super) fn status(
    id: String,
    is_update: bool,
    component: &str,
    values: &[StatusValue],
    at: UtcMillis,
) -> Message {
    let value = |one: &StatusValue| json!({"sCI": one.code, "n": one.name, "s": one.value, "q": one.quality});
    let content = json!({"sTs": timestamp(at), "sS": values.iter().map(value).collect::<Vec<_>>()});
    of_component(if is_update { "StatusUpdate" } else { "StatusResponse" }, id, component, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_of_version_4_and_differ() {
        let mut random = fastrand::Rng::with_seed(7);
        let ids: std::collections::BTreeSet<String> = (0..1000).map(|_| message_id(&mut random)).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let parts: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
            assert_eq!(&id[14..15], "4", "{id}");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }
}
