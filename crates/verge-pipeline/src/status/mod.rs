//! The status document: what `<prefix>/<gateway>/status` holds, retained, in JSON.
//!
//! `docs/status.md` holds the schema. Keys are only ever added.

mod cameras;
pub(crate) mod claim;
mod judges;
mod local;
mod routes;
mod sources;
mod store;
mod will;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use verge_domain::id::{GatewayId, RouteId};
use verge_domain::life::Life;
use verge_domain::reading::SourceIndex;
use verge_domain::time::Moment;

use crate::counters::{Counters, JudgingAccount, Latency, MaintenanceWindow};
use crate::delivery::RouteCounters;
pub use claim::{Sighting, sighting};
use judges::JudgeStatus;
pub use local::{BrokerStatus, CertificateStatus, LocalState};
use routes::{Ledger, RouteStatus};
use sources::{SourceStatus, source_status};
use store::StoreStatus;
pub(crate) use store::withdrawn;
pub use will::{last_will, last_will_of};

/// A source that has received nothing for this long after the start is reported.
pub const HEARS_NOTHING_AFTER: Duration = Duration::from_secs(30);
/// The report.
pub const HEARS_NOTHING: &str = "nothing received since the start: no device publishes there, the topic filter is wrong, \
                                 or this user may not read it (some brokers grant a subscription and deliver nothing)";

/// What stays the same while the gateway runs.
#[derive(Debug, Clone)]
pub struct StatusSettings {
    /// This gateway.
    pub gateway: GatewayId,
    /// Its site, as configured.
    pub site: Option<String>,
    /// Version of the program.
    pub version: &'static str,
    /// Life of the store.
    pub life: Arc<Life>,
}

/// The sources of the status.
pub struct Status {
    settings: StatusSettings,
    counters: Arc<Counters>,
    routes: Vec<(RouteId, Arc<RouteCounters>)>,
    local: Box<dyn Fn() -> LocalState + Send + Sync>,
    started: Moment,
}

#[derive(Serialize)]
struct Document<'a> {
    v: u8,
    state: &'static str,
    gateway: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<&'a str>,
    version: &'a str,
    epoch: String,
    /// UTC ms.
    at: i64,
    uptime_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<ClockStatus>,
    local: LocalState,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<BrokerStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<CertificateStatus>,
    sources: Vec<SourceStatus<'a>>,
    unknown_topics: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<FramesStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    judges: Vec<JudgeStatus>,
    judging: JudgingStatus,
    maintenance: Maintenance,
    store: StoreStatus,
    routes: Vec<RouteStatus<'a>>,
    ledger: Ledger<'a>,
}

/// Steps of the wall clock.
#[derive(Serialize)]
struct ClockStatus {
    steps: u64,
    last_step_ms: i64,
}

impl ClockStatus {
    fn of(counters: &Counters) -> Option<Self> {
        let steps = counters.clock_steps_total.get();
        let last_step_ms = counters.last_clock_step_ms.load(Ordering::Relaxed);
        (steps > 0).then_some(Self { steps, last_step_ms })
    }
}

#[derive(Serialize)]
struct FramesStatus {
    /// From receipt of a frame until a worker begins, in the last minutes.
    age_ms: Percentiles,
    /// How long a worker takes for a frame, in the last minutes.
    judging_ms: Percentiles,
}

#[derive(Serialize)]
struct JudgingStatus {
    #[serde(flatten)]
    account: JudgingAccount,
    /// Devices evicted for others, since the start.
    evicted: u64,
    /// Judges, codecs and encoders that panicked, since the start.
    defects: u64,
}

#[derive(Serialize)]
struct Maintenance {
    /// Events not raised because of it, since the start.
    held_back: u64,
    windows: Vec<MaintenanceWindow>,
}

#[derive(Serialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
}

impl Status {
    /// A status from these counters.
    pub fn new(
        settings: StatusSettings,
        counters: Arc<Counters>,
        routes: Vec<(RouteId, Arc<RouteCounters>)>,
        local: impl Fn() -> LocalState + Send + Sync + 'static,
        started: Moment,
    ) -> Self {
        Self { settings, counters, routes, local: Box::new(local), started }
    }

    /// The document as of now; `stopping` marks the last one of this run.
    ///
    /// # Panics
    /// Never: the document holds numbers, text and lists only.
    #[must_use]
    pub fn document(&self, now: Moment, stopping: bool) -> Bytes {
        let routes: Vec<RouteStatus<'_>> =
            self.routes.iter().map(|(name, counters)| RouteStatus::of(name, counters)).collect();
        let received_bytes =
            self.counters.sources().iter().map(|source| source.bytes_received_total.get()).sum();
        let mut local = (self.local)();
        let uptime = now.mono.since(self.started.mono);
        let document = Document {
            v: 1,
            state: if stopping { "stopped" } else { "online" },
            gateway: self.settings.gateway.as_str(),
            site: self.settings.site.as_deref(),
            version: self.settings.version,
            epoch: self.settings.life.epoch.to_string(),
            at: now.wall.0,
            uptime_s: uptime.as_secs(),
            clock: ClockStatus::of(&self.counters),
            sources: self
                .counters
                .sources()
                .iter()
                .zip((0..).map(SourceIndex))
                .map(|(source, index)| source_status(source, index, &local.cameras, now.wall, uptime))
                .collect(),
            unknown_topics: local.unknown_topics,
            broker: local.broker.take(),
            certificates: std::mem::take(&mut local.certificates),
            local,
            frames: Percentiles::of(&self.counters.frame_age)
                .zip(Percentiles::of(&self.counters.frame_judging))
                .map(|(age_ms, judging_ms)| FramesStatus { age_ms, judging_ms }),
            judges: self.counters.alarm_rates().iter().map(JudgeStatus::of).collect(),
            judging: JudgingStatus {
                account: self.counters.judging(),
                evicted: self.counters.of_all_judges(|counters| &counters.evicted_devices_total),
                defects: self.counters.of_all_judges(|counters| &counters.defects_total),
            },
            maintenance: Maintenance {
                held_back: self.counters.of_all_judges(|counters| &counters.raises_held_back_total),
                windows: self.counters.maintenance(),
            },
            store: StoreStatus::of(&self.settings.life, &self.counters),
            ledger: Ledger::of(received_bytes, &self.routes),
            routes,
        };
        Bytes::from(serde_json::to_vec(&document).expect("a status holds numbers, text and lists only"))
    }
}

impl Percentiles {
    fn of(latency: &Latency) -> Option<Self> {
        let millis = |span: std::time::Duration| span.as_secs_f64() * 1000.0;
        latency.percentiles().map(|latency| Self { p50: millis(latency.p50), p99: millis(latency.p99) })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
