//! Judges over frames: which model looks at which part of which cameras' frames, and what is reported.

use std::sync::Arc;

use verge_anomaly::{JudgeSettings, ReportPolicy};
use verge_domain::policy::EventPolicy;
use verge_domain::scheme::ClassScheme;
use verge_domain::verdict::Detector;
use verge_models::card::ModelTask;
use verge_pipeline::judging::InputPattern;
use verge_vision::preprocess::Region;
use verge_vision::{CascadeSettings, GateSettings, VisionJudge};

use super::cascade::{check_cascade, check_second_model};
use super::inputs::Known;
use crate::config::{Fault, RawAsking, RawDetect, RawGate, RawRegion, RawReport, RawViews, nearest};
use crate::settings::Check;

/// How a judge over frames is set.
#[derive(Debug, Clone)]
pub struct FrameRules {
    /// Sources it looks at.
    pub inputs: Vec<InputPattern>,
    /// What its model must do.
    pub task: ModelTask,
    /// How it looks. The model is meant by its position in the settings.
    pub look: VisionJudge,
    /// What becomes of what it sees.
    pub rule: JudgeSettings,
    /// Severity and lane of its verdicts.
    pub policy: EventPolicy,
}

/// A judge that reports what frames show.
pub(super) fn check_views(
    check: &mut Check<'_>,
    section: &str,
    (detector, task, top): (Detector, ModelTask, usize),
    raw: &RawViews,
    policy: EventPolicy,
    inputs: Option<Vec<InputPattern>>,
    known: &Known<'_>,
) -> Option<FrameRules> {
    let report = match raw.report {
        RawReport::Every => ReportPolicy::Every,
        RawReport::Change => ReportPolicy::Change { hold: raw.hold.0, again: raw.update_every.0 },
    };
    let of = (task, Some(JudgeSettings::Report(detector, report)), policy);
    let rules = check_rules(check, section, of, &raw.asking, inputs, known)?;
    let labels = raw.labels.clone().unwrap_or_default();
    let gate = raw.gate.as_ref().map(gate);
    Some(FrameRules { look: VisionJudge { top, score: raw.score, labels, gate, ..rules.look }, ..rules })
}

/// What spares a judge's model frames in which nothing moves.
#[expect(clippy::cast_possible_truncation, reason = "a share")]
pub(super) fn gate(raw: &RawGate) -> GateSettings {
    GateSettings { heartbeat: raw.heartbeat.0, after: raw.after.0, least: raw.least as f32 }
}

/// The classes and thresholds of a judge that detects.
pub(super) fn check_classes(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawDetect,
    (rules, models): (Option<FrameRules>, &[&str]),
) -> Option<FrameRules> {
    let then = raw.then.as_ref().map(|then| {
        let names =
            raw.classes.as_ref().map(|classes| classes.iter().map(|(name, _)| name.as_str()).collect());
        let model = check_second_model(check, section, then, models);
        let cascade = check_cascade(check, section, (then, true), names);
        Some(CascadeSettings { model: model?, ..cascade? })
    });
    let mut is_good = true;
    let mut refuse = |key: String, value: String, expected: &str, remedy: String| {
        is_good = false;
        check.faults.push(Fault::new(key, value, expected).remedy(remedy));
    };
    let classes = raw.classes.clone().map(|classes| ClassScheme::new(classes.into_iter().collect()));
    let classes = match classes.transpose() {
        Ok(classes) => classes,
        Err(error) => {
            let expected = "classes that share no label, such as { car = [\"car\"], other = [\"*\"] }";
            refuse(
                format!("{section}.classes"),
                error.to_string(),
                expected,
                "list each label once".to_owned(),
            );
            None
        }
    };
    let known = |name: &str| {
        classes.as_ref().is_none_or(|classes| classes.names().iter().any(|one| one.as_str() == name))
    };
    let listed = raw.views.labels.iter().flatten().map(|label| ("labels", label));
    let scored = raw.scores.iter().flatten().map(|(label, _)| ("scores", label));
    if let Some((key, label)) = listed.chain(scored).find(|(_, label)| !known(label)) {
        let expected = "classes of this judge, since it has classes of its own";
        refuse(
            format!("{section}.{key}"),
            format!("{label:?}"),
            expected,
            format!("add {label:?} to classes"),
        );
    }
    if let Some((label, score)) = raw.scores.iter().flatten().find(|(_, score)| !(0.0..=1.0).contains(*score))
    {
        let expected = "numbers from 0 to 1";
        refuse(
            format!("{section}.scores"),
            format!("{label} = {score}"),
            expected,
            format!("write {label} = 0.5"),
        );
    }
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
    let scores = raw.scores.iter().flatten().map(|(label, score)| (label.clone(), *score as f32)).collect();
    let then = then.map_or(Some(None), |then| then.map(|then| Some(Arc::new(then))));
    let (rules, then) = (rules.filter(|_| is_good)?, then?);
    let (tiles, follow) = check_crops(check, section, (raw.tiles, raw.follow))?;
    Some(FrameRules { look: VisionJudge { classes, scores, tiles, follow, then, ..rules.look }, ..rules })
}

/// How a detector looks at parts of frames: at fixed ones, or where something is.
pub(super) fn check_crops(
    check: &mut Check<'_>,
    section: &str,
    (tiles, follow): (usize, usize),
) -> Option<(usize, usize)> {
    if tiles > 1 && follow > 0 {
        let expected = "nothing beside tiles = 2, which looks at all of the frame";
        let fault = Fault::new(format!("{section}.follow"), follow.to_string(), expected);
        check.faults.push(fault.remedy("take out tiles or follow"));
        return None;
    }
    Some((tiles, follow))
}

pub(super) fn check_rules(
    check: &mut Check<'_>,
    section: &str,
    (task, rule, policy): (ModelTask, Option<JudgeSettings>, EventPolicy),
    raw: &RawAsking,
    inputs: Option<Vec<InputPattern>>,
    known: &Known<'_>,
) -> Option<FrameRules> {
    let inputs = without_signals(check, section, inputs);
    let model = check_model(check, section, raw, &known.models);
    let region = check_region(check, section, &raw.region);
    let model = model?;
    let smaller = known.smaller.get(model).copied().flatten();
    let look = VisionJudge { region: region?, smaller, ..VisionJudge::of(model) };
    Some(FrameRules { inputs: inputs?, task, look, rule: rule?, policy })
}

/// Inputs of a judge over frames, or over their arrivals.
pub(super) fn without_signals(
    check: &mut Check<'_>,
    section: &str,
    inputs: Option<Vec<InputPattern>>,
) -> Option<Vec<InputPattern>> {
    if let Some(signals) = inputs.iter().flatten().find_map(|input| input.signals.as_ref()) {
        let expected = "names of sources alone: frames have no signals";
        let fault = Fault::at_text(format!("{section}.inputs"), &format!(":{signals}"), expected);
        check.faults.push(fault.remedy(format!("take \":{signals}\" off")));
        return None;
    }
    inputs
}

pub(super) fn check_model(
    check: &mut Check<'_>,
    section: &str,
    asking: &RawAsking,
    models: &[&str],
) -> Option<usize> {
    check_model_name(check, &format!("{section}.model"), asking.model.as_deref()?, models)
}

/// The position of a model of this name.
pub(super) fn check_model_name(
    check: &mut Check<'_>,
    key: &str,
    name: &str,
    models: &[&str],
) -> Option<usize> {
    let found = models.iter().position(|known| *known == name);
    if found.is_none() {
        let known: Vec<String> = models.iter().map(|known| format!("{known:?}")).collect();
        let expected = if known.is_empty() {
            "the name of a [model.NAME], of which there is none".to_owned()
        } else {
            format!("the name of a [model.NAME], here one of {}", known.join(", "))
        };
        let remedy = match nearest(name, models.iter().copied()) {
            Some(near) => format!("write model = {near:?}"),
            None => format!("add [model.{name}] with file = \"FILE.onnx\""),
        };
        check.faults.push(Fault::at_text(key, name, expected).remedy(remedy));
    }
    found
}

pub(super) fn check_region(check: &mut Check<'_>, section: &str, raw: &RawRegion) -> Option<Region> {
    let RawRegion { left, top, right, bottom } = *raw;
    let region = Region::new([left, top, right, bottom]);
    if region.is_none() {
        let value = format!("left = {left}, top = {top}, right = {right}, bottom = {bottom}");
        let expected = "left below right and top below bottom, in shares of the frame from 0 to 1";
        let remedy = "write the smaller number for left and top";
        check.faults.push(Fault::new(format!("{section}.region"), value, expected).remedy(remedy));
    }
    region
}
