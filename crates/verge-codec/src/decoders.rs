//! From message to readings: the checks every message passes, in order, before its codec sees it.

use std::sync::Arc;

use verge_domain::id::DeviceId;
use verge_domain::reading::{Decoded, Inbound};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::Decoder;

use crate::input::{Codec, Message, Output};
use crate::lz4::Unpacker;
use crate::names::Names;
use crate::settings::{CodecSettings, CodecSettingsError, Compression, DeviceRule, SourceSettings};

/// The decoders of all sources, in the order of the settings: `Inbound::source` is an index into them.
#[derive(Debug)]
pub struct Decoders {
    sources: Vec<Source>,
    names: Names,
    unpacker: Unpacker,
}

#[derive(Debug)]
struct Source {
    codec: Codec,
    compression: Compression,
    device: MessageDevice,
    max_payload_bytes: usize,
    max_readings: usize,
    accept_retained: bool,
}

/// The device's name, as far as it can be known before the payload is read.
#[derive(Debug)]
enum MessageDevice {
    Fixed(DeviceId),
    TopicLevel { level: usize, part: Arc<str> },
    InPayload,
}

impl Decoders {
    /// Prepares one decoder per source.
    ///
    /// # Errors
    /// Settings that contradict themselves.
    pub fn new(sources: Vec<SourceSettings>) -> Result<Self, CodecSettingsError> {
        let sources = sources.into_iter().map(Source::new).collect::<Result<_, _>>()?;
        Ok(Self { sources, names: Names::new(), unpacker: Unpacker::default() })
    }
}

impl Decoder for Decoders {
    fn decode(&mut self, message: &Inbound, out: &mut Decoded) {
        out.clear();
        let Some(source) = self.sources.get_mut(usize::from(message.source.0)) else {
            out.rejections.push(Rejection::whole(Reason::UnknownTopic));
            return;
        };
        if let Err(rejection) = source.decode(message, &mut self.names, &mut self.unpacker, out) {
            out.readings.clear();
            out.rejections.clear();
            out.rejections.push(rejection);
        }
    }
}

impl Source {
    fn new(settings: SourceSettings) -> Result<Self, CodecSettingsError> {
        let SourceSettings { codec, compression, device, max_payload_bytes, max_readings, accept_retained } =
            settings;
        for (limit, value) in [("max_payload_bytes", max_payload_bytes), ("max_readings", max_readings)] {
            if value == 0 {
                return Err(CodecSettingsError::ZeroLimit { limit });
            }
        }
        check_place(&codec, &device)?;
        let codec = Codec::new(codec, &device)?;
        let device = match device {
            DeviceRule::Fixed(device) => MessageDevice::Fixed(device),
            DeviceRule::TopicLevel(level) => {
                MessageDevice::TopicLevel { level, part: Arc::from(format!("topic:{level}")) }
            }
            DeviceRule::Pointer(_) | DeviceRule::Tag(_) | DeviceRule::SenmlName => MessageDevice::InPayload,
        };
        Ok(Self { codec, compression, device, max_payload_bytes, max_readings, accept_retained })
    }

    /// Decodes one message. An error refuses the message as a whole.
    fn decode(
        &mut self,
        message: &Inbound,
        names: &mut Names,
        unpacker: &mut Unpacker,
        out: &mut Decoded,
    ) -> Result<(), Rejection> {
        if message.retained && !self.accept_retained {
            return Err(Rejection::whole(Reason::Retained));
        }
        let mut payload: &[u8] = &message.payload;
        if payload.len() > self.max_payload_bytes {
            return Err(Rejection::whole(Reason::TooLarge));
        }
        if self.compression == Compression::Lz4 && !payload.is_empty() {
            payload = unpacker
                .unpack(payload, self.max_payload_bytes)
                .map_err(|error| Rejection::whole(error.reason()))?;
        }
        if payload.is_empty() {
            return Err(Rejection::whole(Reason::Empty));
        }
        let device = self.device.of(&message.topic, names)?;
        let received = message.received.wall;
        let message = Message { topic: &message.topic, payload, device, received };
        self.codec.decode(&message, names, &mut Output::new(out, self.max_readings, received))
    }
}

impl MessageDevice {
    /// The message's device; `None` where its payload names it.
    fn of(&self, topic: &str, names: &mut Names) -> Result<Option<DeviceId>, Rejection> {
        match self {
            Self::Fixed(device) => Ok(Some(device.clone())),
            Self::TopicLevel { level, part } => {
                let refuse = |reason| Rejection { reason, part: Some(Arc::clone(part)) };
                let name = topic.split('/').nth(*level).ok_or_else(|| refuse(Reason::MissingDevice))?;
                names.device(name).map(Some).map_err(|_| refuse(Reason::BadName))
            }
            Self::InPayload => Ok(None),
        }
    }
}

/// Whether messages of this codec can name their device in this place.
fn check_place(codec: &CodecSettings, device: &DeviceRule) -> Result<(), CodecSettingsError> {
    let place = match device {
        DeviceRule::TopicLevel(_) | DeviceRule::Fixed(_) => return Ok(()),
        DeviceRule::Pointer(_) => "pointer",
        DeviceRule::Tag(_) => "tag",
        DeviceRule::SenmlName => "SenML name",
    };
    let (codec, own_place) = match codec {
        CodecSettings::Number(_) => ("number", ""),
        CodecSettings::Json(_) => ("json", "pointer"),
        CodecSettings::Senml(_) => ("senml", "SenML name"),
        CodecSettings::Line(_) => ("line", "tag"),
    };
    if place == own_place { Ok(()) } else { Err(CodecSettingsError::DeviceRule { codec, place }) }
}
