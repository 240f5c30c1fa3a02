//! `vibration` as a judge of one signal of raw samples.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Contribution, Expected, FARTHEST, Feedback, Finding, Member};
use verge_domain::id::SignalId;
use verge_domain::reading::Reading;
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::{Moment, Monotonic};

use super::{Judgement, VibrationDetector, VibrationSettings};
use crate::alarm::{AlarmSettings, Alarms, Pace};
use crate::budget::least_p;
use crate::pool::{AlarmPool, PoolMember, Seen};
use crate::state::{self, StateKind};

/// The level without a budget.
const FIXED_P: f64 = 1e-4;
/// Samples after a pause of this many blocks do not follow on those before.
const GAP_BLOCKS: f64 = 4.0;
/// Where a feature's deviation lies while all is well, in standard deviations.
const USUAL: f64 = 3.0;

/// Watches the vibration of one machine.
#[derive(Debug)]
pub struct VibrationJudge {
    settings: AlarmSettings,
    gap_us: u64,
    detector: VibrationDetector,
    last: Option<Monotonic>,
    book: AlarmHistory,
    pool: PoolMember,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct AlarmHistory {
    pace: Pace,
    alarms: Alarms,
    feedback: Feedback,
    /// Of the block before.
    p_before: f64,
}

impl VibrationJudge {
    pub(crate) fn new(
        settings: VibrationSettings,
        alarms: AlarmSettings,
        pool: Option<&Arc<AlarmPool>>,
    ) -> Self {
        let book = AlarmHistory {
            pace: Pace::new(),
            alarms: Alarms::new(),
            feedback: Feedback::default(),
            p_before: 1.0,
        };
        let gap_us = (GAP_BLOCKS * settings.block_seconds() * 1e6) as u64;
        let (detector, pool) = (VibrationDetector::new(settings), PoolMember::of(pool));
        Self { settings: alarms, gap_us, detector, last: None, book, pool }
    }

    pub(crate) fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        // Blocks come as they are sent, by the clock that never steps; samples within one have no time of their own.
        if let Some(last) = self.last
            && received.mono.since(last).as_micros() > u128::from(self.gap_us.max(2_000_000))
        {
            self.detector.gap();
        }
        self.last = Some(received.mono);
        let Some(judgement) = self.detector.observe(reading.value).and_then(|block| block.judgement) else {
            return;
        };
        let book = &mut self.book;
        book.pace.note(reading.time(received.wall));
        let seen = book.pace.seen() as f64;
        self.pool.begin(reading.time(received.wall), &book.pace, seen);
        let level = self.pool.level(|| self.settings.rate(&book.pace, seen, 1.0, FIXED_P));
        // Two blocks in a row must say so: a single knock is no fault.
        let p_value = judgement.p_value.max(book.p_before);
        book.p_before = judgement.p_value;
        let how = (&book.pace, Seen::Score(judgement.distance));
        let outcome = self.pool.judge(&mut book.alarms, &self.settings, (p_value, level), how, false);
        let contributions = if outcome.abnormal { explained(&judgement) } else { Vec::new() };
        let (observed, expected) = (judgement.distance, Expected::default());
        findings.push(Finding::Condition(Condition {
            learning: outcome.learning,
            p_value: Some(p_value.max(least_p(seen, 1.0))),
            contributions,
            feedback: book.feedback,
            // It is about 1 for a usual block.
            distance: Some(observed.min(FARTHEST)),
            ..Condition::of_rule(Member::Vibration, outcome.standing, observed, expected)
        }));
    }

    pub(crate) fn apply(&mut self, remark: Remark) -> bool {
        match remark {
            Remark::Maintenance => {
                self.book.feedback.maintenance = self.book.feedback.maintenance.saturating_add(1);
                self.detector.relearn();
                true
            }
            // Abnormal blocks hardly teach the baseline anything.
            Remark::Real | Remark::False => false,
        }
    }

    pub(crate) fn alarm_rate(&self) -> AlarmRate {
        let AlarmHistory { pace, alarms, .. } = &self.book;
        let seen = pace.seen() as f64;
        let rate = self.settings.rate_ahead(pace, seen, 1.0, FIXED_P);
        self.pool.rate(alarms.rate(pace, &rate), pace, seen)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.detector.heap_bytes()
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        state::seal_with(StateKind::Vibration, &(&self.book, self.detector.save()), self.pool.saved())
    }

    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let ((book, detector), shared): ((AlarmHistory, Vec<u8>), _) =
            state::open_with(StateKind::Vibration, bytes)?;
        let mut pool = self.pool.clone();
        pool.restore(shared)?;
        self.detector.restore(&detector)?;
        // Samples from before the restart are not continued now.
        self.detector.gap();
        (self.book, self.pool) = (book, pool);
        Ok(())
    }
}

/// The features farthest out, by name, with their parts of what these make up together.
fn explained(judgement: &Judgement) -> Vec<Contribution> {
    let whole: f64 = judgement.contributions.iter().map(|one| one.deviations.powi(2)).sum();
    let named = judgement.contributions.iter().filter_map(|one| {
        Some(Contribution {
            signal: SignalId::new(&one.feature.to_string()).ok()?,
            share: one.deviations.powi(2) / whole.max(f64::MIN_POSITIVE),
            observed: one.deviations,
            expected: Expected { low: Some(-USUAL), high: Some(USUAL) },
        })
    });
    named.collect()
}
