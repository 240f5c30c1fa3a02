//! Codec `senml`: Sensor Measurement Lists (RFC 8428), JSON and CBOR.
//!
//! Names are taken as the rest of Verge takes them (any text up to 128 bytes without control characters),
//! which is more than RFC 8428 section 4.5.1 allows. Sums (`s`) are not read: a record that has nothing else
//! counts as without value.

mod cbor;
mod json;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::error::Category;
use verge_domain::id::DeviceId;
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::UtcMillis;

use super::{DecoderOutput, InputMessage, bare_text, json_text};
use crate::names::NameCache;
use crate::number::finite;
use crate::settings::{CodecPlaces, CodecSettingsError, DeviceRule, SenmlFormat, SenmlSettings};
use crate::template::{NamePart, NameTemplate, write_topic};
use crate::time::from_seconds;

/// Newest version of SenML there is (RFC 8428 section 4.4).
const VERSION: f64 = 10.0;
/// Times below are relative to now, in seconds (RFC 8428 section 4.5.3).
const RELATIVE_BELOW_S: f64 = 268_435_456.0;
/// What the value of a device is called that names no signal.
const UNNAMED: &str = "value";

#[derive(Debug)]
pub(crate) struct SenmlCodec {
    format: SenmlFormat,
    composed: ComposedNames,
    base: Base,
    parts: Parts,
}

/// Names that are put together from more than the SenML name.
#[derive(Debug)]
struct ComposedNames {
    device: Option<NameTemplate>,
    signal: Option<NameTemplate>,
}

/// The parts of a record, as rejections name them.
#[derive(Debug)]
struct Parts {
    name: Arc<str>,
    unit: Arc<str>,
    value: Arc<str>,
    text: Arc<str>,
    data: Arc<str>,
    time: Arc<str>,
}

/// What a record says, in either representation. Numbers are exact and finite or the reason why not.
#[derive(Debug, Default)]
struct SenmlRecord<'a> {
    base_name: Option<Cow<'a, str>>,
    base_time: Option<f64>,
    base_unit: Option<Cow<'a, str>>,
    base_value: Option<f64>,
    version: Option<f64>,
    name: Option<Cow<'a, str>>,
    unit: Option<Cow<'a, str>>,
    time: Option<f64>,
    value: Option<Result<f64, Reason>>,
    truth: Option<bool>,
    /// There is a text.
    text: bool,
    /// There are data, and whether they are what they should be.
    data: Option<Result<(), Reason>>,
    /// There is a sum.
    sum: bool,
}

/// The fields that hold for all records from one on.
#[derive(Debug, Default)]
struct Base {
    name: String,
    time_s: Option<f64>,
    unit: Option<String>,
    value: f64,
    /// A base name and a name joined.
    joined: String,
}

/// A record that makes the rest of its pack worthless.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("not a SenML record")]
struct Malformed;

/// The state of the codec within one message.
struct Pack<'a, 'm, 'o> {
    base: &'a mut Base,
    composed: &'a ComposedNames,
    parts: &'a Parts,
    message: &'a InputMessage<'m>,
    names: &'a mut NameCache,
    output: &'a mut DecoderOutput<'o>,
    records: usize,
}

impl SenmlCodec {
    pub(super) fn new(settings: SenmlSettings, device: &DeviceRule) -> Result<Self, CodecSettingsError> {
        if let Some(signal) = &settings.signal {
            CodecPlaces::SENML.check_signal(signal)?;
        }
        let device = device.in_payload();
        let part = |label: &str| Arc::from(label);
        let parts = Parts {
            name: part("n"),
            unit: part("u"),
            value: part("v"),
            text: part("vs"),
            data: part("vd"),
            time: part("t"),
        };
        let composed = ComposedNames { device, signal: settings.signal };
        Ok(Self { format: settings.format, composed, base: Base::default(), parts })
    }

    pub(super) fn decode(
        &mut self,
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> Result<(), Rejection> {
        let is_json = || bare_text(message.payload).trim_ascii_start().starts_with(b"[");
        let records = match self.format {
            SenmlFormat::Json => self.read_json(message, names, output)?,
            SenmlFormat::Auto if is_json() => self.read_json(message, names, output)?,
            SenmlFormat::Cbor | SenmlFormat::Auto => {
                let mut pack = self.pack(message, names, output);
                cbor::read(message.payload, &mut pack).map_err(Rejection::whole)?;
                pack.records
            }
        };
        if records == 0 {
            return Err(Rejection::whole(Reason::BadSenml));
        }
        Ok(())
    }
}

impl SenmlCodec {
    fn read_json(
        &mut self,
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> Result<usize, Rejection> {
        let text = message.text()?;
        let mut pack = self.pack(message, names, output);
        let error = match json::read(text, &mut pack) {
            Ok(()) => return Ok(pack.records),
            Err(error) => error,
        };
        let mut repaired = String::new();
        if error.classify() != Category::Data && json_text::repair(text, &mut repaired) {
            output.restart();
            let mut pack = self.pack(message, names, output);
            if json::read(&repaired, &mut pack).is_ok() {
                return Ok(pack.records);
            }
        }
        let refused = json_text::refuse(text, &error);
        Err(match error.classify() {
            Category::Data => Rejection { reason: Reason::BadSenml, ..refused },
            Category::Syntax | Category::Eof | Category::Io => refused,
        })
    }

    fn pack<'a, 'm, 'o>(
        &'a mut self,
        message: &'a InputMessage<'m>,
        names: &'a mut NameCache,
        output: &'a mut DecoderOutput<'o>,
    ) -> Pack<'a, 'm, 'o> {
        self.base.reset();
        Pack {
            base: &mut self.base,
            composed: &self.composed,
            parts: &self.parts,
            message,
            names,
            output,
            records: 0,
        }
    }
}

impl Base {
    fn reset(&mut self) {
        self.name.clear();
        self.time_s = None;
        self.unit = None;
        self.value = 0.0;
    }

    fn take(&mut self, record: &SenmlRecord<'_>) {
        if let Some(name) = &record.base_name {
            self.name.clear();
            self.name.push_str(name);
        }
        if let Some(time) = record.base_time {
            self.time_s = Some(time);
        }
        if let Some(unit) = &record.base_unit {
            self.unit = Some(unit.clone().into_owned());
        }
        if let Some(value) = record.base_value {
            self.value = value;
        }
    }
}

impl<'a> Pack<'a, '_, '_> {
    /// Takes up one record: base fields, then its value.
    fn record(&mut self, record: &SenmlRecord<'_>) -> Result<(), Malformed> {
        self.records = self.records.saturating_add(1);
        if record.version.is_some_and(|version| version > VERSION) {
            return Err(Malformed);
        }
        self.base.take(record);
        let values = [record.value.is_some(), record.truth.is_some(), record.text, record.data.is_some()];
        match values.into_iter().filter(|there| *there).count() {
            0 if record.name.is_none() && record.time.is_none() && record.unit.is_none() && !record.sum => {
                return Ok(());
            }
            0 | 1 => {}
            _ => return Err(Malformed),
        }
        if !self.output.take_room() {
            return Ok(());
        }
        if let Err((reason, part)) = self.reading(record) {
            self.output.reject(reason, part);
        }
        Ok(())
    }

    fn reading(&mut self, record: &SenmlRecord<'_>) -> Result<(), (Reason, &'a Arc<str>)> {
        let parts = self.parts;
        let value = match (&record.value, record.truth, &record.data) {
            (Some(value), _, _) => value
                .and_then(|value| finite(value + self.base.value))
                .map_err(|reason| (reason, &parts.value))?,
            (None, Some(truth), _) => f64::from(u8::from(truth)),
            (None, None, Some(Err(reason))) => return Err((*reason, &parts.data)),
            (None, None, Some(Ok(()))) => return Err((Reason::NotANumber, &parts.data)),
            (None, None, None) if record.text => return Err((Reason::NotANumber, &parts.text)),
            (None, None, None) => return Err((Reason::MissingField, &parts.value)),
        };
        let name = record.name.as_deref().unwrap_or_default();
        self.base.joined.clear();
        self.base.joined.push_str(&self.base.name);
        self.base.joined.push_str(name);
        let split = split(&self.base.joined, &self.base.name, name);
        let bad_name = |_| (Reason::BadName, &parts.name);
        let topic = self.message.topic;
        let write = |_, part: &NamePart, out: &mut String| split.write(part, topic, out);
        let device: DeviceId = match (&self.message.device, &self.composed.device, split.device) {
            (Some(device), ..) => device.clone(),
            (None, Some(template), _) => {
                self.names.composed_device(template, write).map_err(|reason| (reason, &parts.name))?
            }
            (None, None, Some(device)) => self.names.device(device).map_err(bad_name)?,
            (None, None, None) => return Err((Reason::MissingDevice, &parts.name)),
        };
        let signal = match &self.composed.signal {
            Some(template) => {
                self.names.composed_signal(template, write).map_err(|reason| (reason, &parts.name))?
            }
            None => self.names.signal(split.signal).map_err(bad_name)?,
        };
        let unit = match record.unit.as_deref().or(self.base.unit.as_deref()) {
            Some(unit) => Some(self.names.unit(unit).map_err(|_| (Reason::BadName, &parts.unit))?),
            None => None,
        };
        let captured_at = match self.captured_at(record.time) {
            Ok(at) => at,
            Err(reason) => {
                // The value is still good: it counts from its receipt.
                self.output.reject(reason, &parts.time);
                None
            }
        };
        self.output.reading(&device, signal, value, unit, captured_at);
        Ok(())
    }

    fn captured_at(&self, time_s: Option<f64>) -> Result<Option<UtcMillis>, Reason> {
        if time_s.is_none() && self.base.time_s.is_none() {
            return Ok(None);
        }
        let seconds = self.base.time_s.unwrap_or(0.0) + time_s.unwrap_or(0.0);
        let time = if seconds < RELATIVE_BELOW_S {
            from_seconds(seconds)
                .and_then(|offset| UtcMillis::in_range(self.message.received.0.checked_add(offset.0)?))
        } else {
            from_seconds(seconds)
        };
        time.map(Some).ok_or(Reason::BadTime)
    }
}

/// A SenML name, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Split<'a> {
    /// `None` where the name has no such part.
    device: Option<&'a str>,
    signal: &'a str,
}

impl Split<'_> {
    fn write(&self, part: &NamePart, topic: &str, out: &mut String) -> Result<(), Reason> {
        out.push_str(match part {
            NamePart::SenmlName => self.device.ok_or(Reason::MissingField)?,
            NamePart::SenmlRecord => self.signal,
            part => return write_topic(part, topic, out),
        });
        Ok(())
    }
}

/// Takes a name apart at its last `:` or `/`; where it has none, between base name and name. The first four
/// parts of a device URN (`urn:dev:ow:10e2073a01080063`, RFC 9039) belong together.
fn split<'a>(joined: &'a str, base: &'a str, name: &'a str) -> Split<'a> {
    let urn_parts = if joined.starts_with("urn:dev:") { 4 } else { 0 };
    let urn_bytes = joined.split(':').take(urn_parts).fold(0usize, |bytes, part| {
        // Each part and the colon behind it.
        bytes.saturating_add(part.len()).saturating_add(1)
    });
    let cut = joined.rfind([':', '/']).filter(|at| at.saturating_add(1) >= urn_bytes);
    let halves = cut
        .and_then(|at| joined.split_at_checked(at))
        .and_then(|(device, rest)| Some((device, rest.get(1..)?)));
    match halves {
        Some((device, signal)) if !device.is_empty() && !signal.is_empty() => {
            Split { device: Some(device), signal }
        }
        // "urn:dev:ow:10e2073a01080063:" or "pump-1/" and nothing behind.
        Some((device, _)) if !device.is_empty() => Split { device: Some(device), signal: UNNAMED },
        _ if urn_parts > 0 => Split { device: Some(joined), signal: UNNAMED },
        _ if !base.is_empty() && !name.is_empty() => Split { device: Some(base), signal: name },
        _ => Split { device: None, signal: joined },
    }
}

#[cfg(test)]
mod tests;
