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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, RECEIVED, inbound, source};
    use crate::{CodecSettings, SourceSettings};

    fn tagged(precision: Precision) -> SourceSettings {
        source(CodecSettings::Line(LineSettings { precision }), DeviceRule::Tag("host".to_owned()))
    }

    fn check(payload: &str, readings: &[&str], rejections: &[&str]) {
        testing::check(
            &tagged(Precision::Ns),
            &inbound("telegraf", payload.as_bytes()),
            readings,
            rejections,
        );
    }

    #[test]
    fn fields_are_signals() {
        check(
            "cpu,host=a,cpu=0 user=1.5,idle=98i 1700000000000000000",
            &["a user 1.5 @0", "a idle 98 @0"],
            &[],
        );
        check("m,host=a x=5u,y=true,z=F", &["a x 5", "a y 1", "a z 0"], &[]);
        check("m,host=a x=-1.5e-3,y=2E2", &["a x -0.0015", "a y 200"], &[]);
        check("m,host=b\\ 1 x\\,y=1", &["b 1 x,y 1"], &[]);
        check("# note\n\nm,host=a x=1\nm,host=b x=2\n", &["a x 1", "b x 2"], &[]);
    }

    #[test]
    fn good_and_bad_come_out_side_by_side() {
        check("m,host=a x=\"text\",y=1", &["a y 1"], &["not_a_number at field"]);
        check("m,host=a x=9007199254740993i,y=9007199254740993u", &[], &["not_exact at field"; 2]);
        check("m,host=a x=1e999", &[], &["not_finite at field"]);
        check("m x=1,y=2\nm,host=a x=1", &["a x 1"], &["missing_device at host"]);
        check("m,host=a x=NaN\nm,host=a x=1", &["a x 1"], &["bad_line at line"]);
        check("m,host=a x=99999999999999999999i\nm,host=a x=1", &["a x 1"], &["bad_line at line"]);
        check("nonsense\nm,host=a x=1", &["a x 1"], &["bad_line at line"]);
        check("m,host=a\tb x=1", &[], &["bad_line at line"]);
        check(&format!("m,host={} x=1", "h".repeat(129)), &[], &["bad_name at host"]);
        check("\n# only a note\n", &[], &["empty"]);
        testing::check(&tagged(Precision::Ns), &inbound("t", b"m x=1\xff"), &[], &["not_utf8"]);
    }

    #[test]
    fn every_precision_is_read() {
        let check = |precision: Precision, timestamp: i128, expected: Option<i64>| {
            let payload = format!("m,host=a x=1 {timestamp}");
            let decoded = testing::decode(&tagged(precision), &inbound("t", payload.as_bytes()));
            let found = decoded.items.first().and_then(|reading| reading.captured_at);
            assert_eq!(found, expected.map(UtcMillis), "{precision:?} {timestamp}");
            assert_eq!(decoded.rejections.is_empty(), expected.is_some());
        };
        let at = i128::from(RECEIVED.0);
        check(Precision::S, at / 1000, Some(RECEIVED.0));
        check(Precision::Ms, at, Some(RECEIVED.0));
        check(Precision::Us, at * 1000 + 999, Some(RECEIVED.0));
        check(Precision::Ns, at * 1_000_000 + 999_999, Some(RECEIVED.0));
        check(Precision::Ns, -1, Some(-1));
        check(Precision::S, i128::from(i64::MAX), None);
        check(Precision::Ms, i128::from(i64::MAX), None);
        check(Precision::Ns, i128::from(i64::MAX) + 1, None);
    }

    #[test]
    fn too_many_fields_are_cut_off() {
        let source = SourceSettings { max_readings: 3, ..tagged(Precision::Ns) };
        let check = |payload: &str, readings: &[&str], rejections: &[&str]| {
            testing::check(&source, &inbound("t", payload.as_bytes()), readings, rejections);
        };
        check("m,host=a x=1,y=2,z=3", &["a x 1", "a y 2", "a z 3"], &[]);
        check("m,host=a x=1,y=2\nm,host=a x=3,y=4", &["a x 1", "a y 2", "a x 3"], &["too_many_readings"]);
        check(
            "a\nb\nc\nd",
            &[],
            &["bad_line at line", "bad_line at line", "bad_line at line", "too_many_readings"],
        );
    }
}
