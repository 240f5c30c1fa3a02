//! How often a detector may raise a false alarm: from "1/week" to a probability, and back to what can be promised.

use std::time::Duration;

use crate::fault::SettingsError;
use crate::tail::MAX_HALF_LIFE;

const WEEK_SECONDS: f64 = 7.0 * 86_400.0;
/// A law fitted to a tail is trusted this many times beyond what was recorded, and no further.
const REACH: f64 = 10.0;
/// What is among the usual 98 % never alarms, however much a budget allows: a tail knows no probability for it.
const UNUSUAL: f64 = 0.02;

/// Alarms in a run count as one. This many alarms come of an abnormal reading at this combined probability, measured on
/// noise of eight kinds with a hold-off of a hundred readings: .18 at 1e-2, .43 at 1e-3, .68 at 1e-4, one from 2e-6 on.
pub(crate) fn alarms_per_abnormal(p: f64) -> f64 {
    (-0.25 * p.log10() - 0.32).clamp(0.15, 1.0)
}

/// The combined probability at which alarms come at this rate per reading.
fn probability_for(alarms_per_reading: f64) -> f64 {
    // The share changes slowly with p, so that a few rounds settle it.
    (0..4).fold(alarms_per_reading, |p, _| (alarms_per_reading / alarms_per_abnormal(p)).min(1.0))
}

/// The smallest probability that this many remembered readings can support, `needed` of which are worth one independent
/// probability.
pub(crate) fn least_p(remembered: f64, needed: f64) -> f64 {
    needed / (REACH * remembered.max(needed))
}

/// False alarms that a person accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmBudget {
    per_second: f64,
}

/// What a budget comes to for one signal at its present rate and history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmLevel {
    /// The combined probability from which a reading alarms.
    pub p: f64,
    /// False alarms to expect, per second.
    pub per_second: f64,
    /// Time until the history supports the budget; `None` where it does.
    pub supported_in: Option<Duration>,
}

impl AlarmBudget {
    /// `count` alarms per `span`.
    ///
    /// # Errors
    /// Not more than none, or a span of zero, or more than one a second.
    pub fn new(count: f64, span: Duration) -> Result<Self, SettingsError> {
        let per_second = count / span.as_secs_f64();
        if !(per_second.is_finite() && per_second > 0.0 && per_second <= 1.0) {
            let (low, high) = (f64::MIN_POSITIVE, 1.0);
            return Err(SettingsError::OutOfRange { key: "alarm_budget", actual: per_second, low, high });
        }
        Ok(Self { per_second })
    }

    /// False alarms per second that were accepted.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.per_second
    }

    /// What it comes to for a signal that sends every `interval` seconds and of which `remembered` readings are
    /// remembered, `needed` of which are worth one independent probability: the smallest of several members needs as
    /// many times more.
    #[must_use]
    pub fn rate(self, interval: f64, remembered: f64, needed: f64) -> AlarmLevel {
        let wanted = self.probability(interval);
        let most = UNUSUAL * needed;
        if wanted > most {
            return AlarmLevel {
                p: most,
                per_second: AlarmLevel::alarms_per_second(most, interval),
                supported_in: None,
            };
        }
        let least = least_p(remembered, needed);
        if wanted >= least {
            return AlarmLevel { p: wanted, per_second: self.per_second, supported_in: None };
        }
        let missing = (needed / (REACH * wanted) - remembered) * interval;
        let supported_in = Some(Duration::try_from_secs_f64(missing).unwrap_or(Duration::MAX));
        AlarmLevel { p: least, per_second: AlarmLevel::alarms_per_second(least, interval), supported_in }
    }

    /// False alarms per second on average over the coming week, in which the history grows.
    #[must_use]
    pub fn week_ahead(self, interval: f64, remembered: f64, needed: f64) -> f64 {
        const STEPS: u32 = 8;
        let begin = remembered.max(f64::from(crate::tail::WARM_UP));
        let growth = ((begin + WEEK_SECONDS / interval) / begin).powf(1.0 / f64::from(STEPS));
        let rate = |remembered: f64| self.rate(interval, remembered, needed).per_second;
        // By the trapezoidal rule over stretches that grow as the history does.
        let (mut from, mut alarms) = (begin, 0.0);
        for _ in 0..STEPS {
            let to = from * growth;
            alarms += 0.5 * (rate(from) + rate(to)) * (to - from) * interval;
            from = to;
        }
        alarms / WEEK_SECONDS
    }

    /// Half-life of what is remembered, in readings, with which the budget will be supported.
    #[must_use]
    pub fn half_life(self, interval: f64, needed: f64) -> f64 {
        needed / (REACH * self.probability(interval))
    }

    /// The time of one false alarm by the rarest budget that a tail can support where readings come every `interval` seconds,
    /// where that is not this budget: no tail remembers more than [`MAX_HALF_LIFE`].
    pub(crate) fn rarest(self, interval: f64, needed: f64) -> Option<Duration> {
        let most = f64::from(MAX_HALF_LIFE);
        if self.half_life(interval, needed) <= most {
            return None;
        }
        let each = AlarmLevel::alarms_per_second(least_p(most, needed), interval).recip();
        Some(Duration::try_from_secs_f64(each).unwrap_or(Duration::MAX))
    }

    fn probability(self, interval: f64) -> f64 {
        probability_for((self.per_second * interval).min(1.0))
    }
}

impl AlarmLevel {
    /// False alarms per second where readings come every `interval` seconds and alarm from this probability on.
    #[must_use]
    pub fn alarms_per_second(p: f64, interval: f64) -> f64 {
        p * alarms_per_abnormal(p) / interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    #[test]
    fn a_budget_becomes_a_probability_at_the_rate_of_the_signal() {
        let weekly = AlarmBudget::new(1.0, WEEK).unwrap();
        let each_second = weekly.rate(1.0, 1e6, 5.5);
        assert!((each_second.p - 1.653e-6).abs() < 1e-8, "{each_second:?}");
        assert_eq!(each_second.supported_in, None);
        let each_five_minutes = weekly.rate(300.0, 1e4, 5.5);
        assert!((each_five_minutes.p - 1.21e-3).abs() < 5e-6, "{each_five_minutes:?}");
        let back = AlarmLevel::alarms_per_second(each_five_minutes.p, 300.0) * WEEK.as_secs_f64();
        assert!((back - 1.0).abs() < 0.01, "{back} a week");
    }

    #[test]
    fn a_young_signal_says_what_it_can_promise_and_from_when() {
        let weekly = AlarmBudget::new(1.0, WEEK).unwrap();
        let young = weekly.rate(1.0, 10_080.0, 1.0);
        let per_week = young.per_second * WEEK.as_secs_f64();
        assert!((5.0..6.0).contains(&per_week), "{per_week} a week for now: {young:?}");
        let left = young.supported_in.unwrap().as_secs_f64();
        assert!((left - (weekly.half_life(1.0, 1.0) - 10_080.0)).abs() < 1.0, "{left} s");
        assert!(weekly.rate(1.0, 1.001 * weekly.half_life(1.0, 5.5), 5.5).supported_in.is_none());
    }

    #[test]
    fn the_coming_week_of_a_young_signal_is_not_its_first_minute() {
        let weekly = AlarmBudget::new(1.0, WEEK).unwrap();
        let (first, ahead) = (weekly.rate(1.0, 20.0, 5.5).per_second, weekly.week_ahead(1.0, 20.0, 5.5));
        assert!(first * WEEK_SECONDS > 1_000.0, "as if it never grew older");
        assert!((1.0..20.0).contains(&(ahead * WEEK_SECONDS)), "{} in a week", ahead * WEEK_SECONDS);
        let old = weekly.week_ahead(1.0, 1e8, 5.5) * WEEK_SECONDS;
        assert!((old - 1.0).abs() < 1e-6, "{old}");
    }

    #[test]
    fn a_budget_for_more_than_the_unusual_is_reported_as_what_comes_of_it() {
        let each_minute = AlarmBudget::new(1.0, Duration::from_secs(60)).unwrap();
        let slow = each_minute.rate(60.0, 1e4, 5.5);
        assert!(slow.p < 0.2, "the usual never alarms: {slow:?}");
        assert!(slow.per_second < each_minute.per_second(), "{slow:?}");
    }

    #[test]
    fn a_budget_beyond_what_a_tail_remembers_names_the_rarest_within() {
        let weekly = AlarmBudget::new(1.0, WEEK).unwrap();
        assert_eq!(weekly.rarest(1.0, 5.5), None);
        let each = weekly.rarest(1.0 / 125.0, 5.5).unwrap();
        assert!((1.0..2.0).contains(&(each.as_secs_f64() / 86_400.0)), "{each:?}");
        let slightly_oftener = AlarmBudget::new(1.0, each.mul_f64(0.99)).unwrap();
        assert_eq!(slightly_oftener.rarest(1.0 / 125.0, 5.5), None, "and that is supported");
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for (count, span) in [(0.0, WEEK), (-1.0, WEEK), (f64::NAN, WEEK), (1.0, Duration::ZERO), (1e9, WEEK)]
        {
            assert!(AlarmBudget::new(count, span).is_err(), "{count} per {span:?}");
        }
    }
}
