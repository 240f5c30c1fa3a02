//! What differs between the configuration that runs and another: pure, by names.

use std::collections::BTreeSet;

use verge_anomaly::ReadingJudge;
use verge_domain::reading::SourceIndex;
use verge_pipeline::judging::PlannedJudge;

use super::{KeyChange, ReloadReport};
use crate::config::SectionValues;
use crate::settings::{JudgeRules, JudgeSection, Rule, Settings};
use crate::wiring::classes::{Classes, JudgeClass, scope_of};
use crate::wiring::{kept_judge, made_judge};

/// How conditions become events: it changes without the detector.
const POLICY: [&str; 5] = ["severity", "lane", "raise_after", "clear_after", "update_every"];
/// What is looked at.
const LOOKS: [&str; 4] = ["inputs", "devices", "expect", "machine"];
/// A setting that does nothing any more.
const WITHOUT_EFFECT: &str = "judging_threads";

/// How a running gateway comes to another configuration.
#[derive(Debug)]
pub(crate) struct ReloadPlan {
    pub(crate) report: ReloadReport,
    /// Judges whose detector stays as it is.
    kept: BTreeSet<String>,
}

impl ReloadPlan {
    /// Compares.
    ///
    /// # Errors
    /// What needs a restart.
    pub(crate) fn between(running: &Settings, next: &Settings) -> Result<Self, Vec<KeyChange>> {
        let mut plan = Self { report: ReloadReport::default(), kept: BTreeSet::new() };
        let mut restart = Vec::new();
        for before in &running.values {
            match find(&next.values, before) {
                Some(after) => plan.compare(running, next, before, after, &mut restart),
                None => plan.removed(running, before, &mut restart),
            }
        }
        for after in next.values.iter().filter(|after| find(&running.values, after).is_none()) {
            plan.added(next, after, &mut restart);
        }
        if restart.is_empty() {
            orders(running, next, &mut restart);
        }
        if restart.is_empty() {
            classes(running, next, &mut restart);
        }
        if restart.is_empty() { Ok(plan) } else { Err(restart) }
    }

    /// All judges of one class, as they are to be at work.
    pub(crate) fn judges(&self, next: &Settings, class: JudgeClass) -> Vec<PlannedJudge<ReadingJudge>> {
        let planned = |judge: &JudgeSection| {
            if self.kept.contains(judge.name.as_str()) {
                PlannedJudge::Kept(kept_judge(next, judge, class))
            } else {
                PlannedJudge::Made(made_judge(next, judge, class))
            }
        };
        next.judges.iter().map(planned).collect()
    }

    fn compare(
        &mut self,
        running: &Settings,
        next: &Settings,
        before: &SectionValues,
        after: &SectionValues,
        restart: &mut Vec<KeyChange>,
    ) {
        let changes = changes(before, after);
        let keys: Vec<&str> = changes.iter().map(|(key, _)| key.as_str()).collect();
        match (&before.name, before.section) {
            (Some(name), "judge") => {
                let (Some(was), Some(is)) = (judge(running, name), judge(next, name)) else { return };
                let stays = |key: &&str| {
                    POLICY.contains(key) && !(reports(is) && *key == "update_every") || LOOKS.contains(key)
                };
                let kept = keys.iter().all(stays) && has_scope_of(was, is);
                if kept {
                    self.kept.insert(name.clone());
                }
                let needs = |key: &str| needs_restart(was, key) || needs_restart(is, key);
                let asks_anew = !kept && asks_a_model(is);
                for (key, change) in changes {
                    if needs(&key) || asks_anew {
                        restart.push(change)
                    } else {
                        self.report.changed.push(change)
                    }
                }
            }
            _ => {
                for (key, change) in changes {
                    let is_idle = before.section == "gateway" && key == WITHOUT_EFFECT;
                    if is_idle { self.report.changed.push(change) } else { restart.push(change) }
                }
            }
        }
    }

    fn removed(&mut self, running: &Settings, before: &SectionValues, restart: &mut Vec<KeyChange>) {
        let known = before.name.as_deref().filter(|_| before.section == "judge");
        match known.and_then(|name| judge(running, name)).filter(|judge| !sees_frames(judge)) {
            Some(judge) => self.report.removed.push(judge.name.to_string()),
            None => restart.push(KeyChange {
                key: before.path.clone(),
                before: Some(format!("a [{}]", before.path)),
                after: None,
            }),
        }
    }

    fn added(&mut self, next: &Settings, after: &SectionValues, restart: &mut Vec<KeyChange>) {
        let known = after.name.as_deref().filter(|_| after.section == "judge");
        let fits = |judge: &&JudgeSection| !sees_frames(judge) && !asks_a_model(judge);
        match known.and_then(|name| judge(next, name)).filter(fits) {
            Some(judge) => self.report.added.push(judge.name.to_string()),
            None => restart.push(KeyChange {
                key: after.path.clone(),
                before: None,
                after: Some(format!("a [{}]", after.path)),
            }),
        }
    }
}

fn find<'a>(all: &'a [SectionValues], like: &SectionValues) -> Option<&'a SectionValues> {
    all.iter().find(|one| (one.section, &one.name) == (like.section, &like.name))
}

fn judge<'a>(settings: &'a Settings, name: &str) -> Option<&'a JudgeSection> {
    settings.judges.iter().find(|judge| judge.name.as_str() == name)
}

/// The keys that differ, by their name within the section.
fn changes(before: &SectionValues, after: &SectionValues) -> Vec<(String, KeyChange)> {
    let keys: BTreeSet<&String> = before.values.keys().chain(after.values.keys()).collect();
    let change = |key: &String| {
        let (was, is) = (before.values.get(key), after.values.get(key));
        let change =
            || KeyChange { key: format!("{}.{key}", after.path), before: was.cloned(), after: is.cloned() };
        (was != is).then(|| (key.clone(), change()))
    };
    keys.into_iter().filter_map(change).collect()
}

/// Whether workers look at frames for a judge, or report their arrival to it.
fn sees_frames(judge: &JudgeSection) -> bool {
    judge.frames().is_some() || judge.watches_arrivals()
}

/// Whether a judge reports what frames show: then its detector decides how often.
fn reports(judge: &JudgeSection) -> bool {
    judge.frames().is_some_and(|rules| rules.task != verge_models::card::ModelTask::Reconstruct)
}

/// Whether the judge's instances ask a model, or are reported with one.
fn asks_a_model(judge: &JudgeSection) -> bool {
    match &judge.rules {
        JudgeRules::Frames(_) => true,
        JudgeRules::Readings(rules) => matches!(rules.rule, Rule::Autoencoder { .. }),
    }
}

/// What workers look at is set when they start.
fn needs_restart(judge: &JudgeSection, key: &str) -> bool {
    sees_frames(judge) && (LOOKS.contains(&key) || key == "detector")
}

fn has_scope_of(was: &JudgeSection, is: &JudgeSection) -> bool {
    match (&was.rules, &is.rules) {
        (JudgeRules::Readings(was), JudgeRules::Readings(is)) => scope_of(was) == scope_of(is),
        (JudgeRules::Frames(_), JudgeRules::Frames(_)) => true,
        _ => false,
    }
}

/// Sources and models are known by their places, and the order of uplinks is their preference.
fn orders(running: &Settings, next: &Settings, restart: &mut Vec<KeyChange>) {
    let mut compare = |key: &str, names: fn(&Settings) -> Vec<String>| {
        let (before, after) = (names(running), names(next));
        if before != after {
            let order = |names: Vec<String>| Some(format!("the order {}", names.join(", ")));
            restart.push(KeyChange { key: key.to_owned(), before: order(before), after: order(after) });
        }
    };
    compare("source", |all| all.sources.iter().map(|one| one.name.to_string()).collect());
    compare("model", |all| {
        all.models.iter().chain(&all.autoencoders).map(|model| model.name.clone()).collect()
    });
    compare("uplink", |all| all.uplinks.iter().map(|one| one.name.to_string()).collect());
    compare("route", |all| all.routes.iter().map(|one| one.name.to_string()).collect());
}

/// By which connection a source comes, and on which thread a judge looks at it.
fn classes(running: &Settings, next: &Settings, restart: &mut Vec<KeyChange>) {
    let (was, is) = (Classes::of(running), Classes::of(next));
    for (source, settings) in (0..).map(SourceIndex).zip(&next.sources) {
        let connections = |classes: &Classes<'_>| {
            let with = |class, words| classes.receives(class, source).then_some(words);
            let all = [
                with(JudgeClass::Prompt, "the connection of readings"),
                with(JudgeClass::Bulk, "the connection of blocks and windows"),
            ];
            all.into_iter().flatten().collect::<Vec<_>>().join(" and ")
        };
        let (before, after) = (connections(&was), connections(&is));
        if before != after {
            let key = format!("source.{}", settings.name);
            restart.push(KeyChange { key, before: Some(before), after: Some(after) });
        }
        for rules in &next.judges {
            let former = judge(running, rules.name.as_str()).and_then(JudgeSection::readings);
            let (Some(former), Some(present)) = (former, rules.readings()) else { continue };
            let looks = |rules: &crate::settings::ReadingRules| {
                rules.inputs.iter().any(|input| input.source == source)
            };
            if looks(former) && looks(present) && was.class_of(former, source) != is.class_of(present, source)
            {
                let words = |class| match class {
                    JudgeClass::Prompt => Some("on the thread of readings".to_owned()),
                    JudgeClass::Bulk => Some("on the thread of blocks and windows".to_owned()),
                };
                restart.push(KeyChange {
                    key: format!("judge.{}", rules.name),
                    before: words(was.class_of(former, source)),
                    after: words(is.class_of(present, source)),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
