//! Detectors that learn, the rule that can, and the health of sensors.

use verge_anomaly::alarm::AlarmSettings;
use verge_anomaly::auto::AutoSettings;
use verge_anomaly::autoencoder::AutoencoderSettings;
use verge_anomaly::budget::AlarmBudget;
use verge_anomaly::multi::MultiSettings;
use verge_anomaly::vibration::VibrationSettings;
use verge_anomaly::{CusumSettings, HealthSettings, JudgeSettings, PatternSettings, SettingsError};

use verge_domain::finding::Member;
use verge_vision::preprocess::Region;

use super::Rule;
use super::frames::{check_model, check_region};
use super::limits::fitting;
use crate::config::{ALARM_BUDGET, Fault, Frequency, RawCause, RawDetector, RawJudge, frequency};
use crate::settings::{Check, Known};

pub(super) fn check_rule(check: &mut Check<'_>, section: &str, raw: &RawJudge) -> Option<JudgeSettings> {
    let made = match raw.detector {
        RawDetector::Auto => {
            let alarms = check_alarms(check, section, raw)?;
            AutoSettings::new(alarms, raw.resolution).map(JudgeSettings::Auto)
        }
        RawDetector::Multi => {
            let alarms = check_alarms(check, section, raw)?;
            MultiSettings::new(raw.commissioning?, alarms).map(JudgeSettings::Multi)
        }
        RawDetector::Pattern => {
            let alarms = check_alarms(check, section, raw)?;
            PatternSettings::new(raw.shape?).map(|shapes| JudgeSettings::Pattern(shapes, alarms))
        }
        RawDetector::Vibration => {
            let alarms = check_alarms(check, section, raw);
            let vibration = fitting(check, section, vibration(raw)?);
            Ok(JudgeSettings::Vibration(vibration?, alarms?))
        }
        RawDetector::Cusum => CusumSettings::new(
            raw.target,
            raw.sigma,
            raw.learn?,
            raw.slack?,
            raw.limit?,
            raw.hysteresis?,
            raw.reset?,
        )
        .map(JudgeSettings::Cusum),
        RawDetector::Health => {
            let causes: Vec<Member> = raw.causes.iter().flatten().map(|cause| Member::from(*cause)).collect();
            HealthSettings::new(&causes, raw.patience?).map(JudgeSettings::Health)
        }
        RawDetector::Threshold
        | RawDetector::Rate
        | RawDetector::Silence
        | RawDetector::Loop
        | RawDetector::Classify
        | RawDetector::Detect
        | RawDetector::Autoencoder => unreachable!("checked by its own module"),
    };
    fitting(check, section, made)
}

impl From<RawCause> for Member {
    fn from(cause: RawCause) -> Self {
        match cause {
            RawCause::Stuck => Self::Stuck,
            RawCause::Flat => Self::Flat,
            RawCause::Noisy => Self::Noisy,
            RawCause::Saturated => Self::Saturated,
            RawCause::Silent => Self::Silent,
            RawCause::ClockSkewed => Self::ClockSkewed,
            RawCause::Duplicate => Self::Duplicate,
        }
    }
}

fn vibration(raw: &RawJudge) -> Option<Result<VibrationSettings, SettingsError>> {
    /// Blocks that are remembered, unless more are learnt from.
    const MEMORY: u64 = 50_000;
    let learn = raw.learn? as u64;
    let made = VibrationSettings::new(raw.sample_rate?, raw.analysis_rate, raw.block?);
    Some(made.and_then(|made| made.with_learning(learn, MEMORY.max(2 * learn))))
}

/// A judge of what a model observes in frames.
pub(super) fn check_reconstruction(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawJudge,
) -> Option<JudgeSettings> {
    if let Some(stride) = raw.stride {
        let expected = "nothing: each frame is a window of its own";
        let fault = Fault::new(format!("{section}.stride"), stride.to_string(), expected);
        check.faults.push(fault.remedy("take the line out"));
    }
    check_alarms(check, section, raw).map(JudgeSettings::Reconstruction)
}

/// A judge of readings that asks a model.
pub(super) fn check_autoencoder(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawJudge,
    known: &Known<'_>,
) -> Option<Rule> {
    let region = raw.region.and_then(|region| check_region(check, &format!("{section}.region"), region));
    if region.is_some_and(|region| region != Region::WHOLE) {
        let expected = "nothing: readings have no regions";
        let fault = Fault::new(format!("{section}.region"), "a part of a frame", expected);
        check.faults.push(fault.remedy("take it out"));
    }
    let model = raw
        .model
        .as_deref()
        .and_then(|name| check_model(check, &format!("{section}.model"), name, &known.autoencoders));
    let alarms = check_alarms(check, section, raw)?;
    let settings = fitting(check, section, AutoencoderSettings::new(raw.stride, alarms))?;
    Some(Rule::Autoencoder { settings, model: model? })
}

pub(super) fn check_alarms(check: &mut Check<'_>, section: &str, raw: &RawJudge) -> Option<AlarmSettings> {
    let text = raw.alarm_budget.as_deref()?;
    let budget = Frequency::parse(text).and_then(|found| AlarmBudget::new(found.count, found.span).ok());
    if budget.is_none() {
        let meant = frequency(text).unwrap_or_else(|| "1/week".to_owned());
        let fault = Fault::at_text(format!("{section}.alarm_budget"), text, ALARM_BUDGET);
        check.faults.push(fault.remedy(format!("write alarm_budget = {meant:?}")));
    }
    fitting(check, section, AlarmSettings::new(Some(budget?), raw.hold_off?))
}
