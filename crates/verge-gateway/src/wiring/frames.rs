//! From settings to what looks at frames: the library, the models, the workers, and the connections that frames come in
//! by.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use verge_codec::FrameDecoders;
use verge_domain::id::JudgeIndex;
use verge_domain::reading::{Session, SourceIndex};
use verge_domain::stage::Cause;
use verge_engine::Runtime;
use verge_models::{Catalogue, FrameModel};
use verge_mqtt::Guarantee;
use verge_pipeline::clock::Clock;
use verge_pipeline::counters::Counters;
use verge_pipeline::frames::{
    CameraJudges, Cameras, FrameQueue, FrameWorkers, Keep, SnapshotDesk, WatchBoard,
};
use verge_pipeline::intake::Observations;
use verge_pipeline::judging::Inputs;
use verge_vision::trial::ModelTrial;
use verge_vision::{FrameViewer, Memory, SourceMasks, ViewerSettings};

use super::autoencoders::NamedModels;
use super::inputs::{Site, SiteSource, Wanted};
use super::judges::inputs_of;
use super::runtime::runtime_search;
use super::trials::VersionTrial;
use crate::exit::{Exit, ExitWith};
use crate::reload::JudgePlaces;
use crate::settings::{Carries, FrameRules, JudgeSection, Settings};

/// A model that is at work on a trial's picture or window for longer than this hangs.
pub(super) const TRIAL: Duration = Duration::from_secs(60);

/// Lets a model look at one grey picture: what it would do with every frame shows before the first.
///
/// # Errors
/// It cannot be run, or gives what its card cannot mean.
pub fn try_model(model: &Arc<FrameModel>) -> anyhow::Result<ModelTrial> {
    let max_picture_bytes = picture_bytes(0);
    let (models, masks) = (vec![Arc::clone(model)], SourceMasks::default());
    let (judges, looks) = (Vec::new(), Vec::new());
    let settings = ViewerSettings {
        models,
        judges,
        looks,
        masks,
        names: Vec::new(),
        max_picture_bytes,
        watched: Vec::new(),
    };
    Ok(FrameViewer::new(&settings)?.try_out(0, Some(Instant::now() + TRIAL))?)
}

/// What looks at frames, before any worker does.
pub struct Vision {
    viewer: ViewerSettings,
    /// What verdicts call the model of each judge that looks at frames.
    identities: Vec<Option<NamedModels>>,
    judges: CameraJudges,
    /// Versions of models over frames and windows that have to prove themselves.
    trials: Vec<Arc<VersionTrial>>,
}

impl Vision {
    /// Loads the library and all models, as far as judges look at frames; `None` where none looks at a source of frames at
    /// all, be it only to see that frames come.
    ///
    /// # Errors
    /// There is no library, a model cannot be used, or a judge asks of its model what it cannot do.
    pub fn load(settings: &Settings) -> anyhow::Result<Option<Self>> {
        let places = JudgePlaces::of(settings);
        if settings.judges.iter().any(|judge| judge.frames().is_some()) {
            return Self::load_with(settings, (Vec::new(), None), &places).map(Some);
        }
        let watched = settings.judges.iter().any(JudgeSection::watches_arrivals);
        watched.then(|| Self::placed(settings, Vec::new(), Vec::new(), &places)).transpose()
    }

    /// The same for a gateway, with versions of models that are on trial.
    pub(super) fn load_at_work(settings: &Settings) -> anyhow::Result<Option<Self>> {
        if !settings.judges.iter().any(|judge| judge.frames().is_some()) {
            return Self::load(settings);
        }
        Self::load_with(settings, (Vec::new(), Some(&[])), &JudgePlaces::of(settings)).map(Some)
    }

    /// The same where another one is at work, and judges have these places.
    pub(super) fn load_beside(
        settings: &Settings,
        at_work: &Self,
        places: &JudgePlaces,
    ) -> anyhow::Result<Self> {
        Self::load_with(settings, (at_work.viewer.models.clone(), Some(&at_work.trials)), places)
    }

    fn load_with(
        settings: &Settings,
        (known, trials): (Vec<Arc<FrameModel>>, Option<&[Arc<VersionTrial>]>),
        places: &JudgePlaces,
    ) -> anyhow::Result<Self> {
        if !settings.judges.iter().any(|judge| judge.frames().is_some()) {
            return Self::placed(settings, Vec::new(), Vec::new(), places);
        }
        let runtime = Runtime::load(&runtime_search(settings)).exit_with(Exit::Unavailable)?;
        let mut catalogue = Catalogue::new(runtime.clone(), settings.engine.limits).beside(known);
        let models = settings
            .models
            .iter()
            .map(|model| catalogue.frames(model).with_context(|| format!("model.{}", model.name)))
            .collect::<anyhow::Result<Vec<_>>>()
            .exit_with(Exit::BadConfig)?;
        let trials = trials
            .map(|former| VersionTrial::all(settings, (Some(&runtime), &models), former))
            .unwrap_or_default();
        Self::placed(settings, models, trials, places).exit_with(Exit::BadConfig)
    }

    /// The judges with these models, one for each of the configuration.
    ///
    /// # Errors
    /// A judge asks of its model what it cannot do.
    pub fn of(settings: &Settings, models: Vec<Arc<FrameModel>>) -> anyhow::Result<Self> {
        Self::placed(settings, models, Vec::new(), &JudgePlaces::of(settings))
    }

    fn placed(
        settings: &Settings,
        mut models: Vec<Arc<FrameModel>>,
        trials: Vec<Arc<VersionTrial>>,
        places: &JudgePlaces,
    ) -> anyhow::Result<Self> {
        let mut identities = Vec::new();
        let mut looks = Vec::new();
        for judge in &settings.judges {
            let rules = judge.frames();
            let identity = rules.map(|rules| check_model(rules, &models, &trials));
            identities.push(identity.transpose().with_context(|| format!("judge.{}", judge.name))?);
            looks.push(rules.map(|rules| rules.look.clone()));
        }
        let max_pixels = settings.sources.iter().filter_map(|source| match &source.carries {
            Carries::Readings(_) => None,
            Carries::Frames(frames) => Some(frames.codec.max_pixels),
        });
        let max_picture_bytes = picture_bytes(max_pixels.max().unwrap_or_default());
        let masks = settings.sources.iter().map(|source| match &source.carries {
            Carries::Readings(_) => Vec::new(),
            Carries::Frames(frames) => frames.masks.clone(),
        });
        let inputs = settings.judges.iter().map(|judge| inputs_of(settings, judge, None)).collect();
        let judges = places.arranged(settings, inputs, || Inputs::readings(Vec::new()));
        let lines = settings.judges.iter().map(JudgeSection::has_lines);
        let lines = places.arranged(settings, lines.collect(), || false);
        let name = |judge: &JudgeSection| judge.frames().map(|_| judge.name.clone());
        let names = places.arranged(settings, settings.judges.iter().map(name).collect(), || None);
        let watched = VersionTrial::watched(&trials, models.len());
        models.extend(VersionTrial::beside(&trials).map(|(_, model)| Arc::clone(model)));
        let viewer = ViewerSettings {
            models,
            judges: places.arranged(settings, looks, || None),
            looks: judges.iter().map(|inputs| inputs.looks).collect(),
            masks: masks.collect(),
            names,
            max_picture_bytes,
            watched,
        };
        Ok(Self { viewer, identities, judges: CameraJudges::new(judges).counting(lines), trials })
    }

    /// Viewers for workers that look as this one says, each of which comes in the place of one that looks as `former` says.
    pub(super) fn viewers_beside(&self, former: &Self, workers: usize) -> anyhow::Result<Vec<FrameViewer>> {
        let has = |model: &Arc<FrameModel>| former.has(model);
        let viewer = || FrameViewer::beside(&self.viewer, has).exit_with(Exit::BadConfig);
        (0..workers).map(|_| viewer()).collect()
    }

    /// Whether workers that look as this one says have a model.
    pub(super) fn has(&self, model: &Arc<FrameModel>) -> bool {
        self.viewer.models.iter().any(|known| Arc::ptr_eq(known, model))
    }

    /// Whether another one looks at the same with the same models.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let models = |vision: &Self| vision.viewer.models.iter().map(Arc::as_ptr).collect::<Vec<_>>();
        self.judges == other.judges
            && self.viewer.judges == other.viewer.judges
            && self.viewer.masks == other.viewer.masks
            && self.viewer.names == other.viewer.names
            && self.viewer.watched == other.viewer.watched
            && models(self) == models(other)
    }

    /// A viewer of its own for one worker.
    ///
    /// # Errors
    /// A judge asks for a label that its model does not have, or there is no memory.
    pub fn viewer(&self) -> anyhow::Result<FrameViewer> {
        FrameViewer::new(&self.viewer).exit_with(Exit::BadConfig)
    }

    /// Which judges look at which cameras.
    pub const fn judges(&self) -> &CameraJudges {
        &self.judges
    }

    /// What verdicts call the model of a judge that looks at frames, meant by its position in the settings.
    pub(super) fn identity_of(&self, judge: JudgeIndex) -> Option<&NamedModels> {
        self.identities.get(judge.position())?.as_ref()
    }

    /// Versions of models that have to prove themselves.
    pub(super) fn trials(&self) -> &[Arc<VersionTrial>] {
        &self.trials
    }

    /// The models, as the configuration orders them; behind them those that are on trial.
    pub fn models(&self) -> &[Arc<FrameModel>] {
        &self.viewer.models
    }
}

/// What verdicts call a judge's model, if that does what the judge asks of it.
fn check_model(
    rules: &FrameRules,
    models: &[Arc<FrameModel>],
    trials: &[Arc<VersionTrial>],
) -> anyhow::Result<NamedModels> {
    let model = &models[rules.look.model];
    let (name, task) = (&model.card().identity.name, model.frames().task);
    ensure!(
        task == rules.task,
        "detector = \"{}\" over frames needs a model with task = \"{}\"; the card of {name} says task = \"{}\"",
        rules.rule.detector().as_str(),
        rules.task.as_str(),
        task.as_str()
    );
    rules.look.check(models)?;
    let named = |at: usize| models[at].card().identity.clone();
    let candidate = VersionTrial::canary_of(trials, rules.look.model);
    Ok(NamedModels { model: named(rules.look.model), smaller: rules.look.smaller.map(named), candidate })
}

/// The codecs of the sources of frames.
///
/// # Errors
/// They refuse their settings, which the check of the configuration would have reported.
pub fn frame_decoders(settings: &Settings) -> anyhow::Result<FrameDecoders> {
    let sources = settings.sources.iter().map(|source| match &source.carries {
        Carries::Readings(_) => None,
        Carries::Frames(frames) => Some(frames.codec.clone()),
    });
    FrameDecoders::new(sources).exit_with(Exit::BadConfig)
}

/// Memory that decoding one picture may take where sources accept `max_pixels`: four bytes for each, of which the
/// picture itself has three, and never less than a progressive 4K picture needs.
pub fn picture_bytes(max_pixels: u64) -> usize {
    usize::try_from(max_pixels.saturating_mul(4)).unwrap_or(usize::MAX).max(verge_vision::picture::MAX_BYTES)
}

/// How many frames are judged at once.
pub fn workers(settings: &Settings) -> NonZeroUsize {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    settings.engine.workers.unwrap_or_else(cores)
}

/// The same of all models that are not at work yet, through a viewer that is to work with them.
pub(super) fn try_models(
    settings: &Settings,
    vision: &Vision,
    known: &[Arc<FrameModel>],
    viewer: &mut FrameViewer,
) -> anyhow::Result<()> {
    for (index, (model, loaded)) in settings.models.iter().zip(vision.models()).enumerate() {
        if known.iter().any(|known| Arc::ptr_eq(known, loaded)) {
            continue;
        }
        let name = &model.name;
        let trial = viewer
            .try_out(index, Some(Instant::now() + TRIAL))
            .with_context(|| format!("model.{name}: one grey picture"))?;
        tracing::info!(model = %name, took_ms = trial.took.as_millis(), "tried on one grey picture");
        if let Some(contradiction) = trial.contradiction {
            tracing::warn!(model = %name, "{contradiction}");
        }
    }
    let first = settings.models.len();
    for (index, (trial, loaded)) in VersionTrial::beside(vision.trials()).enumerate() {
        if known.iter().any(|known| Arc::ptr_eq(known, loaded)) {
            continue;
        }
        // One that fails is returned from; the gateway goes on without it.
        if let Err(error) = viewer.try_out(first + index, Some(Instant::now() + TRIAL)) {
            trial.desk.with(|counted| counted.cannot_load(format!("one grey picture: {error}")));
        }
    }
    Ok(())
}

/// The frames' queue with a viewer for each worker, before anything runs.
pub(super) struct FramePath {
    vision: Arc<Vision>,
    decoders: FrameDecoders,
    viewers: Vec<FrameViewer>,
    queue: FrameQueue<Memory>,
}

impl FramePath {
    /// Opens everything that frames need; `None` where no judge looks at them.
    pub(super) fn open(
        settings: &Settings,
        counters: &Arc<Counters>,
        causes: &[Cause],
    ) -> anyhow::Result<Option<Self>> {
        let Some(vision) = Vision::load_at_work(settings)? else { return Ok(None) };
        let mut viewers =
            (0..workers(settings).get()).map(|_| vision.viewer()).collect::<anyhow::Result<Vec<_>>>()?;
        if let Some(viewer) = viewers.first_mut() {
            try_models(settings, &vision, &[], viewer).exit_with(Exit::BadConfig)?;
        }
        let schedules = settings.sources.iter().map(|source| match &source.carries {
            Carries::Readings(_) => None,
            Carries::Frames(frames) => Some(frames.schedule),
        });
        let queue = FrameQueue::new(vision.judges.clone(), schedules.collect(), Arc::clone(counters), causes);
        let vision = Arc::new(vision);
        Ok(Some(Self { vision, decoders: frame_decoders(settings)?, viewers, queue }))
    }

    /// What the workers look with.
    pub(super) const fn vision(&self) -> &Arc<Vision> {
        &self.vision
    }

    /// The cameras that frames have come from, and where pictures are left for people who watch one.
    pub(super) fn cameras(&self) -> (Cameras<Memory>, WatchBoard) {
        (self.queue.cameras(), self.queue.watch())
    }

    /// Connects the sources of frames: those that want the newest alone by one connection, those that want every
    /// frame by another. Must be called on the runtime that is to carry them.
    pub(super) fn connect(&self, settings: &Settings, site: &Site<'_>, clock: Clock) -> Vec<SiteSource> {
        let wanted = |keep: &Keep| match keep {
            Keep::Newest { .. } => Guarantee::AtMostOnce,
            Keep::Every => Guarantee::AtLeastOnce(Session::Frames),
        };
        [(Guarantee::AtMostOnce, "frames"), (Guarantee::AtLeastOnce(Session::Frames), "every")]
            .into_iter()
            .filter_map(|(guarantee, suffix)| {
                let filters: Vec<(SourceIndex, String)> = (0..)
                    .map(SourceIndex)
                    .zip(&settings.sources)
                    .filter(|(_, source)| match &source.carries {
                        Carries::Readings(_) => false,
                        Carries::Frames(frames) => wanted(&frames.schedule.keep) == guarantee,
                    })
                    .map(|(index, source)| (index, source.filter.clone()))
                    .collect();
                (!filters.is_empty()).then_some((guarantee, suffix, filters))
            })
            .map(|(guarantee, suffix, filters)| {
                let wanted = Wanted {
                    suffix: Some(suffix),
                    max_packet_bytes: Some(settings.max_frame_bytes),
                    guarantee,
                    filters,
                    moved: Vec::new(),
                    to: Vec::new(),
                };
                site.connect(wanted, clock, self.queue.intake(guarantee != Guarantee::AtMostOnce))
            })
            .collect()
    }

    /// Starts the workers.
    pub(super) fn start(
        self,
        wanted: (&Observations, Option<SnapshotDesk>),
        clock: Clock,
    ) -> FrameWorkers<FrameViewer> {
        let Self { vision, decoders, viewers, queue } = self;
        queue.start(decoders, viewers, viewer_again(vision), wanted, clock)
    }
}

/// Makes a viewer where a worker has lost its own.
pub(super) fn viewer_again(vision: Arc<Vision>) -> impl Fn() -> Option<FrameViewer> + Send + Sync {
    move || {
        vision
            .viewer()
            .inspect_err(|error| tracing::error!("a worker cannot be given a new viewer: {error:#}"))
            .ok()
    }
}
