//! `pattern` as a judge of one signal: distances from the nearest known shape, turned into probabilities.

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Expected, Feedback, Finding, Member};
use verge_domain::reading::Reading;
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::Moment;

use super::{PatternDetector, PatternSettings};
use crate::alarm::{AlarmSettings, Alarms, Pace};
use crate::budget::Rate;
use crate::state::{self, Kind};
use crate::tail::Tail;

/// The level without a budget. Shapes overlap, so that their distances come in runs.
const FIXED_P: f64 = 1e-3;

/// Watches the shapes of one signal.
#[derive(Debug)]
pub struct PatternJudge {
    settings: AlarmSettings,
    detector: PatternDetector,
    book: Book,
}

/// What is remembered beside the shapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Book {
    readings: Pace,
    shapes: Pace,
    tail: Tail,
    alarms: Alarms,
    feedback: Feedback,
}

impl PatternJudge {
    pub(crate) fn new(shapes: PatternSettings, alarms: AlarmSettings) -> Self {
        let book = Book {
            readings: Pace::new(),
            shapes: Pace::new(),
            tail: Tail::new(0),
            alarms: Alarms::new(),
            feedback: Feedback::default(),
        };
        Self { settings: alarms, detector: PatternDetector::new(shapes), book }
    }

    pub(crate) fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        let at = reading.time(received.wall);
        let book = &mut self.book;
        // A shape must not span a pause.
        if book.readings.is_gap(at) {
            self.detector.gap();
        }
        book.readings.note(at);
        let Some(distance) = self.detector.observe(reading.value) else { return };
        book.shapes.note(at);
        let level = self.settings.rate(&book.shapes, book.tail.weight(), 1.0, FIXED_P).p;
        let p_value = book.tail.observe(distance);
        let outcome = book.alarms.judge(p_value, level, self.settings.hold_off, false);
        findings.push(Finding::Condition(Condition {
            member: Member::Pattern,
            standing: outcome.standing,
            observed: distance,
            expected: Expected { low: None, high: book.tail.quantile(level) },
            p_value: Some(p_value),
            contributions: Vec::new(),
            feedback: book.feedback,
        }));
    }

    /// New shapes become known by themselves; "real" cannot be told to a reservoir.
    pub(crate) fn hear(&mut self, remark: Remark) -> bool {
        match remark {
            Remark::Maintenance => {
                self.book.feedback.maintenance = self.book.feedback.maintenance.saturating_add(1);
                self.detector.gap();
                true
            }
            Remark::Real => false,
        }
    }

    pub(crate) fn alarm_rate(&self) -> AlarmRate {
        let rate: Rate = self.settings.rate(&self.book.shapes, self.book.tail.weight(), 1.0, FIXED_P);
        self.book.alarms.rate(&self.book.shapes, &rate)
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        state::seal(Kind::Pattern, &(&self.book, self.detector.save()))
    }

    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (book, detector): (Book, Vec<u8>) = state::open(Kind::Pattern, bytes)?;
        self.detector.restore(&detector)?;
        self.book = book;
        Ok(())
    }
}
