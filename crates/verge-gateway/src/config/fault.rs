//! One fault of a configuration: where it stands, which key, what stands there, what was expected, what to do.

use std::fmt;

use serde::Serialize;

use super::tree::ConfigNode;

/// Longer values are cut in messages: a fault points at a key, it does not repeat a file.
const MAX_SHOWN_CHARS: usize = 60;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct FilePlace {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1; `None` for what stands nowhere in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column, from 1, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Whether the line alone does not say which key or value is meant; the column is then shown.
    #[serde(skip)]
    pub(crate) follows: bool,
}

impl fmt::Display for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) if self.follows => {
                write!(f, "{} line {line} column {column}", self.file)
            }
            (Some(line), _) => write!(f, "{} line {line}", self.file),
            (None, _) => f.write_str(&self.file),
        }
    }
}

/// One thing that is wrong with a configuration. Shown as `FILE line N: key: value, expected …; what to do`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where it stands; `None` for what a variable sets.
    #[serde(flatten)]
    pub place: Option<FilePlace>,
    /// Path of the key, as in `uplink.centre.url`.
    pub key: String,
    /// What stands there: the value as TOML, shortened, or a word such as `missing`.
    pub value: String,
    /// What was expected instead, in words that follow "expected".
    pub expected: String,
    /// What to do, as an order: "write above = 7.1".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Name of the environment variable that the value came from, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// Of a line that is not even TOML, which is then the value: the section that it stands in.
    #[serde(skip)]
    pub(crate) syntax_in: Option<String>,
    /// Whether it is the value that is wrong, not the key.
    #[serde(skip)]
    pub(crate) of_value: bool,
}

impl Fault {
    /// A fault whose value is described rather than quoted.
    pub fn new(key: impl Into<String>, value: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            place: None,
            key: key.into(),
            value: shorten(value.into()),
            expected: expected.into(),
            remedy: String::new(),
            variable: None,
            syntax_in: None,
            of_value: false,
        }
    }

    /// A fault at a key that holds this text.
    pub fn at_text(key: impl Into<String>, text: &str, expected: impl Into<String>) -> Self {
        Self { of_value: true, ..Self::new(key, format!("{text:?}"), expected) }
    }

    /// A fault at a key that should be there.
    pub fn missing(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::new(key, "missing", expected)
    }

    /// A fault at a key with the value that stands in the tree.
    pub(super) fn at_node(key: impl Into<String>, node: &ConfigNode, expected: impl Into<String>) -> Self {
        Self { of_value: true, ..Self::new(key, node.to_string(), expected) }.with_origin_of(node)
    }

    /// The same with what to do.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    /// Whether its key lies in this section.
    pub(crate) fn is_within(&self, section: &str) -> bool {
        self.key.strip_prefix(section).is_some_and(|rest| rest.starts_with(['.', '[']))
    }

    /// Whether a fault at this key reports it already: the same key, one of the section that this is about as a
    /// whole, or one without which the section seems to lack something.
    pub(crate) fn follows(&self, known: &str) -> bool {
        let section =
            |key: &str| key.rsplit_once('.').map_or(String::new(), |(section, _)| section.to_owned());
        let lacks = matches!(self.value.as_str(), "missing" | "alone" | "it");
        known.is_empty()
            || self.key == known
            || Fault::missing(known, "").is_within(&self.key)
            || (lacks && (section(&self.key) == known || self.is_within(known)))
            || (lacks
                && section(&self.key) == section(known)
                && self.expected.contains(known.rsplit('.').next().unwrap_or(known)))
    }

    /// Whether it is about two sections that do not agree.
    pub(crate) fn is_between(&self, one: &str, other: &str) -> bool {
        self.is_within(one) && self.expected.contains(other)
            || self.is_within(other) && self.expected.contains(one)
    }

    /// Gives a section the name that it has in the file.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        for text in [&mut self.key, &mut self.expected, &mut self.remedy] {
            *text = text.replace(from, to);
        }
    }

    /// Notes which environment variable the value came from, if it did.
    pub(super) fn with_origin_of(self, node: &ConfigNode) -> Self {
        Self { variable: node.variable().map(str::to_owned), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.variable, &self.place) {
            (Some(variable), _) if *variable != self.key => write!(f, "{variable}: ")?,
            (None, Some(place)) => write!(f, "{place}: ")?,
            _ => {}
        }
        match self.syntax_in.as_deref() {
            None => write!(f, "{}: {}, expected {}", self.key, self.value, self.expected)?,
            Some("") => write!(f, "{} is no TOML: {}", self.value, self.expected)?,
            // The key stands in the line that is shown; its section does not.
            Some(section) => write!(f, "[{section}] {} is no TOML: {}", self.value, self.expected)?,
        }
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

/// A remark about a configuration that is allowed and probably not meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Path of the key.
    pub key: String,
    /// What to think about.
    pub remark: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.remark)
    }
}

/// A text on one line, cut where it is long.
pub(super) fn shorten(text: String) -> String {
    let text = if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text };
    if text.chars().count() <= MAX_SHOWN_CHARS {
        return text;
    }
    let mut cut: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::super::origin::ValueOrigin;
    use super::super::tree::Value;
    use super::*;

    #[test]
    fn faults_read_as_place_key_value_expected_and_what_to_do() {
        let check = |fault: Fault, text: &str| assert_eq!(fault.to_string(), text);
        check(Fault::missing("gateway.id", "a name"), "gateway.id: missing, expected a name");
        check(Fault::at_text("a.b", "x", "y").remedy("write z"), r#"a.b: "x", expected y; write z"#);
        let variable = "VERGE__A__B".to_owned();
        let value =
            ConfigNode { value: Value::Text("x".to_owned()), origin: ValueOrigin::Variable(variable) };
        check(Fault::at_node("a.b", &value, "y"), r#"VERGE__A__B: a.b: "x", expected y"#);
        let list = Value::List(vec![Value::Whole(1).into(), Value::Number(2.0).into()]).into();
        check(Fault::at_node("a.b", &list, "y"), "a.b: [1, 2.0], expected y");
        let place =
            Some(FilePlace { file: "g.toml".to_owned(), line: Some(34), column: Some(9), follows: false });
        check(
            Fault { place: place.clone(), ..Fault::at_text("a.b", "x", "y") },
            r#"g.toml line 34: a.b: "x", expected y"#,
        );
        let within = place.clone().map(|place| FilePlace { follows: true, ..place });
        check(
            Fault { place: within, ..Fault::at_text("a.b", "x", "y") },
            r#"g.toml line 34 column 9: a.b: "x", expected y"#,
        );
        let syntax = Fault::new("judge.high.above", "above = 7,1", "decimals take a point");
        let syntax_in = Some("judge.high".to_owned());
        check(
            Fault { place, syntax_in, ..syntax.remedy("write above = 7.1") },
            "g.toml line 34: [judge.high] above = 7,1 is no TOML: decimals take a point; write above = 7.1",
        );
    }

    #[test]
    fn long_values_are_cut() {
        let fault = Fault::at_text("a", &"é".repeat(100), "y");
        assert_eq!(fault.value.chars().count(), MAX_SHOWN_CHARS + 1);
    }
}
