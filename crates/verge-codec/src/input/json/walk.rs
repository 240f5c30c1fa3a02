//! One pass over a message along the tree of pointers. Nothing is kept of what no pointer leads to, and
//! nothing is allocated once the buffers have grown; what is skipped is not nested on the stack.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use verge_domain::reading::Quality;
use verge_domain::rejection::Reason;
use verge_domain::time::UtcMillis;

use super::pointer::{Node, Target};
use super::quality::{self, Bad};
use super::{pairs, time};
use crate::input::json_text::{Name, text};
use crate::number;
use crate::settings::{QualityFormat, TimeFormat};

/// A value that a reading's pointer leads to.
#[derive(Debug)]
pub(super) struct Match {
    /// Which mapping.
    pub(super) mapping: usize,
    /// The number, before scale and offset.
    pub(super) value: Result<f64, Reason>,
    /// Where in `Found::stars` stands what the pointer's `*` stood for.
    pub(super) stars: Range<usize>,
}

/// What is taken from a message beside its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// A text, a whole number or a flat object, for a name.
    Name,
    Time(TimeFormat),
    Quality(QualityFormat),
}

/// Something beside the values.
#[derive(Debug)]
struct Note {
    /// The element that it is of: the number of the last `*` on the way, 0 for the message.
    element: usize,
    said: Said,
}

#[derive(Debug)]
enum Said {
    /// A range of [`Found::texts`].
    Name(Range<usize>),
    Time(Result<UtcMillis, Reason>),
    Quality(Result<Quality, Bad>),
}

/// Where to look beside a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Which of [`Found::beside`].
    pub(super) number: usize,
    /// How many `*` it shares with the value's pointer: all that it has.
    pub(super) stars: usize,
}

/// What a `*` stands for at one place of a message.
#[derive(Debug, Clone, Copy)]
struct Star {
    /// Counted from 1 in the message: this very element.
    element: usize,
    /// From where to where in [`Found::texts`].
    start: usize,
    end: usize,
    /// Whether it is a position in an array.
    position: bool,
}

/// What one message holds. Reused from message to message.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) matches: Vec<Match>,
    /// What is to be taken beside the values.
    pub(super) beside: Vec<Beside>,
    /// What was, by its place in `beside` and in the order of the message, in which elements are counted.
    notes: Vec<Vec<Note>>,
    stars: Vec<Star>,
    texts: String,
    /// The `*` on the way to the place that is being read.
    path: Vec<Star>,
    elements: usize,
    limit: usize,
}

impl Found {
    pub(super) fn new(beside: Vec<Beside>) -> Self {
        Self {
            matches: Vec::new(),
            notes: beside.iter().map(|_| Vec::new()).collect(),
            beside,
            stars: Vec::new(),
            texts: String::new(),
            path: Vec::new(),
            elements: 0,
            limit: 0,
        }
    }

    /// Reads a message; remembers at most `limit` values and one more, which shows that there are too many.
    pub(super) fn read(&mut self, text: &str, tree: &Node, limit: usize) -> Result<(), serde_json::Error> {
        self.matches.clear();
        self.notes.iter_mut().for_each(Vec::clear);
        self.stars.clear();
        self.texts.clear();
        self.path.clear();
        self.elements = 0;
        self.limit = limit;
        let mut json = serde_json::Deserializer::from_str(text);
        Way { node: tree, found: self }.deserialize(&mut json)?;
        json.end()
    }

    /// What the pointer's `*` with this number stood for in a match.
    pub(super) fn star(&self, of: &Match, number: usize) -> Option<&str> {
        let star = self.stars.get(of.stars.clone())?.get(number)?;
        self.texts.get(star.start..star.end)
    }

    /// Whether the pointer's `*` with this number stood for a position.
    pub(super) fn is_position(&self, of: &Match, number: usize) -> bool {
        self.stars.get(of.stars.clone()).and_then(|stars| stars.get(number)).is_some_and(|star| star.position)
    }

    /// What was said beside a value, or of the message where there is none.
    fn said(&self, of: Option<&Match>, place: Place) -> Option<&Said> {
        let element = match (of, place.stars.checked_sub(1)) {
            (_, None) => 0,
            (of, Some(last)) => self.stars.get(of?.stars.clone())?.get(last)?.element,
        };
        let notes = self.notes.get(place.number)?;
        // Of a name that stands there twice the last counts.
        let after = notes.partition_point(|note| note.element <= element);
        let note = notes.get(after.checked_sub(1)?)?;
        (note.element == element).then_some(&note.said)
    }

    pub(super) fn name(&self, of: Option<&Match>, place: Place) -> Option<&str> {
        match self.said(of, place)? {
            Said::Name(range) => self.texts.get(range.clone()),
            Said::Time(_) | Said::Quality(_) => None,
        }
    }

    pub(super) fn time(&self, of: Option<&Match>, place: Place) -> Option<Result<UtcMillis, Reason>> {
        match self.said(of, place)? {
            Said::Time(time) => Some(*time),
            Said::Name(_) | Said::Quality(_) => None,
        }
    }

    pub(super) fn quality(&self, of: &Match, place: Place) -> Option<Result<Quality, Bad>> {
        match self.said(Some(of), place)? {
            Said::Quality(quality) => Some(*quality),
            Said::Name(_) | Said::Time(_) => None,
        }
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
            Target::Beside(number) => {
                let said = match self.beside.get(number) {
                    Some(Beside::Name) => self.take_name(raw).map(Said::Name),
                    Some(Beside::Time(format)) => time::read(raw, *format).map(Said::Time),
                    Some(Beside::Quality(format)) => quality::read(raw, *format).map(Said::Quality),
                    None => None,
                };
                let element = self.path.last().map_or(0, |star| star.element);
                if let (Some(said), Some(notes)) = (said, self.notes.get_mut(number)) {
                    notes.push(Note { element, said });
                }
            }
        }
    }

    fn take_name(&mut self, raw: &str) -> Option<Range<usize>> {
        let start = self.texts.len();
        if raw.starts_with('{') {
            pairs::write(raw, &mut self.texts)?;
        } else {
            let digits = raw.strip_prefix('-').unwrap_or(raw);
            let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
            let name = if whole { Cow::Borrowed(raw) } else { text(raw)? };
            self.texts.push_str(&name);
        }
        Some(start..self.texts.len())
    }

    fn enter_star<N: StarName>(&mut self, name: N) -> Result<(), fmt::Error> {
        let start = self.texts.len();
        fmt::Write::write_fmt(&mut self.texts, format_args!("{name}"))?;
        self.elements = self.elements.saturating_add(1);
        self.path.push(Star { element: self.elements, start, end: self.texts.len(), position: N::POSITION });
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
struct Way<'a> {
    node: &'a Node,
    found: &'a mut Found,
}

impl Way<'_> {
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

impl<'de> DeserializeSeed<'de> for Way<'_> {
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

/// What a `*` stands for: the name of a member, or the position of an element.
trait StarName: fmt::Display {
    const POSITION: bool;
}

impl StarName for &str {
    const POSITION: bool = false;
}

impl StarName for usize {
    const POSITION: bool = true;
}

/// One member or element, and where it leads.
struct Next<'a, N> {
    named: Option<&'a Node>,
    any: Option<&'a Node>,
    star: N,
    found: &'a mut Found,
}

impl<N: StarName> Next<'_, N> {
    /// `false` if there is no such element.
    fn read<'de, P: Pending<'de>>(self, pending: &mut P) -> Result<bool, P::Error> {
        let Self { named, any, star, found } = self;
        let read = match (named, any) {
            (None, None) => pending.read(std::marker::PhantomData::<IgnoredAny>)?.is_some(),
            (Some(node), None) => pending.read(Way { node, found })?.is_some(),
            (None, Some(node)) => {
                found.enter_star(star).map_err(P::Error::custom)?;
                let read = pending.read(Way { node, found })?.is_some();
                found.leave_star();
                read
            }
            // A value can be read only once, and here two pointers go on in different ways.
            (Some(named), Some(any)) => match pending.read(std::marker::PhantomData::<&RawValue>)? {
                None => false,
                Some(raw) => {
                    Way { node: named, found }.read_text::<P::Error>(raw.get())?;
                    found.enter_star(star).map_err(P::Error::custom)?;
                    Way { node: any, found }.read_text::<P::Error>(raw.get())?;
                    found.leave_star();
                    true
                }
            },
        };
        Ok(read)
    }
}
