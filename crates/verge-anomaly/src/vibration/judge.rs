//! `vibration` as a judge of one signal of raw samples.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Contribution, Expected, FARTHEST, Feedback, Finding, Member};
use verge_domain::id::SignalId;
use verge_domain::reading::Reading;
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::{Moment, Monotonic, UtcMillis};

use super::{Judgement, VibrationDetector, VibrationSettings};
use crate::alarm::{AlarmSettings, Alarms, Pace};
use crate::budget::least_p;
use crate::excursions::Excursions;
use crate::pool::{AlarmPool, Odds, PoolMember, RunningEvent, SavedMember, SeenReading};
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
    /// By the features that were the strangest.
    excursions: Excursions,
    features: usize,
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
        let (detector, pool, features) =
            (VibrationDetector::new(settings), PoolMember::of(pool), settings.width());
        let excursions = Excursions::default();
        Self { settings: alarms, gap_us, detector, last: None, book, pool, excursions, features }
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
        let at = reading.time(received.wall);
        book.pace.note(at);
        let seen = book.pace.seen() as f64;
        self.pool.begin(at, &book.pace, seen);
        let level = self.pool.level(|| self.settings.rate(&book.pace, seen, 1.0, FIXED_P));
        let level = level.times(self.excursions.part());
        // Two blocks in a row must say so: a single knock is no fault.
        let p_value = judgement.p_value.max(book.p_before);
        book.p_before = judgement.p_value;
        let strangest = judgement.contributions[0].feature.place();
        // People said that it is no fault.
        let is_hidden = p_value <= level.p && self.excursions.is_harmless(strangest, judgement.distance);
        let p_value = if is_hidden { 1.0 } else { p_value };
        let (how, was_open) = ((&book.pace, SeenReading::Score(judgement.distance)), book.alarms.is_open());
        let outcome =
            self.pool.judge(&mut book.alarms, &self.settings, (Odds::of(p_value), level), how, false);
        if book.alarms.is_open() {
            let parts = judgement.contributions.map(|one| (one.feature.place(), one.deviations.powi(2)));
            let (was_open, of) = (was_open && !outcome.gives_way, (self.features, &parts[..]));
            self.excursions.note_together(at, was_open, level.p, of, (judgement.distance, p_value));
        }
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

    /// What was no fault is known by the features that were the strangest.
    pub(crate) fn apply(&mut self, remark: Remark, event: Option<UtcMillis>) -> bool {
        let feedback = &mut self.book.feedback;
        match remark {
            Remark::False => self.excursions.was_false(event),
            Remark::Maintenance => {
                feedback.maintenance = feedback.maintenance.saturating_add(1);
                self.detector.relearn();
                self.excursions.was_maintenance();
                true
            }
            // Abnormal blocks hardly teach the baseline anything: there is nothing to forget but another label.
            Remark::Real => {
                feedback.real = feedback.real.saturating_add(1);
                self.pool.was_real();
                self.excursions.was_real(event)
            }
        }
    }

    pub(crate) fn alarm_rate(&self) -> AlarmRate {
        let AlarmHistory { pace, alarms, .. } = &self.book;
        let seen = pace.seen() as f64;
        let rate = self.settings.rate_ahead(pace, seen, 1.0, FIXED_P);
        self.pool.rate(alarms.rate(pace, &rate), pace, seen)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.detector.heap_bytes() + self.excursions.heap_bytes()
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        let newest = (self.pool.running(&self.book.alarms), &self.excursions);
        let state = (&self.book, self.detector.save());
        state::seal_with(StateKind::Vibration, &state, self.pool.saved(), &newest)
    }

    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        type Saved = ((AlarmHistory, Vec<u8>), SavedMember, (RunningEvent, Excursions));
        let ((mut book, detector), shared, (running, excursions)): Saved =
            state::open_with(StateKind::Vibration, bytes)?;
        excursions.check(self.features)?;
        let mut pool = self.pool.clone();
        pool.restore(shared, running, &mut book.alarms)?;
        self.detector.restore(&detector)?;
        // Samples from before the restart are not continued now.
        self.detector.gap();
        (self.book, self.pool, self.excursions) = (book, pool, excursions);
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
