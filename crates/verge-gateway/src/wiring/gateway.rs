//! A running gateway: connects what was built, sets it to work, and stops it in order.

mod ended;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use verge_anomaly::ReadingJudge;
use verge_domain::board::Board;
use verge_domain::id::RouteId;
use verge_domain::model_order::SharedModelDesk;
use verge_mqtt::Renewal;
use verge_outbox::StateLock;
use verge_pipeline::board::LastWords;
use verge_pipeline::clock::Clock;
use verge_pipeline::commands::{CommandDesks, RouteDesk};
use verge_pipeline::committer::{self, Committed, Committer, CommitterEnd};
use verge_pipeline::counters::Counters;
use verge_pipeline::delivery::RouteCounters;
use verge_pipeline::frames::{FrameWorkers, SnapshotDesk, Sources};
use verge_pipeline::intake::Judging;
use verge_pipeline::status::{LocalState, Snapshot, Status, StatusSettings};
use verge_vision::FrameViewer;
use verge_wire::WireEncoder;

use super::abort::AbortOnDrop;
use super::births::ask_for_births;
use super::broker::SiteBroker;
use super::build::Built;
use super::configured::ConfiguredView;
use super::dashboard::{LiveView, WebServer};
use super::expiry::{Expiry, own_certificates};
use super::frames::FramePath;
use super::inputs::{Site, SiteSource};
use super::offers::ModelOffers;
use super::renewal;
use super::replacement::JudgesAtWork;
use super::routes::{Outgoing, RouteDelivery, route_counters};
use super::servers::{ControlServers, Served};
use super::site::{local_state_of, report_silent_sources};
use super::states::StateTopicsAtWork;
use super::trials::watch::{ModelWatch, ModelsAtWork};
use crate::exit::{Exit, ExitWith};
use crate::io_thread::IoThread;
use crate::settings::Settings;

/// At the end deliveries wait this long for what is still to be committed.
const LAST_COMMITS: Duration = Duration::from_secs(1);

/// A running gateway.
pub struct Gateway {
    /// What it runs with.
    settings: Settings,
    at_work: JudgesAtWork,
    pub(super) sources: Sources<SiteSource>,
    /// Carry the sources' tasks; end with the gateway.
    _threads: Vec<IoThread>,
    judging: Vec<Judging<ReadingJudge>>,
    workers: Option<FrameWorkers<FrameViewer>>,
    committer: Committer,
    deliveries: Vec<RouteDelivery>,
    /// Reports sources that receive nothing; ends with the gateway.
    _hearing: AbortOnDrop,
    _expiry: AbortOnDrop,
    _renewal: AbortOnDrop,
    /// Asks edge nodes for births; ends with the gateway.
    _births: AbortOnDrop,
    routes: Vec<(RouteId, Arc<RouteCounters>)>,
    counters: Arc<Counters>,
    board: Arc<LastWords>,
    status: Arc<Status>,
    clock: Clock,
    /// Ends last of all: until then it holds what devices have sent.
    broker: Option<SiteBroker>,
    /// End with the gateway.
    servers: Option<Arc<ControlServers>>,
    states: Option<Arc<StateTopicsAtWork>>,
    pub(super) dashboard: Option<WebServer>,
    pub(super) configured: Arc<ConfiguredView>,
    models: Arc<ModelsAtWork>,
    model_watch: ModelWatch,
    /// Held for as long as the gateway runs: a second one on the same state is refused.
    lock: StateLock,
}

impl Gateway {
    /// Opens the store, takes up saved state, connects to the site's broker and to the uplinks. Brokers need not be reachable; an embedded one
    /// serves from here on. `committed` sees each verdict once it is durable.
    ///
    /// # Errors
    /// The state directory is in use, the store cannot be opened, certificates cannot be read, the embedded broker
    /// does not start.
    pub async fn start(settings: &Settings, committed: Option<Committed>) -> anyhow::Result<Self> {
        let Built {
            local,
            uplinks,
            lock,
            store,
            marks,
            causes,
            birth_numbers,
            board,
            clock,
            started,
            counters,
            frame_path,
            judges,
            at_work,
            versions,
            opening,
        } = Built::open(settings)?;
        let (local, broker) = local.carry_out(&settings.gateway.state_dir, clock, &counters.beats).await?;
        let site = broker.as_ref().map_or(Site::Broker(&local), SiteBroker::site);
        let (mut sources, mut threads) = judges.connect(settings, &site, clock, &counters.beats)?;
        if let Some(frame_path) = &frame_path {
            // A thread of its own: readings never wait behind the bytes of a frame.
            let thread = IoThread::start("verge-frames", &counters.beats)?;
            sources.extend(thread.within(|| frame_path.connect(settings, &site, clock)));
            threads.push(thread);
        }
        let sources = Sources(sources);
        let gateway_id = settings.gateway.id.clone();
        let (committer, commits, store) = committer::start(
            store,
            WireEncoder::new(verge_wire::WireFormat::Cbor),
            gateway_id.clone(),
            (sources.clone(), &causes),
            Arc::clone(&counters),
            clock,
            settings.store.lives,
            (Arc::clone(&board), committed),
        );
        let cameras = frame_path.as_ref().map(|path| path.cameras().0);
        let watched = frame_path.as_ref().map(FramePath::cameras);
        let names = || settings.sources.iter().map(|source| source.name.clone()).collect();
        let snapshots = settings.gateway.snapshots.then(|| SnapshotDesk::new(names()));
        let wanted = (&judges.observations(), snapshots.clone());
        let workers = frame_path.map(|frame_path| frame_path.start(wanted, clock));
        let offers = ModelOffers::start(settings, &uplinks)?;
        let models = offers.clone().map(|offers| -> SharedModelDesk { offers });
        let desks = CommandDesks { orders: judges.orders(), snapshots: snapshots.clone(), models };
        let (devices, signals) = (judges.watched(), judges.signals());
        let watch = watched.as_ref().map(|(_, watch)| watch.clone());
        let judging = judges.start(&sources, &commits, clock, (&causes, snapshots, watch));
        let models = ModelsAtWork::new(settings, &at_work, versions);
        broker.iter().for_each(|broker| broker.inputs().open());

        let routes: Vec<(RouteId, Arc<RouteCounters>)> = settings
            .routes
            .iter()
            .map(|route| (route.name.clone(), route_counters(settings, route)))
            .collect();
        let served = Served {
            clock,
            counters: Arc::clone(&counters),
            board: Arc::<LastWords>::clone(&board),
            routes: routes.clone(),
            orders: desks.orders.clone(),
            watched: devices,
        };
        let servers = ControlServers::start(settings, &served)?;
        let states = StateTopicsAtWork::start(settings, &uplinks, &served)?;
        let (served, stated) = (servers.clone(), states.clone());
        let status_settings = StatusSettings {
            gateway: gateway_id,
            site: settings.gateway.site.clone(),
            version: env!("CARGO_PKG_VERSION"),
            life: Arc::clone(store.life()),
            provider: settings.runs_models().then(|| settings.engine.provider.name()),
        };
        let (local_state, broker_state) = (sources.clone(), broker.as_ref().map(SiteBroker::status));
        let local_renewal = local.renewal.clone();
        let (births, asks) = (ask_for_births(settings, &local, &counters, clock), Arc::clone(&counters.asks));
        let expiry = Expiry::of(settings, started.wall);
        let certificates = Arc::clone(&expiry);
        let managed = Arc::clone(&models);
        let status = Arc::new(Status::new(
            status_settings,
            (Arc::clone(&counters), Arc::<LastWords>::clone(&board)),
            routes.clone(),
            move || LocalState {
                births_asked: asks.sent(),
                credentials_error: local_renewal.as_ref().and_then(Renewal::fault),
                broker: broker_state.as_ref().map(|state| state()),
                certificates: certificates.certificates(),
                servers: served.as_ref().map_or(Vec::new(), |servers| servers.status()),
                offers: offers.as_ref().map(|offers| offers.status()),
                models: managed.status(),
                made_elsewhere: managed.made_elsewhere(),
                states: stated.as_ref().map_or(Vec::new(), |states| states.status()),
                cameras: cameras.as_ref().map_or(Vec::new(), |cameras| cameras.ages(clock.now().mono)),
                ..local_state_of(&local_state)
            },
            started,
        ));
        let (route_desks, asked): (Vec<_>, Vec<_>) =
            settings.routes.iter().map(|route| RouteDesk::of(route.name.clone())).unzip();
        let configured = ConfiguredView::of(settings, &at_work);
        let model_watch = models.watch((commits, clock), configured.desk());
        let (seen, commands) = ((&board, &status, &counters, signals), (&store, &desks, route_desks));
        let live = LiveView::of(settings, seen, commands, &configured, (clock, watched));
        let dashboard = WebServer::start(settings, live, opening)?;
        let outgoing = Outgoing {
            settings,
            uplinks: &uplinks,
            store,
            desks,
            status: Arc::clone(&status),
            clock,
            board: Arc::<LastWords>::clone(&board),
            counters: Arc::clone(&counters),
            birth_numbers: &birth_numbers,
        };
        let deliveries = settings
            .routes
            .iter()
            .zip(&routes)
            .zip(marks.into_iter().zip(asked))
            .map(|((route, (_, counters)), from)| outgoing.start(route, counters, from))
            .collect();
        Ok(Self {
            settings: settings.clone(),
            at_work,
            sources,
            _threads: threads,
            judging,
            workers,
            committer,
            deliveries,
            _hearing: AbortOnDrop(tokio::spawn(report_silent_sources(Arc::clone(&counters)))),
            _expiry: AbortOnDrop(tokio::spawn(expiry.watch(clock))),
            _renewal: AbortOnDrop(tokio::spawn(renewal::keep(
                settings.gateway.renewal.clone(),
                own_certificates(settings),
            ))),
            _births: births,
            routes,
            counters,
            board,
            status,
            clock,
            broker,
            servers,
            states,
            dashboard,
            configured,
            models,
            model_watch,
            lock,
        })
    }

    /// What it runs with: the settings it was started with, or those of the last reload.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What has been counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The last word of each judge about each of its subjects. It outlives the gateway.
    #[must_use]
    pub fn board(&self) -> Arc<dyn Board> {
        Arc::<LastWords>::clone(&self.board)
    }

    /// The status as of now, whether an uplink takes it or not.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.status.snapshot(self.clock.now(), false)
    }

    /// The routes and what each has done.
    #[must_use]
    pub fn routes(&self) -> &[(RouteId, Arc<RouteCounters>)] {
        &self.routes
    }

    /// Where devices connect to the embedded broker, if there is one.
    #[must_use]
    pub fn listener(&self) -> Option<SocketAddr> {
        self.broker.as_ref().map(SiteBroker::listener)
    }

    /// Stops in order: no more input, judge and commit what is queued, let upstream acknowledge for a few
    /// seconds, disconnect.
    ///
    /// # Errors
    /// The store has failed for good, or the state folder is not locked any more.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        WebServer::stop(self.dashboard.take()).await?;
        let Self { sources, judging, workers, committer, deliveries, broker, states, lock, .. } = self;
        // It holds an end of the committer.
        self.model_watch.stop().await;
        if let Some(broker) = &broker {
            broker.close();
        }
        // A thread that hands something to a store that takes nothing would wait for ever.
        committer.stopping();
        for source in &sources.0 {
            source.stop().await;
        }
        if let Some(workers) = workers {
            tokio::task::spawn_blocking(move || workers.stop()).await.context("the workers")?;
        }
        judging.iter().for_each(Judging::stopping);
        tokio::task::spawn_blocking(move || judging.into_iter().for_each(Judging::stop))
            .await
            .context("the judging threads")?;
        // What they handed over last goes upstream with the rest.
        if tokio::time::timeout(LAST_COMMITS, committer.drained()).await.is_err() {
            tracing::debug!("the store has not taken everything yet");
        }
        deliveries.iter().for_each(RouteDelivery::stopping);
        for delivery in deliveries {
            delivery.stop().await?;
        }
        if let Some(states) = states {
            states.stop().await?;
        }
        let ended =
            tokio::task::spawn_blocking(move || committer.join()).await.context("the store's thread")?;
        if let Some(broker) = broker {
            broker.stop().await;
        }
        ended.exit_with(Exit::Temporary)?;
        lock.holds().exit_with(Exit::Temporary)
    }
}

/// Whether the gateway is to be started again at once: its store takes a new epoch then.
#[must_use]
pub fn begins_anew(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<CommitterEnd>(), Some(CommitterEnd::Overtaken))
}
