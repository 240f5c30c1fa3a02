//! The values that records are made of.

use std::borrow::Cow;

use minicbor::data::Type;
use serde::de::{Error as _, MapAccess};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use verge_domain::finding::{Expected, Feedback, Member};
use verge_domain::frame::Score;
use verge_domain::id::{
    DeviceId, Epoch, EventId, GatewayId, JudgeId, Label, Lane, ModelName, Seq, SignalId, SourceId, Unit,
};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Detector, EventState, Severity};
use verge_domain::withdrawn::Withdrawal;

use crate::WireError;
use crate::number::{millis, seconds, to_single, write_float};
#[cfg(test)]
use crate::portable::Row;
use crate::portable::{
    CborReader, CborWriter, Field, Omissible, Parsed, Portable, RecordMember, Shown, Text, Written, tuple,
};
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
names!(DeviceId, GatewayId, JudgeId, Label, ModelName, SignalId, SourceId, Unit);

/// Numbers that stand for names. They never change and are never used again for anything else; new ones are added.
macro_rules! codes {
    ($type:ident { $($code:literal $variant:ident),+ $(,)? }) => {
        impl Portable for $type {
            #[cfg(test)]
            const TABLE: &'static [Row] =
                &[$(($code, stringify!($variant), "")),+];

            fn write(&self, cbor: &mut CborWriter<'_>, _: Field) -> Written {
                cbor.items.u64(match self {
                    $(Self::$variant => $code),+
                })?;
                Ok(())
            }

            fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
                match cbor.items.u64()? {
                    $($code => Ok(Self::$variant),)+
                    found => Err(WireError::UnknownCode { field, found }),
                }
            }

            as_serde_does!();
        }
    };
}

codes!(Lane { 0 Alarm, 1 Verdict, 2 Telemetry });
codes!(Severity { 0 Info, 1 Warning, 2 Critical });
codes!(EventState { 0 Raised, 1 Updated, 2 Cleared });
codes!(ClockJudgement { 1 Trusted, 2 Skewed });
codes!(Withdrawal { 0 Full, 1 Expired, 2 Damaged, 3 EarlierEpoch, 4 TooLarge, 5 Defect });
codes!(Detector {
    0 Threshold, 1 Rate, 2 Silence, 3 Loop, 4 Classify, 5 Detect, 6 Health, 7 Auto, 8 Multi, 9 Pattern, 10 Vibration,
    11 Cusum, 12 Autoencoder,
});
codes!(Member {
    0 High, 1 Low, 2 Rise, 3 Fall, 4 Silent, 5 Stuck, 6 Flat, 7 Noisy, 8 Saturated, 9 ClockSkewed, 10 Duplicate,
    11 Level, 12 Mean, 13 Profile, 14 Median, 15 Volatility, 16 Context, 17 TimeOfDay, 18 Shift, 19 Machine,
    20 Pattern, 21 Vibration, 22 Reconstruction,
});

/// What may be believed of a device's time, where it gave one.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClockJudgement {
    Trusted,
    Skewed,
}

impl Portable for Seq {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        self.0.write(cbor, field)
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        u64::read(cbor, field).map(Self)
    }

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        self.0.show(json)
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        u64::parse(json).map(Self)
    }
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
pub(crate) struct Span(pub(crate) u64);

impl Portable for Span {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        self.0.write(cbor, field)
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        u64::read(cbor, field).map(Self)
    }

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

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        self.0.show(json)
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        UtcMillis::parse(json).map(Self)
    }
}

/// The time from which those of the same verdict are counted.
pub(crate) struct Received(pub(crate) UtcMillis);

impl Portable for Received {
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

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        self.0.show(json)
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        UtcMillis::parse(json).map(Self)
    }
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
        self.as_ref().map(Shown).serialize(json)
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
        json.collect_seq(self.iter().map(Shown))
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

/// Two keys in CBOR, the lowest first; an object of its own in JSON.
impl RecordMember for Expected {
    const KEYS: u64 = 2;

    fn entries(&self) -> u64 {
        u64::from(self.low.is_some()).saturating_add(u64::from(self.high.is_some()))
    }

    fn write_entries(&self, key: u64, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        for (key, end) in (key..).zip([self.low, self.high]) {
            if let Some(end) = end {
                end.write_entries(key, cbor, field)?;
            }
        }
        Ok(())
    }

    fn read_entry(
        slot: &mut Option<Self>,
        at: u64,
        cbor: &mut CborReader<'_>,
        field: Field,
    ) -> Result<(), WireError> {
        let expected = slot.get_or_insert_default();
        let end = if at == 0 { &mut expected.low } else { &mut expected.high };
        f64::read_entry(end, 0, cbor, field)
    }

    fn owns(name: &str, own: &'static str) -> bool {
        name == own
    }

    fn show_member<S: SerializeMap>(&self, own: &'static str, object: &mut S) -> Result<(), S::Error> {
        let Self { low, high } = *self;
        object.serialize_entry(own, &Ends { low, high })
    }

    fn parse_member<'de, A: MapAccess<'de>>(
        slot: &mut Option<Self>,
        _: &str,
        own: &'static str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        let Ends { low, high } = object.next_value()?;
        match slot.replace(Self { low, high }) {
            None => Ok(()),
            Some(_) => Err(A::Error::duplicate_field(own)),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Ends {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
}

impl Omissible for Expected {
    fn is_absent(&self) -> bool {
        self.low.is_none() && self.high.is_none()
    }
}

tuple!(Feedback: "feedback" { maintenance, real });

impl Omissible for Feedback {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}
