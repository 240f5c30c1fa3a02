//! From message to frame: unwraps what cameras send and reads the headers of the picture. No pixel is decoded
//! here, but nothing leaves that announces more of them than its source accepts.

mod base64;
mod jpeg;
mod json;

use bytes::Bytes;
use verge_domain::frame::{EncodedFrame, ImageFormat};
use verge_domain::id::DeviceId;
use verge_domain::reading::{Decoded, Inbound};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::{DeviceClock, UtcMillis};

use crate::decoders::{SourceDecoder, SourceDecoders, Tools};
use crate::envelope::Envelope;
use crate::offsets::Offsets;
use crate::settings::{CodecPlaces, CodecSettingsError, FrameCodec, FrameSourceSettings};

/// The decoders of all sources of frames.
pub type FrameDecoders = SourceDecoders<FrameSource>;

/// The decoder of one source of frames.
#[derive(Debug)]
pub struct FrameSource {
    envelope: Envelope,
    codec: Codec,
    max_pixels: u64,
    offsets: Offsets,
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

impl SourceDecoder for FrameSource {
    type Settings = FrameSourceSettings;
    type Item = EncodedFrame;

    fn new(settings: FrameSourceSettings) -> Result<Self, CodecSettingsError> {
        let FrameSourceSettings {
            codec,
            compression,
            device,
            max_payload_bytes,
            max_pixels,
            accept_retained,
        } = settings;
        if max_pixels == 0 {
            return Err(CodecSettingsError::ZeroLimit { limit: "max_pixels" });
        }
        device.check_place(match &codec {
            FrameCodec::Jpeg => CodecPlaces { name: "jpeg", places: &[] },
            FrameCodec::Base64 => CodecPlaces { name: "jpeg_b64", places: &[] },
            FrameCodec::Json(_) => CodecPlaces { name: "json_image", places: &["pointer"] },
        })?;
        let codec = match codec {
            FrameCodec::Jpeg => Codec::Jpeg,
            FrameCodec::Base64 => Codec::Base64,
            FrameCodec::Json(settings) => Codec::Json(json::JsonImage::new(settings, &device)?),
        };
        let envelope = Envelope::new(device, compression, max_payload_bytes, accept_retained)?;
        Ok(Self { envelope, codec, max_pixels, offsets: Offsets::default() })
    }

    fn decode(
        &mut self,
        message: &Inbound,
        tools: &mut Tools,
        out: &mut Decoded<EncodedFrame>,
    ) -> Result<(), Rejection> {
        let Tools { names, unpacker } = tools;
        let (payload, known) = self.envelope.open(message, names, unpacker)?;
        let Unwrapped { bytes, device, captured_at, beside } = match &self.codec {
            Codec::Jpeg => Unwrapped::bare(payload.to_bytes()),
            Codec::Base64 => Unwrapped::bare(base64::decode(payload.as_slice()).map_err(Rejection::whole)?),
            Codec::Json(codec) => codec.unwrap(&message.topic, payload.as_slice(), names)?,
        };
        let device = known.or(device).ok_or(Rejection::whole(Reason::MissingDevice))?;
        let header = jpeg::header(&bytes, self.max_pixels).map_err(Rejection::whole)?;
        out.rejections.extend(beside);
        self.offsets.hear(&device, captured_at, message.received, &mut out.clock_offsets);
        let clock = match DeviceClock::of(captured_at, message.received.wall) {
            DeviceClock::Trusted if self.offsets.has(&device) => DeviceClock::Skewed,
            clock => clock,
        };
        out.items.push(EncodedFrame {
            device,
            format: ImageFormat::Jpeg,
            bytes: bytes.slice(..header.end),
            width: header.width,
            height: header.height,
            orientation: header.orientation,
            captured_at,
            clock,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
