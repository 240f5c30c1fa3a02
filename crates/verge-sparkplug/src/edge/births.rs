//! Births of the node and of its devices.

use verge_domain::time::{Moment, Monotonic};

use super::commands::limit_name;
use super::{BIRTH_EVERY, EdgeAction, EdgeNode, EdgeSettings};
use crate::command::rebirth_metric;
use crate::devices::Devices;
use crate::payload::{DataType, Metric, MetricValue};
use crate::values::millis;

/// Metrics of the node beside its properties.
pub(super) const STATUS: [(&str, DataType); 5] = [
    ("Status/State", DataType::Text),
    ("Status/Backlog", DataType::UInt64),
    ("Status/Withdrawn", DataType::UInt64),
    ("Status/Uplinks", DataType::UInt32),
    ("Status/Devices", DataType::UInt32),
];

/// Room for the fields around the metrics.
const ENVELOPE_BYTES: usize = 256;

/// No devices yet; their metrics come behind those of the node.
pub(super) fn no_devices(settings: &EdgeSettings) -> Devices {
    let of_commands = settings.commands.as_ref().map_or(0, |commands| commands.limits.len() + 1);
    let of_node = settings.properties.len() + STATUS.len() + of_commands;
    Devices::new(of_node as u64 + 1, settings.max_payload.saturating_sub(ENVELOPE_BYTES))
}

impl EdgeNode {
    /// Births that are due, of the node first.
    pub(super) fn next_birth(&mut self, now: Moment) -> Option<EdgeAction> {
        if self.birth_due.is_some_and(|due| due <= now.mono) {
            return Some(self.node_birth(now));
        }
        if let Some(device) = self.births_left.pop_front() {
            return Some(self.device_birth(device, now));
        }
        self.last_birth?;
        let due = |(_, at): &(usize, Monotonic)| *at <= now.mono;
        let (device, _) = self.devices_and_due().find(due)?;
        self.status_due = true;
        Some(self.device_birth(device, now))
    }

    /// Devices whose birth is out of date, and when it may be said again.
    fn devices_and_due(&self) -> impl Iterator<Item = (usize, Monotonic)> + '_ {
        let due = self.devices.list.iter().enumerate().filter(|(_, device)| device.is_due && !device.is_dead);
        due.map(|(index, device)| (index, device.born.map_or(Monotonic(0), |born| born.after(BIRTH_EVERY))))
    }

    pub(super) fn devices_due(&self) -> impl Iterator<Item = Monotonic> + '_ {
        self.devices_and_due().map(|(_, at)| at)
    }

    fn node_birth(&mut self, now: Moment) -> EdgeAction {
        self.birth_due = None;
        self.last_birth = Some(now.mono);
        self.counted.births += 1;
        self.births_left = (0..self.devices.list.len()).collect();
        self.deaths_due.clear();
        self.devices.list.iter_mut().for_each(|device| device.is_dead = false);
        self.status_due = false;
        self.seq = 0;
        let at = millis(now.wall);
        let mut metrics = vec![self.bd_seq_metric(Some(at)), rebirth_metric(at)];
        let properties = self.settings.properties.iter().zip(1_u64..);
        metrics.extend(properties.map(|((name, value), alias)| Metric {
            name: Some(format!("Properties/{name}")),
            alias: Some(alias),
            timestamp: Some(at),
            datatype: Some(DataType::Text.code()),
            value: Some(MetricValue::Text(value.clone())),
            ..Metric::default()
        }));
        let status = self.status_metrics(at);
        self.status_said = status.iter().map(|(_, _, metric)| metric.value.clone()).collect();
        metrics.extend(status.into_iter().map(|(name, datatype, metric)| Metric {
            name: Some(name),
            datatype: Some(datatype.code()),
            ..metric
        }));
        let payload = self.payload(metrics, now);
        EdgeAction::Publish(self.settings.address.topic("NBIRTH"), payload)
    }

    fn status_metrics(&self, at: u64) -> Vec<(String, DataType, Metric)> {
        let status = self.status.as_ref();
        let devices = u32::try_from(self.devices.list.len()).unwrap_or(u32::MAX);
        let values = [
            status.map(|status| MetricValue::Text(status.state.clone())),
            status.map(|status| MetricValue::Long(status.backlog)),
            status.map(|status| MetricValue::Long(status.withdrawn)),
            status.map(|status| MetricValue::Int(status.uplinks)),
            Some(MetricValue::Int(devices)),
        ];
        let named = |((name, datatype), value): ((&str, DataType), Option<MetricValue>)| {
            (name.to_owned(), datatype, value)
        };
        let mut all: Vec<_> = STATUS.into_iter().zip(values).map(named).collect();
        if let Some(commands) = &self.settings.commands {
            all.push((
                "Status/Command".to_owned(),
                DataType::Text,
                self.answer.clone().map(MetricValue::Text),
            ));
            all.extend(commands.limits.iter().map(|(judge, limit)| {
                let set = status.and_then(|status| status.limit(judge.as_str(), limit.key.as_str()));
                let value = MetricValue::Double(set.unwrap_or(limit.configured));
                (limit_name(judge, limit), DataType::Double, Some(value))
            }));
        }
        let aliases = self.settings.properties.len() as u64 + 1..;
        let metric = |((name, datatype, value), alias): ((String, DataType, Option<MetricValue>), u64)| {
            let metric = Metric {
                alias: Some(alias),
                timestamp: Some(at),
                is_null: value.is_none().then_some(true),
                value,
                ..Metric::default()
            };
            (name, datatype, metric)
        };
        all.into_iter().zip(aliases).map(metric).collect()
    }

    /// What the node says of itself, where that has changed.
    pub(super) fn next_status(&mut self, now: Moment) -> Option<EdgeAction> {
        if !std::mem::take(&mut self.status_due) {
            return None;
        }
        let with_datatype = self.settings.datatype_in_data;
        let mut metrics = Vec::new();
        for (at, (_, datatype, metric)) in self.status_metrics(millis(now.wall)).into_iter().enumerate() {
            // An answer is said again: the next one may have the same words.
            let is_answer = at == STATUS.len() && std::mem::take(&mut self.answer_due);
            let Some(said) = self.status_said.get_mut(at).filter(|said| is_answer || **said != metric.value)
            else {
                continue;
            };
            said.clone_from(&metric.value);
            metrics.push(Metric { datatype: with_datatype.then_some(datatype.code()), ..metric });
        }
        if metrics.is_empty() {
            return None;
        }
        let payload = self.payload(metrics, now);
        Some(EdgeAction::Publish(self.settings.address.topic("NDATA"), payload))
    }

    /// The death of a device that is silent, where that is how the node says so.
    pub(super) fn next_death(&mut self, now: Moment) -> Option<EdgeAction> {
        loop {
            let index = self.deaths_due.pop_front()?;
            let Some(device) = self.devices.list.get_mut(index) else { continue };
            if device.is_dead || !device.is_silent() {
                continue;
            }
            device.is_dead = true;
            device.born = None;
            let topic = self.settings.address.device_topic("DDEATH", &device.element);
            let payload = self.payload(Vec::new(), now);
            return Some(EdgeAction::Publish(topic, payload));
        }
    }

    fn device_birth(&mut self, index: usize, now: Moment) -> EdgeAction {
        let device = &mut self.devices.list[index];
        device.born = Some(now.mono);
        device.is_due = false;
        // It is born to be known, and dies at once.
        if self.settings.silent_is_death && device.is_silent() {
            self.deaths_due.push_back(index);
        }
        for (lane, seq) in device.take_owed() {
            self.sent[lane.index()].insert(seq);
        }
        let metrics = device.birth();
        let topic = self.settings.address.device_topic("DBIRTH", &device.element);
        let payload = self.payload(metrics, now);
        EdgeAction::Publish(topic, payload)
    }
}
