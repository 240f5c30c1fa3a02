//! Learnt states that need more than their share: brought within it at start, and reported once per change.

use std::time::Duration;

use verge_domain::time::Monotonic;

use crate::checkpoints::States;
use crate::connect;
use crate::fault::is_full;
use crate::store::Outbox;

/// After this time without an eviction the states fit again.
const CALM: Duration = Duration::from_secs(3600);

/// What was reported last.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    reported: bool,
    events_reported: bool,
    /// Something was evicted or not saved since the last look.
    fresh: bool,
    last: Option<Monotonic>,
}

impl Pressure {
    /// Holds the account after a commit against the one before.
    pub(crate) fn note(&mut self, before: &States, after: &States) {
        let crowded = after.evicted > before.evicted || after.refused > before.refused;
        self.fresh |= crowded;
        if crowded && !self.reported {
            self.reported = true;
            tracing::warn!(
                states_cap = after.share,
                "learnt states need more room than they have: those saved least recently are evicted, and their judges \
                 start afresh after a restart; raise gateway.states_cap, or judge fewer signals"
            );
        }
        if after.kept_refused > before.kept_refused && !self.events_reported {
            self.events_reported = true;
            tracing::error!(
                bytes = after.kept_bytes,
                "too many open events to save: those that are not saved do not outlive a restart; raise gateway.store_cap"
            );
        }
    }

    /// Looks whether they fit again.
    pub(crate) fn look(&mut self, now: Monotonic) {
        if std::mem::take(&mut self.fresh) {
            self.last = Some(now);
        }
        let calm = self.last.is_some_and(|last| now.since(last) >= CALM);
        if self.reported && calm {
            self.reported = false;
            tracing::info!("learnt states have had enough room for an hour");
        }
    }
}

impl Outbox {
    /// Brings what an earlier version or another configuration has saved to its place and within its share. A store
    /// that is too full even for this does it at the next start.
    pub(crate) fn settle_states(&mut self) -> Result<(), rusqlite::Error> {
        // The first of them may take a page more before the others give many back.
        connect::lift_page_limit(&self.connection)?;
        let settled = loop {
            match self.settle_some() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) if is_full(&error) => {
                    tracing::warn!(%error, "no room to bring saved states to their place; tried again at the next start");
                    break Ok(());
                }
                Err(error) => break Err(error),
            }
        };
        settled.and_then(|()| connect::limit_pages(&self.connection, &self.settings))
    }

    /// Says whether there may be more to do.
    fn settle_some(&mut self) -> Result<bool, rusqlite::Error> {
        let mut states = self.states;
        let transaction = self.connection.transaction()?;
        states.shrink(&transaction)?;
        let more = states.settle(&transaction, self.cipher.as_ref())?;
        transaction.commit()?;
        self.pressure.note(&self.states, &states);
        self.states = states;
        Ok(more)
    }
}
