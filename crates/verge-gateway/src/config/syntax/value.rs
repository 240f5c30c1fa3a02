//! Values that are no TOML, and what was probably meant.

use super::super::key::ValueKind;
use super::super::nearest::nearest_choice;
use super::number::number;

/// Values within values that are looked into: no key takes more than three, and each doubles the work.
const MAX_DEPTH: usize = 4;

/// What was meant by a value, and why it is not what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct MeantValue {
    /// The value as TOML; `None` where nothing can be guessed.
    pub(in super::super) value: Option<String>,
    /// What TOML expects, in words that follow a colon.
    pub(super) expected: String,
    /// What else to say about how to write it.
    pub(super) advice: &'static str,
}

pub(super) fn meant(value: impl Into<String>, expected: impl Into<String>) -> Option<MeantValue> {
    Some(MeantValue { value: Some(value.into()), expected: expected.into(), advice: "" })
}

fn nothing(expected: impl Into<String>, advice: &'static str) -> Option<MeantValue> {
    Some(MeantValue { value: None, expected: expected.into(), advice })
}

/// Whether a text is one TOML value.
pub(super) fn is_value(text: &str) -> bool {
    toml::de::DeValue::parse(text).is_ok()
}

/// What was meant by a value of a key of this kind; `None` where it is good, or strange.
pub(super) fn what_was_meant(text: &str, kind: Option<ValueKind>) -> Option<MeantValue> {
    meant_within(text, kind, 0)
}

/// The same of a value that stands in others, as many as `depth` says.
fn meant_within(text: &str, kind: Option<ValueKind>, depth: usize) -> Option<MeantValue> {
    let text = text.trim();
    let found = guess(text, kind, depth)?;
    // A guess that is no TOML either is none.
    match &found.value {
        Some(value) if !is_value(value) => {
            let second = once_more(value, kind, (depth, &found));
            second.or_else(|| nothing(found.expected, found.advice))
        }
        _ => Some(found),
    }
}

/// Two habits in one value: both are taken off, the first is named.
fn once_more(
    value: &str,
    kind: Option<ValueKind>,
    (depth, first): (usize, &MeantValue),
) -> Option<MeantValue> {
    let second = guess(value, kind, depth)?.value.filter(|value| is_value(value))?;
    Some(MeantValue { value: Some(second), ..first.clone() })
}

fn guess(text: &str, kind: Option<ValueKind>, depth: usize) -> Option<MeantValue> {
    if depth > MAX_DEPTH {
        return None;
    }
    if text.is_empty() {
        return nothing("the value is missing behind =", "");
    }
    if let Some(plain) = plain_quotes(text) {
        return meant(plain, r#"quotes are straight, as in "text""#);
    }
    if let Some(rest) = text.strip_prefix(['=', '>', ':']) {
        return meant(rest.trim(), "one = stands between key and value");
    }
    for (open, close) in [("\"\"\"", "\"\"\""), ("'''", "'''")] {
        if text.starts_with(open) && (text.len() < 6 || !text.ends_with(close)) {
            let inner = text.trim_matches(['"', '\'']);
            return meant(format!("'{inner}'"), "the text has no closing quotes");
        }
    }
    match text.chars().next() {
        Some('"') => quoted(text),
        Some('\'') => literal(text),
        Some('[') => list(text, kind, depth),
        Some('{') => inline(text, kind, depth),
        Some('(') => {
            let inner = text.trim_start_matches('(').trim_end_matches(')');
            meant(format!("[{inner}]"), "lists stand in square brackets")
        }
        _ => bare(text, kind),
    }
}

/// With the quotes that word processors put in made straight.
pub(super) fn plain_quotes(text: &str) -> Option<String> {
    let plain = |letter: char| match letter {
        '“' | '”' | '„' | '‟' | '«' | '»' | '″' => '"',
        '‘' | '’' | '‚' | '‛' | '′' | '`' => '\'',
        other => other,
    };
    let made: String = text.chars().map(plain).collect();
    // Inside of straight quotes they are letters.
    (made != text && !is_value(text)).then(|| {
        // ` and ´ are used as a pair.
        made.replace('´', "'")
    })
}

/// Where a basic string ends: behind its closing quote.
pub(super) fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A text that begins with a double quote.
fn quoted(text: &str) -> Option<MeantValue> {
    const BACKSLASH: &str = r#"in double quotes a backslash begins an escape such as \n"#;
    const PATHS: &str = "in single quotes, or with / for each backslash";
    let inner = text[1..].trim_end_matches([',', ';', ' ']);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    if inner.contains('\\') && !inner.contains(['\'', '"']) {
        let value = Some(format!("'{inner}'"));
        return Some(MeantValue { value, expected: BACKSLASH.to_owned(), advice: PATHS });
    }
    let Some(end) = end_of_quoted(text) else {
        if let Some(open) = text.strip_suffix('\'') {
            return meant(format!("{open}\""), "both quotes of a text are of one kind");
        }
        return meant(format!("{}\"", text.trim_end_matches([',', ';'])), "the closing quote is missing");
    };
    behind(&text[..end], &text[end..]).or_else(|| {
        let first_and_last = text.len() > end && text.ends_with('"') && !inner.contains('\'');
        if first_and_last {
            return meant(format!("'{inner}'"), "a quote within a text ends it: put single quotes around it");
        }
        (text.len() > end).then(|| MeantValue {
            value: Some(text[..end].to_owned()),
            expected: "the value ends at its closing quote".to_owned(),
            advice: "",
        })
    })
}

/// A text that begins with a single quote.
fn literal(text: &str) -> Option<MeantValue> {
    let Some(end) = text[1..].find('\'').map(|at| at + 2) else {
        let inner = text[1..].trim_end_matches([',', ';', '"']);
        let expected = if text.ends_with('"') {
            "both quotes of a text are of one kind"
        } else {
            "the closing quote is missing"
        };
        return meant(format!("'{inner}'"), expected);
    };
    behind(&text[..end], &text[end..]).or_else(|| {
        let inner = text[1..].strip_suffix('\'')?;
        (text.len() > end && !inner.contains(['"', '\\'])).then(|| MeantValue {
            value: Some(format!("\"{inner}\"")),
            expected: "a single quote within a text ends it: put double quotes around it".to_owned(),
            advice: "",
        })
    })
}

/// What stands behind a whole value.
fn behind(value: &str, rest: &str) -> Option<MeantValue> {
    let rest = rest.trim();
    match rest.chars().next()? {
        ',' | ';' if rest.len() == 1 => meant(value, format!("nothing stands behind a value, no \"{rest}\"")),
        _ if rest.starts_with("//") || rest.starts_with("--") || rest.starts_with("/*") => {
            meant(value, "comments begin with #")
        }
        ';' => meant(value, "comments begin with #"),
        _ if rest.contains('=') => {
            Some(MeantValue { value: Some(value.to_owned()), expected: ONE_A_LINE.to_owned(), advice: "" })
        }
        _ => None,
    }
}

pub(super) const ONE_A_LINE: &str = "each key stands on a line of its own";

/// The parts of a list or table between separators outside of quotes and brackets.
fn split(inner: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    let mut depth = 0_i32;
    for letter in inner.chars() {
        let last = parts.len() - 1;
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => {
                // Two quoted texts side by side.
                let before = parts[last].trim();
                if depth == 0 && before.starts_with(['"', '\'']) && before.ends_with(['"', '\'']) {
                    parts.push(String::new());
                }
                quote = Some(letter);
            }
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',' | ';') if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        let last = parts.len() - 1;
        parts[last].push(letter);
    }
    parts.retain(|part| !part.trim().is_empty());
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

fn list(text: &str, kind: Option<ValueKind>, depth: usize) -> Option<MeantValue> {
    let trimmed = text.trim_end_matches([',', ';']);
    if trimmed.len() < text.len() && is_value(trimmed) {
        return meant(trimmed, format!("nothing stands behind a value, no \"{}\"", &text[trimmed.len()..]));
    }
    let closed = trimmed.ends_with(']');
    let inner = trimmed[1..].trim_end_matches([']', ')', '}']);
    let kind_of_items = match kind {
        Some(ValueKind::Texts(_) | ValueKind::AnyTexts(_) | ValueKind::Choices(_)) | None => {
            Some(ValueKind::Text(""))
        }
        other => other,
    };
    let mut why = None;
    let items: Vec<String> = split(inner)
        .into_iter()
        .map(|item| {
            if is_value(&item) {
                return item;
            }
            match guess(&item, kind_of_items, depth + 1) {
                Some(MeantValue { value: Some(value), expected, .. }) => {
                    why.get_or_insert(expected);
                    value
                }
                _ => item,
            }
        })
        .collect();
    let expected = match why {
        _ if !closed => "the closing ] is missing".to_owned(),
        Some(why) => why,
        None => "commas stand between the values of a list".to_owned(),
    };
    meant(format!("[{}]", items.join(", ")), expected)
}

fn inline(text: &str, kind: Option<ValueKind>, depth: usize) -> Option<MeantValue> {
    let trimmed = text.trim_end_matches([',', ';']);
    let closed = trimmed.ends_with('}');
    let inner = trimmed[1..].trim_end_matches('}');
    let mut expected = if closed { None } else { Some("the closing } is missing".to_owned()) };
    let keys = match kind {
        Some(ValueKind::Table(keys)) => Some(keys),
        _ => None,
    };
    let parts: Option<Vec<String>> = split(inner)
        .into_iter()
        .map(|part| {
            let at = super::line::outside_quotes(&part, '=').or_else(|| {
                expected
                    .get_or_insert_with(|| "in a table = stands between key and value, no colon".to_owned());
                super::line::outside_quotes(&part, ':')
            })?;
            let (key, value) = (part[..at].trim(), part[at + 1..].trim());
            if is_value(value) {
                return Some(format!("{key} = {value}"));
            }
            let name = key.trim_matches('"');
            let kind = keys.and_then(|keys| keys.find(name)).map(|known| known.kind);
            let found = meant_within(value, kind, depth + 1)?;
            expected.get_or_insert(found.expected);
            found.value.map(|value| format!("{key} = {value}"))
        })
        .collect();
    let expected = expected.unwrap_or_else(|| "a table is written { key = value, key = value }".to_owned());
    match parts {
        Some(parts) => meant(format!("{{ {} }}", parts.join(", ")), expected),
        None => nothing(expected, "write { key = value, key = value }"),
    }
}

/// A value without quotes.
fn bare(text: &str, kind: Option<ValueKind>) -> Option<MeantValue> {
    let cut = text.trim_end_matches([',', ';']).trim_end();
    if cut.len() < text.len() && is_value(cut) {
        return meant(cut, format!("nothing stands behind a value, no \"{}\"", &text[text.len() - 1..]));
    }
    if let Some((value, rest)) = text.split_once(char::is_whitespace)
        && is_value(value)
        && let Some(found) = behind(value, rest)
    {
        return Some(found);
    }
    if text.starts_with('$') || (text.starts_with('%') && text.ends_with('%') && text.len() > 1) {
        return nothing(
            "a file has no variables",
            "write the value itself, or leave the key out and set it in the environment: VERGE__SECTION__KEY",
        );
    }
    number(cut, kind).or_else(|| word(cut, kind))
}

pub(super) fn is_for_numbers(kind: Option<ValueKind>) -> bool {
    matches!(kind, Some(ValueKind::Number { .. } | ValueKind::Whole { .. }))
}

pub(super) fn is_for_text(kind: Option<ValueKind>) -> bool {
    kind.is_some_and(ValueKind::is_text)
}

/// A word without quotes.
fn word(text: &str, kind: Option<ValueKind>) -> Option<MeantValue> {
    const QUOTES: &str = "text stands in quotes";
    let is_word_of_choice = matches!(kind, Some(ValueKind::Choice(words)) if words.contains(&text));
    if !is_word_of_choice
        && matches!(kind, None | Some(ValueKind::Flag))
        && let Some(flag) = flag(text)
    {
        return meant(flag, "a switch is true or false, in small letters and without quotes");
    }
    if !is_word_of_choice
        && matches!(text.to_ascii_lowercase().as_str(), "null" | "none" | "nil" | "~" | "undefined")
    {
        return nothing(
            "there is no value for \"nothing\"",
            "take the line out: what is left out has its default, or is none",
        );
    }
    if is_for_numbers(kind) {
        return nothing("one number stands here", "write a number alone");
    }
    if text.contains('"') && text.contains('\'') {
        return None;
    }
    if let Some(opened) = text.strip_suffix('"').or_else(|| text.strip_suffix('\''))
        && !opened.contains(['"', '\''])
    {
        return meant(format!("\"{opened}\""), "the opening quote is missing");
    }
    if matches!(kind, Some(ValueKind::Texts(_) | ValueKind::AnyTexts(_) | ValueKind::Choices(_))) {
        let items: Vec<String> = split(text).iter().map(|item| format!("\"{item}\"")).collect();
        return meant(format!("[{}]", items.join(", ")), "a list stands in brackets and its texts in quotes");
    }
    if let Some(ValueKind::Choice(words)) = kind
        && let Some(word) = nearest_choice(text, words)
    {
        return meant(format!("{word:?}"), QUOTES);
    }
    let quote = if text.contains(['"', '\\']) { '\'' } else { '"' };
    meant(format!("{quote}{text}{quote}"), QUOTES)
}

/// Words that other formats take for true and false.
pub(in super::super) fn flag(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "enabled" | "enable" => Some("true"),
        "false" | "no" | "n" | "off" | "disabled" | "disable" => Some("false"),
        _ => None,
    }
}
