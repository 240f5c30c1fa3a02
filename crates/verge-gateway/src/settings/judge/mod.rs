//! `[judge.NAME]`: what it looks at, how it decides, what becomes of it.

mod frames;
mod learning;
mod limits;

use std::time::Duration;

use config::Map;
use verge_anomaly::autoencoder::AutoencoderSettings;
use verge_anomaly::{JudgeSettings, LoopRoles, LoopSettings, OccupancyScale, RateSettings, SilenceSettings};
use verge_domain::id::{DeviceId, JudgeId, Lane, SignalId};
use verge_domain::interval::IntervalGrid;
use verge_domain::policy::EventPolicy;
use verge_domain::reading::SourceIndex;
use verge_domain::stage::Scope;
use verge_domain::verdict::{Detector, Severity};
use verge_models::card::ModelTask;
use verge_pipeline::judging::InputPattern;
use wildmatch::WildMatch;

use super::{Check, Known, KnownSource};
use crate::config::{Fault, RawDetector, RawJudge, RawOccupancyUnit, RawSeverity, UNNAMED, Warning, nearest};
use limits::fitting;

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
    /// It judges when the frames of cameras arrive, as if that were readings.
    pub arrivals: bool,
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
            JudgeRules::Frames(rules) => rules.rule.detector(),
        }
    }

    /// How it looks at frames, if it does.
    #[must_use]
    pub const fn frames(&self) -> Option<&FrameRules> {
        match &self.rules {
            JudgeRules::Frames(rules) => Some(rules),
            JudgeRules::Readings(_) => None,
        }
    }

    /// How it judges readings, if it does.
    #[must_use]
    pub const fn readings(&self) -> Option<&ReadingRules> {
        match &self.rules {
            JudgeRules::Readings(rules) => Some(rules),
            JudgeRules::Frames(_) => None,
        }
    }

    /// Whether it judges when the frames of cameras arrive.
    #[must_use]
    pub fn watches_arrivals(&self) -> bool {
        self.readings().is_some_and(|rules| rules.arrivals)
    }
}

pub(super) fn check_all(check: &mut Check<'_>, raw: &Map<String, RawJudge>, known: &Known<'_>) -> Vec<Judge> {
    raw.iter().filter_map(|(name, judge)| check_one(check, name, judge, known)).collect()
}

fn check_one(check: &mut Check<'_>, name: &str, raw: &RawJudge, known: &Known<'_>) -> Option<Judge> {
    let section = format!("judge.{name}");
    let at = |key: &str| format!("{section}.{key}");
    let sees = Sees::of(raw, &known.sources);
    let texts = raw.inputs.as_deref().unwrap_or_default();
    let inputs: Vec<Option<Vec<InputPattern>>> =
        texts.iter().map(|text| check_input(check, &at("inputs"), text, sees, known)).collect();
    let id = check.keep(&section, name, JudgeId::new(name));
    let inputs = inputs.into_iter().collect::<Option<Vec<_>>>().map(|inputs| inputs.concat());
    let rules = match raw.detector {
        RawDetector::Classify => {
            let of = (Detector::Classify, ModelTask::Classify);
            frames::check_rules(check, &section, of, raw, inputs, known).map(JudgeRules::Frames)
        }
        RawDetector::Detect => {
            let of = (Detector::Detect, ModelTask::Detect);
            frames::check_rules(check, &section, of, raw, inputs, known).map(JudgeRules::Frames)
        }
        _ if sees == Sees::Unknown => {
            learning::check_alarms(check, &section, raw);
            None
        }
        RawDetector::Autoencoder if sees == Sees::FramesAsTheFirst => {
            let of = (Detector::Autoencoder, ModelTask::Reconstruct);
            frames::check_rules(check, &section, of, raw, inputs, known).map(JudgeRules::Frames)
        }
        RawDetector::Silence | RawDetector::Health if sees == Sees::FramesAsTheFirst => {
            frames::check_arrivals(check, &section, raw, inputs).map(JudgeRules::Readings)
        }
        RawDetector::Threshold => {
            let rule = limits::threshold(check, &section, raw).map(JudgeSettings::Threshold);
            reading_rules(check, &section, raw, inputs, rule.map(Rule::Plain)).map(JudgeRules::Readings)
        }
        RawDetector::Rate => {
            let rule = check_rate(check, &section, raw);
            reading_rules(check, &section, raw, inputs, rule.map(Rule::Plain)).map(JudgeRules::Readings)
        }
        RawDetector::Silence => {
            let rule = SilenceSettings::new(raw.after?.0);
            let rule = fitting(check, &section, rule).map(JudgeSettings::Silence);
            reading_rules(check, &section, raw, inputs, rule.map(Rule::Plain)).map(JudgeRules::Readings)
        }
        RawDetector::Loop => {
            let rule = check_loop(check, &section, raw);
            if let Some(inputs) = &inputs {
                warn_of_fields(check, &section, raw, inputs, known);
            }
            reading_rules(check, &section, raw, inputs, rule.map(Rule::Plain)).map(JudgeRules::Readings)
        }
        RawDetector::Autoencoder => {
            let rule = learning::check_autoencoder(check, &section, raw, known);
            reading_rules(check, &section, raw, inputs, rule).map(JudgeRules::Readings)
        }
        RawDetector::Multi if is_of_one_signal(raw, inputs.as_deref(), known) => {
            let expected = "more than one signal: these sources have one and the same";
            let fault = Fault::new(at("inputs"), format!("{texts:?}"), expected);
            check.faults.push(fault.remedy("add a source with another signal, or write detector = \"auto\""));
            learning::check_alarms(check, &section, raw);
            None
        }
        RawDetector::Auto
        | RawDetector::Multi
        | RawDetector::Pattern
        | RawDetector::Vibration
        | RawDetector::Cusum
        | RawDetector::Health => {
            let rule = learning::check_rule(check, &section, raw);
            reading_rules(check, &section, raw, inputs, rule.map(Rule::Plain)).map(JudgeRules::Readings)
        }
    };
    let devices = raw.devices.iter().flatten().map(|pattern| WildMatch::new(pattern)).collect();
    Some(Judge { name: id?, devices, rules: rules? })
}

/// Whether a machine has one signal alone, whatever comes.
fn is_of_one_signal(raw: &RawJudge, inputs: Option<&[InputPattern]>, known: &Known<'_>) -> bool {
    let Some(inputs) = inputs else { return false };
    let signals = inputs.iter().map(|input| known.sources[usize::from(input.source.0)].signal);
    let Some(mut signals) = signals.collect::<Option<Vec<_>>>() else { return false };
    signals.sort_unstable();
    signals.dedup();
    raw.machine.is_none() && signals.len() == 1
}

fn reading_rules(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawJudge,
    inputs: Option<Vec<InputPattern>>,
    rule: Option<Rule>,
) -> Option<ReadingRules> {
    let expect: Vec<Option<DeviceId>> = raw
        .expect
        .iter()
        .flatten()
        .map(|device| check.keep(&format!("{section}.expect"), device, DeviceId::new(device)))
        .collect();
    Some(ReadingRules {
        inputs: inputs?,
        expect: expect.into_iter().collect::<Option<_>>()?,
        machine: match &raw.machine {
            Some(name) => Some(check.keep(&format!("{section}.machine"), name, DeviceId::new(name))?),
            None => None,
        },
        rule: rule?,
        policy: policy(raw),
        arrivals: false,
    })
}

/// What a judge looks at, and what says so: its detector, or else its first input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sees {
    Frames,
    Readings,
    FramesAsTheFirst,
    ReadingsAsTheFirst,
    /// The first input is at fault.
    Unknown,
}

impl Sees {
    fn of(raw: &RawJudge, sources: &[KnownSource<'_>]) -> Self {
        let first_carries_frames = || {
            let name = raw.inputs.as_deref()?.first()?.split(':').next()?;
            sources.iter().find(|source| source.name == name)?.frames
        };
        match raw.detector {
            RawDetector::Threshold
            | RawDetector::Rate
            | RawDetector::Loop
            | RawDetector::Auto
            | RawDetector::Multi
            | RawDetector::Pattern
            | RawDetector::Vibration
            | RawDetector::Cusum => Self::Readings,
            RawDetector::Classify | RawDetector::Detect => Self::Frames,
            RawDetector::Silence | RawDetector::Health | RawDetector::Autoencoder => {
                match first_carries_frames() {
                    Some(true) => Self::FramesAsTheFirst,
                    Some(false) => Self::ReadingsAsTheFirst,
                    None => Self::Unknown,
                }
            }
        }
    }
}

/// Whether a judge looks at readings.
pub(super) fn sees_readings(raw: &RawJudge, sources: &[KnownSource<'_>]) -> bool {
    matches!(Sees::of(raw, sources), Sees::Readings | Sees::ReadingsAsTheFirst)
}

fn check_input(
    check: &mut Check<'_>,
    key: &str,
    text: &str,
    sees: Sees,
    known: &Known<'_>,
) -> Option<Vec<InputPattern>> {
    let (source, signals) = match text.split_once(':') {
        Some((source, signals)) => (source, Some(signals)),
        None => (text, None),
    };
    if signals.is_some_and(str::is_empty) {
        check.faults.push(
            Fault::at_text(key, text, "a pattern of signals after \":\", such as \"pump:vib*\"")
                .remedy(format!("write {source:?} for all signals, or \"{source}:NAME\"")),
        );
        return None;
    }
    // Of [source] without a name, which is a fault already.
    if known.sources.iter().any(|known| known.name == UNNAMED) {
        return None;
    }
    let Some(position) = known.sources.iter().position(|known| known.name == source) else {
        let names: Vec<String> = known.sources.iter().map(|known| format!("{:?}", known.name)).collect();
        let expected = format!(
            "the name of a [source.NAME], here {}",
            if names.is_empty() {
                "there is none".to_owned()
            } else {
                format!("one of {}", names.join(", "))
            }
        );
        let bare = source.trim_start_matches("source.");
        let remedy = match nearest(bare, known.sources.iter().map(|known| known.name)) {
            Some(near) => format!("write {:?}", text.replacen(source, near, 1)),
            None => format!("add [source.{source}], or name another source"),
        };
        check.faults.push(Fault::at_text(key, text, expected).remedy(remedy));
        return None;
    };
    let expected = match (sees, known.sources[position].frames) {
        (Sees::Frames, Some(false)) => {
            Some("a source of frames (codec jpeg, jpeg_b64 or json_image) for this detector")
        }
        (Sees::Readings, Some(true)) => Some(
            "a source of readings for this detector; over sources of frames there are classify, detect, autoencoder, \
                 silence and health",
        ),
        (Sees::FramesAsTheFirst, Some(false)) => {
            Some("a source of frames (codec jpeg, jpeg_b64 or json_image), as the judge's first input is")
        }
        (Sees::ReadingsAsTheFirst, Some(true)) => Some("a source of readings, as the judge's first input is"),
        _ => None,
    };
    if let Some(expected) = expected {
        check.faults.push(
            Fault::at_text(key, text, expected).remedy("name another source, or write another detector"),
        );
        return None;
    }
    let pattern = signals.map(WildMatch::new);
    if let (Some(pattern), Some(only)) = (&pattern, known.sources[position].signal)
        && !pattern.matches(only)
    {
        check.faults.push(
            Fault::at_text(key, text, format!("a pattern of {only:?}, the one signal of the source"))
                .remedy(format!("write {source:?} or \"{source}:{only}\"")),
        );
        return None;
    }
    // More sources than indices is a fault of its own.
    let source = SourceIndex(u16::try_from(position).ok()?);
    let mut patterns = vec![InputPattern { source, signals: pattern }];
    if let Some(field) = signals.filter(|signals| known.sources[position].fields && !signals.contains('/')) {
        // A field alone is meant in every measurement, whatever its tags.
        for pattern in [format!("*/{field}"), format!("*/{field},*")] {
            patterns.push(InputPattern { source, signals: Some(WildMatch::new(&pattern)) });
        }
    }
    Some(patterns)
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

/// A loop's signals are meant by their whole names, which have the measurement in front where a source speaks line
/// protocol.
fn warn_of_fields(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawJudge,
    inputs: &[InputPattern],
    known: &Known<'_>,
) {
    let source = |input: &InputPattern| &known.sources[usize::from(input.source.0)];
    let Some(line) = inputs.iter().map(source).find(|source| source.fields) else { return };
    let roles = [
        ("pulses", &raw.pulses),
        ("presence", &raw.presence),
        ("occupancy", &raw.occupancy),
        ("speed", &raw.speed),
    ];
    for (key, name) in roles {
        let Some(name) = name.as_ref().filter(|name| !name.contains('/')) else { continue };
        check.warnings.push(Warning {
            key: format!("{section}.{key}"),
            remark: format!(
                "source.{} has no signal {name:?}: a field is called \"MEASUREMENT/{name}\" there, with \",TAG=VALUE\" for \
                 each tag; write that, or name signals by the field alone: source.{}.signal = \"{{field}}\"",
                line.name, line.name
            ),
        });
    }
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
