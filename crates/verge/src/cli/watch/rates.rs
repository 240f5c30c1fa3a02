//! How often judges alarm, in words. Pure.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::Value;
use verge_domain::judge_account::JudgeAccount;
use verge_wire::SiteZone;

/// Gateways and judges remembered at most; past that, the rates of others are reported each time.
const MAX_REPORTED: usize = 1024;

/// What was last reported of each judge of each gateway: a status comes every 30 seconds and mostly repeats the last.
pub(super) struct Rates {
    reported: BTreeMap<(String, String), String>,
    /// In which times are printed.
    zone: SiteZone,
}

impl Rates {
    pub(super) fn of(zone: SiteZone) -> Self {
        Self { reported: BTreeMap::new(), zone }
    }

    /// What a status says of its judges that was not reported yet.
    pub(super) fn news(&mut self, status: &Value) -> Vec<String> {
        let gateway = status["gateway"].as_str().unwrap_or("?");
        let mut news = Vec::new();
        for judge in status["judges"].as_array().into_iter().flatten() {
            let words = words(judge, &self.zone);
            let key = (gateway.to_owned(), judge["name"].as_str().unwrap_or("?").to_owned());
            if self.reported.get(&key) != Some(&words) {
                news.push(words.clone());
                if self.reported.len() < MAX_REPORTED || self.reported.contains_key(&key) {
                    self.reported.insert(key, words);
                }
            }
        }
        news
    }
}

fn words(judge: &Value, zone: &SiteZone) -> String {
    let name = judge["name"].as_str().unwrap_or("?").escape_debug();
    match JudgeAccount::deserialize(judge) {
        Ok(account) => format!("{name}: {}", account.words(|at| zone.to_minute(at))),
        // Of another version.
        Err(_) => format!("{name}: an account that this version cannot read"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_reported_when_they_change() {
        let status = |alarms: u64, at: i64| {
            json!({ "gateway": "g", "judges": [{
                "name": "usual", "instances": 12, "alarms": alarms, "alarms_per_week": 0.52,
                "expected_per_week": 1.0, "unsupported": 2, "supported_at": at,
            }] })
        };
        let mut rates = Rates::of(SiteZone::named("Europe/Berlin").unwrap());
        let first = rates.news(&status(3, 1_795_690_800_001));
        let words = "usual: 12 signals, 3 events (0.5 a week, 1.0 expected); 2 of them still learning \
            until 2026-11-26 13:00 CET";
        assert_eq!(first, [words]);
        let young = json!({
            "name": "unusual", "instances": 40, "alarms": 0, "expected_per_week": 1.0, "unsupported": 40,
            "supported_at": 1_795_690_800_001_i64,
        });
        let words = "unusual: 40 signals, no alarm yet; learning until 2026-11-26 13:00 CET";
        assert_eq!(rates.news(&json!({ "gateway": "g", "judges": [young] })), [words]);
        assert!(rates.news(&status(3, 1_795_690_900_000)).is_empty(), "nothing new");
        assert_eq!(rates.news(&status(4, 1_795_690_900_000)).len(), 1);
        assert!(rates.news(&json!({ "gateway": "g" })).is_empty());
        let never = json!({
            "name": "fast", "instances": 2, "alarms": 0, "expected_per_week": 3.0, "unsupported": 1,
            "rarest_budget": "1/2d", "suggestion": { "words": "5 of 6 events …" },
        });
        let words = "fast: 2 signals, no alarm yet (3.0 expected); 1 of them can never support the alarm budget at this \
            rate of readings: the rarest that works is \"1/2d\"; 5 of 6 events …";
        assert_eq!(rates.news(&json!({ "gateway": "g", "judges": [never] })), [words]);
        let rule = json!({ "name": "hot", "instances": 0, "alarms": 0, "suggestion": { "words": "5 of 6 events …" } });
        assert_eq!(rates.news(&json!({ "gateway": "g", "judges": [rule] })), ["hot: 5 of 6 events …"]);
    }
}
