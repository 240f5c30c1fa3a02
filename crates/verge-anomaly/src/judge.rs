//! The closed list of judges over readings.

use verge_domain::finding::Finding;
use verge_domain::reading::Reading;
use verge_domain::stage::{Judge, RestoreError, Scope};
use verge_domain::time::Moment;
use verge_domain::verdict::Detector;

use crate::health::{HealthJudge, HealthSettings};
use crate::rate::{RateJudge, RateSettings};
use crate::silence::{SilenceJudge, SilenceSettings};
use crate::threshold::{ThresholdJudge, ThresholdSettings};
use crate::vehicle_loop::{LoopJudge, LoopSettings};

/// How a judge decides. Made from checked parts, so that a judge can always be made of it.
#[derive(Debug, Clone, PartialEq)]
pub enum JudgeSettings {
    /// Fixed limits with hysteresis.
    Threshold(ThresholdSettings),
    /// Limits on the rate of change.
    Rate(RateSettings),
    /// Absence of readings.
    Silence(SilenceSettings),
    /// Faults of the sensor, by its own past.
    Health(HealthSettings),
    /// Vehicle detectors to flow, occupancy and speed.
    Loop(LoopSettings),
}

impl JudgeSettings {
    /// The detector's name.
    #[must_use]
    pub const fn detector(&self) -> Detector {
        match self {
            Self::Threshold(_) => Detector::Threshold,
            Self::Rate(_) => Detector::Rate,
            Self::Silence(_) => Detector::Silence,
            Self::Health(_) => Detector::Health,
            Self::Loop(_) => Detector::Loop,
        }
    }

    /// What one instance watches.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        match self {
            Self::Threshold(_) | Self::Rate(_) | Self::Silence(_) | Self::Health(_) => Scope::Signal,
            Self::Loop(_) => Scope::Device,
        }
    }
}

/// A judge at work on one subject. The larger ones are boxed: a plant has hundreds of small ones.
#[derive(Debug)]
pub enum ReadingJudge {
    /// See [`crate::threshold`].
    Threshold(ThresholdJudge),
    /// See [`crate::rate`].
    Rate(Box<RateJudge>),
    /// See [`crate::silence`].
    Silence(SilenceJudge),
    /// See [`crate::health`].
    Health(Box<HealthJudge>),
    /// See [`crate::vehicle_loop`].
    Loop(Box<LoopJudge>),
}

impl ReadingJudge {
    /// A judge that has seen nothing yet. `now` is when it begins to watch.
    #[must_use]
    pub fn new(settings: &JudgeSettings, now: Moment) -> Self {
        match settings {
            JudgeSettings::Threshold(settings) => Self::Threshold(ThresholdJudge::new(*settings)),
            JudgeSettings::Rate(settings) => Self::Rate(Box::new(RateJudge::new(*settings))),
            JudgeSettings::Silence(settings) => Self::Silence(SilenceJudge::new(*settings, now.mono)),
            JudgeSettings::Health(settings) => Self::Health(Box::new(HealthJudge::new(*settings, now.mono))),
            JudgeSettings::Loop(settings) => Self::Loop(Box::new(LoopJudge::new(settings.clone()))),
        }
    }
}

impl Judge for ReadingJudge {
    type Observation = Reading;

    fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        match self {
            Self::Threshold(judge) => judge.observe(reading, findings),
            Self::Rate(judge) => judge.observe(reading, received, findings),
            Self::Silence(judge) => judge.observe(received.mono, findings),
            Self::Health(judge) => judge.observe(reading, received, findings),
            Self::Loop(judge) => judge.observe(reading, received, findings),
        }
    }

    fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        match self {
            // Limits speak of readings: without one there is nothing new to say.
            Self::Threshold(_) | Self::Rate(_) => {}
            Self::Silence(judge) => judge.tick(now.mono, findings),
            Self::Health(judge) => judge.tick(now, findings),
            Self::Loop(judge) => judge.tick(now, findings),
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        match self {
            // Their next readings tell them all they need; open events are saved with the policy.
            Self::Threshold(_) | Self::Rate(_) => None,
            Self::Silence(judge) => judge.save(),
            Self::Health(judge) => judge.save(),
            Self::Loop(judge) => judge.save(),
        }
    }

    fn restore(&mut self, state: &[u8], now: Moment) -> Result<(), RestoreError> {
        match self {
            Self::Threshold(_) | Self::Rate(_) => Err(RestoreError::Foreign),
            Self::Silence(judge) => judge.restore(state, now.mono),
            Self::Health(judge) => judge.restore(state, now),
            Self::Loop(judge) => judge.restore(state, now),
        }
    }
}
