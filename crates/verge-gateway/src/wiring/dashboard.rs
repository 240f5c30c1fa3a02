//! The dashboard: what it sees of the gateway, and its certificates, which may change.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use verge_domain::board::{Board, LastWord};
use verge_domain::configured::Configured;
use verge_domain::history::SignalHistory;
use verge_domain::id::{Epoch, GatewayId, Identity, Lane, OperatorText};
use verge_domain::live::{CommandDone, LiveCameras, LiveDrawings, LiveGateway, ReadFrom, StoredDone};
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::verdict::Verdict;
use verge_mqtt::WatchedFiles;
use verge_pipeline::board::LastWords;
use verge_pipeline::clock::Clock;
use verge_pipeline::commands::{CommandDesks, CommandDoor, RouteDesk};
use verge_pipeline::committer::StoreHandle;
use verge_pipeline::counters::Counters;
use verge_pipeline::frames::{Cameras, WatchBoard};
use verge_pipeline::history::SignalRoom;
use verge_pipeline::status::Status;
use verge_tls::ServerConfig;
use verge_vision::Memory;
use verge_web::dashboard::{Dashboard, DashboardSettings, Opening, ServerTls};
use verge_wire::{SiteZone, verdict_json, verdict_words};

use super::Gateway;
use super::cameras::CameraView;
use super::configured::ConfiguredView;
use super::drawings::DrawingBoard;
use super::past::PastReader;
use crate::exit::{Exit, ExitWith};
use crate::io_thread::IoThread;
use crate::settings::{DashboardSection, Settings};

/// A dashboard at work, on a thread of its own. It ends with it.
pub(super) struct WebServer {
    dashboard: Dashboard,
    _thread: IoThread,
}

/// What the dashboard sees.
pub(super) struct LiveView {
    id: GatewayId,
    epoch: Epoch,
    clock: Clock,
    board: Arc<LastWords>,
    status: Arc<Status>,
    counters: Arc<Counters>,
    signals: Arc<SignalRoom>,
    door: CommandDoor,
    configured: Arc<ConfiguredView>,
    zone: SiteZone,
    cameras: Option<Arc<CameraView>>,
    drawings: Option<DrawingBoard>,
    past: Arc<PastReader>,
}

impl LiveView {
    /// Of a gateway with these settings.
    pub(super) fn of(
        settings: &Settings,
        (board, status, counters, signals): (&Arc<LastWords>, &Arc<Status>, &Arc<Counters>, Arc<SignalRoom>),
        (store, desks, routes): (&StoreHandle, &CommandDesks, Vec<RouteDesk>),
        configured: &Arc<ConfiguredView>,
        (clock, watched): (Clock, Option<(Cameras<Memory>, WatchBoard)>),
    ) -> Self {
        let cameras = watched.map(|watched| Arc::new(CameraView::new(watched, counters, clock)));
        let drawings = cameras
            .as_ref()
            .map(|cameras| DrawingBoard::of(settings, Arc::clone(cameras), clock, configured.desk()));
        Self {
            id: settings.gateway.id.clone(),
            epoch: store.epoch(),
            clock,
            board: Arc::clone(board),
            status: Arc::clone(status),
            counters: Arc::clone(counters),
            signals,
            door: CommandDoor::new(store.clone(), desks.clone()).with_routes(routes),
            configured: Arc::clone(configured),
            zone: settings.gateway.zone.clone(),
            cameras,
            drawings,
            past: PastReader::new(&settings.store, &settings.gateway.id),
        }
    }
}

/// Most gateways have opened within this time: then nothing ever answers in the place of the dashboard.
const OPENS_WITHIN: Duration = Duration::from_secs(2);

/// What answers in the place of the dashboard while the gateway opens. It ends when it is dropped.
pub(super) struct OpeningServer {
    _opening: Opening,
    _thread: IoThread,
}

impl OpeningServer {
    /// Serves, where the configuration asks for a dashboard. What is wrong with that is reported when the dashboard starts.
    pub(super) fn start(settings: &Settings) -> Option<Self> {
        let section = settings.dashboard.as_ref()?;
        let tls = section.tls().ok()?.map(|tls| -> ServerTls { Arc::new(move || Arc::clone(&tls)) });
        // Nobody expects its beat: the gateway that opens has none yet.
        let thread = IoThread::start("verge-opening", &Arc::default()).ok()?;
        let start = || Opening::start(section.listen, section.names(), tls, OPENS_WITHIN);
        Some(Self { _opening: thread.within(start), _thread: thread })
    }
}

impl WebServer {
    /// Serves, where the configuration asks for it, in the place of what has answered until now.
    ///
    /// # Errors
    /// It cannot listen, or its certificate cannot be used.
    pub(super) fn start(
        settings: &Settings,
        live: LiveView,
        opening: Option<OpeningServer>,
    ) -> anyhow::Result<Option<Self>> {
        drop(opening);
        let Some(section) = &settings.dashboard else { return Ok(None) };
        let tls = section.tls().exit_with(Exit::BadConfig)?.map(|first| renewed(section.clone(), first));
        let cannot = || format!("dashboard.listen: cannot listen on {}", section.listen);
        let listener = TcpListener::bind(section.listen).with_context(cannot).exit_with(Exit::Unavailable)?;
        let served = DashboardSettings {
            hosts: section.names(),
            tls,
            certificates: section.certificates.clone(),
            state_dir: settings.gateway.state_dir.clone(),
            site: settings.gateway.site.clone(),
            pictures: section.pictures,
            version: env!("CARGO_PKG_VERSION"),
        };
        let thread = IoThread::start_behind("verge-web", &live.counters.beats)?;
        let started = thread.within(|| Dashboard::start(served, listener, Arc::new(live)));
        let dashboard = started.with_context(cannot).exit_with(Exit::Unavailable)?;
        Ok(Some(Self { dashboard, _thread: thread }))
    }

    /// Ends it, if there is one. Its entrance for commands holds the store open: the store cannot end before.
    pub(super) async fn stop(server: Option<Self>) -> anyhow::Result<()> {
        // It may be in the middle of checking a password.
        tokio::task::spawn_blocking(move || drop(server)).await.context("the dashboard")
    }
}

impl Gateway {
    /// A link to the dashboard that logs a browser in once, as an administrator under this name, within this time; `None` where
    /// no dashboard is served.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn dashboard_link(&self, name: &str, life: Duration) -> anyhow::Result<Option<String>> {
        let link = self.dashboard.as_ref().map(|server| server.dashboard.invitation(name, life));
        Ok(link.transpose()?)
    }
}

/// The certificate as it is now: read again when one of its files is another. What cannot be used leaves the one before.
fn renewed(section: DashboardSection, first: Arc<ServerConfig>) -> ServerTls {
    let files = section
        .files
        .iter()
        .flat_map(|(cert, key)| [cert.clone(), key.clone()])
        .chain(section.client_ca.clone())
        .collect();
    let files = WatchedFiles::new(files);
    let in_use = Mutex::new((files.print(), first));
    Arc::new(move || {
        let mut in_use = in_use.lock().unwrap_or_else(PoisonError::into_inner);
        let print = files.print();
        if print != in_use.0 {
            in_use.0 = print;
            match section.tls() {
                Ok(Some(next)) => {
                    in_use.1 = next;
                    tracing::info!("the dashboard's certificate was read again");
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "the dashboard's certificate cannot be used; the one before stays in use")
                }
            }
        }
        Arc::clone(&in_use.1)
    })
}

impl LiveGateway for LiveView {
    fn id(&self) -> &GatewayId {
        &self.id
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn board(&self) -> &dyn Board {
        &*self.board
    }

    fn configured(&self) -> &dyn Configured {
        &*self.configured
    }

    fn status(&self) -> Bytes {
        self.status.document(self.clock.now(), false)
    }

    fn progress(&self) -> Vec<u64> {
        let mut progress = self.counters.progress();
        // A store that is full or in fault makes judging and committing wait for room: a restart would not help.
        if self.counters.store_full() || self.counters.store_fault() {
            progress.fill(self.clock.now().mono.0);
        }
        progress
    }

    fn verdict_json(&self, word: &LastWord) -> Option<Bytes> {
        let (gateway, epoch, lane) = (self.id.clone(), self.epoch, word.verdict.lane);
        let identity = Identity { gateway, epoch, lane, seq: word.seq? };
        Some(Bytes::from(verdict_json(&identity, &word.verdict).to_string()))
    }

    fn verdict_words(&self, verdict: &Verdict) -> String {
        verdict_words(verdict, &self.zone)
    }

    fn time_words(&self, at: UtcMillis) -> String {
        self.zone.to_second(at)
    }

    fn cameras(&self) -> Option<&dyn LiveCameras> {
        self.cameras.as_deref().map(|cameras| cameras as &dyn LiveCameras)
    }

    fn drawings(&self) -> Option<&dyn LiveDrawings> {
        self.drawings.as_ref().map(|drawings| drawings as &dyn LiveDrawings)
    }

    fn hour_words(&self, at: UtcMillis) -> String {
        self.zone.time_of_day(at)
    }

    fn read_time(&self, text: &str) -> Option<UtcMillis> {
        self.zone.read(text)
    }

    fn stored(&self, lane: Lane, from: ReadFrom, done: StoredDone) {
        self.past.read_aside(lane, from, done);
    }

    fn signals(&self) -> &dyn SignalHistory {
        &*self.signals
    }

    fn carry_out(&self, command: &[u8], by: &OperatorText, done: CommandDone) {
        let (door, command, by, now) =
            (self.door.clone(), command.to_vec(), by.clone(), self.clock.now().mono);
        tokio::spawn(async move { door.carry_out(&command, &by, now, done).await });
    }
}
