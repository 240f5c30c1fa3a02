//! What a host may ask for.

use prost::Message;

use crate::payload::{Metric, MetricValue, SparkplugPayload};

/// The metric by which a host asks for all births again.
pub(crate) const REBIRTH: &str = "Node Control/Rebirth";

/// What a command to the node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NodeCommand {
    /// All births again.
    pub(crate) rebirth: bool,
    /// Metrics that are unknown or have another type, or bytes that are no payload.
    pub(crate) refused: u64,
}

impl NodeCommand {
    /// Reads a command. `takes`: carries out what else it knows.
    pub(crate) fn read(bytes: &[u8], mut takes: impl FnMut(&Metric) -> bool) -> Self {
        let Ok(payload) = SparkplugPayload::decode(bytes) else { return Self { rebirth: false, refused: 1 } };
        let mut command = Self::default();
        for metric in &payload.metrics {
            match (metric.name.as_deref(), &metric.value) {
                (Some(REBIRTH), Some(MetricValue::Boolean(wanted))) => command.rebirth |= *wanted,
                _ => command.refused += u64::from(!takes(metric)),
            }
        }
        command
    }
}

/// A command that asks for births, as a host sends it. `at`: now (UTC ms).
#[must_use]
pub fn rebirth_command(at: u64) -> Vec<u8> {
    let metric = Metric { value: Some(MetricValue::Boolean(true)), ..rebirth_metric(at) };
    SparkplugPayload { timestamp: Some(at), metrics: vec![metric], seq: None }.encode_to_vec()
}

/// The metric as it stands in births.
pub(crate) fn rebirth_metric(at: u64) -> Metric {
    Metric {
        name: Some(REBIRTH.to_owned()),
        timestamp: Some(at),
        datatype: Some(crate::payload::DataType::Boolean.code()),
        value: Some(MetricValue::Boolean(false)),
        ..Metric::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(metrics: &[(&str, MetricValue)]) -> NodeCommand {
        let metric = |(name, value): &(&str, MetricValue)| Metric {
            name: Some((*name).to_owned()),
            value: Some(value.clone()),
            ..Metric::default()
        };
        let metrics = metrics.iter().map(metric).collect();
        NodeCommand::read(
            &SparkplugPayload { metrics, ..SparkplugPayload::default() }.encode_to_vec(),
            |_| false,
        )
    }

    #[test]
    fn only_a_true_rebirth_is_taken() {
        let check = |metrics: &[(&str, MetricValue)], rebirth: bool, refused: u64| {
            assert_eq!(read(metrics), NodeCommand { rebirth, refused }, "{metrics:?}");
        };
        check(&[(REBIRTH, MetricValue::Boolean(true))], true, 0);
        check(&[(REBIRTH, MetricValue::Boolean(false))], false, 0);
        check(&[(REBIRTH, MetricValue::Int(1))], false, 1);
        check(&[("Node Control/Reboot", MetricValue::Boolean(true))], false, 1);
        check(&[("x", MetricValue::Boolean(true)), (REBIRTH, MetricValue::Boolean(true))], true, 1);
        assert_eq!(NodeCommand::read(b"\x0a\xff\xff", |_| true), NodeCommand { rebirth: false, refused: 1 });
        assert_eq!(NodeCommand::read(&rebirth_command(1), |_| false).refused, 0);
    }
}
