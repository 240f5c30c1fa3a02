//! What can be seen of the readings connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use verge_domain::time::Moment;

use super::receipts::ReceiptTotals;

/// How the readings connection stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceState {
    /// Whether a connection stands.
    pub connected: bool,
    /// The broker has granted all filters on it.
    pub subscribed: bool,
    /// Since when it stands.
    pub connected_since: Option<Moment>,
    /// Connections made since the start.
    pub connections: u64,
    /// Why it is down, or why it last was; or which subscription the broker refuses.
    pub last_error: Option<String>,
    /// Filters that the broker refuses now. They are asked for again with backoff.
    pub refused_filters: Vec<String>,
    /// The pipeline takes no more for now: the connection is left unread.
    pub overloaded: bool,
    /// QoS 1 messages received.
    pub received: u64,
    /// QoS 1 messages acknowledged to the broker.
    pub acknowledged: u64,
    /// QoS 1 messages received on this connection and not yet acknowledged.
    pub outstanding: u64,
    /// QoS 0 messages dropped because the pipeline took no more.
    pub dropped: u64,
    /// Messages on topics that no source takes: of an older subscription of the session. Acknowledged and
    /// passed over.
    pub unknown_topic: u64,
    /// Messages above the packet limit, acknowledged and passed over: left unacknowledged they would come
    /// back for ever.
    pub oversized: u64,
    /// Topic and size of the last of them.
    pub last_oversized: Option<String>,
    /// Messages that the broker sent again and this process had already received: acknowledged with what their first
    /// delivery caused, not judged again.
    pub redelivered: u64,
    /// Whether the broker is known to have received every acknowledgement.
    pub is_confirmed: bool,
    /// How often the connection was left unread because the pipeline took no more.
    pub overloads: u64,
    /// How often the broker refused a filter.
    pub refusals: u64,
}

/// Written by the connection's task, read by any caller.
#[derive(Debug, Default)]
pub(crate) struct SharedSourceState {
    pub(crate) dropped: AtomicU64,
    pub(crate) unknown_topic: AtomicU64,
    pub(crate) oversized: AtomicU64,
    pub(crate) overloads: AtomicU64,
    pub(crate) refusals: AtomicU64,
    standing: Mutex<SourceStanding>,
}

#[derive(Debug, Default)]
pub(crate) struct SourceStanding {
    pub(crate) connected_since: Option<Moment>,
    pub(crate) last_error: Option<String>,
    pub(crate) refused: Vec<String>,
    pub(crate) overloaded: bool,
    pub(crate) last_oversized: Option<String>,
    /// The broker has granted all filters.
    pub(crate) subscribed: bool,
}

impl SharedSourceState {
    pub(crate) fn standing(&self) -> MutexGuard<'_, SourceStanding> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self, receipts: ReceiptTotals) -> SourceState {
        let standing = self.standing();
        SourceState {
            connected: standing.connected_since.is_some(),
            subscribed: standing.subscribed,
            connected_since: standing.connected_since,
            connections: receipts.connections,
            last_error: standing.last_error.clone(),
            refused_filters: standing.refused.clone(),
            overloaded: standing.overloaded,
            received: receipts.received,
            acknowledged: receipts.acknowledged,
            outstanding: receipts.outstanding,
            dropped: self.dropped.load(Ordering::Relaxed),
            unknown_topic: self.unknown_topic.load(Ordering::Relaxed),
            oversized: self.oversized.load(Ordering::Relaxed),
            last_oversized: standing.last_oversized.clone(),
            redelivered: receipts.redelivered,
            is_confirmed: receipts.outstanding == 0 && receipts.unconfirmed == 0,
            overloads: self.overloads.load(Ordering::Relaxed),
            refusals: self.refusals.load(Ordering::Relaxed),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
