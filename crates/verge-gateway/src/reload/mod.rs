//! A changed configuration on a running gateway: plan, build, swap. Judges, viewers and models are exchanged between two
//! messages, connections stay. All or nothing: what needs a restart is refused whole, and everything that can fail does so
//! before the swap.
//!
//! Reading order: [`ReloadAnswer`], `plan` (what changes, pure), `places` (which index a judge has), `wiring/replacement` (what
//! is built and exchanged), [`ReloadRequest`] and [`door`] (how a running gateway is asked).

pub mod door;
mod places;
mod plan;
mod request;

use serde::{Deserialize, Serialize};
use verge_domain::configured::ReloadOutcome;
use verge_pipeline::judging::SwapReport;

pub(crate) use places::JudgePlaces;
pub(crate) use plan::{AtWork, JudgeFate, ReloadPlan};
pub(crate) use request::{ReloadDesk, reply_of};
pub use request::{ReloadRequest, ReloadRequests};

/// What became of a reload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ReloadAnswer {
    /// The configuration is at work.
    Reloaded(ReloadReport),
    /// It could be at work; nothing was changed, as was asked.
    WouldReload(ReloadReport),
    /// Nothing has changed: some of it needs a restart.
    NeedsRestart {
        /// What.
        keys: Vec<KeyChange>,
    },
    /// Nothing has changed: the file is wrong.
    Faulty {
        /// Every fault.
        faults: Vec<String>,
    },
    /// Nothing has changed: the gateway runs with another file.
    OtherFile {
        /// That file.
        runs_with: String,
    },
    /// Nothing has changed: the judges did not take it.
    Failed {
        /// Why.
        error: String,
    },
}

/// What a reload changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Judges that are new.
    pub added: Vec<String>,
    /// Judges that were removed; their open events are cleared.
    pub removed: Vec<String>,
    /// Keys that changed.
    pub changed: Vec<KeyChange>,
    /// What became of each judge's instances: one for each signal, device or camera that it watches.
    pub instances: InstanceReport,
    /// For how long judging paused, in milliseconds.
    pub pause_ms: f64,
    /// How long all of it took, in milliseconds.
    pub took_ms: f64,
}

/// What became of instances.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// They go on as they were.
    pub kept: usize,
    /// They go on with what they had learnt, under other settings.
    pub carried: usize,
    /// They ended.
    pub ended: usize,
    /// They start anew.
    pub anew: Vec<AnewReport>,
}

/// Instances of a judge that start anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnewReport {
    /// The judge.
    pub judge: String,
    /// The number of them.
    pub instances: usize,
    /// Why.
    pub why: String,
}

/// A key that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key, or a section that was added or removed.
    pub key: String,
    /// What it said; `None` if it was not there.
    pub before: Option<String>,
    /// What it says; `None` if it is not there any more.
    pub after: Option<String>,
    /// Why it needs a restart, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl KeyChange {
    fn words(&self) -> String {
        let Self { key, before, after, why } = self;
        let words = match (before, after) {
            (None, None) => key.clone(),
            (None, Some(after)) => format!("{key}: {after}, was not there"),
            (Some(before), None) => format!("{key}: taken out, was {before}"),
            (Some(before), Some(after)) => format!("{key}: {after}, was {before}"),
        };
        why.iter().fold(words, |words, why| format!("{words}: {why}"))
    }
}

impl ReloadReport {
    /// Adds what became of the instances.
    pub(crate) fn with(self, swapped: SwapReport) -> Self {
        let anew = swapped.anew.into_iter().map(|one| AnewReport {
            judge: one.judge.to_string(),
            instances: one.instances,
            why: one.why,
        });
        let SwapReport { kept, carried, ended, .. } = swapped;
        let instances = InstanceReport { kept, carried, ended, anew: anew.collect() };
        Self { instances, pause_ms: swapped.pause.as_secs_f64() * 1e3, ..self }
    }

    /// The file says what runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn words(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.added.iter().map(|judge| format!("added: judge.{judge}")));
        lines.extend(self.removed.iter().map(|judge| format!("removed: judge.{judge}")));
        lines.extend(self.changed.iter().map(|change| format!("changed: {}", change.words())));
        lines
    }
}

impl ReloadAnswer {
    /// The judges did not take it.
    pub(crate) fn failed(error: &str) -> Self {
        Self::Failed { error: error.to_owned() }
    }

    /// The same in a word.
    pub(crate) const fn outcome(&self) -> ReloadOutcome {
        match self {
            Self::Reloaded(_) | Self::WouldReload(_) => ReloadOutcome::Done,
            Self::NeedsRestart { .. } => ReloadOutcome::NeedsRestart,
            Self::Faulty { .. } => ReloadOutcome::Faulty,
            Self::OtherFile { .. } | Self::Failed { .. } => ReloadOutcome::Failed,
        }
    }

    /// The same in lines for people, the first of which says what became of it.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let unchanged = |why: &str| format!("not reloaded, nothing has changed: {why}");
        match self {
            Self::Reloaded(report) if report.is_empty() => {
                vec!["reloaded: the configuration is the one that runs".to_owned()]
            }
            Self::WouldReload(report) if report.is_empty() => {
                vec!["a reload would change nothing".to_owned()]
            }
            Self::Reloaded(report) => {
                let head = format!(
                    "reloaded in {:.0} ms; judging paused for {:.1} ms",
                    report.took_ms, report.pause_ms
                );
                let InstanceReport { kept, carried, ended, anew } = &report.instances;
                let started: usize = anew.iter().map(|one| one.instances).sum();
                let instances = format!(
                    "watched signals, devices and cameras: {kept} unchanged, {carried} with other settings and what was learnt, \
                     {started} started anew, {ended} ended"
                );
                let anew = anew.iter().map(|AnewReport { judge, instances, why }| {
                    format!("started anew: judge.{judge} on {instances}: {why}")
                });
                std::iter::once(head).chain(report.words()).chain([instances]).chain(anew).collect()
            }
            Self::WouldReload(report) => {
                std::iter::once("a reload would take this up:".to_owned()).chain(report.words()).collect()
            }
            Self::NeedsRestart { keys } => std::iter::once(unchanged("this needs a restart of the gateway"))
                .chain(keys.iter().map(KeyChange::words))
                .collect(),
            Self::Faulty { faults } => std::iter::once(unchanged("the configuration is wrong"))
                .chain(faults.iter().cloned())
                .collect(),
            Self::OtherFile { runs_with } => {
                vec![unchanged(&format!("the gateway runs with {runs_with}; name that file with -c"))]
            }
            Self::Failed { error } => vec![unchanged(error)],
        }
    }

    /// Whether the configuration is at work, or could be.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Reloaded(_) | Self::WouldReload(_))
    }
}
