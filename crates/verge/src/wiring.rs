//! From checked settings to a running gateway, and back to a clean stop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use verge_anomaly::ReadingJudge;
use verge_codec::Decoders;
use verge_codec::wire::WireEncoder;
use verge_domain::id::{RouteId, SourceId};
use verge_domain::reading::SourceIndex;
use verge_domain::stage::{Decoder, Scope, Store};
use verge_domain::time::Moment;
use verge_mqtt::{ReadingSource, ReadingSourceSettings, UplinkSettings, UplinkSink};
use verge_outbox::{Outbox, StateLock};
use verge_pipeline::clock::{Clock, random_event_id};
use verge_pipeline::committer::{self, Committer};
use verge_pipeline::counters::Counters;
use verge_pipeline::delivery::{self, RouteCounters, RouteSettings};
use verge_pipeline::intake::{IntakeQueue, Judging, REMEMBERED_MESSAGES};
use verge_pipeline::judging::{Bench, Decision, JudgeSpec};
use verge_pipeline::status::{self, LocalState, Status, StatusSettings};

use crate::exit::{Exit, ExitWith};
use crate::io_thread::IoThread;
use crate::settings::{Settings, Uplink};

/// How often the gateway looks whether its own threads still live.
const SUPERVISION: Duration = Duration::from_millis(500);

/// A running gateway.
pub struct Gateway {
    source: ReadingSource,
    /// Carries the source's task; ends with the gateway.
    _local_thread: IoThread,
    judging: Judging,
    committer: Committer,
    deliveries: Vec<JoinHandle<()>>,
    routes: Vec<(RouteId, Arc<RouteCounters>)>,
    counters: Arc<Counters>,
    stop_deliveries: watch::Sender<bool>,
    /// Held for as long as the gateway runs: a second one on the same state is refused.
    _lock: StateLock,
}

impl Gateway {
    /// Opens the store, takes up saved state, connects both ways. Brokers need not be reachable.
    ///
    /// # Errors
    /// The state directory is in use, the store cannot be opened, certificates cannot be read.
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        let local = settings.local.build().exit_with(Exit::BadConfig)?;
        let uplinks = settings
            .uplinks
            .iter()
            .map(|uplink| Ok((uplink, uplink.connection()?)))
            .collect::<anyhow::Result<Vec<_>>>()
            .exit_with(Exit::BadConfig)?;
        let lock = StateLock::take(&settings.gateway.state_dir).exit_with(Exit::Temporary)?;
        let opened = Outbox::open(&settings.outbox).context("the store").exit_with(Exit::Failure)?;
        if let Some(note) = &opened.note {
            tracing::error!("{note}");
        }
        let mut store = opened.outbox;

        let clock = Clock::start();
        let started = clock.now();
        let route_ids: Vec<RouteId> = settings.uplinks.iter().map(|uplink| uplink.name.clone()).collect();
        let marks = store.open_routes(&route_ids).context("the store")?;
        let causes = store.recent_causes(REMEMBERED_MESSAGES).context("the store")?;
        let checkpoints = store.checkpoints().context("the store")?;

        let counters = Arc::new(Counters::new(source_ids(settings)));
        let mut bench = bench(settings, decoders(settings)?, Arc::clone(&counters), started);
        let mut restored = Decision::default();
        bench.restore(&checkpoints, started, &mut restored);

        let queue = IntakeQueue::new(Arc::clone(&counters));
        let intake = queue.intake();
        let local_thread = IoThread::start("verge-local")?;
        let source = local_thread.within(|| {
            ReadingSource::spawn(
                ReadingSourceSettings { connection: local, filters: filters(settings) },
                move || clock.now(),
                move |message| intake.offer(message).map_err(|_| verge_mqtt::IntakeFull),
            )
        });
        let gateway_id = settings.gateway.id.clone();
        let epoch = store.epoch();
        let (committer, commits, store) = committer::start(
            store,
            WireEncoder::new(verge_codec::wire::WireFormat::Cbor),
            gateway_id.clone(),
            source.clone(),
            Arc::clone(&counters),
            clock,
        );
        let judging = queue.start(bench, source.clone(), commits, clock, restored, causes);

        let routes: Vec<(RouteId, Arc<RouteCounters>)> =
            route_ids.into_iter().map(|route| (route, Arc::new(RouteCounters::default()))).collect();
        let status_settings = StatusSettings {
            gateway: gateway_id,
            site: settings.gateway.site.clone(),
            version: env!("CARGO_PKG_VERSION"),
            epoch,
        };
        let local_state = source.clone();
        let status = Arc::new(Status::new(
            status_settings,
            Arc::clone(&counters),
            routes.clone(),
            move || local_state_of(&local_state),
            started,
        ));
        let (stop_deliveries, stopped) = watch::channel(false);
        let deliveries = uplinks
            .into_iter()
            .zip(&routes)
            .zip(marks)
            .map(|(((uplink, connection), (_, counters)), delivered)| {
                let sink = UplinkSink::spawn(UplinkSettings {
                    connection,
                    topic_prefix: format!("{}/{}", uplink.prefix, settings.gateway.id),
                    window: uplink.window,
                    last_will: status::last_will(&settings.gateway.id),
                });
                let status = Arc::clone(&status);
                tokio::spawn(delivery::deliver(
                    route_settings(settings, uplink),
                    delivered,
                    store.clone(),
                    sink,
                    WireEncoder::new(uplink.format),
                    Arc::clone(counters),
                    clock,
                    move |stopping| status.document(clock.now(), stopping),
                    stopped.clone(),
                ))
            })
            .collect();
        Ok(Self {
            source,
            _local_thread: local_thread,
            judging,
            committer,
            deliveries,
            routes,
            counters,
            stop_deliveries,
            _lock: lock,
        })
    }

    /// What has been counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The routes and what each has done.
    #[must_use]
    pub fn routes(&self) -> &[(RouteId, Arc<RouteCounters>)] {
        &self.routes
    }

    /// Waits until one of the gateway's own threads or tasks has ended, which only a fault can cause.
    pub async fn failed(&self) {
        let ended = || {
            let own = [self.source.is_finished(), self.judging.is_finished(), self.committer.is_finished()];
            own.contains(&true) || self.deliveries.iter().any(JoinHandle::is_finished)
        };
        while !ended() {
            tokio::time::sleep(SUPERVISION).await;
        }
    }

    /// Stops in order: no more input, judge and commit what is queued, let upstream acknowledge for a few
    /// seconds, disconnect.
    ///
    /// # Errors
    /// The store has failed for good.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Self { source, judging, committer, deliveries, stop_deliveries, .. } = self;
        source.stop().await;
        tokio::task::spawn_blocking(move || judging.stop()).await.context("the judging thread")?;
        stop_deliveries.send_replace(true);
        for delivery in deliveries {
            delivery.await.context("a delivery had panicked")?;
        }
        let ended =
            tokio::task::spawn_blocking(move || committer.join()).await.context("the store's thread")?;
        ended.exit_with(Exit::Temporary)
    }
}

/// The names of the sources, in the order of their indices.
pub fn source_ids(settings: &Settings) -> Vec<SourceId> {
    settings.sources.iter().map(|source| source.name.clone()).collect()
}

fn filters(settings: &Settings) -> Vec<(SourceIndex, String)> {
    (0..).zip(&settings.sources).map(|(index, source)| (SourceIndex(index), source.filter.clone())).collect()
}

/// The codecs of the sources.
///
/// # Errors
/// They refuse their settings, which the check of the configuration would have told.
pub fn decoders(settings: &Settings) -> anyhow::Result<Decoders> {
    let sources = settings.sources.iter().map(|source| source.codec.clone()).collect();
    Decoders::new(sources).exit_with(Exit::BadConfig)
}

/// All judges of the configuration at work, as the gateway runs them and as `verge judge` tries them.
pub fn bench<D: Decoder>(
    settings: &Settings,
    decoder: D,
    counters: Arc<Counters>,
    now: Moment,
) -> Bench<D, ReadingJudge> {
    let specs = settings.judges.iter().map(judge_spec).collect();
    Bench::new(decoder, specs, source_ids(settings), counters, random_event_id, now)
}

fn judge_spec(judge: &crate::settings::Judge) -> JudgeSpec<ReadingJudge> {
    let rule = judge.rule.clone();
    // Expected devices are watched as a whole: they have no signal before they are first heard.
    let scope = if judge.expect.is_empty() { rule.scope() } else { Scope::Device };
    JudgeSpec {
        name: judge.name.clone(),
        detector: rule.detector(),
        scope,
        policy: judge.policy,
        inputs: judge.inputs.clone(),
        devices: judge.devices.clone(),
        expect: judge.expect.clone(),
        make: Box::new(move |now| ReadingJudge::new(&rule, now)),
    }
}

fn route_settings(settings: &Settings, uplink: &Uplink) -> RouteSettings {
    RouteSettings {
        route: uplink.name.clone(),
        gateway: settings.gateway.id.clone(),
        lanes: uplink.lanes.clone(),
        window: uplink.window,
        batch: uplink.batch,
        rewind: uplink.rewind,
    }
}

fn local_state_of(source: &ReadingSource) -> LocalState {
    let state = source.state();
    LocalState {
        connected: state.connected,
        connections: state.connections,
        outstanding: state.outstanding,
        unknown_topics: state.unknown_topic,
        last_error: state.last_error,
    }
}
