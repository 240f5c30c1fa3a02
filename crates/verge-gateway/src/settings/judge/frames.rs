//! Judges over frames: which model looks at which part of which cameras' frames, and what is reported.

use verge_anomaly::{JudgeSettings, ReportPolicy};
use verge_domain::policy::EventPolicy;
use verge_domain::verdict::Detector;
use verge_models::card::ModelTask;
use verge_pipeline::judging::InputPattern;
use verge_vision::VisionJudge;
use verge_vision::preprocess::Region;

use super::inputs::Known;
use crate::config::{Fault, RawAsking, RawRegion, RawReport, RawViews, nearest};
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
    Some(FrameRules { look: VisionJudge { top, score: raw.score, labels, ..rules.look }, ..rules })
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
    let look = VisionJudge { model: model?, region: region?, top: 0, score: None, labels: Vec::new() };
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
    let name = asking.model.as_deref()?;
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
        check.faults.push(Fault::at_text(format!("{section}.model"), name, expected).remedy(remedy));
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
