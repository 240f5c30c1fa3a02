//! Names of signals and devices, out of topic and message.

use std::sync::Arc;

use verge_domain::id::{DeviceId, NameError, SignalId};
use verge_domain::rejection::{Reason, Rejection};

use super::Pointers;
use super::found::{BesidePlace, Match, MessageMatches};
use super::pointer::PointerStep;
use crate::names::NameCache;
use crate::settings::{CodecSettingsError, JsonMapping};
use crate::template::{NamePart, NameTemplate, write_topic};

/// A signal's name, or how to put it together.
#[derive(Debug)]
pub(super) enum SignalName {
    Fixed(SignalId),
    Composed(Composed),
}

/// A name out of several places.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(super) template: NameTemplate,
    pub(super) part: Arc<str>,
    /// Where its pointers lead, by the number of the part.
    pub(super) places: Vec<Option<BesidePlace>>,
    /// Whether it is one for each value, not one for the message.
    pub(super) each: bool,
    /// Whether it is one part of the message alone.
    pub(super) alone: bool,
}

impl Composed {
    pub(crate) fn refuse(&self, reason: Reason) -> Rejection {
        Rejection::at(reason, &self.part)
    }

    fn write(
        &self,
        topic: &str,
        found: &MessageMatches,
        of: Option<&Match>,
        number: usize,
        part: &NamePart,
        out: &mut String,
    ) -> Result<(), Reason> {
        if part.place().is_none() {
            return write_topic(part, topic, out);
        }
        out.push_str(self.text(found, of, number, part).ok_or(Reason::MissingField)?);
        Ok(())
    }

    /// What a part stands for that is not of the topic.
    fn text<'f>(
        &self,
        found: &'f MessageMatches,
        of: Option<&Match>,
        number: usize,
        part: &NamePart,
    ) -> Option<&'f str> {
        match part {
            NamePart::Star(star) => found.star(of?, *star),
            _ => found.name(of, (*self.places.get(number)?)?),
        }
    }

    pub(crate) fn device(
        &self,
        topic: &str,
        found: &MessageMatches,
        of: Option<&Match>,
        names: &mut NameCache,
    ) -> Result<DeviceId, Reason> {
        names.composed_device(&self.template, |number, part, out| {
            self.write(topic, found, of, number, part, out)
        })
    }
}

impl SignalName {
    pub(super) fn new(
        mapping: &JsonMapping,
        reading: &[(&str, &[PointerStep])],
        pointers: &mut Pointers,
    ) -> Result<Self, CodecSettingsError> {
        let template = match &mapping.signal {
            Some(text) => NameTemplate::parse(text, true)
                .map_err(|source| CodecSettingsError::Template { text: text.clone(), source })?,
            None => {
                let steps = reading.first().map(|(_, steps)| *steps).unwrap_or_default();
                default_name(steps)
                    .ok_or_else(|| CodecSettingsError::NoSignal { pointer: mapping.pointer.clone() })?
            }
        };
        match template.fixed() {
            Some(text) => SignalId::new(text).map(Self::Fixed).map_err(|source: NameError| {
                CodecSettingsError::SignalName { signal: text.to_owned(), source }
            }),
            None => pointers.composed(template, reading).map(Self::Composed),
        }
    }

    pub(super) fn of(
        &self,
        topic: &str,
        found: &MessageMatches,
        value: &Match,
        names: &mut NameCache,
    ) -> Result<SignalId, Reason> {
        match self {
            Self::Fixed(signal) => Ok(signal.clone()),
            // One part alone is the name as it stands.
            Self::Composed(rule) if rule.alone => {
                let part = rule.template.only();
                let text = part.and_then(|part| rule.text(found, Some(value), 0, part));
                names.signal(text.ok_or(Reason::MissingField)?).map_err(|_| Reason::BadName)
            }
            Self::Composed(rule) => names.composed_signal(&rule.template, |number, part, out| {
                rule.write(topic, found, Some(value), number, part, out)
            }),
        }
    }
}

/// The last step; with `*`, all steps from the first one on, since the last alone would give one name to
/// many values.
fn default_name(steps: &[PointerStep]) -> Option<NameTemplate> {
    let first_star = steps.iter().position(|step| *step == PointerStep::Any);
    steps.last()?;
    let start = first_star.unwrap_or(steps.len().saturating_sub(1));
    let mut stars = 0usize..;
    let steps = steps.iter().skip(start).map(|step| match step {
        PointerStep::Name(name) => Err(name.clone()),
        PointerStep::Any => Ok(NamePart::Star(stars.next().unwrap_or_default())),
    });
    NameTemplate::joined(steps, "/")
}
