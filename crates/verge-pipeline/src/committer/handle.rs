//! What deliveries ask of the store, and how its thread answers.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use verge_domain::id::{Epoch, Lane, RouteId, Seq};
use verge_domain::life::Life;
use verge_domain::stage::{Checkpoint, SentBytes, StoreUsage, StoredRow, Withdrawn};
use verge_domain::time::UtcMillis;

/// Whether the store works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreState {
    /// It does.
    #[default]
    Works,
    /// It takes nothing until upstream has acknowledged something: no verdicts are made.
    Full,
    /// It has failed: nothing is acknowledged to devices, and alarms are sent without a number.
    Failed,
}

/// What the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLedger {
    /// Epoch of the store.
    pub epoch: Epoch,
    /// Oldest stored number, by lane; one more than `last` where nothing is stored.
    pub oldest: [Seq; 3],
    /// Newest number that was committed, by lane.
    pub last: [Seq; 3],
    /// How full it is, and what was withdrawn.
    pub usage: StoreUsage,
}

/// What deliveries and the status ask of the store.
pub(super) enum StoreRequest {
    Fetch {
        lane: Lane,
        after: Seq,
        max_rows: usize,
        max_bytes: usize,
        reply: oneshot::Sender<Answer<Vec<StoredRow>>>,
    },
    Mark {
        route: RouteId,
        lane: Lane,
        upto: Seq,
    },
    NoteSent(SentBytes),
    Sent {
        reply: oneshot::Sender<Answer<Vec<SentBytes>>>,
    },
    Withdraw {
        lane: Lane,
        from: Seq,
        tombstone: Withdrawn,
        at: UtcMillis,
        reply: oneshot::Sender<Answer<()>>,
    },
    Ledger {
        reply: oneshot::Sender<Answer<StoreLedger>>,
    },
    Save {
        checkpoint: Checkpoint,
        reply: oneshot::Sender<Answer<()>>,
    },
    GiveUpEpoch {
        reply: oneshot::Sender<Answer<()>>,
    },
}

/// The store could not carry out the request; its own thread has reported the reason to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store could not do as asked")]
pub struct StoreRefusal;

/// The result of a request.
pub type Answer<T> = Result<T, StoreRefusal>;

/// The deliveries' end; clones share it. Every answer is `None` once the committer has ended.
#[derive(Clone)]
pub struct StoreHandle {
    pub(super) queue: mpsc::Sender<StoreRequest>,
    pub(super) heads: watch::Receiver<[Seq; 3]>,
    pub(super) state: watch::Receiver<StoreState>,
    pub(super) provisional: broadcast::Sender<StoredRow>,
    pub(super) life: Arc<Life>,
}

impl StoreHandle {
    /// Reads committed verdicts, see [`verge_domain::store::RowStore::fetch`].
    pub async fn fetch(
        &self,
        lane: Lane,
        after: Seq,
        max_rows: usize,
        max_bytes: usize,
    ) -> Option<Answer<Vec<StoredRow>>> {
        self.ask(|reply| StoreRequest::Fetch { lane, after, max_rows, max_bytes, reply }).await
    }

    /// Records what a route has delivered, see [`verge_domain::store::MarkStore::mark`].
    pub async fn mark(&self, route: &RouteId, lane: Lane, upto: Seq) {
        // A mark lost at the end of the process causes duplicates, which identity makes harmless.
        drop(self.queue.send(StoreRequest::Mark { route: route.clone(), lane, upto }).await);
    }

    /// Records what was sent over a link, see [`verge_domain::store::MarkStore::note_sent`].
    pub async fn note_sent(&self, sent: SentBytes) {
        // As with marks: a loss at the end of the process costs a few messages' bytes of a budget.
        drop(self.queue.send(StoreRequest::NoteSent(sent)).await);
    }

    /// What was recorded of each link.
    pub async fn sent(&self) -> Option<Answer<Vec<SentBytes>>> {
        self.ask(|reply| StoreRequest::Sent { reply }).await
    }

    /// Puts a tombstone in the place of verdicts, see [`verge_domain::store::RowStore::withdraw`].
    pub async fn withdraw(
        &self,
        lane: Lane,
        from: Seq,
        tombstone: Withdrawn,
        at: UtcMillis,
    ) -> Option<Answer<()>> {
        self.ask(|reply| StoreRequest::Withdraw { lane, from, tombstone, at, reply }).await
    }

    /// What the store holds.
    pub async fn ledger(&self) -> Option<Answer<StoreLedger>> {
        self.ask(|reply| StoreRequest::Ledger { reply }).await
    }

    /// Makes a state durable. A store that is full takes none, which is no fault of it.
    pub async fn save(&self, checkpoint: Checkpoint) -> Option<Answer<()>> {
        self.ask(|reply| StoreRequest::Save { checkpoint, reply }).await
    }

    /// The newest committed number of each lane, and changes of it.
    #[must_use]
    pub fn heads(&self) -> watch::Receiver<[Seq; 3]> {
        self.heads.clone()
    }

    /// Whether the store works, and changes of it.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<StoreState> {
        self.state.clone()
    }

    /// Alarms that wait for a store that has failed, each once per fault, from now on. Their number is zero.
    #[must_use]
    pub fn provisional(&self) -> broadcast::Receiver<StoredRow> {
        self.provisional.subscribe()
    }

    /// Epoch of the store.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.life.epoch
    }

    /// Life of the store.
    #[must_use]
    pub fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Another life of the store gives numbers of its epoch: the committer ends, and the next opening takes a new one.
    pub async fn give_up_epoch(&self) -> Option<Answer<()>> {
        self.ask(|reply| StoreRequest::GiveUpEpoch { reply }).await
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Answer<T>>) -> StoreRequest,
    ) -> Option<Answer<T>> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(request(reply)).await.ok()?;
        answer.await.ok()
    }
}
