//! How the judging thread hands over the states of judges.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use verge_domain::reading::Reading;
use verge_domain::stage::{Decoder, Judge, Source};

use super::Worker;
use crate::committer::{CommitRequest, Durable};
use crate::judging::SavePass;

impl<D: Decoder<Item = Reading>, J: Judge<Observation = Reading> + 'static, S: Source> Worker<D, J, S> {
    /// Goes on with the pass over the states, if there is one. Not before what the last step handed over is durable:
    /// else states would pile up before a store that takes none.
    pub(super) fn save(&mut self) {
        if self.saving.load(Ordering::Acquire) {
            return;
        }
        let Some(mut pass) = self.pass.take() else { return };
        let goes_on = self.bench.save(&mut pass, self.clock.now(), &mut self.decision);
        self.pass = goes_on.then_some(pass);
        if !self.decision.is_empty() {
            self.saving.store(true, Ordering::Release);
            let saving = Arc::clone(&self.saving);
            let durable = Durable::new(move || saving.store(false, Ordering::Release));
            let now = self.clock.now().mono;
            self.request(CommitRequest { durable: Some(durable), ..CommitRequest::of_time(now) });
        }
    }

    /// Hands over all states that have changed: the last thing before the end.
    pub(super) fn save_all(&mut self) {
        let mut pass = SavePass::of_all();
        while self.bench.save(&mut pass, self.clock.now(), &mut self.decision) {
            self.submit(0, self.clock.now().mono, None);
        }
        self.submit(0, self.clock.now().mono, None);
    }
}
