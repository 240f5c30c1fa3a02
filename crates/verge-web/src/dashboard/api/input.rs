//! What an operation reads of its query or its body. Nothing is passed over: a key that it does not know is a fault like a
//! value that does not fit, and all faults are reported at once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::operation::MAX_NAME;
use crate::dashboard::form::JsonBody;
use crate::dashboard::problem::{InputFault, Problem};
use crate::dashboard::shown::Shown;

/// Faults that are reported at most.
const MAX_FAULTS: usize = 32;
/// Parts of a query at most; a further one is a fault.
const MAX_PARTS: usize = 64;

/// A query or a body that is read key by key; [`Input::done`] says what is wrong with it.
#[derive(Debug)]
pub(crate) struct Input {
    values: BTreeMap<String, Value>,
    is_query: bool,
    required: &'static [&'static str],
    known: Vec<&'static str>,
    faults: Vec<InputFault>,
}

impl Input {
    /// Of a query. A key that stands twice is a fault, and so is one part too many.
    pub(crate) fn query(query: Option<&str>) -> Self {
        let values = BTreeMap::new();
        let mut input = Self { values, is_query: true, required: &[], known: Vec::new(), faults: Vec::new() };
        let mut parts = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        for (key, value) in parts.by_ref().take(MAX_PARTS) {
            let value = Value::String(value.into_owned());
            if input.values.contains_key(&*key) {
                input.fault(&key, &value, "this key once");
            } else {
                input.values.insert(key.into_owned(), value);
            }
        }
        if let Some((key, value)) = parts.next() {
            let expected = format!("at most {MAX_PARTS} parts of a query");
            input.fault(&key, &Value::String(value.into_owned()), &expected);
        }
        input
    }

    /// Of a body, some keys of which are required.
    pub(crate) fn body(JsonBody(keys): JsonBody, required: &'static [&'static str]) -> Self {
        let values = keys.into_iter().collect();
        Self { values, is_query: false, required, known: Vec::new(), faults: Vec::new() }
    }

    /// A name of a source, a device, a signal or a judge, or a note: a short text without control characters.
    pub(crate) fn name(&mut self, key: &'static str) -> Option<String> {
        let fits = |text: &&str| verge_domain::id::check_name(text).is_ok();
        let expected = format!("a text of 1 to {MAX_NAME} bytes without control characters");
        self.read(key, &expected, |value| value.as_str().filter(fits).map(ToOwned::to_owned))
    }

    /// Sixteen bytes as 32 hexadecimal digits: an epoch.
    pub(crate) fn hex(&mut self, key: &'static str) -> Option<String> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fits = |text: &&str| text.len() == 32 && text.bytes().all(is_digit);
        self.read(key, "32 hexadecimal digits", |value| value.as_str().filter(fits).map(ToOwned::to_owned))
    }

    /// A whole number within these bounds.
    pub(crate) fn whole(&mut self, key: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let is_query = self.is_query;
        let number = move |value: &Value| match value {
            Value::String(digits) if is_query => digits.parse().ok(),
            // In JSON 5.0 is a whole number.
            value => {
                let of_float = |number: &f64| number.fract() == 0.0 && (0.0..=9e15).contains(number);
                value.as_u64().or_else(|| value.as_f64().filter(of_float).map(|number| number as u64))
            }
        };
        self.read(key, &expected, |value| number(value).filter(|number| bounds.contains(number)))
    }

    /// `limit`: entries of an answer, of which there are `most` where it is left out.
    pub(crate) fn limit(&mut self, most: u64) -> usize {
        let limit = self.whole("limit", 1..=most).unwrap_or(most);
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let is_query = self.is_query;
        self.read(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(word) if is_query => word.parse().ok(),
            _ => None,
        })
    }

    /// One of a closed list of words.
    pub(crate) fn word<T>(
        &mut self,
        key: &'static str,
        named: fn(&str) -> Option<T>,
        words: &[&str],
    ) -> Option<T> {
        self.read(key, &format!("one of {}", words.join(", ")), |value| value.as_str().and_then(named))
    }

    /// Anything that `read` makes of a value.
    pub(crate) fn read<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        self.known.push(key);
        let found = self.values.get(key);
        let made = found.and_then(read);
        if made.is_none() && (found.is_some() || self.required.contains(&key)) {
            let value = found.map(shown);
            self.faults.push(InputFault { pointer: self.pointer(key), value, expected: expected.to_owned() });
        }
        made
    }

    fn fault(&mut self, key: &str, value: &Value, expected: &str) {
        let (pointer, value) = (self.pointer(key), Some(shown(value)));
        self.faults.push(InputFault { pointer, value, expected: expected.to_owned() });
    }

    /// A value that does not fit the others.
    pub(crate) fn wrong(&mut self, key: &'static str, expected: &str) {
        let value = self.values.get(key).map(shown);
        self.faults.push(InputFault { pointer: self.pointer(key), value, expected: expected.to_owned() });
    }

    /// Every fault, those of unknown keys last.
    pub(crate) fn done(self) -> Result<(), Problem> {
        let expected = match self.known.as_slice() {
            [] => "nothing here".to_owned(),
            known => format!("one of the keys {}", known.join(", ")),
        };
        let unknown = self.values.iter().filter(|(key, _)| !self.known.contains(&key.as_str()));
        let unknown = unknown.map(|(key, value)| InputFault {
            pointer: self.pointer(key),
            value: Some(shown(value)),
            expected: expected.clone(),
        });
        let mut faults: Vec<InputFault> = unknown.collect();
        faults.splice(0..0, self.faults);
        faults.truncate(MAX_FAULTS);
        if faults.is_empty() { Ok(()) } else { Err(Problem::Faults(faults)) }
    }

    fn pointer(&self, key: &str) -> String {
        let key = Shown::of(key).text;
        if self.is_query {
            format!("?{key}")
        } else {
            format!("/{}", key.replace('~', "~0").replace('/', "~1"))
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => Shown::of(&format!("{text:?}")).text,
        other => Shown::of(&other.to_string()).text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(input: Input) -> Vec<(String, Option<String>, String)> {
        match input.done() {
            Ok(()) => Vec::new(),
            Err(Problem::Faults(faults)) => {
                faults.into_iter().map(|fault| (fault.pointer, fault.value, fault.expected)).collect()
            }
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let Value::Object(keys) = json!({ "minutes": 481, "note": "", "a/b": 1 }) else { unreachable!() };
        let mut input = Input::body(JsonBody(keys), &["remark"]);
        assert_eq!(input.whole("minutes", 1..=480), None);
        assert_eq!((input.name("note"), input.name("remark")), (None, None));
        let found = faults(input);
        let pointers: Vec<&str> = found.iter().map(|(pointer, ..)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/minutes", "/note", "/remark", "/a~1b"]);
        assert_eq!(found[0].1.as_deref(), Some("481"));
        assert_eq!(found[0].2, "a whole number from 1 to 480");
        assert_eq!(found[2].1, None);
        assert_eq!(found[3].2, "one of the keys minutes, note, remark");
    }

    #[test]
    fn a_query_is_read_as_numbers_and_words() {
        let mut input = Input::query(Some("limit=7&dry_run=true&state=open"));
        assert_eq!((input.limit(1_000), input.flag("dry_run")), (7, Some(true)));
        assert_eq!(input.word("state", |word| (word == "open").then_some(1), &["open"]), Some(1));
        assert!(faults(input).is_empty());
        let mut input = Input::query(Some("limit=0&odd=%E2%80%AE"));
        assert_eq!(input.limit(1_000), 1_000);
        let found = faults(input);
        assert_eq!((found[0].0.as_str(), found[1].0.as_str()), ("?limit", "?odd"));
        assert!(!found[1].1.as_deref().unwrap().contains('\u{202e}'), "{found:?}");
    }

    #[test]
    fn a_key_that_stands_twice_and_a_part_too_many_are_faults() {
        let mut input = Input::query(Some("limit=7&limit=8"));
        assert_eq!(input.limit(1_000), 7);
        let expected = ("?limit".to_owned(), Some("\"8\"".to_owned()), "this key once".to_owned());
        assert_eq!(faults(input), [expected]);
        let many = |parts: usize| (0..parts).map(|part| format!("k{part}=1")).collect::<Vec<_>>().join("&");
        let last = |parts| {
            let found = faults(Input::query(Some(&many(parts))));
            found
                .into_iter()
                .find(|(_, _, expected)| expected.contains("64 parts"))
                .map(|(pointer, ..)| pointer)
        };
        assert_eq!((last(64), last(65)), (None, Some("?k64".to_owned())));
    }

    #[test]
    fn a_body_may_write_a_whole_number_with_a_point() {
        let Value::Object(keys) = json!({ "a": 5.0, "b": 5.5, "c": true }) else { unreachable!() };
        let mut input = Input::body(JsonBody(keys), &[]);
        assert_eq!((input.whole("a", 0..=9), input.whole("b", 0..=9)), (Some(5), None));
        assert_eq!(input.flag("c"), Some(true));
        assert_eq!(faults(input).len(), 1);
    }
}
