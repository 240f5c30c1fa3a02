//! `/metrics`: the status document as metrics, made when it is scraped: the data path has nothing to do for it.
//!
//! Labels come from the configuration and from closed lists only, never from devices or topics, so their number is bounded.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use serde_json::Value;

use super::access::Role;
use super::problem::Problem;
use super::routes::{Allowed, Routes};
use super::site::Site;

const OPEN_METRICS: &str = "application/openmetrics-text";

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get("/metrics", Allowed::From(Role::Viewer), metrics)
}

async fn metrics(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Response, Problem> {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
    let wants_open = accept.contains(OPEN_METRICS);
    let text = scrape(site.status(), site.settings.version, wants_open);
    let text = text.map_err(|fmt::Error| Problem::Unavailable("its metrics cannot be written"))?;
    let content_type = if wants_open {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    Ok(([(CONTENT_TYPE, content_type)], text).into_response())
}

fn scrape(status: Value, version: &'static str, open: bool) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(StatusMetrics { status, version }));
    let mut out = String::new();
    if open {
        text::encode(&mut out, &registry)?
    } else {
        prometheus_text::encode(&mut out, &registry)?
    }
    Ok(out)
}

#[derive(Debug)]
struct StatusMetrics {
    status: Value,
    version: &'static str,
}

type Labels = Vec<(&'static str, String)>;
type Row = (Labels, f64);

/// Rows of one entry each of a list: the label `name` and the number under `key`.
fn rows_of(list: &Value, label: &'static str, key: &str) -> Vec<Row> {
    let entries = list.as_array().into_iter().flatten();
    entries.filter_map(|entry| Some((vec![(label, name_of(entry))], number(&entry[key])?))).collect()
}

fn name_of(entry: &Value) -> String {
    entry["name"].as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_bool().map(|flag| f64::from(u8::from(flag))))
}

fn plain(value: &Value) -> Vec<Row> {
    number(value).map(|number| (Vec::new(), number)).into_iter().collect()
}

/// Half and ninety-nine in a hundred, in seconds, of the last minutes. The label `quantile` belongs to summaries, which count
/// since the start.
fn percentiles(value: &Value) -> Vec<Row> {
    let row = |(key, percentile): (&str, &str)| {
        Some((vec![("percentile", percentile.to_owned())], number(&value[key])? / 1e3))
    };
    [("p50", "50"), ("p99", "99")].into_iter().filter_map(row).collect()
}

struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn counter(&mut self, name: &str, help: &str, rows: Vec<Row>) -> fmt::Result {
        self.family((name, help), MetricType::Counter, rows)
    }

    fn gauge(&mut self, name: &str, help: &str, rows: Vec<Row>) -> fmt::Result {
        self.family((name, help), MetricType::Gauge, rows)
    }

    fn family(&mut self, (name, help): (&str, &str), kind: MetricType, rows: Vec<Row>) -> fmt::Result {
        if rows.is_empty() {
            return Ok(());
        }
        let is_counter = matches!(kind, MetricType::Counter);
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in rows {
            let mut metric = family.encode_family(&labels)?;
            if is_counter {
                metric.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
            } else {
                metric.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

impl Collector for StatusMetrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (mut out, status) = (Families(encoder), &self.status);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let build = vec![("version", self.version.to_owned()), ("gateway", text(&status["gateway"]))];
        out.gauge("verge_build_info", "Version and name of the gateway", vec![(build, 1.0)])?;
        out.gauge("verge_uptime_seconds", "Time since the start", plain(&status["uptime_s"]))?;
        self.sources(&mut out)?;
        self.store(&mut out)?;
        self.routes(&mut out)?;
        self.alarms(&mut out)?;
        self.process(&mut out)
    }
}

impl StatusMetrics {
    fn sources(&self, out: &mut Families<'_>) -> fmt::Result {
        let (status, sources) = (&self.status, &self.status["sources"]);
        let of = |key: &str| rows_of(sources, "source", key);
        out.counter("verge_messages_received", "Messages received", of("received"))?;
        out.counter("verge_messages_judged", "Messages judged", of("judged"))?;
        out.counter(
            "verge_messages_superseded",
            "Messages replaced by a newer one before they were judged",
            of("superseded"),
        )?;
        let refused = sources.as_array().into_iter().flatten().flat_map(|source| {
            let reasons = source["rejections"].as_object().into_iter().flatten();
            let labels = |reason: &String| vec![("source", name_of(source)), ("reason", reason.clone())];
            reasons.filter_map(move |(reason, count)| Some((labels(reason), number(count)?)))
        });
        out.counter("verge_messages_refused", "Messages refused", refused.collect())?;
        out.gauge(
            "verge_messages_in_flight",
            "Messages received and neither judged nor refused",
            of("in_flight"),
        )?;
        out.counter("verge_received_bytes", "Bytes of messages received", of("bytes"))?;
        out.counter("verge_readings_judged", "Readings judged", of("readings"))?;
        out.counter("verge_frames_judged", "Frames judged", of("frames"))?;
        let age = of("age_ms").into_iter().map(|(labels, ms)| (labels, ms / 1e3)).collect();
        out.gauge("verge_source_age_seconds", "Time since the newest message", age)?;
        out.gauge(
            "verge_local_up",
            "Whether the site's broker is connected",
            plain(&status["local"]["connected"]),
        )?;
        out.gauge(
            "verge_frame_age_seconds",
            "From receipt of a frame until a worker begins, of the last minutes",
            percentiles(&status["frames"]["age_ms"]),
        )?;
        out.gauge(
            "verge_frame_judging_seconds",
            "Time that a worker takes for a frame, of the last minutes",
            percentiles(&status["frames"]["judging_ms"]),
        )
    }

    fn store(&self, out: &mut Families<'_>) -> fmt::Result {
        let store = &self.status["store"];
        out.gauge("verge_store_used_bytes", "Bytes that the store uses", plain(&store["used_bytes"]))?;
        out.gauge("verge_store_cap_bytes", "Bytes that the store may use", plain(&store["cap_bytes"]))?;
        let state =
            |state: &str| (vec![("state", state.to_owned())], f64::from(u8::from(store["state"] == state)));
        out.gauge(
            "verge_store_state",
            "1 for the state of the store",
            ["ok", "full", "storage_fault"].map(state).to_vec(),
        )?;
        let lanes = ["alarm", "verdict", "telemetry"].into_iter().enumerate();
        let committed = lanes.filter_map(|(index, lane)| {
            Some((vec![("lane", lane.to_owned())], number(&store["committed"][index])?))
        });
        out.counter("verge_verdicts_committed", "Verdicts committed", committed.collect())?;
        out.gauge(
            "verge_commit_seconds",
            "Time that a commit takes, of the last minutes",
            percentiles(&store["commit_ms"]),
        )?;
        out.counter(
            "verge_store_evicted",
            "Verdicts removed from the store for want of room or because of age",
            plain(&store["evicted"]),
        )?;
        out.counter("verge_store_faults", "Commits that failed", plain(&store["faults"]))
    }

    fn routes(&self, out: &mut Families<'_>) -> fmt::Result {
        let routes = &self.status["routes"];
        out.gauge(
            "verge_route_up",
            "Whether a link of the route is connected",
            rows_of(routes, "route", "connected"),
        )?;
        out.gauge(
            "verge_backlog_verdicts",
            "Verdicts that wait for the route",
            rows_of(routes, "route", "backlog"),
        )?;
        out.counter("verge_delivered", "Verdicts delivered", rows_of(routes, "route", "delivered"))?;
        let of_links = |key: &str| -> Vec<Row> {
            let links = routes.as_array().into_iter().flatten().flat_map(|route| {
                let links = route["links"].as_array().into_iter().flatten();
                links.map(move |link| (route, link))
            });
            let row = |(route, link): (&Value, &Value)| {
                Some((vec![("route", name_of(route)), ("link", name_of(link))], number(&link[key])?))
            };
            links.filter_map(row).collect()
        };
        out.gauge("verge_link_up", "Whether the link is connected", of_links("connected"))?;
        out.counter("verge_link_connections", "Connections made", of_links("connections"))?;
        out.counter("verge_link_sent_bytes", "Bytes sent", of_links("bytes_sent"))?;
        let certificates = self.status["certificates"].as_array().into_iter().flatten();
        let ends = certificates.filter_map(|certificate| {
            let role = certificate["key"].as_str()?.to_owned();
            Some((vec![("role", role)], number(&certificate["ends_at"])? / 1e3))
        });
        out.gauge("verge_certificate_expiry_timestamp_seconds", "When a certificate ends", ends.collect())
    }

    fn alarms(&self, out: &mut Families<'_>) -> fmt::Result {
        let (events, alarms) = (&self.status["events"], &self.status["alarms"]);
        let severities = ["critical", "warning", "info"].into_iter();
        let open = severities.filter_map(|severity| {
            Some((vec![("severity", severity.to_owned())], number(&events[severity])?))
        });
        out.gauge("verge_events_open", "Open events", open.collect())?;
        out.gauge("verge_alarms_standing", "Open alarms", plain(&alarms["standing"]))?;
        out.gauge(
            "verge_alarms_unacknowledged",
            "Open alarms that wait for an operator",
            plain(&alarms["unacknowledged"]),
        )?;
        out.gauge("verge_alarms_shelved", "Open alarms that are shelved", plain(&alarms["shelved"]))?;
        out.gauge(
            "verge_alarms_recent",
            "Alarms raised in the last ten minutes",
            plain(&alarms["last_ten_minutes"]),
        )?;
        out.counter(
            "verge_judge_alarms",
            "Alarms of judges that keep a budget",
            rows_of(&self.status["judges"], "judge", "alarms"),
        )
    }

    /// What Prometheus expects of every process.
    fn process(&self, out: &mut Families<'_>) -> fmt::Result {
        let Some(process) = Process::read() else { return Ok(()) };
        out.counter("process_cpu_seconds", "Processor time used", vec![(Vec::new(), process.cpu_seconds)])?;
        out.gauge(
            "process_resident_memory_bytes",
            "Memory occupied",
            vec![(Vec::new(), process.resident_bytes)],
        )?;
        let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
        let open = open.map(|open| (Vec::new(), f64::from(u32::try_from(open).unwrap_or(u32::MAX))));
        out.gauge("process_open_fds", "Open descriptors", open.into_iter().collect())
    }
}

/// This process, as Linux reports it.
struct Process {
    cpu_seconds: f64,
    resident_bytes: f64,
}

impl Process {
    /// See proc_pid_stat(5); the name in parentheses may hold anything.
    fn read() -> Option<Self> {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: f64 = resident.trim().trim_end_matches(" kB").trim().parse().ok()?;
        Some(Self { cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND, resident_bytes: kib * 1024.0 })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> Value {
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
        let text = scrape(status(), "1", false).unwrap();
        for line in [
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
        let open = scrape(status(), "1", true).unwrap();
        assert!(open.ends_with("# EOF\n"), "{open}");
        assert!(scrape(Value::Null, "1", false).is_ok());
    }
}
