//! What was decided: each body in a file of its own, with its members, its words for people, and what of it is a number.

mod anomaly;
mod classification;
mod counts;
mod detections;
mod health;
mod traffic;

use std::borrow::Cow;

use serde::de::{Error as _, MapAccess};
use serde::ser::SerializeMap;
use verge_domain::verdict::Body;

use crate::WireError;
use crate::portable::{AsJson, CborReader, CborWriter, Field, Parsed, Portable, RecordMember, Text, Written};
use crate::words::Occasion;

/// What each body says beside its members.
trait Decided: Portable {
    /// In words, for people.
    fn words(&self, occasion: &Occasion<'_>) -> String;

    /// What was observed, where that is a number.
    fn observed(&self) -> Option<f64>;
}

/// The body of a verdict as it travels: one of several keys in CBOR; in JSON `"kind": "anomaly", "anomaly": {…}`.
#[derive(Default)]
pub(crate) struct WireBody<'a> {
    body: Option<Cow<'a, Body>>,
    /// JSON names the body twice.
    kind: Option<&'static str>,
    /// Bodies that were found.
    found: usize,
}

/// The JSON member that names the body.
const KIND: &str = "kind";

/// All bodies. Their keys follow one another, from that of the verdict's member `body` on.
macro_rules! bodies {
    ($($at:literal $name:literal $kind:ident),+ $(,)?) => {
        const KINDS: &[&str] = &[$($name),+];
        /// One for each.
        const BODIES: u64 = 0 $(+ { let _: u64 = $at; 1 })+;

        /// What was decided, in words.
        pub(crate) fn words(body: &Body, occasion: &Occasion<'_>) -> String {
            match body {
                $(Body::$kind(body) => body.words(occasion)),+
            }
        }

        /// What was observed, where that is a number.
        pub(crate) fn observed(body: &Body) -> Option<f64> {
            match body {
                $(Body::$kind(body) => body.observed()),+
            }
        }

        fn write_body(body: &Body, first: u64, cbor: &mut CborWriter<'_>, field: Field) -> Written {
            match body {
                $(Body::$kind(body) => body.write_entries(first.saturating_add($at), cbor, field)),+
            }
        }

        fn read_body(at: u64, cbor: &mut CborReader<'_>, field: Field) -> Result<Body, WireError> {
            match at {
                $($at => Portable::read(cbor, field).map(Body::$kind),)+
                found => Err(WireError::UnknownCode { field, found }),
            }
        }

        fn show_body<S: SerializeMap>(body: &Body, object: &mut S) -> Result<(), S::Error> {
            object.serialize_entry(KIND, body.kind())?;
            match body {
                $(Body::$kind(body) => object.serialize_entry($name, &AsJson(body))),+
            }
        }

        fn parse_body<'de, A: MapAccess<'de>>(name: &str, object: &mut A) -> Result<Option<Body>, A::Error> {
            match name {
                $($name => Ok(object.next_value::<Option<Parsed<_>>>()?.map(|Parsed(body)| Body::$kind(body))),)+
                _ => Err(A::Error::unknown_field(name, KINDS)),
            }
        }
    };
}

bodies! {
    0 "anomaly" Anomaly,
    1 "counts" Counts,
    2 "health" Health,
    3 "classification" Classification,
    4 "detections" Detections,
    5 "traffic" Traffic,
}

impl<'a> WireBody<'a> {
    pub(crate) fn of(body: &'a Body) -> Self {
        Self { body: Some(Cow::Borrowed(body)), kind: Some(body.kind()), found: 1 }
    }

    /// The one body.
    pub(crate) fn into_body(self) -> Result<Body, WireError> {
        let Self { body, kind, found } = self;
        let kind = kind.ok_or(WireError::Missing { field: "verdict kind" })?;
        match body {
            Some(_) if found > 1 => Err(WireError::Bodies { found }),
            Some(body) if body.kind() == kind => Ok(body.into_owned()),
            _ => Err(WireError::Missing { field: kind }),
        }
    }

    fn add(&mut self, body: Body) {
        self.body = Some(Cow::Owned(body));
        self.found = self.found.saturating_add(1);
    }
}

impl RecordMember for WireBody<'_> {
    const KEYS: u64 = BODIES;

    fn entries(&self) -> u64 {
        1
    }

    fn write_entries(&self, key: u64, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        self.body.as_deref().map_or(Ok(()), |body| write_body(body, key, cbor, field))
    }

    fn read_entry(
        slot: &mut Option<Self>,
        at: u64,
        cbor: &mut CborReader<'_>,
        field: Field,
    ) -> Result<(), WireError> {
        let body = read_body(at, cbor, field)?;
        let read = slot.get_or_insert_default();
        read.kind = Some(body.kind());
        read.add(body);
        Ok(())
    }

    fn owns(name: &str, _: &'static str) -> bool {
        name == KIND || KINDS.contains(&name)
    }

    fn show_member<S: SerializeMap>(&self, _: &'static str, object: &mut S) -> Result<(), S::Error> {
        self.body.as_deref().map_or(Ok(()), |body| show_body(body, object))
    }

    fn parse_member<'de, A: MapAccess<'de>>(
        slot: &mut Option<Self>,
        name: &str,
        _: &'static str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        let parsed = slot.get_or_insert_default();
        if name != KIND {
            if let Some(body) = parse_body(name, object)? {
                parsed.add(body);
            }
            return Ok(());
        }
        let Text(found) = object.next_value()?;
        let kind = KINDS.iter().copied().find(|kind| *kind == found);
        match parsed.kind.replace(kind.ok_or_else(|| A::Error::unknown_variant(&found, KINDS))?) {
            None => Ok(()),
            Some(_) => Err(A::Error::duplicate_field(KIND)),
        }
    }
}
