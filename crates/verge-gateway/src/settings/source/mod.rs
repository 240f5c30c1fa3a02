//! `[source.NAME]`: a topic filter, and how to read what arrives on it.

mod codec;
mod frames;
mod names;
mod shared;

use std::path::PathBuf;

use verge_codec::{Decoders, SourceSettings};
use verge_domain::filter;
use verge_domain::id::SourceId;

use super::Check;
use crate::config::{Fault, Map, RawCodec, RawOverload, RawSource, Size, Warning};
use codec::{check_codec, check_pointer, check_time, decoding};
pub use frames::FrameSource;
use names::check_device;

/// What shared subscriptions start with (MQTT 5 section 4.8.2).
const SHARED: &str = "$share";

/// One source.
#[derive(Debug, Clone)]
pub struct SourceSection {
    /// Its name.
    pub name: SourceId,
    /// Its topic filter. Filters of different sources never take the same topic.
    pub filter: String,
    /// A file that says what its signals are.
    pub tags: Option<PathBuf>,
    /// What it carries, and how to read its messages.
    pub carries: Carries,
    /// What becomes of blocks of samples that come faster than they are judged.
    pub overload: Overload,
}

/// What becomes of messages that come faster than they are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overload {
    /// They wait at the broker (QoS 1).
    #[default]
    Wait,
    /// The newest of each topic is judged, the others are superseded (QoS 0).
    Newest,
}

/// What the messages of a source carry.
#[derive(Debug, Clone)]
pub enum Carries {
    /// Readings of sensors.
    Readings(SourceSettings),
    /// Frames of cameras.
    Frames(FrameSource),
}

/// Largest packets that the connections take.
#[derive(Debug, Clone, Copy)]
pub(super) struct PacketLimits {
    pub(super) readings: Size,
    pub(super) frames: Size,
}

pub(super) fn check_all(
    check: &mut Check<'_>,
    raw: &Map<RawSource>,
    limits: PacketLimits,
) -> Vec<SourceSection> {
    if raw.len() > usize::from(u16::MAX) {
        check.faults.push(
            Fault::new("source", format!("{} sections", raw.len()), format!("at most {}", u16::MAX))
                .remedy("let one source take several topics with \"+\" and \"#\""),
        );
    }
    let sources = raw.iter().filter_map(|(name, source)| check_one(check, name, source, limits)).collect();
    check_overlaps(check, raw);
    sources
}

/// A message belongs to one source: its receipt, its counters and its limits are that source's.
fn check_overlaps(check: &mut Check<'_>, raw: &Map<RawSource>) {
    let filters: Vec<(&String, &String)> = raw
        .iter()
        .filter_map(|(name, source)| Some((name, source.topic.as_ref()?)))
        .filter(|(_, topic)| filter::validate(topic).is_ok())
        .collect();
    for (index, (name, topic)) in filters.iter().enumerate() {
        for (earlier, other) in &filters[..index] {
            if filter::overlaps(topic, other) {
                let expected = format!("a filter that takes no topic of source.{earlier} ({other:?})");
                let remedy = "write a narrower topic for one of them, or make one source of both";
                check
                    .faults
                    .push(Fault::at_text(format!("source.{name}.topic"), topic, expected).remedy(remedy));
            }
        }
    }
}

fn check_one(
    check: &mut Check<'_>,
    name: &str,
    raw: &RawSource,
    limits: PacketLimits,
) -> Option<SourceSection> {
    let section = format!("source.{name}");
    let at = |key: &str| format!("{section}.{key}");
    let codec = raw.codec.as_ref();
    let (device, max_payload) = codec.map(RawCodec::common).unzip();
    let (limit, limit_key) = match codec {
        Some(codec) if codec.carries_frames() => (limits.frames, "local.max_frame"),
        _ => (limits.readings, "local.max_packet"),
    };
    if let Some(max_payload) = max_payload.filter(|size| *size > limit) {
        let expected = format!("at most {limit_key} ({limit})");
        let key = limit_key.trim_start_matches("local.");
        let remedy = format!("write a smaller max_payload, or a larger {key} below [local]");
        check
            .faults
            .push(Fault::at_text(at("max_payload"), &max_payload.to_string(), expected).remedy(remedy));
    }
    let filter = raw.topic.as_deref().and_then(|topic| check_filter(check, &at("topic"), topic));
    let device = device.flatten().and_then(|device| check_device(check, &section, codec?, device, filter));
    let id = check.keep(&section, name, SourceId::new(name));
    let carries = if codec?.carries_frames() {
        frames::check_frames(check, &section, raw, device).map(Carries::Frames)
    } else {
        let checked = check_codec(check, &section, codec?, filter);
        checked.and_then(|(codec, max_readings)| {
            let settings = SourceSettings {
                codec,
                compression: raw.compression,
                device: device?,
                max_payload_bytes: max_payload?.to_usize(),
                max_readings,
                accept_retained: raw.retained,
            };
            if let Err(error) = Decoders::new([Some(settings.clone())]) {
                check.faults.push(decoding(&section, raw, &error));
            }
            Some(Carries::Readings(settings))
        })
    };
    let tags = raw.tags.as_ref().map(|tags| check.path(tags));
    let overload = match codec? {
        RawCodec::SamplesF32(samples) | RawCodec::SamplesI16(samples) => match samples.overload {
            RawOverload::Newest => Overload::Newest,
            RawOverload::Wait => Overload::Wait,
        },
        _ => Overload::Wait,
    };
    let source = SourceSection { name: id?, filter: filter?.to_owned(), tags, carries: carries?, overload };
    shared::warn(check, &section, &source);
    Some(source)
}

fn check_filter<'a>(check: &mut Check<'_>, key: &str, topic: &'a str) -> Option<&'a str> {
    if topic.starts_with(SHARED) {
        let expected = "a filter of its own: shared subscriptions hand messages to other clients as well";
        let remedy = format!("write {:?}", topic.splitn(3, '/').nth(2).unwrap_or("TOPIC"));
        check.faults.push(Fault::at_text(key, topic, expected).remedy(remedy));
        return None;
    }
    if let Err(error) = filter::validate(topic) {
        let remedy = format!("write topic = {:?}", corrected(topic));
        check
            .faults
            .push(Fault::at_text(key, topic, format!("an MQTT topic filter ({error})")).remedy(remedy));
        return None;
    }
    if topic.contains('*') {
        let remark = "\"*\" is no wildcard of MQTT, but a letter of the topic; \"+\" stands for one level, \"#\" for all \
                      from there on";
        check.warnings.push(Warning { key: key.to_owned(), remark: remark.to_owned() });
    }
    Some(topic)
}

/// A filter whose wildcards stand where they may.
fn corrected(topic: &str) -> String {
    let levels: Vec<&str> = topic.split('/').collect();
    let last = levels.len() - 1;
    let level = |(number, level): (usize, &&str)| match *level {
        "#" if number == last => "#".to_owned(),
        level if number == last && level.ends_with('#') && !level.contains('+') => {
            format!("{}/#", level.trim_end_matches('#'))
        }
        level if level.contains(['#', '+', '*']) => "+".to_owned(),
        level => level.replace('\0', ""),
    };
    levels.iter().enumerate().map(level).collect::<Vec<_>>().join("/")
}
