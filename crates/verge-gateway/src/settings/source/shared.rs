//! Names that stand for several series, as far as the file alone shows it. Each is a warning: what is meant may be so.

use verge_codec::{
    CodecSettings, DeviceRule, JsonMapping, JsonSettings, NamePart, NameTemplate, SignalRule, TimeRule,
};

use super::{Carries, SourceSection};
use crate::config::Warning;
use crate::settings::Check;

pub(super) fn warn(check: &mut Check<'_>, section: &str, source: &SourceSection) {
    let mut warn = |key: &str, remark: String| {
        check.warnings.push(Warning { key: format!("{section}.{key}"), remark });
    };
    let (device, codec) = match &source.carries {
        Carries::Readings(settings) => (&settings.device, Some(&settings.codec)),
        Carries::Frames(frames) => (&frames.codec.device, None),
    };
    if let Some(CodecSettings::Sparkplug(_)) = codec {
        return;
    }
    let parts = device_parts(device);
    let signals = codec.map_or_else(Vec::new, signal_parts);
    topics(&mut warn, &source.filter, &parts, &signals);
    if let Some(CodecSettings::Json(json)) = codec {
        readings(&mut warn, json, &parts);
    }
}

fn device_parts(rule: &DeviceRule) -> Vec<NamePart> {
    match rule {
        DeviceRule::TopicLevel(level) => vec![NamePart::TopicLevel(*level)],
        DeviceRule::Pointer(pointer) => vec![NamePart::Pointer(pointer.clone())],
        DeviceRule::Tag(tag) => vec![NamePart::Tag(tag.clone())],
        DeviceRule::Fixed(_) | DeviceRule::Sparkplug(_) => Vec::new(),
        DeviceRule::SenmlName => vec![NamePart::SenmlName],
        DeviceRule::Composed(template) => template.parts().cloned().collect(),
    }
}

/// The parts of the names of all signals; one list where all are named alike.
fn signal_parts(codec: &CodecSettings) -> Vec<Vec<NamePart>> {
    let of_rule = |rule: &SignalRule| match rule {
        SignalRule::Fixed(_) => Vec::new(),
        SignalRule::TopicLevel(level) => vec![NamePart::TopicLevel(*level)],
        SignalRule::Composed(template) => template.parts().cloned().collect(),
    };
    match codec {
        CodecSettings::Number(number) => vec![of_rule(&number.signal)],
        CodecSettings::Samples(samples) => vec![of_rule(&samples.signal)],
        CodecSettings::Json(json) => json.readings.iter().map(reading_parts).collect(),
        CodecSettings::Line(line) => vec![line.signal.parts().cloned().collect()],
        CodecSettings::Senml(senml) => vec![match &senml.signal {
            Some(template) => template.parts().cloned().collect(),
            None => vec![NamePart::SenmlRecord],
        }],
        // Names of metrics are those of their births.
        CodecSettings::Sparkplug(_) => Vec::new(),
    }
}

fn reading_parts(reading: &JsonMapping) -> Vec<NamePart> {
    match &reading.signal {
        Some(text) => {
            NameTemplate::parse(text, true).map(|name| name.parts().cloned().collect()).unwrap_or_default()
        }
        None => (0..stars(&reading.pointer)).map(NamePart::Star).collect(),
    }
}

/// The pointer to each element's own time, where this one leads to that of one element: with a number where the reading's
/// has a `*`.
fn own_time(time: &str, reading: &str) -> Option<String> {
    let at = reading.split('/').position(|step| step == "*")?;
    let is_element = |step: &str| !step.is_empty() && step.bytes().all(|digit| digit.is_ascii_digit());
    time.split('/').nth(at).filter(|step| is_element(step))?;
    let own = |(number, step)| if number == at { "*" } else { step };
    let same = time.split('/').zip(reading.split('/')).take(at).all(|(one, other)| one == other);
    same.then(|| time.split('/').enumerate().map(own).collect::<Vec<_>>().join("/"))
}

/// How many steps of a pointer are `*`.
fn stars(pointer: &str) -> usize {
    pointer.split('/').filter(|step| *step == "*").count()
}

/// Topics that neither device nor signal distinguishes.
fn topics(warn: &mut impl FnMut(&str, String), filter: &str, device: &[NamePart], signals: &[Vec<NamePart>]) {
    let wild: Vec<(usize, &str)> =
        filter.split('/').enumerate().filter(|(_, level)| matches!(*level, "+" | "#")).collect();
    let Some(&(first, _)) = wild.first() else { return };
    let of_topic = |part: &NamePart| part.place().is_none();
    let reaches = |part: &NamePart, (level, name): (usize, &str)| match part {
        NamePart::TopicLevel(used) if name == "#" => *used >= level,
        NamePart::TopicLevel(used) => *used == level,
        NamePart::TopicFrom(from) => *from <= level,
        _ => false,
    };
    let reached = |parts: &[NamePart]| wild.iter().any(|wild| parts.iter().any(|part| reaches(part, *wild)));
    if !device.is_empty() && device.iter().all(of_topic) && !reached(device) {
        let levels: Vec<String> = filter.split('/').map(|level| format!("{level:?}")).collect();
        let numbered: Vec<String> =
            levels.iter().enumerate().map(|(number, level)| format!("{number} {level}")).collect();
        warn(
            "device",
            format!(
                "every message is of one device: this level is the same in all topics of {filter:?}; levels are counted \
                 from 0 ({}), and the wildcard stands on \"topic:{first}\"",
                numbered.join(", ")
            ),
        );
        return;
    }
    // What the message itself says may distinguish them.
    let in_payload =
        |parts: &[NamePart]| parts.iter().any(|part| !of_topic(part) && !matches!(part, NamePart::Star(_)));
    if in_payload(device) {
        return;
    }
    for &(level, name) in &wild {
        let named = |parts: &Vec<NamePart>| {
            in_payload(parts) || parts.iter().any(|part| reaches(part, (level, name)))
        };
        let by_device = device.iter().any(|part| reaches(part, (level, name)));
        if by_device || (!signals.is_empty() && signals.iter().all(named)) {
            continue;
        }
        let part = if name == "#" { format!("{{topic:{level}..}}") } else { format!("{{topic:{level}}}") };
        warn(
            "topic",
            format!(
                "topics that differ in level {level} ({name:?}) alone are one series: neither device nor signal names it; \
                 {part:?} in one of them does"
            ),
        );
    }
}

/// Readings of one message that their names do not distinguish.
fn readings(warn: &mut impl FnMut(&str, String), json: &JsonSettings, device: &[NamePart]) {
    let name = |reading: &JsonMapping| match &reading.signal {
        Some(signal) => signal.clone(),
        None => match reading.pointer.split('/').position(|step| step == "*") {
            Some(first) => reading.pointer.split('/').skip(first).collect::<Vec<_>>().join("/"),
            None => reading.pointer.rsplit('/').next().unwrap_or_default().to_owned(),
        },
    };
    let names: Vec<String> = json.readings.iter().map(name).collect();
    for (number, reading) in json.readings.iter().enumerate() {
        if let Some(signal) = reading.signal.as_ref().filter(|signal| signal.starts_with("topic:")) {
            warn(
                &format!("reading[{number}].signal"),
                format!("{signal:?} is the name itself here; \"{{{signal}}}\" is the part of the topic"),
            );
        }
        if let Some(earlier) = names[..number].iter().position(|other| *other == names[number])
            && json.readings[earlier].pointer != reading.pointer
        {
            warn(
                &format!("reading[{number}].signal"),
                format!(
                    "the values at {:?} and {:?} are one series: both are called {:?}",
                    json.readings[earlier].pointer, reading.pointer, names[number]
                ),
            );
        }
        let time: Option<&TimeRule> = reading.time.as_ref().or(json.time.as_ref());
        let parts = reading_parts(reading);
        let named = |star: usize| {
            parts.iter().chain(device).any(|part| match part {
                NamePart::Star(number) => *number == star,
                NamePart::Pointer(pointer) => stars(pointer) > star,
                _ => false,
            }) || time.is_some_and(|time| stars(&time.pointer) > star)
        };
        let shared = (0..stars(&reading.pointer)).find(|star| !named(*star));
        if let (Some(_), Some(own)) =
            (shared, time.and_then(|time| own_time(&time.pointer, &reading.pointer)))
        {
            warn(
                &format!("reading[{number}].time"),
                format!(
                    "all values at {:?} have the time of one element, that at {:?}; time.pointer = {own:?} gives each its own",
                    reading.pointer,
                    time.map_or("", |time| &time.pointer),
                ),
            );
        } else if let Some(star) = shared {
            warn(
                &format!("reading[{number}].signal"),
                format!(
                    "all values at {:?} are one series with one time: neither name nor time has the pointer's \"*\" number {}; \
                     a signal such as \"{{*{}}}\" or \"{{pointer:…/*/id}}\", or time.pointer with the \"*\", distinguishes them",
                    reading.pointer,
                    star + 1,
                    star + 1
                ),
            );
        }
    }
}
