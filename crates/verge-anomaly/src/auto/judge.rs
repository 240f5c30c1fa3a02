//! `auto` as a judge of one signal.

use std::sync::Arc;

use verge_domain::finding::{Condition, Expected, Finding, Standing};
use verge_domain::reading::Reading;
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::{Moment, UtcMillis};

use super::{AutoDetector, AutoSettings, EFFECTIVE_MEMBERS, MEMBERS, combined};
use crate::budget::least_p;
use crate::pool::AlarmPool;
use crate::state::{self, StateKind};
use crate::tail::WARM_UP;

/// Readings before a detector is made of them. Before its warm-up is over it finds nothing usual or strange, so that
/// nothing is missed; names that a peer sends a few times take little.
const FIRST: usize = 16;
const _: () = assert!(FIRST < WARM_UP as usize);

/// Watches one signal.
#[derive(Debug)]
pub struct AutoJudge {
    settings: AutoSettings,
    pool: Option<Arc<AlarmPool>>,
    stage: AutoStage,
}

#[derive(Debug)]
enum AutoStage {
    /// The first readings, as they came: UTC milliseconds and value.
    First(Vec<(i64, f64)>),
    Learning(Box<AutoDetector>),
}

impl AutoJudge {
    pub(crate) fn new(settings: &AutoSettings, pool: Option<&Arc<AlarmPool>>) -> Self {
        Self { settings: *settings, pool: pool.cloned(), stage: AutoStage::First(Vec::new()) }
    }

    pub(crate) fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        let at = reading.time(received.wall);
        if let AutoStage::First(first) = &mut self.stage
            && first.len() < FIRST
        {
            first.push((at.0, reading.value));
            let remembered = first.len() as f64;
            findings.push(Finding::Condition(nothing_yet(&self.settings, reading.value, remembered)));
            return;
        }
        let detector = self.detector();
        detector.belongs_to(&reading.device);
        let assessment = detector.observe(at, reading.value);
        let (member, standing) = (assessment.member, assessment.standing);
        findings.push(Finding::Condition(Condition {
            // What was held back is reported with the probability that it had.
            p_value: Some({
                let p_value = assessment.p_value;
                let reported = if assessment.alarm { p_value.min(detector.cause_p()) } else { p_value };
                reported.max(detector.least_p())
            }),
            feedback: detector.feedback(),
            learning: assessment.learning,
            distance: assessment.shown.map(|(distance, _)| distance),
            shown: assessment.shown.map(|(_, shown)| shown),
            ..Condition::of_rule(member, standing, assessment.observed, assessment.expected)
        }));
    }

    /// The detector, made of the first readings where it is not there yet.
    fn detector(&mut self) -> &mut AutoDetector {
        if let AutoStage::First(first) = &self.stage {
            let mut detector = Box::new(AutoDetector::sharing(&self.settings, self.pool.as_ref()));
            for &(at, value) in first {
                detector.observe(UtcMillis(at), value);
            }
            self.stage = AutoStage::Learning(detector);
        }
        match &mut self.stage {
            AutoStage::Learning(detector) => detector,
            AutoStage::First(_) => unreachable!("it was just made"),
        }
    }

    pub(crate) fn apply(&mut self, remark: Remark, event: Option<UtcMillis>) -> bool {
        match remark {
            Remark::False => self.detector().was_false(event),
            Remark::Maintenance => {
                self.detector().was_maintenance();
                true
            }
            Remark::Real => self.detector().was_real(event),
        }
    }

    /// Where values lie at this hour; `None` before there is a history.
    pub(crate) fn expectation(&self) -> Option<Expected> {
        match &self.stage {
            AutoStage::First(_) => None,
            AutoStage::Learning(detector) => detector.usual(),
        }
    }

    /// `None` before there is a history.
    pub(crate) fn alarm_rate(&self) -> Option<AlarmRate> {
        match &self.stage {
            AutoStage::First(_) => None,
            AutoStage::Learning(detector) => Some(detector.alarm_rate()),
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.stage {
            AutoStage::First(first) => first.capacity() * size_of::<(i64, f64)>(),
            AutoStage::Learning(detector) => size_of::<AutoDetector>() + detector.heap_bytes(),
        }
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        match &self.stage {
            AutoStage::First(first) => state::seal(StateKind::FirstReadings, first),
            AutoStage::Learning(detector) => detector.save(),
        }
    }

    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        if state::is_of(StateKind::FirstReadings, bytes) {
            let first: Vec<(i64, f64)> = state::open(StateKind::FirstReadings, bytes)?;
            if first.len() > FIRST || first.iter().any(|(_, value)| !value.is_finite()) {
                return Err(RestoreError::Misfit { part: "the first readings" });
            }
            self.stage = AutoStage::First(first);
        } else {
            let mut detector = Box::new(AutoDetector::sharing(&self.settings, self.pool.as_ref()));
            detector.restore(bytes)?;
            self.stage = AutoStage::Learning(detector);
        }
        Ok(())
    }
}

/// What a detector says of one of its first readings.
fn nothing_yet(settings: &AutoSettings, value: f64, remembered: f64) -> Condition {
    let p_value = Some(combined(1.0).max(least_p(remembered, EFFECTIVE_MEMBERS)));
    let (observed, expected) = (settings.admit(value), Expected::default());
    Condition { p_value, ..Condition::of_rule(MEMBERS[0], Standing::Normal, observed, expected) }
}
