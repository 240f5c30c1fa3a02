//! Codec `line`: InfluxDB line protocol, as Telegraf publishes. Each field is a signal of its name.

use std::sync::Arc;

use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};
use verge_domain::id::DeviceId;
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::UtcMillis;

use super::{Message, Output};
use crate::names::Names;
use crate::number;
use crate::settings::{DeviceRule, LineSettings, Precision};
use crate::time::in_range;

#[derive(Debug)]
pub(crate) struct LineCodec {
    precision: Precision,
    tag: Arc<str>,
    line: Arc<str>,
    field: Arc<str>,
    timestamp: Arc<str>,
}

impl LineCodec {
    pub(super) fn new(settings: LineSettings, device: &DeviceRule) -> Self {
        let tag = match device {
            DeviceRule::Tag(tag) => tag.as_str(),
            _ => "",
        };
        Self {
            precision: settings.precision,
            tag: Arc::from(tag),
            line: Arc::from("line"),
            field: Arc::from("field"),
            timestamp: Arc::from("timestamp"),
        }
    }

    pub(super) fn decode(
        &self,
        message: &Message<'_>,
        names: &mut Names,
        output: &mut Output<'_>,
    ) -> Result<(), Rejection> {
        let mut empty = true;
        for line in parse_lines(message.text()?) {
            empty = false;
            let taken = match line {
                Ok(line) => self.take(&line, message.device.as_ref(), names, output),
                Err(_) => {
                    let room = output.take_room();
                    if room {
                        output.reject(Reason::BadLine, &self.line);
                    }
                    room
                }
            };
            if !taken {
                return Ok(());
            }
        }
        // White space and comments only.
        if empty { Err(Rejection::whole(Reason::Empty)) } else { Ok(()) }
    }

    /// Takes up one line; `false` if there is no more room.
    fn take(
        &self,
        line: &ParsedLine<'_>,
        device: Option<&DeviceId>,
        names: &mut Names,
        output: &mut Output<'_>,
    ) -> bool {
        let device = match self.device(line, device, names) {
            Ok(device) => device,
            Err(reason) => {
                let room = output.take_room();
                if room {
                    output.reject(reason, &self.tag);
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
        for (name, value) in &line.field_set {
            if !output.take_room() {
                return false;
            }
            let signal = names.signal(name.as_str()).map_err(|_| Reason::BadName);
            match signal.and_then(|signal| Ok((signal, figure(value)?))) {
                Ok((signal, value)) => output.reading(&device, signal, value, None, captured_at),
                Err(reason) => output.reject(reason, &self.field),
            }
        }
        true
    }

    fn device(
        &self,
        line: &ParsedLine<'_>,
        device: Option<&DeviceId>,
        names: &mut Names,
    ) -> Result<DeviceId, Reason> {
        if let Some(device) = device {
            return Ok(device.clone());
        }
        let name = line.tag_value(&self.tag).ok_or(Reason::MissingDevice)?;
        names.device(name.as_str()).map_err(|_| Reason::BadName)
    }

    /// To the millisecond below.
    fn time(&self, timestamp: i64) -> Option<UtcMillis> {
        in_range(match self.precision {
            Precision::S => timestamp.checked_mul(1000)?,
            Precision::Ms => timestamp,
            Precision::Us => timestamp.div_euclid(1000),
            Precision::Ns => timestamp.div_euclid(1_000_000),
        })
    }
}

fn figure(value: &FieldValue<'_>) -> Result<f64, Reason> {
    match value {
        FieldValue::I64(integer) => number::from_i64(*integer),
        FieldValue::U64(integer) => number::from_u64(*integer),
        FieldValue::F64(value) => number::finite(*value),
        FieldValue::Boolean(truth) => Ok(f64::from(u8::from(*truth))),
        FieldValue::String(_) => Err(Reason::NotANumber),
    }
}
