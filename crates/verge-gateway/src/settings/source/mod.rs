//! `[source.NAME]`: a topic filter, and how to read what arrives on it.

mod frames;
mod names;
mod shared;

use std::collections::BTreeMap;

use config::Map;
use jiff::tz::TimeZone;
use verge_codec::{
    CodecSettings, CodecSettingsError, Compression, Decimal, Decoders, DeviceRule, JsonMapping, JsonSettings,
    LineSettings, NumberSettings, Precision, QualityFormat, QualityRule, SampleElement, SamplesSettings,
    SenmlFormat, SenmlSettings, SourceSettings, TimeFormat, TimeRule,
};
use verge_domain::filter;
use verge_domain::id::{SourceId, Unit};

use super::Check;
use crate::config::{
    Fault, RawCodec, RawCompression, RawDecimal, RawOverload, RawPrecision, RawQuality, RawQualityFormat,
    RawReading, RawSenmlFormat, RawSource, RawTime, RawTimeFormat, Size, Warning, nearest,
};
pub use frames::FrameSource;
use names::{check_device, check_signal, check_signals};

/// What shared subscriptions start with (MQTT 5 section 4.8.2).
const SHARED: &str = "$share";

/// One source.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name.
    pub name: SourceId,
    /// Its topic filter. Filters of different sources never take the same topic.
    pub filter: String,
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

impl RawCodec {
    pub(super) const fn carries_frames(self) -> bool {
        match self {
            Self::Number | Self::Json | Self::Senml | Self::Line => false,
            Self::SamplesF32 | Self::SamplesI16 => false,
            Self::Jpeg | Self::JpegB64 | Self::JsonImage => true,
        }
    }
}

/// Largest packets that the connections take.
#[derive(Debug, Clone, Copy)]
pub(super) struct PacketLimits {
    pub(super) readings: Size,
    pub(super) frames: Size,
}

pub(super) fn check_all(
    check: &mut Check<'_>,
    raw: &Map<String, RawSource>,
    limits: PacketLimits,
) -> Vec<Source> {
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
fn check_overlaps(check: &mut Check<'_>, raw: &Map<String, RawSource>) {
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

fn check_one(check: &mut Check<'_>, name: &str, raw: &RawSource, limits: PacketLimits) -> Option<Source> {
    let section = format!("source.{name}");
    let at = |key: &str| format!("{section}.{key}");
    let (limit, limit_key) = match raw.codec {
        Some(codec) if codec.carries_frames() => (limits.frames, "local.max_frame"),
        _ => (limits.readings, "local.max_packet"),
    };
    if let Some(max_payload) = raw.max_payload.filter(|size| *size > limit) {
        let expected = format!("at most {limit_key} ({limit})");
        let key = limit_key.trim_start_matches("local.");
        let remedy = format!("write a smaller max_payload, or a larger {key} below [local]");
        check
            .faults
            .push(Fault::at_text(at("max_payload"), &max_payload.to_string(), expected).remedy(remedy));
    }
    let filter = raw.topic.as_deref().and_then(|topic| check_filter(check, &at("topic"), topic));
    let device =
        raw.device.as_deref().and_then(|device| check_device(check, &section, raw.codec?, device, filter));
    let id = check.keep(&section, name, SourceId::new(name));
    let compression = match raw.compression {
        RawCompression::None => Compression::None,
        RawCompression::Lz4 => Compression::Lz4,
    };
    let carries = match raw.codec? {
        codec if codec.carries_frames() => {
            frames::check_frames(check, &section, codec, raw, device, compression).map(Carries::Frames)
        }
        codec => {
            let codec = check_codec(check, &section, codec, raw, filter);
            check_readings(check, &section, raw, codec, device, compression).map(Carries::Readings)
        }
    };
    let overload = match raw.overload {
        Some(RawOverload::Newest) => Overload::Newest,
        Some(RawOverload::Wait) | None => Overload::Wait,
    };
    let source = Source { name: id?, filter: filter?.to_owned(), carries: carries?, overload };
    shared::warn(check, &section, &source);
    Some(source)
}

fn check_readings(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawSource,
    codec: Option<CodecSettings>,
    device: Option<DeviceRule>,
    compression: Compression,
) -> Option<SourceSettings> {
    let settings = SourceSettings {
        codec: codec?,
        compression,
        device: device?,
        max_payload_bytes: raw.max_payload?.to_usize(),
        max_readings: raw.max_readings?,
        accept_retained: raw.retained,
    };
    if let Err(error) = Decoders::new([Some(settings.clone())]) {
        check.faults.push(decoding(section, raw, &error));
    }
    Some(settings)
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

fn check_pointer(check: &mut Check<'_>, key: &str, pointer: &str) -> Option<String> {
    if pointer.is_empty() || pointer.starts_with('/') {
        return Some(pointer.to_owned());
    }
    let steps = pointer.trim_start_matches(['$', '.']).replace(['.', '['], "/").replace(']', "");
    let expected = r#"a JSON pointer (RFC 6901), which starts with "/""#;
    check.faults.push(Fault::at_text(key, pointer, expected).remedy(format!("write \"/{steps}\"")));
    None
}

fn check_codec(
    check: &mut Check<'_>,
    section: &str,
    codec: RawCodec,
    raw: &RawSource,
    filter: Option<&str>,
) -> Option<CodecSettings> {
    match codec {
        RawCodec::Number => {
            let signal =
                raw.signal.as_deref().and_then(|text| check_signal(check, section, codec, text, filter));
            Some(CodecSettings::Number(NumberSettings {
                unit: check_unit(check, &format!("{section}.unit"), raw.unit.as_deref()),
                signal: signal?,
                scale: raw.scale?,
                offset: raw.offset?,
                words: words_of(&[raw.words.as_ref()]),
                decimal: decimal_of(raw),
            }))
        }
        RawCodec::Json => {
            let time = raw.time.as_ref().map(|time| check_time(check, section, time));
            let quality = raw.quality.as_ref().map(|quality| check_quality(check, section, quality));
            let readings: Vec<Option<JsonMapping>> = raw
                .reading
                .iter()
                .flatten()
                .enumerate()
                .map(|(index, reading)| {
                    check_reading(check, &format!("{section}.reading[{index}]"), raw, reading, filter)
                })
                .collect();
            Some(CodecSettings::Json(JsonSettings {
                readings: readings.into_iter().collect::<Option<Vec<_>>>()?,
                time: given(time)?,
                quality: given(quality)?,
            }))
        }
        RawCodec::Jpeg | RawCodec::JpegB64 | RawCodec::JsonImage => None,
        RawCodec::SamplesF32 => check_samples(check, section, codec, SampleElement::F32, raw, filter),
        RawCodec::SamplesI16 => check_samples(check, section, codec, SampleElement::I16, raw, filter),
        RawCodec::Senml => Some(CodecSettings::Senml(SenmlSettings {
            format: match raw.format? {
                RawSenmlFormat::Auto => SenmlFormat::Auto,
                RawSenmlFormat::Json => SenmlFormat::Json,
                RawSenmlFormat::Cbor => SenmlFormat::Cbor,
            },
            signal: {
                let key = format!("{section}.signal");
                let signal = raw.signal.as_deref();
                given(signal.map(|text| check_signals(check, &key, codec, text, filter)))?
            },
        })),
        RawCodec::Line => Some(CodecSettings::Line(LineSettings {
            precision: match raw.precision? {
                RawPrecision::S => Precision::S,
                RawPrecision::Ms => Precision::Ms,
                RawPrecision::Us => Precision::Us,
                RawPrecision::Ns => Precision::Ns,
            },
            signal: check_signals(
                check,
                &format!("{section}.signal"),
                codec,
                raw.signal.as_deref()?,
                filter,
            )?,
        })),
    }
}

fn check_samples(
    check: &mut Check<'_>,
    section: &str,
    codec: RawCodec,
    element: SampleElement,
    raw: &RawSource,
    filter: Option<&str>,
) -> Option<CodecSettings> {
    let signal = raw.signal.as_deref().and_then(|text| check_signal(check, section, codec, text, filter));
    Some(CodecSettings::Samples(SamplesSettings {
        element,
        unit: check_unit(check, &format!("{section}.unit"), raw.unit.as_deref()),
        signal: signal?,
        scale: raw.scale?,
        offset: raw.offset?,
    }))
}

/// What may be left out: `None` where it is given and at fault.
fn given<T>(checked: Option<Option<T>>) -> Option<Option<T>> {
    checked.map_or(Some(None), |checked| checked.map(Some))
}

fn check_unit(check: &mut Check<'_>, key: &str, unit: Option<&str>) -> Option<Unit> {
    unit.and_then(|unit| check.keep(key, unit, Unit::new(unit)))
}

/// The words of several tables, of which the first that has a word counts. Case does not matter.
fn words_of(tables: &[Option<&Map<String, f64>>]) -> BTreeMap<String, f64> {
    let mut words = BTreeMap::<String, f64>::new();
    for table in tables.iter().flatten() {
        let known: Vec<String> = words.keys().cloned().collect();
        let new = |word: &str| !known.iter().any(|known| known.eq_ignore_ascii_case(word));
        words.extend(table.iter().filter(|(word, _)| new(word)).map(|(word, value)| (word.clone(), *value)));
    }
    words
}

fn decimal_of(raw: &RawSource) -> Decimal {
    match raw.decimal {
        Some(RawDecimal::Comma) => Decimal::Comma,
        Some(RawDecimal::Point) | None => Decimal::Point,
    }
}

/// The zone of text that names none.
fn check_zone(check: &mut Check<'_>, section: &str, raw: &RawTime) -> Option<Option<TimeZone>> {
    let Some(name) = raw.zone.as_deref() else { return Some(None) };
    let key = format!("{section}.time.zone");
    if !matches!(raw.format?, RawTimeFormat::Rfc3339 | RawTimeFormat::Auto) {
        let expected = r#"no zone: numbers count from 1970 in UTC; format = "auto" or "rfc3339" reads text"#;
        check
            .faults
            .push(Fault::at_text(key, name, expected).remedy("take zone out, or write format = \"auto\""));
        return None;
    }
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        let expected = r#"the name of an IANA time zone, such as "Europe/Berlin" or "UTC""#;
        let known: Vec<String> = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
        let near = nearest(name, known.iter().map(String::as_str)).unwrap_or("UTC");
        check.faults.push(Fault::at_text(key, name, expected).remedy(format!("write zone = {near:?}")));
    }
    zone.map(Some)
}

fn check_time(check: &mut Check<'_>, section: &str, raw: &RawTime) -> Option<TimeRule> {
    let pointer = raw
        .pointer
        .as_deref()
        .and_then(|text| check_pointer(check, &format!("{section}.time.pointer"), text));
    let zone = check_zone(check, section, raw);
    Some(TimeRule {
        pointer: pointer?,
        zone: zone?,
        format: match raw.format? {
            RawTimeFormat::UnixS => TimeFormat::UnixS,
            RawTimeFormat::UnixMs => TimeFormat::UnixMs,
            RawTimeFormat::UnixUs => TimeFormat::UnixUs,
            RawTimeFormat::UnixNs => TimeFormat::UnixNs,
            RawTimeFormat::Rfc3339 => TimeFormat::Rfc3339,
            RawTimeFormat::Auto => TimeFormat::Auto,
        },
    })
}

fn check_quality(check: &mut Check<'_>, section: &str, raw: &RawQuality) -> Option<QualityRule> {
    let pointer = raw
        .pointer
        .as_deref()
        .and_then(|text| check_pointer(check, &format!("{section}.quality.pointer"), text));
    Some(QualityRule {
        pointer: pointer?,
        format: match raw.format {
            RawQualityFormat::Auto => QualityFormat::Auto,
            RawQualityFormat::OpcDa => QualityFormat::OpcDa,
            RawQualityFormat::OpcUa => QualityFormat::OpcUa,
        },
    })
}

fn check_reading(
    check: &mut Check<'_>,
    key: &str,
    source: &RawSource,
    raw: &RawReading,
    filter: Option<&str>,
) -> Option<JsonMapping> {
    let unit = check_unit(check, &format!("{key}.unit"), raw.unit.as_deref());
    let pointer =
        raw.pointer.as_deref().and_then(|text| check_pointer(check, &format!("{key}.pointer"), text));
    let signal = raw
        .signal
        .as_deref()
        .map(|text| check_signals(check, &format!("{key}.signal"), RawCodec::Json, text, filter));
    let time = raw.time.as_ref().map(|time| check_time(check, key, time));
    let quality = raw.quality.as_ref().map(|quality| check_quality(check, key, quality));
    Some(JsonMapping {
        pointer: pointer?,
        signal: given(signal)?.map(|_| raw.signal.clone()).unwrap_or_default(),
        time: given(time)?,
        quality: given(quality)?,
        unit,
        scale: raw.scale,
        offset: raw.offset,
        words: words_of(&[raw.words.as_ref(), source.words.as_ref()]),
        decimal: decimal_of(source),
        required: raw.required,
    })
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

/// Why the messages of a source cannot be decoded, as a fault of the key that is to blame.
pub(super) fn decoding(section: &str, raw: &RawSource, error: &CodecSettingsError) -> Fault {
    let readings = || raw.reading.iter().flatten().enumerate();
    let of_pointer = |pointer: &String, key: &str| {
        let found = readings().find(|(_, reading)| reading.pointer.as_ref() == Some(pointer));
        found.map(|(index, _)| format!("reading[{index}].{key}"))
    };
    let (key, remedy) = match error {
        CodecSettingsError::DeviceRule { .. } => (Some("device".to_owned()), "write another device"),
        CodecSettingsError::SignalRule { .. } => (Some("signal".to_owned()), "write another signal"),
        CodecSettingsError::ForeignWildcard { reading, .. } => {
            (of_pointer(reading, "pointer"), "write the same steps up to the \"*\" in both")
        }
        CodecSettingsError::Pointer { pointer } | CodecSettingsError::PointerTooDeep { pointer, .. } => {
            (of_pointer(pointer, "pointer"), "write another pointer")
        }
        CodecSettingsError::WildcardPointer { pointer } => {
            (of_pointer(pointer, "pointer"), "write a pointer without \"*\"")
        }
        CodecSettingsError::NoSignal { pointer } => {
            (of_pointer(pointer, "signal"), "add signal = \"NAME\" to the reading")
        }
        CodecSettingsError::SignalWildcards { pointer, .. } => {
            (of_pointer(pointer, "signal"), "write a signal with fewer \"*\"")
        }
        CodecSettingsError::Scale { scale } => {
            let of_reading = readings().find(|(_, reading)| reading.scale == *scale);
            let key = of_reading.map_or("scale".to_owned(), |(index, _)| format!("reading[{index}].scale"));
            (Some(key), "write another scale, or take the line out")
        }
        CodecSettingsError::Offset { .. } => {
            (Some("offset".to_owned()), "write another offset, or take the line out")
        }
        CodecSettingsError::WordValue { .. }
        | CodecSettingsError::WordSpace { .. }
        | CodecSettingsError::WordTwice { .. } => (Some("words".to_owned()), "write other words"),
        _ => (None, "write other settings"),
    };
    let key = key.map_or_else(|| section.to_owned(), |key| format!("{section}.{key}"));
    Fault::new(key, "cannot be decoded", format!("other settings: {error}")).remedy(remedy)
}
