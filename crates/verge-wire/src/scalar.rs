//! The values that records are made of.

use std::borrow::Cow;

use minicbor::data::Type;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use verge_domain::frame::Score;
use verge_domain::id::{
    DeviceId, Epoch, EventId, EventNumber, GatewayId, JudgeId, Label, ModelName, OperatorText, PlaceId, Seq,
    SignalId, SourceId, TagText, Unit,
};
use verge_domain::time::UtcMillis;

use crate::WireError;
use crate::number::{millis, seconds, to_single, write_float};
use crate::portable::{AsJson, CborReader, CborWriter, Field, Omissible, Parsed, Portable, Text, Written};
use crate::time::{from_rfc3339, to_rfc3339};

/// `show` and `parse` as serde has them.
macro_rules! as_serde_does {
    () => {
        fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
            self.serialize(json)
        }

        fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
            Self::deserialize(json)
        }
    };
}

/// `write` and `read` of the number within.
macro_rules! cbor_within {
    () => {
        fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
            self.0.write(cbor, field)
        }

        fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
            Portable::read(cbor, field).map(Self)
        }
    };
}

/// `show` and `parse` of the value within.
macro_rules! json_within {
    () => {
        fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
            self.0.show(json)
        }

        fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
            Portable::parse(json).map(Self)
        }
    };
}

macro_rules! plain {
    ($($type:ident),+) => {$(
        impl Portable for $type {
            fn write(&self, cbor: &mut CborWriter<'_>, _: Field) -> Written {
                cbor.items.$type(*self)?;
                Ok(())
            }

            fn read(cbor: &mut CborReader<'_>, _: Field) -> Result<Self, WireError> {
                Ok(cbor.items.$type()?)
            }

            as_serde_does!();
        }
    )+};
}
plain!(bool, u32, u64);

macro_rules! names {
    ($($type:ident),+) => {$(
        impl Portable for $type {
            fn write(&self, cbor: &mut CborWriter<'_>, _: Field) -> Written {
                cbor.items.str(self.as_str())?;
                Ok(())
            }

            fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
                Self::new(cbor.items.str()?).map_err(|source| WireError::Name { field, source })
            }

            fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
                json.serialize_str(self.as_str())
            }

            fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
                Self::new(&Text::deserialize(json)?.0).map_err(D::Error::custom)
            }
        }
    )+};
}
names!(
    DeviceId,
    GatewayId,
    JudgeId,
    Label,
    ModelName,
    OperatorText,
    PlaceId,
    SignalId,
    SourceId,
    TagText,
    Unit
);

impl Portable for Seq {
    cbor_within!();
    json_within!();
}

impl Portable for EventNumber {
    cbor_within!();
    json_within!();
}

/// The shortest number that is exact; finite.
impl Portable for f64 {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        if self.is_finite() { write_float(cbor, *self) } else { Err(WireError::NotFinite { field }) }
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        let value = cbor.items.f64()?;
        if value.is_finite() { Ok(value) } else { Err(WireError::NotFinite { field }) }
    }

    as_serde_does!();
}

/// A span of time in milliseconds; JSON has seconds.
pub(crate) struct SpanMs(pub(crate) u64);

impl Portable for SpanMs {
    cbor_within!();

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        json.serialize_f64(seconds(self.0))
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        millis(f64::deserialize(json)?).map(Self).ok_or_else(|| D::Error::custom("it is not a span of time"))
    }
}

/// Thousandths; JSON has a number from 0 to 1.
impl Portable for Score {
    fn write(&self, cbor: &mut CborWriter<'_>, _: Field) -> Written {
        cbor.items.u16(self.thousandths())?;
        Ok(())
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        let found = cbor.items.u16()?;
        Self::from_thousandths(found).ok_or(WireError::UnknownCode { field, found: u64::from(found) })
    }

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        json.serialize_f64(self.as_f64())
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        Self::new(to_single(f64::deserialize(json)?))
            .ok_or_else(|| D::Error::custom("a score lies within 0 and 1"))
    }
}

/// 16 bytes; JSON has them in 32 hexadecimal digits.
macro_rules! identities {
    ($($type:ident),+) => {$(
        impl Portable for $type {
            fn write(&self, cbor: &mut CborWriter<'_>, _: Field) -> Written {
                cbor.items.bytes(&self.0)?;
                Ok(())
            }

            fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
                cbor.items.bytes()?.try_into().map(Self).map_err(|_| WireError::NotAnIdentity { field })
            }

            fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
                json.collect_str(self)
            }

            fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
                let Text(hex) = Text::deserialize(json)?;
                let digits = hex.len() == 32 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
                let number = u128::from_str_radix(&hex, 16).ok().filter(|_| digits);
                number
                    .map(|number| Self(number.to_be_bytes()))
                    .ok_or_else(|| D::Error::custom("it is not 32 hexadecimal digits"))
            }
        }
    )+};
}
identities!(Epoch, EventId);

/// A time of a verdict, in milliseconds from its receipt; JSON has the date.
impl Portable for UtcMillis {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        let received = cbor.received.ok_or(WireError::Missing { field: "verdict received" })?;
        let at = Self::in_range(self.0).ok_or(WireError::NotATime { field })?;
        // Both lie in range, so this cannot overflow.
        cbor.items.i64(at.0.saturating_sub(received.0))?;
        Ok(())
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        // The receipt stands in front, as keys are in order.
        let received = cbor.received.ok_or(WireError::Missing { field: "verdict received" })?;
        let offset = cbor.items.i64()?;
        received.0.checked_add(offset).and_then(Self::in_range).ok_or(WireError::NotATime { field })
    }

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        json.serialize_str(&to_rfc3339(*self))
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        from_rfc3339(&Text::deserialize(json)?.0).ok_or_else(|| D::Error::custom("it is not a time"))
    }
}

/// A time in milliseconds since 1970; JSON has the date.
pub(crate) struct Absolute(pub(crate) UtcMillis);

impl Portable for Absolute {
    fn write(&self, cbor: &mut CborWriter<'_>, _: Field) -> Written {
        cbor.items.i64(self.0.0)?;
        Ok(())
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        UtcMillis::in_range(cbor.items.i64()?).map(Self).ok_or(WireError::NotATime { field })
    }

    json_within!();
}

/// The time from which those of the same verdict are counted.
pub(crate) struct ReceivedTime(pub(crate) UtcMillis);

impl Portable for ReceivedTime {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        let received = UtcMillis::in_range(self.0.0).ok_or(WireError::NotATime { field })?;
        cbor.received = Some(received);
        Absolute(received).write(cbor, field)
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        let Absolute(received) = Absolute::read(cbor, field)?;
        cbor.received = Some(received);
        Ok(Self(received))
    }

    json_within!();
}

/// `null` where there is nothing and it cannot be left out.
impl<T: Portable> Portable for Option<T> {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        match self {
            Some(value) => value.write(cbor, field),
            None => {
                cbor.items.null()?;
                Ok(())
            }
        }
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        if cbor.items.datatype()? == Type::Null {
            cbor.items.skip()?;
            return Ok(None);
        }
        T::read(cbor, field).map(Some)
    }

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(AsJson).serialize(json)
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(json)?.map(|Parsed(value)| value))
    }
}

impl<T> Omissible for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl Omissible for bool {
    fn is_absent(&self) -> bool {
        !self
    }
}

/// A list of stated length; memory grows only with what was read.
impl<T: Portable> Portable for Vec<T> {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        cbor.items.array(u64::try_from(self.len()).unwrap_or(u64::MAX))?;
        self.iter().try_for_each(|item| item.write(cbor, field))
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        let mut items = Self::new();
        for _ in 0..cbor.array(field)? {
            items.push(T::read(cbor, field)?);
        }
        Ok(items)
    }

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        json.collect_seq(self.iter().map(AsJson))
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        Ok(Vec::<Parsed<T>>::deserialize(json)?.into_iter().map(|Parsed(item)| item).collect())
    }
}

impl<T> Omissible for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

/// What is written is borrowed, what is read is not.
impl<T: Portable + Clone> Portable for Cow<'_, T> {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        T::write(self, cbor, field)
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        T::read(cbor, field).map(Cow::Owned)
    }

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        T::show(self, json)
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        T::parse(json).map(Cow::Owned)
    }
}

pub(crate) use {as_serde_does, json_within};
