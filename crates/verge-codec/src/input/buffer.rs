//! Bytes as Node-RED writes them in JSON, where a message was turned to text: `{"type":"Buffer","data":[49,56]}`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// The start of what is read as such. All that JavaScript's `Buffer.toJSON` makes begins so.
const START: &[u8] = b"{\"type\":\"Buffer\",\"data\":[";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Buffer {
    r#type: Type,
    data: Bytes,
}

#[derive(Deserialize)]
enum Type {
    Buffer,
}

struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_seq(Elements)
    }
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Bytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Bytes, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = elements.next_element::<u8>().map_err(A::Error::custom)? {
            bytes.push(byte);
        }
        Ok(Bytes(bytes))
    }
}

/// The bytes of such an object; `None` if it is none. White space and the order of its members do not matter.
pub(crate) fn bytes(json: &str) -> Option<Vec<u8>> {
    let Buffer { r#type: Type::Buffer, data } = serde_json::from_slice(json.as_bytes()).ok()?;
    Some(data.0)
}

/// The same of a whole message, which is read only where it begins as JavaScript writes it.
pub(crate) fn of_message(payload: &[u8]) -> Option<Vec<u8>> {
    payload.starts_with(START).then(|| bytes(std::str::from_utf8(payload).ok()?)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_bytes_and_other_objects_are_not() {
        let check =
            |json: &str, expected: Option<&[u8]>| assert_eq!(bytes(json).as_deref(), expected, "{json}");
        check(r#"{"type":"Buffer","data":[49,56]}"#, Some(b"18"));
        check(r#" { "data" : [ 49 , 56 ], "type" : "Buffer" } "#, Some(b"18"));
        check(r#"{"type":"Buffer","data":[]}"#, Some(b""));
        check(r#"{"type":"Buffer","data":[256]}"#, None);
        check(r#"{"type":"Buffer","data":[-1]}"#, None);
        check(r#"{"type":"Buffer","data":["1"]}"#, None);
        check(r#"{"type":"Other","data":[1]}"#, None);
        check(r#"{"type":"Buffer","data":[1],"more":1}"#, None);
        check(r#"{"type":"Buffer"}"#, None);
        check("[49]", None);
        assert_eq!(of_message(br#"{"type":"Buffer","data":[49]}"#).as_deref(), Some(&b"1"[..]));
        assert_eq!(of_message(br#"{"t":1}"#), None);
    }
}
