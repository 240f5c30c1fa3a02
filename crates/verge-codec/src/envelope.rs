//! What every message passes, in order, before its codec sees it; and where its device's name stands.

use std::sync::Arc;

use bytes::Bytes;
use verge_domain::id::DeviceId;
use verge_domain::reading::Inbound;
use verge_domain::rejection::{Reason, Rejection};

use crate::names::NameCache;
use crate::settings::{CodecSettingsError, Compression, DeviceRule};
use crate::template::{NameTemplate, write_topic};
use verge_lz4::Unpacker;

/// What stands around the payloads of one source.
#[derive(Debug)]
pub(crate) struct SourceEnvelope {
    device: MessageDevice,
    compression: Compression,
    max_payload_bytes: usize,
    accept_retained: bool,
}

/// The device's name, as far as it can be known before the payload is read.
#[derive(Debug)]
enum MessageDevice {
    Fixed(DeviceId),
    TopicLevel { level: usize, part: Arc<str> },
    Topic { template: NameTemplate, part: Arc<str> },
    InPayload,
}

/// A payload that passed.
#[derive(Debug)]
pub(crate) enum Payload<'m> {
    /// As it was received.
    Received(&'m Bytes),
    /// Out of its LZ4 block.
    Unpacked(&'m [u8]),
}

impl Payload<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Received(bytes) => bytes,
            Self::Unpacked(bytes) => bytes,
        }
    }

    /// The received buffer, not a copy; what was unpacked is copied.
    pub(crate) fn to_bytes(&self) -> Bytes {
        match self {
            Self::Received(bytes) => Bytes::clone(bytes),
            Self::Unpacked(bytes) => Bytes::copy_from_slice(bytes),
        }
    }
}

impl SourceEnvelope {
    pub(crate) fn new(
        device: DeviceRule,
        compression: Compression,
        max_payload_bytes: usize,
        accept_retained: bool,
    ) -> Result<Self, CodecSettingsError> {
        if max_payload_bytes == 0 {
            return Err(CodecSettingsError::ZeroLimit { limit: "max_payload_bytes" });
        }
        Ok(Self { device: MessageDevice::new(device), compression, max_payload_bytes, accept_retained })
    }

    /// The payload, and the device's name unless that stands within. An error refuses the message as a whole.
    pub(crate) fn open<'m>(
        &self,
        message: &'m Inbound,
        names: &mut NameCache,
        unpacker: &'m mut Unpacker,
    ) -> Result<(Payload<'m>, Option<DeviceId>), Rejection> {
        if message.retained && !self.accept_retained {
            return Err(Rejection::whole(Reason::Retained));
        }
        if message.payload.len() > self.max_payload_bytes {
            return Err(Rejection::whole(Reason::TooLarge));
        }
        let payload = match self.compression {
            Compression::Lz4 if !message.payload.is_empty() => {
                let unpacked = unpacker.unpack(&message.payload, self.max_payload_bytes);
                Payload::Unpacked(unpacked.map_err(|error| Rejection::whole(error.reason()))?)
            }
            Compression::None | Compression::Lz4 => Payload::Received(&message.payload),
        };
        if payload.as_slice().is_empty() {
            return Err(Rejection::whole(Reason::Empty));
        }
        Ok((payload, self.device.of(&message.topic, names)?))
    }
}

impl MessageDevice {
    fn new(rule: DeviceRule) -> Self {
        match rule {
            DeviceRule::Fixed(device) => Self::Fixed(device),
            DeviceRule::TopicLevel(level) => {
                Self::TopicLevel { level, part: Arc::from(format!("topic:{level}")) }
            }
            DeviceRule::Composed(template) if template.parts().all(|part| part.place().is_none()) => {
                Self::Topic { part: Arc::from(template.as_str()), template }
            }
            DeviceRule::Pointer(_)
            | DeviceRule::Tag(_)
            | DeviceRule::SenmlName
            | DeviceRule::Composed(_)
            | DeviceRule::Sparkplug(_) => Self::InPayload,
        }
    }

    /// The message's device; `None` where its payload names it.
    fn of(&self, topic: &str, names: &mut NameCache) -> Result<Option<DeviceId>, Rejection> {
        match self {
            Self::Fixed(device) => Ok(Some(device.clone())),
            Self::TopicLevel { level, part } => {
                let refuse = |reason| Rejection::at(reason, part);
                let name = topic.split('/').nth(*level).ok_or_else(|| refuse(Reason::MissingDevice))?;
                names.device(name).map(Some).map_err(|_| refuse(Reason::BadName))
            }
            Self::Topic { template, part } => names
                .composed_device(template, |_, part, out| write_topic(part, topic, out))
                .map(Some)
                .map_err(|reason| Rejection::at(reason, part)),
            Self::InPayload => Ok(None),
        }
    }
}
