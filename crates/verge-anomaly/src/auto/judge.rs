//! `auto` as a judge of one signal.

use verge_domain::finding::{Condition, Finding};
use verge_domain::reading::Reading;
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::Moment;

use super::{AutoDetector, AutoSettings};

/// Watches one signal.
#[derive(Debug)]
pub struct AutoJudge {
    detector: AutoDetector,
}

impl AutoJudge {
    pub(crate) fn new(settings: &AutoSettings) -> Self {
        Self { detector: AutoDetector::new(settings) }
    }

    pub(crate) fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        let at = reading.time(received.wall);
        let assessment = self.detector.observe(at, reading.value);
        findings.push(Finding::Condition(Condition {
            member: assessment.member,
            standing: assessment.standing,
            observed: assessment.observed,
            expected: assessment.expected,
            // What was held back is told with the probability that it had.
            p_value: Some({
                let p_value = assessment.p_value;
                let told = if assessment.alarm { p_value.min(self.detector.cause_p()) } else { p_value };
                told.max(self.detector.least_p())
            }),
            contributions: Vec::new(),
            feedback: self.detector.feedback(),
        }));
    }

    pub(crate) fn hear(&mut self, remark: Remark) -> bool {
        match remark {
            Remark::Maintenance => {
                self.detector.was_maintenance();
                true
            }
            Remark::Real => self.detector.was_real(),
        }
    }

    pub(crate) fn alarm_rate(&self) -> AlarmRate {
        self.detector.alarm_rate()
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        self.detector.save()
    }

    pub(crate) fn restore(&mut self, state: &[u8]) -> Result<(), RestoreError> {
        self.detector.restore(state)
    }
}
