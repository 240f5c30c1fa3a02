//! Keys of `[source.NAME]`: what every source has, then each codec's own.

use std::time::Duration;

use verge_codec::{Compression, Decimal, LineSettings, Precision, QualityFormat, SenmlFormat, TimeFormat};

use super::super::declare::*;
use super::super::key::*;
use super::super::tree::{ConfigNode, Map, Table, Value};
use super::super::units::{Size, Span};
use super::{HOUR, MAX_MQTT_PACKET};

/// What distinguishes series in line protocol. Judges that name a field alone mean it in each measurement.
pub(crate) const LINE_SIGNAL: &str = LineSettings::SIGNAL;

const UNIT: &str = r#"a unit, such as "mm/s" or "Cel""#;
const DEVICE: &str = r#""topic:1" (level of the topic, counted from 0) or "fixed:pump-1""#;
const SIGNAL: &str = r#"the name of the signal, "topic:2" (level of the topic, counted from 0), or several parts such as "{topic:2}/{topic:3}""#;
const DEVICE_OF_JSON: &str =
    r#""topic:1" (level of the topic, counted from 0), "pointer:/dev/id" or "fixed:pump-1""#;

declare! {
    /// `[source.NAME]`
    struct RawSource by codec: RawCodec [.required()] {
        topic: Option<String> = text(r#"an MQTT topic filter, such as "plant/+/vibration""#).required(),
        compression: Compression = word::<Compression>().or("none"),
        retained: bool = flag().or("false"),
        tags: Option<String> = text("the path of a CSV file with a column name"),
    }

    words for Compression { "none" => None, "lz4" => Lz4 }

    /// What the messages of a source are.
    enum RawCodec {
        "number" => Number(RawNumber),
        "json" => Json(RawJson),
        "senml" => Senml(RawSenml),
        "line" => Line(RawLine),
        "sparkplug" => Sparkplug(RawSparkplugInput),
        "samples_f32" => SamplesF32(RawSamples),
        "samples_i16" => SamplesI16(RawSamples),
        "jpeg" => Jpeg(RawJpeg),
        "jpeg_b64" => JpegB64(RawJpeg),
        "json_image" => JsonImage(RawJsonImage),
    }

    /// Of messages that carry few readings.
    struct RawFew {
        max_payload: Size = size(1, MAX_MQTT_PACKET).or("64 KiB"),
        max_readings: usize = whole(1, 65_536).or("256"),
    }

    /// Of messages that carry numbers of one signal.
    struct RawNumbers {
        device: Option<String> = text(DEVICE).required(),
        signal: Option<String> = text(SIGNAL).required(),
        unit: Option<String> = text(UNIT),
        scale: f64 = number().or("1"),
        offset: f64 = number().or("0"),
    }

    /// Of messages in which numbers stand in text.
    struct RawTexts {
        words: Option<Map<f64>> = word_values(),
        decimal: Decimal = word::<Decimal>().or("."),
    }

    words for Decimal { "." => Point, "," => Comma }

    /// Codec `number`.
    struct RawNumber with numbers: RawNumbers, texts: RawTexts, few: RawFew {}

    /// Codec `json`.
    struct RawJson with texts: RawTexts, few: RawFew {
        device: Option<String> = text(DEVICE_OF_JSON).required(),
        time: Option<RawTime> = table::<RawTime>(),
        quality: Option<RawQuality> = table::<RawQuality>(),
        reading: Option<Vec<RawReading>> = tables::<RawReading>().required(),
    }

    /// Codec `senml`.
    struct RawSenml with few: RawFew {
        device: String =
            text(r#""name", "topic:1" (level of the topic, counted from 0) or "fixed:pump-1""#).or("name"),
        signal: Option<String> = text(r#"parts such as "{name}/{record}""#),
        format: SenmlFormat = word::<SenmlFormat>().or("auto"),
    }

    words for SenmlFormat { "auto" => Auto, "json" => Json, "cbor" => Cbor }

    /// Codec `line`.
    struct RawLine with few: RawFew {
        device: Option<String> =
            text(r#""topic:1" (level of the topic, counted from 0), "tag:host" or "fixed:pump-1""#).required(),
        signal: String = text(r#"parts such as "{measurement}/{field}{tags}" or "{field}""#).or(LINE_SIGNAL),
        precision: Precision = word::<Precision>().or("ns"),
    }

    words for Precision { "s" => S, "ms" => Ms, "us" => Us, "ns" => Ns }

    /// Codec `sparkplug`.
    struct RawSparkplugInput {
        device: String = text(r#""device", "node/device" or "group/node/device""#).or("node/device"),
        rebirth: bool = flag().or("false"),
        historical: RawHistorical = word::<RawHistorical>().or("ignore"),
        max_payload: Size = size(1, MAX_MQTT_PACKET).or("64 KiB"),
        max_readings: usize = whole(1, 65_536).or("4096"),
    }

    /// What becomes of historical values.
    words RawHistorical { "ignore" => Ignore, "judge" => Judge }

    /// Codecs of samples.
    struct RawSamples with numbers: RawNumbers {
        max_payload: Size = size(1, MAX_MQTT_PACKET).or("64 KiB"),
        max_readings: usize = whole(1, 65_536).or("65536"),
        overload: RawOverload = word::<RawOverload>().or("wait"),
    }

    /// What becomes of blocks that come faster than they are judged.
    words RawOverload { "wait" => Wait, "newest" => Newest }

    /// Of messages that carry frames.
    struct RawPictures {
        max_payload: Size = size(1, MAX_MQTT_PACKET).or("2 MiB"),
        max_pixels: u64 = whole(1, 1 << 30).or("16777216"),
        frames: RawFrames = word::<RawFrames>().or("newest"),
        max_age: Span = span(Duration::from_millis(10), HOUR).or("2s"),
        urgency: Span = span(Duration::from_millis(1), HOUR).or("1s"),
        least: Option<f64> = numbers_from(0.0, 100.0),
        mask: Option<Map<RawMask>> = named_tables::<RawMask>(),
    }

    /// `[source.NAME.mask.NAME]`
    struct RawMask {
        polygon: Option<Vec<[f64; 2]>> = points("corners [x, y] in shares of the picture").required(),
        devices: Option<Vec<String>> = texts(r#"names of devices, with "*" for any part"#),
    }

    /// Which frames are judged.
    words RawFrames { "newest" => Newest, "every" => Every }

    /// Codecs `jpeg` and `jpeg_b64`.
    struct RawJpeg with pictures: RawPictures {
        device: Option<String> = text(DEVICE).required(),
    }

    /// Codec `json_image`.
    struct RawJsonImage with pictures: RawPictures {
        device: Option<String> = text(DEVICE_OF_JSON).required(),
        time: Option<RawTime> = table::<RawTime>(),
        image: Option<String> = text(r#"a JSON pointer, such as "/image""#).required(),
    }

    /// Where a time stands.
    struct RawTime {
        pointer: Option<String> = text(r#"a JSON pointer, such as "/ts""#).required(),
        format: Option<TimeFormat> = word::<TimeFormat>().required(),
        zone: Option<String> = text(r#"the name of a time zone, such as "Europe/Berlin""#),
    }

    words for TimeFormat {
        "unix_s" => UnixS,
        "unix_ms" => UnixMs,
        "unix_us" => UnixUs,
        "unix_ns" => UnixNs,
        "rfc3339" => Rfc3339,
        "auto" => Auto,
    }

    /// Where the quality of a value stands.
    struct RawQuality {
        pointer: Option<String> = text(r#"a JSON pointer, such as "/values/*/q""#).required(),
        format: QualityFormat = word::<QualityFormat>().or("auto"),
    }

    words for QualityFormat { "auto" => Auto, "opc_da" => OpcDa, "opc_ua" => OpcUa }

    /// `[[source.NAME.reading]]`
    struct RawReading {
        pointer: Option<String> = text(r#"a JSON pointer, such as "/sensors/*/value""#).required(),
        signal: Option<String> = text("the name of a signal"),
        time: Option<RawTime> = table::<RawTime>(),
        quality: Option<RawQuality> = table::<RawQuality>(),
        unit: Option<String> = text(UNIT),
        scale: f64 = number().or("1"),
        offset: f64 = number().or("0"),
        words: Option<Map<f64>> = word_values(),
        required: bool = flag().or("true"),
    }
}

impl RawCodec {
    /// Whether its messages carry frames.
    pub(crate) const fn carries_frames(&self) -> bool {
        match self {
            Self::Number(_) | Self::Json(_) | Self::Senml(_) | Self::Line(_) | Self::Sparkplug(_) => false,
            Self::SamplesF32(_) | Self::SamplesI16(_) => false,
            Self::Jpeg(_) | Self::JpegB64(_) | Self::JsonImage(_) => true,
        }
    }

    /// What every codec has: where the device's name stands, if that is known, and the largest payload.
    pub(crate) fn common(&self) -> (Option<&str>, Size) {
        match self {
            Self::Number(raw) => (raw.numbers.device.as_deref(), raw.few.max_payload),
            Self::Json(raw) => (raw.device.as_deref(), raw.few.max_payload),
            Self::Senml(raw) => (Some(&raw.device), raw.few.max_payload),
            Self::Line(raw) => (raw.device.as_deref(), raw.few.max_payload),
            Self::Sparkplug(raw) => (Some(&raw.device), raw.max_payload),
            Self::SamplesF32(raw) | Self::SamplesI16(raw) => (raw.numbers.device.as_deref(), raw.max_payload),
            Self::Jpeg(raw) | Self::JpegB64(raw) => (raw.device.as_deref(), raw.pictures.max_payload),
            Self::JsonImage(raw) => (raw.device.as_deref(), raw.pictures.max_payload),
        }
    }

    /// The name of its one signal, or the parts of the names of all.
    pub(crate) fn signal(&self) -> Option<&str> {
        match self {
            Self::Number(raw) => raw.numbers.signal.as_deref(),
            Self::SamplesF32(raw) | Self::SamplesI16(raw) => raw.numbers.signal.as_deref(),
            Self::Senml(raw) => raw.signal.as_deref(),
            Self::Line(raw) => Some(&raw.signal),
            Self::Json(_) | Self::Sparkplug(_) => None,
            Self::Jpeg(_) | Self::JpegB64(_) | Self::JsonImage(_) => None,
        }
    }
}
