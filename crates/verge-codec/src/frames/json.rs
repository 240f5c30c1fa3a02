//! Codec `json_image`: a picture in base64 where a JSON pointer points, with the device and the time beside it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use verge_domain::id::DeviceId;
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::UtcMillis;

use super::{Unwrapped, base64};
use crate::input::json::pointer::{self, Step};
use crate::input::json::time::Clock;
use crate::input::json_text::{self, Name, text};
use crate::input::{bare_text, buffer};
use crate::names::Names;
use crate::settings::{CodecSettingsError, DeviceRule, JsonImageSettings};
use crate::template::{NamePart, NameTemplate, write_topic};

/// One place in messages.
#[derive(Debug)]
struct Place {
    part: Arc<str>,
    steps: Vec<Box<str>>,
}

/// Where the device's name stands.
#[derive(Debug)]
struct Device {
    template: NameTemplate,
    part: Arc<str>,
    /// Where its pointers lead, by the number of the part.
    places: Vec<Option<Place>>,
}

#[derive(Debug)]
pub(super) struct JsonImage {
    image: Place,
    device: Option<Device>,
    time: Option<(Place, Clock)>,
}

impl Place {
    fn new(pointer: &str) -> Result<Self, CodecSettingsError> {
        let names = |step| match step {
            Step::Name(name) => Some(name),
            Step::Any => None,
        };
        let steps = pointer::parse_single(pointer)?.into_iter().filter_map(names).collect();
        Ok(Self { part: Arc::from(pointer), steps })
    }

    /// The JSON text that stands there.
    fn of<'a>(&self, root: &'a RawValue) -> Option<&'a RawValue> {
        self.steps.iter().try_fold(root, |value, step| {
            serde_json::Deserializer::from_str(value.get()).deserialize_any(Member(step)).ok().flatten()
        })
    }

    fn refuse(&self, reason: Reason) -> Rejection {
        Rejection::at(reason, &self.part)
    }
}

impl JsonImage {
    pub(super) fn new(settings: JsonImageSettings, device: &DeviceRule) -> Result<Self, CodecSettingsError> {
        let device = match device {
            DeviceRule::Pointer(pointer) => {
                Some(Device::new(NameTemplate::of_part(pointer, NamePart::Pointer(pointer.clone())))?)
            }
            DeviceRule::Composed(template) if template.parts().any(|part| part.place().is_some()) => {
                Some(Device::new(template.clone())?)
            }
            _ => None,
        };
        let time = match settings.time {
            Some(rule) => Some((Place::new(&rule.pointer)?, Clock::new(&rule))),
            None => None,
        };
        Ok(Self { image: Place::new(&settings.image)?, device, time })
    }

    pub(super) fn unwrap(
        &self,
        topic: &str,
        payload: &[u8],
        received: UtcMillis,
        names: &mut Names,
    ) -> Result<Unwrapped, Rejection> {
        let json = std::str::from_utf8(bare_text(payload)).map_err(|_| Rejection::whole(Reason::NotUtf8))?;
        let mut repaired = String::new();
        let root: &RawValue = match serde_json::from_str(json) {
            Ok(root) => root,
            Err(error) => {
                let refuse = || json_text::refuse(json, &error);
                let again =
                    json_text::repair(json, &mut repaired).then_some(&*repaired).ok_or_else(refuse)?;
                serde_json::from_str(again).map_err(|_| refuse())?
            }
        };
        let device = self.device.as_ref().map(|device| device.of(topic, root, names)).transpose()?;
        let image = self.image.of(root).ok_or_else(|| self.image.refuse(Reason::MissingField))?;
        let refuse = |reason| self.image.refuse(reason).showing(image.get().as_bytes());
        let bytes = match text(image.get()) {
            Some(text) => base64::decode(text.as_bytes()).map_err(refuse)?,
            None => buffer::bytes(image.get()).map(Bytes::from).ok_or_else(|| refuse(Reason::BadBase64))?,
        };
        let mut unwrapped = Unwrapped { device, ..Unwrapped::bare(bytes) };
        if let Some((place, clock)) = &self.time {
            let raw = place.of(root).map_or("null", RawValue::get);
            match clock.read(raw, received) {
                Some(Ok(at)) => unwrapped.captured_at = Some(at),
                Some(Err(reason)) => unwrapped.beside = Some(place.refuse(reason).showing(raw.as_bytes())),
                None => unwrapped.beside = Some(place.refuse(Reason::MissingField)),
            }
        }
        Ok(unwrapped)
    }
}

impl Device {
    fn new(template: NameTemplate) -> Result<Self, CodecSettingsError> {
        let place = |part: &NamePart| match part {
            NamePart::Pointer(pointer) => Place::new(pointer).map(Some),
            _ => Ok(None),
        };
        let places = template.parts().map(place).collect::<Result<_, _>>()?;
        Ok(Self { part: Arc::from(template.as_str()), places, template })
    }

    /// A pointer leads to a text, or a whole number.
    fn of(&self, topic: &str, root: &RawValue, names: &mut Names) -> Result<DeviceId, Rejection> {
        let write = |number: usize, part: &NamePart, out: &mut String| {
            let Some(Some(place)) = self.places.get(number) else { return write_topic(part, topic, out) };
            let raw = place.of(root).ok_or(Reason::MissingField)?.get();
            let whole = || raw.bytes().all(|digit| digit.is_ascii_digit()).then_some(Cow::Borrowed(raw));
            out.push_str(&text(raw).or_else(whole).ok_or(Reason::MissingField)?);
            Ok(())
        };
        let refuse = |reason| Rejection::at(reason, &self.part);
        names.composed_device(&self.template, write).map_err(refuse)
    }
}

/// Finds one member of an object, or one element of an array.
struct Member<'n>(&'n str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key_seed(Name)? {
            if name == self.0 {
                found = Some(map.next_value::<&RawValue>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let wanted: Option<usize> = self.0.parse().ok();
        let mut at = 0_usize;
        while let Some(value) = list.next_element::<&RawValue>()? {
            if wanted == Some(at) {
                found = Some(value);
            }
            at = at.saturating_add(1);
        }
        Ok(found)
    }
}
