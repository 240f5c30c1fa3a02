//! `pattern` as a judge of one signal: distances from the nearest known shape, turned into probabilities.

use std::sync::Arc;

use verge_domain::finding::{Finding, Member};
use verge_domain::reading::Reading;
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::{Moment, UtcMillis};

use super::{PatternDetector, PatternSettings};
use crate::alarm::{AlarmSettings, Pace};
use crate::pool::AlarmPool;
use crate::scores::Scores;
use crate::state::{self, StateKind};

/// Watches the shapes of one signal.
#[derive(Debug)]
pub struct PatternJudge {
    settings: AlarmSettings,
    detector: PatternDetector,
    readings: Pace,
    distances: Scores,
}

impl PatternJudge {
    pub(crate) fn new(shapes: PatternSettings, alarms: AlarmSettings, pool: Option<&Arc<AlarmPool>>) -> Self {
        Self {
            settings: alarms,
            detector: PatternDetector::new(shapes),
            readings: Pace::new(),
            distances: Scores::sharing(pool),
        }
    }

    pub(crate) fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        let at = reading.time(received.wall);
        // A shape must not span a pause.
        if self.readings.is_gap(at) {
            self.detector.gap();
        }
        self.readings.note(at);
        if let Some(distance) = self.detector.observe(reading.value) {
            let condition = self.distances.judge(&self.settings, Member::Pattern, at, distance);
            findings.push(Finding::Condition(condition));
        }
    }

    /// A shape must not span a pause.
    pub(crate) fn resume(&mut self) {
        self.detector.gap();
    }

    /// New shapes become known by themselves; a reservoir has no use for "real".
    pub(crate) fn apply(&mut self, remark: Remark, event: Option<UtcMillis>) -> bool {
        match remark {
            Remark::False => self.distances.was_false(event),
            Remark::Maintenance => {
                self.distances.was_maintenance();
                self.detector.gap();
                true
            }
            // What it taught the reservoir of shapes stays.
            Remark::Real => self.distances.excursions.was_real(event),
        }
    }

    pub(crate) fn alarm_rate(&self) -> AlarmRate {
        self.distances.alarm_rate(&self.settings)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.detector.heap_bytes() + self.distances.heap_bytes()
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        let state = (&self.readings, &self.distances, self.detector.save());
        state::seal_with(StateKind::Pattern, &state, &self.distances.behind(), &self.distances.running())
    }

    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (state, behind, running) = state::open_with(StateKind::Pattern, bytes)?;
        let (readings, distances, detector): (Pace, Scores, Vec<u8>) = state;
        let mut restored = self.distances.clone();
        restored.restore(distances, behind, running)?;
        self.detector.restore(&detector)?;
        (self.readings, self.distances) = (readings, restored);
        Ok(())
    }
}
