//! How the messages of one source are to be read.

mod error;
mod frames;
mod sparkplug;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use verge_domain::id::{DeviceId, SignalId, Unit};

use crate::template::{NamePart, NameTemplate};

pub use error::CodecSettingsError;
pub use frames::{FrameCodec, FrameSourceSettings, JsonImageSettings};
pub use sparkplug::{SparkplugCodecSettings, SparkplugDevice};

/// One source: everything its decoder needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSettings {
    /// The form of its messages.
    pub codec: CodecSettings,
    /// What the form is wrapped in.
    pub compression: Compression,
    /// Where the device's name stands.
    pub device: DeviceRule,
    /// Largest payload accepted, in bytes: as received, and as unpacked where it is compressed. From 1.
    pub max_payload_bytes: usize,
    /// Most values read in one message, good and bad ones together. From 1.
    pub max_readings: usize,
    /// Whether messages that the broker kept from before the subscription are read.
    pub accept_retained: bool,
}

/// What a payload is wrapped in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    None,
    /// One LZ4 block with its size in front (32 bits, little-endian).
    Lz4,
}

/// Where the device's name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceRule {
    /// At this level of the topic, counted from 0.
    TopicLevel(usize),
    /// Where this JSON pointer (RFC 6901) points: a text or a whole number. Codec `json` only.
    Pointer(String),
    /// In this tag. Codec `line` only.
    Tag(String),
    /// Nowhere: all messages are of this device.
    Fixed(DeviceId),
    /// In the SenML name, before its last `:` or `/`. Codec `senml` only.
    SenmlName,
    /// In several places.
    Composed(NameTemplate),
    /// In the topic, as Sparkplug B has it. Codec `sparkplug` only, which has no other.
    Sparkplug(SparkplugDevice),
}

impl DeviceRule {
    /// The name that stands in the payload, at least in part; `None` where the topic, the settings or SenML say it all.
    pub(crate) fn in_payload(&self) -> Option<NameTemplate> {
        let alone = NameTemplate::of_part;
        match self {
            Self::Pointer(pointer) => Some(alone(pointer, NamePart::Pointer(pointer.clone()))),
            Self::Tag(tag) => Some(alone(tag, NamePart::Tag(tag.clone()))),
            Self::Composed(template) => {
                template.parts().any(|part| part.place().is_some()).then(|| template.clone())
            }
            Self::TopicLevel(_) | Self::Fixed(_) | Self::SenmlName | Self::Sparkplug(_) => None,
        }
    }

    /// Whether messages of this codec can name their device in this place.
    pub(crate) fn check_place(&self, codec: CodecPlaces) -> Result<(), CodecSettingsError> {
        let place = match self {
            Self::TopicLevel(_) | Self::Fixed(_) => return Ok(()),
            Self::Sparkplug(_) => "topic of Sparkplug",
            Self::Pointer(_) => "pointer",
            Self::Tag(_) => "tag",
            Self::SenmlName => "SenML name",
            Self::Composed(template) => {
                let foreign = template.parts().find(|part| match part {
                    NamePart::SenmlRecord | NamePart::Field | NamePart::OtherTags => true,
                    part => !codec.has(part),
                });
                return foreign.map_or(Ok(()), |part| Err(codec.refuse(part)));
            }
        };
        if codec.places.contains(&place) {
            Ok(())
        } else {
            Err(CodecSettingsError::DeviceRule { codec: codec.name, place })
        }
    }
}

/// Where the messages of a codec can hold parts of names, beside the topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodecPlaces {
    pub(crate) name: &'static str,
    pub(crate) places: &'static [&'static str],
}

impl CodecPlaces {
    pub(crate) const NUMBER: Self = Self { name: "number", places: &[] };
    pub(crate) const JSON: Self = Self { name: "json", places: &["pointer", "\"*\""] };
    pub(crate) const SENML: Self = Self { name: "senml", places: &["SenML name"] };
    pub(crate) const LINE: Self = Self { name: "line", places: &["measurement", "field", "tag"] };

    pub(crate) const SPARKPLUG: Self = Self { name: "sparkplug", places: &["topic of Sparkplug"] };

    pub(crate) fn has(self, part: &NamePart) -> bool {
        part.place().is_none_or(|place| self.places.contains(&place))
    }

    pub(crate) fn refuse(self, part: &NamePart) -> CodecSettingsError {
        CodecSettingsError::DeviceRule { codec: self.name, place: part.place().unwrap_or("topic") }
    }

    /// Whether a signal's name can be put together from messages of this codec.
    pub(crate) fn check_signal(self, template: &NameTemplate) -> Result<(), CodecSettingsError> {
        let foreign = template.parts().find(|part| !self.has(part));
        foreign.map_or(Ok(()), |part| {
            Err(CodecSettingsError::SignalRule { codec: self.name, place: part.place().unwrap_or("topic") })
        })
    }
}

/// The form of messages.
#[derive(Debug, Clone, PartialEq)]
pub enum CodecSettings {
    /// One number or word per message.
    Number(NumberSettings),
    /// JSON, values where pointers point.
    Json(JsonSettings),
    /// SenML (RFC 8428).
    Senml(SenmlSettings),
    /// InfluxDB line protocol.
    Line(LineSettings),
    /// An array of samples.
    Samples(SamplesSettings),
    /// Sparkplug B.
    Sparkplug(SparkplugCodecSettings),
}

/// Codec `number`.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberSettings {
    /// What the number is called.
    pub signal: SignalRule,
    /// Its unit, after scale and offset.
    pub unit: Option<Unit>,
    /// The reading is `payload * scale + offset`. Finite, not 0.
    pub scale: f64,
    /// See `scale`. Finite.
    pub offset: f64,
    /// Words and the numbers they stand for, on top of `ON`, `OFF`, `true`, `false`, `online`, `offline`
    /// (1 and 0). ASCII case does not matter. Finite.
    pub words: BTreeMap<String, f64>,
    /// How numbers are written.
    pub decimal: Decimal,
}

/// What stands in front of the decimals of a number in text. Numbers of JSON have a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decimal {
    /// `18.4`.
    #[default]
    Point,
    /// `18,4`; a point is refused.
    Comma,
}

/// Codecs `samples_f32` and `samples_i16`. A message with more samples than the source accepts readings is refused as
/// a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplesSettings {
    /// Type of the samples.
    pub element: SampleElement,
    /// What the samples are of.
    pub signal: SignalRule,
    /// Their unit, after scale and offset.
    pub unit: Option<Unit>,
    /// The reading is `sample * scale + offset`. Finite, not 0.
    pub scale: f64,
    /// See `scale`. Finite.
    pub offset: f64,
}

/// Type of samples, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleElement {
    /// IEEE 754 single precision, 4 bytes.
    F32,
    /// Signed, 2 bytes.
    I16,
}

impl SampleElement {
    /// The codec's name.
    #[must_use]
    pub const fn codec(self) -> &'static str {
        match self {
            Self::F32 => "samples_f32",
            Self::I16 => "samples_i16",
        }
    }

    /// Bytes of one sample.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::I16 => 2,
        }
    }
}

/// Where the signal's name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalRule {
    /// Nowhere: it is always this one.
    Fixed(SignalId),
    /// At this level of the topic, counted from 0.
    TopicLevel(usize),
    /// In several places.
    Composed(NameTemplate),
}

/// Codec `json`.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonSettings {
    /// What to take from a message. Not empty.
    pub readings: Vec<JsonMapping>,
    /// Where the device's own time stands, of readings that have none of their own.
    pub time: Option<TimeRule>,
    /// Where their quality stands, of readings that have none of their own.
    pub quality: Option<QualityRule>,
}

/// One place, or with wildcards one kind of place, in JSON messages.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonMapping {
    /// JSON pointer (RFC 6901). A step that is exactly `*` stands for every member or element at its place.
    pub pointer: String,
    /// What the value is called, see [`NameTemplate::parse`]. The first `*` is replaced by what the pointer's first
    /// `*` stands for, the second by the second, and so on. Default: the pointer's last step; of a pointer with `*`,
    /// all steps from the first `*` on, joined by `/`.
    pub signal: Option<String>,
    /// Where its own time stands.
    pub time: Option<TimeRule>,
    /// Where its own quality stands.
    pub quality: Option<QualityRule>,
    /// Its unit, after scale and offset.
    pub unit: Option<Unit>,
    /// The reading is `value * scale + offset`. Finite, not 0.
    pub scale: f64,
    /// See `scale`. Finite.
    pub offset: f64,
    /// Words in strings, as in [`NumberSettings`].
    pub words: BTreeMap<String, f64>,
    /// How numbers in strings are written.
    pub decimal: Decimal,
    /// Whether a message in which nothing stands there is counted as a fault. `null` is nothing.
    pub required: bool,
}

/// Where and in which form the device's own time stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeRule {
    /// JSON pointer (RFC 6901). A `*` in it stands for what the `*` at the same place of a reading's pointer stands for.
    pub pointer: String,
    /// Its form.
    pub format: TimeFormat,
    /// The zone of text that names none; without it such text is refused.
    pub zone: Option<TimeZone>,
}

/// Where and in which form the quality of a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QualityRule {
    /// As in [`TimeRule`].
    pub pointer: String,
    /// Its form.
    pub format: QualityFormat,
}

/// The form of a quality. Words and truth values are understood in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QualityFormat {
    /// Words and truth values alone: a number may be of either kind below.
    Auto,
    /// A number of OPC DA: 192 to 255 is good, 64 to 127 uncertain.
    OpcDa,
    /// A StatusCode of OPC UA, as a number or as an object with `Code` or `Symbol`: 0 is good.
    OpcUa,
}

/// The form of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// Seconds since 1970 in UTC, whole or with a fraction.
    UnixS,
    /// Milliseconds since 1970 in UTC.
    UnixMs,
    /// Microseconds since 1970 in UTC.
    UnixUs,
    /// Nanoseconds since 1970 in UTC.
    UnixNs,
    /// Text such as `2023-11-14T22:13:20.123Z`.
    Rfc3339,
    /// Text: RFC 3339, or digits. Digits: by magnitude, seconds below 10^11, milliseconds below 10^14,
    /// microseconds below 10^17, else nanoseconds.
    Auto,
}

/// Codec `senml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenmlSettings {
    /// Which of its two representations.
    pub format: SenmlFormat,
    /// What values are called. Default: what stands behind the last `:` or `/` of the SenML name.
    pub signal: Option<NameTemplate>,
}

/// The representations of SenML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenmlFormat {
    /// `application/senml+json`.
    Json,
    /// `application/senml+cbor`.
    Cbor,
    /// JSON if the first byte that is not white space is `[`, else CBOR.
    Auto,
}

/// Codec `line`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSettings {
    /// Unit of the timestamps.
    pub precision: Precision,
    /// What values are called.
    pub signal: NameTemplate,
}

impl LineSettings {
    /// What distinguishes series in line protocol: measurement, field and tags. Those that the device's name is made of
    /// are left out.
    pub const SIGNAL: &str = "{measurement}/{field}{tags}";

    /// Settings with signals named so.
    #[must_use]
    pub fn new(precision: Precision) -> Self {
        let signal = NameTemplate::parse(Self::SIGNAL, false).expect("a test holds it");
        Self { precision, signal }
    }
}

/// Unit of timestamps in line protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}
