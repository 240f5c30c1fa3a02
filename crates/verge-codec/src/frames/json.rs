//! Codec `json_image`: a picture in base64 where a JSON pointer points, with the device and the time beside it.

use std::sync::Arc;

use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::UtcMillis;

use super::Unwrapped;
use crate::input::json::found::{Beside, BesidePlace, MessageMatches, Refused};
use crate::input::json::pointer::{self, Node};
use crate::input::json::time::TimeNotation;
use crate::input::json::{Composed, Pointers, walk};
use crate::input::{bare_text, json_text};
use crate::names::NameCache;
use crate::settings::{CodecSettingsError, DeviceRule, JsonImageSettings};
use crate::template::{NamePart, NameTemplate};

#[derive(Debug)]
pub(super) struct JsonImage {
    tree: Node,
    image: (Arc<str>, BesidePlace),
    /// `None` where the payload does not name the device.
    device: Option<Composed>,
    time: Option<(Arc<str>, BesidePlace)>,
    found: MessageMatches,
}

impl JsonImage {
    pub(super) fn new(settings: JsonImageSettings, device: &DeviceRule) -> Result<Self, CodecSettingsError> {
        let device = device.in_payload();
        for part in device.iter().flat_map(NameTemplate::parts) {
            if let NamePart::Pointer(pointer) = part {
                pointer::parse_single(pointer)?;
            }
        }
        let mut pointers = Pointers::default();
        let mut beside = |pointer: &str, what| {
            pointer::parse_single(pointer)?;
            Ok((Arc::from(pointer), pointers.beside(pointer, what, &[])?))
        };
        let image = beside(&settings.image, Beside::Picture)?;
        let time = settings.time.map(|rule| beside(&rule.pointer, Beside::Time(TimeNotation::new(&rule))));
        let time = time.transpose()?;
        let device = device.map(|template| pointers.composed(template, &[])).transpose()?;
        let (tree, found) = pointers.ready(Vec::new());
        Ok(Self { tree, image, device, time, found })
    }

    pub(super) fn unwrap(
        &mut self,
        topic: &str,
        payload: &[u8],
        received: UtcMillis,
        names: &mut NameCache,
    ) -> Result<Unwrapped, Rejection> {
        let json = std::str::from_utf8(bare_text(payload)).map_err(|_| Rejection::whole(Reason::NotUtf8))?;
        let Self { tree, image: (part, place), device, time, found } = self;
        found.begin(0, received);
        if let Err(error) = walk::read(json, tree, found) {
            let mut repaired = String::new();
            if !json_text::repair(json, &mut repaired) {
                return Err(json_text::refuse(json, &error));
            }
            found.begin(0, received);
            walk::read(&repaired, tree, found).map_err(|_| json_text::refuse(json, &error))?;
        }
        let found = &*found;
        let refuse = |part: &Arc<str>, refused: Option<Refused>| match refused {
            Some(refused) => Rejection { came: found.came(refused), ..Rejection::at(refused.reason, part) },
            None => Rejection::at(Reason::MissingField, part),
        };
        let device = device
            .as_ref()
            .map(|rule| rule.device(topic, found, None, names).map_err(|reason| rule.refuse(reason)));
        let device = device.transpose()?;
        let bytes = match found.picture(*place) {
            Some(picture) => picture.map_err(|refused| refuse(part, Some(refused)))?,
            None => return Err(refuse(part, None)),
        };
        let mut unwrapped = Unwrapped { device, ..Unwrapped::bare(bytes) };
        if let Some((part, place)) = time {
            match found.time(None, *place) {
                Some(Ok(at)) => unwrapped.captured_at = Some(at),
                Some(Err(refused)) => unwrapped.beside = Some(refuse(part, Some(refused))),
                None => unwrapped.beside = Some(refuse(part, None)),
            }
        }
        Ok(unwrapped)
    }
}
