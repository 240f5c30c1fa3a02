//! The part of YAML that exporters write: maps and lists in blocks, one value a line. Anything else (anchors, tags, text over
//! several lines, maps in braces) is nothing.

use serde_json::{Map, Value};

/// Levels of maps and lists within each other.
const MAX_DEPTH: usize = 16;
/// Lines that are read.
const MAX_LINES: usize = 50_000;

/// Reads a file of blocks.
pub(super) fn read(text: &str) -> Option<Value> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let bare = line.trim_end();
        let rest = bare.trim_start_matches(' ');
        if rest.is_empty() || rest.starts_with('#') || bare == "---" {
            continue;
        }
        if rest.starts_with('\t') || lines.len() == MAX_LINES {
            return None;
        }
        lines.push((bare.len() - rest.len(), rest));
    }
    let mut blocks = Blocks { lines, next: 0 };
    let value = blocks.block(0, 0)?;
    (blocks.next == blocks.lines.len()).then_some(value)
}

/// Lines with their indentation.
struct Blocks<'a> {
    lines: Vec<(usize, &'a str)>,
    next: usize,
}

impl<'a> Blocks<'a> {
    fn peek(&self) -> Option<(usize, &'a str)> {
        self.lines.get(self.next).copied()
    }

    /// What begins at the next line, which must be indented by this at least.
    fn block(&mut self, least: usize, depth: usize) -> Option<Value> {
        let (indent, line) = self.peek().filter(|(indent, _)| *indent >= least && depth <= MAX_DEPTH)?;
        if is_item(line) { self.list(indent, depth) } else { self.map(indent, depth) }
    }

    fn list(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while let Some((_, line)) = self.peek().filter(|(at, line)| *at == indent && is_item(line)) {
            let rest = line[1..].trim_start_matches(' ');
            if rest.is_empty() {
                self.next += 1;
                items.push(self.block(indent + 1, depth + 1)?);
            } else if is_item(rest) || key_of(rest).is_some() {
                // What follows the dash is a block whose first line stands here.
                let inner = indent + line.len() - rest.len();
                self.lines[self.next] = (inner, rest);
                items.push(self.block(inner, depth + 1)?);
            } else {
                self.next += 1;
                items.push(scalar(rest)?);
            }
        }
        Some(Value::Array(items))
    }

    fn map(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut members = Map::new();
        while let Some((_, line)) = self.peek().filter(|(at, line)| *at == indent && !is_item(line)) {
            let (key, rest) = key_of(line)?;
            self.next += 1;
            let value = if !rest.is_empty() {
                scalar(rest)?
            } else {
                match self.peek() {
                    Some((at, _)) if at > indent => self.block(indent + 1, depth + 1)?,
                    // A list of a key may stand as far to the left as the key.
                    Some((at, line)) if at == indent && is_item(line) => self.list(indent, depth + 1)?,
                    _ => Value::Null,
                }
            };
            if members.insert(key.to_owned(), value).is_some() {
                return None;
            }
        }
        Some(Value::Object(members))
    }
}

fn is_item(line: &str) -> bool {
    line == "-" || line.starts_with("- ")
}

/// The key of a line and what stands behind its colon.
fn key_of(line: &str) -> Option<(&str, &str)> {
    let (key, rest) = match line.split_once(": ") {
        Some((key, rest)) => (key, rest.trim()),
        None => (line.strip_suffix(':')?, ""),
    };
    let is_plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' ');
    (!key.is_empty() && key.chars().all(is_plain)).then_some((key, rest))
}

/// One value: a number, a truth, nothing, a text, or a list of these in brackets.
fn scalar(text: &str) -> Option<Value> {
    if let Some(within) = text.strip_prefix('\'') {
        let within = within.strip_suffix('\'')?.replace("''", "\u{0}");
        return (!within.contains('\'')).then(|| Value::String(within.replace('\u{0}', "'")));
    }
    if text.starts_with('"') {
        return serde_json::from_str(text).ok().filter(Value::is_string);
    }
    if let Some(within) = text.strip_prefix('[') {
        let within = within.strip_suffix(']')?.trim();
        let items = within.split(',').map(|item| scalar(item.trim()).filter(|item| !item.is_array()));
        return if within.is_empty() { Some(Value::Array(Vec::new())) } else { items.collect() };
    }
    let text = text.split(" #").next().unwrap_or_default().trim_end();
    if text.starts_with(['&', '*', '!', '|', '>', '{', '%', '@', '`', '?']) || text.is_empty() {
        return None;
    }
    Some(match text {
        "true" | "True" => Value::Bool(true),
        "false" | "False" => Value::Bool(false),
        "null" | "~" => Value::Null,
        _ => {
            let number =
                text.parse::<f64>().ok().filter(|_| text.contains(|letter: char| letter.is_ascii_digit()));
            match (text.parse::<i64>(), number.and_then(serde_json::Number::from_f64)) {
                (Ok(whole), _) => Value::from(whole),
                (Err(_), Some(number)) => Value::Number(number),
                (Err(_), None) => Value::String(text.to_owned()),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_and_lists_in_blocks_are_read() {
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
    }

    #[test]
    fn anything_else_is_nothing() {
        for text in [
            "",
            "a",
            "a: &x 1",
            "a: *x",
            "a: !!python/object:os.system x",
            "a: |\n  text",
            "a: {b: 1}",
            "a: [1, [2]]",
            "a: 'open",
            "a: \"open",
            "a: 1\na: 2",
            "a: 1\n   b: 2\n c: 3",
            "\ta: 1",
            "a:\n  - 1\n - 2",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        let deep: String = (0..40).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert_eq!(read(&deep), None);
        assert_eq!(read(&"- ".repeat(100_000)), None);
        assert_eq!(read(&"- 1\n".repeat(60_000)), None);
    }
}
