//! Codec `number`: the payload is one number or one word, as PLC gateways, Tasmota and Homie publish.

use std::sync::Arc;

use verge_domain::id::{SignalId, Unit};
use verge_domain::rejection::{Reason, Rejection};

use super::{DecoderOutput, InputMessage, Linear};
use crate::figures::Figures;
use crate::names::NameCache;
use crate::settings::{CodecPlaces, CodecSettingsError, NumberSettings, SignalRule};
use crate::template::{NameTemplate, write_topic};

#[derive(Debug)]
pub(crate) struct NumberCodec {
    signal: SignalPlace,
    unit: Option<Unit>,
    linear: Linear,
    figures: Figures,
}

/// Where the signal's name stands.
#[derive(Debug)]
pub(super) enum SignalPlace {
    Fixed(SignalId),
    TopicLevel { level: usize, part: Arc<str> },
    Composed { template: NameTemplate, part: Arc<str> },
}

impl NumberCodec {
    pub(super) fn new(settings: NumberSettings) -> Result<Self, CodecSettingsError> {
        let signal = SignalPlace::new(settings.signal)?;
        let linear = Linear::new(settings.scale, settings.offset)?;
        let unit = settings.unit.clone().filter(|_| linear.is_identity());
        let figures = Figures::new(settings.decimal, settings.words, unit)?;
        Ok(Self { signal, unit: settings.unit, linear, figures })
    }

    pub(super) fn decode(
        &self,
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> Result<(), Rejection> {
        let text = message.text()?.trim();
        if text.is_empty() {
            return Err(Rejection::whole(Reason::Empty));
        }
        let value =
            self.figures.read(text).and_then(|value| self.linear.apply(value)).map_err(Rejection::whole)?;
        let signal = self.signal.of(message.topic, names)?;
        let device = message.device.as_ref().ok_or(Rejection::whole(Reason::MissingDevice))?;
        if output.take_room() {
            output.reading(device, signal, value, self.unit.clone(), None);
        }
        Ok(())
    }
}

impl SignalPlace {
    pub(super) fn new(rule: SignalRule) -> Result<Self, CodecSettingsError> {
        Ok(match rule {
            SignalRule::Fixed(signal) => Self::Fixed(signal),
            SignalRule::TopicLevel(level) => {
                Self::TopicLevel { level, part: Arc::from(format!("topic:{level}")) }
            }
            SignalRule::Composed(template) => {
                CodecPlaces::NUMBER.check_signal(&template)?;
                Self::Composed { part: Arc::from(template.as_str()), template }
            }
        })
    }

    pub(super) fn of(&self, topic: &str, names: &mut NameCache) -> Result<SignalId, Rejection> {
        match self {
            Self::Fixed(signal) => Ok(signal.clone()),
            Self::TopicLevel { level, part } => {
                let refuse = |reason| Rejection::at(reason, part);
                let name = topic.split('/').nth(*level).ok_or_else(|| refuse(Reason::MissingField))?;
                names.signal(name).map_err(|_| refuse(Reason::BadName))
            }
            Self::Composed { template, part } => names
                .composed_signal(template, |_, part, out| write_topic(part, topic, out))
                .map_err(|reason| Rejection::at(reason, part)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::{self, inbound, source};
    use crate::{CodecSettings, Decimal, DeviceRule, SourceSettings};

    fn settings() -> NumberSettings {
        NumberSettings {
            signal: SignalRule::Fixed(SignalId::new("level").unwrap()),
            unit: None,
            scale: 1.0,
            offset: 0.0,
            words: BTreeMap::new(),
            decimal: Decimal::Point,
        }
    }

    fn with(settings: NumberSettings) -> SourceSettings {
        source(CodecSettings::Number(settings), DeviceRule::TopicLevel(1))
    }

    #[test]
    fn numbers_and_words_are_read() {
        let plain = with(settings());
        let check = |payload: &[u8], expected: Result<f64, &str>| {
            let reading = expected.map(|value| format!("pump-1 level {value}"));
            let (readings, rejections) = match &reading {
                Ok(reading) => (vec![reading.as_str()], vec![]),
                Err(reason) => (vec![], vec![*reason]),
            };
            testing::check(&plain, &inbound("plant/pump-1/level", payload), &readings, &rejections);
        };
        check(b"21.5", Ok(21.5));
        check(b" 21.5\n", Ok(21.5));
        check(b"-1e-3", Ok(-0.001));
        check(b"ON", Ok(1.0));
        check(b"off\r\n", Ok(0.0));
        check(b"true", Ok(1.0));
        check(b"False", Ok(0.0));
        check(b"online", Ok(1.0));
        check(b"offline", Ok(0.0));
        check(b"", Err("empty"));
        check(b" \n", Err("empty"));
        check(b"NaN", Err("not_finite"));
        check(b"-inf", Err("not_finite"));
        check(b"1e999", Err("not_finite"));
        check(b"9007199254740993", Err("not_exact"));
        check(b"open", Err("not_a_number"));
        check(b"21.5 Cel", Err("not_a_number"));
        check(b"{\"value\":1}", Err("not_a_number"));
        check(b"\xff\xfe1", Err("not_utf8"));
        check(&[b'1', 0], Ok(1.0));
        check(b"21.5\r\n\0\0", Ok(21.5));
        check(b"\xef\xbb\xbf21.5\r\n", Ok(21.5));
        check(b"\xef\xbb\xbf\0", Err("empty"));
        check(b"\"21.5\"", Ok(21.5));
        check(b"\"ON\"", Ok(1.0));
        check(b"{\"type\":\"Buffer\",\"data\":[50,49,46,53]}", Ok(21.5));
        check(b"21,5", Err("not_a_number"));
        check(b"1\x002", Err("not_a_number"));
        check(b"2\x001\0", Err("not_a_number"));
    }

    #[test]
    fn words_scale_offset_and_unit_are_the_sources_own() {
        let words = [("RUN", 2.0), ("off", 7.0), ("5", 50.0)];
        let own = with(NumberSettings {
            words: words.map(|(word, value)| (word.to_owned(), value)).into(),
            unit: Some(Unit::new("mm/s").unwrap()),
            scale: 0.1,
            offset: 5.0,
            ..settings()
        });
        let check = |payload: &str, readings: &[&str], rejections: &[&str]| {
            testing::check(&own, &inbound("plant/pump-1/level", payload.as_bytes()), readings, rejections);
        };
        check("15", &["pump-1 level 6.5 mm/s"], &[]);
        check("run", &["pump-1 level 5.2 mm/s"], &[]);
        check("OFF", &["pump-1 level 5.7 mm/s"], &[]);
        check("5", &["pump-1 level 10 mm/s"], &[]);
        check("on", &["pump-1 level 5.1 mm/s"], &[]);

        let huge = with(NumberSettings { scale: 1e300, ..settings() });
        testing::check(&huge, &inbound("a/b/c", b"1e300"), &[], &["not_finite"]);
    }

    #[test]
    fn names_come_from_the_topic() {
        let by_topic = with(NumberSettings { signal: SignalRule::TopicLevel(2), ..settings() });
        let check = |topic: &str, readings: &[&str], rejections: &[&str]| {
            testing::check(&by_topic, &inbound(topic, b"1"), readings, rejections);
        };
        check("plant/pump-1/level", &["pump-1 level 1"], &[]);
        check("plant/pump-1/level/raw", &["pump-1 level 1"], &[]);
        check("plant/pump-1", &[], &["missing_field at topic:2"]);
        check("plant", &[], &["missing_device at topic:1"]);
        check("plant//level", &[], &["bad_name at topic:1"]);
        check("plant/pump-1/", &[], &["bad_name at topic:2"]);
    }

    #[test]
    fn contradictions_are_refused() {
        let check = |settings: NumberSettings, expected: &str| {
            let error = NumberCodec::new(settings).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
        };
        let words = |words: &[(&str, f64)]| NumberSettings {
            words: words.iter().map(|(word, value)| ((*word).to_owned(), *value)).collect(),
            ..settings()
        };
        check(NumberSettings { scale: 0.0, ..settings() }, "not 0");
        check(NumberSettings { scale: f64::NAN, ..settings() }, "NaN");
        check(NumberSettings { offset: f64::INFINITY, ..settings() }, "inf");
        check(words(&[("RUN", f64::NAN)]), "RUN");
        check(words(&[("RUN", 1.0), ("run", 2.0)]), "twice");
        check(words(&[(" RUN", 1.0)]), "white space");
        check(words(&[("", 1.0)]), "empty");
    }
}
