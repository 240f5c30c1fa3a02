//! From settings to models that judges over readings ask.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use verge_anomaly::autoencoder::Reconstructor;
use verge_domain::id::{JudgeId, JudgeIndex};
use verge_domain::verdict;
use verge_engine::{ContentDigest, RunError, Runtime};
use verge_models::{Catalogue, WindowModel};
use verge_pipeline::beats::beat_here;

use super::frames::{TRIAL, Vision};
use super::runtime::runtime_search;
use crate::exit::{Exit, ExitWith};
use crate::settings::{JudgeSection, Rule, Settings};

/// A window that takes longer than this holds up all other readings.
const DEADLINE: Duration = Duration::from_secs(1);

/// The models behind judges over readings, one place for each judge of the configuration.
#[derive(Default)]
pub struct Autoencoders {
    by_judge: Vec<Option<Behind>>,
}

/// What verdicts call the models of a judge.
#[derive(Debug, Clone)]
pub(super) struct NamedModels {
    pub(super) model: verdict::Model,
    /// The one that looks in its place under overload.
    pub(super) smaller: Option<verdict::Model>,
    /// The version that is on trial and looks for some cameras.
    pub(super) candidate: Option<verdict::Model>,
}

/// What stands behind a judge.
enum Behind {
    /// A model over windows of readings.
    Windows(Shared),
    /// A model over frames, which the workers ask.
    Frames(NamedModels),
}

/// One model, shared by all instances of a judge: few threads judge, and a window takes microseconds.
#[derive(Clone)]
struct Shared {
    judge: JudgeId,
    model: Arc<Mutex<WindowModel>>,
    width: usize,
    identity: verdict::Model,
    content: ContentDigest,
    logged: Arc<AtomicBool>,
}

impl Autoencoders {
    /// Loads what judges over readings ask for. `vision` knows the models of those that look at frames.
    ///
    /// # Errors
    /// There is no library, or a model cannot be used.
    pub fn load(settings: &Settings, vision: Option<&Vision>) -> anyhow::Result<Self> {
        Self::load_for(settings, vision, |_| true)
    }

    /// The same for some of the judges.
    pub(super) fn load_for(
        settings: &Settings,
        vision: Option<&Vision>,
        wanted: impl Fn(&JudgeSection) -> bool,
    ) -> anyhow::Result<Self> {
        let mut catalogue = None;
        let mut behind = |(index, judge): (JudgeIndex, &JudgeSection)| match vision
            .and_then(|vision| vision.identity_of(index))
        {
            Some(model) => Ok(Some(Behind::Frames(model.clone()))),
            None if wanted(judge) => {
                windows(settings, judge, &mut catalogue).map(|shared| shared.map(Behind::Windows))
            }
            None => Ok(None),
        };
        let by_judge =
            (0..).map(JudgeIndex).zip(&settings.judges).map(&mut behind).collect::<Result<_, _>>()?;
        Ok(Self { by_judge })
    }

    /// What the files of the models over windows held when they were read, by the names of the models.
    pub(super) fn contents<'a>(
        &'a self,
        settings: &'a Settings,
    ) -> impl Iterator<Item = (String, ContentDigest)> + 'a {
        self.by_judge.iter().zip(&settings.judges).filter_map(|(behind, judge)| match behind {
            Some(Behind::Windows(shared)) => Some((judge.model(settings)?.name.clone(), shared.content)),
            Some(Behind::Frames(_)) | None => None,
        })
    }

    /// What verdicts call the model of a judge.
    pub(super) fn identity_of(&self, judge: JudgeIndex) -> Option<verdict::Model> {
        Some(match self.by_judge.get(judge.position())?.as_ref()? {
            Behind::Windows(shared) => shared.identity.clone(),
            Behind::Frames(named) => named.model.clone(),
        })
    }

    /// The same of the one that looks in its place under overload.
    pub(super) fn smaller_of(&self, judge: JudgeIndex) -> Option<verdict::Model> {
        match self.by_judge.get(judge.position())?.as_ref()? {
            Behind::Windows(_) => None,
            Behind::Frames(named) => named.smaller.clone(),
        }
    }

    /// The same of the version that is on trial and looks for some cameras.
    pub(super) fn candidate_of(&self, judge: JudgeIndex) -> Option<verdict::Model> {
        match self.by_judge.get(judge.position())?.as_ref()? {
            Behind::Windows(_) => None,
            Behind::Frames(named) => named.candidate.clone(),
        }
    }

    /// The model that a judge over readings asks.
    pub(super) fn of(&self, judge: JudgeIndex) -> Option<impl Fn() -> Box<dyn Reconstructor> + Send + use<>> {
        let Behind::Windows(shared) = self.by_judge.get(judge.position())?.as_ref()? else { return None };
        let shared = shared.clone();
        Some(move || Box::new(shared.clone()) as Box<dyn Reconstructor>)
    }
}

fn windows(
    settings: &Settings,
    judge: &JudgeSection,
    catalogue: &mut Option<Catalogue>,
) -> anyhow::Result<Option<Shared>> {
    let Some(Rule::Autoencoder { model, settings: how }) = judge.readings().map(|rules| &rules.rule) else {
        return Ok(None);
    };
    let catalogue = match catalogue {
        Some(catalogue) => catalogue,
        None => {
            let runtime = Runtime::load(&runtime_search(settings)).exit_with(Exit::Unavailable)?;
            catalogue.insert(Catalogue::new(runtime, settings.engine.limits))
        }
    };
    let load = || {
        let model = &settings.autoencoders[*model];
        let mut loaded = catalogue.windows(model).with_context(|| format!("model.{}", model.name))?;
        try_autoencoder(&mut loaded).with_context(|| format!("model.{}: one window", model.name))?;
        let (identity, width) = (loaded.card().identity.clone(), loaded.width());
        let content = loaded.content();
        if let Some(stride) = how.stride() {
            let (judge, name) = (&judge.name, &identity.name);
            ensure!(
                stride <= width,
                "judge.{judge}: stride = {stride}: the windows of {name} have {width} readings"
            );
        }
        Ok(Shared {
            judge: judge.name.clone(),
            width,
            identity,
            content,
            model: Arc::new(Mutex::new(loaded)),
            logged: Arc::default(),
        })
    };
    load().exit_with(Exit::BadConfig).map(Some)
}

/// Lets a model reconstruct one window without meaning, and returns how long that took.
///
/// # Errors
/// It cannot be run, or its output is not a number.
pub fn try_autoencoder(model: &mut WindowModel) -> anyhow::Result<Duration> {
    Ok(model.try_out(Some(Instant::now() + TRIAL))?)
}

impl Reconstructor for Shared {
    fn width(&self) -> usize {
        self.width
    }

    fn mean_square_error(&mut self, window: &[f32]) -> Option<f64> {
        // Each window has its deadline; a message may hold many.
        beat_here();
        // A panic within the library cannot leave the session half changed in a way that matters to the next run.
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        match model.mean_square_error(window, Some(Instant::now() + DEADLINE)) {
            Ok(error) => {
                self.logged.store(false, Ordering::Relaxed);
                Some(error)
            }
            Err(error) => {
                self.log(&error);
                None
            }
        }
    }
}

impl Shared {
    /// Logs once until it works again, not a line for each window.
    fn log(&self, error: &RunError) {
        if !self.logged.swap(true, Ordering::Relaxed) {
            tracing::error!(judge = %self.judge, %error, "the model fails; windows are passed over until it works again");
        }
    }
}
