//! Sources of frames: what pictures are wrapped in, and which of them are judged.

use verge_codec::{DeviceRule, FrameCodec, FrameDecoders, FrameSourceSettings, JsonImageSettings};
use verge_pipeline::frames::{FrameSourceSpec, Keep};

use verge_scene::settings::check_polygon;
use verge_vision::PrivacyMask;
use wildmatch::WildMatch;

use super::{check_pointer, check_time};
use crate::config::{Fault, Map, RawCodec, RawFrames, RawMask, RawSource};
use crate::settings::Check;

/// How a source of frames is set.
#[derive(Debug, Clone)]
pub struct FrameSource {
    /// How to read its messages.
    pub codec: FrameSourceSettings,
    /// Which frames are judged, and how soon.
    pub schedule: FrameSourceSpec,
    /// What of its pictures is hidden before anything sees them.
    pub masks: Vec<PrivacyMask>,
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
    let masks = check_masks(check, section, pictures.mask.as_ref())?;
    if let (RawFrames::Every, Some(least)) = (pictures.frames, pictures.least) {
        let expected = "nothing beside frames = \"every\": no frame is given up, the connection waits";
        let fault = Fault::new(format!("{section}.least"), least.to_string(), expected);
        check.faults.push(fault.remedy("take it out, or write frames = \"newest\""));
    }
    let schedule = FrameSourceSpec { keep, urgency: pictures.urgency.0, least: pictures.least };
    Some(FrameSource { codec: settings, schedule, masks })
}

/// All masks; `None` where one is none.
fn check_masks(
    check: &mut Check<'_>,
    section: &str,
    masks: Option<&Map<RawMask>>,
) -> Option<Vec<PrivacyMask>> {
    let mut fit = Some(Vec::new());
    for (name, raw) in masks.into_iter().flatten() {
        let mask = raw.polygon.as_ref().and_then(|corners| {
            let key = format!("{section}.mask.{name}.polygon");
            let fault = |error| {
                let expected = format!("corners that enclose a part of the picture ({error})");
                let fault = Fault::new(key, format!("{corners:?}"), expected);
                Fault { of_value: true, ..fault.remedy("write other corners") }
            };
            check_polygon(corners).map_err(|error| check.faults.push(fault(error))).ok()?;
            let devices = raw.devices.iter().flatten().map(|pattern| WildMatch::new(pattern)).collect();
            Some(PrivacyMask { name: name.clone(), corners: corners.clone(), devices })
        });
        match (&mut fit, mask) {
            (Some(fit), Some(mask)) => fit.push(mask),
            _ => fit = None,
        }
    }
    fit
}
