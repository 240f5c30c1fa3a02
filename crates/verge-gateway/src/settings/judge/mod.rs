//! `[judge.NAME]`: what it looks at, how it decides, what becomes of it.

mod cascade;
mod forecast;
mod frames;
mod inputs;
mod limits;
mod measures;
mod places;
mod policy;
mod rules;
mod settable;
mod states;
pub(super) mod track;

use verge_anomaly::alarm::AlarmSettings;
use verge_anomaly::autoencoder::AutoencoderSettings;
use verge_anomaly::{CameraHealthSettings, JudgeSettings};
use verge_domain::id::{DeviceId, JudgeId};
use verge_domain::policy::EventPolicy;
use verge_domain::settable::SettableLimit;
use verge_domain::stage::Scope;
use verge_domain::verdict::Detector;
use verge_models::ModelFiles;
use verge_models::card::ModelTask;
use verge_pipeline::judging::{InputPattern, StateRules};
use verge_scene::SceneSettings;
use verge_vision::VisionJudge;
use wildmatch::WildMatch;

use super::{Check, Settings};
use crate::config::{Map, RawDetector, RawJudge};
pub use frames::FrameRules;
use inputs::InputKind;
pub(super) use inputs::Known;
pub(super) use settable::limit_of;
pub use track::TrackRules;

/// One judge.
#[derive(Debug, Clone)]
pub struct JudgeSection {
    /// Its name.
    pub name: JudgeId,
    /// Patterns of device names with `*`; empty takes all.
    pub devices: Vec<WildMatch>,
    /// How the state of a machine decides about it.
    pub states: StateRules,
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

/// How a judge over readings is set.
#[derive(Debug, Clone)]
pub struct ReadingRules {
    /// What it looks at.
    pub inputs: Vec<InputPattern>,
    /// Devices that must send readings even if none came so far.
    pub expect: Vec<DeviceId>,
    /// Readings of all devices are judged as of one with this name.
    pub machine: Option<DeviceId>,
    /// How it decides.
    pub rule: Rule,
    /// What becomes of it.
    pub policy: EventPolicy,
    /// It judges when the frames of cameras arrive, as if that were readings.
    pub arrivals: bool,
    /// Limits that operators may move.
    pub settable: Vec<SettableLimit>,
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

    /// How often it may alarm, where it learns what is usual.
    #[must_use]
    pub const fn alarms(&self) -> Option<&AlarmSettings> {
        match self {
            Self::Plain(settings) => settings.alarms(),
            Self::Autoencoder { settings, .. } => Some(settings.alarms()),
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

impl JudgeSection {
    /// Its detector.
    #[must_use]
    pub const fn detector(&self) -> Detector {
        match &self.rules {
            JudgeRules::Readings(rules) => rules.rule.detector(),
            JudgeRules::Frames(rules) => rules.rule.detector(),
        }
    }

    /// What becomes of what it finds.
    #[must_use]
    pub const fn policy(&self) -> &EventPolicy {
        match &self.rules {
            JudgeRules::Readings(rules) => &rules.policy,
            JudgeRules::Frames(rules) => &rules.policy,
        }
    }

    /// How often it may alarm, where it learns what is usual.
    #[must_use]
    pub const fn alarms(&self) -> Option<&AlarmSettings> {
        match &self.rules {
            JudgeRules::Readings(rules) => rules.rule.alarms(),
            JudgeRules::Frames(rules) => rules.rule.alarms(),
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

    /// What it counts, if it follows objects.
    #[must_use]
    pub fn scene(&self) -> Option<&SceneSettings> {
        match &self.frames()?.rule {
            JudgeSettings::Track(settings) => Some(settings.scene()),
            _ => None,
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

    /// The model that it asks.
    #[must_use]
    pub fn model<'a>(&self, settings: &'a Settings) -> Option<&'a ModelFiles> {
        match &self.rules {
            JudgeRules::Frames(rules) => settings.models.get(rules.look.model),
            JudgeRules::Readings(ReadingRules { rule: Rule::Autoencoder { model, .. }, .. }) => {
                settings.autoencoders.get(*model)
            }
            JudgeRules::Readings(_) => None,
        }
    }

    /// Whether it judges cameras by what their frames say of them.
    #[must_use]
    pub fn looks(&self) -> bool {
        match &self.rules {
            JudgeRules::Readings(_) => self.of_cameras().is_some_and(CameraHealthSettings::looks),
            // What a blind camera does not see is unknown.
            JudgeRules::Frames(rules) => matches!(rules.rule, JudgeSettings::Track(_)),
        }
    }

    /// Whether it counts what crosses lines.
    #[must_use]
    pub fn has_lines(&self) -> bool {
        let rules = self.frames();
        rules.is_some_and(|rules| match &rules.rule {
            JudgeSettings::Track(track) => !track.scene().lines().is_empty(),
            _ => false,
        })
    }

    /// What of the health of cameras it watches beside their silence, if it does.
    #[must_use]
    pub fn of_cameras(&self) -> Option<&CameraHealthSettings> {
        match &self.readings()?.rule {
            Rule::Plain(JudgeSettings::Camera(settings)) => Some(settings),
            Rule::Plain(_) | Rule::Autoencoder { .. } => None,
        }
    }

    /// Whether it judges when the frames of cameras arrive.
    #[must_use]
    pub fn watches_arrivals(&self) -> bool {
        self.readings().is_some_and(|rules| rules.arrivals)
    }
}

pub(super) fn check_all(check: &mut Check<'_>, raw: &Map<RawJudge>, known: &Known<'_>) -> Vec<JudgeSection> {
    let judges: Vec<_> =
        raw.iter().filter_map(|(name, judge)| check_one(check, name, judge, known)).collect();
    measures::check_all(check, raw, &judges, known);
    judges
}

fn check_one(check: &mut Check<'_>, name: &str, raw: &RawJudge, known: &Known<'_>) -> Option<JudgeSection> {
    let section = format!("judge.{name}");
    let input_kind = InputKind::of(raw, known);
    let inputs = inputs::check_inputs(check, &section, raw, input_kind, known);
    let id = check.keep(&section, name, JudgeId::new(name));
    let states = states::check_states(check, &section, raw, known);
    let detector = raw.detector.as_ref()?;
    let policy = policy::check_policy(check, &section, raw.lane, detector)?;
    let over_frames = input_kind == InputKind::FramesAsTheFirst;
    let plain = |inputs, rule: Option<JudgeSettings>| reading_rules(inputs, rule.map(Rule::Plain), policy);
    let rules = match detector {
        RawDetector::Classify(raw) => {
            let of = (Detector::Classify, ModelTask::Classify, raw.top);
            frames::check_views(check, &section, of, &raw.views, policy, inputs, known)
                .map(JudgeRules::Frames)
        }
        RawDetector::Detect(raw) => {
            let of = (Detector::Detect, ModelTask::Detect, 0);
            let rules = frames::check_views(check, &section, of, &raw.views, policy, inputs, known);
            frames::check_classes(check, &section, raw, (rules, &known.models)).map(JudgeRules::Frames)
        }
        RawDetector::Anomaly(raw) => {
            let rule = rules::check_alarms(check, &section, &raw.alarms).map(JudgeSettings::Appearance);
            let of = (ModelTask::Anomaly, rule, policy);
            let rules = frames::check_rules(check, &section, of, &raw.asking, inputs, known);
            #[expect(clippy::cast_possible_truncation, reason = "maps are of single precision")]
            let score = raw.map_above.map(|least| least as f32);
            rules.map(|rules| {
                JudgeRules::Frames(FrameRules { look: VisionJudge { score, ..rules.look }, ..rules })
            })
        }
        RawDetector::Track(raw) => {
            track::check_track(check, (&section, id.as_ref()), raw, policy, inputs, known)
                .map(JudgeRules::Frames)
        }
        RawDetector::Autoencoder(raw) if over_frames => {
            let rule = rules::check_reconstruction(check, &section, raw);
            let of = (ModelTask::Reconstruct, rule, policy);
            frames::check_rules(check, &section, of, &raw.asking, inputs, known).map(JudgeRules::Frames)
        }
        RawDetector::Autoencoder(raw) => {
            let rule = rules::check_autoencoder(check, &section, raw, input_kind, known);
            reading_rules(inputs, rule, policy).map(JudgeRules::Readings)
        }
        RawDetector::Silence(raw) => {
            let rule = rules::check_silence(check, &section, raw);
            let expect = check_devices(check, &section, "expect", raw.expect.as_deref().unwrap_or_default());
            let inputs = if over_frames { frames::without_signals(check, &section, inputs) } else { inputs };
            plain(inputs, rule).zip(expect).map(|(rules, expect)| {
                JudgeRules::Readings(ReadingRules { expect, arrivals: over_frames, ..rules })
            })
        }
        RawDetector::Health(raw) => {
            let one_state = states.as_ref().is_some_and(|states| *states != StateRules::NONE);
            let rule = rules::check_health(check, &section, raw, over_frames, one_state);
            let inputs = if over_frames { frames::without_signals(check, &section, inputs) } else { inputs };
            plain(inputs, rule)
                .map(|rules| JudgeRules::Readings(ReadingRules { arrivals: over_frames, ..rules }))
        }
        RawDetector::Multi(raw) => {
            let rule = rules::check_multi(check, &section, raw);
            let machine = check_devices(check, &section, "machine", raw.machine.as_slice());
            let machine = machine?.pop();
            plain(inputs, rule).map(|rules| JudgeRules::Readings(ReadingRules { machine, ..rules }))
        }
        RawDetector::Loop(raw) => {
            let rule = rules::check_loop(check, &section, raw);
            inputs::warn_of_fields(check, &section, raw, inputs.as_deref().unwrap_or_default(), known);
            plain(inputs, rule).map(JudgeRules::Readings)
        }
        RawDetector::Threshold(raw) => {
            let rule = rules::check_threshold(check, &section, raw);
            let settable = settable::check_settable(check, &section, raw, rule.as_ref());
            let rules = plain(inputs, rule).zip(settable);
            rules.map(|(rules, settable)| JudgeRules::Readings(ReadingRules { settable, ..rules }))
        }
        RawDetector::Rate(raw) => {
            plain(inputs, rules::check_rate(check, &section, raw)).map(JudgeRules::Readings)
        }
        RawDetector::Auto(raw) => {
            plain(inputs, rules::check_auto(check, &section, raw)).map(JudgeRules::Readings)
        }
        RawDetector::Pattern(raw) => {
            plain(inputs, rules::check_pattern(check, &section, raw)).map(JudgeRules::Readings)
        }
        RawDetector::Vibration(raw) => {
            plain(inputs, rules::check_vibration(check, &section, raw)).map(JudgeRules::Readings)
        }
        RawDetector::Cusum(raw) => {
            plain(inputs, rules::check_cusum(check, &section, raw)).map(JudgeRules::Readings)
        }
    };
    let devices = raw.devices.iter().flatten().map(|pattern| WildMatch::new(pattern)).collect();
    Some(JudgeSection { name: id?, devices, states: states?, rules: rules? })
}

fn reading_rules(
    inputs: Option<Vec<InputPattern>>,
    rule: Option<Rule>,
    policy: EventPolicy,
) -> Option<ReadingRules> {
    let (inputs, rule) = (inputs?, rule?);
    let (expect, settable) = (Vec::new(), Vec::new());
    Some(ReadingRules { inputs, expect, machine: None, rule, policy, arrivals: false, settable })
}

/// Names of devices; `None` where one cannot be a name.
fn check_devices(check: &mut Check<'_>, section: &str, key: &str, names: &[String]) -> Option<Vec<DeviceId>> {
    let key = format!("{section}.{key}");
    let devices: Vec<_> = names.iter().map(|name| check.keep(&key, name, DeviceId::new(name))).collect();
    devices.into_iter().collect()
}
