//! Lines that are no TOML, and what was probably meant.

use super::super::key::ValueKind;
use super::super::raw;
use super::value::{self, ONE_A_LINE};

/// What was meant by a line, and why it is not what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MeantLine {
    /// The line as TOML; `None` where nothing can be guessed.
    pub(super) line: Option<String>,
    /// The key that it sets, if that is known.
    pub(super) key: Option<String>,
    /// What TOML expects.
    pub(super) expected: String,
    /// What else to say about how to write it.
    pub(super) advice: String,
}

impl MeantLine {
    fn new(line: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { line: Some(line.into()), key: None, expected: expected.into(), advice: String::new() }
    }

    fn nothing(expected: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { line: None, key: None, expected: expected.into(), advice: advice.into() }
    }
}

/// Offset of a letter outside of quotes.
pub(super) fn outside_quotes(text: &str, wanted: char) -> Option<usize> {
    plain_letters(text).find(|(_, letter)| *letter == wanted).map(|(at, _)| at)
}

/// The brackets of a line outside of quotes, in order.
pub(super) fn brackets(text: &str) -> impl Iterator<Item = char> {
    plain_letters(text).map(|(_, letter)| letter).filter(|letter| matches!(letter, '[' | '{' | ']' | '}'))
}

/// The letters outside of quotes, with the quotes that open a text.
fn plain_letters(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    let mut escaped = false;
    text.char_indices().filter(move |(_, letter)| {
        let is_plain = quote.is_none();
        match quote {
            None if matches!(letter, '"' | '\'') => quote = Some(*letter),
            Some('"') if escaped => escaped = false,
            Some('"') if *letter == '\\' => escaped = true,
            Some(open) if open == *letter => quote = None,
            _ => {}
        }
        is_plain
    })
}

/// A line without its comment.
pub(super) fn without_comment(line: &str) -> &str {
    let code = match outside_quotes(line, '#') {
        Some(at) => &line[..at],
        // Within a text that is not closed.
        None => match (is_closed(line), line.rfind(" #")) {
            (false, Some(at)) => &line[..at],
            _ => line,
        },
    };
    code.trim()
}

/// Whether all quotes of a line are closed.
fn is_closed(line: &str) -> bool {
    // A letter that stands in no text stands outside of quotes at the very end.
    outside_quotes(&format!("{line}\0"), '\0').is_some()
}

/// Whether a line is a header, or was meant to be one.
pub(super) fn is_header(code: &str) -> bool {
    let inner = code.trim_start_matches('[');
    let first = inner.split(['.', ']', ' ', ':', '/', '"']).next().unwrap_or_default().trim();
    code.starts_with('[') && raw::SECTIONS.iter().any(|section| section.name == first)
}

/// Whether a line sets a key.
pub(super) fn sets_a_key(code: &str) -> bool {
    outside_quotes(code, '=').is_some_and(|at| is_bare_path(code[..at].trim()))
}

fn is_bare(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')
}

pub(super) fn is_bare_path(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(|part| !part.is_empty() && part.chars().all(is_bare))
}

/// What was meant by a line in a section; `None` where it is good, or strange.
pub(super) fn what_was_meant(line: &str, section: &str) -> Option<MeantLine> {
    if let Some(plain) = without_invisible(line) {
        return Some(plain);
    }
    let start = line.trim_start();
    if start.starts_with("//") || start.starts_with(';') || start.starts_with("--") || start.starts_with("/*")
    {
        let text = start.trim_start_matches(['/', ';', '-', '*']).trim_end_matches(['*', '/']).trim();
        return Some(MeantLine::new(format!("# {text}"), "comments begin with #"));
    }
    let code = without_comment(line);
    if code.is_empty() {
        return None;
    }
    let code = &cut_comment(code);
    if code.starts_with('[') {
        return header(code);
    }
    let inner = code.trim_matches(['(', ')', '<', '>', '*', '=', '-']).trim();
    if inner != code.as_str() && raw::kind_of_table(inner).is_some() && !inner.is_empty() {
        return header(&format!("[{inner}]"));
    }
    if matches!(code.as_str(), "}" | "]" | "}," | "]," | "end" | "---" | "...") {
        return Some(MeantLine::nothing("nothing is open here that this closes", "take the line out"));
    }
    match outside_quotes(code, '=') {
        Some(at) => assignment(&code[..at], &code[at + 1..], section),
        None => no_assignment(code, section),
    }
}

/// A line without letters that nobody sees; `None` where it has none.
fn without_invisible(line: &str) -> Option<MeantLine> {
    let is_one = |letter: char| {
        matches!(letter, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{202f}' | '\u{feff}')
            || (letter.is_control() && letter != '\t')
    };
    let first = line.chars().find(|letter| is_one(*letter))?;
    let plain = |letter: char| match letter {
        '\u{a0}' | '\u{202f}' => Some(' '),
        letter if is_one(letter) => None,
        letter => Some(letter),
    };
    let made: String = line.chars().filter_map(plain).collect();
    let key =
        outside_quotes(&made, '=').map(|at| made[..at].trim().to_owned()).filter(|key| is_bare_path(key));
    let expected = format!("a letter that is not seen stands in it (U+{:04X})", u32::from(first));
    Some(MeantLine { key, ..MeantLine::new(made.trim().to_owned(), expected) })
}

/// Without a comment of another language behind a whole line, where it stands apart.
fn cut_comment(code: &str) -> String {
    let cut = [" //", " /*"].iter().filter_map(|mark| outside_quotes_text(code, mark)).min();
    match cut {
        Some(at) if toml::de::DeTable::parse(&code[..at]).is_ok() => code.to_owned(),
        Some(at) => code[..at].trim_end().to_owned(),
        None => code.to_owned(),
    }
}

fn outside_quotes_text(text: &str, wanted: &str) -> Option<usize> {
    let first = wanted.chars().next()?;
    let mut from = 0;
    while let Some(at) = outside_quotes(&text[from..], first) {
        if text[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        // Quotes before this letter are closed, so it is safe to go on from here.
        from += at + first.len_utf8();
    }
    None
}

fn kind_in(section: &str, key: &str) -> Option<ValueKind> {
    raw::kind_of(section, key.trim_matches(['"', '\'']))
}

/// `key = value`.
fn assignment(key: &str, text: &str, section: &str) -> Option<MeantLine> {
    if key.trim().is_empty() {
        return Some(MeantLine::nothing("a key stands before =", "write key = value, or take the line out"));
    }
    let (name, wrong_key) = key_of(key.trim());
    let text = text.trim();
    let found =
        if value::is_value(text) { None } else { value::what_was_meant(text, kind_in(section, &name)) };
    if found.is_none() && (wrong_key.is_none() || !value::is_value(text)) {
        return None;
    }
    let reading = match (wrong_key, found) {
        (Some(why), Some(found)) => MeantLine {
            line: found.value.map(|value| format!("{name} = {value}")),
            ..MeantLine::new("", why)
        },
        (Some(why), None) => MeantLine::new(format!("{name} = {text}"), why),
        (None, Some(found)) => MeantLine {
            line: found.value.map(|value| format!("{name} = {value}")),
            key: None,
            advice: match found.advice {
                _ if found.expected == ONE_A_LINE => "put what stands behind it on the next line".to_owned(),
                advice => advice.to_owned(),
            },
            expected: found.expected,
        },
        (None, None) => return None,
    };
    let key = name.trim_matches('"').to_owned();
    Some(MeantLine { key: Some(key), ..reading })
}

/// A key as TOML, and what is wrong with how it is written.
fn key_of(key: &str) -> (String, Option<&'static str>) {
    if let Some(plain) = value::plain_quotes(key) {
        return (plain, Some("quotes are straight, and a key needs none"));
    }
    let quoted = |text: &str, quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if is_bare_path(key) || quoted(key, '"') || quoted(key, '\'') {
        return (key.to_owned(), None);
    }
    for word in ["export ", "set ", "let ", "var ", "const "] {
        if let Some(rest) = key.strip_prefix(word).filter(|rest| is_bare_path(rest.trim())) {
            return (rest.trim().to_owned(), Some("a line begins with its key"));
        }
    }
    let bare = key.trim_matches(['"', '\'', '-', ':', '$', '*', '@', '<', '>', '!']).trim();
    let joined: String = bare.split_whitespace().collect::<Vec<_>>().join("_");
    if is_bare_path(&joined) {
        let why = if joined == bare {
            "a key is letters, digits, - and _"
        } else {
            "a key has no blanks, it is written with _"
        };
        return (joined, Some(why));
    }
    (format!("\"{}\"", key.replace(['"', '\\'], "")), Some("a key of other letters stands in quotes"))
}

/// A line without `=`.
fn no_assignment(code: &str, section: &str) -> Option<MeantLine> {
    if let Some(name) = code.strip_suffix('{').map(str::trim) {
        let path = name.replace([' ', '"'], ".").replace("..", ".");
        let path = path.trim_matches('.');
        if is_bare_path(path) {
            return Some(MeantLine::new(format!("[{path}]"), "a section begins with its name in brackets"));
        }
    }
    if let Some(at) = outside_quotes(code, ':') {
        let (key, text) = (code[..at].trim().trim_start_matches("- "), code[at + 1..].trim());
        let (name, _) = key_of(key);
        // "mqtt://…" alone on a line is no key.
        let is_prose = text.is_empty() && key.contains(' ');
        let is_key = key.starts_with('"') || !name.starts_with('"') && !is_prose;
        if is_key && !text.starts_with("//") {
            return Some(colon(&name, text, section));
        }
    }
    if let Some(item) = code.strip_prefix("- ") {
        return Some(MeantLine::nothing(
            "a list is not written with dashes",
            format!(
                "write it in brackets behind its key: key = [\"{}\", …]",
                item.trim().trim_matches(['"', '\''])
            ),
        ));
    }
    let (key, text) = code.split_once(char::is_whitespace).unwrap_or((code, ""));
    let known = kind_in(section, key);
    if text.is_empty() {
        let name = key.trim_end_matches([',', ';']);
        let section = raw::SECTIONS.iter().any(|section| section.name == name);
        return Some(match known {
            _ if section => MeantLine::new(format!("[{name}]"), "a section begins with its name in brackets"),
            Some(ValueKind::Flag) => MeantLine {
                key: Some(name.to_owned()),
                ..MeantLine::new(format!("{name} = true"), "a key has a value behind =")
            },
            _ => MeantLine {
                key: known.map(|_| name.to_owned()),
                ..MeantLine::nothing(
                    "a line is key = value, [section] or a # comment",
                    "write it so, or take the line out",
                )
            },
        });
    }
    if is_bare_path(key) && known.is_some() {
        let text = text.trim();
        let value = if value::is_value(text) {
            Some(text.to_owned())
        } else {
            value::what_was_meant(text, known).and_then(|found| found.value)
        };
        return Some(MeantLine {
            line: value.map(|value| format!("{key} = {value}")),
            key: Some(key.to_owned()),
            ..MeantLine::new("", "= stands between key and value")
        });
    }
    Some(MeantLine::nothing(
        "a line is key = value, [section] or a # comment",
        "write it so, or put # in front of a remark",
    ))
}

/// `key: value`, as in YAML.
fn colon(name: &str, text: &str, section: &str) -> MeantLine {
    const EXPECTED: &str = "this is how YAML writes it; here = stands between key and value";
    if text.is_empty() {
        return MeantLine::nothing(
            "this is how YAML writes it; here a section begins with its name in brackets",
            format!("write [{name}], or {name} = and the value"),
        );
    }
    let kind = kind_in(section, name);
    // Quotes may be missing, as YAML needs none.
    let text = text.trim_end_matches(',');
    let meant = if value::is_value(text) {
        Some(text.to_owned())
    } else {
        value::what_was_meant(text, kind).and_then(|found| found.value)
    };
    MeantLine {
        line: meant.map(|value| format!("{name} = {value}")),
        key: Some(name.trim_matches('"').to_owned()),
        ..MeantLine::new("", EXPECTED)
    }
}

/// A line that begins with a bracket.
fn header(code: &str) -> Option<MeantLine> {
    let opened = code.len() - code.trim_start_matches('[').len();
    let inner = code.trim_start_matches('[');
    let (inner, behind) = match outside_quotes(inner, ']') {
        Some(at) => {
            let rest = inner[at..].trim_start_matches(']').trim();
            let brackets = inner.len() - at - inner[at..].trim_start_matches(']').len();
            (&inner[..at], Some((rest, brackets)))
        }
        None => (inner.trim_end_matches([':', ';', ',', '}', ')']), None),
    };
    if inner.trim().is_empty() {
        return Some(MeantLine::nothing(
            "a section has a name in its brackets",
            "write [section] or [section.NAME]",
        ));
    }
    let plain = value::plain_quotes(inner).unwrap_or_else(|| inner.to_owned());
    let path = header_path(plain.trim());
    let double = match raw::kind_of_table(&path) {
        Some(is_list) => is_list,
        None => opened > 1,
    };
    let made = if double { format!("[[{path}]]") } else { format!("[{path}]") };
    let expected = match behind {
        None => "the closing ] of the section is missing",
        Some((rest, _)) if !rest.is_empty() && rest.contains('=') => ONE_A_LINE,
        Some((rest, _)) if !rest.is_empty() => "nothing stands behind the name of a section",
        Some((_, closed)) if closed != opened => "a section has as many closing brackets as opening ones",
        _ if plain != inner => "quotes are straight, as in \"text\"",
        _ if path.contains('"') => "a name of other letters than a to z stands in quotes",
        _ => "the parts of a section's name are letters, digits, - and _, with points between them",
    };
    let advice = if expected == ONE_A_LINE { "put what stands behind it on the next line" } else { "" };
    Some(MeantLine { advice: advice.to_owned(), ..MeantLine::new(made, expected) })
}

/// The path in a header with points between its parts, and quotes around those that need them.
fn header_path(text: &str) -> String {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for letter in text.chars() {
        let last = parts.len() - 1;
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, '.' | ':' | '/' | '\\' | '>' | ' ' | '\t') => parts.push(String::new()),
            _ => parts[last].push(letter),
        }
    }
    parts.retain(|part| !part.is_empty());
    let quoted = |part: &String| {
        if part.chars().all(is_bare) {
            part.clone()
        } else {
            format!("\"{}\"", part.replace(['"', '\\'], ""))
        }
    };
    let named = raw::SECTIONS.iter().find(|section| parts.first().is_some_and(|first| first == section.name));
    // A name with blanks in it: "[judge.pump high]".
    if let Some(section) = named.filter(|section| section.named && parts.len() > 2) {
        let is_table = |name: &String| raw::kind_of(section.name, name).is_some();
        let end = parts.iter().skip(2).position(is_table).map_or(parts.len(), |at| at + 2);
        let name = parts[1..end].join("-");
        parts.splice(1..end, [name]);
    }
    parts.iter().map(quoted).collect::<Vec<_>>().join(".")
}
