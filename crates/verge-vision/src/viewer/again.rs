//! How a viewer looks with versions of models that are on trial: in the place of the active one, or once more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use verge_domain::frame::{GivenUp, View};
use verge_domain::id::{DeviceId, JudgeIndex};
use verge_domain::stage::Seen;
use verge_models::gate::Agreed;
use verge_models::trial::TrialSide;

use super::{FrameViewer, InferenceError};
use crate::candidate::{RunWatch, agreed};
use crate::gate::JudgedFrame;
use crate::memory::Memory;

/// Time that a frame is given back at most for looks of versions on trial that gave no answer. Whoever watches over the workers
/// waits longer than this for one that is beyond its deadline.
const GIVEN_BACK: Duration = Duration::from_secs(5);

/// What a judge saw in the last frame, of whose model a version is on trial.
pub(super) struct KeptView {
    judge: JudgeIndex,
    view: View,
    pub(super) by_candidate: bool,
}

/// Niceness of looks that no verdict waits for. Lower ones would take a worker away for too long where others use all processors.
const BEHIND: i32 = 10;

/// Runs this in a thread of its own, which gives way to those that verdicts wait for: a thread may lower its own priority and not
/// raise it again. Where the system gives none, nothing is run.
pub(super) fn behind(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("verge-again".to_owned()).spawn_scoped(scope, || {
            // Of this thread alone, as Linux has it; where it is refused, nothing is lost but the order.
            if let Err(error) = rustix::process::nice(BEHIND) {
                tracing::debug!(%error, "a thread keeps its priority");
            }
            work();
        });
        if let Err(error) = thread {
            tracing::debug!(%error, "no thread for a look once more");
        }
    });
}

impl FrameViewer {
    /// Says of each model whether its runs are noted.
    pub(super) fn watch_runs(&mut self) {
        for (index, (_, run)) in self.models.iter_mut().enumerate() {
            let Some(run) = run else { continue };
            run.watch = self.watched.iter().find_map(|watched| {
                let side = match &watched.candidate {
                    None if watched.active == index => TrialSide::Candidate,
                    Some(candidate) if candidate.model == index => TrialSide::Candidate,
                    Some(_) if watched.active == index => TrialSide::Active,
                    None | Some(_) => return None,
                };
                Some(RunWatch { desk: Arc::clone(&watched.desk), side, has_answered: false })
            });
        }
    }

    /// Another frame comes: what is known of the last one is forgotten.
    pub(super) fn begin_frame(&mut self) {
        for run in self.models.iter_mut().filter_map(|(_, run)| run.as_mut()) {
            run.found = None;
            run.watch.iter_mut().for_each(|watch| watch.has_answered = false);
        }
        self.kept.clear();
        self.given_back = Duration::ZERO;
    }

    /// What a judge saw in the last frame, where it was kept.
    pub(super) fn kept_of(&self, judge: JudgeIndex) -> Option<&KeptView> {
        self.kept.iter().find(|kept| kept.judge == judge)
    }

    /// Lets one judge look at the frame that was last decoded, with the version on trial where that has this camera. Where it
    /// fails or overruns the deadline, the active one looks, and what that took is given back to the frame: it gets its verdict,
    /// late rather than never. `None` of a judge that looks at no frames.
    pub(super) fn look_for(
        &mut self,
        judge: JudgeIndex,
        device: &DeviceId,
        of: JudgedFrame<'_>,
        (memory, seen): (&mut Memory, &mut Seen),
    ) -> Option<Result<View, InferenceError>> {
        let run = self.judges.get(judge.position())?.as_ref()?;
        let mut of = JudgedFrame { until: of.until.map(|until| until + self.given_back), ..of };
        let trial = run
            .candidate
            .as_ref()
            .and_then(|(on_trial, place)| Some((on_trial, self.watched.get(*place)?.candidate.as_ref()?)));
        if let Some((on_trial, _)) = trial.filter(|(_, candidate)| candidate.takes(device)) {
            let picture = (&mut self.models[..], &self.picture);
            let began = Instant::now();
            match on_trial.look(judge, picture, of, (memory, &mut seen.crops)) {
                Ok(view) => {
                    // The first model is what verdicts name.
                    if on_trial.model != run.model {
                        seen.by_candidate.push(judge);
                    }
                    if view != View::Still && on_trial.follow == 0 && of.given_up < GivenUp::Models {
                        self.kept.push(KeptView { judge, view: view.clone(), by_candidate: true });
                    }
                    return Some(Ok(view));
                }
                Err(error) => {
                    tracing::debug!(%device, judge = judge.0, %error, "a version on trial saw nothing");
                    let left = GIVEN_BACK.saturating_sub(self.given_back);
                    let lost = began.elapsed().min(left);
                    self.given_back += lost;
                    of.until = of.until.map(|until| until + lost);
                }
            }
        }
        let looked = run.look(judge, (&mut self.models[..], &self.picture), of, (memory, &mut seen.crops));
        // Crops around what was found before, or a smaller model, show something else than a look at the whole.
        let is_like = run.follow == 0 && of.given_up < GivenUp::Models;
        let is_shadow = is_like && trial.is_some_and(|(_, candidate)| candidate.share.is_none());
        if let Ok(view) = &looked
            && is_shadow
            && *view != View::Still
        {
            self.kept.push(KeptView { judge, view: view.clone(), by_candidate: false });
        }
        Some(looked)
    }

    /// Looks once more at the frame that was viewed last, with the other version of each model that is on trial.
    pub(super) fn compare_versions(&mut self, device: &DeviceId, until: Instant) {
        let of = JudgedFrame { motion: None, at: self.last, until: Some(until), given_up: GivenUp::Nothing };
        // What judges say of one frame is one look of each version on trial.
        let mut answers: Vec<Vec<Agreed>> = vec![Vec::new(); self.watched.len()];
        for KeptView { judge, view, by_candidate } in std::mem::take(&mut self.kept) {
            let Some(Some(run)) = self.judges.get(judge.position()) else { continue };
            let Some((on_trial, place)) = &run.candidate else { continue };
            let Some(answers) = answers.get_mut(*place) else { continue };
            // A version of the second model alone: what the first one sees is the same.
            if run.model == on_trial.model {
                continue;
            }
            let other = if by_candidate { run } else { &**on_trial };
            match other.look_alone((&mut self.models[..], &self.picture), of) {
                Ok(again) => answers.extend(again.and_then(|again| agreed(&view, &again))),
                Err(error) => {
                    tracing::debug!(%device, judge = judge.0, %error, "a look once more saw nothing");
                }
            }
        }
        for (watched, answers) in self.watched.iter().zip(answers) {
            watched.desk.with(|trial| trial.compare(answers));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_way_does_so_alone() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let (before, mut within) = (niceness(), None);
        behind(|| within = Some(niceness()));
        assert_eq!((within, niceness()), (Some((before + BEHIND).min(19)), before));
    }
}
