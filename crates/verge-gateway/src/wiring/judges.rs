//! From settings to judges.

use std::sync::Arc;

use verge_anomaly::autoencoder::AutoencoderJudge;
use verge_anomaly::{AlarmPool, JudgeSettings, ReadingJudge};
use verge_codec::Decoders;
use verge_domain::id::{DeviceId, JudgeIndex};
use verge_domain::reading::Reading;
use verge_domain::settable::LimitKey;
use verge_domain::stage::{Decoder, SharedState};
use verge_domain::time::Moment;
use verge_models::card::ModelTask;
use verge_pipeline::clock::random_event_id;
use verge_pipeline::counters::Counters;
use verge_pipeline::judging::{
    Inputs, JudgeLimits, JudgeSet, JudgeSpec, JudgesMemory, KeptJudge, Observes, PlannedJudge,
};

use super::classes::{Classes, JudgeClass, scope_of};
use super::fingerprint::fingerprint_of;
use super::{Autoencoders, decoders, source_ids};
use crate::reload::{JudgeFate, JudgePlaces, ReloadPlan};
use crate::settings::{JudgeRules, JudgeSection, Rule, Settings};

/// All judges of one class.
///
/// # Errors
/// See [`decoders`].
pub(super) fn judges_of(
    settings: &Settings,
    models: &Autoencoders,
    (class, shared): (JudgeClass, &AcrossClasses),
    counters: &Arc<Counters>,
    now: Moment,
) -> anyhow::Result<JudgeSet<Decoders, ReadingJudge>> {
    let (decoders, counters) = (decoders(settings)?, Arc::clone(counters));
    Ok(set_of(shared, settings, models, Some(class), decoders, counters, now))
}

/// What judges of both classes share.
pub(super) struct AcrossClasses {
    memory: JudgesMemory,
    /// The budget of each judge, where it is one.
    pools: Vec<Option<Arc<AlarmPool>>>,
}

impl AcrossClasses {
    pub(super) fn new(settings: &Settings) -> Self {
        let pool = |judge: &JudgeSection| judge.alarms().and_then(AlarmPool::of);
        let pools = settings.judges.iter().map(pool).collect();
        Self { memory: JudgesMemory::new(settings.gateway.judges_memory), pools }
    }
}

/// All judges of the configuration at work, of both classes, as `verge judge` tries them.
pub fn judge_set<D: Decoder<Item = Reading>>(
    settings: &Settings,
    models: &Autoencoders,
    decoder: D,
    counters: Arc<Counters>,
    now: Moment,
) -> JudgeSet<D, ReadingJudge> {
    set_of(&AcrossClasses::new(settings), settings, models, None, decoder, counters, now)
}

fn set_of<D: Decoder<Item = Reading>>(
    shared: &AcrossClasses,
    settings: &Settings,
    models: &Autoencoders,
    class: Option<JudgeClass>,
    decoder: D,
    counters: Arc<Counters>,
    now: Moment,
) -> JudgeSet<D, ReadingJudge> {
    let judges = (0..).map(JudgeIndex).zip(&settings.judges);
    let spec = |((index, judge), pool): (_, &Option<_>)| {
        judge_spec(settings, (index, judge, pool.as_ref()), models, class)
    };
    let specs = judges.zip(&shared.pools).map(spec).collect();
    let (memory, sources) = (&shared.memory, source_ids(settings));
    let mut set = JudgeSet::within(memory, decoder, specs, sources, counters, random_event_id, now);
    // Both classes have one store.
    let name = match class {
        None => "all",
        Some(JudgeClass::Prompt) => "prompt",
        Some(JudgeClass::Bulk) => "bulk",
    };
    set.group_alarms(settings.gateway.groups, name);
    set
}

/// What a judge looks at, as far as judges of that class do.
pub(super) fn inputs_of(settings: &Settings, judge: &JudgeSection, class: Option<JudgeClass>) -> Inputs {
    let looks = judge.looks();
    let (observes, patterns) = match &judge.rules {
        JudgeRules::Readings(rules) => {
            let observes = if rules.arrivals { Observes::Arrivals } else { Observes::Readings };
            let own = |class| Classes::of(settings).inputs(class, rules);
            (observes, class.map_or_else(|| rules.inputs.clone(), own))
        }
        JudgeRules::Frames(rules) => {
            let scores = matches!(rules.task, ModelTask::Reconstruct | ModelTask::Anomaly);
            let observes = if scores { Observes::Errors } else { Observes::Views };
            (observes, if class == Some(JudgeClass::Bulk) { Vec::new() } else { rules.inputs.clone() })
        }
    };
    Inputs { observes, looks, patterns, devices: judge.devices.clone() }
}

/// All judges of one class as they are to be at work, each with what becomes of it and its index.
pub(super) fn planned_judges(
    settings: &Settings,
    models: &Autoencoders,
    (class, shared): (JudgeClass, &AcrossClasses),
    (plan, places): (&ReloadPlan, &JudgePlaces),
) -> Vec<(JudgeIndex, PlannedJudge<ReadingJudge>)> {
    let judges = (0..).map(JudgeIndex).zip(&settings.judges).zip(&shared.pools);
    let planned = |((index, judge), pool): ((JudgeIndex, &JudgeSection), &Option<Arc<AlarmPool>>)| {
        let made = || judge_spec(settings, (index, judge, pool.as_ref()), models, Some(class));
        let planned = match plan.fate_of(judge) {
            JudgeFate::Kept => {
                let (model, smaller) = (models.identity_of(index), models.smaller_of(index));
                let candidate = models.candidate_of(index);
                let kept = kept_judge(settings, judge, class);
                PlannedJudge::Kept(KeptJudge { model, smaller, candidate, ..kept })
            }
            JudgeFate::Made => PlannedJudge::Made(made()),
            JudgeFate::OtherModel => PlannedJudge::Anew(made(), "its model is another"),
        };
        (places.index_of(&judge.name), planned)
    };
    judges.map(planned).collect()
}

/// What can change of a judge at work without its detector.
fn kept_judge(settings: &Settings, judge: &JudgeSection, class: JudgeClass) -> KeptJudge {
    let inputs = inputs_of(settings, judge, Some(class));
    let (policy, expect, machine) = match &judge.rules {
        JudgeRules::Frames(rules) => (rules.policy, Vec::new(), None),
        JudgeRules::Readings(rules) => {
            (rules.policy, expected(&inputs, &rules.expect), rules.machine.clone())
        }
    };
    let (states, tags) = (judge.states.clone(), Arc::clone(&settings.tags));
    let fingerprint = fingerprint_of(settings, judge);
    KeptJudge {
        name: judge.name.clone(),
        inputs,
        policy,
        expect,
        machine,
        states,
        model: None,
        smaller: None,
        candidate: None,
        tags,
        fingerprint,
    }
}

/// Devices are expected where they are looked at.
fn expected(inputs: &Inputs, devices: &[DeviceId]) -> Vec<DeviceId> {
    if inputs.patterns.is_empty() { Vec::new() } else { devices.to_vec() }
}

fn judge_spec(
    settings: &Settings,
    (index, judge, pool): (JudgeIndex, &JudgeSection, Option<&Arc<AlarmPool>>),
    models: &Autoencoders,
    class: Option<JudgeClass>,
) -> JudgeSpec<ReadingJudge> {
    let plain = |settings: &JudgeSettings| -> Box<dyn Fn(Moment) -> ReadingJudge + Send> {
        let (settings, pool) = (settings.clone(), pool.cloned());
        Box::new(move |now| ReadingJudge::sharing(&settings, pool.as_ref(), now))
    };
    let inputs = inputs_of(settings, judge, class);
    let spec = |scope, policy, make| JudgeSpec {
        name: judge.name.clone(),
        detector: judge.detector(),
        scope,
        inputs,
        policy,
        expect: Vec::new(),
        machine: None,
        states: judge.states.clone(),
        model: models.identity_of(index),
        smaller: models.smaller_of(index),
        candidate: models.candidate_of(index),
        tags: Arc::clone(&settings.tags),
        pool: pool.map(|pool| Arc::clone(pool) as Arc<dyn SharedState>),
        fingerprint: fingerprint_of(settings, judge),
        limits: Arc::default(),
        make,
    };
    match &judge.rules {
        JudgeRules::Frames(rules) => spec(rules.rule.scope(), rules.policy, plain(&rules.rule)),
        JudgeRules::Readings(rules) => {
            let limits = JudgeLimits::new(rules.settable.clone());
            let make: Box<dyn Fn(Moment) -> ReadingJudge + Send> = match (&rules.rule, models.of(index)) {
                (Rule::Plain(JudgeSettings::Threshold(threshold)), _) => {
                    let (threshold, limits) = (*threshold, Arc::clone(&limits));
                    Box::new(move |now| {
                        let [above, below] = LimitKey::ALL.map(|key| limits.value(key));
                        let moved = threshold.moved(above, below).expect("what may be set fits together");
                        ReadingJudge::new(&JudgeSettings::Threshold(moved), now)
                    })
                }
                (Rule::Plain(settings), _) => plain(settings),
                (Rule::Autoencoder { settings, .. }, Some(model)) => {
                    let (settings, pool) = (*settings, pool.cloned());
                    Box::new(move |_| {
                        let judge = AutoencoderJudge::new(settings, model(), pool.as_ref());
                        ReadingJudge::Autoencoder(Box::new(judge))
                    })
                }
                (Rule::Autoencoder { .. }, None) => {
                    unreachable!("the models of all judges are loaded before")
                }
            };
            let spec = spec(scope_of(rules), rules.policy, make);
            let expect = expected(&spec.inputs, &rules.expect);
            JudgeSpec { expect, machine: rules.machine.clone(), limits, ..spec }
        }
    }
}

#[cfg(test)]
mod tests;
