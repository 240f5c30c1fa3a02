//! What the status reports of judges that know how often they alarm.

#![expect(missing_docs, reason = "docs/status.md says what each key means")]

use serde::Serialize;
use verge_domain::id::JudgeId;

use crate::judging::{JudgeRate, StateSuggestion, budget_text};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JudgeStatus {
    pub name: JudgeId,
    pub instances: u64,
    pub alarms: u64,
    /// Observed, of all instances together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarms_per_week: Option<f64>,
    pub expected_per_week: f64,
    pub unsupported: u64,
    /// UTC ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supported_at: Option<i64>,
    /// As settings write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rarest_budget: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<StateSuggestion>,
}

impl JudgeStatus {
    pub(super) fn of(rate: &JudgeRate) -> Self {
        Self {
            name: rate.judge.clone(),
            instances: rate.instances,
            alarms: rate.alarms,
            alarms_per_week: rate.per_week().map(rounded),
            expected_per_week: rounded(rate.expected_per_week()),
            unsupported: rate.unsupported,
            supported_at: rate.supported_at.map(|at| at.0),
            rarest_budget: rate.rarest.map(budget_text),
            suggestion: rate.suggestion.clone(),
        }
    }
}

/// To four decimals: a budget of one alarm in a year is 0.0192 a week.
fn rounded(rate: f64) -> f64 {
    (rate * 10_000.0).round() / 10_000.0
}
