//! What takes the place of judges, viewers and models at a reload: built beside those at work, by what can fail, and exchanged
//! at one point, which cannot.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use verge_anomaly::ReadingJudge;
use verge_domain::id::JudgeIndex;
use verge_models::FrameModel;
use verge_pipeline::frames::{FrameExchange, FrameWorkers};
use verge_pipeline::intake::{Judging, Swap, SwapRefused};
use verge_pipeline::judging::{PlannedJudge, SwapReport};
use verge_vision::FrameViewer;

use super::Autoencoders;
use super::classes::JudgeClass;
use super::frames::{Vision, try_models, viewer_again};
use super::judges::{AcrossClasses, planned_judges};
use super::models::ModelContents;
use super::trials::VersionTrial;
use crate::exit::{Exit, ExitWith};
use crate::reload::{JudgePlaces, ReloadPlan};
use crate::settings::Settings;

/// A judging thread whose queue is full is asked again after this time, as are workers that hand in what they saw.
const AGAIN: Duration = Duration::from_millis(1);

/// What a gateway at work has of its judges.
#[derive(Clone)]
pub(super) struct JudgesAtWork {
    pub(super) places: JudgePlaces,
    pub(super) models: ModelContents,
    /// What its workers look with, if it takes frames.
    pub(super) vision: Option<Arc<Vision>>,
}

/// The same for other settings, and what it takes to come there.
pub(super) struct Replacement {
    pub(super) at_work: JudgesAtWork,
    /// Of each class.
    judges: Vec<Vec<(JudgeIndex, PlannedJudge<ReadingJudge>)>>,
    /// Where workers are to look otherwise.
    frames: Option<FrameExchange<FrameViewer>>,
}

impl JudgesAtWork {
    /// Those of a gateway that starts.
    pub(super) fn at_the_start(
        settings: &Settings,
        vision: Option<&Arc<Vision>>,
        windows: &Autoencoders,
    ) -> Self {
        let models = contents(settings, vision.map(Arc::as_ref), windows);
        let models = ModelContents::of_loaded(models);
        Self { places: JudgePlaces::of(settings), models, vision: vision.map(Arc::clone) }
    }
}

impl JudgesAtWork {
    /// The models over frames, in the order of the configuration.
    pub(super) fn loaded(&self) -> &[Arc<FrameModel>] {
        self.vision.as_deref().map_or(&[], Vision::models)
    }

    /// Versions of models that have to prove themselves; `former`: those that did before.
    pub(super) fn trials(&self, settings: &Settings, former: &[Arc<VersionTrial>]) -> Vec<Arc<VersionTrial>> {
        match self.vision.as_deref().filter(|vision| !vision.models().is_empty()) {
            Some(vision) => vision.trials().to_vec(),
            None => VersionTrial::all(settings, (None, &[]), former),
        }
    }
}

fn contents<'a>(
    settings: &'a Settings,
    vision: Option<&'a Vision>,
    windows: &'a Autoencoders,
) -> impl Iterator<Item = (String, verge_engine::ContentDigest)> + 'a {
    let frames = vision.into_iter().flat_map(|vision| settings.models.iter().zip(vision.models()));
    frames.map(|(model, loaded)| (model.name.clone(), loaded.content())).chain(windows.contents(settings))
}

impl Replacement {
    /// Loads models that are not at work, opens them for the workers, and makes the judges. `classes`: how many judging
    /// threads there are.
    ///
    /// # Errors
    /// A model cannot be used, or a judge asks of it what it cannot do.
    pub(super) fn build(
        plan: &ReloadPlan,
        settings: &Settings,
        former: &JudgesAtWork,
        (classes, workers): (usize, usize),
    ) -> anyhow::Result<Self> {
        let places = former.places.next(settings);
        let mut frames = None;
        let vision = match &former.vision {
            None => None,
            Some(at_work) => {
                let vision = Arc::new(Vision::load_beside(settings, at_work, &places)?);
                if !vision.is_like(at_work) {
                    let mut viewers = vision.viewers_beside(at_work, workers)?;
                    if let Some(viewer) = viewers.first_mut() {
                        try_models(settings, &vision, at_work.models(), viewer).exit_with(Exit::BadConfig)?;
                    }
                    let again = viewer_again(Arc::clone(&vision));
                    frames = Some(FrameExchange::new(vision.judges().clone(), viewers, again));
                }
                Some(vision)
            }
        };
        let windows = Autoencoders::load_for(settings, vision.as_deref(), |judge| !plan.keeps(judge))?;
        let shared = AcrossClasses::new(settings);
        let judges = [JudgeClass::Prompt, JudgeClass::Bulk].into_iter().take(classes);
        let judges = judges
            .map(|class| planned_judges(settings, &windows, (class, &shared), (plan, &places)))
            .collect();
        let kept = settings.judges.iter().filter(|judge| plan.keeps(judge));
        let kept = kept.filter_map(|judge| {
            let name = &judge.model(settings)?.name;
            Some((name.clone(), former.models.of(name)?))
        });
        let models = kept.chain(contents(settings, vision.as_deref(), &windows));
        let models = ModelContents::of_loaded(models.collect::<Vec<_>>());
        Ok(Self { at_work: JudgesAtWork { places, models, vision }, judges, frames })
    }

    /// Exchanges the judges and what workers look with. Gives what became of the judges' instances once all go on and what
    /// ended is durable.
    ///
    /// # Errors
    /// A judging thread has ended.
    pub(super) async fn exchange(
        self,
        judging: &[Judging<ReadingJudge>],
        workers: Option<&FrameWorkers<FrameViewer>>,
    ) -> Result<(SwapReport, JudgesAtWork), JudgingEnded> {
        let Self { at_work, judges, frames } = self;
        let mut swaps = Vec::new();
        let mut frames = frames.zip(workers);
        for (judging, planned) in judging.iter().zip(judges) {
            let (done, swapped) = oneshot::channel();
            let swap = Swap::new(planned, move |report| drop(done.send(report)));
            // Observations come to the first of them.
            exchange_at(judging, swap, frames.take()).await?;
            swaps.push(swapped);
        }
        let mut all = SwapReport::default();
        for swapped in swaps {
            all.add(swapped.await.map_err(|_| JudgingEnded)?);
        }
        Ok((all, at_work))
    }
}

/// A judging thread has ended.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a judging thread has ended")]
pub(super) struct JudgingEnded;

/// Exchanges the judges of one thread, and what workers look with at the same point of its queue.
async fn exchange_at(
    judging: &Judging<ReadingJudge>,
    swap: Swap<ReadingJudge>,
    frames: Option<(FrameExchange<FrameViewer>, &FrameWorkers<FrameViewer>)>,
) -> Result<(), JudgingEnded> {
    let (mut swap, mut frames) = (Some(swap), frames);
    loop {
        let mut cut = || match swap.take().map(|swap| judging.try_swap(swap)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(SwapRefused::Full(again))) => {
                swap = Some(again);
                Err(None)
            }
            Some(Err(SwapRefused::Closed)) => Err(Some(JudgingEnded)),
        };
        let done = match frames.take() {
            None => cut(),
            Some((exchange, workers)) => workers.try_exchange(exchange, cut).map_err(|(again, error)| {
                frames = Some((again, workers));
                error.flatten()
            }),
        };
        match done {
            Ok(()) => return Ok(()),
            Err(Some(ended)) => return Err(ended),
            Err(None) => tokio::time::sleep(AGAIN).await,
        }
    }
}
