//! Subscriptions that a persistent session may still hold, though another connection has them now.

use std::sync::Arc;

use rumqttc::Unsubscribe;
use verge_domain::reading::SourceIndex;

use super::state::SharedSourceState;

/// Filters in one UNSUBSCRIBE packet, as in one SUBSCRIBE.
const FILTERS_PER_PACKET: usize = 8;

/// What is to be given up.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) filters: Vec<(SourceIndex, String)>,
    /// The connections that take over.
    to: Vec<Arc<SharedSourceState>>,
    /// Answers that are still to come on this connection, once it was asked.
    unanswered: Option<usize>,
    done: bool,
}

impl Moved {
    pub(super) fn new(filters: Vec<(SourceIndex, String)>, to: Vec<Arc<SharedSourceState>>) -> Self {
        Self { filters, to, ..Self::default() }
    }

    /// A new connection. Where the broker has no session, there is nothing to give up.
    pub(super) fn connected(&mut self, session_present: bool) {
        self.unanswered = None;
        self.done |= !session_present;
    }

    /// What is to be sent, once the other connections hold their subscriptions: a message in between comes by both rather
    /// than by none. Asked about once a second.
    pub(super) fn give_up(&mut self, mut fresh_id: impl FnMut() -> u16) -> Vec<Unsubscribe> {
        let taken_over = || self.to.iter().all(|to| to.standing().subscribed);
        if self.done || self.filters.is_empty() || self.unanswered.is_some() || !taken_over() {
            return Vec::new();
        }
        let packets = self.filters.chunks(FILTERS_PER_PACKET).map(|filters| Unsubscribe {
            pkid: fresh_id(),
            topics: filters.iter().map(|(_, filter)| filter.clone()).collect(),
        });
        let packets: Vec<Unsubscribe> = packets.collect();
        self.unanswered = Some(packets.len());
        packets
    }

    /// The broker has answered one packet.
    pub(super) fn answered(&mut self) {
        if let Some(unanswered) = &mut self.unanswered {
            *unanswered = unanswered.saturating_sub(1);
            self.done = *unanswered == 0;
        }
    }
}
