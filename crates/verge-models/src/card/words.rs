//! What is wrong with the text of a card, in words: where it stands, what stands there, what would do.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Bytes of a value that are shown.
const MAX_SHOWN: usize = 60;
/// What stands where a key does not.
const NOTHING: &str = "nothing";

/// The line, from 1 on, of a byte of the text.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.get(..at).unwrap_or_default().matches('\n').count()
}

/// Where the first of the keys, "input.size, output.score", stands in the card, and the value there. Where none stands,
/// the line of their table.
pub(super) fn find(text: &str, keys: &str) -> (Option<usize>, String) {
    let Ok(root) = DeTable::parse(text) else { return (None, NOTHING.to_owned()) };
    let mut of_table = None;
    for key in keys.split(", ") {
        let mut table = root.get_ref();
        let mut names = key.split('.').peekable();
        while let Some(name) = names.next() {
            let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
            let line = line_of(text, key.span().start);
            match value.get_ref() {
                _ if names.peek().is_none() => return (Some(line), shown(text, value.span())),
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
            of_table = Some(line);
        }
    }
    (of_table, NOTHING.to_owned())
}

/// The line and the reason of a fault that the reader of TOML has found.
pub(super) fn explain(text: &str, error: &toml::de::Error) -> (usize, String) {
    let span = error.span().unwrap_or_default();
    (line_of(text, span.start), reason(error.message(), &shown(text, span)))
}

/// The beginning of what stands there.
fn shown(text: &str, span: Range<usize>) -> String {
    let line = text.get(span).unwrap_or_default().lines().next().unwrap_or_default();
    line.trim().chars().take(MAX_SHOWN).collect()
}

/// The reason in words of cards, not of the library.
fn reason(message: &str, found: &str) -> String {
    let message = message.replace('\n', ", ");
    let plain = |text: &str| text.replace('`', "");
    // Words of ours.
    if message.split_once(": expected ").is_some_and(|(key, _)| !key.contains(' ')) {
        return message;
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("{} is missing; see docs/models.md", plain(key));
    }
    let Some((what, expected)) = message.rsplit_once(", expected ") else {
        return match message.strip_prefix("unknown field ") {
            Some(key) => format!("unknown key {}", plain(key)),
            None if message.contains("duplicate") => format!("{found} stands twice"),
            None if message == "wanted string or table" => {
                format!("{found}: expected a text in quotes, one of those that docs/models.md lists")
            }
            None => format!("this is no TOML: {}", plain(&message)),
        };
    };
    if let Some(key) = what.strip_prefix("unknown field ") {
        return format!("unknown key {}, expected {}", plain(key), plain(expected));
    }
    if let Some(value) = what.strip_prefix("unknown variant ") {
        return format!("\"{}\" is unknown, expected {}", plain(value), plain(expected));
    }
    if what.starts_with("invalid type")
        || what.starts_with("invalid value")
        || what.starts_with("invalid length")
    {
        return format!("{found}: expected {}", kind(expected));
    }
    format!("this is no TOML: {}", plain(&message))
}

/// What a library calls a kind of value, in words of people.
fn kind(expected: &str) -> String {
    let known = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number, 0 or above",
        "i8" => "a whole number from -128 to 127",
        "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "path string" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list in brackets",
        structure if structure.starts_with("struct ") => "a table",
        _ => {
            let list = expected.strip_prefix("an array of length ");
            return list.map_or_else(|| expected.replace('`', ""), |length| format!("a list of {length}"));
        }
    };
    known.to_owned()
}
