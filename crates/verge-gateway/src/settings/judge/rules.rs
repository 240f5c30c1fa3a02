//! How judges over readings decide: the settings of each detector.

use std::time::Duration;

use verge_anomaly::alarm::{AlarmSettings, WhileLearning};
use verge_anomaly::auto::AutoSettings;
use verge_anomaly::autoencoder::AutoencoderSettings;
use verge_anomaly::budget::AlarmBudget;
use verge_anomaly::multi::MultiSettings;
use verge_anomaly::vibration::VibrationSettings;
use verge_anomaly::{
    CameraHealthSettings, CusumSettings, HealthSettings, JudgeSettings, LoopRoles, LoopSettings,
    PatternSettings, RateSettings, SilenceSettings, ThresholdSettings,
};
use verge_domain::finding::Member;
use verge_domain::id::SignalId;
use verge_domain::interval::IntervalGrid;
use verge_pipeline::judging::budget_text;
use verge_vision::preprocess::Region;

use super::Rule;
use super::forecast::check_forecast;
use super::frames::{check_model, check_region};
use super::inputs::{InputKind, Known};
use super::limits::fitting;
use crate::config::{
    ALARM_BUDGET, Fault, Frequency, RawAlarms, RawAuto, RawAutoencoder, RawCusum, RawHealth, RawLoop,
    RawMulti, RawPattern, RawRate, RawSilence, RawThreshold, RawVibration, Warning, frequency,
};
use crate::settings::Check;

/// Limits on both sides, each of which may be wrong in itself.
pub(super) fn check_threshold(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawThreshold,
) -> Option<JudgeSettings> {
    let (high, low) = ((raw.above, raw.clear_below), (raw.below, raw.clear_above));
    let is_given = |(raise, clear): (Option<f64>, Option<f64>)| raise.is_some() || clear.is_some();
    let mut good = true;
    if is_given(high) && is_given(low) {
        let one = fitting(check, section, ThresholdSettings::new(high.0, high.1, None, None));
        let other = fitting(check, section, ThresholdSettings::new(None, None, low.0, low.1));
        good = one.is_some() && other.is_some();
    }
    let made = || fitting(check, section, ThresholdSettings::new(high.0, high.1, low.0, low.1));
    good.then(made).flatten().map(JudgeSettings::Threshold)
}

pub(super) fn check_rate(check: &mut Check<'_>, section: &str, raw: &RawRate) -> Option<JudgeSettings> {
    // Limits are written per minute or hour where that is how people think; the detector counts in seconds.
    let per = raw.per.0.as_secs_f64();
    let each_second = |limit: Option<f64>| limit.map(|limit| limit / per);
    let (rise, fall) = (each_second(raw.rise_above), each_second(raw.fall_above));
    let made = RateSettings::new(rise, fall, raw.window.0, raw.hysteresis);
    fitting(check, section, made).map(JudgeSettings::Rate)
}

pub(super) fn check_silence(check: &mut Check<'_>, section: &str, raw: &RawSilence) -> Option<JudgeSettings> {
    fitting(check, section, SilenceSettings::new(raw.after?.0)).map(JudgeSettings::Silence)
}

/// Sensors and cameras have faults of their own, and both fall silent. Without a choice all causes are meant that there are.
pub(super) fn check_health(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawHealth,
    over_frames: bool,
    one_state: bool,
) -> Option<JudgeSettings> {
    let of_cameras = || std::iter::once(Member::Silent).chain(Member::OF_CAMERAS);
    let is_of_sensors = |cause: &Member| HealthSettings::CAUSES.contains(cause);
    let fits = |cause: &Member| {
        if over_frames { of_cameras().any(|one| one == *cause) } else { is_of_sensors(cause) }
    };
    // Whoever names all causes of a kind means all that there are.
    let all = HealthSettings::CAUSES.iter().all(|cause| raw.causes.contains(cause));
    let causes: Vec<Member> = match (all, over_frames) {
        (true, true) => of_cameras().collect(),
        (true, false) => HealthSettings::CAUSES.to_vec(),
        (false, _) => raw.causes.clone(),
    };
    if let Some(other) = causes.iter().find(|cause| !fits(cause)) {
        let expected = if over_frames {
            "causes of cameras: silent, frozen, dark, bright, blurred, covered, low_contrast, moved, flicker, size"
        } else {
            "causes of sensors: stuck, flat, noisy, saturated, silent, clock_skewed, duplicate"
        };
        let fault = Fault::at_text(format!("{section}.causes"), other.as_str(), expected);
        check.faults.push(fault.remedy(format!("take {:?} out of the list", other.as_str())));
        return None;
    }
    if over_frames && raw.while_learning != WhileLearning::Info {
        let word = if raw.while_learning == WhileLearning::Quiet { "quiet" } else { "alarm" };
        let expected = "nothing: what is wrong with a camera is never for the record alone";
        let fault = Fault::at_text(format!("{section}.while_learning"), word, expected);
        check.faults.push(fault.remedy("take the line out"));
    }
    let made = fitting(check, section, HealthSettings::new(&[Member::Silent], raw.patience))?;
    if over_frames && causes != [Member::Silent] {
        let made = fitting(check, section, CameraHealthSettings::new(&causes, raw.patience))?;
        return Some(JudgeSettings::Camera(made));
    }
    let made =
        if over_frames { made } else { fitting(check, section, HealthSettings::new(&causes, raw.patience))? };
    Some(JudgeSettings::Health(made.in_one_state(one_state).while_learning(raw.while_learning)))
}

pub(super) fn check_cusum(check: &mut Check<'_>, section: &str, raw: &RawCusum) -> Option<JudgeSettings> {
    let RawCusum { target, sigma, learn, slack, limit, hysteresis, reset, .. } = *raw;
    let made = CusumSettings::new(target, sigma, learn, slack, limit, hysteresis, reset);
    fitting(check, section, made).map(JudgeSettings::Cusum)
}

pub(super) fn check_loop(check: &mut Check<'_>, section: &str, raw: &RawLoop) -> Option<JudgeSettings> {
    let at = |key: &str| format!("{section}.{key}");
    let interval = raw.interval;
    let grid = check.keep(&at("interval"), &interval.to_string(), IntervalGrid::new(interval.0));
    let mut role = |key: &str, name: Option<&String>| match name {
        None => Ok(None),
        Some(name) => check.keep(&at(key), name, SignalId::new(name)).map(Some).ok_or(()),
    };
    let pulses = role("pulses", raw.pulses.as_ref());
    let presence = role("presence", raw.presence.as_ref());
    let occupancy = role("occupancy", raw.occupancy.as_ref());
    let speed = role("speed", raw.speed.as_ref());
    let roles = LoopRoles {
        pulses: pulses.ok()?,
        presence: presence.ok()?,
        occupancy: occupancy.ok()?,
        speed: speed.ok()?,
    };
    let (unit, length) = (raw.occupancy_unit, raw.effective_length);
    let made = LoopSettings::new(grid?, roles, unit, length, raw.max_gap.0);
    let made = made.and_then(|made| made.with_reports(raw.reports, raw.max_silence.0));
    let forecast = check_forecast(check, section, raw.forecast.as_ref(), grid?);
    let made = fitting(check, section, made)?;
    Some(JudgeSettings::Loop(made.with_forecast(forecast?)))
}

pub(super) fn check_auto(check: &mut Check<'_>, section: &str, raw: &RawAuto) -> Option<JudgeSettings> {
    let alarms = check_alarms(check, section, &raw.alarms)?;
    fitting(check, section, AutoSettings::new(alarms, raw.resolution)).map(JudgeSettings::Auto)
}

pub(super) fn check_multi(check: &mut Check<'_>, section: &str, raw: &RawMulti) -> Option<JudgeSettings> {
    let alarms = check_alarms(check, section, &raw.alarms)?;
    fitting(check, section, MultiSettings::new(raw.commissioning, alarms)).map(JudgeSettings::Multi)
}

pub(super) fn check_pattern(check: &mut Check<'_>, section: &str, raw: &RawPattern) -> Option<JudgeSettings> {
    let alarms = check_alarms(check, section, &raw.alarms)?;
    let shapes = fitting(check, section, PatternSettings::new(raw.shape?))?;
    Some(JudgeSettings::Pattern(shapes, alarms))
}

pub(super) fn check_vibration(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawVibration,
) -> Option<JudgeSettings> {
    /// Blocks that are remembered, unless more are learnt from.
    const MEMORY: u64 = 50_000;
    let alarms = check_alarms(check, section, &raw.alarms);
    let made = VibrationSettings::new(raw.sample_rate?, raw.analysis_rate, raw.block);
    let made = made.and_then(|made| made.with_learning(raw.learn, MEMORY.max(2 * raw.learn)));
    let made = JudgeSettings::Vibration(fitting(check, section, made)?, alarms?);
    // Of other detectors only a running device shows how often it sends.
    if let Some(rarest) = made.rarest(raw.sample_rate?.recip()) {
        check.warnings.push(Warning {
            key: format!("{section}.alarm_budget"),
            remark: format!(
                "{:?} can never be supported at this sample_rate with budget_of = \"signal\": what is unusual would raise no alarm; \
                 the rarest budget that works is \"{}\", or write budget_of = \"judge\", which knows no such limit",
                raw.alarms.alarm_budget,
                budget_text(rarest)
            ),
        });
    }
    Some(made)
}

/// A judge of what a model observes in frames.
pub(super) fn check_reconstruction(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawAutoencoder,
) -> Option<JudgeSettings> {
    if let Some(stride) = raw.stride {
        let expected = "nothing: each frame is a window of its own";
        let fault = Fault::new(format!("{section}.stride"), stride.to_string(), expected);
        check.faults.push(fault.remedy("take the line out"));
    }
    check_alarms(check, section, &raw.alarms).map(JudgeSettings::Reconstruction)
}

/// A judge of readings that asks a model.
pub(super) fn check_autoencoder(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawAutoencoder,
    input_kind: InputKind,
    known: &Known<'_>,
) -> Option<Rule> {
    let alarms = check_alarms(check, section, &raw.alarms);
    if input_kind == InputKind::Unknown {
        return None;
    }
    let region = check_region(check, section, &raw.asking.region);
    if region.is_some_and(|region| region != Region::WHOLE) {
        let expected = "nothing: readings have no regions";
        let fault = Fault::new(format!("{section}.region"), "a part of a frame", expected);
        check.faults.push(fault.remedy("take it out"));
    }
    let model = check_model(check, section, &raw.asking, &known.autoencoders);
    let settings = fitting(check, section, AutoencoderSettings::new(raw.stride, alarms?))?;
    Some(Rule::Autoencoder { settings, model: model? })
}

/// Longer than this no judge should learn unnoticed.
const PATIENCE: Duration = Duration::from_secs(30 * DAY_S);
const DAY_S: u64 = 86_400;

pub(super) fn check_alarms(check: &mut Check<'_>, section: &str, raw: &RawAlarms) -> Option<AlarmSettings> {
    let text = &raw.alarm_budget;
    let budget = Frequency::parse(text).and_then(|found| AlarmBudget::new(found.count, found.span).ok());
    if budget.is_none() {
        let meant = frequency(text).unwrap_or_else(|| "1/week".to_owned());
        let fault = Fault::at_text(format!("{section}.alarm_budget"), text, ALARM_BUDGET);
        check.faults.push(fault.remedy(format!("write alarm_budget = {meant:?}")));
    }
    let made = fitting(check, section, AlarmSettings::new(Some(budget?), raw.hold_off))?;
    let made = made.with(raw.budget_of, raw.while_learning);
    if let Some((learns_for, rarest)) = made.learns_longer_than(PATIENCE) {
        let (days, patience) = (learns_for.as_secs() / DAY_S, PATIENCE.as_secs() / DAY_S);
        check.warnings.push(Warning {
            key: format!("{section}.alarm_budget"),
            remark: format!(
                "{text:?} is so rare that the judge learns for {days} days before it raises alarms (while_learning says what it \
                 does until then); the rarest budget that it supports after {patience} days is \"{}\"",
                budget_text(rarest)
            ),
        });
    }
    Some(made)
}
