//! The families of metrics, out of a status document. Labels come from the configuration and from closed lists only, never from
//! devices or topics, so their number is bounded.

use std::collections::BTreeMap;

use serde_json::Value;
use verge_domain::configured::ReloadOutcome;
use verge_domain::rejection::Reason;

/// Reasons that are not in the closed list, together.
const OTHER_REASON: &str = "other";

/// Names and values.
pub(super) type Labels = Vec<(&'static str, String)>;
/// A value with its labels.
pub(super) type Row = (Labels, f64);

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

/// A metric with all its rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) rows: Vec<Row>,
}

/// What a family counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// All families, each once, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Families(Vec<Family>);

impl Families {
    pub(super) fn all(&self) -> &[Family] {
        &self.0
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &'static str, rows: Vec<Row>) {
        self.add(Family { name, help, kind: Kind::Counter, rows });
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str, rows: Vec<Row>) {
        self.add(Family { name, help, kind: Kind::Gauge, rows });
    }

    /// Adds rows to a family; one without rows is not written.
    pub(super) fn add(&mut self, family: Family) {
        if family.rows.is_empty() {
            return;
        }
        match self.0.iter_mut().find(|known| known.name == family.name) {
            Some(known) => known.rows.extend(family.rows),
            None => self.0.push(family),
        }
    }
}

/// Whose document it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Of the gateway in this process.
    Here { version: &'static str },
    /// Received. Whoever adds it to others puts the gateway's name in front of each row.
    Received,
}

/// What a status document says.
pub(super) fn status(out: &mut Families, status: &Value, origin: Origin) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let build = match origin {
        Origin::Here { version } => {
            vec![("version", version.to_owned()), ("gateway", text(&status["gateway"]))]
        }
        Origin::Received => vec![("version", text(&status["version"]))],
    };
    out.gauge("verge_build_info", "Version and name of the gateway", vec![(build, 1.0)]);
    out.gauge("verge_uptime_seconds", "Time since the start", plain(&status["uptime_s"]));
    reloads(out, &status["reloads"]);
    sources(out, status);
    store(out, &status["store"]);
    routes(out, status);
    alarms(out, status);
}

/// Absent before the first one: then all are 0, so that the first is an increase.
fn reloads(out: &mut Families, reloads: &Value) {
    let row = |outcome: ReloadOutcome| {
        let outcome = outcome.as_str();
        (vec![("outcome", outcome.to_owned())], number(&reloads[outcome]).unwrap_or(0.0))
    };
    out.counter("verge_reloads", "Reloads of the configuration", ReloadOutcome::ALL.map(row).to_vec());
}

fn sources(out: &mut Families, status: &Value) {
    let sources = &status["sources"];
    let of = |key: &str| rows_of(sources, "source", key);
    out.counter("verge_messages_received", "Messages received", of("received"));
    out.counter("verge_messages_judged", "Messages judged", of("judged"));
    out.counter(
        "verge_messages_superseded",
        "Messages replaced by a newer one before they were judged",
        of("superseded"),
    );
    let refused = sources.as_array().into_iter().flatten().flat_map(|source| {
        let mut by_reason: BTreeMap<&str, f64> = BTreeMap::new();
        for (reason, count) in source["rejections"].as_object().into_iter().flatten() {
            // Of a newer gateway, or of one that makes its reasons up.
            let reason = Reason::named(reason).map_or(OTHER_REASON, Reason::as_str);
            let Some(count) = number(count) else { continue };
            *by_reason.entry(reason).or_default() += count;
        }
        let labels = |reason: &str| vec![("source", name_of(source)), ("reason", reason.to_owned())];
        by_reason.into_iter().map(|(reason, count)| (labels(reason), count)).collect::<Vec<Row>>()
    });
    out.counter("verge_messages_refused", "Messages refused", refused.collect());
    out.gauge(
        "verge_messages_in_flight",
        "Messages received and neither judged nor refused",
        of("in_flight"),
    );
    out.counter("verge_received_bytes", "Bytes of messages received", of("bytes"));
    out.counter("verge_readings_judged", "Readings judged", of("readings"));
    out.counter("verge_frames_judged", "Frames judged", of("frames"));
    let age = of("age_ms").into_iter().map(|(labels, ms)| (labels, ms / 1e3)).collect();
    out.gauge("verge_source_age_seconds", "Time since the newest message", age);
    out.gauge(
        "verge_local_up",
        "Whether the site's broker is connected",
        plain(&status["local"]["connected"]),
    );
    out.gauge(
        "verge_frame_age_seconds",
        "From receipt of a frame until a worker begins, of the last minutes",
        percentiles(&status["frames"]["age_ms"]),
    );
    out.gauge(
        "verge_frame_judging_seconds",
        "Time that a worker takes for a frame, of the last minutes",
        percentiles(&status["frames"]["judging_ms"]),
    );
}

fn store(out: &mut Families, store: &Value) {
    out.gauge("verge_store_used_bytes", "Bytes that the store uses", plain(&store["used_bytes"]));
    out.gauge("verge_store_cap_bytes", "Bytes that the store may use", plain(&store["cap_bytes"]));
    let state =
        |state: &str| (vec![("state", state.to_owned())], f64::from(u8::from(store["state"] == state)));
    out.gauge(
        "verge_store_state",
        "1 for the state of the store",
        ["ok", "full", "storage_fault"].map(state).to_vec(),
    );
    let lanes = ["alarm", "verdict", "telemetry"].into_iter().enumerate();
    let committed = lanes.filter_map(|(index, lane)| {
        Some((vec![("lane", lane.to_owned())], number(&store["committed"][index])?))
    });
    out.counter("verge_verdicts_committed", "Verdicts committed", committed.collect());
    out.gauge(
        "verge_commit_seconds",
        "Time that a commit takes, of the last minutes",
        percentiles(&store["commit_ms"]),
    );
    out.counter(
        "verge_store_evicted",
        "Verdicts removed from the store for want of room or because of age",
        plain(&store["evicted"]),
    );
    out.counter("verge_store_faults", "Commits that failed", plain(&store["faults"]));
}

fn routes(out: &mut Families, status: &Value) {
    let routes = &status["routes"];
    out.gauge(
        "verge_route_up",
        "Whether a link of the route is connected",
        rows_of(routes, "route", "connected"),
    );
    out.gauge(
        "verge_backlog_verdicts",
        "Verdicts that wait for the route",
        rows_of(routes, "route", "backlog"),
    );
    out.counter("verge_delivered", "Verdicts delivered", rows_of(routes, "route", "delivered"));
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
    out.gauge("verge_link_up", "Whether the link is connected", of_links("connected"));
    out.counter("verge_link_connections", "Connections made", of_links("connections"));
    out.counter("verge_link_sent_bytes", "Bytes sent", of_links("bytes_sent"));
    let certificates = status["certificates"].as_array().into_iter().flatten();
    let ends = certificates.filter_map(|certificate| {
        let role = certificate["key"].as_str()?.to_owned();
        Some((vec![("role", role)], number(&certificate["ends_at"])? / 1e3))
    });
    out.gauge("verge_certificate_expiry_timestamp_seconds", "When a certificate ends", ends.collect());
}

fn alarms(out: &mut Families, status: &Value) {
    let (events, alarms) = (&status["events"], &status["alarms"]);
    let severities = ["critical", "warning", "info"].into_iter();
    let open = severities
        .filter_map(|severity| Some((vec![("severity", severity.to_owned())], number(&events[severity])?)));
    out.gauge("verge_events_open", "Open events", open.collect());
    out.gauge("verge_alarms_standing", "Open alarms", plain(&alarms["standing"]));
    out.gauge(
        "verge_alarms_unacknowledged",
        "Open alarms that wait for an operator",
        plain(&alarms["unacknowledged"]),
    );
    out.gauge("verge_alarms_shelved", "Open alarms that are shelved", plain(&alarms["shelved"]));
    out.gauge(
        "verge_alarms_recent",
        "Alarms raised in the last ten minutes",
        plain(&alarms["last_ten_minutes"]),
    );
    out.counter(
        "verge_judge_alarms",
        "Alarms of judges that keep a budget",
        rows_of(&status["judges"], "judge", "alarms"),
    );
}

/// What Prometheus expects of every process.
pub(super) fn process(out: &mut Families) {
    let Some(process) = Process::read() else { return };
    out.counter("process_cpu_seconds", "Processor time used", vec![(Vec::new(), process.cpu_seconds)]);
    out.gauge("process_resident_memory_bytes", "Memory occupied", vec![(Vec::new(), process.resident_bytes)]);
    let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count);
    let open = open.map(|open| (Vec::new(), f64::from(u32::try_from(open).unwrap_or(u32::MAX))));
    out.gauge("process_open_fds", "Open descriptors", open.into_iter().collect());
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
