//! What a codec takes from a message, and where it stands.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use verge_codec::{
    CodecSettings, CodecSettingsError, JsonMapping, JsonSettings, LineSettings, NumberSettings, QualityRule,
    SampleElement, SamplesSettings, SenmlSettings, SparkplugCodecSettings, TimeFormat, TimeRule,
};
use verge_domain::id::Unit;

use super::names::{check_signal, check_signals};
use crate::config::{
    Fault, Map, RawCodec, RawHistorical, RawJson, RawQuality, RawReading, RawSamples, RawSource, RawTime,
    Warning,
};
use crate::settings::Check;
use crate::settings::zone::unknown;

/// The codec, and how many readings a message may hold; `None` for one of frames, or at fault.
pub(super) fn check_codec(
    check: &mut Check<'_>,
    section: &str,
    codec: &RawCodec,
    filter: Option<&str>,
) -> Option<(CodecSettings, usize)> {
    let samples = |check: &mut Check<'_>, element, raw: &RawSamples| {
        let signal = check_signal(check, section, codec, raw.numbers.signal.as_deref(), filter);
        let unit = check_unit(check, section, raw.numbers.unit.as_deref());
        let (scale, offset) = (raw.numbers.scale, raw.numbers.offset);
        let settings = SamplesSettings { element, unit, signal: signal?, scale, offset };
        Some((CodecSettings::Samples(settings), raw.max_readings))
    };
    let key = format!("{section}.signal");
    match codec {
        RawCodec::Number(raw) => {
            let signal = check_signal(check, section, codec, raw.numbers.signal.as_deref(), filter);
            let settings = NumberSettings {
                unit: check_unit(check, section, raw.numbers.unit.as_deref()),
                signal: signal?,
                scale: raw.numbers.scale,
                offset: raw.numbers.offset,
                words: words_of(&[raw.texts.words.as_ref()]),
                decimal: raw.texts.decimal,
            };
            Some((CodecSettings::Number(settings), raw.few.max_readings))
        }
        RawCodec::Json(raw) => {
            let json = check_json(check, section, codec, raw, filter)?;
            Some((CodecSettings::Json(json), raw.few.max_readings))
        }
        RawCodec::Senml(raw) => {
            let signal = raw.signal.as_deref().map(|text| check_signals(check, &key, codec, text, filter));
            let settings = SenmlSettings { format: raw.format, signal: given(signal)? };
            Some((CodecSettings::Senml(settings), raw.few.max_readings))
        }
        RawCodec::Line(raw) => {
            let signal = check_signals(check, &key, codec, &raw.signal, filter)?;
            let settings = LineSettings { precision: raw.precision, signal };
            Some((CodecSettings::Line(settings), raw.few.max_readings))
        }
        RawCodec::Sparkplug(raw) => {
            check_births(check, section, filter?);
            let takes_history = raw.historical == RawHistorical::Judge;
            let settings = SparkplugCodecSettings { takes_history, asks_for_births: raw.rebirth };
            Some((CodecSettings::Sparkplug(settings), raw.max_readings))
        }
        RawCodec::SamplesF32(raw) => samples(check, SampleElement::F32, raw),
        RawCodec::SamplesI16(raw) => samples(check, SampleElement::I16, raw),
        RawCodec::Jpeg(_) | RawCodec::JpegB64(_) | RawCodec::JsonImage(_) => None,
    }
}

/// Names come from births, and numbers of messages are counted over the whole edge node: a filter that leaves messages out
/// leaves names out.
fn check_births(check: &mut Check<'_>, section: &str, filter: &str) {
    let key = format!("{section}.topic");
    let mut levels = filter.split('/');
    if !matches!(levels.next(), Some("spBv1.0" | "+" | "#")) {
        let expected = "a filter of topics of Sparkplug B, which begin with spBv1.0";
        check
            .faults
            .push(Fault::at_text(key, filter, expected).remedy("write it as \"spBv1.0/GROUP/+/NODE/#\""));
        return;
    }
    let (kind, end) = (levels.nth(1), filter.rsplit('/').next());
    if !matches!(kind, None | Some("+" | "#")) || end != Some("#") {
        let remark = "births, data or deaths may be left out: write it as \"spBv1.0/GROUP/+/NODE/#\", or names stay unknown \
                      and messages seem to be missing";
        check.warnings.push(Warning { key, remark: remark.to_owned() });
    }
}

fn check_json(
    check: &mut Check<'_>,
    section: &str,
    codec: &RawCodec,
    raw: &RawJson,
    filter: Option<&str>,
) -> Option<JsonSettings> {
    let time = raw.time.as_ref().map(|time| check_time(check, section, time));
    let quality = raw.quality.as_ref().map(|quality| check_quality(check, section, quality));
    let mut readings = Vec::new();
    for (index, reading) in raw.reading.iter().flatten().enumerate() {
        let key = format!("{section}.reading[{index}]");
        readings.push(check_reading(check, &key, codec, raw, reading, filter));
    }
    let readings = readings.into_iter().collect::<Option<Vec<_>>>()?;
    Some(JsonSettings { readings, time: given(time)?, quality: given(quality)? })
}

fn check_reading(
    check: &mut Check<'_>,
    key: &str,
    codec: &RawCodec,
    source: &RawJson,
    raw: &RawReading,
    filter: Option<&str>,
) -> Option<JsonMapping> {
    let unit = check_unit(check, key, raw.unit.as_deref());
    let pointer = check_pointer(check, &format!("{key}.pointer"), raw.pointer.as_deref());
    let at = format!("{key}.signal");
    let signal = raw.signal.as_deref().map(|text| check_signals(check, &at, codec, text, filter));
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
        words: words_of(&[raw.words.as_ref(), source.texts.words.as_ref()]),
        decimal: source.texts.decimal,
        required: raw.required,
    })
}

pub(super) fn check_pointer(check: &mut Check<'_>, key: &str, pointer: Option<&str>) -> Option<String> {
    let pointer = pointer?;
    if pointer.is_empty() || pointer.starts_with('/') {
        return Some(pointer.to_owned());
    }
    let steps = pointer.trim_start_matches(['$', '.']).replace(['.', '['], "/").replace(']', "");
    let expected = r#"a JSON pointer (RFC 6901), which starts with "/""#;
    check.faults.push(Fault::at_text(key, pointer, expected).remedy(format!("write \"/{steps}\"")));
    None
}

/// What may be left out: `None` where it is given and at fault.
fn given<T>(checked: Option<Option<T>>) -> Option<Option<T>> {
    checked.map_or(Some(None), |checked| checked.map(Some))
}

fn check_unit(check: &mut Check<'_>, section: &str, unit: Option<&str>) -> Option<Unit> {
    unit.and_then(|unit| check.keep(&format!("{section}.unit"), unit, Unit::new(unit)))
}

/// The words of several tables, of which the first that has a word counts. Case does not matter.
fn words_of(tables: &[Option<&Map<f64>>]) -> BTreeMap<String, f64> {
    let mut words = BTreeMap::<String, f64>::new();
    for table in tables.iter().flatten() {
        let known: Vec<String> = words.keys().cloned().collect();
        let new = |word: &str| !known.iter().any(|known| known.eq_ignore_ascii_case(word));
        words.extend(table.iter().filter(|(word, _)| new(word)).map(|(word, value)| (word.clone(), *value)));
    }
    words
}

/// The zone of text that names none.
fn check_zone(check: &mut Check<'_>, section: &str, raw: &RawTime) -> Option<Option<TimeZone>> {
    let Some(name) = raw.zone.as_deref() else { return Some(None) };
    let key = format!("{section}.time.zone");
    if !matches!(raw.format?, TimeFormat::Rfc3339 | TimeFormat::Auto) {
        let expected = r#"no zone: numbers count from 1970 in UTC; format = "auto" or "rfc3339" reads text"#;
        check
            .faults
            .push(Fault::at_text(key, name, expected).remedy("take zone out, or write format = \"auto\""));
        return None;
    }
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        check.faults.push(unknown(&key, name));
    }
    zone.map(Some)
}

pub(super) fn check_time(check: &mut Check<'_>, section: &str, raw: &RawTime) -> Option<TimeRule> {
    let pointer = check_pointer(check, &format!("{section}.time.pointer"), raw.pointer.as_deref());
    let zone = check_zone(check, section, raw);
    Some(TimeRule { pointer: pointer?, zone: zone?, format: raw.format? })
}

fn check_quality(check: &mut Check<'_>, section: &str, raw: &RawQuality) -> Option<QualityRule> {
    let pointer = check_pointer(check, &format!("{section}.quality.pointer"), raw.pointer.as_deref());
    Some(QualityRule { pointer: pointer?, format: raw.format })
}

/// Why the messages of a source cannot be decoded, as a fault of the key that is to blame.
pub(super) fn decoding(section: &str, raw: &RawSource, error: &CodecSettingsError) -> Fault {
    let readings = match &raw.codec {
        Some(RawCodec::Json(json)) => json.reading.as_deref().unwrap_or_default(),
        _ => &[],
    };
    let of_pointer = |pointer: &String, key: &str| {
        let found = readings.iter().position(|reading| reading.pointer.as_ref() == Some(pointer));
        found.map(|index| format!("reading[{index}].{key}"))
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
            let of_reading = readings.iter().position(|reading| reading.scale == *scale);
            let key = of_reading.map_or("scale".to_owned(), |index| format!("reading[{index}].scale"));
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
    let fault = match error {
        CodecSettingsError::SignalWildcards { pointer, signal } => {
            Fault::at_text(key, signal, format!("at most as many \"*\" as its pointer has, {pointer:?}"))
        }
        CodecSettingsError::Pointer { pointer } => Fault::at_text(
            key,
            pointer,
            "a JSON pointer (RFC 6901): it starts with \"/\" or is empty, and \"~\" is followed by 0 or 1",
        ),
        CodecSettingsError::Scale { scale } => {
            Fault::new(key, scale.to_string(), "a finite number other than 0")
        }
        CodecSettingsError::WordTwice { word } => {
            Fault::new(key, format!("{word:?}"), "each word once, in whatever case")
        }
        _ => Fault::new(key, "cannot be decoded", format!("other settings: {error}")),
    };
    fault.remedy(remedy)
}
