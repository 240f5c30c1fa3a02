//! What differs between the configuration that runs and another: pure, by names.

use std::collections::BTreeSet;

use verge_domain::reading::SourceIndex;
use verge_traffic::datex2::DatexSite;
use verge_traffic::rsmp::SiteComponent;

use super::{KeyChange, ReloadReport};
use crate::config::SectionValues;
use crate::settings::{DatexUplink, JudgeRules, JudgeSection, Settings, UplinkKind};
use crate::wiring::ModelContents;
use crate::wiring::classes::{Classes, JudgeClass, scope_of};

/// How conditions become events: it changes without the detector.
const POLICY: [&str; 5] = ["severity", "lane", "raise_after", "clear_after", "update_every"];
/// What is looked at.
const LOOKS: [&str; 4] = ["inputs", "devices", "expect", "machine"];
/// A setting that does nothing any more.
const WITHOUT_EFFECT: &str = "judging_threads";

/// What of a source's pictures is hidden: viewers take it up.
const MASKS: &str = "mask.";

/// What a gateway runs with.
pub(crate) struct AtWork<'a> {
    pub(crate) settings: &'a Settings,
    /// What the files of its models held when they were read.
    pub(crate) models: &'a ModelContents,
    /// It takes frames.
    pub(crate) takes_frames: bool,
}

/// What becomes of a judge of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JudgeFate {
    /// Its detector stays as it is.
    Kept,
    /// Its detector is made, and takes up what the one before it has learnt, if there is one.
    Made,
    /// The same without what that has learnt, which was of scores of another model.
    OtherModel,
}

/// How a running gateway comes to another configuration.
#[derive(Debug)]
pub(crate) struct ReloadPlan {
    pub(crate) report: ReloadReport,
    /// Judges whose detector stays as it is.
    kept: BTreeSet<String>,
    /// Judges whose model is another.
    other_model: BTreeSet<String>,
}

impl ReloadPlan {
    /// Compares.
    ///
    /// # Errors
    /// What needs a restart.
    pub(crate) fn between(
        at_work: &AtWork<'_>,
        next: &Settings,
        models: &ModelContents,
    ) -> Result<Self, Vec<KeyChange>> {
        let running = at_work.settings;
        let other_model = other_models(at_work, next, models);
        let mut plan = Self { report: ReloadReport::default(), kept: BTreeSet::new(), other_model };
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
        plan.report.changed.extend(changed_files(at_work, next, models));
        if !at_work.takes_frames {
            restart.extend(next.judges.iter().filter(|judge| sees_frames(judge)).map(first_over_frames));
        }
        sites(running, next, &mut restart);
        if restart.is_empty() {
            orders(running, next, &mut restart);
        }
        if restart.is_empty() {
            classes(running, next, &mut restart);
        }
        if restart.is_empty() { Ok(plan) } else { Err(restart) }
    }

    /// What becomes of a judge of the other configuration.
    pub(crate) fn fate_of(&self, judge: &JudgeSection) -> JudgeFate {
        match judge.name.as_str() {
            name if self.kept.contains(name) => JudgeFate::Kept,
            name if self.other_model.contains(name) => JudgeFate::OtherModel,
            _ => JudgeFate::Made,
        }
    }

    /// Whether the detector of a judge stays as it is.
    pub(crate) fn keeps(&self, judge: &JudgeSection) -> bool {
        self.fate_of(judge) == JudgeFate::Kept
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
                if keys.iter().all(stays) && has_scope_of(was, is) && !self.other_model.contains(name) {
                    self.kept.insert(name.clone());
                }
                self.report.changed.extend(changes.into_iter().map(|(_, change)| change));
            }
            (_, "model") => self.report.changed.extend(changes.into_iter().map(|(_, change)| change)),
            _ => {
                for (key, change) in changes {
                    let is_taken = before.section == "gateway" && key == WITHOUT_EFFECT
                        || before.section == "source" && key.starts_with(MASKS);
                    if is_taken { self.report.changed.push(change) } else { restart.push(change) }
                }
            }
        }
    }

    fn removed(&mut self, running: &Settings, before: &SectionValues, restart: &mut Vec<KeyChange>) {
        let change = || KeyChange {
            key: before.path.clone(),
            before: Some(format!("a [{}]", before.path)),
            ..KeyChange::default()
        };
        match (before.section, &before.name) {
            ("judge", Some(name)) if judge(running, name).is_some() => self.report.removed.push(name.clone()),
            ("model", _) => self.report.changed.push(change()),
            _ => restart.push(change()),
        }
    }

    fn added(&mut self, next: &Settings, after: &SectionValues, restart: &mut Vec<KeyChange>) {
        let change = || KeyChange {
            key: after.path.clone(),
            after: Some(format!("a [{}]", after.path)),
            ..KeyChange::default()
        };
        match (after.section, &after.name) {
            ("judge", Some(name)) if judge(next, name).is_some() => self.report.added.push(name.clone()),
            ("model", _) => self.report.changed.push(change()),
            _ => restart.push(change()),
        }
    }
}

/// What is made of what judges are: the intervals in which they count, the causes that they watch for.
#[derive(PartialEq)]
enum MadeOfJudges<'a> {
    Components(&'a [SiteComponent]),
    Places(&'a [DatexSite]),
}

/// Components of sites of RSMP and places of DATEX II, under their sections.
fn made_of_judges(settings: &Settings) -> impl Iterator<Item = (String, MadeOfJudges<'_>)> {
    let of_uplinks = settings.uplinks.iter().filter_map(|uplink| match &uplink.kind {
        UplinkKind::Rsmp(rsmp) => {
            let key = format!("{}.component", uplink.section());
            Some((key, MadeOfJudges::Components(&rsmp.site.components)))
        }
        _ => uplink.datex2().map(|datex2| (uplink.section(), datex2)).map(places),
    });
    of_uplinks.chain(settings.publications.iter().map(|files| places((files.key.clone(), &files.datex2))))
}

fn places((section, datex2): (String, &DatexUplink)) -> (String, MadeOfJudges<'_>) {
    (format!("{section}.site"), MadeOfJudges::Places(&datex2.publisher.sites))
}

/// What outputs say of the site must be what its judges are.
fn sites(running: &Settings, next: &Settings, restart: &mut Vec<KeyChange>) {
    for (key, before) in made_of_judges(running) {
        let after = made_of_judges(next).find(|(other, _)| *other == key);
        let section = key.split('.').take(2).collect::<Vec<_>>().join(".");
        let says_so = restart.iter().any(|change| change.key.starts_with(&section));
        if after.is_some_and(|(_, after)| after != before) && !says_so {
            let why = "a judge that it names counts in other intervals, or watches for other causes";
            restart.push(KeyChange { key, why: Some(why.to_owned()), ..KeyChange::default() });
        }
    }
}

/// Judges to which what they have learnt says nothing any more, since they ask another model than before, whatever it is called.
fn other_models(at_work: &AtWork<'_>, next: &Settings, models: &ModelContents) -> BTreeSet<String> {
    let asks_another = |judge_now: &&JudgeSection| {
        let before = judge(at_work.settings, judge_now.name.as_str())
            .and_then(|before| before.model(at_work.settings));
        let Some((before, now)) = before.zip(judge_now.model(next)) else { return false };
        // Places and labels mean the same in another version of a model; its scores do not.
        let goes_on = before.name == now.name && keeps_places(judge_now);
        !goes_on && models.of(&now.name) != at_work.models.of(&before.name)
    };
    next.judges.iter().filter(asks_another).map(|judge| judge.name.to_string()).collect()
}

/// Models whose section stays as it is, and whose files do not.
fn changed_files(at_work: &AtWork<'_>, next: &Settings, models: &ModelContents) -> Vec<KeyChange> {
    let running = at_work.settings.models.iter().chain(&at_work.settings.autoencoders);
    let is_same_file = |name: &str, card| {
        next.models.iter().chain(&next.autoencoders).any(|model| model.name == name && model.card == card)
    };
    running
        .filter(|model| is_same_file(&model.name, model.card.clone()))
        .filter(|model| {
            at_work.models.of(&model.name).is_some_and(|before| models.of(&model.name) != Some(before))
        })
        .map(|model| KeyChange {
            key: format!("model.{}", model.name),
            before: Some("what was read before".to_owned()),
            after: Some("files with other contents".to_owned()),
            ..KeyChange::default()
        })
        .collect()
}

fn first_over_frames(judge: &JudgeSection) -> KeyChange {
    KeyChange {
        key: format!("judge.{}", judge.name),
        after: Some(format!("a [judge.{}] over frames", judge.name)),
        why: Some(
            "it is the first one, and connections for frames are made when the gateway starts".to_owned(),
        ),
        ..KeyChange::default()
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
        let change = || {
            let key = format!("{}.{key}", after.path);
            KeyChange { key, before: was.cloned(), after: is.cloned(), why: None }
        };
        (was != is).then(|| (key.clone(), change()))
    };
    keys.into_iter().filter_map(change).collect()
}

/// Whether workers look at frames for a judge, or report their arrival to it.
fn sees_frames(judge: &JudgeSection) -> bool {
    judge.frames().is_some() || judge.watches_arrivals()
}

/// Whether what a judge keeps are objects, their places and counts, and no scores of its model.
fn keeps_places(judge: &JudgeSection) -> bool {
    use verge_anomaly::JudgeSettings::{Report, Track};
    judge.frames().is_some_and(|rules| matches!(rules.rule, Report(..) | Track(..)))
}

/// Whether a judge reports what frames show: then its detector decides how often.
fn reports(judge: &JudgeSection) -> bool {
    judge.frames().is_some_and(|rules| matches!(rules.rule, verge_anomaly::JudgeSettings::Report(..)))
}

fn has_scope_of(was: &JudgeSection, is: &JudgeSection) -> bool {
    match (&was.rules, &is.rules) {
        (JudgeRules::Readings(was), JudgeRules::Readings(is)) => scope_of(was) == scope_of(is),
        (JudgeRules::Frames(_), JudgeRules::Frames(_)) => true,
        _ => false,
    }
}

/// Sources are known by their places, and the order of uplinks is their preference.
fn orders(running: &Settings, next: &Settings, restart: &mut Vec<KeyChange>) {
    let mut compare = |key: &str, names: fn(&Settings) -> Vec<String>| {
        let (before, after) = (names(running), names(next));
        if before != after {
            let order = |names: Vec<String>| Some(format!("the order {}", names.join(", ")));
            let (key, before, after) = (key.to_owned(), order(before), order(after));
            restart.push(KeyChange { key, before, after, why: None });
        }
    };
    compare("source", |all| all.sources.iter().map(|one| one.name.to_string()).collect());
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
            let why = Some("subscriptions are made when the gateway starts".to_owned());
            restart.push(KeyChange { key, before: Some(before), after: Some(after), why });
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
                    why: None,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
