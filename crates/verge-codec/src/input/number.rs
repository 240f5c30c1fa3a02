//! Codec `number`: the payload is one number or one word, as PLC gateways, Tasmota and Homie publish.

use std::sync::Arc;

use verge_domain::id::{SignalId, Unit};
use verge_domain::rejection::{Reason, Rejection};

use super::{Linear, Message, Output};
use crate::names::Names;
use crate::number;
use crate::settings::{CodecSettingsError, NumberSettings, SignalRule};

/// Words every source knows.
const WORDS: [(&str, f64); 6] =
    [("on", 1.0), ("off", 0.0), ("true", 1.0), ("false", 0.0), ("online", 1.0), ("offline", 0.0)];

#[derive(Debug)]
pub(crate) struct NumberCodec {
    signal: Signal,
    unit: Option<Unit>,
    linear: Linear,
    words: Vec<(Box<str>, f64)>,
}

#[derive(Debug)]
enum Signal {
    Fixed(SignalId),
    TopicLevel { level: usize, part: Arc<str> },
}

impl NumberCodec {
    pub(super) fn new(settings: NumberSettings) -> Result<Self, CodecSettingsError> {
        let signal = match settings.signal {
            SignalRule::Fixed(signal) => Signal::Fixed(signal),
            SignalRule::TopicLevel(level) => {
                Signal::TopicLevel { level, part: Arc::from(format!("topic:{level}")) }
            }
        };
        let mut words: Vec<(Box<str>, f64)> = Vec::new();
        for (word, value) in settings.words {
            if !value.is_finite() {
                return Err(CodecSettingsError::WordValue { word, value });
            }
            if word.is_empty() || word.trim() != word {
                return Err(CodecSettingsError::WordSpace { word });
            }
            if words.iter().any(|(other, _)| other.eq_ignore_ascii_case(&word)) {
                return Err(CodecSettingsError::WordTwice { word });
            }
            words.push((word.into_boxed_str(), value));
        }
        let linear = Linear::new(settings.scale, settings.offset)?;
        Ok(Self { signal, unit: settings.unit, linear, words })
    }

    pub(super) fn decode(
        &self,
        message: &Message<'_>,
        names: &mut Names,
        output: &mut Output<'_>,
    ) -> Result<(), Rejection> {
        let text = message.text()?.trim();
        if text.is_empty() {
            return Err(Rejection::whole(Reason::Empty));
        }
        let value = self.value(text).and_then(|value| self.linear.apply(value)).map_err(Rejection::whole)?;
        let signal = self.signal.of(message.topic, names)?;
        let device = message.device.as_ref().ok_or(Rejection::whole(Reason::MissingDevice))?;
        if output.take_room() {
            output.reading(device, signal, value, self.unit.clone(), None);
        }
        Ok(())
    }

    /// The source's own words come first, so that one of them may look like a number.
    fn value(&self, text: &str) -> Result<f64, Reason> {
        if let Some((_, value)) = self.words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            return Ok(*value);
        }
        match number::from_text(text) {
            Err(Reason::NotANumber) => WORDS
                .iter()
                .find(|(word, _)| word.eq_ignore_ascii_case(text))
                .map(|(_, value)| *value)
                .ok_or(Reason::NotANumber),
            result => result,
        }
    }
}

impl Signal {
    fn of(&self, topic: &str, names: &mut Names) -> Result<SignalId, Rejection> {
        match self {
            Self::Fixed(signal) => Ok(signal.clone()),
            Self::TopicLevel { level, part } => {
                let refuse = |reason| Rejection { reason, part: Some(Arc::clone(part)) };
                let name = topic.split('/').nth(*level).ok_or_else(|| refuse(Reason::MissingField))?;
                names.signal(name).map_err(|_| refuse(Reason::BadName))
            }
        }
    }
}
