//! YAML that exporters write beside models, as a value. Anchors, which could make much of little, and tags are not taken.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// Levels of maps and lists within each other.
const MAX_DEPTH: usize = 16;
/// Values that are read.
const MAX_VALUES: usize = 100_000;

/// A list or map that is not whole yet.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Map(Map<String, Value>, Option<String>),
}

/// Reads a file of one document; `None` of anything else.
pub(super) fn read(text: &str) -> Option<Value> {
    let (mut open, mut whole, mut values): (Vec<Open>, _, _) = (Vec::new(), None, 0);
    for event in Parser::new_from_str(text) {
        let value = match event.ok()?.0 {
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => continue,
            Event::SequenceStart(0, None) => {
                open.push(Open::List(Vec::new()));
                None
            }
            Event::MappingStart(0, None) => {
                open.push(Open::Map(Map::new(), None));
                None
            }
            Event::Scalar(text, style, 0, None) => Some(scalar(&text, style)),
            Event::SequenceEnd | Event::MappingEnd => Some(match open.pop()? {
                Open::List(items) => Value::Array(items),
                Open::Map(members, _) => Value::Object(members),
            }),
            _ => return None,
        };
        values += 1;
        if values > MAX_VALUES || open.len() > MAX_DEPTH {
            return None;
        }
        let Some(value) = value else { continue };
        match open.last_mut() {
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(members, key)) => match key.take() {
                None => *key = Some(key_of(value)?),
                Some(key) if members.contains_key(&key) => return None,
                Some(key) => drop(members.insert(key, value)),
            },
            None if whole.is_none() => whole = Some(value),
            // A second document.
            None => return None,
        }
    }
    whole
}

fn key_of(value: Value) -> Option<String> {
    match value {
        Value::String(key) => Some(key),
        Value::Number(key) => Some(key.to_string()),
        _ => None,
    }
}

/// One value: as the core schema of YAML 1.2 reads it (section 10.3.2), and as Python writes truths.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    let number = || text.parse().ok().filter(|_| text.contains(|letter: char| letter.is_ascii_digit()));
    match text {
        "true" | "True" => Value::Bool(true),
        "false" | "False" => Value::Bool(false),
        "null" | "~" | "" => Value::Null,
        _ => match (text.parse::<i64>(), number().and_then(Number::from_f64)) {
            (Ok(whole), _) => Value::from(whole),
            (Err(_), Some(number)) => Value::Number(number),
            (Err(_), None) => Value::String(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_read() {
        let check = |text: &str, expected: Value| assert_eq!(read(text), Some(expected), "{text}");
        check("a: 1\nb: 0.5\nc: yes, text\n", json!({ "a": 1, "b": 0.5, "c": "yes, text" }));
        check("# note\n---\na:\n- 1\n- x y\nb: true # so\n", json!({ "a": [1, "x y"], "b": true }));
        check(
            "a:\n  - b: 1\n    c: [1, 2.5]\n  - d:\n    - 'it''s'\n",
            json!({ "a": [{ "b": 1, "c": [1, 2.5] }, { "d": ["it's"] }] }),
        );
        check("- - 1\n  - 2\n-\n  - \"\\u00fc\"\n", json!([[1, 2], ["ü"]]));
        check(
            "a:\n  b:\n    c: -1e-3\nd: ~\ne:\n",
            json!({ "a": { "b": { "c": -0.001 } }, "d": null, "e": null }),
        );
        check("a: {b: '1', 2: x}\nb: |\n  text\n", json!({ "a": { "b": "1", "2": "x" }, "b": "text\n" }));
    }

    #[test]
    fn what_could_grow_or_run_and_what_is_broken_is_nothing() {
        for text in [
            "",
            "a: &x 1",
            "a: *x",
            "a: !!python/object:os.system x",
            "a: 'open",
            "a: \"open",
            "a: 1\na: 2",
            "a: 1\n   b: 2\n c: 3",
            "a:\n  - 1\n - 2",
            "a: 1\n---\nb: 2",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        let deep: String = (0..40).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert_eq!(read(&deep), None);
        assert_eq!(read(&"- ".repeat(100_000)), None);
        assert_eq!(read(&"[".repeat(100_000)), None);
        assert_eq!(read(&"- 1\n".repeat(110_000)), None);
    }
}
