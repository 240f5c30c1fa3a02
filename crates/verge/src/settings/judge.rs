//! `[judge.NAME]`: what it looks at, how it decides, what becomes of it.

use std::time::Duration;

use config::Map;
use verge_anomaly::{
    JudgeSettings, LoopRoles, LoopSettings, OccupancyScale, RateSettings, SettingsError, SilenceSettings,
    ThresholdSettings,
};
use verge_domain::id::{DeviceId, JudgeId, Lane, SignalId};
use verge_domain::interval::IntervalGrid;
use verge_domain::policy::EventPolicy;
use verge_domain::reading::SourceIndex;
use verge_domain::verdict::Severity;
use verge_pipeline::judging::InputPattern;
use wildmatch::WildMatch;

use super::Check;
use crate::config::{Fault, RawDetector, RawJudge, RawOccupancyUnit, RawSeverity};

/// One judge.
#[derive(Debug, Clone)]
pub struct Judge {
    /// Its name.
    pub name: JudgeId,
    /// What it looks at.
    pub inputs: Vec<InputPattern>,
    /// Patterns of device names with `*`; empty takes all.
    pub devices: Vec<WildMatch>,
    /// Devices that must be heard even if they never were.
    pub expect: Vec<DeviceId>,
    /// How it decides.
    pub rule: JudgeSettings,
    /// What becomes of it.
    pub policy: EventPolicy,
}

pub(super) fn check_all(check: &mut Check<'_>, raw: &Map<String, RawJudge>, sources: &[&str]) -> Vec<Judge> {
    raw.iter().filter_map(|(name, judge)| check_one(check, name, judge, sources)).collect()
}

fn check_one(check: &mut Check<'_>, name: &str, raw: &RawJudge, sources: &[&str]) -> Option<Judge> {
    let section = format!("judge.{name}");
    let at = |key: &str| format!("{section}.{key}");
    let texts = raw.inputs.as_deref().unwrap_or_default();
    let inputs: Vec<Option<InputPattern>> =
        texts.iter().map(|text| check_input(check, &at("inputs"), text, sources)).collect();
    let expect: Vec<Option<DeviceId>> = raw
        .expect
        .iter()
        .flatten()
        .map(|device| check.keep(&at("expect"), device, DeviceId::new(device)))
        .collect();
    let rule = raw.detector.and_then(|detector| check_detector(check, &section, detector, raw));
    let id = check.keep(&section, name, JudgeId::new(name));
    Some(Judge {
        name: id?,
        inputs: inputs.into_iter().collect::<Option<_>>()?,
        devices: raw.devices.iter().flatten().map(|pattern| WildMatch::new(pattern)).collect(),
        expect: expect.into_iter().collect::<Option<_>>()?,
        rule: rule?,
        policy: policy(raw),
    })
}

fn check_input(check: &mut Check<'_>, key: &str, text: &str, sources: &[&str]) -> Option<InputPattern> {
    let (source, signals) = match text.split_once(':') {
        Some((source, signals)) => (source, Some(signals)),
        None => (text, None),
    };
    if signals.is_some_and(str::is_empty) {
        check.faults.push(Fault::at_text(
            key,
            text,
            "a pattern of signals after \":\", such as \"pump:vib*\"",
        ));
        return None;
    }
    let Some(position) = sources.iter().position(|known| *known == source) else {
        let known: Vec<String> = sources.iter().map(|known| format!("{known:?}")).collect();
        let expected = format!("the name of a [source.NAME], here one of {}", known.join(", "));
        check.faults.push(Fault::at_text(key, text, expected));
        return None;
    };
    // More sources than indices is a fault of its own.
    let source = SourceIndex(u16::try_from(position).ok()?);
    Some(InputPattern { source, signals: signals.map(WildMatch::new) })
}

fn policy(raw: &RawJudge) -> EventPolicy {
    let severity = match raw.severity {
        RawSeverity::Info => Severity::Info,
        RawSeverity::Warning => Severity::Warning,
        RawSeverity::Critical => Severity::Critical,
    };
    EventPolicy {
        severity,
        lane: raw.lane.map_or_else(|| EventPolicy::lane_for(severity), Lane::from),
        raise_after: raw.raise_after.map_or(Duration::ZERO, |span| span.0),
        clear_after: raw.clear_after.map_or(Duration::ZERO, |span| span.0),
        update_every: raw.update_every.and_then(|span| span.0),
    }
}

fn check_detector(
    check: &mut Check<'_>,
    section: &str,
    detector: RawDetector,
    raw: &RawJudge,
) -> Option<JudgeSettings> {
    let made = match detector {
        RawDetector::Threshold => {
            ThresholdSettings::new(raw.above, raw.clear_below, raw.below, raw.clear_above)
                .map(JudgeSettings::Threshold)
        }
        RawDetector::Rate => {
            // Limits are written per minute or hour where that is how people think; the detector counts in seconds.
            let per = raw.per?.0.as_secs_f64();
            let each_second = |limit: Option<f64>| limit.map(|limit| limit / per);
            RateSettings::new(
                each_second(raw.rise_above),
                each_second(raw.fall_above),
                raw.window?.0,
                raw.hysteresis?,
            )
            .map(JudgeSettings::Rate)
        }
        RawDetector::Silence => SilenceSettings::new(raw.after?.0).map(JudgeSettings::Silence),
        RawDetector::Loop => return check_loop(check, section, raw),
    };
    fitting(check, section, made)
}

fn fitting<T>(check: &mut Check<'_>, section: &str, made: Result<T, SettingsError>) -> Option<T> {
    made.map_err(|error| {
        check.faults.push(Fault::new(section, "limits that do not fit together", format!("others: {error}")));
    })
    .ok()
}

fn check_loop(check: &mut Check<'_>, section: &str, raw: &RawJudge) -> Option<JudgeSettings> {
    let at = |key: &str| format!("{section}.{key}");
    let interval = raw.interval?;
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
    let scale = match raw.occupancy_unit? {
        RawOccupancyUnit::Percent => OccupancyScale::Percent,
        RawOccupancyUnit::Fraction => OccupancyScale::Fraction,
    };
    fitting(check, section, LoopSettings::new(grid?, roles, scale, raw.effective_length, raw.max_gap?.0))
        .map(JudgeSettings::Loop)
}
