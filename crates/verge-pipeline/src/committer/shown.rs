//! What others see: verdicts once they are durable, and before that alarms that wait for a store that has failed.

use verge_domain::board::LastWord;
use verge_domain::id::{Identity, Lane, Seq};
use verge_domain::stage::{Encoder, Source, Store, StoredRow};

use super::plan::{self, PlannedRow};
use super::worker::CommitWorker;

impl<S: Store, E: Encoder, R: Source> CommitWorker<S, E, R> {
    /// Shows what has just been committed, and puts it on the board. A tombstone in the place of a verdict is not shown.
    pub(super) fn show(&mut self, planned: &[PlannedRow]) {
        if let Some(committed) = &mut self.committed {
            let stored = planned.iter().map(|row| row.identity(&self.gateway, self.store.epoch()));
            let verdicts = self.waiting.iter().flat_map(|request| &request.verdicts);
            for (identity, verdict) in stored.zip(verdicts) {
                identity.iter().for_each(|identity| committed(identity, verdict));
            }
        }
        let verdicts = self.waiting.iter_mut().flat_map(|request| request.verdicts.drain(..));
        let words = planned.iter().zip(verdicts).filter(|(row, _)| row.is_verdict());
        self.board.post(words.map(|(row, verdict)| LastWord::new(verdict, Some(row.seq))));
    }

    /// Shows upstream the alarms that wait for a store that has failed, each once.
    pub(super) fn announce(&mut self) {
        let identity = Identity {
            gateway: self.gateway.clone(),
            epoch: self.store.epoch(),
            lane: Lane::Alarm,
            seq: Seq::ZERO,
        };
        for request in self.waiting.iter().skip(self.announced) {
            for verdict in request.verdicts.iter().filter(|verdict| verdict.lane == Lane::Alarm) {
                let mut bytes = Vec::new();
                let failures = &self.counters.encode_failures_total;
                if plan::encode_one(&mut self.encoder, &identity, verdict, &mut bytes, failures) {
                    let decided = verdict.times.decided;
                    let row = StoredRow { seq: Seq::ZERO, decided, bytes: bytes.into(), withdrawn: None };
                    // Without a delivery there is no receiver to show it to.
                    drop(self.provisional.send(row));
                }
            }
        }
        self.announced = self.waiting.len();
    }
}
