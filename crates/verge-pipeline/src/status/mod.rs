//! The status document: what `<prefix>/<gateway>/status` holds, retained, in JSON.
//!
//! `docs/status.md` holds the schema. Keys are only ever added.

mod cameras;
pub(crate) mod claim;
mod judges;
mod local;
mod models;
mod routes;
mod sources;
mod store;
mod will;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use verge_domain::alarms::AlarmFigures;
use verge_domain::board::{Board, OpenEvents};
use verge_domain::frame::GivenUp;
use verge_domain::id::{GatewayId, RouteId};
use verge_domain::life::Life;
use verge_domain::reading::SourceIndex;
use verge_domain::settable::SetLimit;
use verge_domain::time::Moment;

use crate::counters::{Counters, JudgingAccount, MaintenanceWindow, Percentiles, ReloadsStatus};
use crate::delivery::RouteCounters;
use crate::judging::CountedLines;
pub use cameras::CameraStatus;
pub use claim::{LifeStatus, Sighting, sighting};
pub use judges::JudgeStatus;
pub use local::{
    BrokerStatus, CertificateStatus, LocalState, OfferStatus, OffersStatus, OpcUaStatus, RefusedDeviceStatus,
    ServerPoints, ServerStatus, StatesStatus, WeightsStatus,
};
pub use models::{AgreementStatus, MadeElsewhereStatus, ModelStatus, ReturnStatus};
pub use routes::{
    ArrivalStatus, DegradedStatus, EdgeNodeStatus, Ledger, LinkLedger, LinkStatus, RouteStatus, SiteStatus,
};
pub use sources::SourceStatus;
use sources::source_status;
pub use store::StoreStatus;
pub(crate) use store::withdrawn;
pub use will::{last_will, last_will_of};

/// A source that has received nothing for this long after the start is reported.
pub const NOTHING_RECEIVED_AFTER: Duration = Duration::from_secs(30);
/// The report.
pub const NOTHING_RECEIVED: &str = "nothing received since the start: no device publishes there, the topic filter is wrong, \
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
    /// What runs models, where there are any.
    pub provider: Option<&'static str>,
}

/// The sources of the status.
pub struct Status {
    settings: StatusSettings,
    counters: Arc<Counters>,
    board: Arc<dyn Board>,
    routes: Vec<(RouteId, Arc<RouteCounters>)>,
    local: Box<dyn Fn() -> LocalState + Send + Sync>,
    started: Moment,
}

/// The status at one moment. Its JSON is the document.
#[expect(missing_docs, reason = "docs/status.md says what each key means")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    pub v: u8,
    pub state: &'static str,
    pub gateway: GatewayId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    pub version: &'static str,
    pub epoch: String,
    /// UTC ms.
    pub at: i64,
    pub uptime_s: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reloads: Option<ReloadsStatus>,
    pub local: LocalState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<BrokerStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
    pub sources: Vec<SourceStatus>,
    pub unknown_topics: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<FramesStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub judges: Vec<JudgeStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counting: Vec<CountedLines>,
    pub judging: JudgingStatus,
    pub maintenance: MaintenanceStatus,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set_limits: Vec<SetLimit>,
    pub store: StoreStatus,
    pub routes: Vec<RouteStatus>,
    pub ledger: Ledger,
    pub events: OpenEvents,
    pub alarms: AlarmFigures,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<StatesStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offers: Option<OffersStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelStatus>,
    /// Files of models that were made for another kind of processor or with another ONNX Runtime.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub made_elsewhere: Vec<MadeElsewhereStatus>,
    pub provider: Option<&'static str>,
}

/// Steps of the wall clock.
#[expect(missing_docs, reason = "docs/status.md says what each key means")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ClockStatus {
    pub steps: u64,
    pub last_step_ms: i64,
}

impl ClockStatus {
    fn of(counters: &Counters) -> Option<Self> {
        let steps = counters.clock_steps_total.get();
        let last_step_ms = counters.last_clock_step_ms.load(Ordering::Relaxed);
        (steps > 0).then_some(Self { steps, last_step_ms })
    }
}

/// How long frames wait and take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FramesStatus {
    /// From receipt of a frame until a worker begins, in the last minutes.
    pub age_ms: Percentiles,
    /// How long a worker takes for a frame, in the last minutes.
    pub judging_ms: Percentiles,
    /// What is given up, where frames come faster than they can be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_up: Option<&'static str>,
    /// Since when, in UTC ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_up_since: Option<i64>,
    /// Cameras that had less than their least in the last seconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub below_least: u64,
}

impl FramesStatus {
    fn of(counters: &Counters) -> Option<Self> {
        let (age_ms, judging_ms) = (counters.frame_age.percentiles()?, counters.frame_judging.percentiles()?);
        let (overload, since) = counters.overload();
        let is_overload = overload.given_up > GivenUp::Nothing;
        Some(Self {
            age_ms,
            judging_ms,
            given_up: is_overload.then_some(overload.given_up.as_str()),
            given_up_since: since.filter(|_| is_overload).map(|since| since.0),
            below_least: overload.below,
        })
    }
}

/// The judges' memory and faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct JudgingStatus {
    /// Instances and memory.
    #[serde(flatten)]
    pub account: JudgingAccount,
    /// Devices evicted for others, since the start.
    pub evicted: u64,
    /// Judges, codecs and encoders that panicked, since the start.
    pub defects: u64,
}

/// What maintenance holds back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MaintenanceStatus {
    /// Events not raised because of it, since the start.
    pub held_back: u64,
    /// The windows that are open.
    pub windows: Vec<MaintenanceWindow>,
}

impl Status {
    /// A status from these counters and this board.
    pub fn new(
        settings: StatusSettings,
        (counters, board): (Arc<Counters>, Arc<dyn Board>),
        routes: Vec<(RouteId, Arc<RouteCounters>)>,
        local: impl Fn() -> LocalState + Send + Sync + 'static,
        started: Moment,
    ) -> Self {
        Self { settings, counters, board, routes, local: Box::new(local), started }
    }

    /// The document as of now; `stopping` marks the last one of this run.
    ///
    /// # Panics
    /// Never: the document holds numbers, text and lists only.
    #[must_use]
    pub fn document(&self, now: Moment, stopping: bool) -> Bytes {
        let snapshot = self.snapshot(now, stopping);
        Bytes::from(serde_json::to_vec(&snapshot).expect("a status holds numbers, text and lists only"))
    }

    /// The same, typed.
    #[must_use]
    pub fn snapshot(&self, now: Moment, stopping: bool) -> Snapshot {
        let received_bytes =
            self.counters.sources().iter().map(|source| source.bytes_received_total.get()).sum();
        let mut local = (self.local)();
        let servers = std::mem::take(&mut local.servers);
        let states = std::mem::take(&mut local.states);
        let offers = local.offers.take();
        let models = std::mem::take(&mut local.models);
        let made_elsewhere = std::mem::take(&mut local.made_elsewhere);
        let uptime = now.mono.since(self.started.mono);
        Snapshot {
            v: 1,
            state: if stopping { "stopped" } else { "online" },
            gateway: self.settings.gateway.clone(),
            site: self.settings.site.clone(),
            version: self.settings.version,
            epoch: self.settings.life.epoch.to_string(),
            at: now.wall.0,
            uptime_s: uptime.as_secs(),
            clock: ClockStatus::of(&self.counters),
            reloads: self.counters.reloads.status(),
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
            frames: FramesStatus::of(&self.counters),
            judges: self.counters.alarm_rates().iter().map(JudgeStatus::of).collect(),
            counting: self.counters.counted_lines(),
            judging: JudgingStatus {
                account: self.counters.judging(),
                evicted: self.counters.of_all_judges(|counters| &counters.evicted_devices_total),
                defects: self.counters.of_all_judges(|counters| &counters.defects_total),
            },
            maintenance: MaintenanceStatus {
                held_back: self.counters.of_all_judges(|counters| &counters.raises_held_back_total),
                windows: self.counters.maintenance(),
            },
            set_limits: self.counters.set_limits(),
            store: StoreStatus::of(&self.settings.life, &self.counters),
            routes: self.routes.iter().map(|(name, counters)| RouteStatus::of(name, counters)).collect(),
            ledger: Ledger::of(received_bytes, &self.routes),
            events: self.board.open_events(),
            alarms: self.board.alarms(now.wall),
            servers,
            states,
            offers,
            models,
            made_elsewhere,
            provider: self.settings.provider,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests;
