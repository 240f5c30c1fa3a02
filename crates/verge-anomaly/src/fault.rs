//! Why the settings of a judge are refused.

use std::time::Duration;

use verge_domain::finding::Member;
use verge_domain::id::SignalId;

/// Why the settings of a judge are refused. Keys are named as in the configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// A judge without a limit would never say anything.
    #[error("at least one limit: {0}")]
    NoLimit(
        /// The keys to choose from.
        &'static str,
    ),
    /// NaN or an infinity.
    #[error("{key} must be a finite number, not {actual}")]
    NotFinite {
        /// The key.
        key: &'static str,
        /// What was given.
        actual: f64,
    },
    /// Zero or negative where only a positive number makes sense.
    #[error("{key} must be above zero, not {actual}")]
    NotPositive {
        /// The key.
        key: &'static str,
        /// What was given.
        actual: f64,
    },
    /// A number outside its range.
    #[error("{key} must be from {low} to {high}, not {actual}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What was given.
        actual: f64,
        /// Lowest value accepted.
        low: f64,
        /// Highest value accepted.
        high: f64,
    },
    /// A clearing limit whose limit is missing.
    #[error("{clear} needs {limit}")]
    ClearWithoutLimit {
        /// The clearing limit that was given.
        clear: &'static str,
        /// The limit that is missing.
        limit: &'static str,
    },
    /// `clear_below` lies above `above`: an alarm would clear where it is raised.
    #[error("clear_below ({clear_below}) must not exceed above ({above})")]
    ClearsAboveLimit {
        /// The clearing limit.
        clear_below: f64,
        /// The limit.
        above: f64,
    },
    /// `clear_above` lies below `below`: an alarm would clear where it is raised.
    #[error("clear_above ({clear_above}) must not be less than below ({below})")]
    ClearsBelowLimit {
        /// The clearing limit.
        clear_above: f64,
        /// The limit.
        below: f64,
    },
    /// No value would be normal.
    #[error("below ({below}) must be less than above ({above})")]
    LimitsCross {
        /// The lower limit.
        below: f64,
        /// The upper limit.
        above: f64,
    },
    /// One alarm would clear only where the opposite one is raised.
    #[error("{clear} ({clear_value}) lies beyond the opposite limit, {limit} ({limit_value})")]
    ClearsBeyondOpposite {
        /// The clearing limit.
        clear: &'static str,
        /// Its value.
        clear_value: f64,
        /// The opposite limit.
        limit: &'static str,
        /// Its value.
        limit_value: f64,
    },
    /// A duration outside its range.
    #[error("{key} must be from {low:?} to {high:?}, not {actual:?}")]
    Span {
        /// The key.
        key: &'static str,
        /// What was given.
        actual: Duration,
        /// Shortest accepted.
        low: Duration,
        /// Longest accepted.
        high: Duration,
    },
    /// A judge of health that watches nothing.
    #[error("at least one cause must be watched")]
    NoCause,
    /// A cause that says nothing about health.
    #[error("{} is not a cause of bad health", member.as_str())]
    NotHealth {
        /// What was named.
        member: Member,
    },
    /// A forecast of a time that is not the end of an interval.
    #[error(
        "forecast must hold multiples of the interval ({interval:?}), up to {most} of them, not {actual:?}"
    )]
    Horizon {
        /// What was given.
        actual: Duration,
        /// The interval.
        interval: Duration,
        /// Intervals that it may lie ahead.
        most: u64,
    },
    /// A count outside its range.
    #[error("{key} must be from {low} to {high}, not {actual}")]
    Count {
        /// The key.
        key: &'static str,
        /// What was given.
        actual: u64,
        /// Least accepted.
        low: u64,
        /// Most accepted.
        high: u64,
    },
    /// A length that our fast Fourier transform does not take.
    #[error("{key} must be a power of two, not {actual}")]
    NotPowerOfTwo {
        /// The key.
        key: &'static str,
        /// What was given.
        actual: u64,
    },
    /// A rate that cannot be reached by leaving out samples.
    #[error(
        "sample_rate ({sample_rate_hz}) must be a whole multiple, at most {most}, of analysis_rate ({analysis_rate_hz})"
    )]
    NotAMultiple {
        /// Rate of the samples.
        sample_rate_hz: f64,
        /// Rate that is asked for.
        analysis_rate_hz: f64,
        /// Largest multiple accepted.
        most: u64,
    },
    /// A vehicle detector none of whose signals is named.
    #[error("at least one of pulses, presence, occupancy and speed, which names a signal")]
    NoRole,
    /// An effective length that could not estimate anything.
    #[error(
        "effective_length estimates speed from vehicles (pulses or presence) and occupied time (presence or \
         occupancy): these are needed, and speed must not name a signal"
    )]
    NothingToEstimate,
    /// Shares of time and speeds come at a fixed rate.
    #[error(
        "reports = \"change\" is for detectors that report vehicles: name pulses or presence, or leave it out"
    )]
    NothingThatChanges,
    /// One signal cannot mean two things.
    #[error("the signal \"{signal}\" stands for both {first} and {second}")]
    SharedSignal {
        /// The signal.
        signal: SignalId,
        /// One role.
        first: &'static str,
        /// The other role.
        second: &'static str,
    },
}

/// Refuses NaN and infinities.
pub(crate) fn check_finite(key: &'static str, value: Option<f64>) -> Result<(), SettingsError> {
    match value {
        Some(actual) if !actual.is_finite() => Err(SettingsError::NotFinite { key, actual }),
        _ => Ok(()),
    }
}

/// Refuses durations outside a range.
pub(crate) fn check_span(
    key: &'static str,
    actual: Duration,
    low: Duration,
    high: Duration,
) -> Result<(), SettingsError> {
    if (low..=high).contains(&actual) {
        return Ok(());
    }
    Err(SettingsError::Span { key, actual, low, high })
}

/// Refuses counts outside a range.
pub(crate) fn check_count(key: &'static str, actual: u64, low: u64, high: u64) -> Result<(), SettingsError> {
    if (low..=high).contains(&actual) {
        return Ok(());
    }
    Err(SettingsError::Count { key, actual, low, high })
}

/// Refuses numbers outside a range; NaN is outside every range.
pub(crate) fn check_range(key: &'static str, actual: f64, low: f64, high: f64) -> Result<(), SettingsError> {
    if (low..=high).contains(&actual) {
        return Ok(());
    }
    Err(SettingsError::OutOfRange { key, actual, low, high })
}
