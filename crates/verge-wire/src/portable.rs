//! What travels, in both forms. `record.rs` makes it of a table.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;

use minicbor::Decoder;
use minicbor::encode::Error as CborError;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use verge_domain::time::UtcMillis;

use crate::WireError;

/// Names a member in errors.
pub(crate) type Field = &'static str;
pub(crate) type Written = Result<(), WireError>;

/// A value that travels.
pub(crate) trait Portable: Sized {
    /// Of a record or a list of codes: keys, names and marks, for the test that holds `docs/verdict.cddl` against them.
    #[cfg(test)]
    const TABLE: &'static [Row] = &[];

    /// Writes it as CBOR.
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written;

    /// Reads it from CBOR.
    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError>;

    /// Writes it as JSON.
    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error>;

    /// Reads it from JSON.
    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error>;
}

/// Key or code, name, mark.
#[cfg(test)]
pub(crate) type Row = (u64, &'static str, &'static str);

/// A member of a record: mostly one key in CBOR and one name in JSON, but see `Expected` and `WireBody`.
pub(crate) trait RecordMember: Sized {
    /// How many keys it takes in CBOR.
    const KEYS: u64;

    /// How many of them are there.
    fn entries(&self) -> u64;

    /// Writes its keys, from `key` on, and their values.
    fn write_entries(&self, key: u64, cbor: &mut CborWriter<'_>, field: Field) -> Written;

    /// Reads the value of the key that stands at this place among its own.
    fn read_entry(
        slot: &mut Option<Self>,
        at: u64,
        cbor: &mut CborReader<'_>,
        field: Field,
    ) -> Result<(), WireError>;

    /// Whether a JSON member of this name is its own, where it is called `own`.
    fn owns(name: &str, own: &'static str) -> bool;

    /// Writes its members in JSON.
    fn show_member<S: SerializeMap>(&self, own: &'static str, object: &mut S) -> Result<(), S::Error>;

    /// Reads the value of the JSON member of this name.
    fn parse_member<'de, A: MapAccess<'de>>(
        slot: &mut Option<Self>,
        name: &str,
        own: &'static str,
        object: &mut A,
    ) -> Result<(), A::Error>;
}

impl<T: Portable> RecordMember for T {
    const KEYS: u64 = 1;

    fn entries(&self) -> u64 {
        1
    }

    fn write_entries(&self, key: u64, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        cbor.items.u64(key)?;
        self.write(cbor, field)
    }

    fn read_entry(
        slot: &mut Option<Self>,
        _: u64,
        cbor: &mut CborReader<'_>,
        field: Field,
    ) -> Result<(), WireError> {
        match slot.replace(Self::read(cbor, field)?) {
            None => Ok(()),
            Some(_) => Err(WireError::Repeated { field }),
        }
    }

    fn owns(name: &str, own: &'static str) -> bool {
        name == own
    }

    fn show_member<S: SerializeMap>(&self, own: &'static str, object: &mut S) -> Result<(), S::Error> {
        object.serialize_entry(own, &AsJson(self))
    }

    fn parse_member<'de, A: MapAccess<'de>>(
        slot: &mut Option<Self>,
        _: &str,
        own: &'static str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        match slot.replace(object.next_value::<Parsed<Self>>()?.0) {
            None => Ok(()),
            Some(_) => Err(A::Error::duplicate_field(own)),
        }
    }
}

/// A member that may be left out.
pub(crate) trait Omissible: Default {
    /// Whether it is empty.
    fn is_absent(&self) -> bool;
}

/// The place of a key among those that a member takes from `first` on.
pub(crate) fn place<T: RecordMember>(_: &Option<T>, first: u64, key: u64) -> Option<u64> {
    key.checked_sub(first).filter(|at| *at < T::KEYS)
}

/// Whether a member of this name belongs into this slot.
pub(crate) fn owns<T: RecordMember>(_: &Option<T>, name: &str, own: &'static str) -> bool {
    T::owns(name, own)
}

/// Where CBOR is written to.
pub(crate) struct CborWriter<'a> {
    pub(crate) items: minicbor::Encoder<CborBuffer<'a>>,
    /// What the times of a verdict are counted from, see [`ReceivedTime`](crate::scalar::Received).
    pub(crate) received: Option<UtcMillis>,
}

impl<'a> CborWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { items: minicbor::Encoder::new(CborBuffer(out)), received: None }
    }

    /// Something that is CBOR already.
    pub(crate) fn splice(&mut self, stored: &[u8]) {
        self.items.writer_mut().0.extend_from_slice(stored);
    }
}

/// What is written to. To write to a `Vec`, minicbor makes a call for every byte or two, which only optimisation
/// across crates would take away.
pub(crate) struct CborBuffer<'a>(&'a mut Vec<u8>);

impl minicbor::encode::Write for CborBuffer<'_> {
    type Error = Infallible;

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl From<CborError<Infallible>> for WireError {
    fn from(error: CborError<Infallible>) -> Self {
        unreachable!("CBOR is written to memory, and that cannot fail: {error}")
    }
}

/// Where CBOR is read from.
pub(crate) struct CborReader<'b> {
    pub(crate) items: Decoder<'b>,
    /// See [`CborWriter`].
    pub(crate) received: Option<UtcMillis>,
}

impl<'b> CborReader<'b> {
    /// Reads one value that takes up all the bytes.
    pub(crate) fn read_all<T: Portable>(bytes: &'b [u8], field: Field) -> Result<T, WireError> {
        let mut cbor = Self { items: Decoder::new(bytes), received: None };
        let value = T::read(&mut cbor, field)?;
        match bytes.len().saturating_sub(cbor.items.position()) {
            0 => Ok(value),
            bytes => Err(WireError::Trailing { bytes }),
        }
    }

    /// The stated length of a map.
    pub(crate) fn map(&mut self, field: Field) -> Result<u64, WireError> {
        self.items.map()?.ok_or(WireError::Indefinite { field })
    }

    /// The stated length of an array.
    pub(crate) fn array(&mut self, field: Field) -> Result<u64, WireError> {
        self.items.array()?.ok_or(WireError::Indefinite { field })
    }
}

/// Something that is to be written as JSON.
pub(crate) struct AsJson<'a, T>(pub(crate) &'a T);

impl<T: Portable> Serialize for AsJson<'_, T> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        self.0.show(json)
    }
}

/// Something that was read from JSON.
pub(crate) struct Parsed<T>(pub(crate) T);

impl<'de, T: Portable> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        T::parse(json).map(Self)
    }
}

/// The name of a member, or a text; borrowed where JSON escapes nothing in it.
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct AnyText;
        impl<'de> Visitor<'de> for AnyText {
            type Value = Text<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        json.deserialize_str(AnyText)
    }
}
