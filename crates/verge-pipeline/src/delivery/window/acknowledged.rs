//! What one link acknowledged recently, as far as it may have to be offered again.

use std::collections::VecDeque;
use std::time::Duration;

use verge_domain::id::{Lane, Seq};
use verge_domain::time::Monotonic;

use super::super::ranges::Ranges;

/// Steps that the rewound time is divided into.
const STEPS: u32 = 8;
/// Intervals kept of one lane in one step; past that, gaps are bridged, which repeats more than necessary.
const MAX_INTERVALS: usize = 512;

/// What was acknowledged when, in steps of a fraction of the rewound time.
#[derive(Debug)]
pub(super) struct AcknowledgedHistory {
    rewind: Duration,
    steps: VecDeque<HistoryStep>,
    last: Option<Monotonic>,
}

#[derive(Debug)]
struct HistoryStep {
    began: Monotonic,
    acknowledged: [Ranges; 3],
}

impl AcknowledgedHistory {
    pub(super) fn new(rewind: Duration) -> Self {
        Self { rewind, steps: VecDeque::new(), last: None }
    }

    pub(super) fn note(&mut self, lane: Lane, from: Seq, to: Seq, now: Monotonic) {
        self.last = Some(now);
        if self.rewind == Duration::ZERO {
            return;
        }
        let step = self.rewind / STEPS;
        if self.steps.back().is_none_or(|last| now.since(last.began) > step) {
            self.steps.push_back(HistoryStep { began: now, acknowledged: <[Ranges; 3]>::default() });
        }
        if let Some(last) = self.steps.back_mut() {
            let acknowledged = &mut last.acknowledged[lane.index()];
            acknowledged.insert(from, to);
            if acknowledged.intervals() > MAX_INTERVALS {
                acknowledged.bridge(MAX_INTERVALS / 2);
            }
        }
        while self.steps.front().is_some_and(|first| first.began.after(step + self.rewind) < now) {
            self.steps.pop_front();
        }
    }

    /// The link is lost: returns what it acknowledged shortly before. `in_flight`: whether something still was.
    pub(super) fn rewound(&mut self, in_flight: bool, now: Monotonic) -> [Ranges; 3] {
        // If something was in flight, upstream had fallen silent some time before that was noticed.
        let alive = self.last.filter(|_| in_flight).unwrap_or(now);
        let reach = self.rewind / STEPS + self.rewind;
        let mut rewound = <[Ranges; 3]>::default();
        for step in self.steps.drain(..).filter(|step| step.began.after(reach) >= alive) {
            for (all, acknowledged) in rewound.iter_mut().zip(&step.acknowledged) {
                all.insert_all(acknowledged);
            }
        }
        rewound
    }
}
