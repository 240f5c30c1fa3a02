//! Families as text: of Prometheus, or OpenMetrics where that is asked for.

use std::fmt;

use hyper::header::{ACCEPT, HeaderMap};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use serde_json::Value;

use super::families::{Families, Kind, Origin, process, status};
use crate::dashboard::{Cut, Cuts};

const OPEN_METRICS: &str = "application/openmetrics-text";

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextForm {
    Prometheus,
    OpenMetrics,
}

impl TextForm {
    /// What a request asks for.
    pub(crate) fn wanted(headers: &HeaderMap) -> Self {
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
        if accept.contains(OPEN_METRICS) { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The metrics of the gateway that runs in this process.
pub(crate) fn of_this_gateway(
    document: &Value,
    cuts: &Cuts,
    version: &'static str,
    form: TextForm,
) -> Result<String, fmt::Error> {
    let mut families = Families::default();
    status(&mut families, document, Origin::Here { version });
    let cut = |(cut, count): (Cut, u64)| (vec![("reason", cut.as_str().to_owned())], count as f64);
    families.counter(
        "verge_dashboard_connections_cut",
        "Connections that the dashboard refused or ended because of its limits",
        cuts.counts().map(cut).to_vec(),
    );
    process(&mut families);
    written(families, form)
}

/// Writes them.
pub(super) fn written(families: Families, form: TextForm) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Written(families)));
    let mut out = String::new();
    match form {
        TextForm::OpenMetrics => text::encode(&mut out, &registry)?,
        TextForm::Prometheus => prometheus_text::encode(&mut out, &registry)?,
    }
    Ok(out)
}

#[derive(Debug)]
struct Written(Families);

impl Collector for Written {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.0.all() {
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let mut described = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for (labels, value) in &family.rows {
                let mut metric = described.encode_family(labels)?;
                match family.kind {
                    Kind::Counter => metric.encode_counter::<NoLabelSet, _, f64>(value, None)?,
                    Kind::Gauge => metric.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "gateway": "g", "uptime_s": 7,
            "sources": [{ "name": "pump", "received": 12, "rejections": { "bad_json": 2 }, "age_ms": 1_500 }],
            "store": { "state": "full", "committed": [1, 2, 3], "commit_ms": { "p50": 1.5, "p99": 4.0 } },
            "routes": [{ "name": "up", "connected": true, "backlog": 4, "links": [{ "name": "wan \"1\"", "connected": false }] }],
            "certificates": [{ "key": "uplink.wan.cert", "ends_at": 1_800_000_000_000_i64 }],
        })
    }

    #[test]
    fn metrics_say_what_the_status_says() {
        let text = of_this_gateway(&document(), &Cuts::default(), "1", TextForm::Prometheus).unwrap();
        for line in [
            "verge_build_info{version=\"1\",gateway=\"g\"} 1",
            "verge_messages_received_total{source=\"pump\"} 12",
            "verge_messages_refused_total{source=\"pump\",reason=\"bad_json\"} 2",
            "verge_source_age_seconds{source=\"pump\"} 1.5",
            "verge_store_state{state=\"full\"} 1",
            "verge_verdicts_committed_total{lane=\"telemetry\"} 3",
            "verge_commit_seconds{percentile=\"99\"} 0.004",
            "verge_link_up{route=\"up\",link=\"wan \\\"1\\\"\"} 0",
            "verge_certificate_expiry_timestamp_seconds{role=\"uplink.wan.cert\"} 1800000000",
        ] {
            let found = text.lines().any(|own| own.trim_end_matches(".0") == line);
            assert!(found, "{line} in\n{text}");
        }
        assert!(!text.contains("verge_frame_age_seconds"), "what is not known is left out");
    }

    #[test]
    fn both_forms_are_written() {
        let open = of_this_gateway(&document(), &Cuts::default(), "1", TextForm::OpenMetrics).unwrap();
        assert!(open.ends_with("# EOF\n"), "{open}");
        assert!(of_this_gateway(&Value::Null, &Cuts::default(), "1", TextForm::Prometheus).is_ok());
    }
}
