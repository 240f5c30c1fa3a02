//! How judges decide.

use verge_domain::stage::Scope;
use verge_domain::verdict::Detector;

use crate::alarm::AlarmSettings;
use crate::auto::AutoSettings;
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
