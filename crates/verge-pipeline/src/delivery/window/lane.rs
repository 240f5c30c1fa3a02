//! The state of each number of one lane.

use verge_domain::id::Seq;
use verge_domain::time::Monotonic;

use super::super::ranges::Ranges;

#[derive(Debug, Clone)]
pub(super) struct LaneWindow {
    pub(super) carried: bool,
    /// Newest committed number.
    pub(super) head: Seq,
    /// Newest number that was ever offered.
    pub(super) offered: Seq,
    /// The mark: everything up to here was acknowledged at least once. It never decreases.
    pub(super) mark: Seq,
    /// Acknowledged beyond the mark.
    pub(super) acknowledged: Ranges,
    /// To be offered again: lost in transit, or acknowledged too shortly before the loss of a link.
    pub(super) again: Ranges,
    /// Too large for the links at hand.
    pub(super) held: Ranges,
    /// To be offered one by one: upstream refused a message that held several.
    pub(super) singly: Ranges,
    /// Requested again by upstream.
    pub(super) replay: Ranges,
    /// Since when something waits to be offered for the first time.
    pub(super) waiting_since: Option<Monotonic>,
}

impl LaneWindow {
    pub(super) fn new(mark: Seq, carried: bool) -> Self {
        Self {
            carried,
            head: mark,
            offered: mark,
            mark,
            acknowledged: Ranges::default(),
            again: Ranges::default(),
            held: Ranges::default(),
            singly: Ranges::default(),
            replay: Ranges::default(),
            waiting_since: None,
        }
    }

    /// Counts numbers up to `to` as offered; those before `from` that were never offered still have to be.
    pub(super) fn advance(&mut self, from: Seq, to: Seq, now: Monotonic) {
        if to > self.offered {
            self.again.insert(self.offered.next(), Seq(from.0 - 1));
            self.offered = to;
            // The store may hold more than was reported to this route so far.
            self.head = self.head.max(to);
            self.waiting_since = (self.head > to).then_some(now);
        }
    }

    /// Counts numbers as acknowledged. Returns the mark if it rose.
    pub(super) fn acknowledge(&mut self, from: Seq, to: Seq) -> Option<Seq> {
        self.acknowledged.insert(from.max(self.mark.next()), to);
        let (first, end) = self.acknowledged.first()?;
        (first == self.mark.next()).then(|| {
            self.acknowledged.remove(first, end);
            self.mark = end;
            end
        })
    }
}
