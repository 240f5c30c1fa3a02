//! When `auto` alarms, and how fine the sensor is.

use super::{MEMBER_P, combined};
use crate::alarm::AlarmSettings;
use crate::fault::{SettingsError, check_finite};

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
}
