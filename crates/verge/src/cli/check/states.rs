//! Whether judges have room: in memory, and in the store for their learnt states.

use verge_domain::stage::{Checkpoint, KEY_SEPARATOR, is_learnt};
use verge_domain::verdict::Detector;
use verge_outbox::CheckpointSummary;

use super::CheckReport;
use verge_anomaly::alarm::BudgetOf;
use verge_gateway::config::{Size, Warning};
use verge_gateway::settings::{JudgeSection, Settings};
use verge_gateway::wiring;
use verge_pipeline::judging::{Fingerprint, judge_taught, pool_key, settings_key};
use verge_wire::counted;

const KEY: &str = "gateway.states_cap";
const MEMORY: &str = "gateway.judges_memory";
/// What one signal takes of a judge that is not in the store yet: what `auto` takes at most.
const TYPICAL_BYTES: u64 = 14 << 10;
/// Where there is room for fewer signals than this, and sources may bring more, it is worth a warning.
const FEW_SIGNALS: u64 = 1024;

/// What the states of one judge need.
#[derive(Debug, Default, PartialEq, Eq)]
struct Need {
    states: u64,
    bytes: u64,
}

impl Need {
    /// Of a judge's states in the store.
    fn of(judge: &str, saved: &[CheckpointSummary]) -> Self {
        let of_judge = |saved: &&CheckpointSummary| {
            is_learnt(&saved.key) && saved.key.split(KEY_SEPARATOR).nth(1) == Some(judge)
        };
        saved.iter().filter(of_judge).fold(Self::default(), |need, saved| Self {
            states: need.states + 1,
            bytes: need.bytes + saved.bytes,
        })
    }

    /// Bytes of one state, as measured or else as usual.
    fn each(&self) -> u64 {
        self.bytes.checked_div(self.states).unwrap_or(TYPICAL_BYTES).max(1)
    }
}

const fn learns(detector: Detector) -> bool {
    matches!(
        detector,
        Detector::Auto
            | Detector::Multi
            | Detector::Pattern
            | Detector::Vibration
            | Detector::Cusum
            | Detector::Autoencoder
            | Detector::Anomaly
    )
}

/// Compares what the judges may need, and what is in the store, with the room for it.
pub(super) fn look(settings: &Settings, saved: &[CheckpointSummary], report: &mut CheckReport) {
    let share = settings.store.states_bytes();
    let stored: u64 = saved.iter().filter(|saved| is_learnt(&saved.key)).map(|saved| saved.bytes).sum();
    let memory = settings.gateway.judges_memory as u64;
    let mut warn = |key: &str, remark| report.warnings.push(Warning { key: key.to_owned(), remark });
    let is_full = stored > share - share / 10;
    if is_full {
        let remark = format!(
            "learnt states take {} of {}: those saved least recently are evicted; raise it (and gateway.store_cap)",
            Size(stored),
            Size(share)
        );
        warn(KEY, remark);
    }
    // In memory a judge takes at least what is saved of it.
    if stored > memory / 2 {
        let remark = format!(
            "judges whose learnt states are in the store take {} or more of {}: beyond half of it, new names are taken at \
             256 a second, and where it is full they are refused; raise it",
            Size(stored),
            Size(memory)
        );
        warn(MEMORY, remark);
    }
    for judge in settings.judges.iter().filter(|judge| learns(judge.detector())) {
        let expected = judge.readings().map_or(0, |rules| rules.expect.len() as u64);
        let each = Need::of(judge.name.as_str(), saved).each();
        let fewest = FEW_SIGNALS.max(expected);
        if memory / each < fewest {
            let remark = format!(
                "{} has room for some {} signals of judge.{} ({} each): more are refused; raise it",
                Size(memory),
                memory / each,
                judge.name,
                Size(each)
            );
            warn(MEMORY, remark);
        }
        if share / each < fewest && !is_full {
            let remark = format!(
                "{} has room for the learnt states of some {} signals of judge.{} ({} each); of more, those saved \
                 least recently start afresh after a restart",
                Size(share),
                share / each,
                judge.name,
                Size(each)
            );
            warn(KEY, remark);
        }
    }
}

/// What is not taken up at the next start, as its meaning has changed.
pub(super) fn outdated(
    settings: &Settings,
    saved: &[CheckpointSummary],
    learnt_under: &[Checkpoint],
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for judge in &settings.judges {
        warnings.extend(without_pool(judge, saved));
        let key = settings_key(&judge.name);
        let noted = learnt_under.iter().find(|one| one.key == key).and_then(|one| one.state.as_deref());
        let Some(under) = noted.and_then(Fingerprint::read) else { continue };
        let present = wiring::fingerprint_of(settings, judge);
        let of_judge = saved
            .iter()
            .filter(|one| is_learnt(&one.key) && judge_taught(&one.key) == Some(judge.name.as_str()));
        let changes: Vec<_> = of_judge.filter_map(|one| under.change_of(&present, &one.key)).collect();
        let Some(first) = changes.first() else { continue };
        warnings.push(Warning {
            key: format!("judge.{}", judge.name),
            remark: format!(
                "{} in the store had another meaning when it was learnt ({first}): at the next start it is not taken up, \
                 and learnt anew; write the former value to keep it",
                counted(changes.len() as u64, "state")
            ),
        });
    }
    warnings
}

/// In version 0.1 a budget was each signal's own: what was learnt then knows no record of the judge.
fn without_pool(judge: &JudgeSection, saved: &[CheckpointSummary]) -> Option<Warning> {
    judge.alarms().filter(|alarms| alarms.budget_of() == BudgetOf::Judge)?;
    let learnt = Need::of(judge.name.as_str(), saved).states;
    let of_later = [pool_key(&judge.name), settings_key(&judge.name)];
    let is_of_later = saved.iter().any(|one| of_later.contains(&one.key));
    (learnt > 0 && !is_of_later).then(|| Warning {
        key: format!("judge.{}.alarm_budget", judge.name),
        remark: format!(
            "what this judge has learnt ({}) is of a version in which the budget was each signal's own; it means all false \
             alarms of the judge together now: write budget_of = \"signal\" to keep the former meaning",
            counted(learnt, "state")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_of_a_version_without_budgets_of_judges_is_named() {
        let text = "[gateway]\nid = \"g\"\nstate_dir = \"state\"\n[local]\nurl = \"mqtt://localhost\"\n\
            [source.pump]\ntopic = \"p\"\ncodec = \"number\"\ndevice = \"fixed:d\"\nsignal = \"s\"\n\
            [judge.auto]\ninputs = [\"pump\"]\n";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, text).unwrap();
        let settings = Settings::load(&file, std::iter::empty()).unwrap();
        let saved = |keys: &[&str]| -> Vec<CheckpointSummary> {
            keys.iter().map(|key| CheckpointSummary { key: key.replace('/', "\u{1f}"), bytes: 9 }).collect()
        };
        let warned = |keys: &[&str]| outdated(&settings, &saved(keys), &[]).len();
        assert_eq!(warned(&["state/auto/pump/d/s"]), 1);
        assert_eq!(warned(&["state/auto/pump/d/s", "pool/auto"]), 0);
        assert_eq!(warned(&["state/auto/pump/d/s", "settings/auto"]), 0);
        assert_eq!(warned(&["state/other/pump/d/s"]), 0);
    }

    #[test]
    fn the_need_of_a_judge_is_measured_where_it_can_be() {
        let saved = |key: &str, bytes| CheckpointSummary { key: key.replace('/', "\u{1f}"), bytes };
        let all = [
            saved("state/auto/pump/d/s", 1000),
            saved("state/auto/pump/d/t", 3000),
            saved("state/other/pump/d/s", 9000),
            saved("events/auto/pump/d/s", 300),
        ];
        let need = Need::of("auto", &all);
        assert_eq!((need.states, need.bytes, need.each()), (2, 4000, 2000));
        assert_eq!(Need::of("new", &all).each(), TYPICAL_BYTES);
    }
}
