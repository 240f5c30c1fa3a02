//! From message to frame: unwraps what cameras send and reads the headers of the picture. No pixel is decoded
//! here, but nothing leaves that announces more of them than its source accepts.

mod base64;
mod jpeg;
mod json;

use bytes::Bytes;
use verge_domain::frame::EncodedFrame;
use verge_domain::id::DeviceId;
use verge_domain::reading::{Decoded, Inbound};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::Decoder;
use verge_domain::time::{DeviceClock, UtcMillis};

use crate::decoders::MessageDevice;
use crate::lz4::Unpacker;
use crate::names::Names;
use crate::settings::{CodecSettingsError, Compression, FrameCodec, FrameSourceSettings};

/// The decoders of all sources of frames. A source that carries none has no place here.
#[derive(Debug)]
pub struct FrameDecoders {
    /// By the index of the source.
    sources: Vec<Option<Source>>,
    names: Names,
    unpacker: Unpacker,
}

#[derive(Debug)]
struct Source {
    codec: Codec,
    compression: Compression,
    device: MessageDevice,
    max_payload_bytes: usize,
    max_pixels: u64,
    accept_retained: bool,
}

/// What pictures are wrapped in.
#[derive(Debug)]
enum Codec {
    Jpeg,
    Base64,
    Json(json::JsonImage),
}

/// A picture and what its message says beside it.
struct Unwrapped {
    bytes: Bytes,
    device: Option<DeviceId>,
    captured_at: Option<UtcMillis>,
    /// What is wrong beside the picture: it is judged all the same.
    beside: Option<Rejection>,
}

impl Unwrapped {
    fn bare(bytes: Bytes) -> Self {
        Self { bytes, device: None, captured_at: None, beside: None }
    }
}

impl FrameDecoders {
    /// Prepares one decoder per source of frames, in the order of the sources.
    ///
    /// # Errors
    /// Settings that contradict themselves.
    pub fn new(sources: Vec<Option<FrameSourceSettings>>) -> Result<Self, CodecSettingsError> {
        let sources = sources
            .into_iter()
            .map(|source| source.map(Source::new).transpose())
            .collect::<Result<_, _>>()?;
        Ok(Self { sources, names: Names::new(), unpacker: Unpacker::default() })
    }
}

impl Decoder for FrameDecoders {
    type Item = EncodedFrame;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<EncodedFrame>) {
        out.clear();
        let Some(Some(source)) = self.sources.get(usize::from(message.source.0)) else {
            out.rejections.push(Rejection::whole(Reason::UnknownTopic));
            return;
        };
        if let Err(rejection) = source.decode(message, &mut self.names, &mut self.unpacker, out) {
            out.items.clear();
            out.rejections.clear();
            out.rejections.push(rejection);
        }
    }
}

impl Source {
    fn new(settings: FrameSourceSettings) -> Result<Self, CodecSettingsError> {
        let FrameSourceSettings {
            codec,
            compression,
            device,
            max_payload_bytes,
            max_pixels,
            accept_retained,
        } = settings;
        if max_payload_bytes == 0 {
            return Err(CodecSettingsError::ZeroLimit { limit: "max_payload_bytes" });
        }
        if max_pixels == 0 {
            return Err(CodecSettingsError::ZeroLimit { limit: "max_pixels" });
        }
        let (name, own_place) = match &codec {
            FrameCodec::Jpeg => ("jpeg", ""),
            FrameCodec::Base64 => ("jpeg_b64", ""),
            FrameCodec::Json(_) => ("json_image", "pointer"),
        };
        device.check_place(name, own_place)?;
        let codec = match codec {
            FrameCodec::Jpeg => Codec::Jpeg,
            FrameCodec::Base64 => Codec::Base64,
            FrameCodec::Json(settings) => Codec::Json(json::JsonImage::new(settings, &device)?),
        };
        Ok(Self {
            codec,
            compression,
            device: MessageDevice::new(device),
            max_payload_bytes,
            max_pixels,
            accept_retained,
        })
    }

    /// Decodes one message. An error refuses it as a whole.
    fn decode(
        &self,
        message: &Inbound,
        names: &mut Names,
        unpacker: &mut Unpacker,
        out: &mut Decoded<EncodedFrame>,
    ) -> Result<(), Rejection> {
        if message.retained && !self.accept_retained {
            return Err(Rejection::whole(Reason::Retained));
        }
        if message.payload.len() > self.max_payload_bytes {
            return Err(Rejection::whole(Reason::TooLarge));
        }
        let payload = match self.compression {
            Compression::Lz4 if !message.payload.is_empty() => {
                let unpacked = unpacker
                    .unpack(&message.payload, self.max_payload_bytes)
                    .map_err(|error| Rejection::whole(error.reason()))?;
                Bytes::copy_from_slice(unpacked)
            }
            // The received buffer, not a copy.
            Compression::None | Compression::Lz4 => message.payload.clone(),
        };
        if payload.is_empty() {
            return Err(Rejection::whole(Reason::Empty));
        }
        let known = self.device.of(&message.topic, names)?;
        let Unwrapped { bytes, device, captured_at, beside } = match &self.codec {
            Codec::Jpeg => Unwrapped::bare(payload),
            Codec::Base64 => Unwrapped::bare(base64::decode(&payload).map_err(Rejection::whole)?),
            Codec::Json(codec) => codec.unwrap(&payload, names)?,
        };
        let device = known.or(device).ok_or(Rejection::whole(Reason::MissingDevice))?;
        let header = jpeg::header(&bytes, self.max_pixels).map_err(Rejection::whole)?;
        out.rejections.extend(beside);
        out.items.push(EncodedFrame {
            device,
            format: verge_domain::frame::ImageFormat::Jpeg,
            bytes,
            width: header.width,
            height: header.height,
            orientation: header.orientation,
            captured_at,
            clock: DeviceClock::of(captured_at, message.received.wall),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
