//! Alarms that a store which has failed could not number.

use verge_domain::id::Lane;
use verge_domain::stage::{Control, Form, OfferError, Sink, StoredRow};

use super::route::{DeliveryRoute, PROVISIONAL};
use crate::committer::StoreState;

/// Maximum of alarms without a number that wait for a link; past that the oldest are dropped.
const MAX_PROVISIONAL: usize = 64;

impl<K: Sink + Control, F: Form<Item = K::Item>> DeliveryRoute<K, F> {
    /// An alarm waits for a store that has failed.
    pub(super) fn note_provisional(&mut self, alarm: StoredRow) {
        let failed = *self.store.state().borrow() == StoreState::Failed;
        if !failed || !self.window.carries(Lane::Alarm) {
            return;
        }
        if self.provisional.len() >= MAX_PROVISIONAL {
            self.provisional.pop_front();
        }
        self.provisional.push_back(alarm);
    }

    /// Shows alarms without a number over the first link that takes them. It awaits no acknowledgement: they come
    /// again with a number.
    pub(super) fn send_provisional(&mut self) {
        while let Some(alarm) = self.provisional.pop_front() {
            let now = self.clock.now();
            let rows = std::slice::from_ref(&alarm);
            let envelope = self.envelope(Lane::Alarm, rows, now, true);
            let mut kept = false;
            for link in self.chosen(now) {
                let link = &mut self.links[link];
                if link.stalled {
                    kept = true;
                    continue;
                }
                let item = match link.form.item(&envelope, rows) {
                    Ok(item) => item,
                    Err(error) => {
                        tracing::error!(route = %self.settings.route, link = %link.counters.id, %error, "an alarm cannot be shown");
                        continue;
                    }
                };
                let bytes = F::bytes(&item);
                match link.offer(Lane::Alarm, item, bytes, PROVISIONAL) {
                    Ok(()) => {
                        self.counters.provisional_total.add(1);
                        kept = false;
                        break;
                    }
                    Err(OfferError::TooLarge { .. }) => {}
                    Err(OfferError::NotConnected | OfferError::WindowFull) => {
                        link.stalled = true;
                        kept = true;
                    }
                }
            }
            if kept || !self.is_connected() {
                self.provisional.push_front(alarm);
                return;
            }
        }
    }
}
