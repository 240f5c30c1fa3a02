//! Other settings for a running gateway.

use std::sync::Arc;
use std::time::Instant;

use verge_pipeline::frames::FrameWorkers;

use super::super::models::ModelContents;
use super::super::replacement::Replacement;
use super::Gateway;
use crate::exit::{Exit, reason};
use crate::reload::{AtWork, ReloadAnswer, ReloadPlan, ReloadReport, ReloadRequests};
use crate::settings::Settings;

impl Gateway {
    /// Takes up other settings, all or nothing: judges, viewers and models are exchanged between two messages, connections
    /// stay. With `dry_run` it only says what would change.
    pub async fn reload(&mut self, next: Settings, dry_run: bool) -> ReloadAnswer {
        let began = Instant::now();
        let next = Arc::new(next);
        let files = {
            let next = Arc::clone(&next);
            tokio::task::spawn_blocking(move || ModelContents::of_files(&next)).await
        };
        let Ok(files) = files else { return ReloadAnswer::failed("reading the models failed") };
        let at_work = AtWork {
            settings: &self.settings,
            models: &self.at_work.models,
            takes_frames: self.workers.is_some(),
        };
        let mut plan = match ReloadPlan::between(&at_work, &next, &files) {
            Ok(plan) => plan,
            Err(keys) => return ReloadAnswer::NeedsRestart { keys },
        };
        let report = std::mem::take(&mut plan.report);
        let built = {
            let (next, at_work) = (Arc::clone(&next), self.at_work.clone());
            let sizes = (self.judging.len(), self.workers.as_ref().map_or(0, FrameWorkers::count));
            tokio::task::spawn_blocking(move || Replacement::build(&plan, &next, &at_work, sizes)).await
        };
        let replacement = match built {
            Ok(Ok(replacement)) => replacement,
            Ok(Err(error)) if Exit::of(&error) == Exit::BadConfig => {
                return ReloadAnswer::Faulty { faults: vec![reason(&error)] };
            }
            Ok(Err(error)) => return ReloadAnswer::Failed { error: reason(&error) },
            Err(_) => return ReloadAnswer::failed("making the judges failed"),
        };
        if dry_run {
            return ReloadAnswer::WouldReload(report);
        }
        // All that could fail has been done.
        let (swapped, at_work) = match replacement.exchange(&self.judging, self.workers.as_ref()).await {
            Ok(done) => done,
            Err(error) => return ReloadAnswer::failed(&error.to_string()),
        };
        self.settings = Arc::unwrap_or_clone(next);
        self.at_work = at_work;
        self.board.retain(|verdict| swapped.watched.include(verdict));
        self.servers.iter().for_each(|servers| servers.take_up(&self.settings));
        self.states.iter().for_each(|states| states.take_up(&self.settings));
        self.configured.take_up(&self.settings, &self.at_work);
        self.models.take_up(&self.settings, &self.at_work);
        let report = report.with(swapped);
        ReloadAnswer::Reloaded(ReloadReport { took_ms: began.elapsed().as_secs_f64() * 1e3, ..report })
    }

    /// Reloads that people ask for at the dashboard, from now on: whoever runs the gateway carries them out.
    #[must_use]
    pub fn reload_requests(&self) -> ReloadRequests {
        self.configured.reload_requests()
    }

    /// Counts a reload of the file that has ended, for the status.
    pub fn note_reload(&self, answer: &ReloadAnswer) {
        self.counters.reloads.note(answer.outcome(), self.clock.now().wall);
    }
}
