//! What a judge looks at: the sources and signals that its inputs name.

use verge_domain::reading::SourceIndex;
use verge_pipeline::judging::InputPattern;
use wildmatch::WildMatch;

use crate::config::{
    Fault, LINE_SIGNAL, RawCodec, RawDetector, RawJudge, RawLoop, RawSource, Sections, UNNAMED, Warning,
    nearest,
};
use crate::settings::Check;

use super::measures;

/// Names that judges may refer to.
pub(in crate::settings) struct Known<'a> {
    sources: Vec<KnownSource<'a>>,
    /// Models that look at frames.
    pub(super) models: Vec<&'a str>,
    /// Of each of these: the one that looks in its place under overload.
    pub(super) smaller: Vec<Option<usize>>,
    /// Models that judges over readings ask: none of those that look at frames.
    pub(in crate::settings) autoencoders: Vec<&'a str>,
}

/// What a judge may rely on of a source.
struct KnownSource<'a> {
    name: &'a str,
    /// Whether it carries frames, as far as that is known.
    frames: Option<bool>,
    /// The one signal of its readings, if they have no other.
    signal: Option<&'a str>,
    /// The one device of its readings, if they have no other.
    device: Option<&'a str>,
    /// Whether single values come from it, which may be states of machines.
    states: bool,
    /// Whether its signals are fields that bear the names of their measurements and tags.
    fields: bool,
}

impl<'a> Known<'a> {
    pub(in crate::settings) fn of(sections: &'a Sections) -> Self {
        let sources = sections.source.iter().map(|(name, source)| Self::source(name, source)).collect();
        let mut known = Self { sources, models: Vec::new(), smaller: Vec::new(), autoencoders: Vec::new() };
        let asked = |judge: &'a RawJudge| match &judge.detector {
            Some(RawDetector::Autoencoder(raw))
                if InputKind::of(judge, &known) == InputKind::ReadingsAsTheFirst =>
            {
                raw.asking.model.as_deref()
            }
            _ => None,
        };
        let asked: Vec<&str> = sections.judge.values().filter_map(asked).collect();
        let names = sections.model.keys().map(String::as_str);
        (known.autoencoders, known.models) = names.partition(|name| asked.contains(name));
        let smaller = |model: &&str| {
            let name = sections.model.get(*model)?.smaller.as_deref()?;
            known.models.iter().position(|known| *known == name)
        };
        known.smaller = known.models.iter().map(smaller).collect();
        known
    }

    fn source(name: &'a str, source: &'a RawSource) -> KnownSource<'a> {
        let codec = source.codec.as_ref();
        let signal = codec.and_then(RawCodec::signal);
        KnownSource {
            name,
            frames: codec.map(RawCodec::carries_frames),
            device: codec.and_then(|codec| codec.common().0?.strip_prefix("fixed:")),
            states: codec.is_none_or(|codec| {
                !codec.carries_frames() && !matches!(codec, RawCodec::SamplesF32(_) | RawCodec::SamplesI16(_))
            }),
            signal: signal.filter(|signal| !signal.starts_with("topic:") && !signal.contains(['{', '}'])),
            fields: signal == Some(LINE_SIGNAL),
        }
    }

    /// The names of all sources.
    pub(super) fn sources(&self) -> impl Iterator<Item = &'a str> {
        self.sources.iter().map(|source| source.name)
    }

    /// A source by its name, as one that may report the states of machines.
    pub(super) fn state_source(&self, name: &str) -> Option<(usize, StateSource<'a>)> {
        let position = self.sources.iter().position(|source| source.name == name)?;
        let source = &self.sources[position];
        let found =
            StateSource { has_states: source.states, only_signal: source.signal, only_device: source.device };
        Some((position, found))
    }

    /// Whether frames come from a source.
    pub(super) fn is_of_frames(&self, source: SourceIndex) -> bool {
        self.sources.get(usize::from(source.0)).is_some_and(|source| source.frames == Some(true))
    }

    fn source_of(&self, input: &InputPattern) -> &KnownSource<'a> {
        &self.sources[usize::from(input.source.0)]
    }
}

/// What is known of a source that a judge names for the state of a machine.
pub(super) struct StateSource<'a> {
    pub(super) has_states: bool,
    pub(super) only_signal: Option<&'a str>,
    pub(super) only_device: Option<&'a str>,
}

/// What a judge looks at, and what says so: its detector, or else its first input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputKind {
    Frames,
    Readings,
    FramesAsTheFirst,
    ReadingsAsTheFirst,
    /// The detector or the first input is at fault.
    Unknown,
}

impl InputKind {
    pub(super) fn of(raw: &RawJudge, known: &Known<'_>) -> Self {
        let first_carries_frames = || {
            let name = raw.inputs.as_deref()?.first()?.split(':').next()?;
            known.sources.iter().find(|source| source.name == name)?.frames
        };
        match &raw.detector {
            Some(
                RawDetector::Classify(_)
                | RawDetector::Detect(_)
                | RawDetector::Anomaly(_)
                | RawDetector::Track(_),
            ) => Self::Frames,
            Some(RawDetector::Silence(_) | RawDetector::Health(_) | RawDetector::Autoencoder(_)) => {
                match first_carries_frames() {
                    Some(true) => Self::FramesAsTheFirst,
                    Some(false) => Self::ReadingsAsTheFirst,
                    None => Self::Unknown,
                }
            }
            Some(_) => Self::Readings,
            None => Self::Unknown,
        }
    }
}

/// The inputs of a judge; `None` where one of them is at fault.
pub(super) fn check_inputs(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawJudge,
    input_kind: InputKind,
    known: &Known<'_>,
) -> Option<Vec<InputPattern>> {
    let key = format!("{section}.inputs");
    let texts = raw.inputs.as_deref().unwrap_or_default();
    let of = (input_kind, measures::can_look(raw.detector.as_ref()));
    let inputs: Vec<_> = texts.iter().map(|text| check_input(check, &key, text, of, known)).collect();
    let inputs = inputs.into_iter().collect::<Option<Vec<_>>>()?.concat();
    if matches!(&raw.detector, Some(RawDetector::Multi(multi)) if multi.machine.is_none())
        && is_of_one_signal(&inputs, known)
    {
        let expected = "more than one signal: these sources have one and the same";
        let fault = Fault::new(key, format!("{texts:?}"), expected);
        check.faults.push(fault.remedy("add a source with another signal, or write detector = \"auto\""));
        return None;
    }
    Some(inputs)
}

/// Whether a machine has one signal alone, whatever comes.
fn is_of_one_signal(inputs: &[InputPattern], known: &Known<'_>) -> bool {
    let signals = inputs.iter().map(|input| known.source_of(input).signal);
    let Some(mut signals) = signals.collect::<Option<Vec<_>>>() else { return false };
    signals.sort_unstable();
    signals.dedup();
    signals.len() == 1
}

fn check_input(
    check: &mut Check<'_>,
    key: &str,
    text: &str,
    (input_kind, can_look): (InputKind, bool),
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
        let is_known = |name: &str| known.sources.iter().any(|known| known.name == name);
        let parts: Vec<&str> = text.split([',', ';', ' ']).filter(|part| !part.is_empty()).collect();
        let remedy = match nearest(bare, known.sources.iter().map(|known| known.name)) {
            _ if parts.len() > 1 && parts.iter().all(|part| is_known(part)) => {
                format!("write each in quotes of its own: {}", quoted(&parts))
            }
            _ if text.split_once('/').is_some_and(|(name, _)| is_known(name)) => {
                format!("write {:?}", text.replacen('/', ":", 1))
            }
            Some(near) => format!("write {:?}", text.replacen(source, near, 1)),
            None => format!("add [source.{source}], or name another source"),
        };
        check.faults.push(Fault::at_text(key, text, expected).remedy(remedy));
        return None;
    };
    let expected = match (input_kind, known.sources[position].frames) {
        (InputKind::Frames, Some(false)) => {
            Some("a source of frames (codec jpeg, jpeg_b64 or json_image) for this detector")
        }
        // What another judge measures before its cameras.
        (InputKind::Readings, Some(true)) if can_look && signals.is_some() => None,
        (InputKind::Readings, Some(true)) => Some(
            "a source of readings for this detector, or a measure of a judge that counts there, such as \
                 \"cameras:junction.north.flow\"; over sources of frames there are classify, detect, anomaly, track, \
                 autoencoder, silence and health",
        ),
        (InputKind::FramesAsTheFirst, Some(false)) => {
            Some("a source of frames (codec jpeg, jpeg_b64 or json_image), as the judge's first input is")
        }
        (InputKind::ReadingsAsTheFirst, Some(true)) => {
            Some("a source of readings, as the judge's first input is")
        }
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

/// A loop's signals are meant by their whole names, which have the measurement in front where a source speaks line
/// protocol.
pub(super) fn warn_of_fields(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawLoop,
    inputs: &[InputPattern],
    known: &Known<'_>,
) {
    let Some(line) = inputs.iter().map(|input| known.source_of(input)).find(|source| source.fields) else {
        return;
    };
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

/// `"a", "b"`.
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
