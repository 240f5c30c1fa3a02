//! Which settings give meaning to what a judge learns: its detector, the state by which it learns apart, the windows of its
//! detector, and what its sources make of values.
//!
//! Budgets, severities, `while` and the like do not belong to it: what was learnt means the same under others.

use std::collections::BTreeMap;

use verge_codec::{CodecSettings, JsonMapping, SignalRule};
use verge_domain::id::Unit;
use verge_domain::verdict::Detector;
use verge_pipeline::judging::{ByRule, Fingerprint, InputPattern};

use crate::settings::{Carries, JudgeRules, JudgeSection, Settings};

/// Keys of a judge that decide what its detector makes of readings, of whatever detector.
const OF_DETECTOR: [&str; 7] =
    ["shape", "sample_rate", "analysis_rate", "block", "stride", "model", "machine"];

/// The settings under which a judge learns; empty where it does not learn.
#[must_use]
pub fn fingerprint_of(settings: &Settings, judge: &JudgeSection) -> Fingerprint {
    let mut made = Fingerprint::default();
    if !learns(judge.detector()) {
        return made;
    }
    made.note("detector", judge.detector().as_str());
    made.note("by", by_words(settings, judge.states.by.as_ref()));
    let section = settings.section("judge", judge.name.as_str());
    for (key, value) in section.iter().flat_map(|section| &section.values) {
        let is_drawn = judge.detector() == Detector::Track && is_of_scene(key);
        if OF_DETECTOR.contains(&key.as_str()) || key.starts_with("region.") || is_drawn {
            made.note(key, value);
        }
    }
    let inputs = match &judge.rules {
        JudgeRules::Readings(rules) if !rules.arrivals => &rules.inputs[..],
        JudgeRules::Readings(_) | JudgeRules::Frames(_) => &[],
    };
    for InputPattern { source, .. } in inputs {
        let Some(source) = settings.sources.get(usize::from(source.0)) else { continue };
        if let Carries::Readings(read) = &source.carries {
            note_codec(&mut made, source.name.as_str(), &read.codec);
        }
    }
    made
}

/// Whether a key of a judge that counts says where and what: tracks and counts of other places mean something else.
fn is_of_scene(key: &str) -> bool {
    let table = key.split('.').next().unwrap_or(key);
    // Of a second model, what it is and what its answers mean.
    let names_kinds = |key: &str| key == "model" || key == "labels" || key.starts_with("classes");
    key.strip_prefix("then.").is_some_and(names_kinds)
        || matches!(table, "line" | "zone" | "ground" | "footprint" | "classes" | "labels" | "interval")
}

const fn learns(detector: Detector) -> bool {
    match detector {
        Detector::Auto
        | Detector::Multi
        | Detector::Pattern
        | Detector::Vibration
        | Detector::Cusum
        | Detector::Autoencoder
        | Detector::Anomaly
        | Detector::Health
        | Detector::Track => true,
        Detector::Threshold
        | Detector::Rate
        | Detector::Silence
        | Detector::Loop
        | Detector::Classify
        | Detector::Detect => false,
    }
}

fn by_words(settings: &Settings, by: Option<&ByRule>) -> String {
    let Some(ByRule { state, .. }) = by else { return "none".to_owned() };
    let source = settings.sources.get(usize::from(state.source.0)).map_or("", |source| source.name.as_str());
    let device = state.device.as_ref().map_or_else(String::new, |device| format!(" of {device}"));
    format!("{source}:{}{device}", state.signal)
}

/// What a codec makes of values. Line protocol and SenML say themselves what they mean.
fn note_codec(made: &mut Fingerprint, source: &str, codec: &CodecSettings) {
    let named = |signal: &SignalRule| match signal {
        SignalRule::Fixed(signal) => Some(signal.to_string()),
        SignalRule::TopicLevel(_) | SignalRule::Composed(_) => None,
    };
    match codec {
        CodecSettings::Number(number) => {
            let signal = named(&number.signal);
            let of = ValueSettings { signal: signal.as_deref(), place: String::new() };
            of.note(made, source, (number.scale, number.offset), number.unit.as_ref());
            of.note_words(made, source, &number.words);
        }
        CodecSettings::Samples(samples) => {
            let signal = named(&samples.signal);
            let of = ValueSettings { signal: signal.as_deref(), place: String::new() };
            of.note(made, source, (samples.scale, samples.offset), samples.unit.as_ref());
        }
        CodecSettings::Json(json) => {
            for mapping in &json.readings {
                let signal = signal_of(mapping);
                // Of several signals: the place tells them from those of another place.
                let place = if signal.is_some() { String::new() } else { format!(" of {}", mapping.pointer) };
                let of = ValueSettings { signal: signal.as_deref(), place };
                of.note(made, source, (mapping.scale, mapping.offset), mapping.unit.as_ref());
                of.note_words(made, source, &mapping.words);
            }
        }
        CodecSettings::Senml(_) | CodecSettings::Line(_) | CodecSettings::Sparkplug(_) => {}
    }
}

/// The one signal that values at a place are of; `None` where they are of several.
fn signal_of(mapping: &JsonMapping) -> Option<String> {
    match &mapping.signal {
        Some(signal) => (!signal.contains(['*', '{'])).then(|| signal.clone()),
        None if mapping.pointer.split('/').any(|step| step == "*") => None,
        // RFC 6901, section 4.
        None => mapping.pointer.rsplit('/').next().map(|step| step.replace("~1", "/").replace("~0", "~")),
    }
}

/// Whose values are meant.
struct ValueSettings<'a> {
    signal: Option<&'a str>,
    place: String,
}

impl ValueSettings<'_> {
    fn note(&self, made: &mut Fingerprint, source: &str, (scale, offset): (f64, f64), unit: Option<&Unit>) {
        let mut note = |setting: &str, value: &str| {
            made.note_source(source, self.signal, &format!("{setting}{}", self.place), value);
        };
        note("scale", &scale.to_string());
        note("offset", &offset.to_string());
        if let Some(unit) = unit {
            note("unit", unit.as_str());
        }
    }

    fn note_words(&self, made: &mut Fingerprint, source: &str, words: &BTreeMap<String, f64>) {
        for (word, value) in words {
            made.note_source(source, self.signal, &format!("words.{word}{}", self.place), value);
        }
    }
}
