//! The codecs of what devices send. One file or folder per codec; each turns a payload into readings and
//! rejections, and refuses the message as a whole only where nothing in it can be trusted.

pub(crate) mod base64;
pub(crate) mod buffer;
pub(crate) mod json;
pub(crate) mod json_text;
mod line;
mod line_repair;
mod number;
mod samples;
mod senml;
mod sparkplug;

use std::sync::Arc;

use verge_domain::excerpt::Excerpt;
use verge_domain::id::{DeviceId, SignalId, Unit};
use verge_domain::reading::{Decoded, Quality, Reading};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::{DeviceClock, UtcMillis};

use crate::names::NameCache;
use crate::number::finite;
use crate::settings::{CodecSettings, CodecSettingsError, DeviceRule};

/// What a codec is given: a message that has passed the checks common to all.
#[derive(Debug)]
pub(crate) struct InputMessage<'a> {
    pub(crate) topic: &'a str,
    /// Unpacked, not empty, not larger than the source accepts.
    pub(crate) payload: &'a [u8],
    /// `None` where the payload names the device.
    pub(crate) device: Option<DeviceId>,
    pub(crate) received: UtcMillis,
}

impl<'a> InputMessage<'a> {
    fn text(&self) -> Result<&'a str, Rejection> {
        std::str::from_utf8(bare_text(self.payload)).map_err(|_| Rejection::whole(Reason::NotUtf8))
    }
}

/// Text without what editors put in front of it (a byte order mark), and without the zeros and line ends that devices send
/// behind it.
pub(crate) fn bare_text(payload: &[u8]) -> &[u8] {
    let mut text = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    while let [rest @ .., 0 | b'\n' | b'\r' | b'\t' | b' '] = text {
        text = rest;
    }
    text
}

/// The codecs there are.
#[derive(Debug)]
pub(crate) enum Codec {
    Number(number::NumberCodec),
    Json(json::JsonCodec),
    Senml(senml::SenmlCodec),
    Line(line::LineCodec),
    Samples(samples::SamplesCodec),
    Sparkplug(sparkplug::SparkplugCodec),
}

impl Codec {
    pub(crate) fn new(settings: CodecSettings, device: &DeviceRule) -> Result<Self, CodecSettingsError> {
        Ok(match settings {
            CodecSettings::Number(settings) => Self::Number(number::NumberCodec::new(settings)?),
            CodecSettings::Json(settings) => Self::Json(json::JsonCodec::new(settings, device)?),
            CodecSettings::Senml(settings) => Self::Senml(senml::SenmlCodec::new(settings, device)?),
            CodecSettings::Line(settings) => Self::Line(line::LineCodec::new(settings, device)?),
            CodecSettings::Samples(settings) => Self::Samples(samples::SamplesCodec::new(settings)?),
            CodecSettings::Sparkplug(settings) => {
                Self::Sparkplug(sparkplug::SparkplugCodec::new(&settings, device)?)
            }
        })
    }

    /// Whether the source reads what Node-RED makes of bytes as the JSON that it is.
    pub(crate) fn reads_buffers(&self) -> bool {
        matches!(self, Self::Json(codec) if codec.reads_buffers())
    }

    /// Decodes one message. An error refuses it as a whole.
    pub(crate) fn decode(
        &mut self,
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> Result<(), Rejection> {
        match self {
            Self::Number(codec) => codec.decode(message, names, output),
            Self::Json(codec) => codec.decode(message, names, output),
            Self::Senml(codec) => codec.decode(message, names, output),
            Self::Line(codec) => codec.decode(message, names, output),
            Self::Samples(codec) => codec.decode(message, names, output),
            Self::Sparkplug(codec) => codec.decode(message, names, output),
        }
    }
}

/// Where a codec puts what it finds. Bounded: beyond the source's limit one rejection says so.
#[derive(Debug)]
pub(crate) struct DecoderOutput<'a> {
    decoded: &'a mut Decoded<Reading>,
    max_readings: usize,
    room: usize,
    full: bool,
    received: UtcMillis,
}

impl<'a> DecoderOutput<'a> {
    pub(crate) fn new(decoded: &'a mut Decoded<Reading>, max_readings: usize, received: UtcMillis) -> Self {
        Self { decoded, max_readings, room: max_readings, full: false, received }
    }

    /// Forgets what was found: the message is read once more.
    fn restart(&mut self) {
        self.decoded.clear();
        self.room = self.max_readings;
        self.full = false;
    }

    /// Makes room for one value, good or bad. `false`: there is none, which is counted once, and the rest
    /// of the message is not to be read.
    fn take_room(&mut self) -> bool {
        if let Some(room) = self.room.checked_sub(1) {
            self.room = room;
            return true;
        }
        if !self.full {
            self.full = true;
            self.decoded.rejections.push(Rejection::whole(Reason::TooManyReadings));
        }
        false
    }

    fn reject_whole(&mut self, reason: Reason) {
        self.decoded.rejections.push(Rejection::whole(reason));
    }

    /// A device is away.
    fn away(&mut self, device: DeviceId) {
        self.decoded.away.push(device);
    }

    /// Somebody is to be asked for what the message lacks.
    fn ask(&mut self, topic: Option<String>) {
        self.decoded.asks = topic;
    }

    fn reject(&mut self, reason: Reason, part: &Arc<str>) {
        self.decoded.rejections.push(Rejection::at(reason, part));
    }

    /// The same, showing the value that is refused, and the signal that it is of.
    fn reject_showing(&mut self, reason: Reason, part: &Arc<str>, came: Excerpt, signal: Option<SignalId>) {
        self.decoded.rejections.push(Rejection { came, signal, ..Rejection::at(reason, part) });
    }

    fn reading(
        &mut self,
        device: &DeviceId,
        signal: SignalId,
        value: f64,
        unit: Option<Unit>,
        captured_at: Option<UtcMillis>,
    ) {
        self.reading_that(device, signal, value, Says { unit, captured_at, quality: Quality::Good });
    }

    fn reading_that(&mut self, device: &DeviceId, signal: SignalId, value: f64, says: Says) {
        let Says { unit, captured_at, quality } = says;
        self.decoded.items.push(Reading {
            device: device.clone(),
            signal,
            value,
            unit,
            captured_at,
            clock: DeviceClock::of(captured_at, self.received),
            quality,
        });
    }
}

/// What a device says of a value.
#[derive(Debug)]
struct Says {
    unit: Option<Unit>,
    captured_at: Option<UtcMillis>,
    quality: Quality,
}

/// `value * scale + offset`, as the settings of `number`, `json` and the samples state it.
#[derive(Debug, Clone, Copy)]
struct Linear {
    scale: f64,
    offset: f64,
}

impl Linear {
    fn new(scale: f64, offset: f64) -> Result<Self, CodecSettingsError> {
        if !scale.is_finite() || scale == 0.0 {
            return Err(CodecSettingsError::Scale { scale });
        }
        if !offset.is_finite() {
            return Err(CodecSettingsError::Offset { offset });
        }
        Ok(Self { scale, offset })
    }

    /// Whether readings are the numbers of the message.
    fn is_identity(self) -> bool {
        self.scale == 1.0 && self.offset == 0.0
    }

    fn apply(self, value: f64) -> Result<f64, Reason> {
        finite(value * self.scale + self.offset)
    }
}
