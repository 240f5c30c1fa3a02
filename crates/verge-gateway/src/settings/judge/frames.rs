//! Judges over frames: which model looks at which part of which cameras' frames, and what of it is told.

use verge_anomaly::{HealthSettings, JudgeSettings, ReportPolicy, SilenceSettings};
use verge_domain::finding::Member;
use verge_domain::policy::EventPolicy;
use verge_domain::verdict::Detector;
use verge_models::card::ModelTask;
use verge_pipeline::judging::InputPattern;
use verge_vision::VisionJudge;
use verge_vision::preprocess::Region;

use super::limits::fitting;
use super::{ReadingRules, Rule, reading_rules};
use crate::config::{Fault, RawCause, RawJudge, RawRegion, RawReport, nearest};
use crate::settings::{Check, Known};

/// What a judge over frames is told.
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

pub(super) fn check_rules(
    check: &mut Check<'_>,
    section: &str,
    (detector, task): (Detector, ModelTask),
    raw: &RawJudge,
    inputs: Option<Vec<InputPattern>>,
    known: &Known<'_>,
) -> Option<FrameRules> {
    let at = |key: &str| format!("{section}.{key}");
    let inputs = without_signals(check, section, inputs);
    let model = raw.model.as_deref().and_then(|name| check_model(check, &at("model"), name, &known.models));
    let region = raw.region.and_then(|region| check_region(check, &at("region"), region));
    let policy = super::policy(raw);
    let rule = match (task, raw.report) {
        (ModelTask::Reconstruct, _) => super::learning::check_reconstruction(check, section, raw),
        (_, None | Some(RawReport::Every)) => Some(JudgeSettings::Report(detector, ReportPolicy::Every)),
        (_, Some(RawReport::Change)) => {
            let (hold, again) = (raw.hold?.0, raw.update_every.and_then(|span| span.0));
            Some(JudgeSettings::Report(detector, ReportPolicy::Change { hold, again }))
        }
    };
    Some(FrameRules {
        inputs: inputs?,
        task,
        look: VisionJudge {
            model: model?,
            region: region?,
            top: raw.top.unwrap_or_default(),
            score: raw.score,
            labels: raw.labels.clone().unwrap_or_default(),
        },
        rule: rule?,
        policy,
    })
}

/// A judge that watches whether cameras are alive: the arrivals of their frames are its readings.
pub(super) fn check_arrivals(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawJudge,
    inputs: Option<Vec<InputPattern>>,
) -> Option<ReadingRules> {
    let made = match raw.after {
        Some(after) => SilenceSettings::new(after.0).map(JudgeSettings::Silence),
        None => {
            check_causes(check, section, raw.causes.as_deref().unwrap_or_default());
            HealthSettings::new(&[Member::Silent], raw.patience?).map(JudgeSettings::Health)
        }
    };
    let rule = fitting(check, section, made);
    let inputs = without_signals(check, section, inputs);
    let rules = reading_rules(check, section, raw, inputs, rule.map(Rule::Plain))?;
    Some(ReadingRules { arrivals: true, ..rules })
}

/// Of a camera's health, frames that do not come tell its silence alone. Without a choice all causes are meant that
/// there are.
fn check_causes(check: &mut Check<'_>, section: &str, causes: &[RawCause]) {
    let causes: Vec<Member> = causes.iter().map(|cause| Member::from(*cause)).collect();
    if causes.len() < HealthSettings::CAUSES.len() && causes.iter().any(|cause| *cause != Member::Silent) {
        let names: Vec<&str> = causes.iter().map(|cause| cause.as_str()).collect();
        let expected = "[\"silent\"] over sources of frames: the other causes are found in values";
        let fault = Fault::new(format!("{section}.causes"), format!("{names:?}"), expected);
        check.faults.push(fault.remedy("write causes = [\"silent\"], or take the line out"));
    }
}

fn without_signals(
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

pub(super) fn check_model(check: &mut Check<'_>, key: &str, name: &str, models: &[&str]) -> Option<usize> {
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

pub(super) fn check_region(check: &mut Check<'_>, key: &str, raw: RawRegion) -> Option<Region> {
    let RawRegion { left, top, right, bottom } = raw;
    let region = Region::new([left, top, right, bottom]);
    if region.is_none() {
        let value = format!("left = {left}, top = {top}, right = {right}, bottom = {bottom}");
        let expected = "left below right and top below bottom, in shares of the frame from 0 to 1";
        let remedy = "write the smaller number for left and top";
        check.faults.push(Fault::new(key, value, expected).remedy(remedy));
    }
    region
}
