//! Versions of managed models that have to prove themselves in a gateway at work.
//!
//! Reading order: [`VersionTrial`] (one of them, loaded beside the version in use), `start` (what is durable before anything is
//! loaded), `watch` (what is done with what was counted), `report` (the verdicts about it).

pub(super) mod report;
pub(super) mod start;
pub(super) mod watch;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use verge_domain::verdict;
use verge_engine::{ModelLimits, Runtime};
use verge_models::store::ModelStore;
use verge_models::trial::{Trial, TrialDesk, TrialPhase, TrialRules, memory_needed};
use verge_models::{FrameModel, ModelFiles};
use verge_vision::{Candidate, WatchedModel};

use super::frames::workers;
use crate::exit::reason;
use crate::settings::Settings;

/// A version that has to prove itself.
pub(super) struct VersionTrial {
    /// The model, as the configuration calls it.
    pub(super) model: String,
    pub(super) store: ModelStore,
    /// The version.
    pub(super) id: String,
    pub(super) phase: TrialPhase,
    pub(super) share: Option<u32>,
    /// Position of the model among those over frames; `None` of one over windows.
    place: Option<usize>,
    /// It, beside the version in use.
    beside: Option<Arc<FrameModel>>,
    /// What verdicts call it.
    pub(super) identity: Option<verdict::Model>,
    /// Why it is not looked with, though it is meant to be.
    pub(super) left_out: Option<String>,
    pub(super) desk: Arc<TrialDesk>,
    began: Instant,
    /// It was decided about.
    is_over: AtomicBool,
}

impl VersionTrial {
    /// Those that the slots of managed models ask for. One that went on in the same way before goes on with what was counted.
    pub(super) fn all(
        settings: &Settings,
        (runtime, loaded): (Option<&Runtime>, &[Arc<FrameModel>]),
        former: &[Arc<Self>],
    ) -> Vec<Arc<Self>> {
        let frames = settings.models.iter().enumerate().map(|(place, files)| (files, Some(place)));
        let windows = settings.autoencoders.iter().map(|files| (files, None));
        let trial = |(files, place): (&ModelFiles, Option<usize>)| {
            let store = files.store.as_ref()?;
            let (slots, _) = store.slots();
            let (id, phase) = slots.unproved()?;
            let share = slots.share.filter(|_| phase == TrialPhase::Canary);
            // One that stands elsewhere by now, that was left out, or that judges cannot work with any more is loaded again.
            let same = |one: &&Arc<Self>| {
                (&*one.model, &*one.id, one.place) == (&*files.name, id, place)
                    && (one.phase, one.share) == (phase, share)
                    && one.left_out.is_none()
                    && one.beside.as_ref().is_none_or(|beside| {
                        place.is_some_and(|place| fits(settings, loaded, place, beside).is_ok())
                    })
            };
            if let Some(same) = former.iter().find(same) {
                return Some(Arc::clone(same));
            }
            if phase == TrialPhase::Unconfirmed {
                // What was loaded counts, not what the slots have come to say since.
                let at_work = match place.and_then(|place| loaded.get(place)) {
                    Some(loaded) => version_of(loaded, store),
                    None => files.in_use().version,
                };
                if at_work.as_deref() != Some(id) {
                    return None;
                }
            }
            let before = former.iter().find(|one| one.model == files.name && one.id == id);
            let usual = before.map(|before| before.desk.with(|trial| trial.usual()));
            let rules = settings.packages.trial;
            // Windows are not counted.
            let confirm_frames = if place.is_some() { rules.confirm_frames } else { 0 };
            let trial = Trial::new(phase, TrialRules { confirm_frames, ..rules }, usual);
            let mut trial = Self {
                model: files.name.clone(),
                store: store.clone(),
                id: id.to_owned(),
                phase,
                share,
                place,
                beside: None,
                identity: None,
                left_out: None,
                desk: Arc::new(TrialDesk::new(trial)),
                began: Instant::now(),
                is_over: AtomicBool::new(false),
            };
            if phase == TrialPhase::Unconfirmed {
                let loaded = place.and_then(|place| loaded.get(place));
                trial.identity = loaded.map(|loaded| loaded.card().identity.clone());
            } else {
                let known = before.and_then(|before| before.beside.clone());
                trial.load(settings, (runtime, loaded), (known, slots.needs));
                if trial.left_out.is_some() {
                    // It will see no frame: a gateway that lives on has proved all that it can.
                    let rules = TrialRules { confirm_frames: 0, ..rules };
                    trial.desk = Arc::new(TrialDesk::new(Trial::new(phase, rules, None)));
                }
            }
            Some(Arc::new(trial))
        };
        frames.chain(windows).filter_map(trial).collect()
    }

    /// Loads it beside the version in use. Where that fails it is returned from, and the gateway goes on as before.
    fn load(
        &mut self,
        settings: &Settings,
        (runtime, loaded): (Option<&Runtime>, &[Arc<FrameModel>]),
        (known, needs): (Option<Arc<FrameModel>>, Option<u64>),
    ) {
        // A reload may have taken the last judge over frames away.
        let place = self.place.filter(|place| *place < loaded.len());
        let (Some(place), Some(runtime)) = (place, runtime) else {
            self.left_out = Some(NO_FRAMES.to_owned());
            return;
        };
        let version = self.store.version(&self.id);
        let card = match version.check() {
            Ok(card) => card,
            Err(why) => return self.desk.with(|trial| trial.cannot_load(format!("it is damaged: {why}"))),
        };
        if known.is_none() {
            let weights = version.manifest().map_or(0, |manifest| manifest.bytes());
            let needed = needs.unwrap_or_else(|| memory_needed(weights, None, workers(settings).get()));
            self.left_out = free_memory().filter(|free| *free < needed).map(|free| {
                format!(
                    "memory: it needs {} MiB beside the version in use, and {} MiB are free",
                    mib(needed),
                    mib(free)
                )
            });
            if let Some(why) = &self.left_out {
                tracing::warn!(model = %self.model, version = %self.id, "the version is not tried: {why}");
                return;
            }
        }
        let name = self.model.clone();
        let beside =
            known.map_or_else(|| load(runtime, name, &card, settings.engine.limits).map(Arc::new), Ok);
        let fitting = beside.and_then(|beside| {
            fits(settings, loaded, place, &beside)?;
            Ok(beside)
        });
        match fitting {
            Ok(beside) => {
                self.identity = Some(beside.card().identity.clone());
                self.beside = Some(beside);
            }
            Err(error) => self.desk.with(|trial| trial.cannot_load(reason(&error))),
        }
    }

    /// What viewers watch, where those that are loaded beside the models stand from `first` on, in order.
    pub(super) fn watched(all: &[Arc<Self>], first: usize) -> Vec<WatchedModel> {
        let mut next = first;
        let watched = |one: &Arc<Self>| {
            let (active, desk) = (one.place?, Arc::clone(&one.desk));
            if one.phase == TrialPhase::Unconfirmed {
                return Some(WatchedModel { active, candidate: None, desk });
            }
            one.beside.as_ref()?;
            next += 1;
            let candidate = Candidate { model: next - 1, id: one.id.clone(), share: one.share };
            Some(WatchedModel { active, candidate: Some(candidate), desk })
        };
        all.iter().filter_map(watched).collect()
    }

    /// Those that are loaded beside the models, in order.
    pub(super) fn beside(all: &[Arc<Self>]) -> impl Iterator<Item = (&Arc<Self>, &Arc<FrameModel>)> {
        all.iter().filter_map(|one| Some((one, one.beside.as_ref()?)))
    }

    /// What verdicts call the version that looks for cameras in the place of the model at this position.
    pub(super) fn canary_of(all: &[Arc<Self>], place: usize) -> Option<verdict::Model> {
        let canary = |one: &&Arc<Self>| one.place == Some(place) && one.phase == TrialPhase::Canary;
        all.iter().find(canary).and_then(|one| one.identity.clone())
    }

    /// How long it has been at work.
    pub(super) fn at_work(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// The version of a store whose weights these are; nothing for those of the configuration.
pub(super) fn version_of(loaded: &FrameModel, store: &ModelStore) -> Option<String> {
    let folder = loaded.path().parent()?;
    let id = folder.file_name()?.to_str()?;
    (store.version(id).folder == folder).then(|| id.to_owned())
}

/// Why a version of a model over windows, or in a gateway without frames, is not tried.
const NO_FRAMES: &str = "only models over frames are tried: promote it with --stage active";

fn load(runtime: &Runtime, name: String, card: &Path, limits: ModelLimits) -> anyhow::Result<FrameModel> {
    let files = ModelFiles { name, ..ModelFiles::of_card(card) };
    Ok(FrameModel::load(runtime, &files, limits)?)
}

/// Whether the judges of the model can work with a version.
fn fits(
    settings: &Settings,
    loaded: &[Arc<FrameModel>],
    place: usize,
    version: &Arc<FrameModel>,
) -> anyhow::Result<()> {
    let task = loaded.get(place).context("no judge looks at frames any more")?.frames().task;
    let found = version.frames().task;
    ensure!(
        found == task,
        "it is of task {:?}, and the version in use of {:?}",
        found.as_str(),
        task.as_str()
    );
    let models: Vec<Arc<FrameModel>> = loaded.iter().chain([version]).map(Arc::clone).collect();
    for judge in &settings.judges {
        let other = judge.frames().and_then(|rules| rules.look.with_version(place, loaded.len()));
        other
            .map_or(Ok(()), |other| other.check(&models))
            .with_context(|| format!("judge.{}", judge.name))?;
    }
    Ok(())
}

/// Memory that can be taken without another process giving way, in bytes, where the system says.
fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

const fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
