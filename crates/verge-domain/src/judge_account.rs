//! How often a judge alarms, as the status of its gateway reports it, and that in words.

use serde::Deserialize;

use crate::time::UtcMillis;

const HOUR_MS: i64 = 3_600_000;

/// What a status says of one judge. What it does not say is zero or absent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct JudgeAccount {
    /// Its name.
    pub name: String,
    /// Signals or devices at work with a known rate; none of a judge that follows rules.
    pub instances: u64,
    /// Events found since it learned enough.
    pub alarms: u64,
    /// The same by week.
    pub alarms_per_week: Option<f64>,
    /// How many come in a week while all is well.
    pub expected_per_week: f64,
    /// Instances that still learn.
    pub unsupported: u64,
    /// Until when, UTC ms.
    pub supported_at: Option<i64>,
    /// The rarest budget that works, where the one asked for never will.
    pub rarest_budget: Option<String>,
    /// The contact that explains most of its events.
    pub suggestion: Option<SuggestedState>,
}

/// A contact that explains most events of a judge.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SuggestedState {
    /// What it explains, and what to write.
    pub words: String,
}

impl JudgeAccount {
    /// All of it, without the name. `time` writes a time as people at the site read it.
    #[must_use]
    pub fn words(&self, time: impl Fn(UtcMillis) -> String) -> String {
        let suggestion = self.suggestion.as_ref().map(|suggestion| suggestion.words.clone());
        let rate = (self.instances > 0).then(|| self.rate_words());
        let parts: Vec<String> =
            rate.into_iter().chain(self.learning_words(time)).chain(suggestion).collect();
        parts.join("; ")
    }

    /// Signals, events and rates.
    fn rate_words(&self) -> String {
        let several = |count: u64, one: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {one}s"),
        };
        // One alarm of a machine stands for all events that join it, so that people see fewer alarms.
        let found = if self.alarms == 0 { "no alarm yet".to_owned() } else { several(self.alarms, "event") };
        let words = format!("{}, {found}", several(self.instances, "signal"));
        if self.unsupported >= self.instances {
            return words;
        }
        let observed = self.alarms_per_week.map_or_else(String::new, |rate| format!("{rate:.1} a week, "));
        format!("{words} ({observed}{:.1} expected)", self.expected_per_week)
    }

    /// That it still learns, and until when, or that it will never have learnt enough; `None` of one that knows what is usual.
    #[must_use]
    pub fn learning_words(&self, time: impl Fn(UtcMillis) -> String) -> Option<String> {
        if self.unsupported == 0 {
            return None;
        }
        let learning = self.unsupported;
        if let Some(rarest) = &self.rarest_budget {
            return Some(format!(
                "{learning} of them can never support the alarm budget at this rate of readings: the rarest that works is \
                 \"{rarest}\""
            ));
        }
        // To the hour: what is left changes with every status.
        let to_hour = |at: i64| UtcMillis(at.saturating_add(HOUR_MS - 1).div_euclid(HOUR_MS) * HOUR_MS);
        let until = self.supported_at.map_or_else(String::new, |at| format!(" until {}", time(to_hour(at))));
        Some(match learning >= self.instances {
            true => format!("learning{until}"),
            false => format!("{learning} of them still learning{until}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_put_into_words() {
        let check = |account: JudgeAccount, expected: &str| {
            assert_eq!(account.words(|at| format!("{} h", at.0 / HOUR_MS)), expected);
        };
        let learning = JudgeAccount {
            instances: 40,
            unsupported: 40,
            supported_at: Some(49 * HOUR_MS - 1),
            ..JudgeAccount::default()
        };
        check(learning.clone(), "40 signals, no alarm yet; learning until 49 h");
        check(
            JudgeAccount { alarms: 1, unsupported: 2, expected_per_week: 1.0, ..learning.clone() },
            "40 signals, 1 event (1.0 expected); 2 of them still learning until 49 h",
        );
        let words = "5 of 6 events …".to_owned();
        let suggestion = Some(SuggestedState { words });
        check(
            JudgeAccount {
                instances: 1,
                alarms: 3,
                alarms_per_week: Some(0.52),
                expected_per_week: 1.0,
                suggestion: suggestion.clone(),
                ..JudgeAccount::default()
            },
            "1 signal, 3 events (0.5 a week, 1.0 expected); 5 of 6 events …",
        );
        check(JudgeAccount { suggestion, ..JudgeAccount::default() }, "5 of 6 events …");
        let never = JudgeAccount { rarest_budget: Some("1/2d".to_owned()), unsupported: 1, ..learning };
        check(
            never,
            "40 signals, no alarm yet (0.0 expected); 1 of them can never support the alarm budget at this rate of \
             readings: the rarest that works is \"1/2d\"",
        );
    }
}
