//! One pass over a message along the tree of pointers; what is found goes to [`MessageMatches`]. What is skipped is not
//! nested on the stack.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::found::{MessageMatches, StarName};
use super::pointer::Node;
use crate::input::json_text::MemberName;

/// Reads a message.
pub(crate) fn read(text: &str, tree: &Node, found: &mut MessageMatches) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    Way { node: tree, found }.deserialize(&mut json)?;
    json.end()
}

/// A place that some pointer leads to, about to be read.
struct Way<'a> {
    node: &'a Node,
    found: &'a mut MessageMatches,
}

impl Way<'_> {
    /// Reads the place from the text that stands there.
    fn read_text<E: Error>(mut self, raw: &str) -> Result<(), E> {
        for target in &self.node.targets {
            self.found.take(*target, raw);
        }
        if self.node.is_leaf() || !raw.starts_with(['{', '[', '"']) {
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

/// What stands below a place: only objects and arrays lead further, all else is ignored.
struct Below<'a> {
    node: &'a Node,
    found: &'a mut MessageMatches,
}

impl<'de> Visitor<'de> for Below<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key_seed(MemberName)? {
            let (named, any) = self.node.member(&name);
            let next = NextValue { named, any, star: &*name, found: self.found };
            next.read(&mut MemberValue(&mut members))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        for number in 0usize.. {
            let (named, any) = self.node.element(number);
            let next = NextValue { named, any, star: number, found: self.found };
            if !next.read(&mut ElementValue(&mut elements))? {
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

    /// JSON within a string is read where a pointer leads into it; what is none holds nothing.
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if text.trim_start().starts_with(['{', '[']) {
            within(text, self.node, self.found);
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads JSON that stands in a string. From bytes: code of its own, as in `pairs`.
#[cold]
fn within(text: &str, node: &Node, found: &mut MessageMatches) {
    let mut json = serde_json::Deserializer::from_slice(text.as_bytes());
    let mark = found.mark();
    let read = json.deserialize_any(Below { node, found: &mut *found }).and_then(|()| json.end());
    if read.is_err() {
        found.return_to(mark);
    }
}

/// The value of a member or element, not read yet. Members and elements differ in nothing else here.
trait Pending<'de> {
    type Error: Error;
    /// Reads it with `seed`; `None` if there is none.
    fn read<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Self::Error>;
}

struct MemberValue<'a, A>(&'a mut A);

impl<'de, A: MapAccess<'de>> Pending<'de> for MemberValue<'_, A> {
    type Error = A::Error;

    fn read<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_value_seed(seed).map(Some)
    }
}

struct ElementValue<'a, A>(&'a mut A);

impl<'de, A: SeqAccess<'de>> Pending<'de> for ElementValue<'_, A> {
    type Error = A::Error;

    fn read<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(seed)
    }
}

/// One member or element, and where it leads.
struct NextValue<'a, N> {
    named: Option<&'a Node>,
    any: Option<&'a Node>,
    star: N,
    found: &'a mut MessageMatches,
}

impl<N: StarName> NextValue<'_, N> {
    /// `false` if there is no such element.
    fn read<'de, P: Pending<'de>>(self, pending: &mut P) -> Result<bool, P::Error> {
        let Self { named, any, star, found } = self;
        let read = match (named, any) {
            (None, None) => pending.read(std::marker::PhantomData::<IgnoredAny>)?.is_some(),
            (Some(node), None) => pending.read(Way { node, found })?.is_some(),
            (None, Some(node)) => {
                found.enter_star(star);
                let read = pending.read(Way { node, found })?.is_some();
                found.leave_star();
                read
            }
            // A value can be read only once, and here two pointers lead to different places below it.
            (Some(named), Some(any)) => match pending.read(std::marker::PhantomData::<&RawValue>)? {
                None => false,
                Some(raw) => {
                    Way { node: named, found }.read_text::<P::Error>(raw.get())?;
                    found.enter_star(star);
                    Way { node: any, found }.read_text::<P::Error>(raw.get())?;
                    found.leave_star();
                    true
                }
            },
        };
        Ok(read)
    }
}
