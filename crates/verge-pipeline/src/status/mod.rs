//! The status document: what `<prefix>/<gateway>/status` says, retained, in JSON.
//!
//! The schema stands in `docs/status.md`. Keys are only ever added.

mod cameras;
pub(crate) mod claim;
mod judges;
mod routes;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use verge_domain::id::{GatewayId, Lane, RouteId};
use verge_domain::life::Life;
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_domain::stage::StatesUsage;
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::withdrawn::Withdrawal;

use crate::counters::{Counters, JudgingAccount, Latency, MaintenanceWindow, SourceCounters, StoreAccount};
use crate::delivery::RouteCounters;
use cameras::{CameraStatus, longest_silent};
use claim::LifeStatus;
pub use claim::{Sighting, sighting};
use judges::JudgeStatus;
use routes::{Ledger, RouteStatus};

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

/// State of a connection to the local broker, in words.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LocalState {
    /// Whether it stands.
    pub connected: bool,
    /// Connections made since the start.
    pub connections: u64,
    /// Messages not yet acknowledged to the broker.
    pub outstanding: u64,
    /// Messages larger than is accepted, since the start: passed over.
    pub oversized: u64,
    /// Topic and size of the last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_oversized: Option<String>,
    /// The judges' queue is full: a connection is left unread.
    pub overloaded: bool,
    /// Messages that the broker sent again and this run knew, since the start: not judged again.
    pub redelivered: u64,
    /// Messages that no source takes, since the start; told beside the sources.
    #[serde(skip)]
    pub unknown_topics: u64,
    /// Why it is down, or why it last was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Why the files with its credentials cannot be used; the last good ones are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_error: Option<String>,
    /// That broker itself, where it runs beside the gateway; told beside the connection.
    #[serde(skip)]
    pub broker: Option<BrokerStatus>,
    /// Certificates of all connections; told beside this one.
    #[serde(skip)]
    pub certificates: Vec<CertificateStatus>,
    /// Cameras with the time since the newest frame of each; told with their sources.
    #[serde(skip)]
    pub cameras: Vec<(Camera, Duration)>,
}

/// When a certificate ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CertificateStatus {
    /// Key of the configuration that names its file.
    pub key: String,
    /// `valid`, `ends_soon`, `ended` or `unreadable`.
    pub state: &'static str,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it ends (UTC ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<i64>,
    /// Whole days until then; negative afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_left: Option<i64>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A broker that runs beside the gateway. Numbers are since the start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BrokerStatus {
    /// Whether it serves.
    pub serving: bool,
    /// Since when (UTC ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// How often it was started again.
    pub restarts: u64,
    /// Why it last failed, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<String>,
    /// When that was (UTC ms).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_fault_at: Option<i64>,
    /// Connections from outside now.
    pub connections: u64,
    /// Clients let in.
    pub accepted: u64,
    /// Connections closed at once because there were too many.
    pub refused_connections: u64,
    /// TLS handshakes that failed.
    pub failed_handshakes: u64,
    /// Clients not let in because of what they sent.
    pub refused_clients: u64,
    /// The last of those, from where, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
    /// Why the files of the listener's certificates cannot be used; the last good ones are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_error: Option<String>,
}

/// Everything the status is made of.
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
    judging: Judging,
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
struct SourceStatus<'a> {
    name: &'a str,
    received: u64,
    judged: u64,
    superseded: u64,
    refused: u64,
    in_flight: u64,
    /// Of those judged or refused: the broker had sent them before a restart, and the store holds no verdict of them.
    #[serde(skip_serializing_if = "is_zero")]
    redelivered: u64,
    readings: u64,
    #[serde(skip_serializing_if = "is_zero")]
    frames: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    rejections: serde_json::Map<String, serde_json::Value>,
    /// What is probably not meant, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
    /// Names that stand for several series, and their readings.
    #[serde(skip_serializing_if = "is_zero")]
    shared_names: u64,
    #[serde(skip_serializing_if = "is_zero")]
    shared_readings: u64,
    /// Devices whose clock has a constant offset.
    #[serde(skip_serializing_if = "is_zero")]
    clock_offsets: u64,
    /// Cameras that frames have come from since the start.
    #[serde(skip_serializing_if = "is_zero")]
    cameras: u64,
    /// Those that have been silent for longest, longest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    camera_ages: Vec<CameraStatus>,
}

#[derive(Serialize)]
struct FramesStatus {
    /// From receipt of a frame until a worker begins, lately.
    age_ms: Span,
    /// How long a worker is at a frame, lately.
    judging_ms: Span,
}

#[derive(Serialize)]
struct Judging {
    #[serde(flatten)]
    account: JudgingAccount,
    /// Devices that gave way to others, since the start.
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
struct StoreStatus {
    state: &'static str,
    #[serde(flatten)]
    life: LifeStatus,
    committed: [u64; 3],
    commits: u64,
    /// From receipt of a message to its verdicts being durable, lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit_ms: Option<Span>,
    evicted: u64,
    faults: u64,
    /// Oldest and newest number that is stored; a lane that holds nothing begins behind its end.
    oldest: [u64; 3],
    last: [u64; 3],
    used_bytes: u64,
    cap_bytes: u64,
    /// By reason, since the start; reasons that never occurred are absent.
    withdrawn: serde_json::Map<String, serde_json::Value>,
    states: StatesStatus,
}

/// What is saved for judges.
#[derive(Serialize)]
struct StatesStatus {
    bytes: u64,
    cap_bytes: u64,
    evicted: u64,
    not_saved: u64,
    events_bytes: u64,
    events_not_saved: u64,
}

impl StatesStatus {
    fn of(usage: &StatesUsage) -> Self {
        Self {
            bytes: usage.bytes,
            cap_bytes: usage.share_bytes,
            evicted: usage.evicted,
            not_saved: usage.not_saved,
            events_bytes: usage.events_bytes,
            events_not_saved: usage.events_not_saved,
        }
    }
}

#[derive(Serialize)]
struct Span {
    p50: f64,
    p99: f64,
}

impl Status {
    /// A status over these counters.
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
            frames: Span::of(&self.counters.frame_age)
                .zip(Span::of(&self.counters.frame_judging))
                .map(|(age_ms, judging_ms)| FramesStatus { age_ms, judging_ms }),
            judges: self.counters.alarm_rates().iter().map(JudgeStatus::of).collect(),
            judging: Judging {
                account: self.counters.judging(),
                evicted: self.counters.of_all_judges(|counters| &counters.evicted_devices_total),
                defects: self.counters.of_all_judges(|counters| &counters.defects_total),
            },
            maintenance: Maintenance {
                held_back: self.counters.of_all_judges(|counters| &counters.raises_held_back_total),
                windows: self.counters.maintenance(),
            },
            store: self.store_status(),
            ledger: Ledger::of(received_bytes, &self.routes),
            routes,
        };
        Bytes::from(serde_json::to_vec(&document).expect("a status holds numbers, text and lists only"))
    }

    fn store_status(&self) -> StoreStatus {
        let state = match (self.counters.store_fault(), self.counters.store_full()) {
            (true, _) => "storage_fault",
            (false, true) => "full",
            (false, false) => "ok",
        };
        let StoreAccount { oldest, last, usage } = self.counters.store_account();
        StoreStatus {
            life: LifeStatus::of(&self.settings.life),
            oldest: oldest.map(|seq| seq.0),
            last: last.map(|seq| seq.0),
            used_bytes: usage.used_bytes,
            cap_bytes: usage.cap_bytes,
            withdrawn: withdrawn(&usage.withdrawn),
            states: StatesStatus::of(&usage.states),
            state,
            committed: Lane::ALL.map(|lane| self.counters.committed_total[lane.index()].get()),
            commits: self.counters.commits_total.get(),
            commit_ms: Span::of(&self.counters.commit_latency),
            evicted: self.counters.evicted_total.get(),
            faults: self.counters.store_faults_total.get(),
        }
    }
}

impl Span {
    fn of(latency: &Latency) -> Option<Self> {
        let millis = |span: std::time::Duration| span.as_secs_f64() * 1000.0;
        latency.percentiles().map(|latency| Self { p50: millis(latency.p50), p99: millis(latency.p99) })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How many were withdrawn, by reason, without the reasons that never occurred.
pub(crate) fn withdrawn(counts: &[u64; Withdrawal::ALL.len()]) -> serde_json::Map<String, serde_json::Value> {
    let counts = Withdrawal::ALL.into_iter().map(|reason| (reason, counts[usize::from(reason.code())]));
    counts
        .filter(|&(_, count)| count > 0)
        .map(|(reason, count)| (reason.as_str().to_owned(), serde_json::Value::from(count)))
        .collect()
}

/// The last will: what the broker publishes as status when the gateway vanishes. The next run reads it back, see
/// [`verge_domain::life`]. `last`: numbers given so far, by lane.
///
/// # Panics
/// Never: text and numbers only.
#[must_use]
pub fn last_will_of(gateway: &GatewayId, life: &Life, last: [u64; 3]) -> Bytes {
    #[derive(Serialize)]
    struct Will<'a> {
        v: u8,
        state: &'static str,
        gateway: &'a str,
        epoch: String,
        store: Store,
    }
    #[derive(Serialize)]
    struct Store {
        #[serde(flatten)]
        life: LifeStatus,
        last: [u64; 3],
    }
    let store = Store { life: LifeStatus::of(life), last };
    let will =
        Will { v: 1, state: "offline", gateway: gateway.as_str(), epoch: life.epoch.to_string(), store };
    Bytes::from(serde_json::to_vec(&will).expect("text and numbers only"))
}

/// The last will of a connection that has no store behind it.
///
/// # Panics
/// Never: text only.
#[must_use]
pub fn last_will(gateway: &GatewayId) -> Bytes {
    let document = serde_json::json!({ "v": 1, "state": "offline", "gateway": gateway.as_str() });
    Bytes::from(serde_json::to_vec(&document).expect("text only"))
}

fn source_status<'a>(
    source: &'a SourceCounters,
    index: SourceIndex,
    cameras: &[(Camera, Duration)],
    now: UtcMillis,
    uptime: Duration,
) -> SourceStatus<'a> {
    let (cameras, camera_ages) = longest_silent(index, cameras);
    // Read in this order a message may be missed as in flight, never counted twice.
    let judged = source.messages_judged_total.get();
    let refused = source.messages_refused_total.get();
    let superseded = source.messages_superseded_total.get();
    let received = source.messages_received_total.get();
    SourceStatus {
        name: source.name.as_str(),
        received,
        judged,
        superseded,
        refused,
        in_flight: received.saturating_sub(judged + superseded + refused),
        redelivered: source.messages_redelivered_total.get(),
        readings: source.readings_judged_total.get(),
        frames: source.frames_judged_total.get(),
        bytes: source.bytes_received_total.get(),
        age_ms: source.last_received().map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)),
        rejections: source
            .rejections()
            .map(|(reason, count)| (reason.as_str().to_owned(), serde_json::Value::from(count)))
            .collect(),
        warning: (received == 0 && uptime >= HEARS_NOTHING_AFTER).then_some(HEARS_NOTHING),
        shared_names: source.shared_name_count(),
        shared_readings: source.shared_readings_total.get(),
        clock_offsets: source.clock_offsets.count(),
        cameras,
        camera_ages,
    }
}
