//! `[judge.NAME]`: what it looks at, how it decides, what becomes of it.

mod frames;
mod learning;

use std::time::Duration;

use config::Map;
use verge_anomaly::autoencoder::AutoencoderSettings;
use verge_anomaly::{
    JudgeSettings, LoopRoles, LoopSettings, OccupancyScale, RateSettings, SettingsError, SilenceSettings,
    ThresholdSettings,
};
use verge_domain::id::{DeviceId, JudgeId, Lane, SignalId};
use verge_domain::interval::IntervalGrid;
use verge_domain::policy::EventPolicy;
use verge_domain::reading::SourceIndex;
use verge_domain::stage::Scope;
use verge_domain::verdict::{Detector, Severity};
use verge_pipeline::judging::InputPattern;
use wildmatch::WildMatch;

use super::{Check, Known};
use crate::config::{Fault, RawDetector, RawJudge, RawOccupancyUnit, RawSeverity};

pub use frames::FrameRules;

/// One judge.
#[derive(Debug, Clone)]
pub struct Judge {
    /// Its name.
    pub name: JudgeId,
    /// Patterns of device names with `*`; empty takes all.
    pub devices: Vec<WildMatch>,
    /// What it looks at, and how it decides.
    pub rules: JudgeRules,
}

/// What a judge looks at, and how it decides.
#[derive(Debug, Clone)]
pub enum JudgeRules {
    /// It looks at readings.
    Readings(ReadingRules),
    /// It looks at frames.
    Frames(FrameRules),
}

/// What a judge over readings is told.
#[derive(Debug, Clone)]
pub struct ReadingRules {
    /// What it looks at.
    pub inputs: Vec<InputPattern>,
    /// Devices that must be heard even if they never were.
    pub expect: Vec<DeviceId>,
    /// Readings of all devices are judged as of one with this name.
    pub machine: Option<DeviceId>,
    /// How it decides.
    pub rule: Rule,
    /// What becomes of it.
    pub policy: EventPolicy,
}

/// How a judge over readings decides.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// By itself.
    Plain(JudgeSettings),
    /// By a model, meant by its position among the settings' autoencoders.
    Autoencoder {
        /// How windows are made, and how often it may alarm.
        settings: AutoencoderSettings,
        /// Which model.
        model: usize,
    },
}

impl Rule {
    /// The detector's name.
    #[must_use]
    pub const fn detector(&self) -> Detector {
        match self {
            Self::Plain(settings) => settings.detector(),
            Self::Autoencoder { .. } => Detector::Autoencoder,
        }
    }

    /// What one instance watches.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        match self {
            Self::Plain(settings) => settings.scope(),
            Self::Autoencoder { .. } => Scope::Signal,
        }
    }
}

impl Judge {
    /// Its detector.
    #[must_use]
    pub const fn detector(&self) -> Detector {
        match &self.rules {
            JudgeRules::Readings(rules) => rules.rule.detector(),
            JudgeRules::Frames(rules) => rules.detector,
        }
    }
}

pub(super) fn check_all(check: &mut Check<'_>, raw: &Map<String, RawJudge>, known: &Known<'_>) -> Vec<Judge> {
    raw.iter().filter_map(|(name, judge)| check_one(check, name, judge, known)).collect()
}

fn check_one(check: &mut Check<'_>, name: &str, raw: &RawJudge, known: &Known<'_>) -> Option<Judge> {
    let section = format!("judge.{name}");
    let at = |key: &str| format!("{section}.{key}");
    let sees = raw.detector.sees_frames();
    let texts = raw.inputs.as_deref().unwrap_or_default();
    let inputs: Vec<Option<InputPattern>> =
        texts.iter().map(|text| check_input(check, &at("inputs"), text, sees, known)).collect();
    let id = check.keep(&section, name, JudgeId::new(name));
    let inputs = inputs.into_iter().collect::<Option<Vec<_>>>();
    let rules = match raw.detector {
        RawDetector::Classify => {
            frames::check_rules(check, &section, Detector::Classify, raw, inputs?, known)
                .map(JudgeRules::Frames)
        }
        RawDetector::Detect => frames::check_rules(check, &section, Detector::Detect, raw, inputs?, known)
            .map(JudgeRules::Frames),
        RawDetector::Threshold => {
            let made = ThresholdSettings::new(raw.above, raw.clear_below, raw.below, raw.clear_above);
            let rule = fitting(check, &section, made).map(JudgeSettings::Threshold);
            reading_rules(check, &section, raw, inputs, rule.map(Rule::Plain))
        }
        RawDetector::Rate => {
            let rule = check_rate(check, &section, raw);
            reading_rules(check, &section, raw, inputs, rule.map(Rule::Plain))
        }
        RawDetector::Silence => {
            let rule = SilenceSettings::new(raw.after?.0);
            let rule = fitting(check, &section, rule).map(JudgeSettings::Silence);
            reading_rules(check, &section, raw, inputs, rule.map(Rule::Plain))
        }
        RawDetector::Loop => {
            let rule = check_loop(check, &section, raw);
            reading_rules(check, &section, raw, inputs, rule.map(Rule::Plain))
        }
        RawDetector::Autoencoder => {
            let rule = learning::check_autoencoder(check, &section, raw, known);
            reading_rules(check, &section, raw, inputs, rule)
        }
        RawDetector::Auto
        | RawDetector::Multi
        | RawDetector::Pattern
        | RawDetector::Vibration
        | RawDetector::Cusum
        | RawDetector::Health => {
            let rule = learning::check_rule(check, &section, raw);
            reading_rules(check, &section, raw, inputs, rule.map(Rule::Plain))
        }
    };
    let devices = raw.devices.iter().flatten().map(|pattern| WildMatch::new(pattern)).collect();
    Some(Judge { name: id?, devices, rules: rules? })
}

fn reading_rules(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawJudge,
    inputs: Option<Vec<InputPattern>>,
    rule: Option<Rule>,
) -> Option<JudgeRules> {
    let expect: Vec<Option<DeviceId>> = raw
        .expect
        .iter()
        .flatten()
        .map(|device| check.keep(&format!("{section}.expect"), device, DeviceId::new(device)))
        .collect();
    Some(JudgeRules::Readings(ReadingRules {
        inputs: inputs?,
        expect: expect.into_iter().collect::<Option<_>>()?,
        machine: match &raw.machine {
            Some(name) => Some(check.keep(&format!("{section}.machine"), name, DeviceId::new(name))?),
            None => None,
        },
        rule: rule?,
        policy: policy(raw),
    }))
}

/// `sees_frames` says what the judge's detector looks at.
fn check_input(
    check: &mut Check<'_>,
    key: &str,
    text: &str,
    sees_frames: bool,
    known: &Known<'_>,
) -> Option<InputPattern> {
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
    let Some(position) = known.sources.iter().position(|(known, _)| *known == source) else {
        let names: Vec<String> = known.sources.iter().map(|(known, _)| format!("{known:?}")).collect();
        let expected = format!("the name of a [source.NAME], here one of {}", names.join(", "));
        check.faults.push(Fault::at_text(key, text, expected));
        return None;
    };
    let expected = match (sees_frames, known.sources[position].1) {
        (true, Some(false)) => {
            Some("a source of frames (codec jpeg, jpeg_b64 or json_image) for this detector")
        }
        (false, Some(true)) => {
            Some("a source of readings for this detector; classify and detect look at frames")
        }
        _ => None,
    };
    if let Some(expected) = expected {
        check.faults.push(Fault::at_text(key, text, expected));
        return None;
    }
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

fn check_rate(check: &mut Check<'_>, section: &str, raw: &RawJudge) -> Option<JudgeSettings> {
    // Limits are written per minute or hour where that is how people think; the detector counts in seconds.
    let per = raw.per?.0.as_secs_f64();
    let each_second = |limit: Option<f64>| limit.map(|limit| limit / per);
    let (rise, fall) = (each_second(raw.rise_above), each_second(raw.fall_above));
    let made = RateSettings::new(rise, fall, raw.window?.0, raw.hysteresis?);
    fitting(check, section, made).map(JudgeSettings::Rate)
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

impl RawDetector {
    const fn sees_frames(self) -> bool {
        match self {
            Self::Threshold
            | Self::Rate
            | Self::Silence
            | Self::Loop
            | Self::Auto
            | Self::Multi
            | Self::Pattern
            | Self::Vibration
            | Self::Cusum
            | Self::Health
            | Self::Autoencoder => false,
            Self::Classify | Self::Detect => true,
        }
    }
}
