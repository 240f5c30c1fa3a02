//! How often judges alarm, compared with their budget of false alarms.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use verge_domain::id::{JudgeId, JudgeIndex};
use verge_domain::stage::Judge;
use verge_domain::time::{Moment, UtcMillis};

use super::{JudgeSet, StateSuggestion};

/// How often all instances of one judge alarm together.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeRate {
    /// Its name in the configuration.
    pub judge: JudgeId,
    /// Instances with a known rate that are at work; none of a judge that follows rules.
    pub instances: u64,
    /// Alarms of all of them so far.
    pub alarms: u64,
    /// Seconds watched in total: an hour of two instances is two hours.
    pub seconds: f64,
    /// Expected false alarms of all of them together, per second.
    pub expected_per_second: f64,
    /// Instances at work whose history does not support the budget yet.
    pub unsupported: u64,
    /// When the last of them is expected to, at the present rate.
    pub supported_at: Option<UtcMillis>,
    /// The time of one false alarm by the rarest budget that all of them can support, where one of them never supports the
    /// budget that was asked for.
    pub rarest: Option<Duration>,
    /// The contact that explains most of its events.
    pub suggestion: Option<StateSuggestion>,
}

/// A shorter time of observation gives no estimate for a week.
const LEAST_SECONDS: f64 = 3600.0;
const WEEK: f64 = 7.0 * 24.0 * 3600.0;
/// What was silent for a shorter time may well be at work.
const LEAST_REST: f64 = 3600.0;

impl JudgeRate {
    fn none_yet(judge: JudgeId) -> Self {
        Self {
            judge,
            instances: 0,
            alarms: 0,
            seconds: 0.0,
            expected_per_second: 0.0,
            unsupported: 0,
            supported_at: None,
            rarest: None,
            suggestion: None,
        }
    }

    /// Adds the rates of other instances of the same judges.
    pub(crate) fn add(all: &mut Vec<Self>, others: Vec<Self>) {
        for other in others {
            match all.iter_mut().find(|rate| rate.judge == other.judge) {
                None => all.push(other),
                Some(rate) => {
                    rate.instances += other.instances;
                    rate.alarms += other.alarms;
                    rate.seconds += other.seconds;
                    rate.expected_per_second += other.expected_per_second;
                    rate.unsupported += other.unsupported;
                    rate.supported_at = rate.supported_at.max(other.supported_at);
                    rate.rarest = least(rate.rarest, other.rarest);
                    rate.suggestion = rate.suggestion.take().or(other.suggestion);
                }
            }
        }
    }

    /// Alarms per week of all instances together; `None` until they have watched for an hour in total.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "numbers for people; 53 bits of them are plenty")]
    pub fn per_week(&self) -> Option<f64> {
        // Pooled: an instance that is minutes old gives no estimate by itself.
        (self.seconds >= LEAST_SECONDS)
            .then(|| self.alarms as f64 / self.seconds * self.instances as f64 * WEEK)
    }

    /// Expected false alarms per week, of all instances together.
    #[must_use]
    pub fn expected_per_week(&self) -> f64 {
        self.expected_per_second * WEEK
    }
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// How often each judge alarms, in the order of the configuration; judges without a rate are left out, unless a contact
    /// explains most of their events.
    #[must_use]
    pub fn alarm_rates(&self, now: Moment) -> Vec<JudgeRate> {
        let mut rates: Vec<(JudgeIndex, JudgeRate)> =
            self.specs.iter().map(|(judge, spec)| (judge, JudgeRate::none_yet(spec.name.clone()))).collect();
        let mut shared = vec![None; rates.len()];
        for (_, instance) in &self.instances {
            // A judge that panics here is left out; its next reading finds the fault.
            let rate = catch_unwind(AssertUnwindSafe(|| instance.judge.alarm_rate())).ok().flatten();
            let Some(rate) = rate else { continue };
            let found = rates.binary_search_by_key(&instance.judge_index, |(judge, _)| *judge);
            let Ok(place) = found else { continue };
            let sum = &mut rates[place].1;
            sum.alarms += rate.alarms;
            sum.seconds += rate.seconds;
            // A signal that has been silent for longer than it ever sent has vanished: nothing is expected of it, and
            // nobody waits for what it learns.
            let silent_for = now.mono.since(instance.last_received).as_secs_f64();
            if silent_for > rate.seconds.max(LEAST_REST) {
                continue;
            }
            sum.instances += 1;
            sum.expected_per_second += rate.expected_per_second;
            shared[place] = rate.shared;
            match (rate.rarest, rate.supported_in) {
                (Some(rarest), _) => {
                    sum.unsupported += 1;
                    sum.rarest = least(sum.rarest, Some(rarest));
                }
                (None, Some(left)) => {
                    sum.unsupported += 1;
                    sum.supported_at = sum.supported_at.max(Some(later(now.wall, left)));
                }
                (None, None) => {}
            }
        }
        for ((_, sum), most) in rates.iter_mut().zip(shared) {
            sum.expected_per_second =
                most.map_or(sum.expected_per_second, |most| sum.expected_per_second.min(most));
        }
        let suggest = |rate: JudgeRate| JudgeRate {
            suggestion: self.contacts.suggestion(&rate.judge, &self.sources),
            ..rate
        };
        let is_worth_it = |rate: &JudgeRate| rate.instances > 0 || rate.suggestion.is_some();
        rates.into_iter().map(|(_, rate)| suggest(rate)).filter(is_worth_it).collect()
    }
}

/// The lesser of those that are known.
fn least(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// One false alarm in this time, rounded to what is more often, as settings write it.
#[must_use]
pub fn budget_text(each: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let seconds = each.as_secs().max(1);
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| seconds >= 2 * unit).unwrap_or((1, "s"));
    format!("1/{}{name}", seconds / unit)
}

/// The wall clock after a while; saturates.
pub(super) fn later(at: UtcMillis, span: Duration) -> UtcMillis {
    UtcMillis(at.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
}
