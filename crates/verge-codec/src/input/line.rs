//! Codec `line`: InfluxDB line protocol, as Telegraf publishes. Each field is a signal, which bears the names of its
//! measurement and of the tags that distinguish its series from others.

use std::sync::Arc;

use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};
use verge_domain::id::DeviceId;
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::UtcMillis;

use super::{DecoderOutput, InputMessage, line_repair};
use crate::names::NameCache;
use crate::number;
use crate::settings::{CodecPlaces, CodecSettingsError, DeviceRule, LineSettings, Precision};
use crate::template::{NamePart, NameTemplate, write_pair, write_topic};

#[derive(Debug)]
pub(crate) struct LineCodec {
    precision: Precision,
    /// `None` where the message's topic or the settings name the device.
    device: Option<NameTemplate>,
    device_part: Arc<str>,
    signal: NameTemplate,
    tags: Option<OtherTags>,
    line: Arc<str>,
    field: Arc<str>,
    timestamp: Arc<str>,
}

/// The tags of a line that are named nowhere else.
#[derive(Debug)]
struct OtherTags {
    named: Vec<String>,
    /// Of the line in hand, as they stand in names.
    text: String,
    order: Vec<usize>,
}

impl LineCodec {
    pub(super) fn new(settings: LineSettings, device: &DeviceRule) -> Result<Self, CodecSettingsError> {
        let LineSettings { precision, signal } = settings;
        CodecPlaces::LINE.check_signal(&signal)?;
        let device = device.in_payload();
        let named = |part: &NamePart| match part {
            NamePart::Tag(tag) => Some(tag.clone()),
            _ => None,
        };
        let tags = signal.parts().any(|part| *part == NamePart::OtherTags).then(|| OtherTags {
            named: device.iter().chain([&signal]).flat_map(NameTemplate::parts).filter_map(named).collect(),
            text: String::new(),
            order: Vec::new(),
        });
        Ok(Self {
            precision,
            device_part: Arc::from(device.as_ref().map_or("", NameTemplate::as_str)),
            device,
            signal,
            tags,
            line: Arc::from("line"),
            field: Arc::from("field"),
            timestamp: Arc::from("timestamp"),
        })
    }

    pub(super) fn decode(
        &mut self,
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> Result<(), Rejection> {
        let text = message.text()?;
        if self.lines(text, message, names, output)? {
            return Ok(());
        }
        let mut repaired = String::new();
        if line_repair::repair(text, &mut repaired) {
            output.restart();
            self.lines(&repaired, message, names, output)?;
        }
        Ok(())
    }

    /// Takes up all lines; `false` if one of them is none.
    fn lines(
        &mut self,
        text: &str,
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> Result<bool, Rejection> {
        let (mut empty, mut sound) = (true, true);
        for line in parse_lines(text) {
            empty = false;
            let taken = match line {
                Ok(line) => self.take(&line, message, names, output),
                Err(_) => {
                    sound = false;
                    let room = output.take_room();
                    if room {
                        output.reject(Reason::BadLine, &self.line);
                    }
                    room
                }
            };
            if !taken {
                return Ok(sound);
            }
        }
        // White space and comments only.
        if empty { Err(Rejection::whole(Reason::Empty)) } else { Ok(sound) }
    }

    /// Takes up one line; `false` if there is no more room.
    fn take(
        &mut self,
        line: &ParsedLine<'_>,
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> bool {
        let device = match self.device(line, message, names) {
            Ok(device) => device,
            Err(reason) => {
                let room = output.take_room();
                if room {
                    output.reject(reason, &self.device_part);
                }
                return room;
            }
        };
        let captured_at = match line.timestamp {
            None => None,
            Some(timestamp) => {
                let at = self.time(timestamp);
                if at.is_none() {
                    // The values are still good: they count from their receipt.
                    output.reject(Reason::BadTime, &self.timestamp);
                }
                at
            }
        };
        if let Some(tags) = &mut self.tags {
            tags.read(line);
        }
        let tags = self.tags.as_ref().map_or("", |tags| &tags.text);
        for (name, value) in &line.field_set {
            if !output.take_room() {
                return false;
            }
            let reading = figure(value).and_then(|value| {
                let write = |_, part: &NamePart, out: &mut String| match part {
                    NamePart::Field => {
                        out.push_str(name.as_str());
                        Ok(())
                    }
                    NamePart::OtherTags => {
                        out.push_str(tags);
                        Ok(())
                    }
                    part => write_part(line, message.topic, part, out),
                };
                Ok((names.composed_signal(&self.signal, write)?, value))
            });
            match reading {
                Ok((signal, value)) => output.reading(&device, signal, value, None, captured_at),
                Err(reason) => output.reject(reason, &self.field),
            }
        }
        true
    }

    fn device(
        &self,
        line: &ParsedLine<'_>,
        message: &InputMessage<'_>,
        names: &mut NameCache,
    ) -> Result<DeviceId, Reason> {
        match (&message.device, &self.device) {
            (Some(device), _) => Ok(device.clone()),
            (None, Some(template)) => {
                names.composed_device(template, |_, part, out| write_part(line, message.topic, part, out))
            }
            (None, None) => Err(Reason::MissingDevice),
        }
    }

    /// To the millisecond below.
    fn time(&self, timestamp: i64) -> Option<UtcMillis> {
        UtcMillis::in_range(match self.precision {
            Precision::S => timestamp.checked_mul(1000)?,
            Precision::Ms => timestamp,
            Precision::Us => timestamp.div_euclid(1000),
            Precision::Ns => timestamp.div_euclid(1_000_000),
        })
    }
}

impl OtherTags {
    /// Takes up the tags of a line, by key: their order there means nothing.
    fn read(&mut self, line: &ParsedLine<'_>) {
        let Self { named, text, order } = self;
        text.clear();
        let Some(tags) = &line.series.tag_set else { return };
        let key = |at: &usize| tags.get(*at).map(|(key, _)| key.as_str());
        order.clear();
        order.extend(0..tags.len());
        if !order.is_sorted_by_key(key) {
            order.sort_by(|one, other| key(one).cmp(&key(other)));
        }
        for (key, value) in order.iter().filter_map(|at| tags.get(*at)) {
            if !named.iter().any(|named| named == key.as_str()) {
                write_pair(key.as_str(), value.as_str(), text);
            }
        }
    }
}

/// Adds what a part of a name stands for in a line, whatever its field.
fn write_part(line: &ParsedLine<'_>, topic: &str, part: &NamePart, out: &mut String) -> Result<(), Reason> {
    let text = match part {
        NamePart::Measurement => Some(&line.series.measurement),
        NamePart::Tag(tag) => line.tag_value(tag),
        part => return write_topic(part, topic, out),
    };
    out.push_str(text.ok_or(Reason::MissingField)?.as_str());
    Ok(())
}

fn figure(value: &FieldValue<'_>) -> Result<f64, Reason> {
    match value {
        FieldValue::I64(integer) => number::from_i64(*integer),
        FieldValue::U64(integer) => number::from_u64(*integer),
        FieldValue::F64(value) => number::finite(*value),
        FieldValue::Boolean(truth) => Ok(f64::from(u8::from(*truth))),
        FieldValue::String(text) if line_repair::says_not_finite(text.as_str()) => Err(Reason::NotFinite),
        FieldValue::String(_) => Err(Reason::NotANumber),
    }
}

#[cfg(test)]
mod tests;
