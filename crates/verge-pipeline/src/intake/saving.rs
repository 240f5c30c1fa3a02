//! How the judging thread hands over the states of judges.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use verge_domain::reading::Reading;
use verge_domain::stage::{Decoder, Judge, Source};

use super::Worker;
use crate::committer::{CommitRequest, Durable};
use crate::judging::SavePass;

/// Maximum time for saving large states when the gateway stops.
const SAVE_LIMIT: Duration = Duration::from_secs(3);

impl<D: Decoder<Item = Reading>, J: Judge + 'static, S: Source> Worker<D, J, S> {
    /// Continues the pass over the states, if there is one, but only when the states of the last step are durable:
    /// otherwise states would pile up before a store that takes none.
    pub(super) fn save(&mut self) {
        if self.saving.load(Ordering::Acquire) {
            return;
        }
        let Some(mut pass) = self.pass.take() else { return };
        let goes_on = self.set.save(&mut pass, self.clock.now(), &mut self.decision);
        self.pass = goes_on.then_some(pass);
        if !self.decision.is_empty() {
            self.saving.store(true, Ordering::Release);
            let saving = Arc::clone(&self.saving);
            let durable = Durable::new(move || saving.store(false, Ordering::Release));
            let now = self.clock.now().mono;
            self.request(CommitRequest { durable: Some(durable), ..CommitRequest::of_time(now) });
        }
    }

    /// Hands over the states that have changed: the last step before the end. Large ones for [`SAVE_LIMIT`] at most. Of
    /// those that are left, the saved state is no older than it may be after a power cut.
    pub(super) fn save_all(&mut self) {
        let deadline = Instant::now() + SAVE_LIMIT;
        self.save_pass(SavePass::of_small(), deadline);
        if !self.save_pass(SavePass::of_all(), deadline) {
            tracing::warn!(
                seconds = SAVE_LIMIT.as_secs(),
                "stopped before all that was learnt was saved: some judges go on from what was saved of them up to ten \
                 minutes ago"
            );
        }
    }

    /// Hands over states step by step, each when the last one is durable, so that they do not pile up. Returns whether
    /// all were handed over.
    fn save_pass(&mut self, mut pass: SavePass, deadline: Instant) -> bool {
        loop {
            let now = self.clock.now();
            let goes_on = self.set.save(&mut pass, now, &mut self.decision);
            if self.decision.is_empty() {
                return true;
            }
            let (saved, durable) = mpsc::sync_channel::<()>(1);
            // Nothing waits for the last step; then the receiver is dropped and this send fails.
            let durable_now = Durable::new(move || saved.send(()).unwrap_or_default());
            self.request(CommitRequest { durable: Some(durable_now), ..CommitRequest::of_time(now.mono) });
            if !goes_on {
                return true;
            }
            // Also an error if the store gives the states up.
            if durable.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err() {
                return false;
            }
        }
    }
}
