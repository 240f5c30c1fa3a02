//! Codec `json`: values where JSON pointers point. The pointers are compiled into one tree at start, and each
//! message is read once along it.

pub(crate) mod pointer;
pub(crate) mod time;
mod walk;

use std::sync::Arc;

use verge_domain::id::{DeviceId, NameError, SignalId, Unit};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::UtcMillis;

use super::{Linear, Message, Output};
use crate::names::Names;
use crate::settings::{CodecSettingsError, DeviceRule, JsonMapping, JsonSettings, TimeFormat};
use pointer::{Node, Step, Target};
use walk::{Found, Match};

#[derive(Debug)]
pub(crate) struct JsonCodec {
    tree: Node,
    mappings: Vec<Mapping>,
    device: Option<Arc<str>>,
    time: Option<(Arc<str>, TimeFormat)>,
    found: Found,
    /// Of the message in hand, by mapping: whether something stands there.
    seen: Vec<bool>,
    name: String,
}

#[derive(Debug)]
struct Mapping {
    part: Arc<str>,
    signal: Signal,
    unit: Option<Unit>,
    linear: Linear,
    required: bool,
}

/// A signal's name, or how to put it together from what the pointer's `*` stood for.
#[derive(Debug)]
enum Signal {
    Fixed(SignalId),
    Joined(Vec<Piece>),
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Star(usize),
}

impl JsonCodec {
    pub(super) fn new(settings: JsonSettings, device: &DeviceRule) -> Result<Self, CodecSettingsError> {
        if settings.readings.is_empty() {
            return Err(CodecSettingsError::NoReadings);
        }
        let mut tree = Node::default();
        let mut mappings = Vec::new();
        for (number, mapping) in settings.readings.into_iter().enumerate() {
            let steps = pointer::parse(&mapping.pointer)?;
            tree.insert(&steps, Target::Reading(number));
            mappings.push(Mapping::new(mapping, &steps)?);
        }
        let mut single = |pointer: &str, target: Target| -> Result<Arc<str>, CodecSettingsError> {
            tree.insert(&pointer::parse_single(pointer)?, target);
            Ok(Arc::from(pointer))
        };
        let device = match device {
            DeviceRule::Pointer(pointer) => Some(single(pointer, Target::Device)?),
            _ => None,
        };
        let time = match settings.time {
            Some(rule) => Some((single(&rule.pointer, Target::Time)?, rule.format)),
            None => None,
        };
        let seen = vec![false; mappings.len()];
        Ok(Self { tree, mappings, device, time, found: Found::default(), seen, name: String::new() })
    }

    pub(super) fn decode(
        &mut self,
        message: &Message<'_>,
        names: &mut Names,
        output: &mut Output<'_>,
    ) -> Result<(), Rejection> {
        let format = self.time.as_ref().map(|(_, format)| *format);
        self.found
            .read(message.text()?, &self.tree, output.room, format)
            .map_err(|_| Rejection::whole(Reason::BadJson))?;
        let device = self.device(message, names)?;
        let captured_at = self.captured_at(output);
        self.seen.fill(false);
        for found in &self.found.matches {
            let (Some(mapping), Some(seen)) =
                (self.mappings.get(found.mapping), self.seen.get_mut(found.mapping))
            else {
                continue;
            };
            *seen = true;
            if !output.take_room() {
                // What follows was not looked at, so nothing can be said to be missing.
                return Ok(());
            }
            let reading = found
                .value
                .and_then(|value| mapping.linear.apply(value))
                .and_then(|value| Ok((mapping.signal(&self.found, found, &mut self.name, names)?, value)));
            match reading {
                Ok((signal, value)) => {
                    output.reading(&device, signal, value, mapping.unit.clone(), captured_at);
                }
                Err(reason) => output.reject(reason, &mapping.part),
            }
        }
        for (mapping, seen) in self.mappings.iter().zip(&self.seen) {
            if mapping.required && !seen {
                output.reject(Reason::MissingField, &mapping.part);
            }
        }
        Ok(())
    }

    fn device(&self, message: &Message<'_>, names: &mut Names) -> Result<DeviceId, Rejection> {
        let refuse = |reason| Rejection { reason, part: self.device.clone() };
        match &message.device {
            Some(device) => Ok(device.clone()),
            None if !self.found.device_named => Err(refuse(Reason::MissingDevice)),
            None => names.device(&self.found.device).map_err(|_| refuse(Reason::BadName)),
        }
    }

    /// The device's own time. Without it the readings are still good: they count from their receipt, and
    /// the fault is counted beside them.
    fn captured_at(&self, output: &mut Output<'_>) -> Option<UtcMillis> {
        let (part, _) = self.time.as_ref()?;
        match self.found.time {
            Some(Ok(at)) => return Some(at),
            Some(Err(reason)) => output.reject(reason, part),
            None => output.reject(Reason::MissingField, part),
        }
        None
    }
}

impl Mapping {
    fn new(mapping: JsonMapping, steps: &[Step]) -> Result<Self, CodecSettingsError> {
        let JsonMapping { pointer, signal, unit, scale, offset, required } = mapping;
        let stars = steps.iter().filter(|step| **step == Step::Any).count();
        let pieces = match &signal {
            Some(signal) => pieces(signal),
            None => default_pieces(steps),
        };
        if pieces.iter().any(|piece| matches!(piece, Piece::Star(number) if *number >= stars)) {
            return Err(CodecSettingsError::SignalWildcards { signal: signal.unwrap_or_default(), pointer });
        }
        let signal = match (&*pieces, signal) {
            ([], None) => return Err(CodecSettingsError::NoSignal { pointer }),
            ([Piece::Text(text)], _) => Signal::Fixed(signal_name(text)?),
            ([], Some(_)) => Signal::Fixed(signal_name("")?),
            _ => Signal::Joined(pieces),
        };
        let linear = Linear::new(scale, offset)?;
        Ok(Self { part: Arc::from(pointer), signal, unit, linear, required })
    }

    fn signal(
        &self,
        found: &Found,
        of: &Match,
        name: &mut String,
        names: &mut Names,
    ) -> Result<SignalId, Reason> {
        match &self.signal {
            Signal::Fixed(signal) => Ok(signal.clone()),
            Signal::Joined(pieces) => {
                name.clear();
                for piece in pieces {
                    name.push_str(match piece {
                        Piece::Text(text) => text,
                        Piece::Star(number) => found.star(of, *number).unwrap_or_default(),
                    });
                }
                names.signal(name).map_err(|_| Reason::BadName)
            }
        }
    }
}

fn signal_name(text: &str) -> Result<SignalId, CodecSettingsError> {
    SignalId::new(text)
        .map_err(|source: NameError| CodecSettingsError::SignalName { signal: text.to_owned(), source })
}

/// A signal's name taken apart at its `*`.
fn pieces(signal: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (number, text) in signal.split('*').enumerate() {
        if let Some(star) = number.checked_sub(1) {
            pieces.push(Piece::Star(star));
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(Box::from(text)));
        }
    }
    pieces
}

/// The last step; with `*`, all steps from the first one on, since the last alone would give one name to
/// many values.
fn default_pieces(steps: &[Step]) -> Vec<Piece> {
    let first_star = steps.iter().position(|step| *step == Step::Any);
    let start = first_star.unwrap_or(steps.len().saturating_sub(1));
    let mut pieces = Vec::new();
    let mut stars = 0usize..;
    for (number, step) in steps.iter().skip(start).enumerate() {
        if number > 0 {
            pieces.push(Piece::Text(Box::from("/")));
        }
        pieces.push(match step {
            Step::Name(name) => Piece::Text(name.clone()),
            Step::Any => Piece::Star(stars.next().unwrap_or_default()),
        });
    }
    pieces
}

#[cfg(test)]
mod tests;
