//! One pass over a message along the tree of pointers. Nothing is kept of what no pointer leads to, and
//! nothing is allocated once the buffers have grown; what is skipped is not nested on the stack.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use verge_domain::rejection::Reason;
use verge_domain::time::UtcMillis;

use super::pointer::{Node, Target};
use super::time;
use crate::input::json_text::{Name, text};
use crate::number;
use crate::settings::TimeFormat;

/// A value that a reading's pointer leads to.
#[derive(Debug)]
pub(super) struct Match {
    /// Which mapping.
    pub(super) mapping: usize,
    /// The number, before scale and offset.
    pub(super) value: Result<f64, Reason>,
    /// Where in [`Found::stars`] stands what the pointer's `*` stood for.
    pub(super) stars: Range<usize>,
}

/// What one message holds. Reused from message to message.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) matches: Vec<Match>,
    /// Whether `device` holds the device's name.
    pub(super) device_named: bool,
    pub(super) device: String,
    pub(super) time: Option<Result<UtcMillis, Reason>>,
    /// Texts that `*` stood for: ranges of `star_text`.
    pub(super) stars: Vec<Range<usize>>,
    pub(super) star_text: String,
    /// The `*` on the way to the place that is being read.
    path: Vec<Range<usize>>,
    limit: usize,
    format: Option<TimeFormat>,
}

impl Found {
    /// Reads a message; remembers at most `limit` values and one more, which shows that there are too many.
    pub(super) fn read(
        &mut self,
        text: &str,
        tree: &Node,
        limit: usize,
        format: Option<TimeFormat>,
    ) -> Result<(), serde_json::Error> {
        self.matches.clear();
        self.device_named = false;
        self.time = None;
        self.stars.clear();
        self.star_text.clear();
        self.path.clear();
        self.limit = limit;
        self.format = format;
        let mut json = serde_json::Deserializer::from_str(text);
        Place { node: tree, found: self }.deserialize(&mut json)?;
        json.end()
    }

    /// What the pointer's `*` with this number stood for in a match.
    pub(super) fn star(&self, of: &Match, number: usize) -> Option<&str> {
        let range = self.stars.get(of.stars.clone())?.get(number)?;
        self.star_text.get(range.clone())
    }

    /// A value stands where a pointer leads; `raw` is its JSON text.
    fn take(&mut self, target: Target, raw: &str) {
        match target {
            Target::Reading(mapping) => {
                if self.matches.len() > self.limit {
                    return;
                }
                let Some(value) = value(raw) else { return };
                let start = self.stars.len();
                self.stars.extend_from_slice(&self.path);
                self.matches.push(Match { mapping, value, stars: start..self.stars.len() });
            }
            Target::Time => {
                if let Some(format) = self.format {
                    self.time = time::read(raw, format);
                }
            }
            Target::Device => self.take_device(raw),
        }
    }

    /// A name is a text or a whole number.
    fn take_device(&mut self, raw: &str) {
        let digits = raw.strip_prefix('-').unwrap_or(raw);
        let name = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Some(Cow::Borrowed(raw))
        } else {
            text(raw)
        };
        if let Some(name) = name {
            self.device.clear();
            self.device.push_str(&name);
            self.device_named = true;
        }
    }

    fn enter_star(&mut self, name: impl fmt::Display) -> Result<(), fmt::Error> {
        let start = self.star_text.len();
        fmt::Write::write_fmt(&mut self.star_text, format_args!("{name}"))?;
        self.path.push(start..self.star_text.len());
        Ok(())
    }

    fn leave_star(&mut self) {
        self.path.pop();
    }
}

/// The number that a JSON value is; a truth value is 1 or 0, and a number in a string is none. `None` for
/// `null`, with which devices say that there is nothing.
fn value(raw: &str) -> Option<Result<f64, Reason>> {
    match raw {
        "null" => None,
        "true" => Some(Ok(1.0)),
        "false" => Some(Ok(0.0)),
        _ if raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            Some(number::from_text(raw))
        }
        _ => Some(Err(Reason::NotANumber)),
    }
}

/// A place that some pointer leads to, about to be read.
struct Place<'a> {
    node: &'a Node,
    found: &'a mut Found,
}

impl Place<'_> {
    /// Reads the place from the text that stands there.
    fn read_text<E: Error>(mut self, raw: &str) -> Result<(), E> {
        for target in &self.node.targets {
            self.found.take(*target, raw);
        }
        if self.node.is_leaf() || !raw.starts_with(['{', '[']) {
            return Ok(());
        }
        self.descend(&mut serde_json::Deserializer::from_str(raw)).map_err(E::custom)
    }

    fn descend<'de, D: Deserializer<'de>>(&mut self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(Below { node: self.node, found: self.found })
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, json: D) -> Result<(), D::Error> {
        if self.node.targets.is_empty() {
            return self.descend(json);
        }
        let raw = <&RawValue>::deserialize(json)?;
        self.read_text(raw.get())
    }
}

/// What stands below a place: only objects and arrays lead further, all else is passed over.
struct Below<'a> {
    node: &'a Node,
    found: &'a mut Found,
}

impl<'de> Visitor<'de> for Below<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key_seed(Name)? {
            let (named, any) = self.node.member(&name);
            let next = Next { named, any, star: &*name, found: self.found };
            next.read(&mut Member(&mut members))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        for number in 0usize.. {
            let (named, any) = self.node.element(number);
            let next = Next { named, any, star: number, found: self.found };
            if !next.read(&mut Element(&mut elements))? {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The value of a member or element, not read yet. Members and elements differ in nothing else here.
trait Pending<'de> {
    type Error: Error;
    /// Reads it with `seed`; `None` if there is none.
    fn read<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Self::Error>;
}

struct Member<'a, A>(&'a mut A);

impl<'de, A: MapAccess<'de>> Pending<'de> for Member<'_, A> {
    type Error = A::Error;

    fn read<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_value_seed(seed).map(Some)
    }
}

struct Element<'a, A>(&'a mut A);

impl<'de, A: SeqAccess<'de>> Pending<'de> for Element<'_, A> {
    type Error = A::Error;

    fn read<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(seed)
    }
}

/// One member or element, and where it leads.
struct Next<'a, N> {
    named: Option<&'a Node>,
    any: Option<&'a Node>,
    star: N,
    found: &'a mut Found,
}

impl<N: fmt::Display> Next<'_, N> {
    /// `false` if there is no such element.
    fn read<'de, P: Pending<'de>>(self, pending: &mut P) -> Result<bool, P::Error> {
        let Self { named, any, star, found } = self;
        let read = match (named, any) {
            (None, None) => pending.read(std::marker::PhantomData::<IgnoredAny>)?.is_some(),
            (Some(node), None) => pending.read(Place { node, found })?.is_some(),
            (None, Some(node)) => {
                found.enter_star(star).map_err(P::Error::custom)?;
                let read = pending.read(Place { node, found })?.is_some();
                found.leave_star();
                read
            }
            // A value can be read only once, and here two pointers go on in different ways.
            (Some(named), Some(any)) => match pending.read(std::marker::PhantomData::<&RawValue>)? {
                None => false,
                Some(raw) => {
                    Place { node: named, found }.read_text::<P::Error>(raw.get())?;
                    found.enter_star(star).map_err(P::Error::custom)?;
                    Place { node: any, found }.read_text::<P::Error>(raw.get())?;
                    found.leave_star();
                    true
                }
            },
        };
        Ok(read)
    }
}
