//! What upstream refuses: offered again row by row, so that one that cannot be taken holds up no other.

use verge_domain::id::Seq;
use verge_domain::stage::Token;

use super::super::ranges::Ranges;
use super::{Flight, Offer, RouteWindow};

impl RouteWindow {
    /// Upstream refused a message. What it held is to be offered again row by row; of one that held a single row, returns what
    /// was offered: another link may carry it.
    pub(in crate::delivery) fn refused(&mut self, token: Token) -> Option<Offer> {
        let Flight { link, lane, from, to, replay, single } = self.flights.remove(&token)?;
        if let Some(link) = self.links.get_mut(link) {
            link.in_flight -= 1;
        }
        let state = &mut self.lanes[lane.index()];
        if replay {
            state.replay.insert(from, to);
        }
        let mut owed = Ranges::default();
        owed.insert(from.max(state.mark.next()), to);
        owed.remove_all(&state.acknowledged);
        state.again.insert_all(&owed);
        if !single {
            state.singly.insert(from, to);
            return None;
        }
        Some(Offer { link, lane, after: Seq(from.0 - 1), upto: Some(to), max_rows: 1, replay })
    }
}
