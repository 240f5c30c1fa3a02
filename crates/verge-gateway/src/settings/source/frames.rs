//! Sources of frames: what pictures are wrapped in, and which of them are judged.

use verge_codec::{
    Compression, DeviceRule, FrameCodec, FrameDecoders, FrameSourceSettings, JsonImageSettings,
};
use verge_pipeline::frames::{FrameSourceSpec, Keep};

use super::{check_pointer, check_time};
use crate::config::{RawCodec, RawFrames, RawSource};
use crate::settings::Check;

/// What a source of frames is told.
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
    codec: RawCodec,
    raw: &RawSource,
    device: Option<DeviceRule>,
    compression: Compression,
) -> Option<FrameSource> {
    let codec = match codec {
        RawCodec::Jpeg => FrameCodec::Jpeg,
        RawCodec::JpegB64 => FrameCodec::Base64,
        RawCodec::JsonImage => {
            let image =
                raw.image.as_deref().and_then(|text| check_pointer(check, &format!("{section}.image"), text));
            let time = match &raw.time {
                None => None,
                Some(time) => Some(check_time(check, section, time)?),
            };
            FrameCodec::Json(JsonImageSettings { image: image?, time })
        }
        RawCodec::Number
        | RawCodec::Json
        | RawCodec::Senml
        | RawCodec::Line
        | RawCodec::SamplesF32
        | RawCodec::SamplesI16 => return None,
    };
    let settings = FrameSourceSettings {
        codec,
        compression,
        device: device?,
        max_payload_bytes: raw.max_payload?.to_usize(),
        max_pixels: raw.max_pixels?,
        accept_retained: raw.retained,
    };
    if let Err(error) = FrameDecoders::new(vec![Some(settings.clone())]) {
        check.faults.push(super::decoding(section, raw, &error));
    }
    let keep = match raw.frames? {
        RawFrames::Newest => Keep::Newest { deadline: raw.max_age?.0 },
        RawFrames::Every => Keep::Every,
    };
    Some(FrameSource { codec: settings, schedule: FrameSourceSpec { keep, urgency: raw.urgency?.0 } })
}
