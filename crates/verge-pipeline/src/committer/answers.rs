//! The answers of the store's thread to deliveries.

use tokio::sync::oneshot;
use verge_domain::id::Lane;
use verge_domain::stage::{Encoder, Source, Store, StoreError, StoreUsage};

use super::handle::{Answer, StoreRequest};
use super::worker::{CommitWorker, heads_of};
use super::{CommitterEnd, StoreLedger, StoreRefusal};

impl<S: Store, E: Encoder, R: Source> CommitWorker<S, E, R> {
    /// Carries out the request of a delivery.
    pub(super) fn answer(&mut self, request: StoreRequest) -> Result<(), CommitterEnd> {
        match request {
            StoreRequest::Fetch { lane, after, max_rows, max_bytes, reply } => {
                let mut rows = Vec::new();
                let fetched = self.store.fetch(lane, after, max_rows, max_bytes, &mut rows).map(|()| rows);
                self.reply(reply, fetched, "verdicts to be sent cannot be read")
            }
            StoreRequest::Mark { route, lane, upto } => {
                self.unflushed = true;
                let marked = self.store.mark(&route, lane, upto);
                self.done(marked, "a mark of delivery was not noted: duplicates may follow")
            }
            StoreRequest::NoteSent(sent) => {
                self.unflushed = true;
                let noted = self.store.note_sent(sent);
                self.done(noted, "bytes sent were not noted")
            }
            StoreRequest::Sent { reply } => {
                let sent = self.store.sent();
                self.reply(reply, sent, "bytes sent cannot be read")
            }
            StoreRequest::Withdraw { lane, from, tombstone, at, reply } => {
                let withdrawn = self.store.withdraw(lane, from, tombstone, at, &[]);
                self.reply(reply, withdrawn, "verdicts that cannot be sent were not withdrawn")
            }
            StoreRequest::Ledger { reply } => {
                let usage = self.store.usage();
                let ledger = usage.map(|usage| self.ledger(usage));
                self.reply(reply, ledger, "the store's size cannot be read")
            }
            StoreRequest::Save { checkpoint, reply } => match self.store.commit(&[], &[checkpoint]) {
                Err(StoreError::Full { .. } | StoreError::DiskFull { .. }) => {
                    refuse(reply);
                    Ok(())
                }
                saved => self.reply(reply, saved, "the state of an uplink was not saved"),
            },
            StoreRequest::GiveUpEpoch { reply } => {
                let given_up = self.store.give_up_epoch();
                let overtaken = given_up.is_ok();
                self.reply(reply, given_up, "the epoch cannot be given up")?;
                if overtaken { Err(CommitterEnd::Overtaken) } else { Ok(()) }
            }
        }
    }

    /// Answers a delivery. One that has ended meanwhile needs no answer.
    fn reply<T>(
        &mut self,
        reply: oneshot::Sender<Answer<T>>,
        result: Result<T, StoreError>,
        what: &str,
    ) -> Result<(), CommitterEnd> {
        match result {
            Ok(value) => {
                drop(reply.send(Ok(value)));
                Ok(())
            }
            Err(error) => {
                refuse(reply);
                self.failed(error, what)
            }
        }
    }

    pub(super) fn ledger(&self, usage: StoreUsage) -> StoreLedger {
        StoreLedger {
            epoch: self.store.epoch(),
            oldest: Lane::ALL.map(|lane| self.store.oldest(lane)),
            last: heads_of(&self.store),
            usage,
        }
    }
}

/// A delivery that has ended meanwhile needs no answer.
fn refuse<T>(reply: oneshot::Sender<Answer<T>>) {
    drop(reply.send(Err(StoreRefusal)));
}
