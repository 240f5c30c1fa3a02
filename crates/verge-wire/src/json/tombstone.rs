//! One tombstone, and its summaries.

use serde::{Deserialize, Serialize};
use verge_domain::id::{DeviceId, JudgeId, Seq, SignalId};
use verge_domain::withdrawn::{Summary, Tombstone, Withdrawal};

use super::time;
use crate::WireError;
use crate::message::{check_range, check_summary, range};
use crate::time::to_rfc3339;

#[derive(Serialize, Deserialize)]
pub(super) struct TwinTombstone {
    from: u64,
    through: u64,
    reason: Withdrawal,
    at: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    summary: Vec<TwinSummary>,
}

#[derive(Serialize, Deserialize)]
struct TwinSummary {
    judge: JudgeId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<DeviceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<SignalId>,
    count: u64,
    first: String,
    last: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
}

impl TwinTombstone {
    pub(super) fn of(tombstone: &Tombstone) -> Self {
        let Tombstone { from, through, reason, at, summary } = tombstone;
        Self {
            from: from.0,
            through: through.0,
            reason: *reason,
            at: to_rfc3339(*at),
            summary: summary.iter().map(TwinSummary::of).collect(),
        }
    }

    pub(super) fn into_tombstone(self) -> Result<Tombstone, WireError> {
        let (from, through) = (Seq(self.from), Seq(self.through));
        check_range(from, through)?;
        let summary = self.summary.into_iter().map(TwinSummary::into_summary).collect::<Result<_, _>>()?;
        Ok(Tombstone { from, through, reason: self.reason, at: time(&self.at, "withdrawn at")?, summary })
    }
}

impl TwinSummary {
    fn of(summary: &Summary) -> Self {
        let Summary { judge, device, signal, count, first, last, range } = summary;
        Self {
            judge: judge.clone(),
            device: device.clone(),
            signal: signal.clone(),
            count: *count,
            first: to_rfc3339(*first),
            last: to_rfc3339(*last),
            low: range.map(|(low, _)| low),
            high: range.map(|(_, high)| high),
        }
    }

    fn into_summary(self) -> Result<Summary, WireError> {
        check_summary(Summary {
            judge: self.judge,
            device: self.device,
            signal: self.signal,
            count: self.count,
            first: time(&self.first, "summary first")?,
            last: time(&self.last, "summary last")?,
            range: range(self.low, self.high)?,
        })
    }
}
