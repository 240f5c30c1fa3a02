//! What the status reports of the store.

#![expect(missing_docs, reason = "docs/status.md says what each key means")]

use serde::Serialize;
use verge_domain::id::Lane;
use verge_domain::life::Life;
use verge_domain::stage::StatesUsage;
use verge_domain::withdrawn::Withdrawal;

use super::claim::LifeStatus;
use crate::counters::{Counters, Percentiles, StoreAccount};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoreStatus {
    pub state: &'static str,
    #[serde(flatten)]
    pub life: LifeStatus,
    pub committed: [u64; 3],
    pub commits: u64,
    /// From receipt of a message to its verdicts being durable, in the last minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_ms: Option<Percentiles>,
    pub evicted: u64,
    pub faults: u64,
    /// Oldest and newest stored number; for an empty lane the oldest is one more than the newest.
    pub oldest: [u64; 3],
    pub last: [u64; 3],
    pub used_bytes: u64,
    pub cap_bytes: u64,
    /// By reason, since the start; reasons that never occurred are absent.
    pub withdrawn: serde_json::Map<String, serde_json::Value>,
    /// The saved states of judges.
    pub states: StatesUsage,
}

impl StoreStatus {
    pub(super) fn of(life: &Life, counters: &Counters) -> Self {
        let state = match (counters.store_fault(), counters.store_full()) {
            (true, _) => "storage_fault",
            (false, true) => "full",
            (false, false) => "ok",
        };
        let StoreAccount { oldest, last, usage } = counters.store_account();
        Self {
            life: LifeStatus::of(life),
            oldest: oldest.map(|seq| seq.0),
            last: last.map(|seq| seq.0),
            used_bytes: usage.used_bytes,
            cap_bytes: usage.cap_bytes,
            withdrawn: withdrawn(&usage.withdrawn),
            states: usage.states,
            state,
            committed: Lane::ALL.map(|lane| counters.committed_total[lane.index()].get()),
            commits: counters.commits_total.get(),
            commit_ms: counters.commit_latency.percentiles(),
            evicted: counters.evicted_total.get(),
            faults: counters.store_faults_total.get(),
        }
    }
}

/// How many were withdrawn, by reason, without the reasons that never occurred.
pub(crate) fn withdrawn(counts: &[u64; Withdrawal::ALL.len()]) -> serde_json::Map<String, serde_json::Value> {
    let counts = Withdrawal::ALL.into_iter().map(|reason| (reason, counts[usize::from(reason.code())]));
    counts
        .filter(|&(_, count)| count > 0)
        .map(|(reason, count)| (reason.as_str().to_owned(), serde_json::Value::from(count)))
        .collect()
}
