//! Codec `json`: values where JSON pointers point. The pointers are compiled into one tree at start, and each
//! message is read once along it.

pub(crate) mod found;
mod names;
mod pairs;
pub(crate) mod pointer;
mod position;
pub(crate) mod quality;
pub(crate) mod time;
pub(crate) mod walk;

use std::sync::Arc;

use verge_domain::id::Unit;
use verge_domain::reading::Quality;
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::time::UtcMillis;

pub(crate) use self::names::Composed;
use self::names::SignalName;
use self::position::Positions;
use super::{DecoderOutput, InputMessage, Linear, Says, json_text};
use crate::figures::Figures;
use crate::names::NameCache;
use crate::settings::{CodecPlaces, CodecSettingsError, DeviceRule, JsonSettings, QualityRule, TimeRule};
use crate::template::{NamePart, NameTemplate};
use found::{Beside, BesidePlace, Match, MessageMatches, Refused};
use pointer::{Node, PointerStep, Target};
use time::TimeNotation;

#[derive(Debug)]
pub(crate) struct JsonCodec {
    tree: Node,
    mappings: Vec<Mapping>,
    /// `None` where the message's topic or the settings name the device.
    device: Option<Composed>,
    found: MessageMatches,
    /// Of the present message, by mapping: whether something stands there.
    seen: Vec<bool>,
    times: MessageTimes,
    /// Room for a message of which a value is not JSON.
    repaired: String,
}

#[derive(Debug)]
struct Mapping {
    part: Arc<str>,
    signal: SignalName,
    time: Option<(Arc<str>, BesidePlace)>,
    quality: Option<(Arc<str>, BesidePlace)>,
    /// Where values may be named by their position in an array.
    positions: Option<Positions>,
    unit: Option<Unit>,
    linear: Linear,
    required: bool,
}

/// The pointers of one codec while it is set up.
#[derive(Default)]
pub(crate) struct Pointers {
    pub(crate) tree: Node,
    beside: Vec<(String, Beside)>,
}

impl Pointers {
    /// What messages are read with.
    pub(crate) fn ready(self, figures: Vec<Figures>) -> (Node, MessageMatches) {
        (self.tree, MessageMatches::new(figures, self.beside.into_iter().map(|(_, what)| what).collect()))
    }

    /// Takes what stands beside the values of these readings.
    pub(crate) fn beside(
        &mut self,
        pointer: &str,
        what: Beside,
        readings: &[(&str, &[PointerStep])],
    ) -> Result<BesidePlace, CodecSettingsError> {
        let steps = pointer::parse(pointer)?;
        let shared =
            steps.iter().rposition(|step| *step == PointerStep::Any).map_or(0, |last| last.saturating_add(1));
        let stars = steps.iter().filter(|step| **step == PointerStep::Any).count();
        let head = steps.get(..shared).unwrap_or_default();
        // Arrays of bare values side by side: what has the same position belongs together.
        let is_column = |steps: &[PointerStep]| {
            let last = steps.len().saturating_sub(1);
            steps.iter().position(|step| *step == PointerStep::Any) == Some(last)
        };
        let foreign = readings.iter().find(|(_, steps)| !steps.starts_with(head));
        let by_position =
            foreign.is_some() && is_column(&steps) && readings.iter().all(|(_, steps)| is_column(steps));
        if let Some((reading, _)) = foreign.filter(|_| !by_position) {
            let (pointer, reading) = (pointer.to_owned(), (*reading).to_owned());
            return Err(CodecSettingsError::ForeignWildcard { pointer, reading });
        }
        let known = self.beside.iter().position(|(other, taken)| other == pointer && *taken == what);
        let number = known.unwrap_or_else(|| {
            self.tree.insert(&steps, Target::Beside(self.beside.len()));
            self.beside.push((pointer.to_owned(), what));
            self.beside.len().saturating_sub(1)
        });
        Ok(BesidePlace { number, stars, by_position })
    }

    pub(crate) fn composed(
        &mut self,
        template: NameTemplate,
        readings: &[(&str, &[PointerStep])],
    ) -> Result<Composed, CodecSettingsError> {
        CodecPlaces::JSON.check_signal(&template)?;
        let mut places = Vec::new();
        let mut each = false;
        for part in template.parts() {
            let place = match part {
                NamePart::Pointer(pointer) => Some(self.beside(pointer, Beside::Name, readings)?),
                _ => None,
            };
            each |= matches!(part, NamePart::Star(_)) || place.is_some_and(|place| place.stars > 0);
            if let NamePart::Star(number) = part
                && let Some((reading, _)) = readings.iter().find(|(_, steps)| {
                    steps.iter().filter(|step| **step == PointerStep::Any).count() <= *number
                })
            {
                return Err(CodecSettingsError::SignalWildcards {
                    signal: template.as_str().to_owned(),
                    pointer: (*reading).to_owned(),
                });
            }
            places.push(place);
        }
        let alone = template.only().is_some_and(|part| part.place().is_some());
        Ok(Composed { part: Arc::from(template.as_str()), template, places, each, alone })
    }

    fn time(
        &mut self,
        rule: &TimeRule,
        readings: &[(&str, &[PointerStep])],
    ) -> Result<(Arc<str>, BesidePlace), CodecSettingsError> {
        let place = self.beside(&rule.pointer, Beside::Time(TimeNotation::new(rule)), readings)?;
        Ok((Arc::from(&*rule.pointer), place))
    }

    fn quality(
        &mut self,
        rule: &QualityRule,
        readings: &[(&str, &[PointerStep])],
    ) -> Result<(Arc<str>, BesidePlace), CodecSettingsError> {
        let place = self.beside(&rule.pointer, Beside::Quality(rule.format), readings)?;
        Ok((Arc::from(&*rule.pointer), place))
    }
}

impl JsonCodec {
    pub(super) fn new(settings: JsonSettings, device: &DeviceRule) -> Result<Self, CodecSettingsError> {
        let JsonSettings { readings, time, quality } = settings;
        if readings.is_empty() {
            return Err(CodecSettingsError::NoReadings);
        }
        let mut pointers = Pointers::default();
        let mut steps = Vec::new();
        for (number, mapping) in readings.iter().enumerate() {
            let parsed = pointer::parse(&mapping.pointer)?;
            pointers.tree.insert(&parsed, Target::Reading(number));
            steps.push(parsed);
        }
        let all: Vec<(&str, &[PointerStep])> =
            readings.iter().zip(&steps).map(|(mapping, steps)| (&*mapping.pointer, &**steps)).collect();
        let device = device.in_payload().map(|template| pointers.composed(template, &all)).transpose()?;
        let (mut mappings, mut figures) = (Vec::new(), Vec::new());
        for (mapping, own) in readings.iter().zip(&all) {
            let own = std::slice::from_ref(own);
            let signal = SignalName::new(mapping, own, &mut pointers)?;
            let time = mapping.time.as_ref().or(time.as_ref());
            let quality = mapping.quality.as_ref().or(quality.as_ref());
            let steps = own.first().map(|(_, steps)| *steps).unwrap_or_default();
            let linear = Linear::new(mapping.scale, mapping.offset)?;
            let unit = mapping.unit.clone().filter(|_| linear.is_identity());
            figures.push(Figures::new(mapping.decimal, mapping.words.clone(), unit)?);
            mappings.push(Mapping {
                part: Arc::from(&*mapping.pointer),
                positions: match &signal {
                    SignalName::Composed(rule) => Positions::of(&rule.template, steps),
                    SignalName::Fixed(_) => None,
                },
                signal,
                time: time.map(|rule| pointers.time(rule, own)).transpose()?,
                quality: quality.map(|rule| pointers.quality(rule, own)).transpose()?,
                unit: mapping.unit.clone(),
                linear,
                required: mapping.required,
            });
        }
        let seen = vec![false; mappings.len()];
        let times = MessageTimes(vec![None; pointers.beside.len()]);
        let (tree, found) = pointers.ready(figures);
        Ok(Self { tree, mappings, device, found, seen, times, repaired: String::new() })
    }

    /// Whether a pointer leads into what Node-RED makes of bytes.
    pub(super) fn reads_buffers(&self) -> bool {
        ["type", "data"].iter().any(|name| self.tree.member(name).0.is_some())
    }

    pub(super) fn decode(
        &mut self,
        message: &InputMessage<'_>,
        names: &mut NameCache,
        output: &mut DecoderOutput<'_>,
    ) -> Result<(), Rejection> {
        let Self { tree, mappings, device: composed, found, seen, times, repaired } = self;
        let text = message.text()?;
        found.begin(output.room, message.received);
        if let Err(error) = walk::read(text, tree, found) {
            if !json_text::repair(text, repaired) {
                return Err(json_text::refuse(text, &error));
            }
            found.begin(output.room, message.received);
            walk::read(repaired, tree, found).map_err(|_| json_text::refuse(text, &error))?;
        }
        let found = &*found;
        // One device of the whole message, unless each value names its own.
        let device = match (&message.device, &*composed) {
            (Some(device), _) => Some(device.clone()),
            (None, Some(rule)) if !rule.each => {
                let named = rule.device(message.topic, found, None, names);
                Some(named.map_err(|reason| rule.refuse(reason))?)
            }
            (None, _) => None,
        };
        times.0.fill(None);
        mappings.iter_mut().filter_map(|mapping| mapping.positions.as_mut()).for_each(Positions::begin);
        seen.fill(false);
        for value in &found.matches {
            let (Some(mapping), Some(seen)) = (mappings.get_mut(value.mapping), seen.get_mut(value.mapping))
            else {
                continue;
            };
            *seen = true;
            if !output.take_room() {
                // What follows was not read, so nothing can be reported as missing.
                return Ok(());
            }
            let device = match (&device, &*composed) {
                (Some(device), _) => device.clone(),
                (None, Some(rule)) => match rule.device(message.topic, found, Some(value), names) {
                    Ok(device) => device,
                    Err(reason) => {
                        output.reject(reason, &rule.part);
                        continue;
                    }
                },
                (None, None) => return Err(Rejection::whole(Reason::MissingDevice)),
            };
            let captured_at = times.of(mapping, found, value, output);
            let quality = match &mapping.quality {
                None => Quality::Good,
                // A good quality may be omitted.
                Some((part, place)) => match found.quality(value, *place).unwrap_or(Ok(Quality::Good)) {
                    Ok(quality) => quality,
                    Err(quality::Bad) => {
                        output.reject(Reason::BadQuality, part);
                        continue;
                    }
                },
            };
            let number = match value.value {
                Ok(number) => number,
                Err(refused) => {
                    let signal = match &mapping.signal {
                        SignalName::Composed(_) => mapping.signal.of(message.topic, found, value, names).ok(),
                        SignalName::Fixed(_) => None,
                    };
                    output.reject_showing(refused.reason, &mapping.part, found.came(refused), signal);
                    continue;
                }
            };
            let reading = mapping
                .linear
                .apply(number)
                .and_then(|number| Ok((mapping.signal.of(message.topic, found, value, names)?, number)));
            match reading {
                Ok((signal, number)) => {
                    if let Some(positions) = &mut mapping.positions {
                        positions.note(found, value, output.decoded.items.len());
                    }
                    let says = Says { unit: mapping.unit.clone(), captured_at, quality };
                    output.reading_that(&device, signal, number, says);
                }
                Err(reason) => output.reject(reason, &mapping.part),
            }
        }
        if let Some(device) = &device {
            for positions in mappings.iter_mut().filter_map(|mapping| mapping.positions.as_mut()) {
                positions.compare(device, &mut output.decoded.shared);
            }
        }
        // A time that stands once in the message is looked for once, whatever else is there.
        for mapping in mappings.iter() {
            times.of_message(mapping, found, output);
        }
        for (mapping, seen) in mappings.iter().zip(&*seen) {
            if mapping.required && !seen {
                output.reject(Reason::MissingField, &mapping.part);
            }
        }
        Ok(())
    }
}

/// Times that stand once in a message, by their place beside the values: each is read, and its fault counted, once.
#[derive(Debug)]
struct MessageTimes(Vec<Option<Option<UtcMillis>>>);

impl MessageTimes {
    /// The device's own time of a value. Without it the reading is still good: it counts from its receipt, and the
    /// fault is counted beside it.
    fn of(
        &mut self,
        mapping: &Mapping,
        found: &MessageMatches,
        value: &Match,
        output: &mut DecoderOutput<'_>,
    ) -> Option<UtcMillis> {
        let (part, place) = mapping.time.as_ref()?;
        if place.stars == 0 {
            return self.of_message(mapping, found, output);
        }
        usable(found.time(Some(value), *place), part, found, output)
    }

    fn of_message(
        &mut self,
        mapping: &Mapping,
        found: &MessageMatches,
        output: &mut DecoderOutput<'_>,
    ) -> Option<UtcMillis> {
        let (part, place) = mapping.time.as_ref().filter(|(_, place)| place.stars == 0)?;
        let known = self.0.get_mut(place.number)?;
        *known.get_or_insert_with(|| usable(found.time(None, *place), part, found, output))
    }
}

fn usable(
    time: Option<Result<UtcMillis, Refused>>,
    part: &Arc<str>,
    found: &MessageMatches,
    output: &mut DecoderOutput<'_>,
) -> Option<UtcMillis> {
    match time {
        Some(Ok(at)) => return Some(at),
        Some(Err(refused)) => output.reject_showing(refused.reason, part, found.came(refused), None),
        None => output.reject(Reason::MissingField, part),
    }
    None
}

#[cfg(test)]
mod tests;
