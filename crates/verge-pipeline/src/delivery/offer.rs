//! From stored rows to messages on a link.

use std::time::Duration;

use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Control, Envelope, Form, OfferError, Sink, StoredRow, Token, Withdrawn};
use verge_domain::time::Moment;
use verge_domain::withdrawn::Withdrawal;

use super::route::DeliveryRoute;
use super::window::{Carriers, Next, Offer};

/// Maximum of bytes of a lane that are read at once.
const MAX_FETCH_BYTES: usize = 256 * 1024;
/// Pause after the store could not carry out a request.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// The result of a message on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It is in flight.
    Taken,
    /// The link takes nothing now.
    Stalled,
    /// It does not fit into what is left of the day's budget.
    OverBudget,
    /// It can never be sent on this link.
    Impossible(Withdrawal),
}

impl<K: Sink + Control, F: Form<Item = K::Item>> DeliveryRoute<K, F> {
    /// Offers what may be offered now; returns after what time to look again.
    pub(super) async fn fill(&mut self) -> Option<Duration> {
        loop {
            self.note_heads();
            self.send_provisional();
            let now = self.clock.now();
            for link in &mut self.links {
                if link.look(now) {
                    self.window.release();
                }
            }
            if let Some(until) = self.pause.filter(|&until| until > now.mono) {
                return Some(until.since(now.mono));
            }
            let (carriers, wake) = self.carriers(now);
            match self.window.next(now.mono, &carriers) {
                Next::Wait => return wake,
                Next::WaitUntil(at) => return earliest(wake, Some(at.since(now.mono))),
                Next::Offer(offer) => self.fetch_and_offer(&offer).await,
            }
        }
    }

    /// Links that may carry each lane now, and after what time that may change by itself.
    fn carriers(&mut self, now: Moment) -> (Carriers, Option<Duration>) {
        let mut ready = self.chosen(now);
        ready.retain(|&link| !self.links[link].stalled);
        let lanes = Lane::ALL
            .map(|lane| ready.iter().copied().filter(|&link| self.links[link].budget.allows(lane)).collect());
        // Also of links that carry nothing now: a verdict too large for the others may wait for them.
        let tomorrow = self.links.iter().filter_map(|link| link.budget.wake(now)).min();
        let takeover = self.choice.wake().map(|at| at.since(now.mono));
        (Carriers { lanes }, earliest(tomorrow, takeover))
    }

    /// Links that carry messages now, in order of preference.
    pub(super) fn chosen(&mut self, now: Moment) -> Vec<usize> {
        let before = self.choice.active();
        let links = self.choice.carriers(now.mono);
        let active = self.choice.active();
        if active != before
            && let Some(link) = active.and_then(|active| self.links.get(active))
        {
            tracing::info!(route = %self.settings.route, link = %link.counters.id, "carries the verdicts from now on");
        }
        links
    }

    async fn fetch_and_offer(&mut self, offer: &Offer) {
        let Offer { lane, after, max_rows, .. } = *offer;
        let fetched = self.store.fetch(lane, after, max_rows, MAX_FETCH_BYTES).await;
        let Some(Ok(mut rows)) = fetched else { return self.pause() };
        let head = self.window.head(lane);
        let upto = offer.upto.unwrap_or(Seq(u64::MAX));
        rows.retain(|row| row.seq <= upto);
        let stored_from = rows.first().map_or(upto.min(head).next(), |row| row.seq);
        if stored_from > after.next() {
            self.pass_over(offer, stored_from);
        }
        if lane == Lane::Alarm {
            for row in &rows {
                if !self.offer_rows(offer, std::slice::from_ref(row)).await {
                    return;
                }
            }
        } else {
            self.offer_rows(offer, &rows).await;
        }
    }

    fn pause(&mut self) {
        self.pause = Some(self.clock.now().mono.after(STORE_RETRY));
    }

    /// The store does not hold what was to be offered before this number.
    fn pass_over(&mut self, offer: &Offer, stored_from: Seq) {
        let (lane, from, to) = (offer.lane, offer.after.next(), Seq(stored_from.0 - 1));
        if offer.replay {
            return self.window.drop_replay(lane, from, to);
        }
        // A route that is new to an old store finds the oldest verdicts evicted: it begins after them.
        if to > self.window.mark(lane) {
            tracing::warn!(
                route = %self.settings.route, %lane, %from, before = %stored_from,
                "verdicts that the store no longer holds are not delivered on this route"
            );
        }
        let mark = self.window.skip(lane, from, to, self.clock.now().mono);
        self.note_mark(lane, mark);
    }

    /// Offers rows as one message, or as several where one is too large. Returns whether to continue.
    async fn offer_rows(&mut self, offer: &Offer, rows: &[StoredRow]) -> bool {
        let mut parts = vec![rows];
        while let Some(part) = parts.pop() {
            let Some(first) = part.first() else { continue };
            match self.send(offer.link, offer, part) {
                Sent::Taken => {}
                Sent::Stalled => return false,
                Sent::OverBudget | Sent::Impossible(_) if part.len() > 1 => {
                    let (front, back) = part.split_at(part.len() / 2);
                    parts.extend([back, front]);
                }
                Sent::OverBudget => {
                    let link = &mut self.links[offer.link];
                    link.budget.exhaust(offer.lane);
                    link.show_budget();
                    tracing::info!(
                        route = %self.settings.route, link = %link.counters.id, lane = %offer.lane,
                        "the day's budget is spent; verdicts wait for the next day"
                    );
                    return false;
                }
                Sent::Impossible(reason) => {
                    if !self.offer_elsewhere(offer, first, reason).await {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn send(&mut self, link: usize, offer: &Offer, rows: &[StoredRow]) -> Sent {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Sent::Taken };
        let now = self.clock.now();
        let envelope = self.envelope(offer.lane, rows, now, false);
        let by = &mut self.links[link];
        let name = &by.counters.id;
        let item = match by.form.item(&envelope, rows) {
            Ok(item) => item,
            Err(error) => {
                if rows.len() == 1 {
                    tracing::error!(route = %self.settings.route, link = %name, lane = %offer.lane, seq = %first.seq, %error, "cannot be sent");
                }
                return Sent::Impossible(Withdrawal::Damaged);
            }
        };
        let size = F::bytes(&item);
        if !by.budget.fits(offer.lane, size) {
            return Sent::OverBudget;
        }
        let token = self.window.token();
        match by.offer(offer.lane, item, size, token) {
            Ok(()) => {
                self.window.offered(token, &Offer { link, ..*offer }, first.seq, last.through(), now.mono);
                self.counters.messages_offered_total.add(1);
                self.counters.bytes_offered_total.add(size as u64);
                let counters = &by.counters;
                counters.messages_offered_total.add(1);
                counters.bytes_offered_total.add(size as u64);
                Sent::Taken
            }
            Err(OfferError::TooLarge { actual, limit }) => {
                if rows.len() == 1 {
                    tracing::warn!(route = %self.settings.route, link = %by.counters.id, lane = %offer.lane, seq = %first.seq, actual, limit, "too large to send");
                }
                Sent::Impossible(Withdrawal::TooLarge)
            }
            Err(OfferError::NotConnected | OfferError::WindowFull) => {
                by.stalled = true;
                Sent::Stalled
            }
        }
    }

    /// The envelope of a message's verdicts.
    pub(super) fn envelope(
        &self,
        lane: Lane,
        rows: &[StoredRow],
        now: Moment,
        provisional: bool,
    ) -> Envelope {
        let oldest = rows.iter().map(|row| row.decided).min();
        Envelope {
            gateway: self.settings.gateway.clone(),
            epoch: self.store.epoch(),
            lane,
            sent: now.wall,
            age: oldest.map_or(Duration::ZERO, |oldest| now.wall.since(oldest)),
            volatile: provisional,
        }
    }

    /// Upstream refuses a message: its verdicts go one by one, and one that is refused by itself over another link.
    pub(super) async fn on_refused(&mut self, link: usize, token: Token, reason: &str) {
        let Some(offer) = self.window.refused(token) else { return };
        let (lane, seq) = (offer.lane, offer.after.next());
        tracing::warn!(
            route = %self.settings.route, link = %self.links[link].counters.id, %lane, %seq, reason,
            "upstream refuses this verdict"
        );
        // What cannot be read now is offered, and refused, again.
        let fetched = self.store.fetch(lane, offer.after, 1, MAX_FETCH_BYTES).await;
        let Some(Ok(rows)) = fetched else { return self.pause() };
        let Some(row) = rows.first().filter(|row| row.seq == seq) else { return };
        *self.refusals.entry((lane, seq)).or_default() |= bit(link);
        self.offer_elsewhere(&offer, row, Withdrawal::Refused).await;
    }

    /// A row that its link can never carry goes over another link, or waits for one that may carry it; if none can,
    /// a tombstone replaces it. Returns whether to continue.
    async fn offer_elsewhere(&mut self, offer: &Offer, row: &StoredRow, mut reason: Withdrawal) -> bool {
        let mut awaited = false;
        let refused =
            self.refusals.get(&(offer.lane, row.seq)).copied().unwrap_or_default() | bit(offer.link);
        for link in (0..self.links.len()).filter(|&link| refused & bit(link) == 0) {
            match self.send(link, offer, std::slice::from_ref(row)) {
                Sent::Taken => return true,
                Sent::Stalled | Sent::OverBudget => {
                    self.links[link].awaited = true;
                    awaited = true;
                }
                Sent::Impossible(Withdrawal::TooLarge) => reason = Withdrawal::TooLarge,
                Sent::Impossible(_) => {}
            }
        }
        let (lane, from, to) = (offer.lane, row.seq, row.through());
        if offer.replay {
            self.window.drop_replay(lane, from, to);
            return true;
        }
        if awaited {
            self.window.hold(lane, from, to, self.clock.now().mono);
            return true;
        }
        self.withdraw(lane, row, reason).await
    }

    async fn withdraw(&mut self, lane: Lane, row: &StoredRow, reason: Withdrawal) -> bool {
        let (from, to) = (row.seq, row.through());
        self.refusals.remove(&(lane, from));
        if row.withdrawn.is_some() && row.bytes.is_empty() {
            // Nothing smaller can replace it.
            tracing::error!(route = %self.settings.route, %lane, %from, through = %to, "a tombstone cannot be sent on any link");
            let mark = self.window.skip(lane, from, to, self.clock.now().mono);
            self.note_mark(lane, mark);
            return true;
        }
        let reason = row.withdrawn.map_or(reason, |withdrawn| withdrawn.reason);
        let tombstone = Withdrawn { through: to, reason };
        let Some(Ok(())) = self.store.withdraw(lane, from, tombstone, self.clock.now().wall).await else {
            self.pause();
            return false;
        };
        tracing::error!(
            route = %self.settings.route, %lane, seq = %from, reason = reason.as_str(),
            "no link can carry this verdict; a tombstone takes its place"
        );
        self.counters.undeliverable_total.add(1);
        // The tombstone is read next.
        false
    }
}

/// The bit of a link among those that refused a verdict; the configuration allows fewer links than there are bits.
fn bit(link: usize) -> u64 {
    1_u64.checked_shl(u32::try_from(link).unwrap_or(u32::MAX)).unwrap_or_default()
}

fn earliest(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    [one, other].into_iter().flatten().min()
}
