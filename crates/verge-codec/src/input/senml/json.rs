//! SenML in JSON (RFC 8428 section 5).

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use verge_domain::rejection::Reason;

use super::{Malformed, Pack, SenmlRecord};
use crate::input::json_text::{MemberName, text};
use crate::number;

/// Reads a pack, record by record.
pub(super) fn read(payload: &str, pack: &mut Pack<'_, '_, '_>) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(payload);
    json.deserialize_seq(Records(pack))?;
    json.end()
}

struct Records<'p, 'a, 'm, 'o>(&'p mut Pack<'a, 'm, 'o>);

impl<'de> Visitor<'de> for Records<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of SenML records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while let Some(record) = records.next_element_seed(OneRecord)? {
            self.0.record(&record).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

struct OneRecord;

impl<'de> DeserializeSeed<'de> for OneRecord {
    type Value = SenmlRecord<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<SenmlRecord<'de>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneRecord {
    type Value = SenmlRecord<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a SenML record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<SenmlRecord<'de>, A::Error> {
        let mut record = SenmlRecord::default();
        while let Some(label) = fields.next_key_seed(MemberName)? {
            let raw: &'de RawValue = fields.next_value()?;
            set(&mut record, &label, raw.get()).map_err(A::Error::custom)?;
        }
        Ok(record)
    }
}

fn set<'a>(record: &mut SenmlRecord<'a>, label: &str, raw: &'a str) -> Result<(), Malformed> {
    match label {
        "bn" => record.base_name = Some(words(raw)?),
        "bt" => record.base_time = Some(figure(raw)?),
        "bu" => record.base_unit = Some(words(raw)?),
        "bv" => record.base_value = Some(figure(raw)?),
        "bver" => record.version = Some(figure(raw)?),
        "bs" | "ut" => {
            figure(raw)?;
        }
        "n" => record.name = Some(words(raw)?),
        "u" => record.unit = Some(words(raw)?),
        "t" => record.time = Some(figure(raw)?),
        // A number in a string, as some devices write it, says the same.
        "v" => {
            record.value = Some(text(raw).map_or_else(|| number(raw), |text| number::from_text(text.trim())))
        }
        "vs" => record.text = words(raw).map(|_| true)?,
        "vb" => {
            record.truth = Some(match raw {
                "true" => true,
                "false" => false,
                _ => return Err(Malformed),
            });
        }
        "vd" => {
            record.data = Some(words(raw).map_err(|_| Reason::BadBase64).and_then(|data| base64url(&data)))
        }
        "s" => record.sum = figure(raw).map(|_| true)?,
        // Who does not know such a label must not use the pack (RFC 8428 section 4.4).
        _ if label.ends_with('_') => return Err(Malformed),
        _ => {}
    }
    Ok(())
}

fn words(raw: &str) -> Result<Cow<'_, str>, Malformed> {
    text(raw).ok_or(Malformed)
}

fn number(raw: &str) -> Result<f64, Reason> {
    if !raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(Reason::NotANumber);
    }
    number::from_text(raw)
}

fn figure(raw: &str) -> Result<f64, Malformed> {
    number(raw).map_err(|_| Malformed)
}

/// RFC 8428 section 5 asks for base64url without padding; some devices still pad.
fn base64url(data: &str) -> Result<(), Reason> {
    let engine = if data.ends_with('=') { &URL_SAFE } else { &URL_SAFE_NO_PAD };
    engine.decode(data).map(drop).map_err(|_| Reason::BadBase64)
}
