//! When `auto` alarms, and how fine the sensor is.

use super::{MEMBER_P, combined};
use crate::alarm::AlarmSettings;
use crate::fault::{SettingsError, check_finite};

/// Values are judged within this range: what lies beyond is as strange as its end.
const LIMIT: f64 = 1e100;
/// What is closer to zero is zero.
const NOTHING: f64 = 1e-100;

/// When the detector alarms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AutoSettings {
    pub(super) alarms: AlarmSettings,
    pub(super) resolution: Option<f64>,
}

impl AutoSettings {
    /// Without a budget the level is fixed: about one alarm in a thousand readings. `resolution` is the step of the
    /// sensor, in the unit of the signal: smaller differences count as none.
    ///
    /// # Errors
    /// A resolution that is not finite and positive.
    pub fn new(alarms: AlarmSettings, resolution: Option<f64>) -> Result<Self, SettingsError> {
        check_finite("resolution", resolution)?;
        if let Some(actual) = resolution.filter(|&step| step <= 0.0) {
            return Err(SettingsError::NotPositive { key: "resolution", actual });
        }
        Ok(Self { alarms, resolution })
    }

    /// How often it may alarm.
    #[must_use]
    pub const fn alarms(&self) -> &AlarmSettings {
        &self.alarms
    }

    /// The combined probability from which a reading alarms where there is no budget.
    #[must_use]
    pub fn fixed_level() -> f64 {
        combined(MEMBER_P)
    }

    /// The value as it is judged: within range, and a multiple of the sensor's step.
    pub(super) fn admit(&self, value: f64) -> f64 {
        let value = if value.abs() < NOTHING { 0.0 } else { value.clamp(-LIMIT, LIMIT) };
        match self.resolution {
            Some(step) => {
                let rounded = (value / step).round() * step;
                if rounded.is_finite() { rounded } else { value }
            }
            None => value,
        }
    }
}
