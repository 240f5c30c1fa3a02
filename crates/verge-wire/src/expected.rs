//! What was expected, and what people said about it.

use serde::de::{Error as _, MapAccess};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};
use verge_domain::finding::{Expected, Feedback};

use crate::WireError;
use crate::portable::{CborReader, CborWriter, Field, Omissible, RecordMember, Written};
use crate::record::tuple;

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
