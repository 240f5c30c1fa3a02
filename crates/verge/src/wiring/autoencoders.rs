//! From settings to models that judges over readings ask.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use verge_anomaly::autoencoder::Reconstructor;
use verge_domain::id::{JudgeId, ModelName};
use verge_domain::verdict;
use verge_engine::{Autoencoder, RunError, Runtime};

use super::frames::{check_weights, runtime_search};
use crate::exit::{Exit, ExitWith};
use crate::settings::{self, JudgeRules, Rule, Settings};

/// A window that takes longer than this holds up all other readings.
const DEADLINE: Duration = Duration::from_secs(1);

/// The models of the judges over readings, one place for each judge of the configuration.
#[derive(Default)]
pub struct Autoencoders {
    by_judge: Vec<Option<Shared>>,
}

/// One model, asked by all instances of a judge: judges are few threads, and a window takes microseconds.
#[derive(Clone)]
struct Shared {
    judge: JudgeId,
    model: Arc<Mutex<Autoencoder>>,
    width: usize,
    identity: verdict::Model,
    told: Arc<AtomicBool>,
}

impl Autoencoders {
    /// Loads what judges over readings ask for.
    ///
    /// # Errors
    /// There is no library, or a model cannot be used.
    pub fn load(settings: &Settings) -> anyhow::Result<Self> {
        let mut runtime = None;
        let mut by_judge = Vec::new();
        for judge in &settings.judges {
            let JudgeRules::Readings(rules) = &judge.rules else {
                by_judge.push(None);
                continue;
            };
            let Rule::Autoencoder { model, settings: how } = &rules.rule else {
                by_judge.push(None);
                continue;
            };
            if runtime.is_none() {
                runtime = Some(Runtime::load(&runtime_search(settings)).exit_with(Exit::Unavailable)?);
            }
            let Some(runtime) = &runtime else { continue };
            let loaded = load_autoencoder(runtime, &settings.autoencoders[*model], settings)
                .exit_with(Exit::BadConfig)?;
            let width = loaded.width();
            if let Some(stride) = how.stride().filter(|&stride| stride > width) {
                let name = &loaded.card().name;
                return Err(anyhow!(
                    "judge.{}: stride = {stride}: the windows of {name} have {width} readings",
                    judge.name
                ))
                .exit_with(Exit::BadConfig);
            }
            let identity = verdict::Model {
                name: ModelName::new(&loaded.card().name)
                    .context("the card's name")
                    .exit_with(Exit::BadConfig)?,
                version: ModelName::new(&loaded.card().version)
                    .context("the card's version")
                    .exit_with(Exit::BadConfig)?,
            };
            by_judge.push(Some(Shared {
                judge: judge.name.clone(),
                width,
                identity,
                model: Arc::new(Mutex::new(loaded)),
                told: Arc::default(),
            }));
        }
        Ok(Self { by_judge })
    }

    /// What verdicts call the model of a judge, by its position in the configuration.
    pub(super) fn identity_of(&self, judge: usize) -> Option<verdict::Model> {
        Some(self.by_judge.get(judge)?.as_ref()?.identity.clone())
    }

    /// The model of a judge, by its position in the configuration.
    pub(super) fn of(&self, judge: usize) -> Option<impl Fn() -> Box<dyn Reconstructor> + Send + use<>> {
        let shared = self.by_judge.get(judge)?.clone()?;
        Some(move || Box::new(shared.clone()) as Box<dyn Reconstructor>)
    }
}

/// Reads a model that reconstructs.
///
/// # Errors
/// The card or the model cannot be used, or they do not belong together.
pub fn load_autoencoder(
    runtime: &Runtime,
    model: &settings::Model,
    settings: &Settings,
) -> anyhow::Result<Autoencoder> {
    let at = || format!("model.{}", model.name);
    let loaded = Autoencoder::load(runtime, &model.card, settings.engine.limits).with_context(at)?;
    check_weights(model, &loaded.card().file)?;
    Ok(loaded)
}

impl Reconstructor for Shared {
    fn width(&self) -> usize {
        self.width
    }

    fn mean_square_error(&mut self, window: &[f32]) -> Option<f64> {
        // A panic within the library cannot leave the session half changed in a way that matters to the next run.
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        match model.mean_square_error(window, Some(Instant::now() + DEADLINE)) {
            Ok(error) => {
                self.told.store(false, Ordering::Relaxed);
                Some(error)
            }
            Err(error) => {
                self.tell(&error);
                None
            }
        }
    }
}

impl Shared {
    /// Once until it works again: never a line for each window.
    fn tell(&self, error: &RunError) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!(judge = %self.judge, %error, "the model fails; windows are passed over until it works again");
        }
    }
}
