//! Fixed limits with hysteresis.
//!
//! | value | `High` (limit `above`) | `Low` (limit `below`) |
//! |---|---|---|
//! | beyond the limit | `> above`: abnormal | `< below`: abnormal |
//! | between | margin | margin |
//! | at or within the clearing limit | `<= clear_below`: normal | `>= clear_above`: normal |
//!
//! A limit belongs to the expected range: a value that equals it is not beyond it. Without a clearing limit
//! the limit itself clears, and there is no margin.

use verge_domain::finding::{Condition, Expected, Finding, Member, Standing};
use verge_domain::reading::Reading;

use crate::fault::{SettingsError, check_finite};

/// Limits on a value, in the unit of the signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThresholdSettings {
    above: Option<Limit>,
    below: Option<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Limit {
    raise: f64,
    clear: f64,
}

impl ThresholdSettings {
    /// Whether each of its limits clears elsewhere than it raises.
    #[must_use]
    pub fn has_hysteresis(&self) -> bool {
        [self.above, self.below]
            .into_iter()
            .flatten()
            .all(|limit| limit.clear.total_cmp(&limit.raise).is_ne())
    }

    /// Checks limits: the value is expected to be at most `above` and at least `below`; an alarm clears at
    /// or below `clear_below`, at or above `clear_above`. Clearing limits default to the limits.
    ///
    /// # Errors
    /// No limit at all, a number that is not finite, a clearing limit without its limit or beyond it, or
    /// limits that leave no value normal.
    pub fn new(
        above: Option<f64>,
        clear_below: Option<f64>,
        below: Option<f64>,
        clear_above: Option<f64>,
    ) -> Result<Self, SettingsError> {
        check_finite("above", above)?;
        check_finite("clear_below", clear_below)?;
        check_finite("below", below)?;
        check_finite("clear_above", clear_above)?;
        let high = limit(above, clear_below)
            .ok_or(SettingsError::ClearWithoutLimit { clear: "clear_below", limit: "above" })?;
        let low = limit(below, clear_above)
            .ok_or(SettingsError::ClearWithoutLimit { clear: "clear_above", limit: "below" })?;
        if let Some(Limit { raise: above, clear: clear_below }) = high
            && clear_below > above
        {
            return Err(SettingsError::ClearsAboveLimit { clear_below, above });
        }
        if let Some(Limit { raise: below, clear: clear_above }) = low
            && clear_above < below
        {
            return Err(SettingsError::ClearsBelowLimit { clear_above, below });
        }
        match (high, low) {
            (None, None) => return Err(SettingsError::NoLimit("above or below")),
            (Some(high), Some(low)) => check_pair(high, low)?,
            _ => {}
        }
        Ok(Self { above: high, below: low })
    }

    /// What lies above is abnormal.
    #[must_use]
    pub fn above(&self) -> Option<f64> {
        self.above.map(|limit| limit.raise)
    }

    /// What lies below is abnormal.
    #[must_use]
    pub fn below(&self) -> Option<f64> {
        self.below.map(|limit| limit.raise)
    }

    /// The same with its limits elsewhere, where they are given; each clears at the same distance as before.
    ///
    /// # Errors
    /// See [`ThresholdSettings::new`].
    pub fn moved(&self, above: Option<f64>, below: Option<f64>) -> Result<Self, SettingsError> {
        // Rounding must not put a clearing limit beyond its limit.
        let high = self.above.map(|Limit { raise, clear }| {
            let to = above.unwrap_or(raise);
            (to, (clear - raise + to).min(to))
        });
        let low = self.below.map(|Limit { raise, clear }| {
            let to = below.unwrap_or(raise);
            (to, (clear - raise + to).max(to))
        });
        let (high, low) = (high.unzip(), low.unzip());
        Self::new(high.0, high.1, low.0, low.1)
    }
}

/// A limit with its clearing limit; `Some(None)` where neither was given, `None` where only the clearing
/// limit was.
fn limit(raise: Option<f64>, clear: Option<f64>) -> Option<Option<Limit>> {
    match (raise, clear) {
        (Some(raise), clear) => Some(Some(Limit { raise, clear: clear.unwrap_or(raise) })),
        (None, None) => Some(None),
        (None, Some(_)) => None,
    }
}

fn check_pair(high: Limit, low: Limit) -> Result<(), SettingsError> {
    let (above, below) = (high.raise, low.raise);
    if below >= above {
        return Err(SettingsError::LimitsCross { below, above });
    }
    if high.clear < below {
        return Err(SettingsError::ClearsBeyondOpposite {
            clear: "clear_below",
            clear_value: high.clear,
            limit: "below",
            limit_value: below,
        });
    }
    if low.clear > above {
        return Err(SettingsError::ClearsBeyondOpposite {
            clear: "clear_above",
            clear_value: low.clear,
            limit: "above",
            limit_value: above,
        });
    }
    Ok(())
}

/// Watches the value of one signal. Holds nothing: hysteresis is the policy's memory of the last standing
/// outside the margin.
#[derive(Debug)]
pub struct ThresholdJudge {
    settings: ThresholdSettings,
    expected: Expected,
}

impl ThresholdJudge {
    pub(crate) fn new(settings: ThresholdSettings) -> Self {
        let expected = Expected {
            low: settings.below.map(|limit| limit.raise),
            high: settings.above.map(|limit| limit.raise),
        };
        Self { settings, expected }
    }

    /// Within its limits.
    pub(crate) const fn expectation(&self) -> Expected {
        self.expected
    }

    pub(crate) fn observe(&self, reading: &Reading, findings: &mut Vec<Finding>) {
        let value = reading.value;
        let high = self.settings.above.map(|limit| (Member::High, standing(value, limit.raise, limit.clear)));
        // A lower limit is an upper limit seen in the mirror.
        let low =
            self.settings.below.map(|limit| (Member::Low, standing(-value, -limit.raise, -limit.clear)));
        for (member, standing) in high.into_iter().chain(low) {
            findings.push(Finding::Condition(Condition::of_rule(member, standing, value, self.expected)));
        }
    }
}

/// Where a value stands to an upper limit and its clearing limit.
pub(crate) fn standing(value: f64, raise: f64, clear: f64) -> Standing {
    if value > raise {
        Standing::Abnormal
    } else if value <= clear {
        Standing::Normal
    } else {
        Standing::Margin
    }
}
