//! From message to frame: unwraps what cameras send and reads the headers of the picture. No pixel is decoded
//! here, but nothing leaves that announces more of them than its source accepts.

mod jpeg;
mod json;

use bytes::Bytes;
use verge_domain::frame::{EncodedFrame, ImageFormat};
use verge_domain::id::DeviceId;
use verge_domain::reading::{Decoded, Inbound};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::{DeviceClock, UtcMillis};

use crate::decoders::{SourceDecoder, SourceDecoders, Tools, show};
use crate::envelope::{Payload, SourceEnvelope};
use crate::input::{base64, buffer};
use crate::names::NameCache;
use crate::offsets::Offsets;
use crate::settings::{CodecPlaces, CodecSettingsError, FrameCodec, FrameSourceSettings};

/// The decoders of all sources of frames.
pub type FrameDecoders = SourceDecoders<FrameDecoder>;

/// The decoder of one source of frames.
#[derive(Debug)]
pub struct FrameDecoder {
    envelope: SourceEnvelope,
    codec: PictureWrapping,
    max_pixels: u64,
    offsets: Offsets,
}

/// What pictures are wrapped in.
#[derive(Debug)]
enum PictureWrapping {
    Jpeg,
    Base64,
    Json(Box<json::JsonImage>),
}

impl PictureWrapping {
    fn unwrap(
        &mut self,
        message: &Inbound,
        payload: &Payload<'_>,
        names: &mut NameCache,
    ) -> Result<Unwrapped, Rejection> {
        let bytes = payload.as_slice();
        if !matches!(self, Self::Json(_))
            && let Some(picture) = buffer::of_message(bytes)
        {
            return Ok(Unwrapped::bare(picture.into()));
        }
        match self {
            Self::Jpeg => Ok(Unwrapped::bare(payload.to_bytes())),
            Self::Base64 => base64::decode(bytes).map(Unwrapped::bare).map_err(Rejection::whole),
            Self::Json(codec) => codec.unwrap(&message.topic, bytes, message.received.wall, names),
        }
    }
}

/// A picture and what its message says beside it.
struct Unwrapped {
    bytes: Bytes,
    device: Option<DeviceId>,
    captured_at: Option<UtcMillis>,
    /// What is wrong beside the picture, which is judged nevertheless.
    beside: Option<Rejection>,
}

impl Unwrapped {
    fn bare(bytes: Bytes) -> Self {
        Self { bytes, device: None, captured_at: None, beside: None }
    }
}

impl SourceDecoder for FrameDecoder {
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
            FrameCodec::Jpeg => PictureWrapping::Jpeg,
            FrameCodec::Base64 => PictureWrapping::Base64,
            FrameCodec::Json(settings) => {
                PictureWrapping::Json(Box::new(json::JsonImage::new(settings, &device)?))
            }
        };
        let envelope = SourceEnvelope::new(device, compression, max_payload_bytes, accept_retained)?;
        Ok(Self { envelope, codec, max_pixels, offsets: Offsets::default() })
    }

    fn decode(
        &mut self,
        message: &Inbound,
        tools: &mut Tools,
        out: &mut Decoded<EncodedFrame>,
    ) -> Result<(), Rejection> {
        let Tools { names, unpacker } = tools;
        let opened = self.envelope.open(message, names, unpacker);
        let (payload, known) = opened.map_err(|refused| refused.showing(&message.payload))?;
        let unwrapped = self.codec.unwrap(message, &payload, names);
        let Unwrapped { bytes, device, captured_at, beside } =
            unwrapped.map_err(|refused| refused.showing(payload.as_slice()))?;
        let whole = |reason| Rejection::whole(reason).showing(payload.as_slice());
        let device = known.or(device).ok_or_else(|| whole(Reason::MissingDevice))?;
        // Out of its wrapping: that it was text is known.
        let header = jpeg::header(&bytes, self.max_pixels)
            .map_err(|reason| Rejection::whole(reason).showing(&bytes).showing(payload.as_slice()))?;
        out.rejections.extend(beside);
        show(&mut out.rejections, payload.as_slice());
        self.offsets.observe(&device, captured_at, message.received, &mut out.clock_offsets);
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
