//! Where the names of devices and signals stand: `topic:1`, `fixed:pump-1`, `{topic:2}/{pointer:/id}`.

use verge_codec::{DeviceRule, NamePart, NameTemplate, NameTemplateError, SignalRule, SparkplugDevice};
use verge_domain::id::{DeviceId, SignalId};

use crate::config::{Fault, RawCodec, nearest};
use crate::settings::Check;

/// Whether messages of this codec can hold a part of a name.
const fn holds(codec: &RawCodec, part: &NamePart) -> bool {
    match part {
        NamePart::TopicLevel(_) | NamePart::TopicFrom(_) => true,
        NamePart::Pointer(_) => matches!(codec, RawCodec::Json(_) | RawCodec::JsonImage(_)),
        NamePart::Star(_) => matches!(codec, RawCodec::Json(_)),
        NamePart::SenmlName | NamePart::SenmlRecord => matches!(codec, RawCodec::Senml(_)),
        NamePart::Measurement | NamePart::Field | NamePart::Tag(_) | NamePart::OtherTags => {
            matches!(codec, RawCodec::Line(_))
        }
    }
}

/// The parts that names of this codec can have, for messages.
const fn parts(codec: &RawCodec, of_device: bool) -> &'static str {
    match (codec, of_device) {
        (RawCodec::Json(_), _) => {
            "{topic:1}, {topic:1..}, {pointer:/id} and {*} (what the \"*\" of the reading's pointer stands for)"
        }
        (RawCodec::JsonImage(_), _) => "{topic:1}, {topic:1..} and {pointer:/id}",
        (RawCodec::Line(_), true) => "{topic:1}, {topic:1..}, {measurement} and {tag:host}",
        (RawCodec::Line(_), false) => {
            "{topic:1}, {topic:1..}, {measurement}, {field}, {tag:cpu} and {tags} (all others)"
        }
        (RawCodec::Senml(_), true) => {
            "{topic:1}, {topic:1..} and {name} (before the last \":\" or \"/\" of the SenML name)"
        }
        (RawCodec::Senml(_), false) => {
            "{topic:1}, {topic:1..}, {name} and {record} (before and behind the last \":\" or \"/\" of the SenML name)"
        }
        _ => "{topic:1} and {topic:1..}",
    }
}

/// A name out of several places, each of which messages of this codec have.
fn check_template(
    check: &mut Check<'_>,
    key: &str,
    text: &str,
    codec: &RawCodec,
    of_device: bool,
    filter: Option<&str>,
) -> Option<NameTemplate> {
    let stars = !of_device && matches!(codec, RawCodec::Json(_));
    let template = match NameTemplate::parse(text, stars) {
        Ok(template) => template,
        Err(NameTemplateError::Part { part }) => {
            let expected = format!("a name out of the parts {}", parts(codec, of_device));
            let (head, rest) = part
                .split_once(':')
                .map_or((&*part, String::new()), |(head, rest)| (head, format!(":{rest}")));
            let meant =
                nearest(head, ["topic", "pointer", "measurement", "field", "tag", "tags", "name", "record"]);
            let remedy = match meant.filter(|meant| *meant != head) {
                Some(meant) => format!("write {:?}", text.replacen(&*part, &format!("{meant}{rest}"), 1)),
                None => "write it of these parts".to_owned(),
            };
            check.faults.push(Fault::at_text(key, text, expected).remedy(remedy));
            return None;
        }
        Err(error) => {
            check.faults.push(Fault::at_text(key, text, error.to_string()).remedy("write the name again so"));
            return None;
        }
    };
    let foreign = |part: &NamePart| {
        let of_values = matches!(part, NamePart::Field | NamePart::OtherTags | NamePart::SenmlRecord);
        !holds(codec, part) || (of_device && of_values)
    };
    if template.parts().any(foreign) || (of_device && template.parts().next().is_none()) {
        let expected = format!("a name out of the parts {}", parts(codec, of_device));
        check.faults.push(Fault::at_text(key, text, expected).remedy("write it of these parts"));
        return None;
    }
    let mut good = true;
    for part in template.parts() {
        good &= match part {
            NamePart::TopicLevel(level) | NamePart::TopicFrom(level) => {
                check_level(check, key, text, *level, filter?)
            }
            NamePart::Pointer(pointer) => super::check_pointer(check, key, Some(pointer)).is_some(),
            _ => true,
        };
    }
    good.then_some(template)
}

/// Whether the filter has such a level.
fn check_level(check: &mut Check<'_>, key: &str, text: &str, level: usize, filter: &str) -> bool {
    let levels = filter.split('/').count();
    // "a/#" takes "a" as well as "a/b/c": levels from "#" on may or may not be there.
    let there = level < levels || filter.ends_with('#');
    if !there {
        let expected = format!("a level from 0 to {} of {filter:?}", levels - 1);
        let wild = filter.split('/').position(|level| matches!(level, "+" | "#")).unwrap_or(levels - 1);
        let remedy = format!(
            "write \"topic:{wild}\", where {:?} stands",
            filter.split('/').nth(wild).unwrap_or_default()
        );
        check.faults.push(Fault::at_text(key, text, expected).remedy(remedy));
    }
    there
}

/// `topic:N` or `topic:N..`.
fn check_topic(
    check: &mut Check<'_>,
    key: &str,
    text: &str,
    level: &str,
    filter: Option<&str>,
) -> Option<NamePart> {
    let part = match level.strip_suffix("..") {
        Some(level) => level.parse().map(NamePart::TopicFrom),
        None => level.parse().map(NamePart::TopicLevel),
    };
    let Ok(part) = part else {
        let expected = "\"topic:N\" with N the level of the topic, counted from 0, or \"topic:N..\" for all from there on";
        check.faults.push(Fault::at_text(key, text, expected).remedy("write \"topic:1\" or another number"));
        return None;
    };
    let (NamePart::TopicLevel(level) | NamePart::TopicFrom(level)) = part else { return None };
    check_level(check, key, text, level, filter?).then_some(part)
}

/// What a part alone is called in the settings of the codecs.
fn rest_of_topic(level: usize) -> Option<NameTemplate> {
    NameTemplate::parse(&format!("{{topic:{level}..}}"), false).ok()
}

pub(super) fn check_device(
    check: &mut Check<'_>,
    section: &str,
    codec: &RawCodec,
    text: &str,
    filter: Option<&str>,
) -> Option<DeviceRule> {
    let key = format!("{section}.device");
    if let RawCodec::Sparkplug(_) = codec {
        return check_sparkplug_device(check, key, text);
    }
    if text.contains(['{', '}']) {
        let template = check_template(check, &key, text, codec, true, filter)?;
        return Some(match template.only() {
            Some(NamePart::TopicLevel(level)) => DeviceRule::TopicLevel(*level),
            Some(NamePart::Pointer(pointer)) => DeviceRule::Pointer(pointer.clone()),
            Some(NamePart::Tag(tag)) => DeviceRule::Tag(tag.clone()),
            Some(NamePart::SenmlName) => DeviceRule::SenmlName,
            _ => DeviceRule::Composed(template),
        });
    }
    let (rule, rest) = text.split_once(':').unwrap_or((text, ""));
    match (rule, codec) {
        ("topic", _) => match check_topic(check, &key, text, rest, filter)? {
            NamePart::TopicLevel(level) => Some(DeviceRule::TopicLevel(level)),
            NamePart::TopicFrom(level) => rest_of_topic(level).map(DeviceRule::Composed),
            _ => None,
        },
        ("fixed", _) => check.keep(&key, text, DeviceId::new(rest)).map(DeviceRule::Fixed),
        ("pointer", RawCodec::Json(_) | RawCodec::JsonImage(_)) => {
            super::check_pointer(check, &key, Some(rest)).map(DeviceRule::Pointer)
        }
        ("tag", RawCodec::Line(_)) if !rest.is_empty() => Some(DeviceRule::Tag(rest.to_owned())),
        ("name", RawCodec::Senml(_)) if rest.is_empty() => Some(DeviceRule::SenmlName),
        _ => {
            let own = match codec {
                RawCodec::Number(_) | RawCodec::SamplesF32(_) | RawCodec::SamplesI16(_) => "",
                RawCodec::Jpeg(_) | RawCodec::JpegB64(_) => "",
                RawCodec::Json(_) | RawCodec::JsonImage(_) => r#", "pointer:/dev/id""#,
                RawCodec::Senml(_) => r#", "name""#,
                RawCodec::Line(_) => r#", "tag:host""#,
                RawCodec::Sparkplug(_) => "",
            };
            let expected = format!(
                r#"one of "topic:1" (level of the topic, counted from 0), "fixed:pump-1"{own}, or a name out of the parts {}"#,
                parts(codec, true)
            );
            let plain = !text.is_empty() && !text.contains(':');
            let remedy = match nearest(rule, ["topic", "fixed", "pointer", "tag"]) {
                _ if plain => format!("write \"fixed:{text}\" for a device of this name"),
                Some(meant) if meant != rule => format!("write \"{meant}:{rest}\""),
                _ => "write it so".to_owned(),
            };
            check.faults.push(Fault::at_text(key, text, expected).remedy(remedy));
            None
        }
    }
}

/// Messages of Sparkplug name devices in their topics alone.
fn check_sparkplug_device(check: &mut Check<'_>, key: String, text: &str) -> Option<DeviceRule> {
    let rule = match text {
        "device" => SparkplugDevice::Device,
        "node/device" => SparkplugDevice::Node,
        "group/node/device" => SparkplugDevice::Group,
        _ => {
            let expected = r#"one of "device", "node/device" and "group/node/device""#;
            check.faults.push(
                Fault::at_text(key, text, expected).remedy("take the line out: node/device is the default"),
            );
            return None;
        }
    };
    Some(DeviceRule::Sparkplug(rule))
}

/// Of codecs with one signal per message.
pub(super) fn check_signal(
    check: &mut Check<'_>,
    section: &str,
    codec: &RawCodec,
    text: Option<&str>,
    filter: Option<&str>,
) -> Option<SignalRule> {
    let text = text?;
    let key = format!("{section}.signal");
    if text.contains(['{', '}']) {
        let template = check_template(check, &key, text, codec, false, filter)?;
        return match (template.fixed(), template.only()) {
            (Some(name), _) => check.keep(&key, text, SignalId::new(name)).map(SignalRule::Fixed),
            (_, Some(NamePart::TopicLevel(level))) => Some(SignalRule::TopicLevel(*level)),
            _ => Some(SignalRule::Composed(template)),
        };
    }
    match text.strip_prefix("topic:") {
        Some(level) => match check_topic(check, &key, text, level, filter)? {
            NamePart::TopicLevel(level) => Some(SignalRule::TopicLevel(level)),
            NamePart::TopicFrom(level) => rest_of_topic(level).map(SignalRule::Composed),
            _ => None,
        },
        None => check.keep(&key, text, SignalId::new(text)).map(SignalRule::Fixed),
    }
}

/// Of codecs with several signals per message.
pub(super) fn check_signals(
    check: &mut Check<'_>,
    key: &str,
    codec: &RawCodec,
    text: &str,
    filter: Option<&str>,
) -> Option<NameTemplate> {
    let template = check_template(check, key, text, codec, false, filter)?;
    match template.fixed() {
        Some(name) => check.keep(key, text, SignalId::new(name)).map(|_| template),
        None => Some(template),
    }
}
