//! Sources of frames: what pictures are wrapped in, and which of them are judged.

use verge_codec::{DeviceRule, FrameCodec, FrameDecoders, FrameSourceSettings, JsonImageSettings};
use verge_pipeline::frames::{FrameSourceSpec, Keep};

use super::{check_pointer, check_time};
use crate::config::{RawCodec, RawFrames, RawSource};
use crate::settings::Check;

/// How a source of frames is set.
#[derive(Debug, Clone)]
pub struct FrameSource {
    /// How to read its messages.
    pub codec: FrameSourceSettings,
    /// Which frames are judged, and how soon.
    pub schedule: FrameSourceSpec,
}

pub(super) fn check_frames(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawSource,
    device: Option<DeviceRule>,
) -> Option<FrameSource> {
    let (codec, pictures) = match raw.codec.as_ref()? {
        RawCodec::Jpeg(raw) => (FrameCodec::Jpeg, &raw.pictures),
        RawCodec::JpegB64(raw) => (FrameCodec::Base64, &raw.pictures),
        RawCodec::JsonImage(raw) => {
            let image = check_pointer(check, &format!("{section}.image"), raw.image.as_deref());
            let time = match &raw.time {
                None => None,
                Some(time) => Some(check_time(check, section, time)?),
            };
            (FrameCodec::Json(JsonImageSettings { image: image?, time }), &raw.pictures)
        }
        _ => return None,
    };
    let settings = FrameSourceSettings {
        codec,
        compression: raw.compression,
        device: device?,
        max_payload_bytes: pictures.max_payload.to_usize(),
        max_pixels: pictures.max_pixels,
        accept_retained: raw.retained,
    };
    if let Err(error) = FrameDecoders::new(vec![Some(settings.clone())]) {
        check.faults.push(super::decoding(section, raw, &error));
    }
    let keep = match pictures.frames {
        RawFrames::Newest => Keep::Newest { deadline: pictures.max_age.0 },
        RawFrames::Every => Keep::Every,
    };
    Some(FrameSource { codec: settings, schedule: FrameSourceSpec { keep, urgency: pictures.urgency.0 } })
}
