//! A flat object as part of a name, as Telegraf writes tags in JSON: `key=value,key=value`, by key.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::input::json_text::{MemberName, text};
use crate::template::write_pair;

/// Adds the pairs of an object; `None` where it is empty or not flat. Values that are `null` do not count.
pub(super) fn write(raw: &str, out: &mut String) -> Option<()> {
    // From bytes: code of its own, so that what reads messages stays in line (4 % of their time).
    let mut pairs =
        ObjectPairs.deserialize(&mut serde_json::Deserializer::from_slice(raw.as_bytes())).ok()?;
    pairs.sort_unstable();
    let start = out.len();
    for (key, value) in &pairs {
        write_pair(key, value, out);
    }
    // The comma in front.
    (!pairs.is_empty()).then(|| out.remove(start))?;
    Some(())
}

struct ObjectPairs;

impl<'de> DeserializeSeed<'de> for ObjectPairs {
    type Value = Vec<(Cow<'de, str>, Cow<'de, str>)>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectPairs {
    type Value = Vec<(Cow<'de, str>, Cow<'de, str>)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a flat object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(key) = members.next_key_seed(MemberName)? {
            let raw = members.next_value::<&RawValue>()?.get();
            match raw {
                "null" => {}
                _ if raw.starts_with(['{', '[']) => return Err(A::Error::custom("not flat")),
                _ => pairs.push((key, text(raw).unwrap_or(Cow::Borrowed(raw)))),
            }
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_objects_are_parts_of_names() {
        let check = |raw: &str, expected: Option<&str>| {
            let mut out = String::from("x:");
            let written = write(raw, &mut out).map(|()| out);
            assert_eq!(written, expected.map(|text| format!("x:{text}")), "{raw}");
        };
        check(r#"{"host":"a","cpu":"cpu0"}"#, Some("cpu=cpu0,host=a"));
        check(r#"{"n":1,"on":true,"none":null}"#, Some("n=1,on=true"));
        check(r#"{"a":"b,c=d"}"#, Some("a=b%2Cc=d"));
        check("{}", None);
        check(r#"{"a":{"b":1}}"#, None);
    }
}
