//! How judges decide.

use std::time::Duration;

use verge_domain::stage::Scope;
use verge_domain::verdict::Detector;

use crate::alarm::{AlarmSettings, BudgetOf};
use crate::auto::{AutoSettings, EFFECTIVE_MEMBERS};
use crate::camera::CameraHealthSettings;
use crate::cusum::CusumSettings;
use crate::health::HealthSettings;
use crate::multi::MultiSettings;
use crate::pattern::PatternSettings;
use crate::rate::RateSettings;
use crate::report::ReportPolicy;
use crate::silence::SilenceSettings;
use crate::threshold::ThresholdSettings;
use crate::track::TrackSettings;
use crate::vehicle_loop::LoopSettings;
use crate::vibration::VibrationSettings;

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
    /// Whether cameras see, by their frames.
    Camera(CameraHealthSettings),
    /// Vehicle detectors to flow, occupancy and speed.
    Loop(LoopSettings),
    /// Any numeric signal.
    Auto(AutoSettings),
    /// Several signals of one machine.
    Multi(MultiSettings),
    /// Shapes that were not seen before.
    Pattern(PatternSettings, AlarmSettings),
    /// Vibration of rotating machines.
    Vibration(VibrationSettings, AlarmSettings),
    /// Small shifts that last.
    Cusum(CusumSettings),
    /// Errors of a model that reconstructs frames.
    Reconstruction(AlarmSettings),
    /// Scores of a model that says how unlike usual frames a frame is.
    Appearance(AlarmSettings),
    /// What a model sees in frames, by this detector.
    Report(Detector, ReportPolicy),
    /// What a model sees in frames, followed and counted.
    Track(TrackSettings),
}

impl JudgeSettings {
    /// The detector's name.
    #[must_use]
    pub const fn detector(&self) -> Detector {
        match self {
            Self::Threshold(_) => Detector::Threshold,
            Self::Rate(_) => Detector::Rate,
            Self::Silence(_) => Detector::Silence,
            Self::Health(_) | Self::Camera(_) => Detector::Health,
            Self::Loop(_) => Detector::Loop,
            Self::Auto(_) => Detector::Auto,
            Self::Multi(_) => Detector::Multi,
            Self::Pattern(..) => Detector::Pattern,
            Self::Vibration(..) => Detector::Vibration,
            Self::Cusum(_) => Detector::Cusum,
            Self::Reconstruction(_) => Detector::Autoencoder,
            Self::Appearance(_) => Detector::Anomaly,
            Self::Report(detector, _) => *detector,
            Self::Track(_) => Detector::Track,
        }
    }

    /// How often it may alarm, where it learns what is usual.
    #[must_use]
    pub const fn alarms(&self) -> Option<&AlarmSettings> {
        match self {
            Self::Auto(settings) => Some(settings.alarms()),
            Self::Multi(settings) => Some(settings.alarms()),
            Self::Pattern(_, alarms)
            | Self::Vibration(_, alarms)
            | Self::Reconstruction(alarms)
            | Self::Appearance(alarms) => Some(alarms),
            Self::Threshold(_)
            | Self::Rate(_)
            | Self::Silence(_)
            | Self::Health(_)
            | Self::Camera(_)
            | Self::Loop(_)
            | Self::Cusum(_)
            | Self::Report(..)
            | Self::Track(_) => None,
        }
    }

    /// The time of one false alarm by the rarest budget that a signal supports of which a reading comes every `interval` seconds,
    /// where that is not the budget that was asked for. Only signals that have a budget of their own have such a limit.
    #[must_use]
    pub fn rarest(&self, interval: f64) -> Option<Duration> {
        let alarms = self.alarms().filter(|alarms| alarms.budget_of() == BudgetOf::Signal)?;
        let (readings, needed) = match self {
            Self::Auto(_) => (1.0, EFFECTIVE_MEMBERS),
            Self::Pattern(shapes, _) => (shapes.stride() as f64, 1.0),
            Self::Vibration(blocks, _) => (blocks.block_seconds() * blocks.sample_rate_hz(), 1.0),
            // Models, and rows of several signals: their pace is not that of a signal.
            _ => return None,
        };
        alarms.budget()?.rarest(readings * interval, needed)
    }

    /// What one instance watches.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        match self {
            Self::Threshold(_)
            | Self::Rate(_)
            | Self::Silence(_)
            | Self::Health(_)
            | Self::Camera(_)
            | Self::Auto(_)
            | Self::Pattern(..)
            | Self::Vibration(..)
            | Self::Cusum(_) => Scope::Signal,
            Self::Loop(_) | Self::Multi(_) => Scope::Device,
            Self::Reconstruction(_) | Self::Appearance(_) | Self::Report(..) | Self::Track(_) => {
                Scope::Camera
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::WhileLearning;
    use crate::budget::AlarmBudget;

    #[test]
    fn the_rarest_budget_of_a_signal_is_known_from_its_pace() {
        let alarms = |days: f64, of| {
            let budget = AlarmBudget::new(1.0, Duration::from_secs_f64(days * 86_400.0)).unwrap();
            AlarmSettings::new(Some(budget), 100).unwrap().with(of, WhileLearning::Info)
        };
        let pattern = |days, of| JudgeSettings::Pattern(PatternSettings::new(64).unwrap(), alarms(days, of));
        let hours =
            |settings: JudgeSettings, hz: f64| settings.rarest(1.0 / hz).map(|each| each.as_secs() / 3_600);
        assert_eq!(hours(pattern(7.0, BudgetOf::Signal), 1.0), None);
        let at_125 = hours(pattern(365.0, BudgetOf::Signal), 125.0).unwrap();
        assert!((24..24 * 365).contains(&at_125), "{at_125} hours");
        // What is named is supported.
        let slightly_oftener = pattern(0.99 * at_125 as f64 / 24.0, BudgetOf::Signal);
        assert_eq!(hours(slightly_oftener, 125.0), None);
        assert_eq!(
            hours(pattern(365.0, BudgetOf::Judge), 125.0),
            None,
            "together signals have no such limit"
        );
        let auto = JudgeSettings::Auto(AutoSettings::new(alarms(365.0, BudgetOf::Signal), None).unwrap());
        assert!(hours(auto, 1.0).is_some(), "once a year by readings of a second");
    }
}
