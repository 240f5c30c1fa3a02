//! How readings come in: by a connection and a judging thread for each class of judges.

use std::sync::Arc;

use verge_anomaly::ReadingJudge;
use verge_codec::Decoders;
use verge_domain::reading::{Inbound, Session, SourceIndex};
use verge_domain::stage::{Cause, Checkpoint, Intake, IntakeFull};
use verge_domain::time::Moment;
use verge_domain::verdict::Verdict;
use verge_mqtt::Guarantee;
use verge_pipeline::beats::Beats;
use verge_pipeline::clock::Clock;
use verge_pipeline::committer::CommitHandle;
use verge_pipeline::counters::Counters;
use verge_pipeline::frames::{SnapshotDesk, Sources, WatchBoard};
use verge_pipeline::history::SignalRoom;
use verge_pipeline::intake::{IntakeQueue, Judging, Observations, OrderDesk, ReadingIntake};
use verge_pipeline::judging::{Decision, EventRegister, JudgeSet, KnownEvent, WatchedDevices};

use super::classes::{Classes, JudgeClass};
use super::inputs::{Site, SiteSource, Wanted};
use super::servers::watched_devices;
use super::{Autoencoders, judges, source_ids};
use crate::io_thread::IoThread;
use crate::settings::{Overload, Settings};

/// The judges of one class, before anything runs.
struct Side {
    queue: IntakeQueue,
    judges: JudgeSet<Decoders, ReadingJudge>,
    restored: Decision,
}

/// All judges over readings, before anything runs.
pub(super) struct ReadingJudges {
    prompt: Side,
    bulk: Option<Side>,
    register: Arc<EventRegister>,
    watched: Arc<WatchedDevices>,
    /// What the dashboard shows of signals, if there is one.
    signals: Option<Arc<SignalRoom>>,
}

/// The counters of a gateway, and those of its bulk judges, if it has any.
pub(super) fn counters(settings: &Settings) -> (Arc<Counters>, Option<Arc<Counters>>) {
    let classes = Classes::of(settings);
    let mut counters = Counters::new(source_ids(settings));
    let bulk = classes.has_bulk().then(|| counters.beside(|source| classes.is_bulk_alone(source)));
    (Arc::new(counters), bulk)
}

impl ReadingJudges {
    /// Makes them and takes up what was saved.
    ///
    /// # Errors
    /// See [`super::decoders`].
    pub(super) fn restore(
        settings: &Settings,
        models: &Autoencoders,
        (counters, bulk): (&Arc<Counters>, Option<Arc<Counters>>),
        (checkpoints, recent): (&[Checkpoint], &[Verdict]),
        now: Moment,
    ) -> anyhow::Result<Self> {
        let classes = Classes::of(settings);
        let shared = judges::AcrossClasses::new(settings);
        let register = Arc::new(EventRegister::restored(checkpoints));
        let watched = watched_devices(settings);
        let signals = settings.dashboard.as_ref().map(|section| Arc::new(SignalRoom::new(section.history)));
        recent.iter().filter_map(KnownEvent::of).for_each(|event| register.note(event));
        let side = |class, counters: &Arc<Counters>, queue| {
            let mut judges = judges::judges_of(settings, models, (class, &shared), counters, now)?;
            judges.number_events_by(&register);
            judges.watch_devices(&watched);
            signals.iter().for_each(|signals| judges.show_signals(signals));
            let mut restored = Decision::default();
            judges.restore(&classes.saved(class, checkpoints), now, &mut restored);
            anyhow::Ok(Side { queue, judges, restored })
        };
        Ok(Self {
            prompt: side(JudgeClass::Prompt, counters, IntakeQueue::new(Arc::clone(counters)))?,
            bulk: bulk
                .map(|counters| side(JudgeClass::Bulk, &counters, IntakeQueue::bulk(Arc::clone(&counters))))
                .transpose()?,
            register,
            watched,
            signals,
        })
    }

    /// Where judges over frames hand in what they observe.
    pub(super) fn observations(&self) -> Observations {
        self.prompt.queue.observations()
    }

    /// The devices that servers show, and when each was last received.
    pub(super) fn watched(&self) -> Arc<WatchedDevices> {
        Arc::clone(&self.watched)
    }

    /// What signals show and showed of late, where there is a dashboard.
    pub(super) fn signals(&self) -> Arc<SignalRoom> {
        self.signals.clone().unwrap_or_default()
    }

    /// Where orders to all of them are handed in.
    pub(super) fn orders(&self) -> OrderDesk {
        let orders = self.prompt.queue.orders().with_register(&self.register);
        match &self.bulk {
            None => orders,
            Some(bulk) => orders.with(bulk.queue.orders()),
        }
    }

    /// Connects the sources of readings, each class on a thread of its own.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(super) fn connect(
        &self,
        settings: &Settings,
        site: &Site<'_>,
        clock: Clock,
        beats: &Arc<Beats>,
    ) -> anyhow::Result<(Vec<SiteSource>, Vec<IoThread>)> {
        let classes = Classes::of(settings);
        if classes.filters(|_, _| true).is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let (mut sources, mut threads) = (Vec::new(), Vec::new());
        if let Some(bulk) = &self.bulk {
            let thread = IoThread::start("verge-blocks", beats)?;
            sources = thread.within(|| connect_bulk(&classes, &bulk.queue, site, clock));
            threads.push(thread);
        }
        let thread = IoThread::start("verge-local", beats)?;
        // In earlier versions all readings came by this session: what waits there is judged.
        let moved = classes.filters(|source, _| classes.is_bulk_alone(source));
        let intake = Readings {
            prompt: self.prompt.queue.intake(),
            bulk: self.bulk.as_ref().map(|bulk| bulk.queue.intake()),
            moved: moved.iter().map(|(source, _)| *source).collect(),
            was_moved: false,
        };
        let wanted = Wanted {
            suffix: None,
            max_packet_bytes: None,
            guarantee: Guarantee::AtLeastOnce(Session::Readings),
            filters: classes.filters(|source, _| classes.receives(JudgeClass::Prompt, source)),
            moved,
            to: sources.clone(),
        };
        sources.push(thread.within(|| site.connect(wanted, clock, intake)));
        threads.push(thread);
        Ok((sources, threads))
    }

    /// Starts the judging threads.
    pub(super) fn start(
        self,
        sources: &Sources<SiteSource>,
        commits: &CommitHandle,
        clock: Clock,
        (causes, snapshots, watch): (&[Cause], Option<SnapshotDesk>, Option<WatchBoard>),
    ) -> Vec<Judging<ReadingJudge>> {
        let start = |Side { queue, judges, restored }: Side| {
            queue.start(judges, sources.clone(), commits.clone(), clock, restored, causes)
        };
        let Side { queue, judges, restored } = self.prompt;
        let prompt = Side { queue: queue.lending_to(snapshots).watched(watch), judges, restored };
        [Some(prompt), self.bulk].into_iter().flatten().map(start).collect()
    }
}

/// Connects what bulk judges look at: what waits at the broker until it is judged by one connection, what is superseded
/// by another.
fn connect_bulk(
    classes: &Classes<'_>,
    queue: &IntakeQueue,
    site: &Site<'_>,
    clock: Clock,
) -> Vec<SiteSource> {
    let filters_of = |overload| {
        classes.filters(|source, wanted| wanted == overload && classes.receives(JudgeClass::Bulk, source))
    };
    let (waiting, newest) = (filters_of(Overload::Wait), filters_of(Overload::Newest));
    let mut sources = Vec::new();
    if let Some(intake) = queue.newest_intake().filter(|_| !newest.is_empty()) {
        let wanted = Wanted {
            suffix: Some("newest"),
            max_packet_bytes: None,
            guarantee: Guarantee::AtMostOnce,
            filters: newest.clone(),
            moved: Vec::new(),
            to: Vec::new(),
        };
        sources.push(site.connect(wanted, clock, intake));
    }
    if !waiting.is_empty() {
        let wanted = Wanted {
            suffix: Some("bulk"),
            max_packet_bytes: None,
            guarantee: Guarantee::AtLeastOnce(Session::Blocks),
            filters: waiting,
            moved: newest,
            to: sources.clone(),
        };
        // The connection is left unread before what waits takes too much memory.
        sources.push(site.connect(wanted, clock, queue.intake()));
    }
    sources
}

/// The input of the connection of rules.
struct Readings {
    prompt: ReadingIntake,
    bulk: Option<ReadingIntake>,
    /// Sources that come by another connection since a version or a configuration ago.
    moved: Vec<SourceIndex>,
    /// The last message was of one of those.
    was_moved: bool,
}

impl Intake for Readings {
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
        self.was_moved = self.moved.contains(&message.source);
        let bulk = self.bulk.as_mut().filter(|_| self.was_moved);
        bulk.unwrap_or(&mut self.prompt).offer(message)
    }

    fn is_held(&mut self) -> bool {
        // Rules wait for no blocks, but while such come by this connection their queue keeps to its bound.
        self.prompt.is_held() || self.was_moved && self.bulk.as_mut().is_some_and(Intake::is_held)
    }
}
