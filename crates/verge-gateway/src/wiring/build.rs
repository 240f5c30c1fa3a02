//! All that a gateway is made of, opened and not yet at work: what a configuration or a machine gets wrong ends here,
//! before the first connection.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use verge_domain::id::{Lane, RouteId, Seq};
use verge_domain::stage::{Cause, Checkpoint, MarkStore, RowStore, StateStore, StoreError};
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::verdict::Verdict;
use verge_outbox::{OpenedStore, Outbox, OutboxSettings, StateLock};
use verge_pipeline::board::LastWords;
use verge_pipeline::clock::Clock;
use verge_pipeline::counters::Counters;
use verge_pipeline::judging::{KNOWN_EVENTS, open_events, raised_before};
use verge_wire::read_verdict;

use super::Autoencoders;
use super::broker::LocalPlan;
use super::dashboard::OpeningServer;
use super::frames::FramePath;
use super::links::OpenedUplink;
use super::readings::{self, ReadingJudges};
use super::renewal;
use super::replacement::JudgesAtWork;
use super::sparkplug;
use super::trials::report::VersionEvent;
use super::trials::start::note_starts;
use crate::exit::{Exit, ExitWith};
use crate::settings::Settings;

/// The parts. No connection is made, and no thread runs but the one that answers for the dashboard until it is there.
pub(super) struct Built<'a> {
    /// How to come by the site's broker.
    pub(super) local: LocalPlan<'a>,
    /// Of the uplinks, in their order.
    pub(super) uplinks: Vec<OpenedUplink>,
    pub(super) lock: StateLock,
    pub(super) store: Outbox,
    /// What each route has delivered, in the order of the routes.
    pub(super) marks: Vec<[Seq; 3]>,
    /// Messages that the broker may send again although the store holds their verdicts.
    pub(super) causes: Vec<Cause>,
    /// What was saved of uplinks.
    pub(super) birth_numbers: Vec<Checkpoint>,
    /// Holds the events that were open when the gateway stopped.
    pub(super) board: Arc<LastWords>,
    pub(super) clock: Clock,
    pub(super) started: Moment,
    pub(super) counters: Arc<Counters>,
    pub(super) frame_path: Option<FramePath>,
    pub(super) judges: ReadingJudges,
    pub(super) at_work: JudgesAtWork,
    /// What is to be reported of versions of models.
    pub(super) versions: Vec<VersionEvent>,
    /// Answers in the place of the dashboard.
    pub(super) opening: Option<OpeningServer>,
}

impl<'a> Built<'a> {
    /// Reads certificates, locks and opens the store, loads models, makes the judges and takes up what was saved of them.
    ///
    /// # Errors
    /// The state directory is in use, the store cannot be opened, a certificate or a model cannot be used.
    pub(super) fn open(settings: &'a Settings) -> anyhow::Result<Self> {
        // Before anything is written with a clock that may not be set.
        let known = newest_time_in(&settings.gateway.state_dir);
        let lock = StateLock::take(&settings.gateway.state_dir).exit_with(Exit::Temporary)?;
        let opening = OpeningServer::start(settings);
        // Another gateway that runs here may be about to renew: behind the lock, and before a certificate is read.
        renewal::finish(settings);
        let local = LocalPlan::of(&settings.local, &settings.sources).exit_with(Exit::BadConfig)?;
        let uplinks = settings
            .uplinks
            .iter()
            .map(|uplink| Ok(OpenedUplink::of(uplink)?))
            .collect::<anyhow::Result<Vec<OpenedUplink>>>()
            .exit_with(Exit::BadConfig)?;
        let outbox = settings.store.build().exit_with(Exit::BadConfig)?;
        let opened = open_store(&outbox)?;
        if let Some(note) = &opened.note {
            tracing::error!("{note}");
        }
        let mut store = opened.outbox;

        let clock = Clock::start_after(known);
        let started = clock.now();
        if !clock.is_set() {
            tracing::warn!(
                from_ms = started.wall.0,
                "the wall clock of this machine is not set: until it is, times are reckoned from when the state folder was \
                 last written to, or from 2026-01-01; set it, by NTP or a clock with a battery"
            );
        }
        let routes: Vec<RouteId> = settings.routes.iter().map(|route| route.name.clone()).collect();
        let marks = store.open_routes(&routes).context("the store").exit_with(Exit::Temporary)?;
        let causes = store.unacknowledged().context("the store").exit_with(Exit::Temporary)?;
        let mut checkpoints = store.checkpoints().context("the store").exit_with(Exit::Temporary)?;
        let birth_numbers = sparkplug::take_own(&mut checkpoints);
        let recent = recent_events(&mut store).context("the store").exit_with(Exit::Temporary)?;

        let board = Arc::new(LastWords::restored(open_events(&checkpoints), raised_before(&checkpoints)));
        board.recall(&recent, started.wall);

        // Durable before anything of a version is loaded: it may end this process.
        let versions = note_starts(settings);
        let (counters, bulk_counters) = readings::counters(settings);
        let frame_path = FramePath::open(settings, &counters, &causes)?;
        let vision = frame_path.as_ref().map(FramePath::vision);
        let models = Autoencoders::load(settings, vision.map(AsRef::as_ref))?;
        let at_work = JudgesAtWork::at_the_start(settings, vision, &models);
        let saved = (&checkpoints[..], &recent[..]);
        let judges = ReadingJudges::restore(settings, &models, (&counters, bulk_counters), saved, started)?;
        Ok(Self {
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
        })
    }
}

/// What the newest stored verdicts say of events, so that people can label those by their numbers.
fn recent_events(store: &mut Outbox) -> Result<Vec<Verdict>, StoreError> {
    const MAX_BYTES: usize = 4 << 20;
    let mut recent = Vec::new();
    for lane in Lane::ALL {
        let mut rows = Vec::new();
        let after = Seq(store.next_seq(lane).0.saturating_sub(1 + KNOWN_EVENTS as u64));
        store.fetch(lane, after, KNOWN_EVENTS, MAX_BYTES, &mut rows)?;
        let stored = rows.iter().filter(|row| row.withdrawn.is_none());
        // What cannot be read is reported when it is delivered.
        recent.extend(stored.filter_map(|row| Some(read_verdict(&row.bytes, lane).ok()?.1)));
    }
    recent.retain(|verdict| verdict.event.is_some());
    Ok(recent)
}

/// When a file in the state folder was last written, as far as that can be known.
fn newest_time_in(folder: &Path) -> Option<UtcMillis> {
    let files = std::fs::read_dir(folder).ok()?;
    let times = files.filter_map(|file| file.ok()?.metadata().ok()?.modified().ok());
    let newest = times.max()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(newest.as_millis()).ok().map(UtcMillis)
}

/// A medium that fails may work at the next start; what an operator must correct does not improve by starting again.
fn open_store(settings: &OutboxSettings) -> anyhow::Result<OpenedStore> {
    Outbox::open(settings).map_err(|error| {
        let exit = if error.may_pass() { Exit::Temporary } else { Exit::BadConfig };
        anyhow::Error::new(error).context(exit)
    })
}
