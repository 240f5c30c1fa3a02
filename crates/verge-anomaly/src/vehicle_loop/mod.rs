//! Vehicle detectors (inductive loops, radar, magnetic) to flow, occupancy and mean speed per interval.
//!
//! One judge watches one detector, whose signals play up to four roles:
//!
//! | role | what a reading says | what comes of it |
//! |---|---|---|
//! | pulses | vehicles since the reading before | `vehicles`, flow |
//! | presence | occupied (>= 0.5) or free from now on | occupied time; without pulses, each change from free to occupied is a vehicle |
//! | occupancy | share of the time since the reading before | `occupancy`, weighted by that time |
//! | speed | of a vehicle, or the mean of the pulses with the same time | `mean_speed`, weighted by vehicles |
//!
//! **Intervals** are aligned to the wall clock in UTC and follow the readings' own time (the device's where
//! it is trusted). An interval ends with the first reading at or after its end, or, when none comes, once
//! `max_gap` has passed after it; two seconds after it where the detector reports on change. What arrives later for it
//! is left out: counts are lower bounds. Sixteen late readings in a row mean that a clock stepped back, and counting
//! starts again there.
//!
//! **Coverage.** The time between two readings counts as observed if it is at most `max_gap`; nothing before
//! the first reading after a start does. A detector that reports on change ([`LoopReports`]) is silent while the road
//! is empty: there, time counts as observed up to `max_silence` after a reading. An interval that was observed for less
//! than a second has no rates, and is reported only if a vehicle passed in it.
//!
//! **Speed from a single loop**: with `effective_length` L, vehicles n and occupied time T, the mean speed is
//! estimated as `n L / T` (Athol 1965, *Interdependence of certain operational characteristics within a
//! moving traffic stream*, Highway Research Record 72), in km/h.
//!
//! Values that cannot be (negative or beyond [`MAX_PULSES`] vehicles, an occupancy outside 0 to 1, a negative
//! speed) are left out.

mod judge;
mod reports;
mod tally;
#[cfg(test)]
mod tests;

use std::time::Duration;

use verge_domain::id::SignalId;
use verge_domain::interval::IntervalGrid;

pub use judge::LoopJudge;
pub use reports::LoopReports;

use crate::fault::{SettingsError, check_finite, check_span};
use crate::forecast::ForecastSettings;

/// Vehicles that one reading may count. A queue of them takes hours; more is a broken counter.
pub const MAX_PULSES: f64 = 10_000.0;

/// Intervals that may pass between two readings that still observe the time between them.
const MAX_GAP_INTERVALS: u32 = 60;
/// The same for a detector that reports on change.
const MAX_SILENCE_INTERVALS: u32 = 3600;
/// How long a detector that reports on change is believed without a reading, unless it is set.
const MAX_SILENCE: Duration = Duration::from_secs(3600);

/// Which signal plays which role. Other signals of the device are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoopRoles {
    /// Vehicles since the reading before.
    pub pulses: Option<SignalId>,
    /// Whether a vehicle stands over the detector.
    pub presence: Option<SignalId>,
    /// Share of time occupied.
    pub occupancy: Option<SignalId>,
    /// Speed.
    pub speed: Option<SignalId>,
}

/// A role of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoopRole {
    Pulses,
    Presence,
    Occupancy,
    Speed,
}

impl LoopRole {
    const fn key(self) -> &'static str {
        match self {
            Self::Pulses => "pulses",
            Self::Presence => "presence",
            Self::Occupancy => "occupancy",
            Self::Speed => "speed",
        }
    }
}

impl LoopRoles {
    fn named(&self) -> impl Iterator<Item = (LoopRole, &SignalId)> + Clone {
        [
            (LoopRole::Pulses, &self.pulses),
            (LoopRole::Presence, &self.presence),
            (LoopRole::Occupancy, &self.occupancy),
            (LoopRole::Speed, &self.speed),
        ]
        .into_iter()
        .filter_map(|(role, signal)| Some((role, signal.as_ref()?)))
    }

    pub(crate) fn of(&self, signal: &SignalId) -> Option<LoopRole> {
        self.named().find(|(_, name)| *name == signal).map(|(role, _)| role)
    }

    fn check(&self) -> Result<(), SettingsError> {
        let mut named = self.named();
        while let Some((first, signal)) = named.next() {
            if let Some((second, _)) = named.clone().find(|(_, other)| *other == signal) {
                let (first, second) = (first.key(), second.key());
                return Err(SettingsError::SharedSignal { signal: signal.clone(), first, second });
            }
        }
        if self.named().next().is_none() {
            return Err(SettingsError::NoRole);
        }
        Ok(())
    }
}

/// How a detector states its occupancy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OccupancyScale {
    /// 0 to 100.
    Percent,
    /// 0 to 1.
    Fraction,
}

impl OccupancyScale {
    pub(crate) fn fraction(self, value: f64) -> f64 {
        match self {
            Self::Percent => value / 100.0,
            Self::Fraction => value,
        }
    }
}

/// How a vehicle detector is read.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopSettings {
    pub(crate) grid: IntervalGrid,
    pub(crate) roles: LoopRoles,
    pub(crate) occupancy_scale: OccupancyScale,
    pub(crate) effective_length_m: Option<f64>,
    pub(crate) max_gap_ms: u64,
    /// `None`: found by its readings.
    pub(crate) reports: Option<LoopReports>,
    pub(crate) max_silence_ms: u64,
    pub(crate) forecast: ForecastSettings,
}

impl LoopSettings {
    /// Checks the settings of a detector. `effective_length_m` is the length of vehicle and detection zone
    /// together, in metres, and estimates speed where none is measured.
    ///
    /// # Errors
    /// No role at all or one signal in two; `max_gap` not from 100 ms to 60 intervals; an effective length
    /// that is not positive, stands beside a speed signal, or lacks vehicles or occupied time to work with.
    pub fn new(
        grid: IntervalGrid,
        roles: LoopRoles,
        occupancy_scale: OccupancyScale,
        effective_length_m: Option<f64>,
        max_gap: Duration,
    ) -> Result<Self, SettingsError> {
        roles.check()?;
        let longest = Duration::from_millis(grid.length_ms()) * MAX_GAP_INTERVALS;
        check_span("max_gap", max_gap, Duration::from_millis(100), longest)?;
        check_finite("effective_length", effective_length_m)?;
        if let Some(actual) = effective_length_m {
            if actual <= 0.0 {
                return Err(SettingsError::NotPositive { key: "effective_length", actual });
            }
            let counts = roles.pulses.is_some() || roles.presence.is_some();
            let occupies = roles.presence.is_some() || roles.occupancy.is_some();
            if roles.speed.is_some() || !counts || !occupies {
                return Err(SettingsError::NothingToEstimate);
            }
        }
        // At most 60 days, checked above.
        let max_gap_ms = u64::try_from(max_gap.as_millis()).unwrap_or(u64::MAX);
        let max_silence_ms = u64::try_from(MAX_SILENCE.as_millis()).unwrap_or(u64::MAX);
        Ok(Self {
            grid,
            roles,
            occupancy_scale,
            effective_length_m,
            max_gap_ms,
            reports: None,
            max_silence_ms,
            forecast: ForecastSettings::default(),
        })
    }

    /// The same for a detector of which it is known when it sends; `None` finds that by its readings. One that reports
    /// on change is believed for `max_silence` without a reading.
    ///
    /// # Errors
    /// `max_silence` not from 100 ms to 3600 intervals; reports on change of a detector that neither counts nor says
    /// when it is occupied.
    pub fn with_reports(
        self,
        reports: Option<LoopReports>,
        max_silence: Duration,
    ) -> Result<Self, SettingsError> {
        let longest = Duration::from_millis(self.grid.length_ms()) * MAX_SILENCE_INTERVALS;
        check_span("max_silence", max_silence, Duration::from_millis(100), longest)?;
        if reports == Some(LoopReports::Change)
            && self.roles.pulses.is_none()
            && self.roles.presence.is_none()
        {
            return Err(SettingsError::NothingThatChanges);
        }
        let max_silence_ms = u64::try_from(max_silence.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { reports, max_silence_ms, ..self })
    }

    /// The intervals in which it counts.
    #[must_use]
    pub const fn interval(&self) -> IntervalGrid {
        self.grid
    }

    /// The same, and forecasts the flow.
    #[must_use]
    pub fn with_forecast(self, forecast: ForecastSettings) -> Self {
        Self { forecast, ..self }
    }
}
