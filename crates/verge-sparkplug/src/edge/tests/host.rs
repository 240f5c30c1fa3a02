//! A broker and a host application that hold what they receive against the rules of the specification.

use std::collections::{BTreeSet, HashMap};

use super::*;

#[derive(Debug, Clone)]
struct HostMetric {
    name: String,
    value: Option<MetricValue>,
    quality: Option<u32>,
    unit: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct ModelHost {
    will: u64,
    seq: Option<u64>,
    aliases: HashMap<u64, (String, usize)>,
    devices: HashMap<String, Vec<HostMetric>>,
    dead: bool,
    pub(super) subscribed: Vec<Vec<String>>,
    pub(super) topics: Vec<String>,
    pub(super) births: u64,
    pub(super) asked: usize,
    pub(super) delivered: Vec<Token>,
    left: Option<Option<String>>,
    /// Device, observed, time.
    pub(super) history: Vec<(String, f64, u64)>,
    pub(super) data: Vec<(String, f64)>,
    pub(super) born_null: Vec<String>,
    born_values: Vec<f64>,
    pub(super) last_metrics: usize,
}

impl ModelHost {
    pub(super) fn connect(&mut self, node: &mut EdgeNode, bd_seq: u8) {
        let (topic, will) = node.connecting(bd_seq);
        let will = SparkplugPayload::decode(&will[..]).unwrap();
        // payloads-ndeath-seq, payloads-ndeath-will-message, topics-ndeath-payload
        assert!(will.seq.is_none() && will.metrics.len() == 1 && topic.contains("/NDEATH/"));
        let Some(MetricValue::Long(number)) = will.metrics[0].value else { panic!("{will:?}") };
        self.will = number;
        node.accepted();
        self.drain(node, at(0));
        node.subscribed();
    }

    pub(super) fn drain(&mut self, node: &mut EdgeNode, now: Moment) {
        while let Some(action) = node.next(now) {
            assert!(!self.dead, "nothing after the death: {action:?}");
            match action {
                EdgeAction::Subscribe(filters) => self.subscribed.push(filters),
                EdgeAction::Confirm(_) => self.asked += 1,
                EdgeAction::Death(topic, payload) => {
                    let payload = SparkplugPayload::decode(&payload[..]).unwrap();
                    assert_eq!(payload.metrics[0].value, Some(MetricValue::Long(self.will)));
                    assert!(topic.contains("/NDEATH/") && payload.seq.is_none());
                    self.topics.push("NDEATH".to_owned());
                    self.dead = true;
                }
                EdgeAction::Publish(topic, payload) => self.take(&topic, &payload),
            }
        }
        self.read(node);
    }

    pub(super) fn answer(&mut self, node: &mut EdgeNode) {
        node.confirmed();
        self.read(node);
    }

    fn read(&mut self, node: &mut EdgeNode) {
        while let Some(news) = node.take_news() {
            match news {
                EdgeNews::Delivered(token) => self.delivered.push(token),
                EdgeNews::Left(why) => self.left = Some(why),
                EdgeNews::Born | EdgeNews::Room | EdgeNews::Command(_) => {}
            }
        }
    }

    pub(super) fn left(&mut self, node: &mut EdgeNode) -> Option<Option<String>> {
        self.read(node);
        self.left.clone()
    }

    fn take(&mut self, topic: &str, payload: &[u8]) {
        let payload = SparkplugPayload::decode(payload).unwrap();
        let levels: Vec<&str> = topic.split('/').collect();
        // topic-structure, topic-structure-namespace-a
        assert_eq!((levels[0], levels[1], levels[3]), ("spBv1.0", "plant_a", "gw"));
        let kind = levels[2];
        // payloads-sequence-num-always-included, payloads-sequence-num-incrementing
        let seq = payload.seq.expect("always");
        if kind == "NBIRTH" {
            // payloads-nbirth-seq, topics-nbirth-seq-num
            assert_eq!(seq, 0);
        } else {
            assert_eq!(Some(seq), self.seq.map(|before| (before + 1) % 256), "{topic}");
        }
        self.seq = Some(seq);
        assert!(payload.timestamp.is_some(), "payloads-timestamp-in-UTC");
        let device = levels.get(4).map(|device| (*device).to_owned());
        self.topics.push(device.as_ref().map_or_else(|| kind.to_owned(), |name| format!("{kind}/{name}")));
        self.last_metrics = payload.metrics.len();
        match (kind, device) {
            ("NBIRTH", None) => {
                self.births += 1;
                self.aliases.clear();
                self.devices.clear();
                let named = |name: &str| payload.metrics.iter().find(|one| one.name.as_deref() == Some(name));
                // payloads-nbirth-bdseq, topics-nbirth-bdseq-matching
                assert_eq!(named("bdSeq").unwrap().value, Some(MetricValue::Long(self.will)));
                // payloads-nbirth-rebirth-req, topics-nbirth-rebirth-metric
                let rebirth = named("Node Control/Rebirth").unwrap();
                assert_eq!((&rebirth.value, rebirth.alias), (&Some(MetricValue::Boolean(false)), None));
                self.born("", &payload.metrics);
            }
            ("DBIRTH", Some(device)) => self.born(&device, &payload.metrics),
            ("NDATA", None) => self.data("", &payload.metrics),
            // payloads-dbirth-order, topics-ddata-...: only of what was born.
            ("DDATA", Some(device)) => {
                assert!(self.devices.contains_key(&device), "{topic} before its birth");
                self.data(&device, &payload.metrics);
            }
            ("DDEATH", Some(device)) => {
                // topics-ddeath-seq-num; nothing comes of it before its next birth.
                assert!(payload.metrics.is_empty() && self.devices.remove(&device).is_some(), "{topic}");
            }
            other => panic!("{other:?}"),
        }
    }

    fn born(&mut self, device: &str, metrics: &[Metric]) {
        self.aliases.retain(|_, (of, _)| of != device);
        let mut names = BTreeSet::new();
        let mut shown = Vec::new();
        for (index, metric) in metrics.iter().enumerate() {
            let name = metric.name.clone().expect("payloads-name-birth-data-requirement");
            assert!(names.insert(name.clone()), "payloads-name-requirement: {name} twice");
            assert!(metric.datatype.is_some(), "payloads-metric-datatype-req: {name}");
            assert!(metric.timestamp.is_some(), "payloads-name-birth-data-requirement: {name}");
            assert_eq!(metric.value.is_none(), metric.is_null == Some(true), "{name}");
            assert_eq!(metric.is_historical, None);
            if let Some(alias) = metric.alias {
                let taken = self.aliases.insert(alias, (device.to_owned(), index));
                assert_eq!(taken, None, "payloads-alias-uniqueness");
            }
            if metric.is_null == Some(true) && name.ends_with("/observed") {
                self.born_null.push(format!("{device}/{name}"));
            }
            if let Some(MetricValue::Double(value)) = metric.value
                && name.ends_with("/observed")
            {
                self.born_values.push(value);
            }
            let properties = metric.properties.clone().unwrap_or_default();
            let property = |key: &str| {
                let at = properties.keys.iter().position(|one| one == key)?;
                properties.values.get(at)
            };
            shown.push(HostMetric {
                name,
                value: metric.value.clone(),
                quality: property("Quality").and_then(|value| value.int),
                unit: property("engUnit").and_then(|value| value.text.clone()),
            });
        }
        self.devices.insert(device.to_owned(), shown);
    }

    fn data(&mut self, device: &str, metrics: &[Metric]) {
        for metric in metrics {
            // payloads-alias-data-cmd-requirement
            assert_eq!(metric.name, None);
            let (of, index) = self.aliases[&metric.alias.expect("an alias")].clone();
            assert_eq!(of, device);
            let shown = &mut self.devices.get_mut(device).unwrap()[index];
            let observed = match metric.value {
                Some(MetricValue::Double(value)) if shown.name.ends_with("/observed") => Some(value),
                _ => None,
            };
            if metric.is_historical == Some(true) {
                let time = metric.timestamp.unwrap();
                self.history.extend(observed.map(|observed| (device.to_owned(), observed, time)));
                continue;
            }
            self.data.extend(observed.map(|observed| (device.to_owned(), observed)));
            shown.value.clone_from(&metric.value);
            for (key, value) in metric.properties.iter().flat_map(|set| set.keys.iter().zip(&set.values)) {
                // payloads-propertyset-quality-value-value
                assert!(key == "Quality" && [Some(0), Some(192), Some(500)].contains(&value.int));
                shown.quality = value.int;
            }
        }
    }

    fn metric(&self, device: &str, name: &str) -> Option<&HostMetric> {
        self.devices.get(device)?.iter().find(|metric| metric.name == name)
    }

    pub(super) fn number(&self, device: &str, name: &str) -> Option<f64> {
        match self.metric(device, name)?.value {
            Some(MetricValue::Double(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn truth(&self, device: &str, name: &str) -> Option<bool> {
        match self.metric(device, name)?.value {
            Some(MetricValue::Boolean(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn quality(&self, device: &str, name: &str) -> Option<u32> {
        self.metric(device, name)?.quality
    }

    pub(super) fn unit(&self, device: &str, name: &str) -> Option<String> {
        self.metric(device, name)?.unit.clone()
    }

    /// Every value of `observed` that came, in births, data or history.
    pub(super) fn all_observed(&self) -> Vec<f64> {
        let history = self.history.iter().map(|(_, observed, _)| *observed);
        let data = self.data.iter().map(|(_, observed)| *observed);
        data.chain(history).chain(self.born_values.iter().copied()).collect()
    }
}
