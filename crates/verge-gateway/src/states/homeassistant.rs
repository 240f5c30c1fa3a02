//! Discovery by Home Assistant: one retained message per device, with all its entities.
//!
//! Source: Home Assistant, MQTT integration, "device discovery payload". An entity is removed by a component that has nothing
//! but its platform, a device by an empty message.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use verge_domain::id::{DeviceId, GatewayId};
use verge_domain::image::{PointContent, PointSelector};

use super::{EXPIRE_AFTER, text};

/// Takes the announcements of all devices of anyone.
pub(super) const FILTER: &str = "homeassistant/device/+/config";

/// Whether a topic may be an announcement of this gateway.
pub(crate) fn is_ours(topic: &str, gateway: &GatewayId) -> bool {
    topic.strip_prefix("homeassistant/device/").is_some_and(|id| id.starts_with(&id_of(gateway, "")))
}

/// What is announced of each device.
#[derive(Debug)]
pub(super) struct Discovery {
    root: String,
    gateway: GatewayId,
    announced: HashMap<DeviceId, Map<String, Value>>,
}

impl Discovery {
    pub(super) fn new(root: &str, gateway: &GatewayId) -> Self {
        Self { root: root.to_owned(), gateway: gateway.clone(), announced: HashMap::new() }
    }

    fn topic_of(&self, device: &DeviceId) -> String {
        format!("homeassistant/device/{}/config", id_of(&self.gateway, device.as_str()))
    }

    /// Takes up what an earlier run has announced. `None`: the topic is no announcement; `Some(None)`: it is somebody else's.
    pub(super) fn earlier(&mut self, topic: &str, payload: &[u8]) -> Option<Option<DeviceId>> {
        if !is_ours(topic, &self.gateway) {
            return None;
        }
        let config: Value = serde_json::from_slice(payload).unwrap_or_default();
        // Names of gateways and devices share the identifier: what is ours has our topic.
        let named = config.get("device").and_then(|device| text(device, "name"));
        let device = named.and_then(|name| DeviceId::new(name).ok());
        let is_own = config.pointer("/availability/0/topic").and_then(Value::as_str) == Some(&self.root);
        let Some(device) = device.filter(|device| is_own && self.topic_of(device) == topic) else {
            return Some(None);
        };
        if let Some(Value::Object(components)) = config.get("components") {
            self.announced.insert(device.clone(), components.clone());
        }
        Some(Some(device))
    }

    /// What is to be retained about a device with these points: selector, topic, and values that are sensors.
    pub(super) fn announce<'a>(
        &mut self,
        device: &DeviceId,
        points: impl Iterator<Item = (&'a PointSelector, &'a str, &'a [String])>,
    ) -> Option<(Arc<str>, Bytes)> {
        let before = self.announced.remove(device).unwrap_or_default();
        let mut components = BTreeMap::new();
        for (selector, topic, sensors) in points {
            let name = name_of(selector);
            if selector.content == PointContent::Events {
                components.insert(key_of(&self.root, topic, ""), self.problem(&name, topic));
                continue;
            }
            for sensor in sensors {
                let component = self.sensor(&format!("{name} {sensor}"), topic, sensor);
                components.insert(key_of(&self.root, topic, sensor), component);
            }
            if sensors.is_empty() {
                // Nothing is known since the restart: what was announced before stays.
                let of_point = |component: &Value| text(component, "state_topic") == Some(topic);
                let kept = before.iter().filter(|(_, component)| of_point(component));
                components.extend(kept.map(|(key, component)| (key.clone(), component.clone())));
            }
        }
        let topic: Arc<str> = self.topic_of(device).into();
        if components.is_empty() {
            return Some((topic, Bytes::new()));
        }
        for (key, component) in &before {
            if !components.contains_key(key)
                && let Some(platform) = component.get("platform")
            {
                components.insert(key.clone(), json!({ "platform": platform }));
            }
        }
        let components: Map<String, Value> = components.into_iter().collect();
        let version = env!("CARGO_PKG_VERSION");
        let config = json!({
            "device": {
                "identifiers": [id_of(&self.gateway, device.as_str())],
                "name": device.as_str(),
                "manufacturer": "Verge",
                "model": format!("judged by {}", self.gateway),
                "sw_version": version,
            },
            "origin": { "name": "Verge", "sw_version": version },
            "availability": [{ "topic": self.root }],
            "qos": 1,
            "components": components,
        });
        self.announced.insert(device.clone(), components);
        Some((topic, Bytes::from(config.to_string())))
    }

    /// Whether an event is open.
    fn problem(&self, name: &str, topic: &str) -> Value {
        let mut component = self.component("binary_sensor", name, topic, "");
        component["device_class"] = "problem".into();
        component["value_template"] = "{{ 'ON' if value_json.active else 'OFF' }}".into();
        component["json_attributes_topic"] = topic.into();
        component
    }

    fn sensor(&self, name: &str, topic: &str, value: &str) -> Value {
        let mut component = self.component("sensor", name, topic, value);
        component["value_template"] = format!("{{{{ value_json['{value}'] }}}}").into();
        if value != "label" {
            component["state_class"] = "measurement".into();
        }
        if value == "flow" {
            component["unit_of_measurement"] = "veh/h".into();
        }
        component
    }

    fn component(&self, platform: &str, name: &str, topic: &str, value: &str) -> Value {
        let identity = if value.is_empty() { topic.to_owned() } else { format!("{topic}#{value}") };
        json!({
            "platform": platform,
            "name": name,
            "unique_id": identity,
            "state_topic": topic,
            "expire_after": EXPIRE_AFTER.as_secs(),
            "availability_mode": "all",
            "availability": [
                { "topic": self.root },
                {
                    "topic": topic,
                    "value_template": "{{ 'offline' if value_json.quality in ['never', 'stale'] else 'online' }}",
                },
            ],
        })
    }
}

fn name_of(PointSelector { judge, signal, strand, .. }: &PointSelector) -> String {
    let signal = signal.as_ref().map(|signal| format!(" {signal}")).unwrap_or_default();
    let strand = strand.map(|strand| format!(" {}", strand.as_str())).unwrap_or_default();
    format!("{judge}{signal}{strand}")
}

/// The key of a component: what its topic has behind the device.
fn key_of(root: &str, topic: &str, value: &str) -> String {
    let behind =
        topic.strip_prefix(root).and_then(|rest| rest.split_once('/')).map_or(topic, |(_, rest)| rest);
    let path = behind.split_once('/').map_or(behind, |(_, path)| path);
    if value.is_empty() { plain(path) } else { format!("{}-{}", plain(path), plain(value)) }
}

/// The identifier of a device: letters, digits, `-` and `_`.
fn id_of(gateway: &GatewayId, device: &str) -> String {
    format!("verge-{}--{}", plain(gateway.as_str()), plain(device))
}

fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' => plain.push(letter),
            '/' => plain.push('_'),
            // So that two names stay two.
            other => plain += &format!("_{:x}_", u32::from(other)),
        }
    }
    plain
}
